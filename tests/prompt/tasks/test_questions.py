"""Questions are answered in their field, word problems after "####"."""

from tests.prompt.small import Chat
from tinylm.data.read.items import Item
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tasks.questions import answer_question, answer_word_problem

# The numbers of the book's GSM8K example in other words: 8 games of 2 hours, then twice that.
DEMO = Item(
    "Ben plays 8 games of 2 hours and practices twice as long per game. How many hours is that?",
    "48",
    rationale="8*2=<<8*2=16>>16 and 8*4=<<8*4=32>>32, so 16+32=<<16+32=48>>48.",
)
ITEM = Item("Boris has 100 nuts and gives away 10. How many are left?", "90")


def test_an_open_question_has_named_fields():
    item = Item("Which river flows through Vienna?", "Danube")
    demo = Item("Which river flows through Rome?", "Tiber")
    prompt = "Question: Which river flows through Vienna?\nAnswer:"
    lm = ScriptedLM([(prompt, " Danube\nQuestion: And"), (None, "Danube")])
    assert answer_question(lm, item).value == "Danube"
    answer_question(lm, item, [demo])
    assert lm.prompts[1] == f"Question: Which river flows through Rome?\nAnswer: Tiber\n\n{prompt}"


def test_a_word_problem_is_read_after_its_mark():
    lm = ScriptedLM([(None, " 100-10=<<100-10=90>>90\n#### 1,090\n\nQ: Next?"), (None, "90")])
    with lm.tracing() as trace:
        answer = answer_word_problem(lm, ITEM, [DEMO])
    assert answer.value == "1090" and "Next" not in answer.text
    assert trace.calls[0].parsed == [("answer", "1090")]
    shown = lm.prompts[0]
    assert shown.endswith(f"#### 48\n\nQ: {ITEM.question}\nA:")
    assert shown.startswith(f"Q: {DEMO.question}\nA: {DEMO.rationale}")
    assert answer_word_problem(lm, ITEM).value is None  # without the mark nothing is read
    assert lm.prompts[1] == f"Q: {ITEM.question}\nA:"


def test_the_solution_of_a_chat_may_have_paragraphs_where_no_demonstration_ends_in_one():
    reply = "He gives 10 away.\n\n100-10=<<100-10=90>>90\n#### 90\nQ: more"
    assert answer_word_problem(Chat([(None, reply)]), ITEM).value == "90"
    assert answer_word_problem(Chat([(None, reply)]), ITEM, [DEMO]).value is None
    assert answer_word_problem(ScriptedLM([(None, reply)]), ITEM).value is None
