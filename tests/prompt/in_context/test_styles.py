"""A prompt in quotes, tags, JSON or code has the same pairs, and a reply is read by its marks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot
from tinylm.prompt.in_context.styles import (
    STYLES,
    NumberedPrompt,
    StyledPrompt,
    read_quotes,
    read_tags,
    write_json,
)

RAIN = Item('It "rained".', "negative", ("negative", "positive"))
SUN = Item("Sun & <fun>", "positive", ("negative", "positive"))


def form(style, **changes):
    return StyledPrompt(question_name="review", answer_name="label", style=style, **changes)


@pytest.mark.parametrize(
    "style, query, ending",
    [
        ("quotes", 'review: "It \\"rained\\"."\nlabel:', ' "negative"'),
        ("tags", '<review>It "rained".</review>\n<label>', "negative</label>"),
        ("json", '{"review": "It \\"rained\\".", "label":', ' "negative"}'),
        ("code", '[review] = [It "rained".]\n[label] =', " [negative]"),
    ],
)
def test_a_question_and_the_answer_that_follows_it(style, query, ending):
    one = form(style)
    assert one.query(RAIN) == query
    assert one.continuation(RAIN, "negative") == ending
    assert one.demonstration(RAIN) == query + ending


def test_demonstrations_stand_before_the_question_after_the_instruction():
    text = form("tags", instruction="Label it.").prompt(RAIN, [SUN])
    assert text == (
        "Label it.\n\n<review>Sun &amp; &lt;fun&gt;</review>\n<label>positive</label>\n\n"
        '<review>It "rained".</review>\n<label>'
    )


def test_a_passage_comes_first():
    item = Item("Who?", "Ada", context="Ada ran.")
    one = StyledPrompt(question_name="q", answer_name="a", context_name="c", style="json")
    assert one.query(item) == '{"c": "Ada ran.", "q": "Who?", "a":'


@pytest.mark.parametrize("style", STYLES)
@given(answer=st.text(min_size=1).filter(lambda text: text == text.strip() and text))
def test_every_answer_is_read_back_from_what_follows_a_question(style, answer):
    one = form(style)
    # A carriage return and the like are kept too: no style but tags takes white space off.
    assert one.read(one.continuation(RAIN, answer), stop=()) == answer


@pytest.mark.parametrize(
    "style, reply",
    [
        ("quotes", "positive"),
        ("quotes", ' "positive'),
        ("quotes", 'It is "positive"'),
        ("quotes", ' ""'),
        ("tags", "positive"),
        ("tags", "<b>positive</b></label>"),
        ("tags", "positive</review>"),
        ("json", ' "positive'),
        ("json", " positive}"),
        ("json", " 1}"),
        ("code", " [positive"),
        ("code", "positive"),
    ],
)
def test_a_reply_that_does_not_close_its_marks_is_not_read(style, reply):
    assert form(style).read(reply) is None


def test_what_follows_the_closing_mark_is_no_part_of_the_answer():
    assert read_quotes(' "a" "b"', "label") == "a"
    assert read_tags(" a </label>\n<review>", "label") == "a"
    assert form("code").read(" [a]\n[review] = [b]") == "a"
    assert form("json").read(' "a"} {"label": "b"}') == "a"


def test_a_reply_ends_at_the_next_demonstration():
    assert form("tags").stop == ("\n\n",)
    # The tag is closed only after the separator, in what would be another block.
    assert form("tags").read("positive\n\n</label>") is None
    assert form("tags").read("positive\n\n</label>", stop=()) == "positive"


def test_an_object_with_one_open_value_or_none():
    assert write_json([("label", None)]) == '{"label":'
    assert write_json([("a", "é"), ("b", "y")]) == '{"a": "é", "b": "y"}'
    assert write_json([("a", "x"), ("ü", None)]) == '{"a": "x", "ü":'


def test_a_turn_of_a_chat_has_no_open_answer():
    one = form("tags", instruction="Label it.")
    assert one.messages(SUN, [RAIN])[-1]["content"] == "<review>Sun &amp; &lt;fun&gt;</review>"
    repeated = form("code", instruction="Label it.", demo_repeats_task=True)
    assert repeated.messages(SUN)[0]["content"] == "Label it.\n[review] = [Sun & <fun>]"


def test_few_shot_prompting_reads_the_reply_in_its_style():
    lm = ScriptedLM([(None, ' "warm"}')])
    item = Item("The sun?", "warm")
    found = few_shot(lm, item, [Item("Ice?", "cold")], prompt=form("json"))
    assert found.value == "warm"


def test_another_style_and_names_that_are_missing_or_the_same():
    with pytest.raises(ConfigError, match="no style 'yaml'"):
        form("yaml")
    with pytest.raises(ConfigError, match="need a name each"):
        StyledPrompt(question_name="", style="json")
    with pytest.raises(ConfigError, match="need a name each"):
        StyledPrompt(question_name="x", answer_name="x", style="tags")
    with pytest.raises(ConfigError, match="separator is empty"):
        form("code", separator="")


def test_the_default_style_is_quotes_and_lines_stay_as_they_were():
    assert StyledPrompt().query(Item("Why?")) == 'Q: "Why?"\nA:'
    assert FewShotPrompt().query(Item("Why?\nA: x")) == "Q: Why?\n A: x\nA:"


# V-00b, the prompt with which chapter 3 introduces examples, with sentences of our own.
SOUP, TRAIN = Item("The soup was lovely.", "Positive"), Item("My train is late.", "Negative")
HELLO = Item("Nobody said hello.", options=("Positive", "Negative"))
INTRODUCED = (
    "Here are some examples of text classification.\n"
    "Example 1: The soup was lovely. → Label: Positive\n"
    "Example 2: My train is late. → Label: Negative\n"
    'What is the label for "Nobody said hello."?\n'
    "Label:"
)


def test_the_chapters_first_examples_are_numbered_and_the_question_is_a_sentence():
    form = NumberedPrompt()
    assert form.prompt(HELLO, [SOUP, TRAIN]) == INTRODUCED
    assert form.prompt(HELLO) == 'What is the label for "Nobody said hello."?\nLabel:'
    named = NumberedPrompt(instruction="Name it.", question_name="Case", answer_name="Kind")
    assert named.prompt(Item("Ivy", context="Plants."), [SOUP]) == (
        "Name it.\nCase 1: The soup was lovely. → Kind: Positive\nPlants.\n"
        'What is the kind for "Ivy"?\nKind:'
    )
    with pytest.raises(DataError, match="a demonstration needs an answer"):
        form.prompt(HELLO, [HELLO])


def test_numbered_examples_are_a_prompt_as_any_other():
    # Options are scored behind the open field, and a written label ends with its line.
    lm = ScriptedLM([(INTRODUCED, {" Positive": -2.0, " Negative": -1.0})])
    form = NumberedPrompt()
    assert few_shot(lm, HELLO, [SOUP, TRAIN], prompt=form).value == "Negative"
    lm = ScriptedLM([(INTRODUCED, " Negative\nExample 3: x")])
    free = Item(HELLO.question)
    assert few_shot(lm, free, [SOUP, TRAIN], prompt=form).value == "Negative"
    shown = NumberedPrompt(system="Be brief.").prompt(
        free, [Item("A.", "b", rationale="See c.")], rationale=True
    )
    assert shown.startswith("Be brief.\nHere are")
    assert "Example 1: A. → Label: See c. The answer is b.\nWhat" in shown
