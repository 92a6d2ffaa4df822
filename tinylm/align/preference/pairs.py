"""Pairs of answers as tokens, and as batches.

A pair is two conversations that differ in their last answer; only tokens of that answer count, so
neither sum nor mean holds a token of the prompt. What cannot teach anything is left out and
counted: pairs whose answers are the same tokens, perhaps only after they were cut to fit the
context, and pairs whose prompt leaves no room for an answer. Read next: tuning.py.
"""

from dataclasses import dataclass, replace

import numpy as np

from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import Encoded, encode_conversation
from tinylm.finetune.instruct.instructions import InstructionBatch, InstructionTuning
from tinylm.pretrain.batch import Batch


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt.

    chosen, rejected  Encoded: prompt and answer, of which the answer counts
    other             Encoded: the same prompt with the answer to another one, for KTO; or None
    reference         (2,) float64, or (3,) with `other`: summed log-probabilities of these answers
                      under the reference policy; None until they are computed
    """

    chosen: Encoded
    rejected: Encoded
    other: Encoded | None = None
    reference: np.ndarray | None = None

    def rows(self):
        """The R conversations: 2, or 3 with `other`."""
        found = [self.chosen, self.rejected]
        if self.other is not None:
            found.append(self.other)
        return found


@dataclass(frozen=True)
class PreferenceBatch(Batch):
    """B pairs, each of R rows: the chosen answer, the rejected one, and the other one if R is 3.

    inputs, targets  (B, R, T); targets are IGNORE outside of answers
    prompt           (B, R) number of tokens before the answer
    mask             (B, R, T) bool, True for tokens; None if no row is padded
    reference        (B, R) summed log-probabilities under the reference; None if there is none
    """

    prompt: np.ndarray = None
    mask: np.ndarray | None = None
    reference: np.ndarray | None = None

    @property
    def tokens(self):
        """What the loss is a mean of: pairs, each of which weighs the same."""
        return len(self)

    def flat(self):
        """All rows one below the other: InstructionBatch of B R rows."""
        T = self.inputs.shape[-1]
        mask = self.mask
        if mask is not None:
            mask = mask.reshape(-1, T)
        rows = (self.inputs.reshape(-1, T), self.targets.reshape(-1, T))  # (B, R, T) -> (B R, T)
        return InstructionBatch(*rows, self.prompt.reshape(-1), mask)


def make_pairs_batch(pairs):
    """A PreferenceBatch of a list of Pair: all with `other` or none, all with a reference or none.

    raises  DataError for a mixture
    """
    widths = {len(pair.rows()) for pair in pairs}
    given = {pair.reference is not None for pair in pairs}
    if len(widths) != 1 or len(given) != 1:
        raise DataError(
            "make_pairs_batch: some pairs have an answer to another prompt or a reference, and "
            "some have not: give all of them to with_others() and with_reference()"
        )
    (R,) = widths
    flat = InstructionTuning().make_batch([row for pair in pairs for row in pair.rows()])
    shape = (len(pairs), R, flat.inputs.shape[-1])
    mask, reference = flat.mask, None
    if mask is not None:
        mask = mask.reshape(shape)
    if given == {True}:
        reference = np.stack([pair.reference for pair in pairs])
    prompt = flat.prompt.reshape(shape[:2])
    arrays = (flat.inputs.reshape(shape), flat.targets.reshape(shape))
    return PreferenceBatch(*arrays, prompt, mask, reference)


@dataclass(frozen=True)
class Left:
    """What became of the preferences that were encoded.

    kept       pairs;  cut  of them with an answer that did not fit and lost its end
    identical  pairs left out because both answers have the same tokens
    no_room    pairs left out because the prompt leaves no token of an answer
    """

    kept: int = 0
    cut: int = 0
    identical: int = 0
    no_room: int = 0

    def report(self):
        """Lines to print; [] if nothing was cut or left out."""
        notes = {
            "answers were cut at the context": self.cut,
            "pairs left out: the answers have the same tokens": self.identical,
            "pairs left out: the prompt leaves no room for an answer": self.no_room,
        }
        return [f"{count:,} {what}" for what, count in notes.items() if count]


def encode_pairs(tokenizer, template, preferences, context=None, begin=None):
    """Preferences as tokens.

    preferences  of data/read/preferences.py
    context      most inputs of the model; longer conversations are cut at their ends
    begin        id put before each, or None
    returns      (list of Pair, Left)
    raises       DataError if the template writes the prompt differently for the two answers
    """
    pairs, counts = [], {"cut": 0, "identical": 0, "no_room": 0}
    for preference in preferences:
        whole = [
            _encoded(tokenizer, template, messages, begin)
            for messages in preference.conversations()
        ]
        chosen, rejected = (_cut(one, context) for one in whole)
        _check_prompt(chosen, rejected, preference)
        if not chosen.answer.any() or not rejected.answer.any():
            counts["no_room"] += 1
        elif np.array_equal(chosen.ids, rejected.ids):
            counts["identical"] += 1
        else:
            counts["cut"] += len(chosen) < len(whole[0]) or len(rejected) < len(whole[1])
            pairs.append(Pair(chosen, rejected))
    return pairs, Left(len(pairs), **counts)


def _encoded(tokenizer, template, messages, begin):
    one = encode_conversation(tokenizer, template, messages, turns="last")
    if begin is None:
        return one
    return Encoded(np.concatenate([[begin], one.ids]), np.concatenate([[False], one.answer]))


def _cut(one, context):
    """An Encoded of at most context + 1 tokens: the last is only a target."""
    if context is None or len(one) <= context + 1:
        return one
    return Encoded(one.ids[: context + 1], one.answer[: context + 1])


def _check_prompt(chosen, rejected, preference):
    n = min(chosen.prompt, rejected.prompt)
    same = chosen.prompt == rejected.prompt or not (chosen.answer.any() and rejected.answer.any())
    if not same or not np.array_equal(chosen.ids[:n], rejected.ids[:n]):
        raise DataError(
            "encode_pairs: the template writes the prompt of the two answers differently: "
            f"{preference.prompt!r:.60}"
        )


def with_others(pairs):
    """Pairs with an answer to another prompt, for KTO's reference point: list of Pair.

    Each prompt gets the chosen answer of the next pair that has another prompt, the last one that
    of the first; the assignment is fixed, so that its reference is computed once.

    raises  DataError if all prompts are the same
    """
    prompts = [tuple(pair.chosen.ids[: pair.chosen.prompt].tolist()) for pair in pairs]
    if len(set(prompts)) < 2:
        raise DataError(
            "with_others: KTO's reference point needs answers to other prompts, and there is only "
            "one prompt"
        )
    found = []
    for i, pair in enumerate(pairs):
        steps = range(1, len(pairs))
        k = next((i + j) % len(pairs) for j in steps if prompts[(i + j) % len(pairs)] != prompts[i])
        answer = pairs[k].chosen
        ids = np.concatenate([pair.chosen.ids[: pair.chosen.prompt], answer.ids[answer.prompt :]])
        found.append(replace(pair, other=Encoded(ids, np.arange(len(ids)) >= pair.chosen.prompt)))
    return found
