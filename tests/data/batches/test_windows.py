"""Which tokens a model sees is decided by seed and step alone, and validation counts every target
once.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.batches.tokenfile import write_tokens
from tinylm.data.batches.windows import EvenWindows, RandomWindows
from tinylm.errors import ConfigError, DataError, ShapeError

sizes = st.integers(1, 12)


@given(sizes, st.integers(0, 40), sizes, st.integers(0, 9), st.integers(0, 10**6))
def test_random_windows_are_contiguous_and_inside(length, extra, batch_size, seed, step):
    tokens = np.arange(length + 1 + extra) + 7  # each token tells its position
    batch = RandomWindows(tokens, length, batch_size, seed).batch(step)
    assert batch.shape == (batch_size, length + 1) and batch.dtype == np.int64
    assert (
        (np.diff(batch, axis=1) == 1).all() and batch.min() >= 7 and batch.max() < 7 + len(tokens)
    )


@given(st.integers(1, 20), st.integers(0, 9), st.integers(0, 1000), st.data())
def test_any_rank_draws_its_own_rows_of_the_whole_batch(batch_size, seed, step, data):
    windows = RandomWindows(np.arange(100), 5, batch_size, seed)
    start = data.draw(st.integers(0, batch_size))
    stop = data.draw(st.integers(start, batch_size))
    assert (windows.batch(step, start, stop) == windows.batch(step)[start:stop]).all()
    grown = windows.batch(step, stop=batch_size + 3)  # a growing batch keeps its first rows
    assert (grown[:batch_size] == windows.batch(step)).all()


def test_batches_depend_on_seed_and_step_and_on_nothing_else():
    tokens = np.arange(10_000)
    windows = RandomWindows(tokens, 8, 16, seed=1)
    tenth = windows.batch(10)
    windows.batch(3)  # what was drawn before does not matter
    assert (windows.batch(10) == tenth).all() and (
        RandomWindows(tokens, 8, 16, seed=1).batch(10) == tenth
    ).all()
    assert (windows.batch(11) != tenth).any() and (
        RandomWindows(tokens, 8, 16, seed=2).batch(10) != tenth
    ).any()


def test_every_window_is_drawn_equally_often():
    starts = RandomWindows(np.arange(14), 4, batch_size=10_000).batch(0)[:, 0]
    counts = np.bincount(starts, minlength=10)  # 14 - 4 = 10 windows, 1,000 expected of each
    assert len(counts) == 10
    # chi-square with 9 degrees of freedom exceeds 27.9 once in 1,000 seeds; the seed is fixed
    assert ((counts - 1000) ** 2 / 1000).sum() < 27.9


def test_exactly_one_window_is_enough():
    assert RandomWindows([3, 1, 4], 2, 2).batch(0).tolist() == [[3, 1, 4]] * 2


@pytest.mark.parametrize(
    "n, mend", [(8, "a context of at most 7"), (1, "a longer text$"), (0, "a longer text$")]
)
def test_a_text_shorter_than_one_window_names_both_numbers(n, mend):
    with pytest.raises(
        DataError, match=rf"{n} tokens are fewer than one window of 8 \+ 1 = 9.*{mend}"
    ):
        RandomWindows(np.arange(n), 8, 4)


@given(st.integers(2, 60), sizes, sizes)
def test_even_windows_score_every_target_exactly_once(n, length, batch_size):
    windows = EvenWindows(np.arange(n), length)
    batches = list(windows.batches(batch_size))
    targets = np.concatenate([batch[:, 1:].ravel() for batch in batches])
    assert targets.tolist() == list(range(1, n)) and windows.targets == n - 1
    for batch in batches:
        assert (np.diff(batch, axis=1) == 1).all() and batch.dtype == np.int64
        assert len(batch) <= batch_size and batch.shape[1] <= length + 1
    assert all(batch.shape[1] == length + 1 for batch in batches[:-1])


@pytest.mark.parametrize("n", [0, 1])
def test_even_windows_need_one_target(n):
    with pytest.raises(DataError, match=f"{n} tokens hold nothing to predict"):
        EvenWindows(np.arange(n), 4)


def test_windows_of_a_mapped_file_equal_those_of_the_array(tmp_path):
    tokens = np.arange(50) % 13
    file = write_tokens(tmp_path / "a.bin", tokens, 13)
    batch = RandomWindows(file.tokens, 6, 4, seed=3).batch(2)
    assert (batch == RandomWindows(tokens, 6, 4, seed=3).batch(2)).all() and type(
        batch
    ) is np.ndarray


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomWindows([1, 2], 0, 1),
        lambda: RandomWindows([1, 2], 1, 0),
        lambda: EvenWindows([1, 2], -1),
        lambda: next(EvenWindows([1, 2], 1).batches(1.5)),
    ],
)
def test_sizes_must_be_whole_and_positive(make):
    with pytest.raises(ConfigError, match="whole number of at least 1"):
        make()


@pytest.mark.parametrize("tokens", [np.zeros((2, 9), int), np.zeros(9)])
def test_tokens_must_be_one_row_of_integers(tokens):
    with pytest.raises(ShapeError, match="one row of integers"):
        RandomWindows(tokens, 2, 1)
