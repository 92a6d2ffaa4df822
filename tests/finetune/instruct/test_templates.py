"""Prompt templates say what the book prints, and a label is chosen by its probability."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.templates import (
    TEMPLATES,
    PromptTemplate,
    classify_by_likelihood,
    tokens_saved,
    with_system,
)
from tinylm.generate import conditional_logprob
from tinylm.tokenizers import ByteTokenizer, words_and_punctuation


def test_the_books_template_and_its_instance():
    template = TEMPLATES["grammar.question"]
    assert (
        template.text
        == "{*sentence*}\nQuestion: Is this sentence grammatically correct?\nAnswer: _____"
    )
    prompt, answer = template.pair("Yes", sentence="John seems happy today.")
    assert (
        prompt
        == "John seems happy today.\nQuestion: Is this sentence grammatically correct?\nAnswer:"
    )
    assert answer == " Yes"
    # The book prints the instance with spaces around its tokens; as tokens the two are the same.
    printed = (
        "John seems happy today.\nQuestion : Is this sentence grammatically correct?\nAnswer :"
    )
    assert words_and_punctuation(prompt) == words_and_punctuation(printed)


@pytest.mark.parametrize(
    "style, text",
    [
        (
            "question",
            "{*sentence*}\nQuestion: What is the Chinese translation of this English sentence?\nAnswer: _____",
        ),
        ("instruction", "{*sentence*}\nTranslate this sentence from English into Chinese.\n_____"),
        (
            "code",
            "[src-lang] = English [tgt-lang] = Chinese [input] = {*sentence*}\n[output] = _____",
        ),
    ],
)
def test_translation_in_three_styles(style, text):
    template = TEMPLATES[f"translate.{style}"]
    assert template.text == text
    assert "".join(template.pair("你好", sentence="Hello")) == text.replace(
        "{*sentence*}", "Hello"
    ).replace("_____", "你好")


def test_without_a_blank_the_prompt_is_the_text_and_the_answer_the_next_line():
    assert TEMPLATES["grammar.read"].pair("Yes", sentence="It is.") == (
        "Read the following sentence, and answer whether it is grammatically correct.\nIt is.",
        "\nYes",
    )


def test_both_ways_to_write_a_slot_are_read():
    template = PromptTemplate("{*a*} and {b}, {{not}} { this }: {*a*}")
    assert (
        template.slots == ("a", "b")
        and template.format(a="1", b="2") == "1 and 2, {not} { this }: 1"
    )


@given(st.text(alphabet="{}*ab_", max_size=20))
def test_braces_of_users_are_only_braces(said):
    assert PromptTemplate("{*a*}|{b}").format(a=said, b="x") == f"{said}|x"


def test_slots_and_values_must_match():
    template = PromptTemplate("{a}")
    with pytest.raises(DataError, match="no value for a; its slots are a"):
        template.format()
    with pytest.raises(DataError, match="no slot for b"):
        template.format(a="1", b="2")
    with pytest.raises(DataError, match=r"no slot for a; its slots are \(none\)"):
        PromptTemplate("Hi").format(a="1")
    with pytest.raises(DataError, match="value of a is int"):
        template.format(a=1)


def test_the_blank_stands_at_the_end():
    with pytest.raises(ConfigError, match="must stand at the end"):
        PromptTemplate("_____ {a}")


def test_system_information_goes_first():
    assert with_system(
        "Hi", "You are a helpful assistant and should not output toxic content."
    ).startswith("You are a helpful")
    assert with_system("Hi", "") == "Hi"


def test_tokens_saved_is_arithmetic():
    # Bytes: 10 against 4, for 5 prompts
    assert tokens_saved(ByteTokenizer(), "Translate!", "To B", 5) == (30, 0.6)


@pytest.fixture
def lm():
    from tests.finetune.instruct.talks import model

    return model()


def test_the_answer_is_the_most_probable_label(lm):
    labels = [[1], [2, 3], [4, 5, 6]]
    best, p = classify_by_likelihood(lm, [7, 8], labels)
    logs = np.array([conditional_logprob(lm, [7, 8], label) for label in labels])
    assert best == logs.argmax() and p.sum() == pytest.approx(1)
    np.testing.assert_allclose(p, np.exp(logs) / np.exp(logs).sum(), rtol=1e-10)
    mean = logs / [1, 2, 3]
    best, p = classify_by_likelihood(lm, [7, 8], labels, per_token=True)
    assert best == mean.argmax()
    np.testing.assert_allclose(p, np.exp(mean) / np.exp(mean).sum(), rtol=1e-10)


def test_labels_are_needed(lm):
    for labels in ([], [[1], []]):
        with pytest.raises(DataError, match="at least one label"):
            classify_by_likelihood(lm, [1], labels)
