"""A template is filled in one pass, strictly, and its values can be read back where they are
unique.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate

# Book section 3.1.1: no variable, one variable, two.
NONE = PromptTemplate("Please give me some suggestions for a rainy Sunday.")
ONE = PromptTemplate("If {*premise*}, what are your suggestions for a fun weekend?")
TWO = PromptTemplate(
    "Here is a sentence\n{*sentence1*}\nHere is another sentence\n{*sentence2*}\n"
    "Compute the semantic similarity between the two sentences"
)


def test_templates_of_no_variable_one_and_two():
    assert NONE.slots == () and NONE.format() == NONE.text
    assert ONE.format(premise="the weather is nice this weekend") == (
        "If the weather is nice this weekend, what are your suggestions for a fun weekend?"
    )
    assert TWO.slots == ("sentence1", "sentence2")
    assert TWO.format(sentence2="It snows.", sentence1="Snow is falling.") == (
        "Here is a sentence\nSnow is falling.\nHere is another sentence\nIt snows.\n"
        "Compute the semantic similarity between the two sentences"
    )


def test_a_slot_may_stand_twice_and_is_listed_once():
    template = PromptTemplate("{*a*} and {*b*}: {*a*}")
    assert template.slots == ("a", "b")
    assert template.format(a="1", b="2") == "1 and 2: 1"


def test_names_may_have_hyphens_and_then_keywords_have_underscores():
    template = PromptTemplate("Context: {*IR-result*}\nQuery: {*query*}")
    assert template.slots == ("IR-result", "query")
    expected = "Context: c\nQuery: q"
    assert template.format(IR_result="c", query="q") == expected
    assert template.format(**{"IR-result": "c", "query": "q"}) == expected
    with pytest.raises(DataError, match="two values for IR-result"):
        template.format(IR_result="c", query="q", **{"IR-result": "c"})
    # A slot of just that name is meant before one with a hyphen.
    both = PromptTemplate("{*a-b*} {*a_b*}")
    assert both.format(**{"a-b": "1", "a_b": "2"}) == "1 2"


def test_braces_without_a_star_are_only_braces():
    record = {"text": "{*text*}", "labels": {"a": {}, "b": "{{x}}"}}
    template = PromptTemplate(json.dumps(record))
    assert template.slots == ("text",)
    assert json.loads(template.format(text="rain")) == {**record, "text": "rain"}
    assert PromptTemplate("{a} {{b}} }} {").format() == "{a} {{b}} }} {"


@given(st.text(alphabet="{}*ab_-", max_size=20))
def test_a_value_is_never_read_as_a_template(value):
    assert PromptTemplate("{*a*}|{*b*}").format(a=value, b="x") == f"{value}|x"


@given(st.text(alphabet="{}*a-", max_size=20))
def test_every_text_can_be_written_in_a_template(text):
    assert PromptTemplate(PromptTemplate.escape(text)).format() == text
    # Beside a slot, from which it stays apart
    template = PromptTemplate(PromptTemplate.escape(text) + "|{*x*}")
    assert template.slots == ("x",) and template.format(x="1") == text + "|1"


@pytest.mark.parametrize("text", ["{*", "{*a", "{*a}", "{* a *}", "{*a b*}", "x {**} {*}", "{*{*"])
def test_what_looks_like_a_slot_and_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="begins no slot"):
        PromptTemplate(text)


def test_slots_and_values_must_match():
    with pytest.raises(DataError, match="no value for premise; its slots are premise"):
        ONE.format()
    with pytest.raises(DataError, match="no slot for b, c; its slots are premise"):
        ONE.format(premise="1", c="2", b="2")
    with pytest.raises(DataError, match=r"no slot for a; its slots are \(none\)"):
        NONE.format(a="1")
    with pytest.raises(DataError, match="value of premise is int, not text"):
        ONE.format(premise=1)
    with pytest.raises(DataError, match="no value for sentence1, sentence2"):
        TWO.format()


def test_the_blank_stands_at_the_end_and_is_no_part_of_the_prompt():
    template = PromptTemplate("Q: {*q*}\nA: _____")
    assert template.format(q="2 + 2?") == "Q: 2 + 2?\nA:"
    assert template.pair("4", q="2 + 2?") == ("Q: 2 + 2?\nA:", " 4")
    assert PromptTemplate("a\n_____\n").pair("b") == ("a\n", "b")
    assert PromptTemplate("a").pair("b") == ("a", "\nb")
    # A blank in a value is text.
    assert template.format(q="x _____ y") == "Q: x _____ y\nA:"
    assert PromptTemplate("{*x*}").format(x="_____") == "_____"
    with pytest.raises(ConfigError, match="must stand at the end"):
        PromptTemplate("_____ {*a*}")


def test_slots_can_be_filled_one_after_the_other():
    some = TWO.partial(sentence2="{*x*} _____")
    assert some.slots == ("sentence1",)
    assert some.format(sentence1="b") == TWO.format(sentence1="b", sentence2="{*x*} _____")
    all_of_them = some.partial(sentence1="b")
    assert all_of_them.slots == () and all_of_them.format() == some.format(sentence1="b")
    assert TWO.slots == ("sentence1", "sentence2")  # a template does not change
    with pytest.raises(DataError, match="no slot for sentence2; its slots are sentence1"):
        some.partial(sentence2="again")
    with pytest.raises(DataError, match="no slot for sentence2; its slots are sentence1"):
        some.format(sentence1="a", sentence2="again")
    with pytest.raises(DataError, match="is NoneType"):
        TWO.partial(sentence1=None)


@given(st.text(alphabet="ab,\n", max_size=9), st.text(alphabet="ab,\n", max_size=9))
def test_values_are_read_back_from_the_prompt_where_no_others_give_it(a, b):
    prompt = TWO.format(sentence1=a, sentence2=b)
    assert TWO.parse(prompt) == {"sentence1": a, "sentence2": b}
    pairs = PromptTemplate("{*a*},{*b*}")
    prompt = pairs.format(a=a, b=b)
    # n commas: n ways to say which one is the template's
    if prompt.count(",") == 1:
        assert pairs.parse(prompt) == {"a": a, "b": b}
    else:
        with pytest.raises(DataError, match="in several ways"):
            pairs.parse(prompt)


def test_a_repeated_slot_and_a_filled_one_help_reading():
    template = PromptTemplate("{*a*},{*b*},{*a*} {**")
    assert template.parse("x,y,z,x {*") == {"a": "x", "b": "y,z"}
    assert template.partial(a="x").parse("x,y,x {*") == {"b": "y"}
    assert template.partial(b="y").parse("1.,y,1. {*") == {"a": "1."}
    for wrong in ("x,y,z {*", "x,y,x {* ", "", "x,y,x {**"):
        with pytest.raises(DataError, match="is not filled in from"):
            template.parse(wrong)
    assert NONE.parse(NONE.text) == {}
    with pytest.raises(DataError, match="is not filled in from"):
        PromptTemplate("a.").parse("ab")
    # A slot behind ten others and more, before a digit
    many = PromptTemplate("".join(f"{{*s{i}*}}|" for i in range(11)) + "{*s0*}0")
    values = {f"s{i}": str(i) for i in range(11)}
    assert many.parse(many.format(**values)) == values
    assert PromptTemplate("Q: {*q*}\nA: _____").parse("Q: why\nA:") == {"q": "why"}


def test_a_text_for_str_format_becomes_a_template():
    text = "{a} {{{b}}} {{*x*}} {{{{*}}}} {a}"
    template = PromptTemplate.from_format(text)
    assert template.slots == ("a", "b")
    assert template.format(a="1", b="{*c*}") == text.format(a="1", b="{*c*}")
    for wrong in ("{", "}", "{0}", "{a!r}", "{a.b}", "{}"):
        with pytest.raises(ConfigError, match="neither a slot"):
            PromptTemplate.from_format(wrong)
