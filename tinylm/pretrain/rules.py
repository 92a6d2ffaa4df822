"""What every objective should make of a text, in loops and without the code of the objectives.

A rule takes an objective's name, a model and the batch that was made from TEXT. It returns what is
wrong with the batch ("" if nothing is) and the loss that the objective should have on it, computed
from the model's log-probabilities token by token. Read next: mutants.py, the objectives with one
error, which these rules reject.
"""

import numpy as np

from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.cases import MORE, SPECIAL

# No two neighbors alike, and no row the reverse or the rotation of itself: every shift is visible.
TEXT = np.array([[0, 1, 2, 3, 1, 0, 2, 1, 3, 2], [3, 1, 3, 0, 2, 1, 2, 0, 1, 3]])
SENTENCES = [(row[:4], row[4:]) for row in TEXT]  # for objectives on pairs of translations
GIVEN = dict(MORE, corpus=np.tile(TEXT.reshape(-1), 2))  # longer than a row, for negatives
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
MASKED = "masked", "whole-word", "spans", "translation", "code-switching"
PAIRS = "next-sentence", "sentence-order", "bert"
HIDDEN = "mass", "bert-style"  # a decoder predicts the hidden tokens alone
REST = "prefix-seq2seq", "sentinels", "ul2"  # a decoder writes what the source lacks


# What each kind of objective should do: (name, model, batch) -> (fault of the batch, loss)


def _causal(name, model, batch):
    for row, inputs, targets in zip(TEXT, batch.inputs, batch.targets):
        for t in range(len(row) - 1):
            if inputs[t] != row[t] or targets[t] != row[t + 1]:
                return f"at place {t} the input or the target is another token", 0
    log_p = _log_p(model(batch.inputs))
    return "", -np.mean([log_p[b, t, TEXT[b, t + 1]] for b, t in np.ndindex(2, 9)])


def _masked(name, model, batch):
    """Counted tokens are targets, the others are read unchanged; [CLS] and [SEP] never count."""
    text = _text(name)
    counted = []
    for b, row in enumerate(text):
        for t, token in enumerate(row):
            counts = batch.targets[b, t] != IGNORE
            shown = batch.targets[b, t] if counts else batch.inputs[b, t]
            if counts and token in (SPECIAL.cls, SPECIAL.sep):
                return "a mark is predicted", 0
            if shown != token and not (name == "code-switching" and _translated(shown, token)):
                return "a target, or a token that is not predicted, is another token", 0
            if counts:
                counted.append((b, t, shown))
    if not counted:
        return "nothing is predicted", 0
    if name == "translation" and not np.array_equal(batch.languages, _second_part(text)):
        return "the language does not change after the first [SEP]", 0
    log_p = _log_p(model(batch.inputs))
    return "", -np.mean([log_p[place] for place in counted])


def _text(name):
    """What an encoder reads before anything is hidden: [CLS] text, or [CLS] a [SEP] b [SEP]."""
    if name != "translation":
        return _with_cls()
    marks = [SPECIAL.cls], [SPECIAL.sep]
    return np.array([[*marks[0], *a, *marks[1], *b, *marks[1]] for a, b in SENTENCES])


def _second_part(text):
    """1 after the first [SEP] of a row, else 0."""
    return [[int(SPECIAL.sep in row[:t]) for t in range(len(row))] for row in text.tolist()]


def _translated(shown, token):
    """GIVEN's dictionary has 3 for 0 and 1, and nothing for the others."""
    return token in (0, 1) and shown == 3


def _prefix(name, model, batch):
    """Rows are shifted; the k tokens of a prefix are seen by all and none of them is a target."""
    log_p, losses = _log_p(model(batch.inputs)), []
    for b, row in enumerate(TEXT):
        T = len(row) - 1
        counted = np.flatnonzero(batch.targets[b] != IGNORE)
        if batch.inputs[b].tolist() != row[:-1].tolist() or not len(counted):
            return "the inputs are not the row without its last token, or nothing is predicted", 0
        k = counted[0] + 1  # the first target is x_k
        if counted.tolist() != list(range(k - 1, T)):
            return "not every token after the prefix is predicted", 0
        for i, j in np.ndindex(T, T):
            if batch.mask[b, i, j] != (j < k or j <= i):
                return f"place {i} should see place {j} only in the prefix or before it", 0
        for t in counted:
            if batch.targets[b, t] != row[t + 1]:
                return "a target is not the next token", 0
            losses.append(-log_p[b, t, row[t + 1]])
    return "", np.mean(losses)


def _fill_in_middle(name, model, batch):
    """A row is the text, or its three parts with marks before them and the middle last."""
    log_p, losses = _log_p(model(batch.inputs)), []
    for b, row in enumerate(TEXT.tolist()):
        seen = [*batch.inputs[b].tolist(), int(batch.targets[b, -1])]
        if batch.targets[b].tolist() != seen[1:]:
            return "a target is not the next token", 0
        if seen != row and _parts_in_order(seen) != row[: len(row) - 4]:
            return "the parts do not make the text", 0  # 4: three marks and the end
        losses += [-log_p[b, t, seen[t + 1]] for t in range(len(row) - 1)]
    return "", np.mean(losses)


def _parts_in_order(seen):
    """The text of [PRE] a [SUF] c [MID] b </s> or [PRE] [SUF] c [MID] a b </s>; None for others."""
    marks = [SPECIAL.prefix, SPECIAL.suffix, SPECIAL.middle, SPECIAL.end]
    if [token for token in seen if token in marks] != marks:
        return None
    pre, suf, mid, end = (seen.index(mark) for mark in marks)
    if pre or end != len(seen) - 1:
        return None
    return seen[1:suf] + seen[mid + 1 : end] + seen[suf + 1 : mid]


def _multi_token(name, model, batch):
    """targets[i, k] = x_{i+1+k}, as far as the row goes."""
    log_p, losses = _log_p(model(batch.inputs)), []  # (B, T, 4, V)
    for b, row in enumerate(TEXT):
        if batch.inputs[b].tolist() != row[:-1].tolist():
            return "the inputs are not the row without its last token", 0
        for i, k in np.ndindex(len(row) - 1, 4):
            there = i + 1 + k < len(row)
            if batch.targets[b, i, k] != (row[i + 1 + k] if there else IGNORE):
                return f"target {k} at place {i} is another token", 0
            if there:
                losses.append(-log_p[b, i, k, row[i + 1 + k]])
    return "", np.mean(losses)


def _span_boundary(name, model, batch):
    """Masked LM, and each masked token from the tokens around its run and its place in the run."""
    wrong, masked = _masked("spans", model, batch)
    if wrong:
        return wrong, 0
    chosen = batch.targets != IGNORE
    for b, t in zip(*np.nonzero(chosen)):
        before, after = t, t
        while chosen[b, before] and before:
            before -= 1
        while chosen[b, after] and after < chosen.shape[1] - 1:
            after += 1
        found = batch.before[b, t], batch.after[b, t], batch.place[b, t]
        if found != (before, after, t - before - 1):
            return "the tokens around a run, or a place in it, are others", 0
    h = model.hidden(batch.inputs)
    around = batch.before, batch.after, batch.place
    log_p = _log_p(model.boundary(h, *around, model.tokens.weight))
    return "", masked - np.mean(
        [log_p[b, t, _with_cls()[b, t]] for b, t in zip(*np.nonzero(chosen))]
    )


def _permuted(name, model, batch):
    """Every token but [CLS] is predicted; an order is a permutation that begins with [CLS]."""
    for order in batch.order.tolist():
        if order[0] != 0 or sorted(order) != list(range(len(order))):
            return "an order is no permutation that begins with the first token", 0
    if not np.array_equal(batch.inputs, _with_cls()):
        return "the model reads another text", 0
    if (batch.targets[:, 0] != IGNORE).any() or not np.array_equal(batch.targets[:, 1:], TEXT):
        return "not every token but the first is predicted", 0
    log_p = _log_p(model(batch.inputs))
    return "", -np.mean([log_p[b, t + 1, TEXT[b, t]] for b, t in np.ndindex(TEXT.shape)])


def _hidden(name, model, batch):
    """The source has [MASK] where a token is predicted; the decoder reads [MASK] elsewhere."""
    log_p, losses = _log_p(model(batch.inputs, batch.decoder, source_mask=batch.mask)), []
    for b, row in enumerate(TEXT.tolist()):
        counted = np.flatnonzero(batch.targets[b] != IGNORE).tolist()
        run = counted == list(range(counted[0], counted[-1] + 1))
        # Of ten tokens MASS takes a run of five, BERT-style training 15 %: one or two.
        if name == "mass" and not (run and len(counted) == 5) or len(counted) > 5:
            return "other tokens are predicted than one run of half the row", 0
        if name == "bert-style" and len(counted) > 2:
            return "more tokens are predicted than 15 %", 0
        source = [SPECIAL.mask if t in counted else token for t, token in enumerate(row)]
        if batch.inputs[b].tolist() != [SPECIAL.cls, *source]:
            return "the source is not the text with [MASK] where a token is predicted", 0
        read = [token if t in counted else SPECIAL.mask for t, token in enumerate(row)]
        if batch.decoder[b].tolist() != [SPECIAL.start, *read[:-1]]:
            return "the decoder does not read the targets one place to the right", 0
        for t in counted:
            if batch.targets[b, t] != row[t]:
                return "a target is not the token of the text", 0
            losses.append(-log_p[b, t, row[t]])
    return "", np.mean(losses)


def _rest(name, model, batch):
    """Source and target together are the text: a prefix and the rest, or spans behind sentinels."""
    log_p, losses = _log_p(model(batch.inputs, batch.decoder, source_mask=batch.mask)), []
    for b, row in enumerate(TEXT.tolist()):
        source = [t for t in batch.inputs[b].tolist() if t != SPECIAL.pad]
        target = [t for t in batch.targets[b].tolist() if t != IGNORE]
        if source[0] != SPECIAL.cls or target[-1] != SPECIAL.end:
            return "the source does not begin with [CLS], or the target does not end in </s>", 0
        if batch.decoder[b, : len(target)].tolist() != [SPECIAL.start, *target[:-1]]:
            return "the decoder does not read the targets one place to the right", 0
        if _joined(name, source[1:], target[:-1]) != row:
            return "source and target do not make the text", 0
        losses += [-log_p[b, t, token] for t, token in enumerate(target)]
    return "", np.mean(losses)


def _joined(name, source, target):
    """The text of a source and its target; None if they break the form of the objective."""
    if name == "prefix-seq2seq":
        return source + target if source and target else None
    sentinels, sequential = list(SPECIAL.sentinels), False
    if name == "ul2":  # a mode comes first; the second mode is that of a prefix
        sequential = source[0] == SPECIAL.others[1]
        if source[0] not in SPECIAL.others[:3]:
            return None
        source = source[1:]
    marks = [token for token in source if token in sentinels]
    closing = [] if sequential else sentinels[len(marks) : len(marks) + 1]
    in_target = [token for token in target if token in sentinels]
    if marks != sentinels[: len(marks)] or in_target != marks + closing:
        return None  # numbered in order; the target ends in one more, except after a prefix
    spans = {}
    for token in target[: len(target) - len(closing)]:
        if token in sentinels:
            spans[token] = []
            last = token
        else:
            spans[last].append(token)
    if sequential and source[-1] != sentinels[0]:
        return None
    return [t for token in source for t in spans.get(token, [token])]


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


def _log_p(logits):
    z = logits.data
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def _with_cls():
    return np.concatenate([np.full((2, 1), SPECIAL.cls), TEXT], axis=1)


RULES = {
    "causal": _causal,
    "prefix": _prefix,
    "fim": _fill_in_middle,
    "multi-token": _multi_token,
    "span-boundary": _span_boundary,
    "permuted": _permuted,
    "replaced": _replaced,
    "contrastive": _contrastive,
}
for _names, _found in (
    (MASKED, _masked),
    (PAIRS, _pairs),
    (HIDDEN, _hidden),
    (REST, _rest),
    (DENOISERS, _denoising),
):
    RULES |= dict.fromkeys(_names, _found)
