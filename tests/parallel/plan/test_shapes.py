"""Shapes: counts of parameters and operations against the models and published formulas."""

import pytest

from tinylm.errors import ConfigError
from tinylm.models.decoder.presets import preset
from tinylm.models.decoder.sizes import count_parameters
from tinylm.parallel.plan.shapes import PUBLISHED, gpt_shape, shape_of


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl", "gpt3-175b", "llama2-7b", "llama2-70b"])
def test_parameters_are_those_of_the_model(name):
    # LLaMA has no biases, grouped heads, a gated feed-forward, rotary positions and an untied head.
    assert shape_of(name).parameters == count_parameters(preset(name))


@pytest.mark.parametrize(
    "name, billions", [("megatron-22b", 22), ("mt-nlg-530b", 530), ("megatron-1t", 1008)]
)
def test_published_shapes_have_the_size_in_their_name(name, billions):
    assert PUBLISHED[name].parameters / 1e9 == pytest.approx(billions, rel=0.01)


def test_operations_are_narayanan_s_formula():
    L, D, V, T = 96, 12288, 51200, 2048
    shape = gpt_shape(L, D, 96, V, T)
    # eq. 3 of Narayanan et al. 2021 has 96 B T L D^2 (...), of which 24 are the forward pass.
    assert shape.forward_operations == pytest.approx(
        24 * L * D**2 * (1 + T / (6 * D) + V / (12 * L * D)), rel=1e-12
    )


def test_the_context_can_be_changed_and_positions_follow():
    longer = shape_of("gpt2", 2048)
    assert longer.context == 2048
    assert longer.parameters - shape_of("gpt2").parameters == 1024 * 768


def test_experts_and_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="mixture of experts"):
        shape_of("mixtral-8x7b")
    with pytest.raises(ConfigError, match="did you mean .*mt-nlg-530b"):
        shape_of("mt-nlg-53b")
