"""Every cache on every kind of array: the same numbers as on the CPU."""

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm import backend
from tinylm.generate import ModelLM
from tinylm.generate.cache.paged import PagedCache, PagePool
from tinylm.generate.cache.quantized import QuantizedCache
from tinylm.generate.cache.shared import SharedCache
from tinylm.generate.protocol.streaming import StreamingLM

IDS = np.random.default_rng(1).integers(0, 5, (2, 6))


def paged(device):
    return PagedCache(PagePool(20, 2, 2, 2, 4, np.float64, device), 2)


def quantized(device):
    return QuantizedCache(2, 2, 2, 4, np.float64, device)


def shared(device):
    return SharedCache((0, 0), 2, 2, 4, np.float64, device)


def read(lm, cache):
    first = backend.to_cpu(lm.logits(IDS[:, :4], cache))
    cache.crop(3)
    cache.select([1, 0])
    return np.concatenate(
        [first[:, :3], backend.to_cpu(lm.logits(IDS[::-1, 3:], cache))[::-1]], axis=1
    )


@pytest.mark.parametrize("make", [paged, quantized, shared])
def test_a_cache_computes_the_same_on_every_device(make, device):
    expected = read(ModelLM(make_gpt(positions="rope")), make("cpu"))
    found = read(ModelLM(make_gpt(positions="rope").to(device)), make(device))
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=1e-12
    )  # float64, sums in another order


def test_a_window_with_sinks_computes_the_same_on_every_device(device):
    expected, found = (
        StreamingLM(make_gpt(positions="rope").to(where), 2, 1, shift=True)
        for where in ("cpu", device)
    )
    cache = found.new_cache(2)
    got = [
        backend.to_cpu(found.logits(IDS[:, :4], cache)),
        backend.to_cpu(found.logits(IDS[:, 4:], cache)),
    ]
    np.testing.assert_allclose(
        np.concatenate(got, axis=1), expected.logits(IDS), rtol=0, atol=1e-12
    )
