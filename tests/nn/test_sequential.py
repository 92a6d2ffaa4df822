"""Parts one after the other."""

import numpy as np
import pytest

import tinylm as tl
from tinylm import nn
from tinylm.errors import ConfigError

X = np.arange(6.0, dtype=np.float32).reshape(2, 3)


def net():
    rng = tl.Random(0)
    return nn.Sequential(nn.Linear(3, 5, rng), tl.gelu, nn.Dropout(0.5), nn.Linear(5, 2, rng))


def test_each_part_reads_what_the_one_before_it_gave():
    parts = net().eval()
    by_hand = parts[3](tl.gelu(parts[0](tl.Tensor(X))))
    np.testing.assert_array_equal(parts(tl.Tensor(X)).numpy(), by_hand.numpy())
    np.testing.assert_array_equal(nn.Sequential()(tl.Tensor(X)).numpy(), X)


def test_it_is_a_list_of_its_parts():
    parts = net()
    assert len(parts) == 4 and parts[1] is tl.gelu and list(parts)[0] is parts[0]
    assert isinstance(parts[1:3], nn.Sequential) and parts[1:3][0] is tl.gelu


def test_its_parameters_are_those_of_its_parts_and_it_is_saved_and_switched():
    parts = net()
    names = ["parts.0.weight", "parts.0.bias", "parts.3.weight", "parts.3.bias"]
    assert list(parts.named_parameters().keys()) == names
    other = nn.Sequential(nn.Linear(3, 5), tl.gelu, nn.Dropout(0.5), nn.Linear(5, 2))
    other.load_state_dict(parts.state_dict())
    assert np.array_equal(other.eval()(X).numpy(), parts.eval()(X).numpy())
    assert not parts[2].training and parts.train()[2].training


@pytest.mark.parametrize("part", [nn.Linear, [tl.gelu], "gelu"])
def test_what_cannot_be_called_is_refused_when_it_is_made(part):
    with pytest.raises(ConfigError, match="Sequential: part 1 .* must be a module or a function"):
        nn.Sequential(tl.gelu, part)
