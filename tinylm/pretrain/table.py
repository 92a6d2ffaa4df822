"""Book table 1.1: fifteen pre-training tasks on one sentence, computed   (section 1.2.4)

Inputs and outputs are as the book prints them: [C] and [M] for [CLS] and [MASK], a number behind a
word for the order in which it is generated, _ where nothing is predicted, and ~word~ for one that
is struck out. A row is computed by the functions that train the objective, not written down. Read
next: objectives.py, which has a name for each.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.backend import ArrayLike
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
    """One row of Table 1.1.

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


def plain(ids: ArrayLike) -> str:
    """Ids as the table prints them."""
    return " ".join(WORDS.show(ids)).replace("[CLS]", "[C]").replace("[MASK]", "[M]")


def numbered(ids: np.ndarray, order: np.ndarray | None = None) -> str:
    """Ids with the order in which they are generated; from left to right if None."""
    if order is None:
        order = range(1, len(ids) + 1)
    return " ".join(f"{plain([i])}{n}" for i, n in zip(ids, order))


def source(ids: np.ndarray) -> str:
    """A source as the table prints it, after [C]."""
    return plain([WORDS.special.cls, *ids])


def at(*places: int) -> np.ndarray:
    """Places of the sentence, counted from 0, as bool (7,)."""
    return np.isin(np.arange(7), places)


def permuted(x: np.ndarray) -> tuple[str, str]:
    """The sentence with the places in the order 4 6 7 5 1 3 2, counted from 1."""
    order = np.array([0, 4, 6, 7, 5, 1, 3, 2])  # [C], place 0, comes first and is not predicted
    ids = np.array([[WORDS.special.cls, *x]])  # (1, 8)
    batch = PermutedLM(WORDS.special).with_order(ids, order[None])
    return plain(batch.inputs[0]), numbered(batch.targets[0, 1:], np.argsort(order)[1:])


def table_1_1() -> list[Row]:
    """The rows, a list of Row."""
    E, D, S = "encoder", "decoder", "seq2seq"
    rows = [*language_rows(E, D, S), *masked_rows(E, S), *pair_rows(E), *denoising_rows(S)]
    return [
        Row(method, E in where, D in where, S in where, *shown) for method, where, *shown in rows
    ]


def language_rows(E: str, D: str, S: str) -> list[tuple[str, tuple, str, str, str]]:
    """Language modeling: each token from those before it."""
    x, start = WORDS.ids(SENTENCE), WORDS.special.start
    causal = CausalLM().make_batch(np.array([[start, *x]])).targets[0]  # (1, 8) -> (7,)
    prefix, rest = prefix_split(x, 3)
    return [
        ("Causal LM", (D, S), "", numbered(causal), "causal"),
        ("Prefix LM", (D, S), source(prefix), numbered(rest), "prefix"),
    ]


def masked_rows(E: str, S: str) -> list[tuple[str, tuple[str, ...], str, str, str]]:
    """Hidden tokens: the target has _ where nothing is predicted."""
    x, mask = WORDS.ids(SENTENCE), WORDS.special.mask
    masked = mask_tokens(x, at(2, 5), mask)
    mass, mass_target = fragment(x, 2, 3, mask)
    # BERT-style: of four chosen tokens two are masked, one is replaced and one stays.
    playing = np.full(7, WORDS.ids("playing")[0])
    bert = mask_tokens(replace_tokens(x, at(3), playing), at(2, 5), mask)
    bert_target = targets_at(x, at(1, 2, 3, 5))
    return [
        ("Masked LM", (E, S), source(masked), plain(targets_at(x, at(2, 5))), "masked"),
        ("MASS-style", (E, S), source(mass), plain(mass_target), "mass"),
        ("BERT-style", (E, S), source(bert), plain(bert_target), "bert-style"),
        ("Permuted LM", (E,), *permuted(x), "permuted"),
    ]


def pair_rows(E: str) -> list[tuple[str, tuple, str, str, str]]:
    """Classification, of pairs of sentences or of every token: outputs are no tokens."""
    x, special = WORDS.ids(SENTENCE), WORDS.special
    pair, _ = pack(special, x, WORDS.ids("Birds eat worms ."))
    pair = plain(pair[pair != special.sep])  # the book leaves [SEP] out
    of_tokens = " ".join(f"Pr(.|{word})" for word in WORDS.show(x))
    is_next = "Pr(IsNext | representation-of-[C])"
    two = "encode a sentence as h_a and another as h_b"
    return [
        ("Next Sentence Prediction", (E,), pair, is_next, "next-sentence"),
        ("Sentence Comparison", (E,), two, "Score(h_a,h_b)", "contrastive"),
        ("Token Classification", (E,), source(x), of_tokens, "replaced"),
    ]


def denoising_rows(S: str) -> list[tuple[str, tuple, str, str, str]]:
    """A corrupted source, and the original as the target."""
    special, x = WORDS.special, WORDS.ids(SENTENCE)
    both = np.concatenate([x, WORDS.ids(SECOND)])
    struck = zip(WORDS.show(x), at(2, 5))
    deleted = " ".join(f"~{word}~" if gone else word for word, gone in struck)
    infilled = infill(x, [2, 3], [0, 3], special.mask)  # a span of no token, and one of three
    spans, spans_target = sentinel_spans(x, at(2, 3, 5, 6), special.sentinels, close=False)
    swapped = permute_sentences(sentences(both, WORDS.ids(".")), [1, 0])
    shuffled = permute_tokens(x, [6, 1, 4, 3, 0, 2, 5])
    whole, two = numbered(x), numbered(both)
    return [
        ("Token Reordering", (S,), source(shuffled), whole, "token-permutation"),
        ("Token Deletion", (S,), f"[C] {deleted}", whole, "token-deletion"),
        ("Span Masking", (S,), source(infilled), whole, "text-infilling"),
        ("Sentinel Masking", (S,), source(spans), numbered(spans_target), "sentinels"),
        ("Sentence Reordering", (S,), source(swapped), two, "sentence-permutation"),
        ("Document Rotation", (S,), source(rotate(both, 3)), two, "document-rotation"),
    ]
