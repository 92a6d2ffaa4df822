"""Sparse patterns: what each lets be seen, drawn out; degrees, reach, and masks and index lists
saying the same.
"""

import numpy as np
import pytest

from tests.numeric import host, plain
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.nn.attention import patterns as p


def drawn(text):
    """A mask from lines of # and ."""
    return np.array([[c == "#" for c in line] for line in text.split()])


def test_each_pattern_is_what_its_picture_shows():
    np.testing.assert_array_equal(p.window(4, width=2), drawn("#... ##.. .##. ..##"))
    np.testing.assert_array_equal(p.window(4, width=2, causal=False), drawn("##.. ###. .### ..##"))
    np.testing.assert_array_equal(
        p.dilated(5, width=2, step=2), drawn("#.... .#... #.#.. .#.#. ..#.#")
    )
    np.testing.assert_array_equal(
        p.strided(6, stride=3), drawn("#..... ##.... ###... ####.. .####. ..####")
    )
    np.testing.assert_array_equal(
        p.strided(7, stride=3)[6], drawn("#..####")[0]
    )  # 6, 3, 0 and 4, 5
    np.testing.assert_array_equal(
        p.fixed(6, stride=2), drawn("#..... ##.... .##... .###.. .#.##. .#.###")
    )
    np.testing.assert_array_equal(p.blocks(5, size=2), drawn("#.... ##... ..#.. ..##. ....#"))
    np.testing.assert_array_equal(
        p.blocks(5, size=2, back=1), drawn("#.... ##... ###.. ####. ..###")
    )
    np.testing.assert_array_equal(p.first_tokens(4, count=2), drawn("#... ##.. ##.. ##.."))
    np.testing.assert_array_equal(p.first_tokens(3, count=1, causal=False), drawn("### #.. #.."))
    np.testing.assert_array_equal(
        p.window(5, width=2) | p.first_tokens(5, count=1), drawn("#.... ##... ###.. #.##. #..##")
    )  # sinks and window


PATTERNS = {
    "window": (p.window, dict(width=3)),
    "dilated": (p.dilated, dict(width=3, step=2)),
    "strided": (p.strided, dict(stride=4)),
    "fixed": (p.fixed, dict(stride=4)),
    "blocks": (p.blocks, dict(size=4)),
    "two blocks": (p.blocks, dict(size=4, back=1)),
    "first": (p.first_tokens, dict(count=2)),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_causal_is_the_lower_triangle_of_the_full_pattern(name):
    make, sizes = PATTERNS[name]
    causal, full = make(11, **sizes), make(11, **sizes, causal=False)
    if name == "first":  # there the global tokens see everything only when not causal
        full[:2, 2:] = False
    np.testing.assert_array_equal(causal, full & np.tri(11, dtype=bool))
    assert causal[:, :][np.eye(11, dtype=bool)].all() or name == "first"  # a token sees itself


@pytest.mark.parametrize("name", PATTERNS)
def test_queries_after_a_past_see_the_rows_of_the_whole(name):
    make, sizes = PATTERNS[name]
    whole = make(11, **sizes)
    np.testing.assert_array_equal(make(3, 11, **sizes), whole[8:])  # the last three, by default
    np.testing.assert_array_equal(make(2, 11, offset=5, **sizes), whole[5:7])


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_made_on_every_device(name, device):
    make, sizes = PATTERNS[name]
    there = make(6, like=plain(np.zeros(1), device), **sizes)
    np.testing.assert_array_equal(host(there), make(6, **sizes))
    index, visible = p.index_sets(there)
    np.testing.assert_array_equal(host(p.mask_of(index, visible, 6)), make(6, **sizes))


@pytest.mark.parametrize("causal", [True, False])
def test_random_keys_are_so_many_and_repeat_with_the_stream(causal):
    mask = p.random_keys(9, count=3, rng=Random(1), causal=causal)
    np.testing.assert_array_equal(
        mask.sum(1), np.minimum(3, np.arange(9) + 1) if causal else np.full(9, 3)
    )
    assert not causal or not np.triu(mask, 1).any()
    np.testing.assert_array_equal(mask, p.random_keys(9, count=3, rng=Random(1), causal=causal))
    assert (mask != p.random_keys(9, count=3, rng=Random(2), causal=causal)).any()


def test_big_bird_is_the_union_of_its_parts():
    both = p.global_local_random(10, first=1, width=2, count=2, rng=Random(3))
    parts = [
        p.first_tokens(10, count=1),
        p.window(10, width=2),
        p.random_keys(10, count=2, rng=Random(3)),
    ]
    np.testing.assert_array_equal(both, parts[0] | parts[1] | parts[2])
    assert both.sum(1).max() <= 1 + 2 + 2  # the degree does not grow with the sequence


def test_masks_and_index_lists_are_two_ways_to_say_the_same(rng):
    for shape in ((5, 7), (3, 5, 7), (2, 3, 5, 7)):
        mask = rng.random(shape) < 0.4
        index, visible = p.index_sets(mask)
        assert index.shape[-1] == mask.sum(-1).max()
        np.testing.assert_array_equal(p.mask_of(index, visible, 7), mask)


def test_window_lists_need_no_mask_and_say_the_same():
    for queries, keys, width, step, first in [
        (8, 8, 3, 1, 0),
        (8, 8, 3, 1, 2),
        (3, 8, 2, 2, 0),
        (8, 8, 20, 1, 0),
        (6, 6, 1, 1, 4),
    ]:
        index, visible = p.window_index(queries, keys, width=width, step=step, first=first)
        assert index.shape == (queries, first + width)
        mask = p.dilated(queries, keys, width=width, step=step)
        if first:
            mask = mask | p.first_tokens(queries, keys, count=first)
        np.testing.assert_array_equal(p.mask_of(index, visible, keys), mask)
        assert (visible.sum(1) == mask.sum(1)).all()  # no key is named twice


def test_reach_after_layers_is_what_theory_says():
    w, T = 3, 20
    for layers in (1, 2, 4):
        seen = p.reaches(p.window(T, width=w), layers)[T - 1].sum()
        assert seen == layers * (w - 1) + 1  # a window reaches L(w - 1) + 1 tokens
    # dilation 1, 3, 9 with 3 keys reaches 27 = 3^3 tokens in three layers, a window of 3 only 7
    steps = [p.dilated(27, width=3, step=s) for s in (9, 3, 1)]
    reach = np.eye(27, dtype=bool)
    for step in steps:
        reach = (reach.astype(int) @ step) > 0
    assert reach[26].all()
    # strided: two hops reach every earlier token (Child et al. 2019); so does one global token
    assert (p.reaches(p.strided(25, stride=5), 2) == np.tri(25, dtype=bool)).all()
    assert p.reaches(p.window(25, width=2) | p.first_tokens(25, count=1), 2)[:, 0].all()
    # blocks alone never leave their block, however deep
    assert not p.reaches(p.blocks(8, size=4), 50)[4:, :4].any()


def test_sizes_below_one_are_refused():
    with pytest.raises(ConfigError, match="width = 0"):
        p.window(4, width=0)


def test_more_pictures_of_more_options():
    np.testing.assert_array_equal(
        p.fixed(6, stride=3, summary=2), drawn("#..... ##.... ###... .###.. .####. .#####")
    )  # the last two of every block of three
    np.testing.assert_array_equal(
        p.blocks(5, size=2, back=1, causal=False), drawn("####. ####. ##### ##### ..###")
    )
    np.testing.assert_array_equal(
        p.dilated(5, width=2, step=2, causal=False), drawn("#.#.. .#.#. #.#.# .#.#. ..#.#")
    )
    np.testing.assert_array_equal(p.window(2, 3, width=2, offset=0), drawn("#.. ##."))


@pytest.mark.parametrize(
    "make, sizes",
    [
        (p.window, {"width": 0}),
        (p.dilated, {"width": 0, "step": 1}),
        (p.dilated, {"width": 1, "step": 0}),
        (p.strided, {"stride": 0}),
        (p.fixed, {"stride": 0}),
        (p.fixed, {"stride": 2, "summary": 0}),
        (p.blocks, {"size": 0}),
        (p.random_keys, {"count": 0, "rng": None}),
    ],
)
def test_each_size_of_a_pattern_is_one_or_more(make, sizes):
    wrong = next(name for name, size in sizes.items() if size == 0)
    with pytest.raises(ConfigError, match=f"pattern: {wrong} = 0: must be 1 or more"):
        make(4, **sizes)


def test_random_keys_are_all_that_a_query_may_see_where_these_are_few():
    # Three keys, five of which are asked for: causal, the lower triangle; else everything.
    some = p.random_keys(3, count=5, rng=Random(0))
    np.testing.assert_array_equal(some, np.tri(3, dtype=bool))
    assert p.random_keys(3, count=5, rng=Random(0), causal=False).all()


def test_every_key_is_drawn_equally_often():
    # Of 20 keys 5 are drawn for each of 400 queries: a key is seen by about 100, deviation
    # sqrt(400 / 4 * 3 / 4) = 8.7; five of them are 43.
    mask = p.random_keys(400, 20, count=5, rng=Random(0), causal=False)
    assert (np.abs(mask.sum(0) - 100) < 43).all()


def test_index_lists_begin_with_visible_keys_from_the_left():
    index, visible = p.index_sets(drawn("#.#. ...# ...."))
    assert index[visible].tolist() == [0, 2, 3]
    np.testing.assert_array_equal(visible, [[True, True], [True, False], [False, False]])
    np.testing.assert_array_equal(p.mask_of(index, visible, 4), drawn("#.#. ...# ...."))
    np.testing.assert_array_equal(
        p.mask_of(index, np.zeros_like(visible), 4), drawn(".... .... ....")
    )
