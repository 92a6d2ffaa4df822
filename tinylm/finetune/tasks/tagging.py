"""A tag for every word: parts of speech, named entities   (book section 1.4.4, eq. 1.23).

    Loss = -(1/m) sum_{i=1..m} log p_i(tag_i)

A word is told from the state of its first piece; [CLS], [SEP] and other pieces are not asked.
Entities are spans of words, written as tags: B-ORG begins one of type ORG, I-ORG goes on, O is none
(Ramshaw & Marcus 1995). Words tagged one by one may say what no spans can say, an I with no B
before it; the best sequence that is one comes from crf.viterbi. Read next: crf.py; spans.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.autograd import dropout, log_softmax, where
from tinylm.backend import Random, to_cpu
from tinylm.errors import DataError
from tinylm.finetune import metrics
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.crf import LinearChain, viterbi
from tinylm.finetune.tasks.heads import hidden_states, innermost
from tinylm.nn import Linear, Module
from tinylm.pretrain.batch import IGNORE, TokenBatch, pad_rows
from tinylm.pretrain.score import score

OUTSIDE = "O"


def _mark(tag):
    """B, I, or "" for a tag that is neither, such as O or a part of speech (INTJ)."""
    mark = tag.partition("-")[0]
    if mark in ("B", "I"):
        return mark
    return ""


def bio_encode(spans, length):
    """Entities as tags.

    spans    (type, start, stop) each, words start .. stop-1; no two share a word
    length   words of the sentence
    returns  list of str
    raises   DataError for a span outside the sentence, without words, or upon another
    """
    tags = [OUTSIDE] * length
    for kind, start, stop in spans:
        if not 0 <= start < stop <= length or any(tag != OUTSIDE for tag in tags[start:stop]):
            raise DataError(
                f"bio_encode: the span {(kind, start, stop)} lies outside {length} words or upon another span"
            )
        tags[start:stop] = [f"B-{kind}", *[f"I-{kind}"] * (stop - start - 1)]
    return tags


def bio_decode(tags):
    """The entities that tags say: (type, start, stop) each, in order. An I that continues nothing
    begins one, as in CoNLL's own evaluation.
    """
    spans, kind, start = [], None, 0
    for i, tag in enumerate([*tags, OUTSIDE]):
        mark, here = _mark(tag), tag.partition("-")[2]
        if kind is not None and not (mark == "I" and here == kind):
            spans.append((kind, start, i))
            kind = None
        if kind is None and mark:
            kind, start = here, i
    return spans


def bio_constraints(tags):
    """What may follow what: an I of a type only its B or I, and none at the beginning.

    tags     names of the K tags
    returns  (K, K) and (K,) float arrays of 0 and -inf, for viterbi's transitions and start
    """
    inside = [tag.partition("-")[2] if _mark(tag) == "I" else None for tag in tags]
    kinds = [tag.partition("-")[2] if _mark(tag) else None for tag in tags]
    allowed = [[after is None or kind == after for after in inside] for kind in kinds]
    return np.where(allowed, 0.0, -np.inf), np.where(
        [kind is None for kind in inside], 0.0, -np.inf
    )


@dataclass(frozen=True)
class WordBatch(TokenBatch):
    """A TokenBatch that asks about words: targets (B, m) of words, IGNORE beyond a row's.

    words   (B, m) places of their first pieces;  held (B, m) bool, True for words
    """

    words: np.ndarray = None
    held: np.ndarray = None


def word_states(model, batch):
    """The states of the words of a WordBatch, those of their first pieces: (B, m, D)."""
    h = hidden_states(model, batch.inputs, **batch.options)  # (B, T, D)
    return h[np.arange(len(batch.words), like=batch.words)[:, None], batch.words]


class TokenClassifier(Module):
    """An encoder with a linear layer on the state of every word.

    encoder  Encoder or GPT, or one behind a prompt or prefix; not copied
    tags     K, how many
    crf      with a LinearChain over the tags of a sentence
    """

    def __init__(self, encoder, tags, crf=False, seed=0):
        model = innermost(encoder)
        dtype = model.tokens.weight.dtype
        self.encoder, self.rng = encoder, model.rng
        self.out = Linear(model.config.d_model, tags, Random(seed, "head"), dtype=dtype)
        self.chain = LinearChain(tags, dtype) if crf else None
        self.to(model.tokens.weight.device)

    def __call__(self, batch):
        """Emissions: logits, or scores of the CRF, of every word of a WordBatch, (B, m, K)."""
        x = word_states(self.encoder, batch)
        return self.out(dropout(x, self.encoder.config.dropout if self.training else 0.0, self.rng))


@dataclass(frozen=True)
class Tagging:
    """The task of a TokenClassifier; an example is (words, tags), tags None where they are not
    known.

    inputs       EncoderInput
    tags         names of the tags; the first is said of words that did not fit
    constrained  answers are sequences that spans can be read from: the best one by Viterbi
    """

    inputs: EncoderInput
    tags: tuple
    constrained: bool = False

    def make_batch(self, examples, rng=None):
        """-> WordBatch."""
        number = {tag: i for i, tag in enumerate(self.tags)}
        rows = [self.inputs.word_row(words) for words, _ in examples]
        ids, fields = self.inputs.padded([row[:2] for row in rows])
        places, held = pad_rows([first for *_, first in rows], 0)
        try:
            targets = [
                np.full(len(first), IGNORE)
                if tags is None
                else [number[tag] for tag in tags[: len(first)]]
                for (_, tags), (*_, first) in zip(examples, rows)
            ]
        except KeyError as error:
            raise DataError(
                f"Tagging: the tag {error} is not one of {', '.join(self.tags)}"
            ) from None
        return WordBatch(
            ids, pad_rows(targets, IGNORE, places.shape[1])[0], **fields, words=places, held=held
        )

    def loss(self, model, batch):
        """-log Pr(tags | words), as a mean over words   (book eq. 1.23); of a CRF the sentence's,
        shared among its words.
        """
        emissions = model(batch)
        if model.chain is None:
            return score(emissions, batch.targets)
        if not batch.words.shape[1]:  # no row has a word: nothing is asked
            return emissions[:0].sum(), {"tokens": 0, "loss": 0.0}
        known = batch.targets[:, 0] != IGNORE  # rows with tags, and at least one word
        losses = model.chain(emissions, np.maximum(batch.targets, 0), batch.held)  # (B,)
        losses = where(known, losses, 0.0)
        loss = (losses / max(batch.tokens, 1)).sum()
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}

    def predict(self, model, batch):
        """One list of tags for each row, as long as it has words that fit."""
        emissions, held = model(batch), to_cpu(batch.held)
        allowed = bio_constraints(self.tags) if self.constrained else None
        if not held.shape[1]:
            return [[] for _ in held]
        if model.chain is not None:
            best, _ = model.chain.best(emissions, held, allowed)
        elif self.constrained:
            best, _ = viterbi(log_softmax(emissions).numpy(), *allowed, held=held)
        else:
            best = emissions.numpy().argmax(axis=-1)
        return [[self.tags[i] for i in row[mask]] for row, mask in zip(best, held)]

    def measure(self, answers, examples):
        """accuracy over words; precision, recall and f1 of entities too where tags are BIO."""
        gold = [list(tags) for _, tags in examples]
        said = [
            [*tags, *[self.tags[0]] * (len(right) - len(tags))]
            for tags, right in zip(answers, gold)
        ]
        found = {
            "accuracy": metrics.accuracy(
                [t for row in said for t in row], [t for row in gold for t in row]
            )
        }
        if any(_mark(tag) == "B" for tag in self.tags):
            found |= metrics.entity_f1(
                [bio_decode(row) for row in said], [bio_decode(row) for row in gold]
            )
        return found
