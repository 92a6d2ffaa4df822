"""Instructions of steps: every operation changes them in a way that can be checked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.align.synthesis.steps import STEPS, Steps, evolve_steps, parse_steps
from tinylm.errors import ConfigError, DataError

SORT = Steps(("sort",))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_an_instruction_and_its_answer():
    steps = Steps(("sort", "reverse"), limit=2)
    assert steps.text() == (
        "Sort the words alphabetically, then reverse the order of the words. Write at most 2 words."
    )
    assert steps.solve("door apple green") == "green door"
    assert Steps(("uppercase",), line="door apple").text() == (
        'Write the words in capital letters of the line "door apple".'
    )
    assert Steps(("uppercase",), line="door apple").solve("ignored") == "DOOR APPLE"


@given(
    st.lists(st.sampled_from(list(STEPS)), min_size=1, max_size=4),
    st.none() | st.integers(1, 9),
    st.none() | st.sampled_from(["door apple", "a. b."]),
)
def test_every_instruction_is_read_back(names, limit, line):
    steps = Steps(tuple(names), limit, line)
    assert parse_steps(steps.text()) == steps


@pytest.mark.parametrize("text", ["Sing.", "Sort the words alphabetically. Now.", "sort", ""])
def test_other_texts_are_refused(text):
    with pytest.raises(DataError):
        parse_steps(text)


def test_deepening_adds_a_step_that_is_not_the_last_again(rng):
    added = {evolve_steps(SORT, "deepen", rng).names for _ in range(20)}
    assert added == {("sort", "reverse"), ("sort", "uppercase")}


def test_a_constraint_is_a_limit_and_then_a_tighter_one(rng):
    limits = {evolve_steps(SORT, "add_constraint", rng).limit for _ in range(20)}
    assert limits == {2, 3, 4}
    assert evolve_steps(Steps(("sort",), 2), "add_constraint", rng) == Steps(("sort",), 1)


def test_concretizing_puts_the_words_into_the_instruction(rng):
    found = evolve_steps(SORT, "concretize", rng)
    assert found == Steps(("sort",), None, "apple door green")
    assert evolve_steps(Steps(("reverse",)), "concretize", rng, "x y").solve() == "y x"


def test_breadth_changes_the_steps_and_not_their_number(rng):
    for _ in range(10):
        found = evolve_steps(Steps(("sort", "reverse"), 3), "breadth", rng)
        assert found.names != ("sort", "reverse")
        assert len(found.names) == 2 and found.limit == 3


def test_answers_stay_computable(rng):
    steps = SORT
    for operation in ("deepen", "breadth", "add_constraint", "deepen", "concretize"):
        after = evolve_steps(steps, operation, rng)
        assert after != steps and parse_steps(after.text()) == after
        answer = after.solve("door apple green house").split()
        assert 0 < len(answer) <= (after.limit or 4)
        steps = after


def test_what_changes_nothing_is_refused(rng):
    with pytest.raises(ConfigError, match="changes nothing"):
        evolve_steps(Steps(("sort",), 1), "add_constraint", rng)
    with pytest.raises(ConfigError, match="changes nothing"):
        evolve_steps(Steps(("sort",), line="a b"), "concretize", rng)
    with pytest.raises(ConfigError, match="'sing'"):
        evolve_steps(SORT, "sing", rng)
    with pytest.raises(AttributeError):
        SORT.limit = 2
