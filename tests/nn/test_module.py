"""Finding parameters in plain attributes, and saving and loading them by name."""

import copy
import pickle

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host
from tinylm.backend import Random
from tinylm.errors import CheckpointError
from tinylm.nn import Embedding, LayerNorm, Linear, Module, evaluating


class Net(Module):
    """One of each way to hold parameters."""

    def __init__(self):
        rng = Random(0)
        self.first = Linear(2, 3, rng)
        self.layers = [Linear(3, 3, rng, bias=False), LayerNorm(3)]
        self.table = {
            "a": tl.Tensor(np.ones(4, np.float32), requires_grad=True),
            "b": (Embedding(5, 3, rng),),
        }
        self.constant = tl.Tensor(np.ones(7))
        self.tied = self.first.weight
        self.size = 3


NAMES = [
    "first.weight",
    "first.bias",
    "layers.0.weight",
    "layers.1.gain",
    "layers.1.bias",
    "table.a",
    "table.b.0.weight",
]


def test_iteration_over_named_parameters_gives_pairs():
    net = Net()
    named = net.named_parameters()
    pairs = list(zip(NAMES, net.parameters(), strict=True))
    assert list(named) == list(iter(named)) == list(named.items()) == pairs
    assert [(name, p) for name, p in named] == pairs
    assert list(reversed(named)) == pairs[::-1] and len(named) == len(pairs)


def test_named_parameters_are_a_dict_otherwise():
    named = Net().named_parameters()
    first = named["first.weight"]
    assert list(named.keys()) == NAMES and "first.bias" in named and "bias" not in named
    for same in (dict(named), {**named}, named | {}, copy.copy(named)):
        assert same["first.weight"] is first and list(same.keys()) == NAMES
    assert list(pickle.loads(pickle.dumps(named)).keys()) == NAMES
    assert named.pop("first.weight") is first and len(named) == len(NAMES) - 1


def test_parameters_are_found_in_attributes_lists_dicts_and_modules_in_order():
    net = Net()
    assert list(net.named_parameters().keys()) == NAMES
    assert [id(p) for p in net.parameters()] == [id(p) for p in net.named_parameters().values()]


def test_a_tied_parameter_counts_once_under_its_first_name():
    assert Net().count_parameters() == 2 * 3 + 3 + 9 + 3 + 3 + 4 + 15


def test_constants_and_frozen_parameters_are_not_parameters():
    net = Net()
    net.first.weight.requires_grad = False
    assert list(net.named_parameters().keys()) == NAMES[1:]


def test_modules_that_refer_to_each_other_are_walked_once():
    net = Net()
    net.self = net
    assert list(net.named_parameters().keys()) == NAMES
    assert sum(m is net for m in net.modules()) == 1


def test_training_mode_reaches_every_module():
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())
    assert len(net.modules()) == 5  # the net, two maps, a norm, an embedding


def test_state_is_a_copy_and_comes_back_bit_for_bit():
    net, other = Net(), Net()
    for p in net.parameters():
        p.assign_(np.random.default_rng(1).normal(size=p.shape))
    state = net.state_dict()
    net.first.weight.assign_(np.zeros((2, 3)))
    assert state["first.weight"].any()
    other.load_state_dict(state)
    for name, p in other.named_parameters().items():
        np.testing.assert_array_equal(p.numpy(), state[name])
        assert p.dtype == np.float32
    assert other.tied is other.first.weight


def test_loading_keeps_the_buffers_an_optimizer_holds():
    net = Net()
    flat = tl.optim.FlatParameters(net.named_parameters())
    state = {name: np.full(p.shape, 2.0, np.float32) for name, p in net.named_parameters().items()}
    net.load_state_dict(state)
    assert (flat.data == 2.0).all()


def test_every_difference_is_named_and_then_nothing_is_changed():
    net = Net()
    state = net.state_dict()
    before = net.first.bias.numpy().copy()
    state["first.bias"] = before + 1
    state["extra"] = state.pop("table.a")
    state["first.weight"] = np.ones((3, 2))
    shapes = r"of another shape first.weight: \(3, 2\), needs \(2, 3\)"
    with pytest.raises(CheckpointError, match=f"missing table.a; unknown extra; {shapes}"):
        net.load_state_dict(state)
    np.testing.assert_array_equal(net.first.bias.numpy(), before)


def test_loose_loading_takes_what_fits_by_name_but_never_another_shape():
    net = Net()
    net.load_state_dict({"first.bias": np.full(3, 5.0), "unknown": np.ones(1)}, strict=False)
    np.testing.assert_array_equal(net.first.bias.numpy(), 5.0)
    with pytest.raises(CheckpointError, match="of another shape"):
        net.load_state_dict({"first.bias": np.ones(4)}, strict=False)


def test_a_graph_recorded_before_loading_is_refused():
    net = Net()
    y = net.first(tl.Tensor(np.ones((1, 2), np.float32), requires_grad=True)).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(tl.errors.GraphError, match="changed in place"):
        y.backward()


def test_moving_takes_parameters_along(device):
    net = Net().to(device)
    assert {p.device for p in net.parameters()} == {device}
    assert net.tied is net.first.weight
    y = net.first(tl.Tensor(np.ones((1, 2), np.float32), device=device))
    y.sum().backward()
    assert host(net.first.bias.grad).shape == (3,)
    net.zero_grad()
    assert net.first.bias.grad is None


def test_a_module_prints_its_parts_with_their_shapes():
    lines = repr(Net()).splitlines()
    assert lines[0] == f"Net: {Net().count_parameters()} parameters"
    assert lines[1:4] == ["  first: Linear", "    weight  (2, 3)", "    bias  (3,)"]
    assert "    b" in lines and "  table" in lines


def test_evaluating_gives_every_module_its_mode_back_whatever_happens():
    net = Net()
    net.first.training = False
    with pytest.raises(ZeroDivisionError), evaluating(net):
        assert not any(m.training for m in net.modules())
        raise ZeroDivisionError
    assert net.training and net.layers[0].training and not net.first.training
