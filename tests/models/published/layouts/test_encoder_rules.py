import numpy as np
import pytest

from tinylm.errors import CheckpointError
from tinylm.models.published.layouts.encoder_rules import (
    Rule,
    fill,
    linear,
    norm,
    plain,
    read,
    write,
)
from tinylm.nn import Linear


def test_torch_maps_are_turned_and_set_side_by_side():
    q, k = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3) + 10              # (out, in)
    weights = {"q.weight": q, "q.bias": np.array([1.0, 2]), "k.weight": k, "k.bias": np.array([3.0, 4])}
    rules = list(linear("qk", "q", "k"))
    made = dict(read(rules, weights))
    np.testing.assert_array_equal(made["qk.weight"], np.concatenate([q.T, k.T], axis=1))
    np.testing.assert_array_equal(made["qk.bias"], [1, 2, 3, 4])
    back = write(rules, made)
    assert set(back) == set(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(back[name], array)


def test_maps_by_head_are_folded_again():
    rule = Rule("out.weight", ("o",), turned=True, flat=(4, 6), folded=(4, 2, 3))
    o = np.arange(24.0).reshape(4, 2, 3)
    made = dict(read([rule], {"o": o}))
    assert made["out.weight"].shape == (6, 4)
    np.testing.assert_array_equal(write([rule], made)["o"], o)


def test_names_are_found_with_and_without_the_prefix_of_the_bare_model():
    rules = [*plain("a", "bert.a"), *norm("n", "n")]
    for weights in ({"a": 1.0, "bert.n.weight": 2.0, "n.bias": 3.0}, {"bert.a": 1.0, "n.weight": 2.0, "bert.n.bias": 3.0}):
        assert dict(read(rules, {k: np.array(v) for k, v in weights.items()}, "bert.")) == {"a": 1, "n.gain": 2, "n.bias": 3}


def test_a_part_that_is_missing_is_named():
    with pytest.raises(CheckpointError, match=r"lack \['k.weight'\]"):
        list(read(linear("qk", "q", "k", bias=False), {"q.weight": np.ones((2, 2))}))
    with pytest.raises(CheckpointError, match="do not make qk.weight"):
        list(read(linear("qk", "q", "k", bias=False), {"q.weight": np.ones((2, 2)), "k.weight": np.ones((2, 3))}))


def test_filling_names_what_does_not_fit():
    model = Linear(2, 3, None)
    with pytest.raises(CheckpointError, match=r"lack 1 parameters: bias"):
        fill(model, [("weight", np.ones((2, 3)))])
    with pytest.raises(CheckpointError, match=r"weight, \(3, 2\): it needs \(2, 3\)"):
        fill(model, [("weight", np.ones((3, 2)))])
    with pytest.raises(CheckpointError, match="no parameter"):
        fill(model, [("wait", np.ones((3, 2)))])


def test_placeholders_become_parameters_of_their_own():
    weights = np.ones((2, 3))
    model = fill(Linear(2, 3, None), [("weight", weights), ("bias", np.zeros(3))])
    model.weight.data[...] = 7
    assert weights.max() == 1 and model.weight.dtype == np.float32
