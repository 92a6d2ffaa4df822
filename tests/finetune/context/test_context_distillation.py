"""Context distillation: nothing to learn where nothing differs, no gradient for the teacher, and a
student that learns.
"""

import dataclasses

import numpy as np
import pytest

from tests.finetune.context.tiny_contexts import BATCH, EXAMPLES, V, gpt
from tinylm.finetune import evaluate, fit
from tinylm.finetune.context.context_distillation import (
    AnswerLikelihood,
    ContextDistillation,
    remember_teacher,
    teacher_logits,
)
from tinylm.finetune.context.contexts import ContextExample, make_batch, read_context, read_short
from tinylm.finetune.context.sequence_distillation import hard_targets
from tinylm.finetune.divergence import kl, reverse_kl
from tinylm.pretrain.batch import IGNORE

SAME = [dataclasses.replace(e, short=e.context) for e in EXAMPLES]


def gradient(model, task, batch):
    """The loss, and the largest entry of any parameter's gradient."""
    model.zero_grad()
    loss, metrics = task.loss(model, batch)
    loss.backward()
    return metrics["loss"], max(
        np.abs(p.grad.data).max() for p in model.parameters() if p.grad is not None
    )


@pytest.mark.parametrize("divergence", [kl, reverse_kl])
def test_a_student_equal_to_its_teacher_with_the_same_context_has_nothing_to_learn(divergence):
    loss, steepest = gradient(gpt(), ContextDistillation(gpt(), divergence), make_batch(SAME))
    assert loss == pytest.approx(0, abs=1e-12) and steepest < 1e-10  # rounding
    loss, steepest = gradient(gpt(), ContextDistillation(gpt(), divergence), BATCH)
    assert loss > 1e-3 and steepest > 1e-3  # with another context there is


def test_the_teacher_gets_no_gradient_and_keeps_its_mode():
    teacher = gpt(dropout=0.5).train()
    gradient(gpt(1), ContextDistillation(teacher), BATCH)
    assert all(p.grad is None for p in teacher.parameters()) and teacher.training
    np.testing.assert_array_equal(
        teacher_logits(teacher, BATCH).data, read_context(teacher.eval(), BATCH).data
    )


def test_the_loss_is_the_mean_divergence_over_tokens_of_answers():
    teacher, student = gpt(), gpt(1)
    t, s = read_context(teacher, BATCH), read_short(student, BATCH)
    by_hand = [kl(t[b, j], s[b, j]).item() for b, j in zip(*np.nonzero(BATCH.targets != IGNORE))]
    loss, metrics = ContextDistillation(teacher).loss(student, BATCH)
    assert loss.item() == pytest.approx(np.mean(by_hand), rel=1e-12) and metrics["tokens"] == 6


def test_a_remembered_teacher_says_the_same():
    teacher, student = gpt(), gpt(1)
    remembered = make_batch(
        remember_teacher(teacher, EXAMPLES, batch_size=2)
    )  # in two batches of other widths
    assert remembered.teacher.shape == (3, 3, V)
    now, then = (
        ContextDistillation(t).loss(student, b)[0].item()
        for t, b in ((teacher, BATCH), (None, remembered))
    )
    assert then == pytest.approx(now, rel=1e-12)


def test_answers_are_those_of_greedy_decoding():
    model = gpt()
    said = hard_targets(model, SAME, 3)  # greedy, by the decoder of generate/
    longest = make_batch(said)
    assert AnswerLikelihood().predict(model, longest) == [list(e.answer) for e in said]
    assert evaluate(model, AnswerLikelihood(), said) == {"exact": 1.0, "agreement": 1.0}


def test_agreement_counts_tokens_and_exact_counts_answers():
    measured = AnswerLikelihood().measure([[5, 3, 0], [6, 9, 9], [1, 2, 4]], EXAMPLES)
    assert measured == {
        "exact": pytest.approx(2 / 3),
        "agreement": pytest.approx(5 / 6),
    }  # one of 6 tokens differs


def test_distillation_brings_a_student_without_the_context_near_the_teacher_with_it():
    teacher, context, rng = gpt(), (3, 1, 4, 1, 5), np.random.default_rng(0)
    questions = [
        ContextExample(context, tuple(rng.integers(0, V, int(rng.integers(1, 4)))))
        for _ in range(24)
    ]
    examples = remember_teacher(teacher, hard_targets(teacher, questions, 2))
    task, student = ContextDistillation(), gpt()
    before, _ = gradient(student, task, make_batch(examples))
    fit(student, task, examples, steps=60, batch_size=8, learning_rate=1e-2)
    after, _ = gradient(student, task, make_batch(examples))
    assert after < before / 10  # 1.13 before, 0.006 after
