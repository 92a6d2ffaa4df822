"""Linear maps and embeddings as modules, and how they start."""

import numpy as np
import pytest

from tests.numeric import host, plain
from tinylm import Tensor
from tinylm.backend import Random
from tinylm.nn import INIT_STD, Embedding, Linear, normal_parameter


def test_a_linear_module_is_the_books_h_w_plus_b(device, rng):
    layer = Linear(4, 3, Random(0), dtype=np.float64).to(device)
    layer.bias.assign_(plain([1.0, 2.0, 3.0], device))
    h = rng.normal(size=(2, 4))
    np.testing.assert_allclose(
        host(layer(Tensor(h, device=device))), h @ host(layer.weight) + [1, 2, 3], rtol=1e-13
    )


def test_without_bias_there_is_none_and_zero_gives_zero():
    layer = Linear(4, 3, Random(0), bias=False)
    assert list(layer.named_parameters()) == ["weight"]
    np.testing.assert_array_equal(layer(Tensor(np.zeros((2, 4), np.float32))).numpy(), 0)


def test_no_bias_equals_a_bias_of_zero(rng):
    x = Tensor(rng.normal(size=(2, 4)).astype(np.float32))
    np.testing.assert_array_equal(
        Linear(4, 3, Random(0), bias=False)(x).numpy(), Linear(4, 3, Random(0))(x).numpy()
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_start_normal_with_the_asked_deviation(dtype):
    weight = normal_parameter((200, 500), Random(0), INIT_STD, dtype).numpy()
    n = weight.size
    assert weight.dtype == dtype
    assert abs(weight.mean()) < 5 * INIT_STD / n**0.5  # five standard errors of a mean,
    assert abs(weight.std() / INIT_STD - 1) < 5 / (2 * n) ** 0.5  # and of a deviation


def test_the_same_seed_starts_the_same():
    a, b, c = (Linear(3, 3, Random(seed)).weight.numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_an_embedding_looks_rows_up(device):
    table = Embedding(5, 3, Random(0)).to(device)
    ids = np.array([[4, 0], [4, 4]])
    np.testing.assert_array_equal(host(table(plain(ids, device))), host(table.weight)[ids])
