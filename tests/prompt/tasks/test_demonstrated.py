"""Demonstrations stand before the prompt in the prompt's own form."""

import pytest

from tests.prompt.small import Chat
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.named_entities import named_entity_items
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tasks import (
    extract,
    extract_entities,
    extract_names,
    extract_relations,
    rewrite,
    summarize,
    translate,
    write_function,
)
from tinylm.prompt.tasks.demonstrated import demonstrated
from tinylm.prompt.template import LIBRARY, PromptTemplate

ITEM, DEMO = Item("Hi!"), Item("Hey, how are you?", "Hello, how are you?")


def test_a_demonstration_is_the_filled_template_with_its_answer():
    template = LIBRARY["rewrite"].partial(style="formal")
    assert demonstrated(template, ITEM, [DEMO]) == (
        "Rewrite this text in a formal tone.\nHey, how are you?\nHello, how are you?\n\n"
        "Rewrite this text in a formal tone.\nHi!\n"
    )
    assert demonstrated(template, ITEM) == "Rewrite this text in a formal tone.\nHi!\n"


def test_a_blank_is_filled_where_it_stands():
    template = PromptTemplate("In: {*x*}\nOut: _____")
    assert demonstrated(template, ITEM, [DEMO], slot="x") == (
        "In: Hey, how are you?\nOut: Hello, how are you?\n\nIn: Hi!\nOut:"
    )


def test_a_demonstration_needs_an_answer():
    with pytest.raises(DataError, match="a demonstration needs an answer: 'Hi!' has none"):
        demonstrated(LIBRARY["names"], DEMO, [ITEM])


@pytest.mark.parametrize(
    "method, options",
    [
        (extract_names, {}),
        (extract_entities, {}),
        (extract_entities, {"types": ["Person Name"]}),
        (extract_relations, {"entities": ["A", "B"]}),
        (extract, {"task": "count the words."}),
        (rewrite, {}),
        (summarize, {}),
        (write_function, {"name": "f"}),
    ],
)
def test_methods_show_their_demonstrations(method, options):
    lm = ScriptedLM([(None, "x"), (None, "x")] + [(None, "x")] * 6)
    method(lm, ITEM, **options)
    method(lm, ITEM, [DEMO], **options)
    alone, shown = lm.prompts[:2]
    one = alone.rstrip("\n").replace(ITEM.question, DEMO.question)
    assert shown.startswith(one) and shown.endswith(f"{DEMO.answer}\n\n{alone}")


def test_the_reply_ends_before_another_demonstration():
    demo, item = named_entity_items(2)
    reply = f"{item.answer}\n\nIdentify and classify"
    answer = extract_entities(ScriptedLM([(None, reply)]), item, [demo])
    assert answer.text == item.answer == answer.value
    summary = summarize(ScriptedLM([(None, "Short.\n\nSummarize")]), ITEM, [DEMO])
    assert summary.value == "Short."


def test_a_turn_of_a_chat_may_have_paragraphs_where_no_demonstration_ends_in_one():
    reply = "Hello.\n\nHow are you?"
    methods = (
        rewrite,
        summarize,
        translate,
        lambda *given: extract(*given, task="to find greetings"),
    )
    for method in methods:
        assert method(Chat([(None, reply)]), ITEM).value == reply
        assert method(Chat([(None, reply)]), ITEM, [DEMO]).value == "Hello."
        assert method(ScriptedLM([(None, reply)]), ITEM).value == "Hello."


def test_a_chat_may_begin_a_list_with_a_sentence():
    item = Item("Ann and Ben went home.")
    lists = (
        (extract_names, "Here are the names:\n\nAnn\nBen", "Ann\nBen"),
        (extract_entities, "Here they are:\n\n1. Ann - Person", "1. Ann - Person"),
        (
            lambda *given: extract_relations(*given, entities=("Ann", "Ben")),
            "There is one:\n\nAnn - Ben: went home with",
            "Ann - Ben: went home with",
        ),
    )
    for method, reply, wanted in lists:
        assert method(Chat([(None, reply)]), item).value == wanted
