"""T5's buckets of offsets: one per offset nearby, wider ones further away (book eqs. 2.77-2.79).

Far buckets have equal width in log(offset). Their borders are computed in integers: in floating
point (log 128 - log 16) / (log 1024 - log 16) * 16, which is 8, comes out below 8, and offset 128
falls into the bucket before its own. Raffel et al. 2020. Read next: bias.py.
"""

import functools

import numpy as np

from tinylm import backend
from tinylm.errors import ConfigError


@functools.lru_cache(maxsize=64)
def _table(near, log_buckets, last, max_distance):
    """The bucket of every offset 0, 1, ... up to the first of the last bucket: (n,) integers.

    near          how many buckets hold one offset each
    log_buckets   M of the logarithm
    last          the number of the last bucket
    """
    # With h = near, D = max_distance, M = log_buckets: bucket h + t begins at the smallest n for
    # which log(n/h) / log(D/h) * M >= t,  that is  n^M h^t >= D^t h^M.
    if max_distance <= near or near < 1:
        raise ConfigError(
            f"T5 buckets: {near} buckets hold one offset each, which must be at least 1 "
            f"and less than max_distance {max_distance}: change buckets or max_distance"
        )
    table = list(range(near))
    n = near
    for t in range(1, last - near + 1):
        while n**log_buckets * near**t < max_distance**t * near**log_buckets:
            table.append(near + t - 1)
            n += 1
    return np.array([*table, last])


def _look_up(distance, table):
    """table[distance], where all distances beyond the table are in the last bucket."""
    table = backend.to_device(table, backend.device_of(distance))
    return table[np.minimum(distance, len(table) - 1)]


def t5_bucket(
    offset: np.ndarray, buckets: int = 32, max_distance: int = 128, bidirectional: bool = False
) -> np.ndarray:
    """The bucket of i - j as T5 numbers them.

    offset         integer array i - j, query position minus key position
    buckets        how many there are; half of them hold one offset each
    max_distance   where the logarithm would reach `buckets`: the last bucket begins before it and
                   has no end
    bidirectional  False: keys after the query fall into bucket 0, to be masked. True, for encoders:
                   keys before the query share the first half of the buckets, keys after it the
                   second
    returns        integers in [0, buckets), same shape
    """
    if not bidirectional:
        near = buckets // 2
        table = _table(near, buckets - near, buckets - 1, max_distance)
        return _look_up(np.maximum(offset, 0), table)
    side = buckets // 2  # buckets for each sign
    near = side // 2
    table = _table(near, side - near, side - 1, max_distance)
    bucket = _look_up(np.abs(offset), table)
    return bucket + side * (offset < 0)


def book_bucket(offset: np.ndarray, last: int, max_distance: int) -> np.ndarray:
    """b(i - j) as the book defines it   (eq. 2.79).

    floor((n_b + 1) / 2) buckets hold one offset each; the floor is ours, for even n_b.

    offset        integer array i - j; negative ones fall into bucket 0
    last          n_b, the number of the last bucket, so there are n_b + 1. For odd n_b this is
                  t5_bucket with n_b + 1 buckets; for even n_b the last bucket begins exactly at
                  max_distance
    max_distance  dist_max
    returns       integers in [0, n_b], same shape
    """
    near = (last + 1) // 2
    return _look_up(np.maximum(offset, 0), _table(near, near, last, max_distance))
