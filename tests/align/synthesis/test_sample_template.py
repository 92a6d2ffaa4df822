"""Samples from a template and the records of a data set."""

import pytest

from tinylm.align.synthesis.sample_template import TRANSLATION, SampleTemplate, from_template
from tinylm.data.read.instructions import Instruction
from tinylm.errors import ConfigError, DataError

WEATHER = "今天天气怎么样？"


def test_the_books_template_for_translation_and_its_sample():
    sample = TRANSLATION.fill(text="How's the weather today?", translation=WEATHER)
    assert sample == Instruction(
        "Translate the text from English to Chinese.",
        WEATHER,
        "How's the weather today?",
        task="translation",
    )
    # flattened: the instruction, and the input on the next line
    assert sample.user == "Translate the text from English to Chinese.\nHow's the weather today?"
    assert TRANSLATION.slots == ("text", "translation")


def test_a_record_gives_a_sample():
    records = [{"text": "a", "translation": "b"}, {"text": "c", "translation": "d"}]
    found = from_template(TRANSLATION, records)
    assert [(one.input, one.output) for one in found] == [("a", "b"), ("c", "d")]


def test_braces_in_a_value_are_text():
    sample = TRANSLATION.fill(text="{*translation*} {text}", translation="{*text*}")
    assert (sample.input, sample.output) == ("{*translation*} {text}", "{*text*}")


def test_a_slot_may_stand_in_every_part():
    template = SampleTemplate("Is {*word*} a noun?", output="{*word*}: {*answer*}")
    assert template.slots == ("word", "answer")
    sample = template.fill(word="tree", answer="yes")
    assert (sample.instruction, sample.input) == ("Is tree a noun?", "")
    assert (sample.output, sample.task) == ("tree: yes", "")


def test_without_an_output_of_its_own_a_template_has_the_slot_output():
    assert SampleTemplate("Go.").slots == ("output",)
    with pytest.raises(AttributeError):
        TRANSLATION.task = "other"


def test_values_and_slots_must_match():
    with pytest.raises(DataError, match=r"without a value: \['translation'\]"):
        TRANSLATION.fill(text="a")
    with pytest.raises(DataError, match=r"without a slot: \['title'\]"):
        TRANSLATION.fill(text="a", translation="b", title="c")
    with pytest.raises(ConfigError, match="begins no slot"):
        SampleTemplate("{*open")
