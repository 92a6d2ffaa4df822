"""Context distillation: the effect of a prompt, learned into weights   (book section 3.3.2.1, Fig.
3.4, eq. 3.13)

The teacher reads the context c and the question z; the student reads a short c', or nothing, and z.
Over D' = {(c, c', z)}

    theta^ = argmin over theta of sum Loss(Pr^t(. | c, z), Pr^s_theta(. | c', z))

No gold answers are needed, the teacher gives them. With kl() the loss is that of eq. 3.16 along the
answers in the examples, which were drawn from the teacher (sequence_distillation.py). The student
may be a language model, or one of the compressors that replace c by vectors (gist.py,
soft_context.py, auto_compressor.py), each with its own read(). Papers: Askell et al. 2021;
Snell et al. 2022. Read next: sequence_distillation.py.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.backend import Random, device_of, to_cpu, to_device
from tinylm.finetune.context import contexts
from tinylm.finetune.context.contexts import ContextBatch, ContextExample, read, read_context
from tinylm.finetune.divergence import kl
from tinylm.generate.sample import greedy
from tinylm.models.decoder.gpt import GPT
from tinylm.nn.module import Module
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.score import score


class AnswerLikelihood:
    """The task of -log Pr(y | c', z) by the student, the mean over tokens of y.

    With gold answers it is supervised fine-tuning; with the teacher's best answers it is eq. 3.15
    (and eq. 3.24 for a soft context), with answers drawn from the teacher an unbiased estimate of
    eq. 3.14.
    """

    def make_batch(self, examples: Sequence, rng: Random | None = None) -> Any:
        """A list of ContextExample as a ContextBatch."""
        return contexts.make_batch(examples)

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy of the answers, in nats; returns (Tensor (), {"tokens", "loss"})."""
        return score(read(model, batch), batch.targets)

    def predict(self, model: Module, batch: Any) -> list:
        """Greedy answers: B lists of n integers, n the longest target."""
        n = batch.targets.shape[1]
        answers = np.zeros_like(batch.targets)
        with no_grad():
            for j in range(n):  # all again for each token: a compressor's read() has no cache
                logits = read(model, dataclasses.replace(batch, targets=answers[:, : j + 1]))
                best = greedy(to_cpu(logits.data[:, -1]))  # (B, V) -> (B,)
                answers[:, j] = to_device(best, device_of(answers))
        return to_cpu(answers).tolist()

    def measure(self, answers: Sequence, examples: Sequence) -> dict[str, float]:
        """Shares of equal answers ("exact") and of equal tokens ("agreement"), a dict."""
        same = []  # a list of bool for every example, as long as its target
        for answer, e in zip(answers, examples):
            same.append([a == b for a, b in zip(e.answer, answer)])
        exact = np.mean([all(row) for row in same])
        agreement = np.mean([token for row in same for token in row])
        return {"exact": float(exact), "agreement": float(agreement)}


class ContextDistillation(AnswerLikelihood):
    """The task of the distribution of a teacher with the context   (book eqs. 3.13, 3.16-3.18).

    teacher     GPT, run without gradients and without dropout; None if every example carries the
                teacher's logits
    divergence  (teacher logits, student logits, mask=) -> Tensor: kl, reverse_kl
    """

    def __init__(self, teacher: GPT | None = None, divergence: Callable = kl) -> None:
        self.teacher, self.divergence = teacher, divergence

    def loss(self, model: Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        """Mean divergence over tokens of answers; returns (Tensor (), {"tokens", "loss"})."""
        if batch.teacher is not None:
            expected = Tensor(batch.teacher)  # (B, n, V), computed in advance
        else:
            expected = teacher_logits(self.teacher, batch)
        loss = self.divergence(expected, read(model, batch), mask=batch.targets != IGNORE)
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}


def teacher_logits(teacher: GPT, batch: ContextBatch) -> Tensor:
    """Logits of a teacher that reads the whole context: Tensor (B, n, V), no graph, dropout off."""
    training = teacher.training
    if training:
        teacher.eval()
    try:
        with no_grad():
            return read_context(teacher, batch)
    finally:
        if training:
            teacher.train()


def remember_teacher(
    teacher: GPT, examples: Sequence, batch_size: int = 64
) -> list[ContextExample]:
    """Run the teacher once over the examples instead of in every epoch.

    returns  the examples, each with the teacher's logits (len(answer), V) at its answer: V numbers
             of memory per token
    """
    remembered, device = [], device_of(teacher.parameters()[0].data)
    for start in range(0, len(examples), batch_size):
        part = examples[start : start + batch_size]
        batch = contexts.make_batch(part).to(device)
        logits = to_cpu(teacher_logits(teacher, batch).data)  # (B, n, V)
        for e, row in zip(part, logits):
            own = row[: len(e.answer)].copy()  # a copy, so that the batch's array is freed
            remembered.append(dataclasses.replace(e, teacher=own))
    return remembered
