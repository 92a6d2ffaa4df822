"""A document is the sum of its segments, and an OR over segments is the answer for all of it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.functions import FunctionLM
from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.decompose.map_reduce import (
    any_segment,
    attention_cost,
    map_reduce,
    read_finding,
    segments,
)


@given(st.text("ab \n", max_size=60), st.integers(1, 12))
def test_the_concatenation_of_segments_is_the_document(text, size):
    found = segments(text, size)
    assert "".join(found) == text and all(found)
    for segment in found:  # longer than allowed only if it is one word
        assert len(segment) <= size or len(segment.split()) <= 1
    for one, other in zip(found, found[1:]):  # the next word had no room
        word = re.match(r"\s*\S+(\s+\Z)?", other)[0]
        assert len(one) + len(word) > size


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 4), st.integers(0, 2))
def test_an_overlap_repeats_words(lengths, size, overlap):
    words = [f"{i}" + "x" * (n - 1) for i, n in enumerate(lengths)]

    def count(text):
        return len(text.split())

    if overlap >= size:
        with pytest.raises(ConfigError, match=f"overlap {overlap} 0 or more and smaller"):
            segments(" ".join(words), size, count, overlap)
        return
    found = [segment.split() for segment in segments(" ".join(words), size, count, overlap)]
    # Each segment goes on `overlap` words before the end of the last; nothing is left out.
    assert found[0] == words[:size]
    for i, segment in enumerate(found):
        start = i * (size - overlap)
        assert segment == words[start : start + size]
    assert found[-1][-1] == words[-1]


def test_segments_have_at_most_so_many_tokens_of_the_model():
    text = "some words of a document that is read by a model"
    lm = text_model()
    assert segments(text, 16, lm.count) == [
        "some words of a",
        " document that",
        " is read by a",
        " model",
    ]
    assert segments("", 4) == [] and segments("  ", 4) == ["  "]
    assert segments("a longword b", 3) == ["a", " longword", " b"]


def test_an_overlap_without_room_for_another_word_is_given_up():
    assert segments("aa bb cccccccc dd", 6, overlap=1) == ["aa bb", " cccccccc", " dd"]
    assert segments("aa bb cc dddd", 6, overlap=1) == ["aa bb", " bb cc", " dddd"]


def test_impossible_segments_are_refused():
    for size, overlap in ((0, 0), (3, -1)):
        with pytest.raises(
            ConfigError, match=f"size {size} must be 1 or more, overlap {overlap} 0"
        ):
            segments("a b", size, overlap=overlap)


def test_attention_over_k_segments_costs_a_kth():
    n = 240
    for k in (1, 2, 3, 8):
        assert attention_cost([n // k] * k) == n * n // k
    assert attention_cost([]) == 0


@given(
    st.lists(st.sampled_from(["risk", "tree", "sky"]), min_size=1, max_size=12), st.integers(4, 30)
)
def test_a_document_mentions_what_one_of_its_segments_mentions(words, size):
    text = " ".join(words)
    found = ["yes" if "risk" in segment else "no" for segment in segments(text, size)]
    assert any_segment(found) == ("risk" in text)


def test_a_phrase_that_is_cut_is_lost_without_overlap():
    text = "there are many ai risks in it"
    assert not any("ai risks" in segment for segment in segments(text, 18))
    assert any("ai risks" in segment for segment in segments(text, 18, overlap=1))


def test_an_open_finding_leaves_the_or_open_unless_another_is_yes():
    assert any_segment(["no", None, "yes"]) is True
    assert any_segment(["no", None]) is None
    assert any_segment(["no", "no"]) is False and any_segment([]) is False


DOCUMENT = Item("AI risks", context="Trees grow very slowly.\n\nAI may mislead people.")
SEGMENT = "You are given a text. Please determine whether the text discusses AI risks.\n\n{}"
REDUCED = (
    "Your task is to determine whether the text discusses AI risks. The text has been divided into "
    "segments, and you have obtained the relevance of each segment to the topic of AI risks. Based "
    "on this, please provide your final result.\n\nSegment 1: No.\nSegment 2: Yes, it does."
)
MAPPED = [
    (SEGMENT.format("Trees grow very slowly."), " No.\n"),
    (SEGMENT.format("AI may mislead people."), "Yes, it does."),
]


@pytest.mark.parametrize(
    "reply, finding",
    [
        ("Yes.", "yes"),
        (" no, it is about cats", "no"),
        ("The text discusses AI risks. There is no doubt.", "yes"),  # the first counts
        ("It does not discuss them, but it discusses cats", "no"),
        ("It doesn't explicitly discuss AI.", "no"),
        ("It doesn’t discuss AI.", "no"),
        ("There is no doubt that the text discusses AI risks.", "yes"),
        ("No doubt, it discusses them.", "yes"),
        ("No question about it", None),
        ("I have no idea.", None),
        ("The text is not about AI.", "no"),
        ("It isn't about AI.", "no"),
        ("It is not only about AI: yes.", "yes"),
        ("There is no direct mention of AI.", "no"),
        ("They do not mention AI.", "no"),
        ("The answer is **no**.", "no"),
        ("The answer is no", "no"),
        ("**No** text on AI", "no"),
        ("We know nothing of what was discussed.", None),
        ("", None),
    ],
)
def test_a_finding_is_in_one_word_or_in_those_of_the_prompt(reply, finding):
    assert read_finding(reply) == finding


def test_segments_are_mapped_in_one_batch_and_reduced_by_another_prompt():
    lm = ScriptedLM([*MAPPED, (REDUCED, " Yes.")])
    with lm.tracing() as trace:
        answer = map_reduce(lm, DOCUMENT, size=4)
    assert lm.finished and answer.value == "yes" and answer.text == " Yes."
    assert answer.details == {
        "segments": ["Trees grow very slowly.", "\n\nAI may mislead people."],
        "findings": ["No.", "Yes, it does."],
        "read": ["no", "yes"],
    }
    assert trace.calls[-1].parsed == [("answer", "yes")]


def test_the_or_needs_no_other_call():
    lm = ScriptedLM(MAPPED)
    answer = map_reduce(lm, DOCUMENT, size=4, reduce_template=None)
    assert answer.value == "yes" and answer.text == "Yes, it does." and lm.account.calls == 2
    for replies, value in ((["no", "no"], "no"), (["no", "perhaps"], None)):
        lm = ScriptedLM([(None, reply) for reply in replies])
        assert map_reduce(lm, DOCUMENT, size=4, reduce_template=None).value == value


def test_a_final_reply_that_is_neither_is_no_answer():
    lm = ScriptedLM([*MAPPED, (None, "Perhaps.")])
    assert map_reduce(lm, DOCUMENT, size=4).value is None


def test_an_oracle_of_segments_gives_the_oracle_of_the_document():
    def oracle(prompt):
        if "Segment 1:" in prompt:
            return "yes" if ": yes" in prompt else "no"
        return "yes" if "danger" in prompt else "no"

    calm = "a b c d e f g h"
    for context in (f"{calm} danger", f"danger {calm}", f"{calm} danger {calm}", calm):
        item = Item("peril", context=context)
        for template in ({}, {"reduce_template": None}):
            answer = map_reduce(FunctionLM(oracle), item, size=3, **template)
            assert answer.value == ("yes" if "danger" in context else "no")


def test_defaults_are_256_tokens_a_segment_64_a_reply_and_no_overlap():
    item = Item("x", context=" ".join(["word"] * 600))
    answer = map_reduce(FunctionLM(lambda prompt: "w " * 99), item)
    assert [len(part.split()) for part in answer.details["segments"]] == [256, 256, 88]
    assert len(answer.details["findings"][0].split()) == len(answer.text.split()) == 64
    overlapping = map_reduce(FunctionLM(lambda prompt: "no"), item, size=400, overlap=100)
    assert len(overlapping.details["segments"]) == 2
    with pytest.raises(DataError, match="needs a context"):
        map_reduce(ScriptedLM([]), Item("x"))


def test_a_template_has_the_slots_that_are_filled():
    wrong = ["{topic}", "{topic} {segment} {x}", "{topic.upper} {segment}", "{} {topic} {segment}"]
    for template in (*wrong, "{topic} {segment", "{topic} {segment!r}", "{topic} {segment:9}"):
        with pytest.raises(ConfigError, match=r"must have the slots {segment} and {topic}, and no"):
            map_reduce(ScriptedLM([]), DOCUMENT, map_template=template)
    with pytest.raises(ConfigError, match="reduce_template '{x}' must have the slots {findings}"):
        map_reduce(ScriptedLM([]), DOCUMENT, reduce_template="{x}")
    lm = ScriptedLM([("{a} AI: one", "yes"), (None, "yes")])
    item = Item("AI", context="one")
    assert map_reduce(lm, item, map_template="{{a}} {topic}: {segment}").value == "yes"
