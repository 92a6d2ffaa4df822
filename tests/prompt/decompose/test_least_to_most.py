"""The example of the book: four calls, each with all that was found before."""

import re
from dataclasses import replace

import pytest

from tests.prompt.functions import FunctionLM
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.last_letters import last_letter_items
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.least_to_most import (
    BEADS,
    DECOMPOSITIONS,
    decomposition_prompt,
    least_to_most,
    needed,
    read_needed,
    solving_prompt,
)
from tinylm.prompt.reasoning.conclusion import first_number

STUDY = Item(
    "How long was the duration of the environmental study?",
    "5",
    context="The environmental study conducted from 2015 to 2020 revealed that the average "
    "temperature in the region increased by 2.3 degrees Celsius.",
)
DECOMPOSITION = """\
TASK: Your task is to decompose a problem into several sub-problems. You will be given a few \
examples to illustrate how to achieve this.
DEMO1 Q: In a community, 5% are infants, 15% are children, 40% are adults, and 40% are elderly. \
Which group is the largest?
A: To answer the question "Which group is the largest?", we need to know: "What percentage are \
infants?", "What percentage are children?", "What percentage are adults?", "What percentage are \
elderly?".
DEMO2 Q: Alice has twice as many beads as Bob, and Bob has five times as many as Charlie. Charlie \
has 6 beads. How many beads do they have in total?
A: To answer the question "How many beads do they have in total?", we need to know: "How many \
beads does Bob have?", "How many beads does Alice have?".
USER Q: The environmental study conducted from 2015 to 2020 revealed that the average temperature \
in the region increased by 2.3 degrees Celsius. How long was the duration of the environmental \
study?
A:"""
FIRST = f"""\
{STUDY.context}
SUB-PROB1 Q: When did the environmental study start?
A:"""
SECOND = f"""\
{FIRST} The environmental study started in 2015.
SUB-PROB2 Q: When did the environmental study end?
A:"""
FINAL = f"""\
{SECOND} The environmental study ended in 2020.
FINAL Q: How long was the duration of the environmental study?
A:"""
NEEDED = (
    ' To answer the question "How long was the duration of the environmental study?", we need to '
    'know: "When did the environmental study start?", "When did the environmental study end?".'
)
SCRIPT = [
    (DECOMPOSITION, NEEDED),
    (FIRST, " The environmental study started in 2015.\nSUB-PROB2 Q: no"),
    (SECOND, " The environmental study ended in 2020.\nFINAL Q: no"),
    (FINAL, " The duration of the environmental study was 5 years."),
]


def test_the_book_is_replayed_call_by_call():
    lm = ScriptedLM(SCRIPT)
    with lm.tracing() as trace:
        answer = least_to_most(lm, STUDY, read=first_number)
    assert lm.finished and lm.account.calls == 1 + 2 + 1
    assert answer.value == "5" == str(2020 - 2015)
    assert answer.text == " The duration of the environmental study was 5 years."
    questions = ["When did the environmental study start?", "When did the environmental study end?"]
    answers = ["The environmental study started in 2015.", "The environmental study ended in 2020."]
    assert answer.details["sub_problems"] == questions
    assert answer.details["pairs"] == list(zip(questions, answers))
    assert answer.details["plan"].complete
    assert [call.parsed for call in trace.calls] == [
        [("sub-problems", questions)],
        [("sub-answer", answers[0])],
        [("sub-answer", answers[1])],
        [("answer", "5")],
    ]


def test_each_prompt_begins_with_the_one_before_it():
    lm = ScriptedLM(SCRIPT)
    least_to_most(lm, STUDY)
    for shorter, longer in zip(lm.prompts[1:], lm.prompts[2:]):
        assert longer.startswith(shorter) and len(longer) > len(shorter)


def test_a_model_reads_each_prompt_once():
    # The next prompt is the last one and its answer: its new tokens alone are read.
    lm = text_model(context=400)
    prompts = [FIRST, SECOND, FINAL]
    read = []
    for prompt in prompts:
        before = lm.account.read_tokens
        lm.complete(prompt, max_tokens=2)
        read.append(lm.account.read_tokens - before)
    lengths = [lm.count(prompt) for prompt in prompts]
    # One token for the beginning of the text, and the last one again, from which it goes on.
    assert read == [lengths[0] + 1, lengths[1] - lengths[0] + 1, lengths[2] - lengths[1] + 1]


def test_without_a_reader_the_answer_is_the_first_line():
    answer = least_to_most(ScriptedLM(SCRIPT), replace(STUDY, answer=None))
    assert answer.value == "The duration of the environmental study was 5 years"


@pytest.mark.parametrize(
    "reply, problems",
    [
        (NEEDED, 2),
        (' we need to know: "one?"', 1),
        ("We Need To Know “one?”, “two?”", 2),
        ('we need to know: "one?"\n"not this?"', 1),  # the list is one line
        ('we need to know:\n"one?", "two?"', 2),
        ('"no?" is not asked. We need to know: "one?"', 1),
        ("we need to know: nothing", 0),
        ('we need to know: "one?", "one?", and "two?"', 3),  # as they are written
        ("No idea.", None),
        ("", None),
    ],
)
def test_a_list_of_sub_problems_is_read_or_missed(reply, problems):
    found = read_needed(reply)
    assert found == problems if problems is None else len(found) == problems
    if problems == 1:
        assert found == ["one?"]


def test_what_is_written_is_what_is_read():
    for demo, problems in DECOMPOSITIONS:
        assert read_needed(needed(demo, problems)) == list(problems)


def test_the_beads_of_the_second_demonstration():
    # Bob 5 * 6, Alice 2 * 30, together with Charlie's 6.
    assert BEADS.question in decomposition_prompt(STUDY) and 6 + 5 * 6 + 2 * 5 * 6 == 96


def test_nothing_to_know_is_direct_prompting():
    lm = ScriptedLM([(None, "we need to know: nothing"), (None, " 5")])
    answer = least_to_most(lm, STUDY)
    assert answer.value == "5" and answer.details["pairs"] == []
    assert lm.prompts[1] == f"{STUDY.context}\nFINAL Q: {STUDY.question}\nA:"


def test_the_name_of_a_field_is_no_part_of_an_answer():
    replies = ['we need to know: "p?", "q?".', "A: one", " SUB-PROB2 Q: two", "FINAL Q: five\n"]
    answer = least_to_most(ScriptedLM([(None, reply) for reply in replies]), Item("Why?"))
    assert answer.details["pairs"] == [("p?", "one"), ("q?", "two")] and answer.value == "five"


@pytest.mark.parametrize("reply, value", [("A: A: one", "A: one"), ("plan A: one", "plan A: one")])
def test_only_the_beginning_of_a_reply_names_a_field(reply, value):
    lm = ScriptedLM([(None, 'we need to know: "p?".'), (None, reply), (None, "five")])
    assert least_to_most(lm, Item("Why?")).details["pairs"] == [("p?", value)]


def test_a_reply_without_a_list_is_reported_and_nothing_is_solved():
    lm = ScriptedLM([(None, " I cannot say.")])
    answer = least_to_most(lm, STUDY)
    assert answer.value is None and answer.text == " I cannot say."
    assert answer.details == {"sub_problems": None, "pairs": [], "plan": None}


def test_a_problem_without_a_passage_is_the_passage():
    item = Item("I have 2 and get 3. How many?")
    assert solving_prompt(item, [("What first?", "2")], "What then?") == (
        "I have 2 and get 3. How many?\nSUB-PROB1 Q: What first?\nA: 2\nSUB-PROB2 Q: What then?\nA:"
    )
    assert "USER Q: I have 2 and get 3. How many?\nA:" in decomposition_prompt(item)
    assert decomposition_prompt(item, ()).startswith("TASK: Your task")


def test_where_the_answer_is_a_number_a_number_is_read():
    assert least_to_most(ScriptedLM(SCRIPT), STUDY).value == "5"


def test_demonstrations_stand_in_front_of_solving_prompts():
    demo = Item("1+1?", "2", rationale="Add.")
    lm = ScriptedLM(
        [(None, 'we need to know: "a?"'),
         (f"Q: 1+1?\nA: 2\n\n{STUDY.context}\nSUB-PROB1 Q: a?\nA:", "x"),
         (re.compile(r"Q: 1\+1\?\nA: 2\n\n.*FINAL Q: .*", re.DOTALL), "y")]
    )  # fmt: skip
    assert least_to_most(lm, STUDY, [demo]).text == "y"


def test_at_most_so_many_sub_problems_are_solved():
    lm = ScriptedLM([(None, NEEDED), (FIRST, " 2015"), (None, " 5")])
    answer = least_to_most(lm, STUDY, most=1)
    assert len(answer.details["pairs"]) == 1 and not answer.details["plan"].complete
    lm = ScriptedLM([(None, NEEDED), (None, " 5")])
    assert least_to_most(lm, STUDY, most=0).details["pairs"] == [] and lm.finished
    many = "we need to know: " + ", ".join(f'"p{i}?"' for i in range(20))
    lm = FunctionLM(lambda prompt: many if "USER Q" in prompt else " a")
    assert len(least_to_most(lm, STUDY).details["pairs"]) == 16


def test_replies_have_128_tokens():
    lm = ScriptedLM([(None, "we need to know: nothing"), (None, " w" * 200)])
    assert least_to_most(lm, STUDY).text == " w" * 128
    long = "w " * 126 + 'need to know: "one?", "two?"'  # cut before the list
    assert least_to_most(ScriptedLM([(None, long)]), STUDY).value is None


# Chain of thought inside the decomposition (C3-137).


def test_every_reply_may_begin_with_a_trigger():
    think = "Let's think step by step."
    lm = ScriptedLM(
        [
            (f"{DECOMPOSITION} Plan first.", ' Dates matter. We need to know: "When?"'),
            (f"{STUDY.context}\nSUB-PROB1 Q: When?\nA: {think}", " It ran on. The answer is 2015."),
            (
                f"{STUDY.context}\nSUB-PROB1 Q: When?\nA: 2015.\n"
                f"FINAL Q: {STUDY.question}\nA: {think}",
                " 2020 - 2015 = 5. So the answer is 5.",
            ),
        ]
    )
    answer = least_to_most(lm, STUDY, trigger=think, plan_trigger="Plan first.")
    assert answer.value == "5" and lm.finished  # steps do not go into later prompts
    assert answer.details["pairs"] == [("When?", "2015.")]


def test_with_a_trigger_demonstrations_show_their_steps():
    demo = Item("1+1?", "2", rationale="Add.")
    prompt = solving_prompt(STUDY, [], "a?", [demo], rationale=True)
    assert prompt.startswith("Q: 1+1?\nA: Add. The answer is 2.\n\n")
    lm = ScriptedLM(
        [(None, "we need to know: nothing"), (re.compile("Q: .*Add.*", re.DOTALL), "x")]
    )
    assert least_to_most(lm, STUDY, [demo], trigger="Think.").text == "x"


def test_without_a_trigger_and_steps_it_is_least_to_most():
    plain, thinking = ScriptedLM(SCRIPT), ScriptedLM(SCRIPT)
    one = least_to_most(plain, STUDY)
    other = least_to_most(thinking, STUDY, trigger="", plan_trigger="")
    assert plain.prompts == thinking.prompts and one.value == other.value


# An oracle for every sub-problem makes any length exact.


def letters(prompt):
    if "USER Q" in prompt:
        words = re.findall(r"USER Q: .*?: (.*)", prompt)[-1].split()
        listed = ", ".join(f'"What is the last letter of {word}?"' for word in words)
        return f" we need to know: {listed}."
    last = prompt.rsplit(" Q: ", 1)[1]
    if "What is the last letter of" in last:
        return " " + re.search(r"of (\w+)\?", last)[1][-1]
    return " " + "".join(re.findall(r"^A: (\w)$", prompt, re.MULTILINE))


@pytest.mark.parametrize("words", [2, 4, 8])
def test_with_a_perfect_solver_of_sub_problems_every_length_is_right(words):
    for item in last_letter_items(5, seed=words, words=words):
        item = Item(
            f"The words are: {' '.join(WORDS.findall(item.question)[-words:])}", item.answer
        )
        answer = least_to_most(FunctionLM(letters), item)
        assert answer.value == item.answer and len(answer.details["pairs"]) == words


WORDS = re.compile(r"\b[A-Z]\w+\b")


def test_demonstrations_of_a_solving_prompt_are_answers_alone_by_default():
    demo = Item("How many legs has a bee?", "6", rationale="It is an insect.")
    item = Item("How many legs has a spider?")
    assert "insect" not in solving_prompt(item, (), demonstrations=[demo])
    assert "insect" in solving_prompt(item, (), demonstrations=[demo], rationale=True)


def test_without_sub_problems_to_solve_the_question_is_answered_at_once():
    lm = ScriptedLM([(None, 'we need to know: "What is x?"'), (None, " 8")])
    answer = least_to_most(lm, Item("How many legs has a spider?"), most=0)
    assert answer.value == "8" and answer.details["pairs"] == [] and lm.finished
    assert not answer.details["plan"].complete  # a sub-problem was left
