"""A model proposes lines and evaluates them; the search decides which prompts it gets."""

import math

import numpy as np
import pytest

from tests.prompt.functions import FunctionLM
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.reasoning.conclusion import first_number
from tinylm.prompt.reasoning.thoughts import (
    WORTH,
    list_thoughts,
    sample_thoughts,
    tree_of_thoughts,
    value_thoughts,
    vote,
)


def test_lines_are_sampled_after_the_lines_so_far():
    lm = ScriptedLM([("P\none\ntwo\n", text) for text in (" a\nb", "c", "a", " \n")])
    found = sample_thoughts(lm, "P", ("one", "two"), 4)
    assert found == [("one", "two", "a"), ("one", "two", "c")]  # equal and empty ones are dropped
    lm = ScriptedLM([("P\n", "x;y")])
    assert sample_thoughts(lm, "P", (), 1, stop=(";",)) == [("x",)]
    lm = ScriptedLM([("P\n", "w " * 99)])
    assert len(sample_thoughts(lm, "P", (), 1)[0][0].split()) == 64


def test_lines_are_drawn_at_temperature_0_7_with_seeds_of_their_own():
    lm = text_model()
    drawn = lm.sample("P", 3, begin="\na\n", seed=5, max_tokens=6, stop="\n", temperature=0.7)
    found = sample_thoughts(lm, "P", ("a",), 3, seed=5, max_tokens=6)
    assert found == [("a", reply.text.strip()) for reply in drawn]


def test_one_reply_may_list_the_lines():
    lm = ScriptedLM([("Next steps:", "1 + 2 = 3\n\n 1 * 2 = 2 \n1 + 2 = 3\nEND more")])
    with lm.tracing() as trace:
        found = list_thoughts(lm, "Next steps:", ("s",), stop="END")
    assert found == [("s", "1 + 2 = 3"), ("s", "1 * 2 = 2")]
    assert trace.calls[0].parsed == [("thoughts", found)]
    assert len(list_thoughts(ScriptedLM([(None, "w\n" * 300)]), "P", ())) == 1
    lines = "\n".join(f"w{i}" for i in range(300))
    assert len(list_thoughts(ScriptedLM([(None, lines)]), "P", ())) == 256  # words


EVALUATION = (
    "Evaluate whether the steps so far can lead to the answer of the question. Reply sure, likely "
    "or impossible.\nQuestion: 2+2?\nSteps: {}\nEvaluation:"
)


def test_the_value_of_a_state_is_the_expected_worth_of_the_reply():
    def scores(*probabilities):
        return {text: math.log(p) for text, p in zip(WORTH, probabilities)}

    lm = ScriptedLM(
        [
            (EVALUATION.format("a b"), scores(0.5, 0.25, 0.25)),
            (EVALUATION.format("c"), scores(0.1, 0.1, 0.2)),  # of 0.4: 1/4, 1/4, 1/2
        ]
    )
    values = value_thoughts(lm, "2+2?", [("a", "b"), ("c",)])
    np.testing.assert_allclose(
        values, [10 + 0.25 + 0.00025, 5 + 0.25 + 0.0005], rtol=1e-12
    )  # 20, 1 and 0.001
    assert lm.account.calls == 2
    lm = ScriptedLM([(None, {" yes": math.log(0.3), " no": math.log(0.7)})])
    assert value_thoughts(lm, "?", [("a",)], {" yes": 1.0, " no": 0.0}) == pytest.approx([0.3])


def test_votes_are_shares():
    prompt = (
        "Several beginnings of a solution are given. Decide which is the most promising. Reply "
        "with its number.\nQuestion: 2+2?\nChoice 1: a b\nChoice 2: c\nBest choice:"
    )
    replies = [" 2", " Choice 2, not 1", " 1.", " neither", " 3"]
    lm = ScriptedLM([(prompt, reply) for reply in replies])
    with lm.tracing() as trace:
        shares = vote(lm, "2+2?", [("a", "b"), ("c",)])
    np.testing.assert_allclose(shares, [1 / 3, 2 / 3])  # of three votes
    assert trace.calls[-1].parsed == [("votes", {2: 2, 1: 1})]
    shares = vote(ScriptedLM([(None, "0")]), "?", [("a",), ("b",)], votes=1)
    np.testing.assert_array_equal(shares, [0.5, 0.5])
    with pytest.raises(ConfigError, match="votes 0 must be"):
        vote(lm, "?", [("a",)], votes=0)


def test_votes_are_drawn_at_temperature_0_7_with_16_tokens():
    lm = text_model(context=300)
    with lm.tracing() as trace:
        vote(lm, "2+2?", [("a",)], votes=2, seed=4)
    prompt = trace.calls[0].prompt
    drawn = lm.sample(prompt, 2, seed=4, max_tokens=16, temperature=0.7)
    assert [call.reply for call in trace.calls] == [reply.text for reply in drawn]


# A model that adds two of the numbers, right or wrong, and evaluates by looking at the sums.
QUESTION = Item("1 + 2 + 3?", "6")


def world(prompt):
    if "Evaluation:" in prompt:
        wrong = "= 4" in prompt.partition("Steps:")[2]
        low, high = math.log(0.01), math.log(0.98)
        return dict(zip(WORTH, (low, low, high) if wrong else (high, low, low)))
    world.calls += 1
    if "= 6" in prompt or "= 7" in prompt:
        return f" The answer is {prompt[-2]}.\n"
    if "= 3" in prompt:
        return " 3 + 3 = 6\n"
    if "= 4" in prompt:
        return " 4 + 3 = 7\n"
    return " 1 + 2 = 4\n" if world.calls % 2 else " 1 + 2 = 3\n"


def test_a_search_leaves_the_wrong_step_that_a_chain_takes():
    world.calls = 0
    lm = FunctionLM(world)
    with lm.tracing() as trace:
        answer = tree_of_thoughts(lm, QUESTION, width=1, branches=2)
    assert answer.value == "6" and answer.text == "1 + 2 = 3\n3 + 3 = 6\nThe answer is 6."
    assert answer.details["steps"] == answer.text.split("\n")
    search = answer.details["search"]
    # Two lines are sampled at each of three steps; they differ at the first alone.
    assert (search.generated, search.expanded, search.pruned) == (4, 3, 1)
    assert lm.account.calls == 3 * 2 + 4
    assert trace.calls[-1].parsed[-1] == ("answer", "6")
    world.calls = 0
    chain = tree_of_thoughts(FunctionLM(world), QUESTION, width=1, branches=1)
    assert chain.value == "7"


def test_a_search_that_ends_too_early_has_no_answer():
    world.calls = 0
    answer = tree_of_thoughts(FunctionLM(world), QUESTION, depth=2)
    assert answer.value is None and answer.text == "1 + 2 = 3\n3 + 3 = 6"
    silent = tree_of_thoughts(FunctionLM(lambda prompt: ""), QUESTION)
    assert silent.value is None and silent.text == "" and silent.details["steps"] == []


def wordy(prompt):
    if "Evaluation:" in prompt:
        return dict.fromkeys(WORTH, 0.0)
    return " w" * 99


def test_defaults_are_a_width_of_2_3_branches_and_6_lines():
    def endless(prompt):
        if "Evaluation:" in prompt:
            return dict.fromkeys(WORTH, -1.0)
        endless.calls += 1
        return f" line {endless.calls}"

    endless.calls = 0
    answer = tree_of_thoughts(FunctionLM(endless), QUESTION)
    assert [len(level) for level in answer.details["search"].levels] == [1, 2, 2, 2, 2, 2, 2]
    assert answer.details["search"].generated == 3 + 5 * 2 * 3
    long = tree_of_thoughts(FunctionLM(wordy), QUESTION, depth=1)
    assert len(long.text.split()) == 64


def test_demonstrations_and_the_answers_reader_are_the_callers():
    demo = Item("1?", "1", rationale="It is 1.\nYes.")
    form = FewShotPrompt(question_name="P", answer_name="S")
    text = "P: 1?\nS: It is 1.\nYes. The answer is 1.\n\nP: 1 + 2 + 3?\nS:\n"

    def reply(prompt):
        if "Evaluation:" in prompt:
            return dict.fromkeys(WORTH, 0.0)
        assert prompt == text
        return "The answer is 6 apples.\n"

    answer = tree_of_thoughts(FunctionLM(reply), QUESTION, [demo], prompt=form, read=first_number)
    assert answer.value == "6"


class Recorder(FunctionLM):
    """Records seeds."""

    def sample(self, prompt, count, seed=0, **options):
        self.seeds = [*getattr(self, "seeds", []), *range(seed, seed + count)]
        return super().sample(prompt, count, seed=seed, **options)


def test_no_two_lines_are_drawn_with_the_same_seed():
    world.calls = 0
    lm = Recorder(world)
    tree_of_thoughts(lm, QUESTION, seed=7)
    assert lm.seeds == list(range(7, 7 + len(lm.seeds)))
