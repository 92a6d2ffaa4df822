"""Templates for tuning say what the book prints."""

import pytest

from tinylm.finetune.instruct.templates import (
    TEMPLATES,
    tokens_saved,
    with_system,
)
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


def test_system_information_goes_first():
    assert with_system(
        "Hi", "You are a helpful assistant and should not output toxic content."
    ).startswith("You are a helpful")
    assert with_system("Hi", "") == "Hi"


def test_tokens_saved_is_arithmetic():
    # Bytes: 10 against 4, for 5 prompts
    assert tokens_saved(ByteTokenizer(), "Translate!", "To B", 5) == (30, 0.6)


def test_instruction_and_input_in_columns_and_the_output_left_open():
    prompt = TEMPLATES["fields"].format(
        instruction="Summarize this text in three sentences.",
        input="Daylight Savings Time (DST) - the process of moving clocks forward by one hour in "
        "the summer - was started in Germany in 1916 ...",
    )
    assert prompt == (
        "Instruction   Summarize this text in three sentences.\n"
        "Input         Daylight Savings Time (DST) - the process of moving clocks forward by one "
        "hour in the summer - was started in Germany in 1916 ...\n"
        "Output"
    )
    assert TEMPLATES["fields"].text.endswith("\nOutput        _____")
    whole = "".join(TEMPLATES["fields"].pair("yes", instruction="a", input="b"))
    assert whole == "Instruction   a\nInput         b\nOutput        yes"
