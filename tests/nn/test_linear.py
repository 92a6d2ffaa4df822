"""Linear maps and embeddings as modules, and how they start."""

import inspect

import numpy as np
import pytest

from tests.numeric import host, plain
from tinylm import Tensor
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.nn import (
    INIT_STD,
    Embedding,
    FeedForward,
    GatedFeedForward,
    LayerNorm,
    Linear,
    RMSNorm,
    normal_parameter,
)


def test_a_linear_module_is_the_books_h_w_plus_b(device, rng):
    layer = Linear(4, 3, Random(0), dtype=np.float64).to(device)
    layer.bias.assign_(plain([1.0, 2.0, 3.0], device))
    h = rng.normal(size=(2, 4))
    np.testing.assert_allclose(
        host(layer(Tensor(h, device=device))), h @ host(layer.weight) + [1, 2, 3], rtol=1e-13
    )


def test_without_bias_there_is_none_and_zero_gives_zero():
    layer = Linear(4, 3, Random(0), bias=False)
    assert list(layer.named_parameters().keys()) == ["weight"]
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


def test_weights_to_be_loaded_later_take_no_memory_until_then():
    later = normal_parameter((1000, 1000), None, INIT_STD)
    assert later.shape == (1000, 1000) and later.dtype == np.float32 and later.requires_grad
    assert later.data.strides == (0, 0)  # every index shows the same zero
    assert not later.numpy()[:2].any()
    assert normal_parameter((2, 2), None, INIT_STD, np.float64).dtype == np.float64


def test_weights_are_drawn_from_a_stream_that_can_be_repeated(rng):
    assert normal_parameter((2, 2), Random(0), INIT_STD).requires_grad
    with pytest.raises(ConfigError, match=r"rng must be a stream .* not Generator"):
        normal_parameter((2, 2), rng, INIT_STD)


def test_defaults_are_those_of_gpt_2():
    # Radford et al. 2019: biases, and weights of deviation 0.02
    for made, expected in (
        (Linear, {"bias": True, "std": 0.02}),
        (Embedding, {"std": 0.02}),
        (FeedForward, {"activation": "gelu", "bias": True, "out_std": 0.02}),
        # Shazeer 2020 and Touvron et al. 2023 leave the biases of gated layers out.
        (GatedFeedForward, {"activation": "swiglu", "bias": False, "out_std": 0.02}),
        # Ba et al. 2016 as in GPT-2; Zhang & Sennrich 2019 as in Llama
        (LayerNorm, {"bias": True, "eps": 1e-5}),
        (RMSNorm, {"bias": False, "eps": 1e-6}),
    ):
        parameters = inspect.signature(made).parameters
        assert {name: parameters[name].default for name in expected} == expected
