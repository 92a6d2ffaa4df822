"""Why the tests of the objectives may be believed: wrong objectives, all of which they reject.

A derivative can be right and the loss another: labels inverted, a mask off by one place, targets
shifted, a mean over the wrong count. `fault` computes what an objective should do from its text and
from the probabilities of a model, in loops and without the code of the objectives; `mutants` are
the objectives with one such error. The same for derivatives: autograd/check/mutants.py.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from tinylm.autograd import no_grad
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.cases import MORE, SPECIAL, Pair, Reader
from tinylm.pretrain.objectives import objective

DENOISERS = (
    "token-masking",
    "token-deletion",
    "text-infilling",
    "sentence-permutation",
    "document-rotation",
    "token-permutation",
    "token-replacement",
    "bart",
)
MASKED = "masked", "whole-word", "spans"
PAIRS = "next-sentence", "sentence-order", "bert"
CHECKED = ("causal", *MASKED, *PAIRS, "replaced", "contrastive", *DENOISERS)
# No two neighbors alike, and no row the reverse or the rotation of itself: every shift is visible.
TEXT = np.array([[0, 1, 2, 3, 1, 0, 2, 1, 3, 2], [3, 1, 3, 0, 2, 1, 2, 0, 1, 3]])
GIVEN = dict(MORE, corpus=np.tile(TEXT.reshape(-1), 2))  # longer than a row, for negatives
TOLERANCE = 1e-9  # float64 sums of some 20 terms, in another order


@dataclasses.dataclass(frozen=True)
class Wrong:
    """An objective with one error: in its batches, or in its loss.

    what         the error
    right        the objective
    batch, loss  change(batch) -> batch; change(loss as a float, right, model, batch) -> float
    """

    what: str
    right: object
    batch: Callable = lambda batch: batch
    change: Callable = lambda loss, right, model, batch: loss

    def make_batch(self, sequences, rng):
        """The right batch, changed."""
        return self.batch(self.right.make_batch(sequences, rng))

    def loss(self, model, batch):
        """The right loss, changed. A constant: what is checked is its value."""
        loss, metrics = self.right.loss(model, batch)
        return np.float64(self.change(float(loss.item()), self.right, model, batch)), metrics


def fault(name, made, rng):
    """What is wrong with an objective, "" if nothing is.

    name  of CHECKED;  made the objective, or a Wrong one;  rng a tinylm Random
    """
    kind = Pair if name == "replaced" else Reader
    model = kind(np.random.default_rng(0))
    batch = made.make_batch(TEXT, rng)
    with no_grad():
        wrong, expected = _rule(name)(name, model, batch)
        if wrong:
            return wrong
        loss = float(made.loss(model, batch)[0].item())
    if abs(loss - expected) > TOLERANCE * max(1, abs(expected)):
        return f"the loss is {loss}, not {expected}"
    return ""


def right(name):
    """The objective as it is registered, for the vocabulary of cases.py."""
    return objective(name, SPECIAL, **GIVEN)


def mutants(name):
    """The wrong versions of an objective: a list of Wrong."""
    made = right(name)
    batches = dict(COMMON_BATCH, **BATCH.get(_rule(name), {}))
    losses = dict(COMMON_LOSS, **LOSS.get(_rule(name), {}))
    if name in ("contrastive", "next-sentence", "sentence-order"):
        batches.pop("targets one place later")  # they predict no token
        batches.pop("targets one place sooner")
    if name in CORRUPTED:
        batches["another text is corrupted"] = _set(inputs=_other_words)
    return [Wrong(what, made, batch=change) for what, change in batches.items()] + [
        Wrong(what, made, change=change) for what, change in losses.items()
    ]


# What each kind of objective should do: (name, model, batch) -> (fault of the batch, loss)


def _causal(name, model, batch):
    for row, inputs, targets in zip(TEXT, batch.inputs, batch.targets):
        for t in range(len(row) - 1):
            if inputs[t] != row[t] or targets[t] != row[t + 1]:
                return f"at place {t} the input or the target is another token", 0
    log_p = _log_p(model(batch.inputs))
    return "", -np.mean([log_p[b, t, TEXT[b, t + 1]] for b, t in np.ndindex(2, 9)])


def _masked(name, model, batch):
    text, rows = _with_cls(), []
    for b, row in enumerate(text):
        for t, token in enumerate(row):
            counts = batch.targets[b, t] != IGNORE
            if counts and (t == 0 or batch.targets[b, t] != token):
                return "a target is not the token of the text", 0
            if not counts and batch.inputs[b, t] != token:
                return "a token that is not predicted was changed", 0
            if counts:
                rows.append((b, t, token))
    if not rows:
        return "nothing is predicted", 0
    log_p = _log_p(model(batch.inputs))
    return "", -np.mean([log_p[place] for place in rows])


def _pairs(name, model, batch):
    losses = []
    log_p = _log_p(model.pair_logits(model.hidden(batch.inputs)))
    for b, row in enumerate(TEXT):
        shown = np.where(batch.targets[b] == IGNORE, batch.inputs[b], batch.targets[b])
        marks = np.flatnonzero(shown == SPECIAL.sep)
        if shown[0] != SPECIAL.cls or len(marks) != 2 or marks[1] != len(shown) - 1:
            return "a row is not [CLS] first [SEP] second [SEP]", 0
        if batch.segments[b].tolist() != [int(t > marks[0]) for t in range(len(shown))]:
            return "the segments do not change after the first [SEP]", 0
        ordered = np.array_equal([t for t in shown if t < 4], row)
        losses.append(-log_p[b, 0 if ordered else 1])  # class 0: as in the text
        said = [
            -_log_p(model.logits(model.hidden(batch.inputs)))[b, t, batch.targets[b, t]]
            for t in np.flatnonzero(batch.targets[b] != IGNORE)
        ]
        losses[-1] += np.mean(said) if said else 0
    return "", np.mean(losses)


def _replaced(name, model, batch):
    masked, generated = [], batch.original.copy()
    log_p = _log_p(model.generator.logits(model.generator.hidden(batch.inputs)))
    wrong, _ = _masked(name, model.generator, batch)
    if wrong or not (batch.inputs[batch.targets != IGNORE] == SPECIAL.mask).all():
        return wrong or "a token that is predicted is not [MASK]", 0
    if not np.array_equal(batch.judged, _with_cls() != SPECIAL.cls):
        return "all tokens but [CLS] are judged", 0
    for b in range(2):
        places = np.flatnonzero(batch.targets[b] != IGNORE)
        masked.append(-np.mean([log_p[b, t, batch.original[b, t]] for t in places]))
        for t in places:
            sums = np.cumsum(np.exp(log_p[b, t]))  # the first that passes the draw
            generated[b, t] = np.flatnonzero(sums > batch.draws[b, t])[0]
    z = model.discriminator(generated).data
    detection = [
        np.log1p(np.exp(-z[b, t] if generated[b, t] != batch.original[b, t] else z[b, t]))
        for b, t in np.ndindex(2, z.shape[1])
        if t
    ]
    return "", np.mean(masked) + 50 * np.mean(detection)


def _contrastive(name, model, batch):
    if not np.array_equal(batch.inputs, _with_cls()):
        return "the model reads another text", 0
    a = model.hidden(batch.inputs).data[:, 0]
    a = a / np.sqrt((a * a).sum(1, keepdims=True))
    scores = a @ a.T / 0.05  # of both readings, which are alike here
    return "", -np.mean([scores[i, i] - np.log(np.exp(scores[i]).sum()) for i in range(2)])


def _denoising(name, model, batch):
    log_p, losses = _log_p(model(batch.inputs, batch.decoder, source_mask=batch.mask)), []
    for b, row in enumerate(TEXT):
        target = [*row, SPECIAL.end]
        if batch.targets[b].tolist() != target:
            return "the target is not the text and the end of a text", 0
        if batch.decoder[b].tolist() != [SPECIAL.start, *row]:
            return "the decoder does not read the targets one place to the right", 0
        source = batch.inputs[b][batch.inputs[b] != SPECIAL.pad].tolist()
        possible = CORRUPTED.get(name, lambda source, row: True)
        if source[0] != SPECIAL.cls or not possible(source[1:], row.tolist()):
            return "the source is not the text with this corruption", 0
        losses += [-log_p[b, t, token] for t, token in enumerate(target)]
    return "", np.mean(losses)


def _left_in_order(source, row):
    """Whether the ordinary tokens of a source stand in the text, in this order."""
    rest = iter(row)
    return all(token in rest for token in source if token != SPECIAL.mask)


def _masked_in_place(source, row):
    return len(source) == len(row) and all(s in (t, SPECIAL.mask) for s, t in zip(source, row))


def _some_replaced(source, row):
    """Of ten tokens 15 % are one or two."""
    return len(source) == len(row) and sum(s != t for s, t in zip(source, row)) <= 2


# How a source may differ from its text: (source, text) -> bool. BART's is any of five.
CORRUPTED = {
    "token-masking": _masked_in_place,
    "token-deletion": lambda source, row: len(source) < len(row) and _left_in_order(source, row),
    "text-infilling": _left_in_order,
    "sentence-permutation": lambda source, row: sorted(source) == sorted(row),
    "token-permutation": lambda source, row: sorted(source) == sorted(row),
    "document-rotation": lambda source, row: any(source == row[i:] + row[:i] for i in range(10)),
    "token-replacement": _some_replaced,
}


def _rule(name):
    rules = {"causal": _causal, "replaced": _replaced, "contrastive": _contrastive}
    rules |= dict.fromkeys(MASKED, _masked) | dict.fromkeys(PAIRS, _pairs)
    return rules.get(name, _denoising)


def _log_p(logits):
    z = logits.data
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def _with_cls():
    return np.concatenate([np.full((2, 1), SPECIAL.cls), TEXT], axis=1)


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
BATCH = {
    _pairs: {
        "classes inverted": _set(classes=lambda c: 1 - c),
        "segments inverted": _set(segments=lambda s: 1 - s),
        "segments one place later": _set(segments=_later),
    },
    _replaced: {
        "[CLS] is judged": _set(judged=np.ones_like),
        "judged one place later": _set(judged=_later),
        "the generator reads what it predicts": lambda batch: dataclasses.replace(
            batch, inputs=batch.original
        ),
    },
    _denoising: {
        "the decoder reads the target": lambda batch: dataclasses.replace(
            batch, decoder=batch.targets
        ),
        "the decoder is one place later": _set(decoder=_later),
    },
}
LOSS = {
    _replaced: {"labels inverted": _inverted_labels, "labels by mask position": _labels_by_place}
}
