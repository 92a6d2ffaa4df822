"""Pairs of answers as batches: the rows of a pair stay together.

A pair is two conversations that differ in their last answer; only tokens of that answer count, so
neither sum nor mean holds a token of the prompt. KTO reads a third row, the prompt with an answer
to another one. Micro-batches and workers get whole pairs, each of which weighs the same. Read
first: ../feedback/pairs.py, which encodes pairs and leaves out those that teach nothing. Read next:
tuning.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinylm.align.feedback.pairs import EncodedPair
from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.finetune.instruct.instructions import InstructionBatch, InstructionTuning
from tinylm.pretrain.batch import Batch


@dataclass(frozen=True)
class EncodedAnswer:
    """One answer that was judged, for KTO.

    answer     Encoded: prompt and answer, of which the answer counts
    desirable  whether it is wanted
    other      Encoded: the same prompt with the answer to another one; None before with_others
    reference  (2,) float64, summed log-probabilities of both under the reference, or None
    """

    answer: Encoded
    desirable: bool
    other: Encoded | None = None
    reference: np.ndarray | None = None


def rows_of(example: EncodedPair | EncodedAnswer) -> list[Encoded]:
    """The R conversations of an example: of a pair 2, or 3 with an answer to another prompt; of a
    judged answer 1 or 2.
    """
    if isinstance(example, EncodedAnswer):
        rows = [example.answer]
    else:
        rows = [example.chosen, example.rejected]
    if example.other is not None:
        rows.append(example.other)
    return rows


@dataclass(frozen=True)
class PreferenceBatch(Batch):
    """B pairs, each of R rows: the chosen answer, the rejected one, and the other one if R is 3.

    Or B judged answers, each of 2 rows: the answer, and the other one.

    inputs, targets  (B, R, T); targets are IGNORE outside of answers
    prompt           (B, R) number of tokens before the answer
    probability      (B,) that the chosen answer is preferred: 1 unless labels are soft; of judged
                     answers, 1 for a desirable one and 0 for another
    mask             (B, R, T) bool, True for tokens; None if no row is padded
    reference        (B, R) summed log-probabilities under the reference; None if there is none
    point            (B,) KTO's reference point of the whole batch, in every row; None: it is that
                     of the rows at hand
    """

    prompt: np.ndarray = None
    probability: np.ndarray = None
    mask: np.ndarray | None = None
    reference: np.ndarray | None = None
    point: np.ndarray | None = None

    @property
    def tokens(self) -> int:
        """What the loss is a mean of: pairs, each of which weighs the same."""
        return len(self)

    def answers(self, first: int, last: int | None) -> "PreferenceBatch":
        """Rows first .. last-1 of the R rows of every pair, as a PreferenceBatch."""
        names = ("inputs", "targets", "prompt", "mask", "reference")
        held = {name: getattr(self, name) for name in names}
        cut = {name: a[:, first:last] for name, a in held.items() if a is not None}
        return replace(self, **cut)

    def flat(self) -> InstructionBatch:
        """All rows one below the other: InstructionBatch of B R rows."""
        T = self.inputs.shape[-1]
        mask = self.mask
        if mask is not None:
            mask = mask.reshape(-1, T)
        rows = (self.inputs.reshape(-1, T), self.targets.reshape(-1, T))  # (B, R, T) -> (B R, T)
        return InstructionBatch(*rows, self.prompt.reshape(-1), mask)


def make_pairs_batch(pairs: Sequence) -> PreferenceBatch:
    """A PreferenceBatch of EncodedPairs: all with `other` or none, all with a reference or none.

    raises  DataError for a mixture
    """
    widths = {len(rows_of(pair)) for pair in pairs}
    given = {pair.reference is not None for pair in pairs}
    if len(widths) != 1 or len(given) != 1:
        raise DataError(
            "make_pairs_batch: some pairs have an answer to another prompt or a reference, and "
            "some have not: give all of them to with_others() and with_reference()"
        )
    (R,) = widths
    flat = InstructionTuning().make_batch([row for pair in pairs for row in rows_of(pair)])
    shape = (len(pairs), R, flat.inputs.shape[-1])
    mask, reference = flat.mask, None
    if mask is not None:
        mask = mask.reshape(shape)
    if given == {True}:
        reference = np.stack([pair.reference for pair in pairs])
    prompt = flat.prompt.reshape(shape[:2])
    arrays = (flat.inputs.reshape(shape), flat.targets.reshape(shape))
    probability = np.array([_probability(pair) for pair in pairs], np.float64)
    return PreferenceBatch(*arrays, prompt, probability, mask, reference)


def _probability(example):
    if isinstance(example, EncodedAnswer):
        return example.desirable
    return example.probability


def with_others(pairs: Sequence, limit: int | None = None) -> list:
    """Pairs with an answer to another prompt, for KTO's reference point: list.

    pairs    EncodedPairs, or EncodedAnswers
    limit    most tokens of a text, as when they were encoded: what is longer is cut at its end;
             None: any number. A long prompt and a long answer, each within it, may not be together

    Each prompt gets the (chosen) answer of the next pair that has another prompt, the last one that
    of the first; the assignment is fixed, so that its reference is computed once.

    raises  DataError if all prompts are the same, or the limit leaves no token of an answer
    """
    answers = [rows_of(pair)[0] for pair in pairs]
    prompts = [tuple(one.ids[: one.prompt].tolist()) for one in answers]
    if len(set(prompts)) < 2:
        raise DataError(
            "with_others: KTO's reference point needs answers to other prompts, and there is only "
            "one prompt"
        )
    found = []
    for i, pair in enumerate(pairs):
        steps = range(1, len(pairs))
        k = next((i + j) % len(pairs) for j in steps if prompts[(i + j) % len(pairs)] != prompts[i])
        n = answers[i].prompt
        if limit is not None and n >= limit:
            raise DataError(
                f"with_others: the prompt of pair {i} has {n} tokens, and a text has {limit} at "
                "most: leave it out"
            )
        ids = np.concatenate([answers[i].ids[:n], answers[k].ids[answers[k].prompt :]])[:limit]
        found.append(replace(pair, other=Encoded(ids, np.arange(len(ids)) >= n)))
    return found
