"""Divergences between logits: their values by hand, where they are zero, and PyTorch's."""

import math

import numpy as np
import pytest

from tinylm.autograd import Tensor, grad
from tinylm.autograd.kernels.losses import soft_cross_entropy, softmax
from tinylm.errors import ShapeError
from tinylm.finetune.divergence import kl, reverse_kl


def logits(*probabilities):
    with np.errstate(divide="ignore"):
        return Tensor(np.log(np.array(probabilities)), requires_grad=True)


def test_kl_of_a_fair_and_a_loaded_coin_by_hand():
    fair, loaded = logits([0.5, 0.5]), logits([0.75, 0.25])
    forward = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    backward = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert kl(fair, loaded).item() == pytest.approx(forward, rel=1e-14)
    assert reverse_kl(fair, loaded).item() == pytest.approx(backward, rel=1e-14)


@pytest.mark.parametrize("divergence", [kl, reverse_kl])
def test_equal_logits_have_no_divergence_and_no_gradient(divergence, rng):
    x = rng.normal(size=(4, 5))
    student = Tensor(x.copy(), requires_grad=True)
    loss = divergence(Tensor(x), student)
    assert loss.item() == 0
    np.testing.assert_allclose(
        grad(loss, [student])[0].data, 0, atol=1e-15
    )  # rounding of the sum of 5 chances


@pytest.mark.parametrize("divergence", [kl, reverse_kl])
def test_divergences_are_never_negative_and_do_not_see_a_shift_of_the_logits(divergence, rng):
    t, s = Tensor(rng.normal(size=(50, 3))), Tensor(rng.normal(size=(50, 3)))
    assert (
        min(divergence(t[i], s[i]).item() for i in range(50)) > 0
    )  # two random rows are never equal
    assert divergence(t + 100, s - 3).item() == pytest.approx(divergence(t, s).item(), rel=1e-12)


def test_the_gradient_of_kl_is_that_of_cross_entropy_and_shrinks_with_the_temperature(rng):
    t, s = Tensor(rng.normal(size=(4, 5))), Tensor(rng.normal(size=(4, 5)), requires_grad=True)
    g = grad(kl(t, s), [s])[0].data
    np.testing.assert_allclose(g, grad(soft_cross_entropy(s, softmax(t)), [s])[0].data, atol=1e-14)
    hot = 1e3  # chances are then 1/V + (logit - mean) / (V temperature) + ...
    centered = (s.data - t.data) - (s.data - t.data).mean(-1, keepdims=True)
    np.testing.assert_allclose(
        grad(kl(t, s, temperature=hot), [s])[0].data * hot**2, centered / 5 / 4, atol=1e-2
    )


@pytest.mark.parametrize("divergence", [kl, reverse_kl])
def test_a_temperature_divides_the_logits_of_both(divergence, rng):
    t, s = Tensor(rng.normal(size=(4, 5))), Tensor(rng.normal(size=(4, 5)))
    for tau in (0.5, 3.0):
        softened = divergence(t / tau, s / tau).item()
        assert divergence(t, s, temperature=tau).item() == pytest.approx(softened, rel=1e-14)


def test_a_mask_chooses_what_is_averaged(rng):
    t = Tensor(rng.normal(size=(2, 3, 4)))
    s = Tensor(rng.normal(size=(2, 3, 4)), requires_grad=True)
    mask = np.array([[True, False, True], [False, False, False]])
    by_hand = (kl(t[0, 0], s[0, 0]).item() + kl(t[0, 2], s[0, 2]).item()) / 2
    assert kl(t, s, mask=mask).item() == pytest.approx(by_hand, rel=1e-14)
    assert kl(t, s, mask=mask & False).item() == 0
    assert (grad(kl(t, s, mask=mask), [s])[0].data[~mask] == 0).all()


def test_a_token_the_teacher_never_says_costs_nothing_and_still_gets_a_gradient():
    teacher, student = logits([0.5, 0.5, 0.0]), logits([0.25, 0.25, 0.5])
    loss = kl(teacher, student)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-14)
    np.testing.assert_allclose(
        grad(loss, [student])[0].data, [[-0.25, -0.25, 0.5]], atol=1e-15
    )  # softmax(s) - softmax(t)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"\(2, 3\).*\(2, 4\)"):
        kl(Tensor(np.zeros((2, 3))), Tensor(np.zeros((2, 4))))
    with pytest.raises(ShapeError, match="mask"):
        reverse_kl(Tensor(np.zeros((2, 3))), Tensor(np.zeros((2, 3))), mask=np.ones(3, bool))


def test_kl_is_torchs(rng):
    torch = pytest.importorskip("torch")
    t, s = rng.normal(size=(2, 4, 5))
    theirs = torch.nn.functional.kl_div(
        torch.tensor(s).log_softmax(-1),
        torch.tensor(t).log_softmax(-1),
        log_target=True,
        reduction="batchmean",
    ).item()
    assert kl(Tensor(t), Tensor(s)).item() == pytest.approx(theirs, rel=1e-13)


def test_masked_means_of_float16_do_not_overflow():
    teacher = Tensor(np.tile(np.array([300, 0], np.float16), (400, 1)))  # 300 nats at each place
    student = Tensor(np.tile(np.array([0, 300], np.float16), (400, 1)))
    shown = np.arange(400) < 399
    np.testing.assert_allclose(kl(teacher, student, mask=shown).numpy(), 300, rtol=1e-3)
