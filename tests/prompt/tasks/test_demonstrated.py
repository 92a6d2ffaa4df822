"""Demonstrations stand before the prompt in the prompt's own form."""

import pytest

from tests.prompt.small import Chat
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.named_entities import named_entity_items
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tasks import (
    complete_function,
    continue_dialogue,
    continue_story,
    extract,
    extract_entities,
    extract_names,
    extract_relations,
    rewrite,
    summarize,
    translate,
    write,
    write_function,
)
from tinylm.prompt.tasks.demonstrated import demonstrated
from tinylm.prompt.tasks.extraction import related
from tinylm.prompt.template import LIBRARY, PromptTemplate
from tinylm.prompt.template.constraints import max_words

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
        (extract, {"task": "count the words."}),
        (rewrite, {}),
        (summarize, {}),
        (write_function, {"name": "f"}),
        (continue_story, {}),
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


TALK, TURN = Item("A: Hi.\nB: Yes?", answer="A: Bye."), Item("A: Hm.")


def test_dialogues_stand_before_the_one_that_goes_on():
    first = "A: Hi.\nB: Yes?\nA: Bye.\n\nA: Hm.\nB:"
    lm = ScriptedLM([(first, " Good.\n\nA: x"), (f"{first} Good.\nA:", " Ok.")])
    answer = continue_dialogue(lm, TURN, [TALK], speakers=("A", "B"))
    assert answer.value == "B: Good.\nA: Ok." and lm.finished
    assert answer.details["kept"] == (TALK,) and answer.details["dropped"] == ()
    # Without another dialogue no blank line ends a turn.
    alone = continue_dialogue(
        ScriptedLM([("A: Hm.\nB:", " Good.\n\nSir.")]), TURN, speakers=("A", "B"), turns=1
    )
    assert alone.value == "B: Good.\n\nSir."
    # A dialogue that has no room is dropped, and the one that goes on stays.
    lm = ScriptedLM([("A: Hm.\nB:", " Ok.")], context=8)
    answer = continue_dialogue(lm, TURN, [TALK], speakers=("A", "B"), turns=1, max_tokens=4)
    assert answer.details["dropped"] == (TALK,)


def test_texts_under_requirements_are_shown_with_them():
    limit = [max_words(3)]
    rule = " Here are the requirements.\n- no more than 3 words"
    shown = f"Describe snow.{rule}\nIt is cold.\n\nDescribe rain.{rule}\n"
    demo = Item("Describe snow.", answer="It is cold.")
    lm = ScriptedLM([(shown, "It is wet.\n\nDescribe"), (f"Describe rain.{rule}", "It\n\nis")])
    answer = write(lm, Item("Describe rain."), [demo], constraints=limit)
    assert answer.value == "It is wet." and answer.details["kept"] == (demo,)
    assert write(lm, Item("Describe rain."), constraints=limit).value == "It\n\nis"
    with pytest.raises(DataError, match="a demonstration needs an answer"):
        write(lm, demo, [Item("Describe rain.")])


def test_a_story_without_demonstrations_may_have_paragraphs():
    reply = "She ran.\n\nHe ran."
    assert continue_story(ScriptedLM([(None, reply)]), ITEM).value == reply
    assert continue_story(ScriptedLM([(None, reply)]), ITEM, [DEMO]).value == "She ran."


def test_functions_that_are_complete_stand_before_the_one_that_is_begun():
    demo = Item("def one():", answer="    return 1\n")
    begun = Item("def two():\n")
    lm = ScriptedLM([("def one():\n    return 1\n\n\ndef two():\n", "    return 2")])
    answer = complete_function(lm, begun, [demo], name="two")
    assert answer.value == "def two():\n    return 2" and answer.details["kept"] == (demo,)
    asked = "Complete this Python function.\n```python\n"
    turn = (
        f"{asked}def one():\n```\n```python\ndef one():\n    return 1\n```\n\n"
        f"{asked}def two():\n```"
    )
    lm = Chat([(f"{turn}```python\ndef two():\n", "    return 2\n```")])
    assert complete_function(lm, begun, [demo], name="two").value == answer.value
    with pytest.raises(DataError, match="a demonstration needs an answer"):
        complete_function(lm, begun, [begun], name="two")


def test_relations_are_shown_between_their_own_entities():
    demo = Item("Ann heads a bank in Oslo.", answer="1. Ann - the bank: heads\nthe bank - Oslo: in")
    assert related(demo) == ("Ann", "the bank", "Oslo")
    # Of several dashes the first one separates, and a line of another form relates nothing.
    assert related(Item("x", answer="A - B - C: d: e\nA is B")) == ("A", "B - C")
    lm = ScriptedLM([(None, "Ben - Rome: lives in")])
    answer = extract_relations(lm, Item("Ben lives in Rome."), [demo], entities=("Ben", "Rome"))
    assert answer.value == "Ben - Rome: lives in" and answer.details["kept"] == (demo,)
    first, second = lm.prompts[0].split("\n\n")
    assert "\nEntities: Ann, the bank, Oslo\nText:\nAnn heads" in first
    assert first.endswith(f"\n{demo.answer}")
    assert "\nEntities: Ben, Rome\nText:\nBen lives" in second
    with pytest.raises(DataError, match="needs lines 'A - B: description'.*'no relation' has none"):
        related(Item("x", answer="no relation"))
