"""Single draws are uniform and follow from the seed and the name."""

from collections import Counter

import pytest

from tinylm.data.synthetic.draws import at_least, distinct, generator, pick
from tinylm.errors import ConfigError


def test_a_stream_follows_from_its_seed_and_names():
    numbers = [generator(*key).integers(0, 2**32, 4).tolist()
               for key in ((0, "a"), (0, "a"), (1, "a"), (0, "b"), (0, "a", 1))]  # fmt: skip
    assert numbers[0] == numbers[1] and len(set(map(tuple, numbers))) == 4


def test_every_choice_is_picked_equally_often():
    rng = generator(0, "pick")
    counts = Counter(pick("abcd", rng) for _ in range(4000))
    # 1000 each, standard deviation sqrt(4000 * 1/4 * 3/4) = 27; four of them
    assert set(counts) == set("abcd") and all(abs(n - 1000) < 108 for n in counts.values())


def test_distinct_choices_come_in_random_order():
    rng = generator(0, "distinct")
    drawn = [tuple(distinct("abcd", 2, rng)) for _ in range(2400)]
    counts = Counter(drawn)
    # 12 ordered pairs, 200 each, standard deviation sqrt(2400 * 1/12 * 11/12) = 13.5; four of them
    assert len(counts) == 12 and all(abs(n - 200) < 54 for n in counts.values())
    assert all(a != b for a, b in drawn)
    assert sorted(distinct("abcd", 4, rng)) == list("abcd")
    with pytest.raises(ConfigError, match="5 different ones of 4"):
        distinct("abcd", 5, rng)


def test_a_setting_has_a_least_value():
    at_least("words", 2, 2)
    with pytest.raises(ConfigError, match="words is 1; it must be 2 or more"):
        at_least("words", 1, 2)
