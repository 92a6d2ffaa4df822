"""Questions and answers that are read from pages."""

import dataclasses

import pytest

from tinylm.align.synthesis.qa_pages import SMALL_PAGE, qa_pairs


def pairs(text):
    return [(sample.instruction, sample.output) for sample in qa_pairs(text).samples]


def test_a_page_in_three_forms_gives_its_pairs_and_what_has_no_answer():
    page = qa_pairs(SMALL_PAGE)
    assert pairs(SMALL_PAGE) == [
        (
            "When is the library open?",
            "From nine to six, Monday to Friday.\nOn Saturday from ten to four.",
        ),
        ("How many books may I borrow?", "Ten books at a time, for four weeks."),
        ("Is there a fee?", "No. Only late books cost 20 cents a day."),
    ]
    assert page.unanswered == [(7, "May I bring a dog?")]
    assert {sample.task for sample in page.samples} == {"questions"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        page.samples = []


def test_marks_may_be_numbered_long_or_bold():
    assert pairs("Question 1. Who?\nAnswer 1. Me.\n**Q2:** Why?\n**A2:** So.") == [
        ("Who?", "Me."),
        ("Why?", "So."),
    ]


def test_a_marked_question_goes_on_to_its_question_mark_or_to_the_answers_mark():
    assert pairs("Q: I lost my card.\nWhat now?\nA: Come to the desk.") == [
        ("I lost my card. What now?", "Come to the desk.")
    ]
    assert pairs("Q: Tell me\nmore\nA: No.") == [("Tell me more", "No.")]
    assert pairs("Q: Why?\nBecause.\nA: is a letter.") == [("Why?", "Because.\nA: is a letter.")]


def test_an_answer_after_a_blank_line_is_its_answer():
    assert pairs("Q: Why?\n\nA: So.\n\nAnd so.") == [("Why?", "So.\n\nAnd so.")]


def test_under_a_heading_every_line_is_the_answer():
    assert pairs("# Who?\nA. Smith.") == [("Who?", "A. Smith.")]


def test_headings_without_a_question_mark_and_text_before_are_no_questions():
    page = qa_pairs("# Prices\n1. Apples\nAll of them are low.")
    assert page.samples == [] and page.unanswered == []


def test_a_mark_without_a_question_has_no_pair():
    page = qa_pairs("Q:\nA: Yes.", task="faq")
    assert page.samples == [] and page.unanswered == [(1, "")]
    assert qa_pairs("# Who?\nMe.", task="faq").samples[0].task == "faq"
