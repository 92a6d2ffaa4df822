"""Sentinel spans: the three printed examples, and nothing is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.denoising.noise import DRAWS
from tinylm.pretrain.denoising.sentinels import Sentinels, reconstruct, sentinel_spans
from tinylm.pretrain.masked.spans import geometric_spans, poisson_spans, positions
from tinylm.pretrain.special import Special
from tinylm.pretrain.words import Words

SPECIAL = Special.after(9, sentinels=40, others=3)


@pytest.mark.parametrize(
    "text, places, close, source, target",
    [
        (
            "The puppies are frolicking outside the house .",
            (3, 5, 6),
            True,
            "The puppies are [X] outside [Y] .",
            "[X] frolicking [Y] the house [Z]",
        ),
        (
            "The kitten is chasing the ball .",
            (2, 3, 5, 6),
            False,
            "The kitten [X] the [Y]",
            "[X] is chasing [Y] ball .",
        ),
        ("I love this red car", (1, 3, 4), True, "I [X] this [Y]", "[X] love [Y] red car [Z]"),
    ],
)
def test_the_printed_examples(text, places, close, source, target):
    words = Words(text)
    x = words.ids(text)
    found = sentinel_spans(x, np.isin(np.arange(len(x)), places), words.special.sentinels, close)
    assert [" ".join(words.show(part)) for part in found] == [source, target]
    assert np.array_equal(reconstruct(*found, words.special.sentinels), x)


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=30), st.booleans())
def test_source_and_target_together_say_the_text(tokens, close):
    x, chosen = np.array([t for t, _ in tokens], int), np.array([c for _, c in tokens], bool)
    source, target = sentinel_spans(x, chosen, SPECIAL.sentinels, close)
    spans = sum(
        1 for i, c in enumerate(chosen) if c and (i == 0 or not chosen[i - 1])
    )  # neighbors are one span
    assert len(source) + len(target) == len(x) + 2 * spans + close
    assert np.array_equal(reconstruct(source, target, SPECIAL.sentinels), x)


def test_masking_nothing_and_everything():
    x = np.array([4, 5, 6])
    source, target = sentinel_spans(x, np.zeros(3, bool), SPECIAL.sentinels)
    assert np.array_equal(source, x) and target.tolist() == [SPECIAL.sentinels[0]]
    source, target = sentinel_spans(x, np.ones(3, bool), SPECIAL.sentinels)
    assert source.tolist() == [SPECIAL.sentinels[0]] and target.tolist() == [
        SPECIAL.sentinels[0],
        4,
        5,
        6,
        SPECIAL.sentinels[1],
    ]


@pytest.mark.parametrize("lengths", ["partition", "geometric", "poisson"])
def test_the_task_masks_its_share(lengths):
    draws = Random(0).uniform((50, DRAWS, 101), np.float64)
    for row in draws:
        source, target = Sentinels(SPECIAL, lengths=lengths)(np.arange(100) % 9, row)
        assert (source < 9).sum() == 85 and (target < 9).sum() == 15  # 15 % of 100
        assert np.array_equal(reconstruct(source, target, SPECIAL.sentinels), np.arange(100) % 9)
        assert lengths != "partition" or (source >= 9).sum() == 5  # 15 tokens in spans of 3
    assert (
        Sentinels(SPECIAL, mode=SPECIAL.others[0])(np.arange(100) % 9, row)[0][0]
        == SPECIAL.others[0]
    )


def test_what_does_not_work_is_said():
    with pytest.raises(ConfigError, match="2 spans need 3 sentinels, there are 2"):
        sentinel_spans([1, 2, 3], [True, False, True], [50, 51])
    source, target = sentinel_spans([1, 2, 3], [True, False, True], [50, 51, 52])  # just enough
    assert source.tolist() == [50, 2, 51] and target.tolist() == [50, 1, 51, 3, 52]
    with pytest.raises(DataError, match="sentinel 10 of the source is not in the target"):
        reconstruct([1, 10], [11, 3], [10, 11])
    with pytest.raises(ConfigError, match="'even' is not one of"):
        Sentinels(SPECIAL, lengths="even")


@pytest.mark.parametrize(
    "lengths, spans", [("geometric", geometric_spans), ("poisson", poisson_spans)]
)
def test_spans_have_the_mean_that_the_task_was_given(lengths, spans):
    special = Special.after(100, sentinels=60)
    ids, draws = np.arange(60), Random(1).uniform((DRAWS, 61), np.float64)
    more = {"p": 1 / 4} if lengths == "geometric" else {"mean": 4}  # geometric: the mean is 1 / p
    chosen = positions(*spans(60, 0.5, draws, **more), 60)
    source, target = Sentinels(special, 0.5, 4, lengths)(ids, draws)
    expected = sentinel_spans(ids, chosen, special.sentinels)
    assert source.tolist() == expected[0].tolist() and target.tolist() == expected[1].tolist()
