"""Distillation from a weak model: forward divergence, and its weight that falls."""

import numpy as np
import pytest

from tinylm.align.supervised import sft_loss
from tinylm.align.weak_to_strong import anneal, combined_loss, kd_loss
from tinylm.autograd import Tensor, grad, log_softmax
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.compress.distill_losses import soft_loss
from tinylm.pretrain.batch import IGNORE

STRONG = np.array([0.3, -0.2, 0.5])
WEAK = np.log([0.7, 0.2, 0.1])
ONE = np.ones((1, 1), bool)


def one(z, w=WEAK, **options):
    """The loss at a single position, and its gradient."""
    strong = Tensor(z[None, None], requires_grad=True)
    loss = kd_loss(strong, w[None, None], ONE, **options)
    return loss.item(), grad(loss, [strong])[0].data[0, 0]


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    counted = np.array([[False, True, True], [False, False, True]])
    targets = np.where(counted, rng.integers(4, size=(2, 3)), IGNORE)
    return (
        Tensor(rng.normal(size=(2, 3, 4)), requires_grad=True),
        rng.normal(size=(2, 3, 4)),
        targets,
        counted,
    )


def test_the_worked_example_and_its_gradient_p_s_minus_p_w():
    loss, gradient = one(STRONG)
    assert loss == pytest.approx(0.31772765, abs=5e-9)
    np.testing.assert_allclose(gradient, [-0.346385, 0.014478, 0.331906], atol=5e-7)
    p = np.exp(STRONG) / np.exp(STRONG).sum()
    np.testing.assert_allclose(gradient, p - np.exp(WEAK), atol=1e-15)


def test_it_is_zero_only_where_the_models_agree():
    loss, gradient = one(WEAK + 3.0)  # logits are free up to a constant
    assert loss == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(gradient, 0, atol=1e-15)
    assert one(STRONG)[0] > 0


def test_it_is_cross_entropy_minus_the_entropy_of_the_weak_model():
    p, log_q = np.exp(WEAK), STRONG - np.log(np.exp(STRONG).sum())
    assert one(STRONG)[0] == pytest.approx(-(p @ log_q) + p @ WEAK)
    # the other direction is another number
    q = np.exp(log_q)
    assert abs(one(STRONG)[0] - q @ (log_q - WEAK)) > 0.05


def test_a_token_that_the_weak_model_never_writes_has_no_term():
    loss, gradient = one(STRONG, np.array([0.0, -np.inf, -np.inf]))
    assert loss == pytest.approx(np.log(np.exp(STRONG).sum()) - 0.3)
    assert np.isfinite(gradient).all()


def test_temperature_flattens_both_and_is_that_of_compression():
    for tau in (1.0, 2.0):
        theirs = soft_loss(Tensor(STRONG[None]), WEAK[None], tau).item() / tau**2
        assert one(STRONG, temperature=tau)[0] == pytest.approx(theirs, rel=1e-12)
    assert one(STRONG, temperature=2.0)[0] < one(STRONG)[0]


def test_only_counted_positions_matter_and_the_weak_model_gets_no_gradient(batch):
    strong, weak, _, counted = batch
    teacher = Tensor(weak, requires_grad=True)
    loss = kd_loss(strong, teacher, counted)
    loss.backward()
    assert teacher.grad is None
    assert (strong.grad.data[~counted] == 0).all() and (strong.grad.data[counted] != 0).any()
    weak[~counted] = 77.0
    assert kd_loss(strong, weak, counted).item() == pytest.approx(loss.item())
    # a mean over the three counted positions; over two rows it is another one
    assert kd_loss(strong, weak, counted, total=6).item() == pytest.approx(loss.item() / 2)
    assert kd_loss(strong, weak, counted, how="sequence").item() != pytest.approx(loss.item())


def test_with_weight_zero_it_is_supervised_fine_tuning(batch):
    strong, weak, targets, counted = batch
    V = strong.shape[-1]
    logp = (log_softmax(strong) * np.eye(V)[np.where(counted, targets, 0)]).sum(axis=-1)
    expected = sft_loss(logp, counted).item()
    assert combined_loss(strong, weak, targets, counted, 0.0).item() == pytest.approx(expected)


def test_loss_and_gradient_are_linear_in_the_weight(batch):
    strong, weak, targets, counted = batch
    gradients = {}
    for weight in (0.0, 1.0, 3.0):
        loss = combined_loss(strong, weak, targets, counted, weight)
        gradients[weight] = grad(loss, [strong])[0].data
    (kd,) = grad(kd_loss(strong, weak, counted), [strong])
    np.testing.assert_allclose(gradients[1.0] - gradients[0.0], kd.data, atol=1e-15)
    np.testing.assert_allclose(gradients[3.0] - gradients[0.0], 3 * kd.data, atol=1e-14)
    parts = [
        combined_loss(
            strong[i : i + 1], weak[i : i + 1], targets[i : i + 1], counted[i : i + 1], 2.0, total=3
        )
        for i in range(2)
    ]
    whole = combined_loss(strong, weak, targets, counted, 2.0)
    assert sum(part.item() for part in parts) == pytest.approx(whole.item())


def test_the_weight_falls_to_zero_in_a_straight_line_and_stays_there():
    weight = anneal(2.0, 4)
    assert [weight(step) for step in range(6)] == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.0, 0.0])
    assert anneal(0.0, 1)(0) == 0.0


def test_wrong_arguments_are_refused(batch):
    strong, weak, targets, counted = batch
    with pytest.raises(ConfigError, match="temperature 0"):
        kd_loss(strong, weak, counted, temperature=0)
    with pytest.raises(ShapeError, match=r"need \(B, T, V\) twice"):
        kd_loss(strong, weak[:, :2], counted)
    with pytest.raises(ShapeError, match=r"need \(B, T, V\) twice"):
        kd_loss(strong, weak, counted[:, :2])
    with pytest.raises(ConfigError, match="lambda -1"):
        combined_loss(strong, weak, targets, counted, -1)
    for arguments in ((-1.0, 3), (1.0, 0)):
        with pytest.raises(ConfigError, match="anneal"):
            anneal(*arguments)
