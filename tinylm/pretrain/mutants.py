"""Evidence for the tests of the objectives: wrong objectives, all of which they reject.

A derivative can be right and the loss another: labels inverted, a mask off by one place, targets
shifted, a mean over the wrong count. `fault` compares an objective with its rule (rules.py), which
computes batch and loss in loops; `mutants` are the objectives with one such error. The same for
derivatives: autograd/check/mutants.py.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import Random
from tinylm.pretrain.batch import IGNORE, Batch
from tinylm.pretrain.cases import MODELS, SPECIAL, Reader
from tinylm.pretrain.language.causal import CausalLM
from tinylm.pretrain.objectives import OBJECTIVES, objective
from tinylm.pretrain.rules import (
    CORRUPTED,
    DENOISERS,
    GIVEN,
    HIDDEN,
    PAIRS,
    REST,
    RULES,
    SENTENCES,
    TEXT,
)

CHECKED = tuple(RULES)
TOLERANCE = 1e-9  # float64 sums of some 20 terms, in another order


@dataclasses.dataclass(frozen=True)
class Wrong:
    """An objective with one error: in its batches, or in its loss.

    what     the error, in words
    right    the objective without it
    batch    batch -> changed batch
    change   (loss as a float, right, model, batch) -> changed loss as a float
    """

    what: str
    right: object
    batch: Callable = lambda batch: batch
    change: Callable = lambda loss, right, model, batch: loss

    def make_batch(self, sequences: np.ndarray, rng: Random) -> Batch:
        """The right batch, changed."""
        return self.batch(self.right.make_batch(sequences, rng))

    def loss(self, model: Any, batch: Batch) -> tuple[float, dict[str, float]]:
        """The right loss, changed. A constant: what is checked is its value."""
        loss, metrics = self.right.loss(model, batch)
        return np.float64(self.change(float(loss.item()), self.right, model, batch)), metrics


def fault(name: str, made: CausalLM | Wrong, rng: Random) -> str:
    """What is wrong with an objective, "" if nothing is.

    name  of CHECKED;  made the objective, or a Wrong one;  rng a tinylm Random
    """
    model = MODELS.get(OBJECTIVES[name].model, Reader)(np.random.default_rng(0))
    text = TEXT
    if name == "translation":
        text = SENTENCES
    batch = made.make_batch(text, rng)
    with no_grad():
        wrong, expected = RULES[name](name, model, batch)
        if wrong:
            return wrong
        loss = float(made.loss(model, batch)[0].item())
    if abs(loss - expected) > TOLERANCE * max(1, abs(expected)):
        return f"the loss is {loss}, not {expected}"
    return ""


def right(name: str) -> CausalLM:
    """The objective as it is registered, for the vocabulary of cases.py."""
    return objective(name, SPECIAL, **GIVEN)


def mutants(name: str) -> list[Wrong]:
    """The wrong versions of an objective: a list of Wrong."""
    made = right(name)
    batches = dict(COMMON_BATCH)
    for names, changes in BATCH.items():
        if name in names:
            batches |= changes
    losses = dict(COMMON_LOSS)
    if name == "replaced":
        losses |= LABELS
    if not OBJECTIVES[name].token_head:
        batches.pop("targets one place later")
        batches.pop("targets one place sooner")
    if name in CORRUPTED:
        batches["another text is corrupted"] = _set(inputs=_other_words)
    return [Wrong(what, made, batch=change) for what, change in batches.items()] + [
        Wrong(what, made, change=change) for what, change in losses.items()
    ]


# The errors


def _set(**changes):
    """A change of the fields of a batch, each from its own value."""
    return lambda batch: dataclasses.replace(
        batch, **{field: change(getattr(batch, field)) for field, change in changes.items()}
    )


def _later(array):
    return np.roll(array, 1, axis=1)


def _sooner(array):
    return np.roll(array, -1, axis=1)


def _other_words(ids):
    return np.where(ids < 4, (ids + 1) % 4, ids)


def _other_sentinels(ids):
    """The first two sentinels exchanged."""
    first, second = SPECIAL.sentinels[:2]
    return np.select([ids == first, ids == second], [second, first], ids)


def _exchanged(ids):
    prefix, suffix = SPECIAL.prefix, SPECIAL.suffix
    return np.select([ids == prefix, ids == suffix], [suffix, prefix], ids)


def _longer_prefix(mask):
    """All rows of (B, T, T) see what the row below them sees of the prefix: one column more."""
    seen_by_all = mask.all(axis=1).sum(axis=1)  # k, (B,)
    return mask | (np.arange(mask.shape[1]) == seen_by_all[:, None])[:, None]


def _inverted_labels(loss, right, model, batch):
    """With the other label: log(1 + e^z) - z = log(1 + e^-z)."""
    return loss + 50 * _label_difference(right, model, batch, batch.judged)


def _labels_by_place(loss, right, model, batch):
    """A token that was guessed right is called replaced."""
    masked = batch.targets != IGNORE
    return loss + 50 * _label_difference(right, model, batch, masked, only_right=True)


def _label_difference(right, model, batch, places, only_right=False):
    logits = model.generator.logits(model.generator.hidden(batch.inputs)).data
    filled = right.fill(logits[batch.targets != IGNORE], batch)
    z, replaced = model.discriminator(filled).data, filled != batch.original
    change = np.where(replaced, z, -z) * places * ~(replaced & only_right)
    return float((change.sum(1) / batch.judged.sum(1)).mean())


COMMON_BATCH = {
    "targets one place later": _set(targets=_later),
    "targets one place sooner": _set(targets=_sooner),
    "inputs one place later": _set(inputs=_later),
}
COMMON_LOSS = {
    "a sum for a mean": lambda loss, right, model, batch: loss * batch.tokens,
    "divided by one too many": lambda loss, right, model, batch: (
        loss * batch.tokens / (batch.tokens + 1)
    ),
    "the sign": lambda loss, right, model, batch: -loss,
}
# Errors of some objectives: names -> {error: change of the batch}
BATCH = {
    PAIRS: {
        "classes inverted": _set(classes=lambda c: 1 - c),
        "segments inverted": _set(segments=lambda s: 1 - s),
        "segments one place later": _set(segments=_later),
    },
    ("replaced",): {
        "[CLS] is judged": _set(judged=np.ones_like),
        "judged one place later": _set(judged=_later),
        "the generator reads what it predicts": lambda batch: dataclasses.replace(
            batch, inputs=batch.original
        ),
    },
    (*DENOISERS, *HIDDEN, *REST): {
        "the decoder reads the target": lambda batch: dataclasses.replace(
            batch, decoder=np.where(batch.targets == IGNORE, SPECIAL.pad, batch.targets)
        ),
        "the decoder is one place later": _set(decoder=_later),
    },
    HIDDEN: {
        "all tokens are predicted": _set(targets=lambda targets: TEXT),
        "the decoder reads the hidden tokens alone": lambda batch: dataclasses.replace(
            batch, decoder=np.where(batch.decoder == SPECIAL.mask, SPECIAL.pad, batch.decoder)
        ),
    },
    ("sentinels", "ul2"): {
        "sentinels in another order": _set(inputs=_other_sentinels),
        "the target's sentinels in another order": _set(targets=_other_sentinels),
    },
    ("prefix",): {
        "the prefix is predicted too": _set(targets=lambda targets: TEXT[:, 1:]),
        "the prefix is read from left to right": _set(mask=np.tril),
        "the future is seen": _set(mask=np.ones_like),
        "the prefix is one token longer for the mask": _set(mask=_longer_prefix),
    },
    ("fim",): {
        "[PRE] and [SUF] exchanged": lambda batch: dataclasses.replace(
            batch, inputs=_exchanged(batch.inputs), targets=_exchanged(batch.targets)
        ),
    },
    ("multi-token",): {
        "the heads in reverse order": _set(targets=lambda targets: targets[..., ::-1]),
        "one head fewer": _set(targets=lambda targets: np.where([0, 0, 0, 1], IGNORE, targets)),
    },
    ("span-boundary",): {
        "before and after exchanged": lambda batch: dataclasses.replace(
            batch, before=batch.after, after=batch.before
        ),
        "places counted from 1": _set(place=lambda place: place + 1),
        "the span's own first token": _set(before=lambda before: before + 1),
    },
    ("translation",): {"languages exchanged": _set(languages=lambda languages: 1 - languages)},
    ("permuted",): {
        "orders that begin elsewhere": _set(order=_later),
        "a position twice in an order": _set(order=lambda order: np.where(order == 1, 2, order)),
        "the first token is predicted": lambda batch: dataclasses.replace(
            batch, targets=batch.inputs
        ),
    },
}
LABELS = {"labels inverted": _inverted_labels, "labels by mask position": _labels_by_place}
