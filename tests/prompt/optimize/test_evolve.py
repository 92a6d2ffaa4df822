"""Populations keep their size and never lose their best; operators do what their names are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.optimize.estimate import PromptEvaluator
from tinylm.prompt.optimize.evolve import (
    BREED,
    COMBINE,
    LMOperator,
    differential,
    differential_search,
    differential_step,
    first_population,
    genetic,
    genetic_search,
    genetic_step,
    roulette,
    slot_breed,
    slot_combine,
    tournament,
)
from tinylm.prompt.optimize.search import search_prompts
from tinylm.prompt.optimize.space import PromptSpace

BITS = PromptSpace(*[["0", "1"]] * 10)


def ones(**settings):
    """OneMax: the score of a string of bits is its number of ones."""
    measure = lambda pairs: [prompt.count("1") for prompt, _ in pairs]  # noqa: E731
    return PromptEvaluator(measure, [0], **settings)


def frequencies(select, scores, n=3000, **options):
    rng = np.random.default_rng(0)
    return (
        np.bincount([select(scores, rng, **options) for _ in range(n)], minlength=len(scores)) / n
    )


@pytest.mark.parametrize(
    "scores, expected",
    [
        ([1, 3, 0], [0.25, 0.75, 0]),
        ([-3, -1, 0], [0, 0.4, 0.6]),  # 3 is added
        ([-np.inf, -2, -1], [0, 0, 1]),
        ([0, 0], [0.5, 0.5]),
        ([-np.inf, -np.inf], [0.5, 0.5]),
    ],
)
def test_roulette_draws_in_proportion(scores, expected):
    found = frequencies(roulette, scores)
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / 3000)  # 4 standard deviations
    assert (found[np.array(expected) == 0] == 0).all()


def test_a_tournament_is_won_by_the_best_of_those_drawn():
    # The best of three with replacement: 1 - (2/3)^2 = 5/9 of two draws, 3/9 for the middle.
    found = frequencies(tournament, [5, 9, 7])
    np.testing.assert_allclose(found, [1 / 9, 5 / 9, 3 / 9], atol=4 * np.sqrt(0.25 / 3000))
    assert frequencies(tournament, [5, 9], n=50, size=40)[1] == 1


@given(seed=st.integers(0, 99), size=st.integers(3, 8))
def test_a_generation_keeps_size_and_best(seed, size):
    rng, evaluate = np.random.default_rng(seed), ones()
    population = first_population(BITS, size, rng)
    assert len(set(population)) == size
    for step, operator in (
        (genetic_step, slot_breed(BITS)),
        (differential_step, slot_combine(BITS)),
    ):
        after = step(evaluate, population, operator, rng)
        assert len(after) == size and set(after) <= set(BITS)
        assert max(evaluate(after)) >= max(evaluate(population))
    assert (evaluate(after) >= evaluate(population)).all()  # member by member, in the second


@pytest.mark.parametrize("strategy", [genetic_search, differential_search])
def test_onemax_is_solved_with_fewer_evaluations_than_prompts(strategy):
    found = search_prompts(BITS, ones(), strategy, seed=0, size=12, generations=40)
    assert found.score == 10 and found.evaluations < BITS.choices / 2
    assert (np.diff(found.best_so_far) >= 0).all()


@pytest.mark.parametrize("strategy", [genetic_search, differential_search])
def test_a_run_is_a_function_of_its_seed(strategy):
    runs = [search_prompts(BITS, ones(), strategy, seed=s, generations=3) for s in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_generations_are_counted_and_a_budget_ends_them():
    start = ["000", "001", "010"]
    calls = []

    def breed(first, second, rng):
        calls.append((first, second))
        return f"{first}1"

    found = genetic(ones(), start, breed, generations=2)
    assert len(calls) == 6 and found.score >= 2
    assert genetic(ones(), start, breed, generations=0 + 1).score == 2
    ended = genetic(ones(budget=4), start, breed, generations=100)
    assert ended.evaluations <= 4
    held = genetic(ones(), start, breed, generations=1, held=[7])
    assert held.held_score == held.score


def test_the_genetic_algorithm_keeps_the_best_of_both_generations():
    children = iter(["11", "00000", "1111"])
    after = genetic_step(
        ones(), ["0", "1", "111"], lambda a, b, rng: next(children), np.random.default_rng(0)
    )
    assert after == ["1111", "111", "11"]


def test_a_child_that_cannot_be_read_is_its_first_parent():
    rng = np.random.default_rng(0)
    population = ["0", "1", "11"]
    assert sorted(genetic_step(ones(), population, lambda *_: None, rng)) == population
    assert differential_step(ones(), population, lambda *_: None, rng) == population


def test_parents_are_chosen_by_the_given_selection():
    chosen = []

    def best(scores, rng):
        return int(np.argmax(scores))

    def breed(a, b, rng):
        chosen.append((a, b))
        return a

    genetic_step(ones(), ["0", "11", "1"], breed, np.random.default_rng(0), select=best)
    assert chosen == [("11", "11")] * 3
    chosen.clear()
    genetic(ones(), ["0", "11", "1"], breed, generations=1, select=best)
    assert chosen == [("11", "11")] * 3


def test_differential_evolution_hands_over_base_best_and_two_other_donors():
    seen = []

    def combine(base, best, first, second, rng):
        seen.append((base, best, {first, second}))
        return "111" if base == "0" else "0"

    population = ["0", "11", "1"]
    after = differential_step(ones(), population, combine, np.random.default_rng(0))
    assert seen == [("0", "11", {"11", "1"}), ("11", "11", {"0", "1"}), ("1", "11", {"0", "11"})]
    assert after == ["111", "11", "1"]  # only a better trial replaces its base
    found = differential(ones(), ["0", "11", "1", "0"], combine, generations=2, held=[3])
    assert found.prompt == "111" and found.held_score == 3
    assert [trial.prompt for trial in found.trials[:3]] == ["0", "11", "1"]  # equal ones once
    with pytest.raises(ConfigError, match="3 prompts or more, not 2"):
        differential(ones(), ["0", "1", "1"], combine)


def test_a_draw_does_not_replace_the_base():
    after = differential_step(
        ones(), ["01", "10", "11"], lambda base, *_: base[::-1], np.random.default_rng(0)
    )
    assert after == ["01", "10", "11"]


def test_differential_operators_change_only_where_donors_differ():
    space, rng = PromptSpace(*[["a", "b", "c", "d"]] * 40), np.random.default_rng(0)
    combine = slot_combine(space)
    same = "a" * 40
    first, second = "a" * 20 + "b" * 20, "a" * 20 + "c" * 20
    # Donors agree in the first half: best and base are both a there.
    child = combine(same, same, first, second, rng)
    assert child[:20] == "a" * 20 and {"b", "c", "d"} & set(child[20:])
    # Half of the slots are the base's, half the (unchanged) best's.
    child = combine("b" * 40, "d" * 40, first, first, rng)
    assert set(child) == {"b", "d"}


def test_the_first_population_is_different_prompts():
    rng = np.random.default_rng(0)
    small = PromptSpace(["a", "b"], ["x", "y"])
    assert first_population(small, 4, rng) == list(small) == first_population(small, 9, rng)
    assert len(set(first_population(small, 3, rng))) == 3
    twins = PromptSpace(["a", "aa"], ["a", ""], ["", "aaa"])  # 8 choices of 6 texts
    assert len(first_population(twins, 7, rng)) == 6


def test_a_model_breeds_two_prompts():
    reply = "1. C <prompt>Sum up.</prompt>\n2. Final: <prompt> Sum it up. </prompt> Done."
    lm = ScriptedLM([(BREED.format("Add.", "Total {x}."), "<prompt>First</prompt>"), (None, reply)])
    breed = LMOperator(lm)
    rng = np.random.default_rng(0)
    with lm.tracing() as trace:
        assert breed("Add.", "Total {x}.", rng) == "First"
    assert trace.calls[0].parsed == [("prompt", "First")]
    assert breed("Add.", "Subtract.", rng) == "Sum it up."  # the last of two
    assert LMOperator(ScriptedLM([(None, "no tag")]))("a", "b", rng) is None
    assert "Prompt 1: Add.\nPrompt 2: Total {x}.\n" in lm.prompts[0]


def test_a_model_combines_four_prompts_in_their_places():
    lm = ScriptedLM([(None, "<prompt>new")])
    combine = LMOperator(lm, COMBINE)
    assert combine("base", "best", "one", "two", np.random.default_rng(0)) == "new"
    prompt = lm.prompts[0]
    for line in ("Prompt 1: one", "Prompt 2: two", "Prompt 3: best", "Basic Prompt: base"):
        assert f"{line}\n" in f"{prompt}\n"


def test_a_reply_may_be_made_to_begin_with_the_tag():
    lm = ScriptedLM([(BREED.format("a", "b") + "\n<prompt>", "Go.</prompt> more")])
    assert LMOperator(lm, begin="\n<prompt>")("a", "b", np.random.default_rng(0)) == "Go."


def test_a_model_is_sampled_with_seeds_of_the_generator():
    class Recorder(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            self.seen.append((seed, max_tokens, stop, sampling))
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    lm = Recorder({BREED.format("a", "b"): "<prompt>c"})
    lm.seen = []
    rng = np.random.default_rng(0)
    breed = LMOperator(lm, top_k=5)
    breed("a", "b", rng)
    breed("a", "b", rng)
    assert lm.seen[0][0] != lm.seen[1][0]
    assert lm.seen[0][1:] == (256, (), {"temperature": 0.5, "top_k": 5})
