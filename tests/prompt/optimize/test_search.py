"""Every strategy stays in its space, remembers the best, and ends with its budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.prompt.optimize.estimate import PromptEvaluator
from tinylm.prompt.optimize.search import (
    beam,
    exhaustive,
    hill_climb,
    random_search,
    search_prompts,
)
from tinylm.prompt.optimize.space import PromptSpace

STRATEGIES = [exhaustive, random_search, hill_climb, beam]
SPACE = PromptSpace(*[["a", "b", "c"]] * 3)


def scored(table, **settings):
    """An evaluator of one example whose scores are a table, or a function."""
    score = table
    if isinstance(table, dict):
        score = table.get
    return PromptEvaluator(lambda pairs: [score(prompt) for prompt, _ in pairs], [0], **settings)


def rugged(seed):
    """A random score for every prompt: many local optima."""
    return dict(zip(SPACE, np.random.default_rng(seed).random(27)))


@given(seed=st.integers(0, 999), strategy=st.sampled_from(STRATEGIES), budget=st.integers(1, 30))
def test_the_result_is_the_best_member_seen_within_the_budget(seed, strategy, budget):
    table = rugged(seed)
    found = search_prompts(SPACE, scored(table, budget=budget), strategy, seed=seed)
    assert found.prompt in SPACE and found.evaluations == len(found.trials) <= budget
    assert found.score == table[found.prompt] == max(table[t.prompt] for t in found.trials)
    assert (np.diff(found.best_so_far) >= 0).all()
    assert found.best_so_far[-1] == found.score


@given(seed=st.integers(0, 999))
def test_exhaustive_search_is_the_argmax(seed):
    table = rugged(seed)
    found = search_prompts(SPACE, scored(table), exhaustive, batch=4)
    assert found.prompt == max(table, key=table.get)
    assert [trial.prompt for trial in found.trials] == list(SPACE)


def test_random_search_draws_from_its_seed():
    runs = [
        search_prompts(SPACE, scored(rugged(0)), random_search, seed=s, count=8) for s in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]
    assert 1 < len(runs[0].trials) <= 8
    assert len(search_prompts(SPACE, scored(rugged(0)), random_search, count=500).trials) == 27


@given(seed=st.integers(0, 999))
def test_a_hill_climb_ends_where_no_neighbor_is_better(seed):
    table = rugged(seed)
    found = search_prompts(SPACE, scored(table), hill_climb, start="abc")
    assert all(table[near] <= found.score for near in SPACE.neighbors(found.prompt))
    assert found.trials[0].prompt == "abc"


def test_a_climb_of_a_single_peak_reaches_it():
    evaluate = scored(lambda prompt: prompt.count("c"))
    found = search_prompts(SPACE, evaluate, hill_climb, start="aaa")
    assert found.prompt == "ccc"
    # aaa and its 6 neighbors; then the neighbors of caa, cca and ccc that were not seen before
    assert found.evaluations == 1 + 6 + 4 + 3 + 3


def test_a_plateau_is_not_climbed():
    found = search_prompts(SPACE, scored(lambda prompt: 0.5), hill_climb, start="bbb")
    assert found.prompt == "bbb" and len(found.trials) == 1 + 6


def test_restarts_leave_a_local_optimum():
    trap = PromptSpace(["a", "b"], ["a", "b"])
    table = {"aa": 1.0, "ab": 0.0, "ba": 0.0, "bb": 2.0}  # both ways from aa lead down
    assert search_prompts(trap, scored(table), hill_climb, start="aa").prompt == "aa"
    assert search_prompts(trap, scored(table), hill_climb, start="aa", restarts=9).prompt == "bb"
    # one restart begins at random too: from aa, a quarter of all, it ends there
    once = {"start": "aa", "restarts": 1}
    found = {
        search_prompts(trap, scored(table), hill_climb, seed=s, **once).prompt for s in range(20)
    }
    assert found == {"aa", "bb"}


def test_a_beam_is_wider_than_a_climb():
    space = PromptSpace(["a", "b"], ["a", "b"])
    table = {"aa": 1.0, "ab": 0.0, "ba": 0.5, "bb": 2.0}
    # The best of aa and its neighbors is aa; with the second best in the beam, bb comes next.
    assert search_prompts(space, scored(table), beam, width=1, start=["aa"]).prompt == "aa"
    assert search_prompts(space, scored(table), beam, width=2, start=["aa", "ba"]).prompt == "bb"


def test_the_depth_of_a_beam_is_its_number_of_rounds():
    count = lambda prompt: prompt.count("c")  # noqa: E731
    for depth, best in ((0, 0), (1, 1), (2, 2), (3, 3), (9, 3)):
        found = search_prompts(SPACE, scored(count), beam, width=1, depth=depth, start=["aaa"])
        assert found.score == best


def test_a_beam_fills_its_places_and_ends():
    found = search_prompts(
        SPACE, scored(lambda prompt: 0.0), beam, width=3, start=["aaa"], depth=1000
    )
    assert found.trials[0].prompt == "aaa" and 3 <= len(found.trials) < 27
    with pytest.raises(ConfigError, match="width 0"):
        search_prompts(SPACE, scored(rugged(0)), beam, width=0)


def test_held_out_examples_score_the_winner():
    measure = lambda pairs: [len(prompt) + item for prompt, item in pairs]  # noqa: E731
    evaluate = PromptEvaluator(measure, [0, 1])
    found = search_prompts(PromptSpace(["a", "bb"]), evaluate, exhaustive, held=[10])
    assert (found.score, found.held_score) == (2.5, 12.0)
