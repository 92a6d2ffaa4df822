"""The next question is generated when the last one is answered, until the model ends the plan."""

import pytest

from tinylm.data.read.items import Item
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.successive import END, Asker, next_prompt, successive_prompting
from tinylm.prompt.reasoning.conclusion import first_number

# The multi-hop question of the book (section 3.2.2).
CAPITAL = Item("What is the capital of the country where Albert Einstein was born?", "Berlin")
TASK = (
    "A problem is solved by simple questions, one at a time. Write the next question that has to "
    'be answered, or "There are no more questions." once the problem can be answered.\n'
)
PROBLEM = f"Problem: {CAPITAL.question}\n"
PAIR1 = "Question 1: Where was Albert Einstein born?\nAnswer 1: In Germany\n"
PAIR2 = "Question 2: What is the capital of Germany?\nAnswer 2: Berlin\n"
SOLVING = f"{CAPITAL.question}\nSUB-PROB1 Q: Where was Albert Einstein born?\nA:"
SCRIPT = [
    (f"{TASK}{PROBLEM}Next question:", " Where was Albert Einstein born?\nAnswer 1: Ulm"),
    (SOLVING, " In Germany"),
    (f"{TASK}{PROBLEM}{PAIR1}Next question:", " What is the capital of Germany?"),
    (f"{SOLVING} In Germany\nSUB-PROB2 Q: What is the capital of Germany?\nA:", " Berlin"),
    (f"{TASK}{PROBLEM}{PAIR1}{PAIR2}Next question:", " There are no more questions."),
    (
        f"{SOLVING} In Germany\nSUB-PROB2 Q: What is the capital of Germany?\nA: Berlin\n"
        f"FINAL Q: {CAPITAL.question}\nA:",
        " Berlin.",
    ),
]


def test_the_second_question_has_the_first_answer_in_its_words():
    lm = ScriptedLM(SCRIPT)
    with lm.tracing() as trace:
        answer = successive_prompting(lm, CAPITAL)
    assert lm.finished and answer.value == "Berlin" and answer.text == " Berlin."
    assert answer.details["pairs"] == [
        ("Where was Albert Einstein born?", "In Germany"),
        ("What is the capital of Germany?", "Berlin"),
    ]
    assert answer.details["plan"].complete
    asked = [call.parsed for call in trace.calls][::2]
    assert asked == [
        [("next sub-problem", "Where was Albert Einstein born?")],
        [("next sub-problem", "What is the capital of Germany?")],
        [("next sub-problem", None)],
    ]
    assert trace.calls[-1].parsed == [("answer", "Berlin")]


def test_a_context_is_shown_with_its_name():
    item = Item("How many?", context="There are 3 birds.")
    assert next_prompt(item, []).endswith(
        "\nContext: There are 3 birds.\nProblem: How many?\nNext question:"
    )


@pytest.mark.parametrize(
    "reply, problem",
    [
        (" Where?", "Where?"),
        ("Next question: Where?", "Where?"),  # chat models repeat the field's name
        (" there are NO more questions", None),
        (" Now there are no more questions.", None),
        (" ", None),
        ("\n", None),
    ],
)
def test_a_question_is_read_or_the_end(reply, problem):
    assert Asker(ScriptedLM([(None, reply)])).generate(CAPITAL, ()) == problem


def test_a_question_that_was_answered_ends_the_plan():
    script = [(None, " p?"), (None, " a"), (None, " q?"), (None, " b"), (None, " p?"), (None, " c")]
    answer = successive_prompting(ScriptedLM(script), CAPITAL)
    assert answer.details["pairs"] == [("p?", "a"), ("q?", "b")] and answer.value == "c"
    assert answer.details["plan"].complete


def test_another_text_may_end_the_plan():
    lm = ScriptedLM([(None, " Done."), (None, " Berlin")])
    answer = successive_prompting(lm, CAPITAL, end="Done.")
    assert answer.details["pairs"] == [] and answer.value == "Berlin"
    assert Asker(ScriptedLM([(None, END)]), end="Done.").generate(CAPITAL, ()) == END


def test_a_plan_without_end_is_cut():
    def script(count):
        """A plan that is cut after `count` questions, all of them different."""
        pairs = [[(None, f" p{i}?"), (None, " a")] for i in range(count)]
        return [*sum(pairs, []), (None, f" p{count}?"), (None, " b")]

    answer = successive_prompting(ScriptedLM(script(3)), CAPITAL, most=3)
    assert len(answer.details["pairs"]) == 3 and not answer.details["plan"].complete
    assert answer.value == "b"
    assert len(successive_prompting(ScriptedLM(script(8)), CAPITAL).details["pairs"]) == 8


def test_without_sub_problems_the_question_is_answered_at_once():
    lm = ScriptedLM([(None, " Where was he born?"), (None, " Berlin")])
    answer = successive_prompting(lm, Item("What is the capital of his country?"), most=0)
    assert answer.value == "Berlin" and answer.details["pairs"] == [] and lm.finished
    assert not answer.details["plan"].complete  # the model had another question


def test_answers_may_be_thought_about_and_read():
    demo = Item("1+1?", "2", rationale="Add.")
    first = "Q: 1+1?\nA: Add. The answer is 2.\n\n2+2?\nFINAL Q: 2+2?\nA: Think."
    lm = ScriptedLM([(None, END), (first, " Add. The answer is 4 apples")])
    answer = successive_prompting(
        lm, Item("2+2?"), [demo], trigger="Think.", read=first_number, max_tokens=6
    )
    assert answer.value == "4" and answer.text == " Add. The answer is 4 apples"
    lm = ScriptedLM([(None, " w" * 300), (None, " w" * 300), (None, END), (None, " w" * 300)])
    answer = successive_prompting(lm, CAPITAL)
    ((problem, reply),) = answer.details["pairs"]
    assert (len(problem.split()), len(reply.split())) == (64, 128)
    assert len(answer.text.split()) == 128
