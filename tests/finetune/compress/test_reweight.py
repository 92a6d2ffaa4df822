"""Weights seen through a function, and the one operation that is not the derivative of its value."""

import numpy as np
import pytest

from tests.finetune.compress.small_models import IDS, layered
from tinylm.autograd import Tensor, registry
from tinylm.autograd.check.gradcheck import gradcheck
from tinylm.errors import ConfigError
from tinylm.finetune.compress.cases import NOT_DERIVATIVES
from tinylm.finetune.compress.reweight import (
    Reweighted,
    bake,
    linear_maps,
    reweight,
    straight_through,
)
from tinylm.nn import Linear


def test_straight_through_gives_the_value_and_passes_the_cotangent_unchanged(device, rng):
    x = Tensor(rng.normal(size=(3, 4)), requires_grad=True, device=device)
    y = straight_through(x, np.rint(x.data))
    g = Tensor(rng.normal(size=(3, 4)), device=device)
    y.backward(g)
    np.testing.assert_array_equal(y.numpy(), np.rint(x.numpy()))
    np.testing.assert_array_equal(x.grad.numpy(), g.numpy())


def test_it_is_declared_not_to_be_a_derivative_and_is_none(rng):
    assert registry.load_all()["straight_through"].reason == NOT_DERIVATIVES["straight_through"]
    x = Tensor(np.array([0.2, 1.3, -0.6]), requires_grad=True)  # not halfway between whole numbers
    assert not gradcheck(
        lambda x: straight_through(x, np.rint(x.data)), x
    )  # a derivative would be 0 here


def test_its_value_is_a_copy_that_later_changes_do_not_reach():
    value = np.ones(2)
    y = straight_through(Tensor(np.zeros(2)), value)
    value[:] = 5
    np.testing.assert_array_equal(y.numpy(), np.ones(2))


def test_names_of_parameters_stay():
    model, before = layered(), list(layered().state_dict())
    reweight(model, lambda name, weight: lambda w: w, "blocks.*")
    assert list(model.state_dict()) == before
    assert (
        len([m for m in linear_maps(model, "blocks.*").values() if isinstance(m, Reweighted)]) == 12
    )  # 3 layers of 4 maps


def test_baking_computes_the_same_with_plain_maps():
    model = layered()
    reweight(model, lambda name, weight: lambda w: w * 0.5, "attention.*")
    wanted = model.hidden(IDS).numpy()
    bake(model)
    assert all(type(m) is Linear for m in linear_maps(model, "blocks.*").values())
    np.testing.assert_array_equal(model.hidden(IDS).numpy(), wanted)


def test_layers_that_share_weights_share_the_change():
    model = layered(layer_groups=1)
    seen = reweight(model, lambda name, weight: lambda w: w, "blocks.*")
    assert len(seen) == 4
    assert all(isinstance(block.attention.qkv, Reweighted) for block in model.blocks)


def test_the_input_can_be_changed_too(rng):
    model = layered(1)
    wanted = model.blocks[0].feed_forward(Tensor(rng.normal(size=(2, 16))) * 0.0).numpy()
    reweight(
        model, lambda name, weight: lambda w: w, "feed_forward.hidden", before=lambda x: x * 0.0
    )
    np.testing.assert_array_equal(
        model.blocks[0].feed_forward(Tensor(rng.normal(size=(2, 16)))).numpy(), wanted
    )


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(ConfigError, match="no part is named like heads"):
        reweight(layered(1), lambda name, weight: None, "heads.*")
