"""T5's buckets: the tables of the worked examples, exact borders, both ways to count."""

import numpy as np
import pytest

from tests.numeric import host, plain
from tinylm.errors import ConfigError
from tinylm.nn.position.t5_buckets import book_bucket, t5_bucket

FAR = np.arange(5001)


def starts(buckets):
    """Bucket -> its first offset, from the buckets of offsets 0, 1, 2, ..."""
    numbers, first = np.unique(buckets, return_index=True)
    return dict(zip(numbers.tolist(), first.tolist()))


def test_the_matrix_of_figure_2_11(device):
    i = plain(np.arange(6), device)
    buckets = host(book_bucket(i[:, None] - i[None, :], last=3, max_distance=5))
    rows = [[0], [1, 0], [2, 1, 0], [2, 2, 1, 0], [3, 2, 2, 1, 0], [3, 3, 2, 2, 1, 0]]
    assert [row[: i + 1].tolist() for i, row in enumerate(buckets)] == rows


def test_borders_of_32_buckets_up_to_distance_1024():
    expected = [*range(16), 16, 21, 27, 35, 46, 59, 77, 99, 128, 166, 216, 280, 363, 470, 609, 790]
    assert starts(t5_bucket(FAR, 32, 1024)) == dict(enumerate(expected))
    assert starts(book_bucket(FAR, 31, 1024)) == dict(enumerate(expected))
    # n_b = 32 has 33 buckets, and the last one holds exactly the offsets from dist_max on.
    assert starts(book_bucket(FAR, 32, 1024)) == dict(enumerate([*expected, 1024]))


def test_borders_of_the_default_32_buckets_up_to_distance_128():
    expected = [*range(16), 16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]
    assert starts(t5_bucket(FAR)) == dict(enumerate(expected))


def test_a_border_that_floating_point_misses_is_exact():
    # log(128/16) / log(1024/16) * 16 is 8 exactly; log(128) - log(16) over log(1024) - log(16)
    # gives 7.999...
    careless = 16 + int((np.log(128) - np.log(16)) / (np.log(1024) - np.log(16)) * 16)
    assert careless == 23 and t5_bucket(np.array([127, 128]), 32, 1024).tolist() == [23, 24]


@pytest.mark.parametrize(
    "last, distance", [(3, 5), (7, 20), (15, 64), (31, 128), (31, 1024), (63, 512)]
)
def test_for_odd_n_b_the_book_counts_as_t5_does(last, distance):
    np.testing.assert_array_equal(
        book_bucket(FAR, last, distance), t5_bucket(FAR, last + 1, distance)
    )


@pytest.mark.parametrize("last, distance", [(3, 5), (31, 128), (32, 1024), (10, 1000)])
def test_buckets_never_fall_and_cover_their_range(last, distance):
    buckets = book_bucket(FAR, last, distance)
    assert (np.diff(buckets) >= 0).all() and set(buckets.tolist()) == set(range(last + 1))


def test_causal_buckets_put_the_future_into_bucket_0():
    assert t5_bucket(np.array([-5, -1, 0])).tolist() == [0, 0, 0]
    assert book_bucket(np.array([-5, -1, 0]), 31, 128).tolist() == [0, 0, 0]


def test_bidirectional_buckets_give_each_side_half():
    # 8 buckets, 4 a side, 2 of them exact; then borders at 2 and 2 * sqrt(8/2) = 4. Keys after the
    # query count from 4.
    offset = np.array([0, 1, 2, 3, 4, 100, -1, -2, -3, -4, -100])
    assert t5_bucket(offset, 8, 8, bidirectional=True).tolist() == [0, 1, 2, 2, 3, 3, 5, 6, 6, 7, 7]
    # T5's encoder: 32 buckets, 16 a side, 8 of them exact; the borders after grow by the root of 2,
    # as 8 * 2^(t/2) reaches 128 at t = 8: 8, 11.3, 16, 22.6, 32, 45.3, 64, 90.5.
    expected = [*range(8), 8, 12, 16, 23, 32, 46, 64, 91]
    assert starts(t5_bucket(FAR, bidirectional=True)) == dict(enumerate(expected))
    after = starts(t5_bucket(-FAR[1:], bidirectional=True))  # the index of offset -1 is 0
    assert after == {16 + n: first - 1 for n, first in enumerate(expected) if n}


@pytest.mark.parametrize("buckets, distance", [(32, 16), (1, 5)])
def test_settings_that_leave_no_logarithmic_part_are_refused(buckets, distance):
    with pytest.raises(ConfigError, match="max_distance"):
        t5_bucket(FAR, buckets, distance)
