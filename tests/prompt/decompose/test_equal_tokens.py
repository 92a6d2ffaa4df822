"""Three ways to an answer, with the same model, the same questions, and an account of tokens."""

import re

import pytest

from tests.prompt.decompose.test_least_to_most import SCRIPT, STUDY
from tests.prompt.functions import FunctionLM
from tinylm.data.synthetic.prompted.last_letters import last_letter_items
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.equal_tokens import WAYS, logged_tokens, three_ways
from tinylm.prompt.decompose.least_to_most import least_to_most
from tinylm.prompt.in_context.few_shot import few_shot
from tinylm.prompt.reasoning.chain_of_thought import chain_of_thought, zero_shot_cot

ITEMS = last_letter_items(6, seed=3, words=3)
DEMO, *QUESTIONS = ITEMS


def letters(prompt):
    """Right for one letter at a time, never at once: an oracle for sub-problems alone."""
    if "USER Q" in prompt:
        name = re.findall(r'"([A-Z][^"]*)"', prompt)[-1]
        listed = ", ".join(f'"What is the last letter of {word}?"' for word in name.split())
        return f" we need to know: {listed}."
    asked = prompt.rsplit("Q: ", 1)[1]
    single = re.search(r"the last letter of (\w+)\?", asked)
    if single:
        return f" {single[1][-1]}"
    if "FINAL" in prompt:
        return " " + "".join(re.findall(r"^A: (\w)$", prompt, re.MULTILINE))
    if "The answer is" in prompt:  # as the demonstrations do
        return " One after another. The answer is xyz."
    return " xyz"


def test_three_ways_differ_in_the_calls_they_need():
    lm = FunctionLM(letters)
    rows = three_ways(lm, QUESTIONS, [DEMO])
    assert [row.name for row in rows] == ["direct", "one run", "several runs"]
    # A list, three letters, and the whole.
    assert [row.summary.calls for row in rows] == [1, 1, 1 + 3 + 1]
    assert rows[2].summary.tokens > rows[1].summary.tokens > rows[0].summary.tokens


def test_with_a_perfect_solver_of_sub_problems_several_runs_are_exact():
    rows = three_ways(FunctionLM(letters), QUESTIONS, [DEMO])
    assert [row.summary.right for row in rows] == [0, 0, len(QUESTIONS)]
    # Even against as many tokens of direct prompting.
    assert rows[2].samples > 1 and rows[2].plain.right == 0
    assert rows[2].difference[0] == 1


def test_the_ways_are_those_of_the_book():
    assert WAYS == {"direct": few_shot, "one run": chain_of_thought, "several runs": least_to_most}
    with pytest.raises(ConfigError, match="no way 'twice'; there are direct, one run, several"):
        three_ways(FunctionLM(letters), QUESTIONS, options={"twice": {}})


def test_options_seed_and_other_ways_are_handed_on():
    lines, given = [], []

    def way(lm, item, demonstrations=(), *, seed=0, depth=1):
        given.append((seed, depth, tuple(demonstrations)))
        return few_shot(lm, item, demonstrations, seed=seed)

    rows = three_ways(
        FunctionLM(letters), QUESTIONS, [DEMO], ways={"mine": way, "direct": few_shot},
        options={"mine": {"depth": 3}}, seed=5, show=lines.append,
    )  # fmt: skip
    assert [row.name for row in rows] == ["mine", "direct"] and lines
    assert {depth for _, depth, _ in given} == {3} and given[0][2] == (DEMO,)
    assert given[0][0] >= 5


@pytest.mark.parametrize("method", [few_shot, chain_of_thought, zero_shot_cot, least_to_most])
def test_the_account_is_the_sum_of_what_was_sent_and_received(method):
    lm = FunctionLM(letters)
    with lm.tracing() as trace:
        method(lm, QUESTIONS[0])
    assert logged_tokens(lm, trace) == lm.account.tokens > 0
    assert len(trace.calls) == lm.account.calls


def test_scores_are_no_prompt_and_no_reply():
    lm = ScriptedLM([*SCRIPT, ("P", {" a": -1.0})])
    with lm.tracing() as trace:
        least_to_most(lm, STUDY)
        before = logged_tokens(lm, trace)
        lm.score("P", [" a"])
    assert logged_tokens(lm, trace) == before
