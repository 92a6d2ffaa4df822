"""A space of prompts holds what its slots can join, and moves inside it never leave it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.optimize.space import PromptSpace

SPACE = PromptSpace(["Translate", "Render"], [" this", " the text", " it"], ["", " carefully"])

slots = st.lists(
    st.lists(st.text("ab", max_size=2), min_size=1, max_size=3, unique=True), min_size=1, max_size=3
)


def test_a_space_holds_every_choice_of_options():
    prompts = list(SPACE)
    assert len(prompts) == SPACE.choices == 2 * 3 * 2
    assert prompts[:3] == ["Translate this", "Translate this carefully", "Translate the text"]


def test_two_choices_of_the_same_text_are_one_prompt():
    space = PromptSpace(["a", "ab"], ["bc", "c"])
    assert list(space) == ["abc", "ac", "abbc"] and space.choices == 4
    assert space.choice("abc") == (0, 0)  # not (1, 1), which comes later


@given(slots=slots, seed=st.integers(0, 99))
def test_every_move_stays_in_the_space(slots, seed):
    space, rng = PromptSpace(*slots), np.random.default_rng(seed)
    prompts = set(space)
    a, b = space.sample(rng), space.sample(rng)
    moved = [a, b, space.mutate(a, rng), space.crossover(a, b, rng), *space.neighbors(a)]
    assert prompts.issuperset(moved)
    assert all(prompt in space and space.text(space.choice(prompt)) == prompt for prompt in prompts)


def test_a_text_outside_is_no_member():
    for text in ("Translate", "Translate this carefully.", "", "Render carefully"):
        assert text not in SPACE
    with pytest.raises(DataError, match="'Translate' is not in the space"):
        SPACE.choice("Translate")


def test_neighbors_differ_in_one_slot():
    assert SPACE.neighbors("Render this") == [
        "Translate this",
        "Render the text",
        "Render it",
        "Render this carefully",
    ]


def test_samples_are_uniform_over_choices():
    rng = np.random.default_rng(0)
    n = 1200
    found = [SPACE.sample(rng) for _ in range(n)]
    counts = np.array([found.count(prompt) for prompt in SPACE])
    # 12 cells of 100: the chi-square statistic of 11 degrees is above 31.3 once in a thousand
    assert ((counts - 100) ** 2 / 100).sum() < 31.3


def test_the_rate_of_mutation_is_the_chance_of_a_new_option():
    rng = np.random.default_rng(0)
    bits = PromptSpace(*[["0", "1"]] * 40)
    start = "0" * 40
    assert bits.mutate(start, rng, rate=0) == start
    # Half of the options drawn anew are the old ones.
    ones = np.mean([bits.mutate(start, rng, rate=0.5).count("1") for _ in range(100)])
    assert abs(ones - 10) < 4 * np.sqrt(40 * 0.25 * 0.75 / 100)
    # By default one slot is drawn anew on average.
    ones = np.mean([bits.mutate(start, rng).count("1") for _ in range(400)])
    assert abs(ones - 0.5) < 4 * np.sqrt(0.5 / 400)


def test_crossover_takes_each_option_from_a_parent():
    rng = np.random.default_rng(0)
    letters = PromptSpace(*[["a", "b", "c"]] * 30)
    child = letters.crossover("a" * 30, "b" * 30, rng)
    assert set(child) == {"a", "b"}
    assert letters.crossover(child, child, rng) == child


def test_a_space_needs_slots_with_different_options():
    for slots in ((), (["a"], [])):
        with pytest.raises(ConfigError, match="every slot needs an option"):
            PromptSpace(*slots)
    with pytest.raises(ConfigError, match="an option twice: ."):
        PromptSpace(["a", "b", "a"])
