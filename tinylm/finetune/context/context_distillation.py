"""Context distillation: what a prompt does, put into weights   (book section 3.3.2.1, Fig. 3.4, eq.
3.13)

The teacher reads the context c and the question z; the student reads a short c', or nothing, and z.
Over D' = {(c, c', z)}

    theta^ = argmin over theta of sum Loss(Pr^t(. | c, z), Pr^s_theta(. | c', z))

Nobody has to know the right answers: the teacher is asked. With kl() the loss is that of eq. 3.16,
along answers that are in the examples: those the teacher has drawn (sequence_distillation.py). The
student may be a language model, or one of the compressors that put vectors in the place of c
(gist.py, soft_context.py, auto_compressor.py): each has a way to read. Papers: Askell et al. 2021;
Snell et al. 2022. Read next: sequence_distillation.py.
"""

import dataclasses

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.backend import device_of, to_cpu, to_device
from tinylm.finetune.context import contexts
from tinylm.finetune.context.contexts import read, read_context
from tinylm.finetune.divergence import kl
from tinylm.generate.sample import greedy
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.score import score


class AnswerLikelihood:
    """The task of saying an answer: -log Pr(y | what the student reads), the mean over tokens of y.

    With gold answers it is supervised fine-tuning; with the teacher's best answers it is eq. 3.15
    (and eq. 3.24 for a soft context), with answers drawn from the teacher an unbiased estimate of
    eq. 3.14.
    """

    def make_batch(self, examples, rng=None):
        """A list of ContextExample as a ContextBatch."""
        return contexts.make_batch(examples)

    def loss(self, model, batch):
        """Mean cross-entropy of the answers, in nats; returns (Tensor (), {"tokens", "loss"})."""
        return score(read(model, batch), batch.targets)

    def predict(self, model, batch):
        """The answer that takes the most probable token each time: B lists of n integers, n as in
        the longest target.
        """
        n = batch.targets.shape[1]
        said = np.zeros_like(batch.targets)
        with no_grad():
            for j in range(n):  # no cache: a compressor's way to read is its own
                logits = read(model, dataclasses.replace(batch, targets=said[:, : j + 1]))
                said[:, j] = to_device(greedy(to_cpu(logits.data[:, -1])), device_of(said))
        return to_cpu(said).tolist()

    def measure(self, answers, examples):
        """{"exact": share of answers that agree in every token, "agreement": share of tokens that
        agree}.
        """
        same = [[a == b for a, b in zip(e.answer, answer)] for answer, e in zip(answers, examples)]
        return {
            "exact": float(np.mean([all(row) for row in same])),
            "agreement": float(np.mean(sum(same, []))),
        }


class ContextDistillation(AnswerLikelihood):
    """The task of saying what a teacher with the context would say   (book eqs. 3.13, 3.16-3.18).

    teacher     GPT, run without gradients and without dropout; None if every example carries the
                teacher's logits
    divergence  (teacher logits, student logits, mask=) -> Tensor: kl, reverse_kl
    """

    def __init__(self, teacher=None, divergence=kl):
        self.teacher, self.divergence = teacher, divergence

    def loss(self, model, batch):
        """Mean divergence over the tokens of the answers; returns (Tensor (), {"tokens", "loss"})."""
        if batch.teacher is not None:
            said = Tensor(batch.teacher)
        else:
            said = teacher_logits(self.teacher, batch)
        loss = self.divergence(said, read(model, batch), mask=batch.targets != IGNORE)
        return loss, {"tokens": batch.tokens, "loss": float(loss.item())}


def teacher_logits(teacher, batch):
    """Logits of a teacher that reads the whole context: Tensor (B, n, V), nothing recorded, dropout
    off.
    """
    training = teacher.training
    if training:
        teacher.eval()
    try:
        with no_grad():
            return read_context(teacher, batch)
    finally:
        if training:
            teacher.train()


def remember_teacher(teacher, examples, batch_size=64):
    """Run the teacher once over the examples, instead of in every epoch.

    returns  the examples, each with the teacher's logits (len(answer), V) at its answer; memory V
             numbers per token
    """
    remembered, device = [], device_of(teacher.parameters()[0].data)
    for start in range(0, len(examples), batch_size):
        some = examples[start : start + batch_size]
        logits = to_cpu(
            teacher_logits(teacher, contexts.make_batch(some).to(device)).data
        )  # (B, n, V)
        remembered += [
            dataclasses.replace(e, teacher=row[: len(e.answer)].copy())
            for e, row in zip(some, logits)
        ]
    return remembered
