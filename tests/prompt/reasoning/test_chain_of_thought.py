"""Steps before the answer: which prompts are sent, and what is read from the replies."""

import re

import pytest

from tests.prompt.small import Chat, text_model
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted import dyck_items, last_letter_items
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.reasoning import calculate
from tinylm.prompt.reasoning.chain_of_thought import (
    TRIGGERS,
    chain_of_thought,
    cot_prompt,
    two_stage_cot,
    with_trigger,
    zero_shot_cot,
)
from tinylm.prompt.reasoning.conclusion import first_number, first_yes_no

# The book's demonstration and question (section 3.2.1).
MEAN_SQUARE = Item(
    "Please calculate the mean square of the numbers 1, 3, 5, and 7.",
    "21",
    rationale="Calculate the square of each number: 1^2 = 1, 3^2 = 9, 5^2 = 25, and 7^2 = 49. "
    "Sum the squares, 1 + 9 + 25 + 49 = 84. There are 4 numbers in total. Divide the sum by the "
    "number of items, 84/4 = 21.",
)
AVERAGE = Item("Please calculate the average of the numbers 2, 4, and 9.", "5")
PROMPT = (
    "Q: Please calculate the mean square of the numbers 1, 3, 5, and 7.\n"
    "A: Calculate the square of each number: 1^2 = 1, 3^2 = 9, 5^2 = 25, and 7^2 = 49. Sum the "
    "squares, 1 + 9 + 25 + 49 = 84. There are 4 numbers in total. Divide the sum by the number of "
    "items, 84/4 = 21. The answer is 21.\n\n"
    "Q: Please calculate the average of the numbers 2, 4, and 9.\n"
    "A:"
)
REPLY = (
    " Calculate 2 + 4 + 9, which equals 15. There are three numbers. Divide the total sum by the "
    "count, resulting in 15/3 = 5. The answer is 5."
)


def test_the_books_demonstration_shows_its_steps_and_the_reply_has_steps():
    lm = ScriptedLM([(PROMPT, f"{REPLY}\n\nQ: And 3?\nA: The answer is 3.")])
    with lm.tracing() as trace:
        answer = chain_of_thought(lm, AVERAGE, [MEAN_SQUARE])
    assert answer.value == "5" == AVERAGE.answer
    assert answer.text == REPLY  # the next question is cut off
    assert answer.details["rationale"] == REPLY.strip().removesuffix(" The answer is 5.")
    assert answer.details["finish"] == "stop" and answer.details["computed"] == []
    assert trace.calls[0].parsed == [("answer", "5")]


def test_a_reply_without_a_conclusion_has_no_answer():
    lm = ScriptedLM([(PROMPT, " It is 5, I think.")])
    answer = chain_of_thought(lm, AVERAGE, [MEAN_SQUARE])
    assert answer.value is None and answer.details["rationale"] == "It is 5, I think."


def test_demonstrations_need_steps():
    with pytest.raises(DataError, match="has no rationale"):
        cot_prompt(AVERAGE, [Item("1 + 1?", "2")])
    with pytest.raises(DataError, match="needs an answer"):
        cot_prompt(AVERAGE, [Item("1 + 1?", rationale="One and one.")])


def test_the_answers_reader_and_the_prompts_form_can_be_chosen():
    form = FewShotPrompt(question_name="Problem", answer_name="Solution", conclusion="#### {}")
    prompt = "Problem: 1+1?\nSolution: Add. #### 2\n\nProblem: 2+2?\nSolution:"
    lm = ScriptedLM([(prompt, " Add.\n#### 4 apples\nProblem: next")])
    demo = Item("1+1?", "2", rationale="Add.")
    answer = chain_of_thought(lm, Item("2+2?"), [demo], prompt=form, read=first_number)
    assert answer.value == "4" and answer.details["rationale"] == "Add."


def test_tokens_seed_and_sampling_are_handed_on():
    lm = text_model(context=200)
    options = {"max_tokens": 7, "seed": 3, "temperature": 1.0}
    answer = chain_of_thought(lm, Item("Why?"), **options)
    plain = lm.complete("Q: Why?\nA:", stop=FewShotPrompt().stop, **options)
    assert answer.text == plain.text and answer.details["finish"] == plain.finish
    stop = ("\nQ:", "\nA:")
    begin = f" {TRIGGERS[0]}"
    answer = zero_shot_cot(lm, Item("Why?"), **options)
    plain = lm.complete("Q: Why?\nA:", begin=begin, stop=stop, **options)
    assert answer.text == plain.text
    answer = two_stage_cot(lm, Item("Why?"), **options, answer_tokens=5)
    begin += plain.text + "\nTherefore, the answer is"
    last = lm.complete("Q: Why?\nA:", begin=begin, stop=stop, **{**options, "max_tokens": 5})
    assert answer.text == last.text


def test_steps_have_256_tokens_and_an_extracted_answer_32():
    words = " w" * 300
    answer = chain_of_thought(ScriptedLM([(None, words)]), AVERAGE)
    assert answer.text == " w" * 256 and answer.details["finish"] == "length"
    assert zero_shot_cot(ScriptedLM([(None, words)]), AVERAGE).text == " w" * 256
    answer = two_stage_cot(ScriptedLM([(None, words), (None, words)]), AVERAGE)
    assert answer.details["rationale"] == "w" + " w" * 255 and answer.text == " w" * 32


def test_the_calculator_computes_the_steps():
    lm = ScriptedLM(
        [
            ("Q: 8*2?\nA:", " It is <<8*2=17>>17."),
            ("Q: 8*2?\nA: It is <<", "8*2=17>>17."),
            ("Q: 8*2?\nA: It is <<8*2=16>>", "16.\n#### 16"),
        ]
    )
    answer = chain_of_thought(lm, Item("8*2?"), calculator=True)
    assert answer.value == "16" and answer.details["computed"] == [("8*2", "16")]
    assert lm.finished


# Zero-shot.

QUESTION = "Q: Please calculate the average of the numbers 2, 4, and 9.\nA:"
STEPS = (
    " We have three numbers: 2, 4, and 9. Add these numbers together, 2 + 4 + 9 = 15.\n\nDetermine "
    "how many numbers there are, which in this case is three. Divide, 15/3 = 5."
)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_the_trigger_begins_the_reply(trigger):
    lm = ScriptedLM([(f"{QUESTION} {trigger}", f"{STEPS} So the answer is 5.\nQ: more")])
    answer = zero_shot_cot(lm, AVERAGE, [MEAN_SQUARE], trigger=trigger)  # not shown
    assert answer.value == "5" and answer.details["rationale"] == STEPS.strip()
    assert answer.details["finish"] == "stop"


def test_the_first_trigger_is_kojimas():
    assert TRIGGERS[0] == "Let's think step by step."
    lm = ScriptedLM([(f"{QUESTION} Let's think step by step.", STEPS)])
    assert zero_shot_cot(lm, AVERAGE).value is None
    with pytest.raises(DataError, match="needs a sentence"):
        zero_shot_cot(lm, AVERAGE, trigger=" ")


def test_the_second_prompt_is_the_first_its_reply_and_the_extracting_sentence():
    first = f"{QUESTION} Let's think step by step."
    second = f"{first}{STEPS}\nTherefore, the answer is"
    lm = ScriptedLM([(first, STEPS), (second, " 5. Or 6.\nQ: Next")])
    with lm.tracing() as trace:
        answer = two_stage_cot(lm, AVERAGE, read=first_number)
    assert lm.finished and answer.value == "5" and answer.text == " 5. Or 6."
    assert answer.details["rationale"] == STEPS.strip() and answer.details["finish"] == "end"
    assert [call.parsed for call in trace.calls] == [
        [("rationale", STEPS.strip())],
        [("answer", "5")],
    ]


def test_what_the_second_reply_begins_with_can_be_chosen():
    # The sentence of Kojima et al. for arithmetic tasks.
    extract = "\nTherefore, the answer (arabic numerals) is"
    lm = ScriptedLM(
        [
            (None, " x."),
            (f"{QUESTION} Hm. x.{extract}", " 5"),
        ]
    )
    assert two_stage_cot(lm, AVERAGE, trigger="Hm.", extract=extract).value == "5"


def test_the_calculator_works_behind_a_trigger():
    # With a calculator and a trigger the text to begin with grows.
    lm = ScriptedLM(
        [
            ("Q: 1+1?\nA: Let's think step by step.", " <<"),
            ("Q: 1+1?\nA: Let's think step by step. <<", "1+1="),
            ("Q: 1+1?\nA: Let's think step by step. <<1+1=2>>", "2. The answer is 2."),
        ]
    )
    assert zero_shot_cot(lm, Item("1+1?"), calculator=calculate).value == "2"
    lm = ScriptedLM([(None, " <<"), (None, "1+1="), (None, "2."), (re_end("<<1+1=2>>2."), " 2")])
    assert two_stage_cot(lm, Item("1+1?"), calculator=calculate).value == "2"


def re_end(text):
    """A pattern for a prompt that ends with a text and the extracting sentence."""
    return re.compile(f".*{re.escape(text)}\nTherefore, the answer is", re.DOTALL)


def test_a_trigger_is_appended_once():
    assert with_trigger("Solve it.") == "Solve it. Let's think step by step."
    assert with_trigger(with_trigger("Solve it.")) == with_trigger("Solve it.")
    assert with_trigger("Solve it.\n", "Think.") == "Solve it.\nThink."
    assert with_trigger("", "Think.") == "Think."


# The four tasks of Figure 3.1, with the figure's questions.


def test_common_sense_with_options():
    demo = Item(
        "What home entertainment equipment requires cable?",
        "television",
        options=("radio shack", "substation", "television", "cabinet"),
        rationale="The answer must require cable. Of the above choices, only television does.",
    )
    query = Item(
        "What type of person typically contracts illness?",
        options=("hospital", "head", "sick person", "elderly person", "doctor's office"),
    )
    form = FewShotPrompt(conclusion="So the answer is {}.")
    prompt = cot_prompt(query, [demo], form)
    assert prompt.splitlines()[0].endswith("(c) television (d) cabinet")
    assert prompt.splitlines()[1].endswith("only television does. So the answer is (c).")
    assert prompt.endswith("(d) elderly person (e) doctor's office\nA:")
    lm = ScriptedLM([(prompt, " The old are weak. So the answer is (d).")])
    assert chain_of_thought(lm, query, [demo], prompt=form).value == "elderly person"


def test_yes_or_no():
    lm = ScriptedLM([(None, " It works offline. So the answer is yes.")])
    item = Item("Can you use Microsoft Office without internet?", "yes")
    assert chain_of_thought(lm, item, read=first_yes_no).value == item.answer


@pytest.mark.parametrize("items", [dyck_items, last_letter_items])
def test_symbols(items):
    # The worked solution of every generated question is read back as its answer.
    demo, *queries = items(5, seed=1)
    for query in queries:
        reply = f" {query.rationale} The answer is {query.answer}."
        lm = ScriptedLM([(cot_prompt(query, [demo]), reply)])
        answer = chain_of_thought(lm, query, [demo])
        assert answer.value == query.answer
        assert answer.details["rationale"] == query.rationale


def test_without_demonstrations_the_steps_of_a_chat_may_have_paragraphs():
    reply = "2 and 3 are 5.\n\nThe answer is 5."
    demo = Item("1 + 1?", "2", rationale="Add.")
    assert chain_of_thought(Chat([(None, reply)]), Item("2 + 3?")).value == "5"
    # A demonstration ends with a blank line, and a text that is continued may go on with another.
    assert chain_of_thought(Chat([(None, reply)]), Item("2 + 3?"), [demo]).value is None
    assert chain_of_thought(ScriptedLM([(None, reply)]), Item("2 + 3?")).value is None


def test_a_form_without_names_ends_the_steps_of_a_text_at_a_blank_line_and_not_those_of_a_chat():
    form = FewShotPrompt(question_name="", answer_name="", between=" = ")
    reply, item = " 2 and 3.\n\nThe answer is 5.", Item("2 + 3")
    assert zero_shot_cot(Chat([(None, reply)]), item, prompt=form).value == "5"
    assert zero_shot_cot(ScriptedLM([(None, reply)]), item, prompt=form).value is None
