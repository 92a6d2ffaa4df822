"""Adapters: the identity at first, 2Dr + r + D numbers each, in the two places of the papers."""

import numpy as np
import pytest

from tests.finetune.peft.few_parameters import IDS, assert_only_these_learn, encoder, gpt
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune.peft.adapters import Adapted, Adapter, houlsby, pfeiffer
from tinylm.finetune.wrap import unwrap
from tinylm.nn.norm import PLACEMENTS


def test_an_adapter_is_the_formula_of_the_book():
    adapter = Adapter(5, 3, Random(0), "relu", np.float64)
    h = np.random.default_rng(0).normal(size=(2, 5))
    adapter.up.weight.data[...] = Random(1).normal((3, 5), np.float64)
    down, up = adapter.down, adapter.up
    a = h + np.maximum(h @ down.weight.data + down.bias.data, 0) @ up.weight.data + up.bias.data
    assert np.allclose(adapter(h).numpy(), a, rtol=1e-14)
    assert adapter.count_parameters() == 2 * 5 * 3 + 3 + 5


@pytest.mark.parametrize("method", [houlsby, pfeiffer])
@pytest.mark.parametrize("name", ["gpt", "bert-base-uncased", "bart-base"])
def test_a_fresh_adapter_is_the_identity_to_the_bit(method, name):
    model = gpt() if name == "gpt" else encoder(name)
    inputs = (IDS, IDS[:, :2]) if name == "bart-base" else (IDS,)
    before = model(*inputs).numpy()
    assert np.array_equal(method(model, 3)(*inputs).numpy(), before)


@pytest.mark.parametrize("method, behind", [(houlsby, 2), (pfeiffer, 1)])
def test_only_adapters_learn(method, behind):
    r, D, L = 3, 8, 2
    assert_only_these_learn(method(gpt(), r), L * behind * (2 * D * r + r + D))


def test_the_adapter_stands_before_the_residual_is_added():
    model = pfeiffer(gpt(), 3)
    block, x = model.blocks[0], np.random.default_rng(0).normal(size=(1, 4, 8))
    block.feed_forward.adapter.up.bias.data[...] = 7.0
    inner = block.feed_forward.base
    mid = PLACEMENTS["pre"](x, block.attention, block.norms[0])
    assert np.allclose(
        block(x).numpy(), (mid + inner(block.norms[1](mid)) + 7.0).numpy(), rtol=1e-14
    )


def test_taking_adapters_away_gives_the_base_back():
    model = gpt()
    before = model(IDS).numpy()
    houlsby(model, 2).blocks[1].attention.adapter.up.bias.data[...] = 1.0
    assert not np.array_equal(model(IDS).numpy(), before)
    assert np.array_equal(unwrap(model, Adapted)(IDS).numpy(), before)


def test_a_width_or_activation_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="width 0"):
        Adapter(4, 0, Random(0))
    assert Adapter(4, 1, Random(0)).down.weight.shape == (4, 1)
    with pytest.raises(ConfigError, match="swiglu"):
        Adapter(4, 2, Random(0), "swiglu")
