"""One buffer for all parameters, one for all gradients."""

import copy
import pickle

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf, plain
from tinylm.errors import ConfigError
from tinylm.optim import FlatParameters, clip_grad_norm, grad_norm
from tinylm.optim.flat import clip_factor


def parameters(device="cpu"):
    return {
        "gain": leaf([1.0, 2.0], device),
        "w": leaf([[3.0, 4.0], [5.0, 6.0]], device),
        "b": leaf([7.0], device),
        "v": leaf([[8.0]], device),
    }


def test_matrices_come_first_then_vectors_in_order(device):
    flat = FlatParameters(parameters(device))
    assert flat.names == ["w", "v", "gain", "b"]
    np.testing.assert_array_equal(host(flat.data), [3, 4, 5, 6, 8, 1, 2, 7])
    assert flat.n_decay == 5 and len(flat) == 8 and flat.offsets == [0, 4, 5, 7, 8]


def test_parameters_become_views_of_the_buffer(device):
    named = parameters(device)
    flat = FlatParameters(named)
    flat.data[0] = 30.0
    assert host(named["w"])[0, 0] == 30.0
    named["b"].assign_(plain([70.0], device))
    assert host(flat.data)[-1] == 70.0


def test_a_parameter_given_twice_counts_once_under_its_first_name():
    w = leaf(np.ones((2, 2)))
    flat = FlatParameters({"table": w, "other": leaf([1.0]), "head": w})
    assert flat.names == ["table", "other"] and len(flat) == 5


def test_a_list_will_do_and_constants_are_left_out():
    flat = FlatParameters([leaf([1.0]), tl.Tensor([2.0]), leaf([[3.0]])])
    np.testing.assert_array_equal(flat.data, [3.0, 1.0])


def test_pairs_of_names_and_parameters_will_do():
    model = tl.nn.Linear(3, 2)
    flat = FlatParameters(list(model.named_parameters()))
    assert flat.names == ["weight", "bias"] and flat.tensors == [model.weight, model.bias]


@pytest.mark.parametrize("groups", [[{"params": []}], "abc", [np.ones(3)]])
def test_what_is_no_parameter_is_named(groups):
    with pytest.raises(ConfigError, match="is no parameter: it takes a module"):
        FlatParameters(groups)


def test_the_buffers_live_where_the_caller_says():
    made = []

    def shared(n, dtype):
        made.append(np.empty(n, dtype))
        return made[-1]

    flat = FlatParameters(parameters(), empty=shared)
    assert flat.data is made[0] and flat.grad is made[1]


def test_collect_completes_the_gradient(device):
    named = parameters(device)
    flat = FlatParameters(named)
    flat.grad[...] = np.nan  # what no backward pass wrote must not survive
    (named["w"] * 2.0).sum().backward()
    named["b"].grad = tl.Tensor(np.array([5.0]), device=device)  # set by hand, elsewhere in memory
    np.testing.assert_array_equal(host(flat.collect()), [2, 2, 2, 2, 0, 0, 0, 5])
    assert named["b"]._grad.data is named["b"].slot


def test_zero_grad_forgets_without_clearing():
    named = parameters()
    flat = FlatParameters(named)
    for _ in range(2):
        flat.zero_grad()
        (named["w"] * 3.0).sum().backward()
    # not 6: the second pass overwrote the first
    np.testing.assert_array_equal(flat.collect()[:4], 3.0)


def test_gradients_by_name_are_views_in_the_parameters_shapes():
    flat = FlatParameters(parameters())
    flat.grad[...] = np.arange(8.0)
    named = flat.named(flat.grad)
    np.testing.assert_array_equal(named["w"], [[0, 1], [2, 3]])
    assert np.shares_memory(named["b"], flat.grad) and named["b"].shape == (1,)


def test_the_norm_is_of_all_gradients_together(device):
    named = parameters(device)
    flat = FlatParameters(named)
    (
        (named["w"] * plain([[1.0, 2.0], [2.0, 0.0]], device)).sum() + named["b"].sum() * 4.0
    ).backward()
    assert grad_norm(flat) == pytest.approx(5.0)  # sqrt(1 + 4 + 4 + 16)


@pytest.mark.parametrize("limit, after", [(2.5, 2.5), (5.0, 5.0), (100.0, 5.0)])
def test_clipping_scales_only_what_is_too_long(device, limit, after):
    named = parameters(device)
    flat = FlatParameters(named)
    (named["gain"] * plain([3.0, 4.0], device)).sum().backward()
    assert clip_grad_norm(flat, limit) == pytest.approx(5.0)
    np.testing.assert_allclose(
        host(named["gain"].grad), np.array([3.0, 4.0]) * after / 5, rtol=1e-15
    )


def test_clipping_needs_the_buffer_of_gradients():
    with pytest.raises(ConfigError, match="needs the optimizer or its FlatParameters, not a list"):
        clip_grad_norm([leaf([1.0])], 1.0)


@pytest.mark.parametrize(
    "norm, limit, factor", [(10, 2.5, 0.25), (2, 2, 1), (1, 4, 1), (5, np.inf, 1), (0, 0, 1)]
)
def test_only_a_longer_gradient_is_shortened(norm, limit, factor):
    assert clip_factor(norm, limit) == factor


def test_what_cannot_be_flattened_is_named():
    with pytest.raises(ConfigError, match="no parameter that requires a gradient"):
        FlatParameters([tl.Tensor([1.0])])
    with pytest.raises(ConfigError, match="differ in dtype or device.*float32.*float64"):
        FlatParameters([leaf([1.0]), leaf([1.0], dtype=np.float32)])


def test_an_optimizer_takes_a_module_as_it_is():
    module = tl.nn.LayerNorm(3)
    assert tl.optim.AdamW(module).flat.names == ["gain", "bias"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copy_of_model_and_optimizer_trains_on_its_own(copied):
    module = tl.nn.LayerNorm(2)
    twin, optimizer = copied((module, tl.optim.SGD(module, lr=1.0)))
    twin(np.ones((1, 2), np.float32)).sum().backward()  # dL/dbias = 1 for each
    optimizer.step()
    np.testing.assert_array_equal(twin.bias.numpy(), [-1, -1])
    np.testing.assert_array_equal(module.bias.numpy(), [0, 0])


def test_a_parameter_that_left_the_buffer_is_named():
    module = tl.nn.LayerNorm(2)
    first = tl.optim.SGD(module)
    tl.optim.SGD(module.to("cpu")).step()
    with pytest.raises(ConfigError, match="parameter gain has left its buffer"):
        first.step()
    second = tl.optim.SGD(module)
    module.bias.data = np.zeros(2, np.float32)
    with pytest.raises(ConfigError, match="parameter bias has left its buffer"):
        second.step()


@pytest.mark.parametrize("max_norm", [-1.0, float("nan")])
def test_a_limit_that_would_turn_the_gradient_around_is_refused(max_norm):
    flat = FlatParameters([tl.Tensor(np.ones(2), requires_grad=True)])
    with pytest.raises(ConfigError, match="max_norm"):
        clip_grad_norm(flat, max_norm)
