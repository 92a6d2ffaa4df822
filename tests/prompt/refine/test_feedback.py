"""Sources of feedback share one interface, and differ in the text alone."""

import pytest

from tinylm.data.read.items import Item
from tinylm.prompt import ScriptedLM
from tinylm.prompt.refine.feedback import (
    ENOUGH,
    FEEDBACK,
    Feedback,
    model_feedback,
    outside_feedback,
    score_feedback,
    without_names,
)

ITEM = Item("Name two rivers of France.", "Seine, Loire")
ABOUT = "Question: Name two rivers of France.\nResponse: Seine, Po\nFeedback:"


def test_the_prompt_of_the_book_with_the_fields_of_what_it_is_about():
    prompt = (
        "You will be given a question and its response. Evaluate the accuracy and depth of this "
        "response, and identify any factual inaccuracies or areas needing further explanation.\n"
    )
    lm = ScriptedLM([(prompt + ABOUT, " The Po is in Italy.\nQuestion: And")])
    found = model_feedback(FEEDBACK)(lm, ITEM, "Seine, Po")
    assert found == Feedback("The Po is in Italy.")  # what follows is another field


def test_the_model_may_end_the_refinement_by_a_phrase():
    prompt = (
        "You will be given a question and its response. Evaluate the accuracy and depth of this "
        "response, and identify any factual inaccuracies or areas needing further explanation. "
        f'If the response is good, write "{ENOUGH}"\n{ABOUT}'
    )
    lm = ScriptedLM([(prompt, "Good. nothing needs to be changed."), (prompt, "Change it.")])
    assert model_feedback()(lm, ITEM, "Seine, Po").enough
    assert not model_feedback()(lm, ITEM, "Seine, Po").enough
    lm = ScriptedLM([(None, "Well done!")])
    assert model_feedback(enough="DONE")(lm, ITEM, "Seine").enough


def test_a_name_that_a_chat_model_repeats_is_no_part_of_the_reply():
    assert without_names(" Feedback: It is good. ", ["Feedback"]) == "It is good."
    assert without_names("It is Feedback: good", ["Feedback"]) == "It is Feedback: good"
    assert without_names("Refined: Response: x", ["Refined", "Response"]) == "x"
    lm = ScriptedLM([(None, "Feedback: Good.")])
    assert model_feedback()(lm, ITEM, "Seine").text == "Good."


def test_what_was_read_is_traced_and_the_limit_is_kept():
    lm = ScriptedLM([(None, " one two three ")])
    with lm.tracing() as trace:
        assert model_feedback()(lm, ITEM, "Seine", max_tokens=2).text == "one two"
    assert trace.calls[0].parsed == [("feedback", "one two")]


def test_an_oracle_ends_the_refinement_when_it_has_nothing_to_say():
    def judge(item, draft):
        return f"Not {draft}." * (draft != item.answer)

    source = outside_feedback(judge)
    assert source(None, ITEM, "Po") == Feedback("Not Po.")
    assert source(None, ITEM, "Seine, Loire") == Feedback("", enough=True)


def test_a_score_becomes_text_and_stays_a_number():
    source = score_feedback(lambda question, draft: -abs(len(draft) - len(question)) / 4)
    found = source(None, ITEM, ITEM.question + "!!!")
    assert found == Feedback("The quality of this response is -0.75.", -0.75)
    assert score_feedback(lambda q, d: 1, "{:.0%} good")(None, ITEM, "x").text == "100% good"


def test_scores_keep_the_order_of_planted_errors():
    drafts = ["a b c d", "a b c x", "a b x x", "x x x x"]
    source = score_feedback(lambda question, draft: 1 - draft.split().count("x") / 4)
    scores = [source(None, ITEM, draft).score for draft in drafts]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 4


@pytest.mark.parametrize(
    "source",
    [
        model_feedback(),
        outside_feedback(lambda item, draft: "Wrong."),
        score_feedback(lambda q, d: 0.5),
    ],
)
def test_all_sources_have_one_interface(source):
    found = source(ScriptedLM([(None, "Wrong.")]), ITEM, "Po", seed=3, max_tokens=5)
    assert isinstance(found, Feedback) and found.text and not found.enough
