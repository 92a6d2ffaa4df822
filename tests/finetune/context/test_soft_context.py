"""Soft contexts: the embeddings of the context are the context, and fewer vectors are learnt."""

import dataclasses

import numpy as np
import pytest

from tests.finetune.context.tiny_contexts import EXAMPLES, V, assert_padding_changes_nothing, gpt
from tinylm.errors import ConfigError
from tinylm.finetune.context.context_distillation import (
    AnswerLikelihood,
    ContextDistillation,
    remember_teacher,
)
from tinylm.finetune.context.contexts import ContextExample, make_batch, read_context
from tinylm.finetune.context.soft_context import (
    SoftContext,
    compress_context,
    random_context,
    token_context,
)

CONTEXT = (3, 1, 4, 1, 5)
SAME = make_batch([dataclasses.replace(e, context=CONTEXT) for e in EXAMPLES])


@pytest.mark.parametrize(
    "changes",
    [{}, {"positions": "rope", "norm": "rms"}, {"embedding_norm": True, "embedding_scale": 2.0}],
)
def test_the_embeddings_of_all_its_tokens_are_the_context(changes):
    model = gpt(**changes)
    soft = SoftContext(model, token_context(model, CONTEXT))
    np.testing.assert_allclose(
        soft.read(SAME).data, read_context(model, SAME).data, rtol=0, atol=1e-13
    )
    loss, _ = ContextDistillation(model).loss(soft, SAME)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-13) and np.abs(soft.sigma.grad.data).max() < 1e-12


def test_rows_of_different_lengths_give_what_they_give_alone():
    model = gpt()
    assert_padding_changes_nothing(
        lambda soft, batch: soft.read(batch), SoftContext(model, random_context(model, 2))
    )


def test_random_vectors_are_spread_as_embeddings_are():
    model = gpt(vocab_size=50)
    found, table = random_context(model, 5000), model.tokens.weight.data
    # 5000 draws: mean and deviation are within five of their standard errors, 1/sqrt(5000) and
    # 1/sqrt(10000) of a deviation
    np.testing.assert_allclose(
        found.mean(0), table.mean(0), atol=5 * table.std(0).max() / 5000**0.5
    )
    np.testing.assert_allclose(found.std(0), table.std(0), rtol=5 / 10000**0.5)


@pytest.mark.parametrize("task", [ContextDistillation(), AnswerLikelihood()])
def test_descent_lowers_the_loss_of_sigma_and_leaves_the_model_as_it_was(task):
    model, rng = gpt(), np.random.default_rng(0)
    asked = [
        ContextExample(CONTEXT, tuple(rng.integers(0, V, 2)), (int(rng.integers(V)),))
        for _ in range(16)
    ]
    examples, before = remember_teacher(model, asked), model.state_dict()
    start = task.loss(SoftContext(model, random_context(model, 2)), make_batch(examples))[0].item()
    soft = compress_context(model, task, examples, 2, steps=40, learning_rate=0.05)
    assert task.loss(soft, make_batch(examples))[0].item() < start
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())
    assert soft.sigma.shape == (2, 8) and all(
        p.requires_grad for p in model.parameters()
    )  # thawed again


def test_another_model_may_be_the_teacher():
    teacher, student = gpt(), gpt(5, n_layer=1, d_model=4)
    soft = compress_context(
        student,
        ContextDistillation(teacher),
        [dataclasses.replace(e, context=CONTEXT) for e in EXAMPLES],
        3,
        steps=2,
    )
    assert soft.sigma.shape == (3, 4)  # of the student's width


def test_contexts_that_differ_and_vectors_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="share one context"):
        compress_context(gpt(), AnswerLikelihood(), EXAMPLES, 2)
    with pytest.raises(ConfigError, match=r"\(2, 5\), needs \(kappa, 8\)"):
        SoftContext(gpt(), np.zeros((2, 5)))
    for shape in ((8,), (0, 8), (1, 2, 8)):
        with pytest.raises(ConfigError, match="kappa >= 1"):
            SoftContext(gpt(), np.zeros(shape))
    assert SoftContext(gpt(), np.zeros((1, 8))).sigma.shape == (1, 8)


def test_vectors_without_a_slope_stay_where_they_began():
    # no decay pulls sigma to 0, where no token's embedding lies
    class Flat(AnswerLikelihood):
        def loss(self, model, batch):
            return (model.sigma * 0.0).sum(), {"tokens": 1, "loss": 0.0}

    model, same = gpt(), [dataclasses.replace(e, context=CONTEXT) for e in EXAMPLES]
    soft = compress_context(model, Flat(), same, 2, seed=3, steps=5, learning_rate=0.1)
    np.testing.assert_array_equal(soft.sigma.data, random_context(model, 2, seed=3))
