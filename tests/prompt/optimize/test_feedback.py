"""Textual gradients: which prompts the critic and the reviser get, and a beam that is selected by
a bandit. The critic is written by hand, so nothing here shows that criticism helps.
"""

import re

import numpy as np

from tinylm.data.read.items import Item
from tinylm.prompt import ScriptedLM
from tinylm.prompt.optimize.bandit import ucb
from tinylm.prompt.optimize.estimate import PromptEvaluator
from tinylm.prompt.optimize.feedback import (
    Mistake,
    feedback_revise,
    gradients,
    mistakes,
    protegi,
    revise,
)
from tinylm.prompt.optimize.measures import TaskMetric

ITEMS = [Item("cat", "cats"), Item("ox", "oxen"), Item("dog", "dogs")]
WRONG = [Mistake(ITEMS[1], "oxs"), Mistake(ITEMS[0], None)]
SHOWN = """This is a prompt for a task:
Pluralize.

With it, these examples were answered wrongly:
Input: ox
Right answer: oxen
Answer: oxs

Input: cat
Right answer: cats
Answer: (none)

"""


class Plural(ScriptedLM):
    """Forms regular plurals; knows irregular ones only if the prompt mentions them."""

    def __init__(self):
        super().__init__([])
        self.asked = []

    def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
        self._left = []
        for prompt, start in zip(prompts, begin):
            self.asked.append(prompt + start)
            self._left.append((None, self.reply(prompt)))
        return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    def reply(self, prompt):
        if prompt.startswith("This is a prompt") and "reasons" in prompt:
            return " It leaves out irregular nouns.\n2. It is short."
        if prompt.startswith("This is a prompt") and "irregular" in prompt.split("problem")[1]:
            return "Pluralize, also irregular nouns.</prompt>"
        if prompt.startswith("This is a prompt"):
            return "Please pluralize this noun.</prompt>"
        if prompt.startswith("Below is a prompt"):
            old = prompt.split("Input: ")[1].strip()
            return f" Kindly: {old}\n2. Now: {old}"
        noun = re.findall("Q: (.*)", prompt)[-1]
        if noun == "ox" and "irregular" in prompt:
            return " oxen"
        return f" {noun}s"


def evaluator(lm, **settings):
    return PromptEvaluator(TaskMetric(lm), ITEMS, **settings)


def test_mistakes_are_the_examples_of_a_batch_with_a_wrong_answer():
    evaluate = evaluator(Plural())
    found = mistakes(evaluate, "Pluralize.", [2, 1, 0])
    assert found == [Mistake(ITEMS[1], "oxs")]
    assert found[0].text == "Input: ox\nRight answer: oxen\nAnswer: oxs"
    assert mistakes(evaluate, "irregular", [0, 1, 2]) == []
    assert mistakes(evaluate, "other", [0, 2]) == []
    assert evaluate.evaluations == 3 + 3 + 2


def test_the_critic_reads_prompt_and_mistakes():
    request = SHOWN + (
        "Give 2 reasons why the prompt could have led to these errors, as a numbered list.\n1."
    )
    lm = ScriptedLM([(request, " Irregular nouns.\n2. No format.\n3. More.")])
    found = gradients(lm, "Pluralize.", WRONG, 2)
    assert found == ["Irregular nouns.", "No format."] and lm.finished
    lm = ScriptedLM([(None, " only one")])
    assert gradients(lm, "Pluralize.", WRONG) == ["only one"]  # a shorter list is taken as it is
    assert "Give 4 reasons" in lm.prompts[0]


def test_the_reviser_reads_the_reason_too():
    request = SHOWN + (
        "The problem of this prompt is: Irregular nouns.\n"
        "Write 2 different improved prompts, each between <prompt> and </prompt>.\n<prompt>"
    )
    lm = ScriptedLM([(request, "A.</prompt>\n<prompt>B.</prompt>")])
    assert revise(lm, "Pluralize.", WRONG, "Irregular nouns.", 2) == ["A.", "B."]
    lm = ScriptedLM([(None, "A.</prompt> <prompt>B.")])
    assert revise(lm, "p", WRONG, "r") == ["A."] and "Write 1 different" in lm.prompts[0]
    lm = ScriptedLM([(None, "A.</prompt>")])  # of two that were wanted; no more are sampled
    assert revise(lm, "p", WRONG, "r", 2) == ["A."]


def test_an_expansion_criticizes_revises_and_paraphrases():
    lm = Plural()
    wrong = [Mistake(ITEMS[1], "oxs")]
    found = feedback_revise(lm, "Pluralize.", wrong, np.random.default_rng(0), groups=1, reasons=2)
    new = ["Pluralize, also irregular nouns.", "Please pluralize this noun."]
    varied = [f"{word}: {old}" for old in [*new, "Pluralize."] for word in ("Kindly", "Now")]
    assert found == new + varied
    # one critique, a revision for each of its two reasons, and paraphrases of three prompts
    assert len(lm.asked) == 1 + 2 + 3
    plain = feedback_revise(lm, new[0], wrong, np.random.default_rng(0), reasons=2, paraphrases=0)
    assert plain == [new[1]]  # without the prompt itself
    right = feedback_revise(lm, "p", [], np.random.default_rng(0))
    assert right == ["Kindly: p", "Now: p"]  # nothing to criticize


def test_groups_of_mistakes_are_criticized_apart():
    lm = Plural()
    wrong = [Mistake(Item(f"n{i}", "x"), "y") for i in range(9)]
    rng = np.random.default_rng(0)
    feedback_revise(lm, "p", wrong, rng, errors=3, groups=2, reasons=1, paraphrases=0)
    critics = [asked for asked in lm.asked if "reasons" in asked]
    assert [len(re.findall("Input: n", asked)) for asked in critics] == [3, 3]
    assert critics[0] != critics[1]
    lm.asked.clear()
    feedback_revise(lm, "p", wrong, rng, paraphrases=0)
    critics = [asked for asked in lm.asked if "reasons" in asked]
    assert [len(re.findall("Input: n", asked)) for asked in critics] == [4] * 4


def test_the_beam_takes_over_a_better_prompt():
    lm = Plural()
    evaluate = evaluator(lm)
    found = protegi(
        lm, evaluate, ["Pluralize."], width=2, rounds=2, held=[Item("ox", "oxen", task="x")]
    )
    assert "irregular" in found.prompt and found.score == 1.0 and found.held_score == 1.0
    assert found.best_so_far[0] == 2 / 3


def test_a_round_is_expansion_of_every_member_and_selection():
    lm = Plural()
    evaluate = evaluator(lm)
    found = protegi(
        lm, evaluate, ["Pluralize.", "p", "p"], width=2, rounds=1, most=1, pulls=40, algorithm=ucb
    )
    # both have a mistake, which four critics read, and one new prompt each is taken
    assert sum("reasons" in asked for asked in lm.asked) == 2 * 4
    seen = {prompt for prompt, _ in evaluate.measure.given}
    assert len(seen) == 4 and {"Pluralize.", "p"} < seen
    assert found.prompt in seen


def test_a_small_beam_needs_no_bandit():
    lm = Plural()
    evaluate = evaluator(lm)
    # two candidates for two places: a bandit with one pull would raise
    found = protegi(lm, evaluate, ["Pluralize."], width=2, rounds=1, most=1, pulls=1)
    assert found.evaluations == 6 and len(found.trials) == 2
    none = protegi(lm, evaluator(lm), ["Pluralize."], rounds=0)
    assert [trial.prompt for trial in none.trials] == ["Pluralize."]


def test_a_budget_ends_the_search():
    lm = Plural()
    found = protegi(lm, evaluator(lm, budget=7), ["Pluralize."], rounds=50)
    assert found.evaluations <= 7
