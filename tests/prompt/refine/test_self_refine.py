"""Predict, feedback, refine: which prompts are sent, and where it stops."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt import Answer, ScriptedLM
from tinylm.prompt.refine.feedback import (
    FEEDBACK,
    Feedback,
    model_feedback,
    outside_feedback,
    score_feedback,
)
from tinylm.prompt.refine.self_refine import REFINE, refinement, respond, self_refine

QUESTION = "What are the main environmental issues today?"  # of the book's example
ITEM = Item(QUESTION)
PREDICT = f'Generate a response to the question: "{QUESTION}"'


def refine_prompt(draft, feedback):
    """The third prompt of the book's example."""
    return (
        f"Question: {QUESTION}\nResponse: {draft}\nFeedback: {feedback}\n"
        "Now refine the response based on the feedback provided.\nRefined response:"
    )


def feedback_prompt(draft):
    """The second."""
    return FEEDBACK.format(question=QUESTION, response=draft)


def test_the_three_prompts_of_the_book():
    script = [
        (PREDICT, " Climate change and pollution."),
        (feedback_prompt("Climate change and pollution."), "1. Include specific examples."),
        (
            refine_prompt("Climate change and pollution.", "1. Include specific examples."),
            " Rising temperatures and dirty rivers.\nFeedback: more",
        ),
    ]
    lm = ScriptedLM(script)
    answer = self_refine(lm, ITEM, feedback=model_feedback(FEEDBACK), max_iter=1)
    assert lm.finished
    assert answer.value == answer.text == "Rising temperatures and dirty rivers."
    assert answer.details == {
        "drafts": ["Climate change and pollution.", "Rising temperatures and dirty rivers."],
        "feedback": ["1. Include specific examples."],
        "stopped": "count",
        "dropped": (),
    }


def test_another_template_and_the_options_of_all_calls():
    options = []

    class Recorder(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            options.append((max_tokens, sampling))
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    lm = Recorder(
        [(PREDICT, "one"), (feedback_prompt("one"), "bad"), (f"{QUESTION} one! bad?", "two")]
    )
    template = PromptTemplate("{*question*} {*response*}! {*feedback*}?")
    given = {"feedback": model_feedback(FEEDBACK), "template": template, "temperature": 0.5}
    assert self_refine(lm, ITEM, max_iter=1, max_tokens=9, **given).value == "two"
    assert options == [(9, {"temperature": 0.5})] * 3


def test_each_iteration_refines_the_draft_of_the_one_before():
    replies = ["one", "bad", "two", "worse", "three"]
    lm = ScriptedLM([(None, reply) for reply in replies])
    answer = self_refine(lm, ITEM, feedback=model_feedback(FEEDBACK), max_iter=2)
    assert lm.prompts == [
        PREDICT,
        feedback_prompt("one"),
        refine_prompt("one", "bad"),
        feedback_prompt("two"),
        refine_prompt("two", "worse"),
    ]
    assert answer.value == "three"


def test_without_iterations_it_is_plain_prediction():
    lm = ScriptedLM([(PREDICT, " one ")])
    answer = self_refine(lm, ITEM, max_iter=0, stops=("score",))
    details = {"drafts": ["one"], "feedback": [], "stopped": "count", "dropped": ()}
    assert answer == Answer("one", "one", details)
    answer = respond(ScriptedLM([(PREDICT, " one ")]), ITEM)
    assert answer == Answer("one", "one", {"kept": (), "dropped": ()})


def test_it_is_three_iterations_by_default_and_the_model_gives_feedback():
    lm = ScriptedLM([(None, f"text {n}") for n in range(7)])
    assert self_refine(lm, ITEM).value == "text 6" and lm.finished
    lm = ScriptedLM([(None, "one"), (None, "Nothing needs to be changed."), (None, "no")])
    answer = self_refine(lm, ITEM)
    assert (answer.value, answer.details["stopped"], lm.finished) == ("one", "feedback", False)


def test_names_that_a_chat_model_repeats_are_no_part_of_a_draft():
    lm = ScriptedLM([(None, "one"), (None, "bad"), (None, "Refined response: two")])
    assert self_refine(lm, ITEM, max_iter=1).value == "two"
    lm = ScriptedLM([(None, "one"), (None, "bad"), (None, "Response: two")])
    assert self_refine(lm, ITEM, max_iter=1).value == "two"


def test_when_the_score_falls_the_answer_is_the_draft_before():
    lm = ScriptedLM([(None, "aa"), (None, "aaa"), (None, "a"), (None, "never")])
    length = score_feedback(lambda question, draft: len(draft))
    answer = self_refine(lm, ITEM, feedback=length, stops=("score",), read=str.upper)
    assert (answer.value, answer.text) == ("AAA", "aaa")
    assert answer.details["drafts"] == ["aa", "aaa", "a"]
    assert answer.details["stopped"] == "score"


def test_a_fixed_point_ends_it():
    lm = ScriptedLM([(None, text) for text in ("one", "bad", "two", "bad", " two ", "never")])
    answer = self_refine(lm, ITEM, max_iter=9)
    assert (answer.value, answer.details["stopped"]) == ("two", "unchanged")
    assert answer.details["drafts"] == ["one", "two", "two"]


def test_other_feedback_changes_its_text_alone():
    oracle = outside_feedback(lambda item, draft: "Name the rivers.")
    by_oracle = ScriptedLM([(None, "one"), (None, "two")])
    self_refine(by_oracle, ITEM, feedback=oracle, max_iter=1)
    assert by_oracle.prompts == [PREDICT, refine_prompt("one", "Name the rivers.")]


def test_the_draft_may_come_from_another_method():
    def predict(lm, item, demonstrations=(), *, seed=0, max_tokens=9):
        assert (demonstrations, seed, max_tokens) == ("shown", 5, 7)
        return Answer("42", " So it is 42. ")

    right = outside_feedback(lambda item, draft: "")
    options = {"seed": 5, "max_tokens": 7, "predict": predict}
    answer = self_refine(None, ITEM, "shown", feedback=right, **options)
    assert (answer.value, answer.text) == ("42", "So it is 42.")  # its own reading stands
    lm = ScriptedLM([(refine_prompt("So it is 42.", "Wrong."), " So it is 43.")])
    wrong = outside_feedback(lambda item, draft: "Wrong.")

    def read(text):
        return text.split()[-1].strip(".")

    answer = self_refine(lm, ITEM, "shown", feedback=wrong, max_iter=1, read=read, **options)
    assert (answer.value, answer.text) == ("43", "So it is 43.")


def test_empty_replies_are_no_answers():
    answer = self_refine(ScriptedLM([(None, "  ")]), ITEM)
    assert (answer.value, answer.details["stopped"]) == (None, "empty")
    lm = ScriptedLM([(None, "one"), (None, "bad"), (None, " ")])
    answer = self_refine(lm, ITEM)
    assert (answer.value, answer.details["stopped"]) == (None, "empty")
    assert answer.details["drafts"] == ["one", ""] and answer.text == ""
    lm = ScriptedLM([(None, "one"), (None, "bad"), (None, "two")])
    assert self_refine(lm, ITEM, max_iter=1, read=lambda text: "").value is None


def test_every_call_has_a_seed_of_its_own():
    seeds = []

    class Recorder(ScriptedLM):
        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            seeds.append(seed)
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    self_refine(Recorder([(None, f"t{n}") for n in range(5)]), ITEM, seed=10, max_iter=2)
    assert seeds == [10, 11, 12, 13, 14]


def test_demonstrations_are_responses_in_the_same_form():
    demo = Item("Is water wet?", "Yes.")
    wanted = f'Generate a response to the question: "Is water wet?"\nYes.\n\n{PREDICT}'
    reply = "One.\nGenerate a response to the question: no"
    assert respond(ScriptedLM([(wanted, reply)]), ITEM, [demo]).value == "One."
    with pytest.raises(DataError, match="a demonstration needs an answer: 'Is water"):
        respond(ScriptedLM([]), ITEM, [Item("Is water wet?")])


# The loop alone, on numbers written as text: each refinement adds one.


def course(scores, max_iter, stops):
    """A refinement whose feedback is these scores, with the number of its calls."""
    calls = []

    def feedback(draft, t):
        calls.append(("feedback", draft, t))
        return Feedback(f"score {scores[t]}", scores[t])

    def refine(draft, found, t):
        calls.append(("refine", draft, found.text, t))
        return str(int(draft) + 1)

    return refinement("0", feedback, refine, max_iter, stops), calls


def test_a_lower_score_ends_it_with_the_draft_before():
    found, calls = course([1, 3, 3, 2, 9], 4, ("score",))
    assert (found.result, found.stopped) == ("2", "score")
    assert [step.draft for step in found.steps] == ["0", "1", "2", "3"]
    assert calls[:3] == [("feedback", "0", 0), ("refine", "0", "score 1", 0), ("feedback", "1", 1)]


def test_the_last_draft_is_scored_too():
    found, calls = course([1, 2, 0], 2, ("score",))
    assert (found.result, found.stopped, len(calls)) == ("1", "score", 5)
    found, calls = course([1, 2, 3], 2, ("score",))
    assert (found.result, found.stopped) == ("2", "count")
    found, calls = course([1, 2], 2, ())  # without the rule it is not
    assert (found.result, len(calls), found.steps[-1].feedback) == ("2", 4, None)


def test_rules_that_are_not_in_effect_do_not_stop_it():
    same = refinement("0", lambda d, t: Feedback("", 5, True), lambda d, f, t: d, 3, stops=())
    assert (same.stopped, len(same.steps)) == ("count", 4)
    assert refinement("0", lambda d, t: Feedback("", 5, True), None).stopped == "feedback"


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="no rule 'boredom'; there are feedback, unchanged"):
        refinement("0", None, None, stops=("boredom",))
    with pytest.raises(ConfigError, match="max_iter must be 0 or more, not -1"):
        refinement("0", None, None, max_iter=-1)
    with pytest.raises(ConfigError, match="needs feedback with a score"):
        refinement("0", lambda d, t: Feedback("x"), None, stops=("score",))


def test_oracle_then_score_then_nothing_on_a_planted_task():
    # Drafts are lists of letters, wrong ones in capitals. A refiner mends what feedback names.
    def judge(item, draft):
        return " ".join(letter for letter in draft.split() if letter.isupper())

    class Mender(ScriptedLM):
        def __init__(self):
            super().__init__({})

        def _complete(self, prompts, begin, max_tokens, stop, seed, sampling):
            response, feedback = (line.partition(": ")[2] for line in prompts[0].split("\n")[1:3])
            mended = [
                one.lower() if one in feedback.split()[:1] else one for one in response.split()
            ]
            self._table = {prompts[0]: " ".join(mended)}
            return super()._complete(prompts, begin, max_tokens, stop, seed, sampling)

    def start(lm, item, demonstrations=(), *, seed=0, max_tokens=9):
        return Answer("x", "a B c D E")

    oracle = self_refine(Mender(), ITEM, predict=start, feedback=outside_feedback(judge))
    assert oracle.value == "a b c d e"
    scored = score_feedback(lambda question, draft: -sum(map(str.isupper, draft)))
    blind = self_refine(Mender(), ITEM, predict=start, feedback=scored)
    assert (blind.text, blind.details["stopped"]) == ("a B c D E", "unchanged")


def test_the_refine_prompt_keeps_braces_of_a_draft():
    assert "{x} {*question*}" in REFINE.format(
        question="q", response="{x} {*question*}", feedback=""
    )
