"""Rules only shorten, change nothing twice, and leave a text that reads well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.compress.test_compressed import LONG
from tinylm.data.synthetic.prompted.verbose import meaning, verbose_items
from tinylm.errors import ConfigError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.compress.compressed import Compressed
from tinylm.prompt.compress.simplify import FILLERS, RULES, simplify

words = st.sampled_from(
    "Please please, in order to the following very Very really go. stop , \n ok\n\n ! and".split(
        " "
    )
)


@pytest.mark.parametrize(
    "long, short",
    [
        (
            "It is important to note that you should really try to answer in a concise manner.",
            "You should try to answer concisely.",
        ),
        ("Could you please kindly translate the following text?", "Translate the text?"),
        ("Sort it. Please use a comma.", "Sort it. Use a comma."),
        ("Please, in order to win, go.", "To win, go."),
        ("Sort it, please.", "Sort it."),
        ("Sort it, please, and stop.", "Sort it, and stop."),
        ("Sort it very, very well", "Sort it well"),
        ("In Order to win", "To win"),
        ("displease the verystrong", "displease the verystrong"),
        ("A line\n  please: x\n    indented  text", "A line\n: x\n    indented  text"),
        ("very", ""),
        ("It is e.g. very good", "It is e.g. good"),
        (
            "Sort the following numbers: one of the following.",
            "Sort the numbers: one of the following.",
        ),
        ("Sort the following\nnumbers", "Sort the following\nnumbers"),
        (
            "The following is a list. Sort the following: 3",
            "The following is a list. Sort the following: 3",
        ),
        ("on the following day", "on the following day"),
        ("What is the given name?", "What is the given name?"),
        ("Very Éclair, very élan", "Éclair, élan"),
    ],
)
def test_rules_by_hand(long, short):
    assert simplify(long) == short


def test_the_books_task_description_becomes_shorter():
    found = Compressed.of(ScriptedLM([]), LONG, simplify(LONG))
    assert found.text == LONG.replace("with a particular emphasis on", "especially").replace(
        "the broad range of", "the many"
    )
    assert found.ratio == (52 - 4 - 2) / 52


@given(text=st.lists(words, max_size=12).map(" ".join))
def test_simplifying_is_idempotent_and_never_lengthens(text):
    short = simplify(text)
    assert simplify(short) == short and len(short) <= len(text)
    assert not any(f" {filler} " in f" {short.casefold()} " for filler in FILLERS)
    assert short.count("\n") == text.count("\n")
    assert simplify(text, ()) == text


def test_the_meaning_of_instructions_stays():
    items = verbose_items(40, redundancy=1.0)
    short = [simplify(item.question) for item in items]
    assert [meaning(text) for text in short] == [meaning(item.question) for item in items]
    kept = sum(len(text.split()) for text in short)
    assert kept < 0.75 * sum(len(item.question.split()) for item in items)


def test_rules_are_the_callers_and_must_shorten():
    assert simplify("Use this one, as is.", [("as is", ""), ("this one", "it")]) == "Use it."
    assert simplify("a big big dog", [("big big", "huge"), ("big", "")]) == "a huge dog"
    for short in ("longer", "verily"):
        with pytest.raises(ConfigError, match=f"'{short}' is not shorter than 'indeed'"):
            simplify("x", [("indeed", short)])
    assert all(len(short) < len(phrase) for phrase, short in RULES)
