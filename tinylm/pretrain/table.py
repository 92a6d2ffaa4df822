"""Book table 1.1: fifteen pre-training tasks on one sentence, worked out by the code (book section
1.2.4)

Inputs and outputs are as the book prints them: [C] and [M] for [CLS] and [MASK], a number behind a
word for the order in which it is generated, _ where nothing is predicted, and ~word~ for one that
is struck out. Read next: objectives.py, which has a name for each.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.pretrain.denoising.noise import (
    infill,
    permute_sentences,
    permute_tokens,
    replace_tokens,
    rotate,
    sentences,
)
from tinylm.pretrain.denoising.sentinels import sentinel_spans
from tinylm.pretrain.denoising.seq2seq import fragment
from tinylm.pretrain.discriminative.pairs import pack
from tinylm.pretrain.language.causal import CausalLM
from tinylm.pretrain.language.prefix import prefix_split
from tinylm.pretrain.masked.masked import mask_tokens, targets_at
from tinylm.pretrain.masked.permuted import PermutedLM
from tinylm.pretrain.words import Words

SENTENCE, SECOND = "The kitten is chasing the ball .", "The ball rolls away swiftly ."
WORDS = Words(SENTENCE, SECOND, "Birds eat worms .", "playing")


@dataclass(frozen=True)
class Row:
    """One row of the table.

    method      its name
    encoder, decoder, seq2seq   which architectures it trains
    input, output   as printed
    objective   its name in objectives.py
    """

    method: str
    encoder: bool
    decoder: bool
    seq2seq: bool
    input: str
    output: str
    objective: str


def plain(ids):
    """Ids as the table prints them."""
    return " ".join(WORDS.show(ids)).replace("[CLS]", "[C]").replace("[MASK]", "[M]")


def numbered(ids, order=None):
    """Ids with the order in which they are generated; from left to right if None."""
    if order is None:
        order = range(1, len(ids) + 1)
    return " ".join(f"{plain([i])}{n}" for i, n in zip(ids, order))


def read(ids):
    """A source, after [C]."""
    return plain([WORDS.special.cls, *ids])


def at(*places):
    """Places of the sentence, counted from 0, as bool (7,)."""
    return np.isin(np.arange(7), places)


def permuted(x):
    """The sentence with the places in the order 4 6 7 5 1 3 2, counted from 1."""
    order = np.array([0, 4, 6, 7, 5, 1, 3, 2])  # [C] is given
    batch = PermutedLM(WORDS.special).with_order(np.array([[WORDS.special.cls, *x]]), order[None])
    return plain(batch.inputs[0]), numbered(batch.targets[0, 1:], np.argsort(order)[1:])


def table_1_1():
    """The rows, a list of Row."""
    special, x = WORDS.special, WORDS.ids(SENTENCE)
    both, mask = np.concatenate([x, WORDS.ids(SECOND)]), special.mask
    causal = CausalLM().make_batch(np.array([[special.start, *x]])).targets[0]
    prefix, rest = prefix_split(x, 3)
    bert = mask_tokens(
        replace_tokens(x, at(3), np.full(7, WORDS.ids("playing")[0])), at(2, 5), mask
    )
    mass, mass_target = fragment(x, 2, 3, mask)
    pair, _ = pack(special, x, WORDS.ids("Birds eat worms ."))
    deleted = " ".join(f"~{word}~" if gone else word for word, gone in zip(WORDS.show(x), at(2, 5)))
    spans, spans_target = sentinel_spans(x, at(2, 3, 5, 6), special.sentinels, close=False)
    swapped = permute_sentences(sentences(both, WORDS.ids(".")), [1, 0])
    E, D, S = "encoder", "decoder", "seq2seq"
    rows = [
        ("Causal LM", (D, S), "", numbered(causal), "causal"),
        ("Prefix LM", (D, S), read(prefix), numbered(rest), "prefix"),
        (
            "Masked LM",
            (E, S),
            read(mask_tokens(x, at(2, 5), mask)),
            plain(targets_at(x, at(2, 5))),
            "masked",
        ),
        ("MASS-style", (E, S), read(mass), plain(mass_target), "mass"),
        ("BERT-style", (E, S), read(bert), plain(targets_at(x, at(1, 2, 3, 5))), "bert-style"),
        ("Permuted LM", (E,), *permuted(x), "permuted"),
        (
            "Next Sentence Prediction",
            (E,),
            plain(pair[pair != special.sep]),
            "Pr(IsNext | representation-of-[C])",
            "next-sentence",
        ),
        (
            "Sentence Comparison",
            (E,),
            "encode a sentence as h_a and another as h_b",
            "Score(h_a,h_b)",
            "contrastive",
        ),
        (
            "Token Classification",
            (E,),
            read(x),
            " ".join(f"Pr(.|{word})" for word in WORDS.show(x)),
            "replaced",
        ),
        (
            "Token Reordering",
            (S,),
            read(permute_tokens(x, [6, 1, 4, 3, 0, 2, 5])),
            numbered(x),
            "token-permutation",
        ),
        ("Token Deletion", (S,), "[C] " + deleted, numbered(x), "token-deletion"),
        (
            "Span Masking",
            (S,),
            read(infill(x, [2, 3], [0, 3], mask)),
            numbered(x),
            "text-infilling",
        ),
        ("Sentinel Masking", (S,), read(spans), numbered(spans_target), "sentinels"),
        ("Sentence Reordering", (S,), read(swapped), numbered(both), "sentence-permutation"),
        ("Document Rotation", (S,), read(rotate(both, 3)), numbered(both), "document-rotation"),
    ]
    return [
        Row(method, E in where, D in where, S in where, *shown) for method, where, *shown in rows
    ]
