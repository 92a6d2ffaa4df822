"""Methods that search for a prompt first: which prompts are tried on what, which one answers the
questions, and what is reported. The model is written by hand, so nothing here shows that a search
helps.
"""

import inspect
import re

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.evaluation import search_methods as methods
from tinylm.prompt.evaluation.runner import answer_items
from tinylm.prompt.in_context.few_shot import FewShotPrompt

SHOWN = [Item("cat", "cats"), Item("dog", "dogs"), Item("cow", "cows"), Item("pig", "pigs")]
ASKED = [Item("hen", "hens"), Item("bee", "bees")]
FORM = FewShotPrompt("Choose the text.")


class Plurals(ScriptedLM):
    """Forms plurals if the prompt has a word that it knows, and writes prompts when asked to."""

    def __init__(self, key, context=None, chat=False):
        super().__init__([], context)
        self.key, self.asked = key, []
        if chat is not None:  # a TextLM need not say what it is
            self.chat = chat

    def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
        self._left = []
        for prompt, begin in zip(prompts, begins):
            self.asked.append((prompt + begin, max_tokens, sampling))
            self._left.append((None, self.reply(prompt, begin)))
        return super()._complete(prompts, begins, max_tokens, stop, seed, sampling)

    def _score(self, prompts, lists, begins):
        self._left = []
        for prompt, texts in zip(prompts, lists):
            likely = -1.0 - 4.0 * (self.key not in prompt)
            self._left.append((None, dict.fromkeys(texts, likely)))
        return super()._score(prompts, lists, begins)

    def reply(self, prompt, begin):
        if begin == "Instruction:":
            return " Name the animal."
        if begin == "Prompt:":
            return " Form plurals."
        if begin == "1." and "wrongly" in prompt:
            return " It lacks plurals."
        if begin == "1.":
            return " Give plurals.\n2. Copy it."
        if begin == "<prompt>":
            return "Write plurals.</prompt>"
        if "Write a better prompt" in prompt:
            return "<prompt>Cross plurals.</prompt>"
        if begin == "German:":
            return " Bilde Plurale."
        if begin == "English:":
            return " Build plurals."
        noun = re.findall("Q: (.*)", prompt)[-1]
        return f" {noun}{'s' * (self.key in prompt)}"

    @property
    def questions(self):
        """(instruction, question) of all prompts that answer one."""
        found = [re.fullmatch("(.*)\n\nQ: (.*)\nA:", prompt, re.S) for prompt, *_ in self.asked]
        return [one.groups() for one in found if one]


def found(answers):
    """(values, report)"""
    return [answer.value for answer in answers], answers[0].details["report"]


def test_what_was_found_answers_the_questions_without_demonstrations():
    lm = Plurals("plurals")
    values, report = found(methods.ape(lm, ASKED, SHOWN, description="plurals", candidates=1))
    assert values == ["hens", "bees"]
    assert lm.questions[-2:] == [("Form plurals.", "hen"), ("Form plurals.", "bee")]
    assert report["prompt"] == "Form plurals."
    assert report["accuracy on the 4 demonstrations that chose it"] == 1.0
    assert "held out" not in str(report)
    tried = {instruction for instruction, _ in lm.questions}
    assert report["prompts tried on all of them"] == len(tried) == 3  # and two paraphrases
    assert report["evaluations"] == 4 * 3
    # All but what the two questions themselves cost.
    assert 0 < report["tokens of the search"] < lm.account.tokens


def test_the_report_stands_beside_the_first_question_that_was_answered():
    asked, options = [Item("hen " * 40), *ASKED], {"prompt": FORM, "max_tokens": 4}
    first, second, third = methods.paraphrases(Plurals("text", 30), asked, SHOWN, **options)
    assert isinstance(first, DataError) and "report" in second.details
    assert "report" not in third.details
    lm = Plurals("text", 30)
    records = list(answer_items(lm, methods.paraphrases, asked, SHOWN, **options))
    assert [bool(record.error) for record in records] == [True, False, False]
    assert records[1].report["evaluations"] == 24 and records[0].report == records[2].report == {}
    # The search is a part of what the method costs, and all of it is accounted for.
    assert sum(record.calls for record in records) == 26


def test_an_instruction_is_inferred_from_pairs_unless_the_task_is_described():
    lm = Plurals("plurals")
    methods.ape(lm, ASKED, SHOWN, candidates=1, pairs=2, rounds=0, writing=9)
    prompt, tokens, _ = lm.asked[0]
    assert "Input: cat Output: cats\nInput: dog Output: dogs\n" in prompt and "cow" not in prompt
    assert prompt.endswith("Instruction:") and tokens == 9
    assert {instruction for instruction, _ in lm.questions} == {"Name the animal."}
    lm = Plurals("plurals")
    methods.ape(lm, ASKED, SHOWN, description="animals", candidates=1, rounds=0, prompt=FORM)
    assert "\nanimals\n" in lm.asked[0][0]
    # The instruction that is given competes.
    assert {instruction for instruction, _ in lm.questions} == {"Form plurals.", FORM.instruction}


def test_the_best_share_is_paraphrased():
    lm = Plurals("Copy")
    options = {"candidates": 1, "rounds": 1, "variants": 2, "writing": 7}
    values, report = found(methods.ape(lm, ASKED, SHOWN, **options))
    assert report["prompt"] == "Copy it." and values == ["hens", "bees"]
    (written,) = [one for one in lm.asked if one[0].endswith("1.")]
    assert "Input: Name the animal.\n" in written[0] and written[1] == 7
    _, report = found(methods.ape(Plurals("Copy"), ASKED, SHOWN, **options | {"variants": 1}))
    assert report["prompt"] == "Name the animal."


def test_phrases_are_edited():
    lm = Plurals("Pick")
    values, report = found(methods.grips(lm, ASKED, SHOWN, prompt=FORM, patience=10))
    # A synonym of "Choose", perhaps with other phrases gone.
    assert "Pick" in report["prompt"] and values == ["hens", "bees"]
    lm = Plurals("nothing")
    options = {"prompt": FORM, "candidates": 1, "edits": 2, "rounds": 5, "patience": 1}
    _, report = found(methods.grips(lm, ASKED, SHOWN, **options))
    assert report["prompt"] == FORM.instruction
    assert report["prompts tried on all of them"] == 2  # the first failure ends the climb


def test_an_instruction_is_criticized_by_its_mistakes_and_revised():
    lm = Plurals("Write plurals")
    options = {"prompt": FORM, "rounds": 1, "batch": 2, "groups": 1, "paraphrases": 0}
    values, report = found(methods.protegi(lm, ASKED, SHOWN, **options))
    assert report["prompt"] == "Write plurals." and values == ["hens", "bees"]
    (critic,) = [prompt for prompt, *_ in lm.asked if prompt.endswith("1.")]
    assert critic.count("Right answer:") == 2 and FORM.instruction in critic
    (revised,) = [prompt for prompt, *_ in lm.asked if prompt.endswith("<prompt>")]
    assert "The problem of this prompt is: It lacks plurals." in revised
    lm = Plurals("Write plurals")
    methods.protegi(lm, ASKED, SHOWN, **options | {"paraphrases": 1, "groups": 2, "width": 1})
    written = [prompt for prompt, *_ in lm.asked if "Below is a prompt" in prompt]
    assert len(written) == 2  # of the instruction and of its one revision
    assert sum(prompt.endswith("<prompt>") for prompt, *_ in lm.asked) == 2


@pytest.mark.parametrize("chat, begin", [(None, "\n<prompt>"), (False, "\n<prompt>"), (True, "")])
def test_prompts_are_crossed_by_the_model(chat, begin):
    lm = Plurals("Cross", chat=chat)
    options = {"prompt": FORM, "size": 3, "generations": 1, "writing": 11}
    values, report = found(methods.evolution(lm, ASKED, SHOWN, **options))
    assert report["prompt"] == "Cross plurals." and values == ["hens", "bees"]
    crossed = [one for one in lm.asked if "Write a better prompt" in one[0]]
    assert len(crossed) == 3 and all(tokens == 11 for _, tokens, _ in crossed)
    assert all(prompt.endswith(f"</prompt>.{begin}") for prompt, *_ in crossed)
    population = [instruction for instruction, _ in lm.questions[:12:4]]
    assert population == [FORM.instruction, "Give plurals.", "Copy it."]


def test_differential_evolution_needs_three_and_a_population_may_be_one():
    lm = Plurals("Cross")
    options = {"prompt": FORM, "size": 3, "generations": 1, "differential": True}
    _, report = found(methods.evolution(lm, ASKED, SHOWN, **options))
    assert report["prompt"] == "Cross plurals."
    assert sum("Basic Prompt:" in prompt for prompt, *_ in lm.asked) == 3
    lm = Plurals("Choose")
    _, report = found(methods.evolution(lm, ASKED, SHOWN, prompt=FORM, size=1, generations=1))
    assert report["prompt"] == FORM.instruction and "Below is a prompt" not in str(lm.asked)


def test_all_paraphrases_are_tried():
    lm = Plurals("passage")
    values, report = found(methods.paraphrases(lm, ASKED, SHOWN, prompt=FORM))
    # choose, select, pick x text, passage
    assert report["prompts tried on all of them"] == 6 and values == ["hens", "bees"]
    assert report["prompt"] == "Choose the passage."
    lm = Plurals("Give")
    options = {"prompt": FORM, "count": 2, "writing": 12}
    _, report = found(methods.paraphrases(lm, ASKED, SHOWN, **options))
    assert report["prompts tried on all of them"] == 8 and report["prompt"] == "Give plurals."
    assert lm.asked[0][1] == 12
    lm = Plurals("Build")
    options = {"prompt": FORM, "language": "German", "writing": 13}
    _, report = found(methods.paraphrases(lm, ASKED, SHOWN, **options))
    assert report["prompts tried on all of them"] == 7 and report["prompt"] == "Build plurals."
    there, back = lm.asked[0], lm.asked[4]
    assert there[0].startswith("Translate the following text from English to German.\nChoose")
    assert back[0].startswith("Translate the following text from German to English.\nBilde")
    assert there[1] == back[1] == 13


@pytest.mark.parametrize("algorithm", methods.ALGORITHMS)
def test_a_bandit_finds_the_one_that_is_right(algorithm):
    lm = Plurals("Pick the passage")
    options = {"prompt": FORM, "algorithm": algorithm, "pulls": 24}
    values, report = found(methods.bandit(lm, ASKED, SHOWN, **options))
    assert report["prompt"] == "Pick the passage." and values == ["hens", "bees"]
    assert report["accuracy on the 4 demonstrations that chose it"] == 1.0
    assert report["evaluations"] <= 24 + 4


def test_a_bandit_pulls_as_often_as_it_may():
    lm = Plurals("nothing")
    options = {"prompt": FORM, "algorithm": "uniform", "pulls": 13}
    _, report = found(methods.bandit(lm, ASKED, SHOWN, **options))
    assert report["evaluations"] == 6 * 2 + 2  # two pulls of each; the winner's other two
    with pytest.raises(ConfigError, match="6 arms need 6 pulls or more, and there are 5"):
        methods.bandit(lm, ASKED, SHOWN, **options | {"pulls": 5})


def test_likelihood_is_optimized_in_place_of_accuracy():
    lm = Plurals("passage")
    options = {"prompt": FORM, "by": "likelihood"}
    _, report = found(methods.paraphrases(lm, ASKED, SHOWN, **options))
    assert report["likelihood on the 4 demonstrations that chose it"] == -1.0
    assert report["prompt"] == "Choose the passage."
    # No text is written but the two answers.
    assert len(lm.asked) == 2


def test_demonstrations_that_are_held_out_test_the_winner_alone():
    lm = Plurals("passage")
    _, report = found(methods.paraphrases(lm, ASKED, SHOWN, prompt=FORM, held=1))
    assert report["accuracy on the 3 demonstrations that chose it"] == 1.0
    assert report["accuracy on 1 that were held out"] == 1.0
    tried = [instruction for instruction, question in lm.questions if question == "pig"]
    assert tried == ["Choose the passage."] and report["evaluations"] == 6 * 3
    # A demonstration that is given twice is one: none is both an example and held out.
    _, report = found(methods.paraphrases(lm, ASKED, [*SHOWN, SHOWN[0]], prompt=FORM, held=1))
    assert "accuracy on the 3 demonstrations that chose it" in report


def test_a_budget_ends_a_search():
    lm = Plurals("passage")
    _, report = found(methods.paraphrases(lm, ASKED, SHOWN, prompt=FORM, budget=11))
    assert report["evaluations"] == 8 and report["prompts tried on all of them"] == 2


ALL = methods.ape, methods.grips, methods.protegi, methods.evolution, methods.paraphrases
OWN = *ALL, methods.bandit


@pytest.mark.parametrize("method", OWN, ids=lambda method: method.__name__)
def test_what_cannot_be_searched_is_refused_before_any_call(method):
    lm, name = Plurals("plurals"), method.__name__
    options = {"prompt": FORM}
    with pytest.raises(ConfigError, match=f"{name}: 1 of 3 questions are demonstrations.*'cat'"):
        method(lm, [*ASKED, Item("cat")], SHOWN, **options)
    with pytest.raises(ConfigError, match=f"{name}: .* of 4, held=4 leaves none"):
        method(lm, ASKED, SHOWN, held=4, **options)
    with pytest.raises(ConfigError, match="of 0, held=0 leaves none"):
        method(lm, ASKED, [], **options)
    with pytest.raises(ConfigError, match=f"{name}: held=-1 must be 0 or more"):
        method(lm, ASKED, SHOWN, held=-1, **options)
    accepted = inspect.signature(method).parameters
    if "by" in accepted:
        with pytest.raises(ConfigError, match=f"{name}: by='luck' must be one of accuracy, like"):
            method(lm, ASKED, SHOWN, by="luck", **options)
    if "budget" in accepted:
        with pytest.raises(ConfigError, match=f"{name}: budget=-1 must be 0 or more"):
            method(lm, ASKED, SHOWN, budget=-1, **options)
    if name != "ape":
        with pytest.raises(ConfigError, match=f"{name}: give an instruction to begin with"):
            method(lm, ASKED, SHOWN)
    assert not lm.asked


@pytest.mark.parametrize(
    "method, option, least",
    [
        (methods.ape, "pairs", 1),
        (methods.ape, "rounds", 0),
        (methods.ape, "candidates", 1),
        (methods.ape, "variants", 1),
        (methods.ape, "writing", 1),
        (methods.grips, "candidates", 1),
        (methods.grips, "edits", 1),
        (methods.grips, "patience", 1),
        (methods.grips, "rounds", 0),
        (methods.protegi, "width", 1),
        (methods.protegi, "rounds", 0),
        (methods.protegi, "batch", 1),
        (methods.protegi, "groups", 1),
        (methods.protegi, "reasons", 1),
        (methods.protegi, "pulls", 1),
        (methods.evolution, "size", 1),
        (methods.evolution, "generations", 1),
        (methods.evolution, "writing", 1),
        (methods.paraphrases, "count", 0),
        (methods.paraphrases, "writing", 1),
        (methods.bandit, "count", 0),
        (methods.bandit, "pulls", 1),
        (methods.bandit, "writing", 1),
    ],
)
def test_counts_have_a_least_value(method, option, least):
    with pytest.raises(ConfigError, match=f"{option}={least - 1} must be {least} or more"):
        method(Plurals("plurals"), ASKED, SHOWN, prompt=FORM, **{option: least - 1})


def test_the_bandit_is_one_that_is_known():
    with pytest.raises(ConfigError, match="algorithm='luck' must be one of halving, rejects, ucb"):
        methods.bandit(Plurals("plurals"), ASKED, SHOWN, prompt=FORM, algorithm="luck")


def test_defaults_are_for_a_model_on_a_few_cores():
    def defaults(method):
        parameters = inspect.signature(method).parameters.values()
        return {p.name: p.default for p in parameters if p.default not in (p.empty, (), None)}

    common = {"held": 0, "seed": 0, "max_tokens": 64}
    search = common | {"by": "accuracy", "budget": 0}
    assert defaults(methods.ape) == search | {
        "description": "",
        "pairs": 4,
        "candidates": 8,
        "keep": 0.5,
        "rounds": 2,
        "variants": 2,
        "writing": 96,
    }
    climb = {"candidates": 5, "edits": 1, "rounds": 10, "patience": 2}  # of the paper
    assert defaults(methods.grips) == search | climb
    assert defaults(methods.protegi) == common | {
        "width": 2,
        "rounds": 2,
        "batch": 16,
        "groups": 2,
        "reasons": 1,
        "paraphrases": 1,
        "pulls": 100,
        "budget": 0,
    }
    evolved = {"size": 4, "generations": 3, "differential": False, "writing": 256}
    assert defaults(methods.evolution) == search | evolved
    written = {"count": 0, "language": "", "writing": 256}
    assert defaults(methods.paraphrases) == search | written
    chosen = {"algorithm": "halving", "pulls": 100, "by": "accuracy"}
    assert defaults(methods.bandit) == common | written | chosen
