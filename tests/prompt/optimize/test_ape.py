"""APE as the book writes it: its prompts, its pruning, and a set that is replaced while the best
prompt observed is kept.
"""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.optimize.ape import (
    ape,
    init_from_description,
    init_from_pairs,
    paraphraser,
    prune,
)
from tinylm.prompt.optimize.estimate import PromptEvaluator
from tinylm.prompt.optimize.paraphrase import Lexicon

PAIRS = [Item("cat", "cats"), Item("child", "children")]


def scored(score, items=(0,), **settings):
    return PromptEvaluator(lambda pairs: [score(prompt) for prompt, _ in pairs], items, **settings)


def test_prompts_are_written_from_a_description():
    request = (
        "You are given a task to complete using LLMs. Please write a prompt to guide the LLMs.\n"
        "Form the plural of a noun.\nPrompt:"
    )
    lm = ScriptedLM([(request, f" {reply}") for reply in ("A.", "B.", "A.", "C.")])
    assert init_from_description(lm, "Form the plural of a noun.", 3) == ["A.", "B.", "C."]
    assert lm.finished
    lm = ScriptedLM([(None, str(i)) for i in range(8)])
    assert len(init_from_description(lm, "x", temperature=0.7)) == 8 and lm.finished


def test_instructions_are_induced_from_pairs():
    request = (
        "You are provided with several input-output pairs for a task. "
        "Please write an instruction for performing this task.\n"
        "Input: cat Output: cats\nInput: child Output: children\nInstruction:"
    )
    lm = ScriptedLM([(request, " Pluralize."), (request, " Make it plural.")])
    assert init_from_pairs(lm, PAIRS, 2) == ["Pluralize.", "Make it plural."]
    lm = ScriptedLM([(None, str(i)) for i in range(8)])
    assert len(init_from_pairs(lm, PAIRS)) == 8 and lm.finished
    for items in ([], [*PAIRS, Item("dog")]):
        with pytest.raises(DataError, match="each with an answer"):
            init_from_pairs(lm, items)


@pytest.mark.parametrize(
    "keep, survivors",
    [(0.5, "cb"), (0.51, "cba"), (0.25, "c"), (0.01, "c"), (1, "cbad"), (0.75, "cba")],
)
def test_the_best_share_survives(keep, survivors):
    assert "".join(prune("abcd", [1, 2, 3, 1], keep)) == survivors  # a before d, its equal


def test_a_share_is_rounded_up_exactly():
    assert len(prune(range(30), range(30), 0.1)) == 3  # 0.1 * 30 is 3.0000000000000004
    assert prune([], [], 0.5) == []
    for keep in (0, 1.01, -0.5):
        with pytest.raises(ConfigError, match="above 0 and at most 1"):
            prune("ab", [1, 2], keep)


def test_candidates_are_replaced_and_the_best_observed_is_returned():
    scores = {"good": 3, "bad": 1, "x": 2, "y": 0, "z": 1}
    expanded = []
    new = iter([["x", "y", "x"], ["z"]])

    def expand(prompts, rng):
        expanded.append(prompts)
        return next(new)

    found = ape(scored(scores.get), ["bad", "good", "bad"], expand, rounds=2)
    assert expanded == [["good"], ["x"]]  # of x and y, not of good
    assert [trial.prompt for trial in found.trials] == ["bad", "good", "x", "y", "z"]
    assert (found.prompt, found.score) == ("good", 3)


@given(seed=st.integers(0, 99))
def test_with_a_grammar_that_reaches_all_paraphrases_the_result_is_the_best_of_all(seed):
    lexicon = Lexicon([("a", "b", "c"), ("x", "y"), ("p", "q", "r")])
    prompts = list(lexicon.space("a x p"))
    scores = dict(zip(prompts, np.random.default_rng(seed).random(len(prompts))))

    def expand(kept, rng):
        return [near for prompt in kept for near in lexicon.space(prompt).neighbors(prompt)]

    found = ape(scored(scores.get), ["a x p"], expand, keep=1, rounds=3)  # three slots, three steps
    assert found.prompt == max(scores, key=scores.get)
    assert found.evaluations == len(prompts)  # each once, although seen from many sides


def test_the_budget_is_kept_exactly():
    count = iter(range(1000))

    def expand(prompts, rng):
        return [str(next(count)) for _ in range(4)]

    found = ape(scored(len, items=(0, 1)), list("abcd"), expand, rounds=3)
    assert found.evaluations == 2 * (4 + 3 * 4)
    found = ape(scored(len, items=(0, 1), budget=21), list("abcd"), expand, rounds=100, held=[5])
    assert found.evaluations == 20 and len(found.trials) == 10 and found.held_score == found.score


def test_an_expansion_without_prompts_ends_the_loop():
    found = ape(scored(len), ["a", "bb"], lambda prompts, rng: [], rounds=5)
    assert found.prompt == "bb" and found.evaluations == 2


def test_the_generator_of_an_expansion_comes_from_the_seed():
    draws = []

    def expand(prompts, rng):
        draws.append(rng.random())
        return []

    for seed in (0, 0, 1):
        ape(scored(len), ["a"], expand, seed=seed)
    assert draws[0] == draws[1] != draws[2]


def test_a_model_paraphrases_what_survived():
    pattern = re.compile(r"(?s).*Input: (Add|Sum)\n1\.")
    lm = ScriptedLM([(pattern, " Plus.\n2. Total."), (pattern, " Join.\n2. Unite.")])
    expand = paraphraser(lm)
    found = expand(["Add", "Sum"], np.random.default_rng(0))
    assert found == ["Plus.", "Total.", "Join.", "Unite."]
