"""The loss of supervised fine-tuning on log-probabilities of tokens."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import examples, model
from tinylm.align.supervised import sft_loss
from tinylm.autograd import Tensor, grad, log_softmax
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.pretrain.batch import IGNORE

# Two answers, of one token and of three; one position of each row is a question's.
LOGP = np.log([[0.9, 0.5, 0.8, 0.8], [0.9, 0.25, 0.5, 0.125]])
COUNTED = np.array([[0, 1, 0, 0], [0, 1, 1, 1]], bool)
BITS = np.log(2)  # the counted terms are 1, and 2 + 1 + 3 of these


def loss(*arguments, **options):
    return sft_loss(Tensor(LOGP), COUNTED, *arguments, **options).item()


def test_tokens_weigh_alike_or_sequences_do():
    assert loss() == pytest.approx(BITS * (1 + 2 + 1 + 3) / 4)
    assert loss("sequence") == pytest.approx(BITS * (1 / 1 + (2 + 1 + 3) / 3) / 2)
    assert loss("fixed", total=10) == pytest.approx(BITS * 7 / 10)


def test_parts_of_a_batch_that_share_its_count_add_up():
    for aggregation, total in (("token", 4), ("sequence", 2), ("fixed", 10)):
        parts = [
            sft_loss(Tensor(LOGP[i : i + 1]), COUNTED[i : i + 1], aggregation, total).item()
            for i in range(2)
        ]
        assert sum(parts) == pytest.approx(loss(aggregation, total=total))
    # each part by its own count would be another loss: (1 + 2) / 2 against 7 / 4
    own = [sft_loss(Tensor(LOGP[i : i + 1]), COUNTED[i : i + 1]).item() for i in range(2)]
    assert np.mean(own) == pytest.approx(1.5 * BITS) and loss() == pytest.approx(1.75 * BITS)


def test_the_gradient_at_the_logits_is_softmax_minus_one_hot_where_a_target_counts():
    rng = np.random.default_rng(0)
    logits = Tensor(rng.normal(size=(2, 4, 5)), requires_grad=True)
    targets = rng.integers(5, size=(2, 4))
    one_hot = np.eye(5)[targets]
    logp = (log_softmax(logits) * one_hot).sum(axis=-1)  # (B, T)
    (g,) = grad(sft_loss(logp, COUNTED), [logits])
    p = np.exp(logits.data) / np.exp(logits.data).sum(axis=-1, keepdims=True)
    expected = (p - one_hot) * COUNTED[..., None] / COUNTED.sum()
    np.testing.assert_allclose(g.data, expected, atol=1e-15)
    assert (g.data[~COUNTED] == 0).all()  # exactly


def test_it_is_the_loss_of_the_task_that_trains():
    m, task = model(), InstructionTuning()
    batch = task.make_batch(examples())
    counted = batch.targets != IGNORE
    logp = log_softmax(m(batch.inputs))
    B, T, V = logp.shape
    one_hot = np.eye(V)[np.where(counted, batch.targets, 0)]
    ours = sft_loss((logp * one_hot).sum(axis=-1), counted)
    assert ours.item() == pytest.approx(task.loss(m, batch)[0].item(), rel=1e-13)


def test_minus_infinity_where_nothing_counts_is_no_loss():
    logp = np.where(COUNTED, LOGP, -np.inf)
    assert sft_loss(Tensor(logp), COUNTED).item() == pytest.approx(1.75 * BITS)


def test_wrong_arguments_are_refused():
    with pytest.raises(ConfigError, match="token, sequence, fixed"):
        loss("mean")
    with pytest.raises(ConfigError, match="give total="):
        loss("fixed")
    with pytest.raises(DataError, match="no token counts"):
        sft_loss(Tensor(LOGP), np.zeros((2, 4), bool))


def wrong_versions():
    """Losses with one planted error each, and their names."""
    logp, n = LOGP, COUNTED.sum()
    yield "masked numerator over all positions", -(logp * COUNTED).sum() / logp.size
    yield "mean over the padded length", -((logp * COUNTED).sum(axis=1) / 4).mean()
    yield "questions count", -logp.mean()
    yield "sign", (logp * COUNTED).sum() / n
    yield "sum for mean", -(logp * COUNTED).sum()
    yield "mask one place late", -(logp * np.roll(COUNTED, 1, axis=1)).sum() / n


@pytest.mark.parametrize("what, value", list(wrong_versions()))
def test_planted_errors_give_another_loss(what, value):
    assert abs(value - loss()) > 0.1, what
