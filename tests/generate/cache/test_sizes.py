"""What a cache costs: the formula of the book on its own examples, and the share that grouped heads
keep.
"""

import numpy as np

from tinylm.generate import KeyValueCache, cache_bytes


def test_grouped_heads_and_windows_shrink_the_cache_by_their_share():
    # L = 2, H = 4, K = 8, 16 tokens: L H K m = 1,024 keys and as many values
    def floats(kv_heads, tokens):
        return cache_bytes(2, 1, kv_heads, 8, tokens, itemsize=1)

    assert (floats(4, 16), floats(4, 4), floats(2, 16), floats(1, 16)) == (2048, 512, 1024, 512)


def test_seven_billion_parameters_read_4096_tokens_with_two_gibibytes():
    # L = 32, H = 32, K = 128, fp16
    assert [cache_bytes(32, 1, heads, 128, 4096, 2) for heads in (32, 8, 1)] == [
        2_147_483_648,
        536_870_912,
        67_108_864,
    ]


def test_the_live_cache_measures_what_the_formula_says():
    for kv_heads in (4, 2, 1):
        cache = KeyValueCache(2, 1, kv_heads, 8, np.float32)
        part = np.zeros((1, kv_heads, 16, 8), np.float32)
        for layer in range(2):
            k, v = cache.update(layer, part, part)
        assert cache.bytes == cache_bytes(2, 1, kv_heads, 8, 16, 4) == 2 * (k.nbytes + v.nbytes)
