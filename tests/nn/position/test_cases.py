"""Everything learned about positions has an entry for the gradient check, and passes it."""

import pytest

from tinylm.autograd import registry
from tinylm.autograd.check.gradcheck import check_entry
from tinylm.backend import Random
from tinylm.nn.position.bias import POSITION_BIASES
from tinylm.nn.position.cases import register  # noqa: F401  (the import registers)

NAMES = [
    "OffsetBias",
    "T5Bias",
    "KerplePowerBias",
    "KerpleLogBias",
    "FireBias",
    "LearnedPositions",
    "ShawRelative",
    "relative_shift",
    "rotary_adjacent",
]


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_both_orders_are_right(name):
    report = check_entry(registry.ENTRIES[f"nn.{name}"])
    assert report, report


@pytest.mark.parametrize("name", NAMES)
def test_float32_gradients_agree_with_float64_ones_on_every_device(name, device):
    report = check_entry(registry.ENTRIES[f"nn.{name}"], "float32", device)
    assert report, report


def test_every_bias_with_parameters_has_an_entry():
    learned = [
        cls.__name__ for cls in POSITION_BIASES.values() if cls(2, Random(0)).count_parameters()
    ]
    assert learned and all(f"nn.{name}" in registry.ENTRIES for name in learned)
