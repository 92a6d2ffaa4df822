"""Text to text: the four examples of the book, scores as text, mixtures of tasks."""

from decimal import Decimal

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.pretrain.denoising.text_to_text import (
    TextToText,
    draw_tasks,
    mixture_rates,
    number_to_text,
    parse,
    text_to_number,
)

EXAMPLES = [
    (
        TextToText("Translate from Chinese to English:", "你好！", "Hello!"),
        "[CLS] Translate from Chinese to English: 你好！ → <s> Hello!",
    ),
    (
        TextToText("Answer:", "when was Albert Einstein born?", "He was born on March 14, 1879."),
        "[CLS] Answer: when was Albert Einstein born? → <s> He was born on March 14, 1879.",
    ),
    (
        TextToText(
            "Simplify:",
            "the professor, who has published numerous papers in his field, will be giving a lecture on the topic "
            "next week.",
            "The experienced professor will give a lecture next week.",
        ),
        "[CLS] Simplify: the professor, who has published numerous papers in his field, will be giving a lecture on the topic next "
        "week. → <s> The experienced professor will give a lecture next week.",
    ),
    (
        TextToText(
            "Score the translation from English to Chinese.",
            "English: when in Rome, do as the Romans do. "
            "Chinese: 人 在 罗马 就 像 罗马 人 一样 做事 。",
            number_to_text(0.81),
        ),
        "[CLS] Score the translation from English to Chinese. English: when in Rome, do as the Romans do. "
        "Chinese: 人 在 罗马 就 像 罗马 人 一样 做事 。 → <s> 0.81",
    ),
]


@pytest.mark.parametrize("example, line", EXAMPLES)
def test_the_examples_of_the_book(example, line):
    assert str(example) == line and parse(line, example.instruction) == example


def test_a_task_may_come_without_instruction():
    assert str(TextToText("", "x", "y")) == "[CLS] x → <s> y" and parse(
        "[CLS] x → <s> y"
    ) == TextToText("", "x", "y")


def test_a_score_is_a_text():
    assert (
        number_to_text(3.71, step=0.2) == "3.8"
        and number_to_text(2, step=1) == "2"
        and text_to_number("0.81") == 0.81
    )
    assert text_to_number("about one") is None and text_to_number("nan") is None


@pytest.mark.parametrize(
    "x, step, text",
    [
        (0.3, 0.25, "0.25"),
        (0.4, 0.25, "0.50"),
        (7, 2.5, "7.5"),
        (8, 2.5, "7.5"),
        (123, 50, "100"),
        (0.35, 0.1, "0.4"),  # halfway between 0.3 and 0.4: the even one
        (3.05, 0.1, "3.0"),  # also halfway; 3.05 / 0.1 in floats is 30.499..
        (-0.3, 0.25, "-0.25"),
        (-0.1, 0.25, "0.00"),
        (1e-7, 1e-7, "0.0000001"),
        (1e20, 0.01, "100000000000000000000.00"),
        (0.81, 0.01, "0.81"),
        (np.float32(0.81), 0.01, "0.81"),
    ],
)
def test_a_score_as_text_is_a_multiple_of_the_step(x, step, text):
    assert number_to_text(x, step) == text
    assert Decimal(text) % Decimal(str(step)) == 0
    assert text_to_number(text) == float(text)


def test_what_has_no_multiple_is_refused():
    for step in (0, -0.1, np.inf, np.nan):
        with pytest.raises(ConfigError, match="must be a positive number"):
            number_to_text(1.0, step)
    for x in (np.nan, np.inf):
        with pytest.raises(DataError, match="is no number"):
            number_to_text(x)


@pytest.mark.parametrize(
    "text, number",
    [
        ("0.81", 0.81),
        (" 3.8 ", 3.8),
        ("-2", -2),
        ("+2.", 2),
        (".5", 0.5),
        ("1e3", 1000),
        ("1E-3", 0.001),
    ],
)
def test_a_number_is_read_from_its_text(text, number):
    assert text_to_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "1_0",
        "0.8_1",
        "٣",
        "３.８",
        "१२",
        "0.٨",
        "1,5",
        "0x10",
        "1e",
        "",
        ".",
        "-",
        "about one",
        "nan",
        "inf",
        "1e999",
        "1 2",
        "3.8.",
        "²",
        "½",
    ],
)
def test_any_other_text_is_no_number(text):
    assert text_to_number(text) is None


def test_examples_are_mixed_by_size_limit_and_temperature():
    np.testing.assert_allclose(mixture_rates([10, 30]), [0.25, 0.75])
    np.testing.assert_allclose(mixture_rates([10, 30], limit=10), [0.5, 0.5])
    np.testing.assert_allclose(mixture_rates([10, 1000], temperature=1e9), [0.5, 0.5], rtol=1e-6)
    # square roots 1 and 4
    np.testing.assert_allclose(mixture_rates([1, 16], temperature=2), [0.2, 0.8])
    counts = np.bincount(draw_tasks([0.2, 0.8], Random(0), 4000))
    assert abs(counts[0] - 800) < 4 * np.sqrt(4000 * 0.16)


def test_what_is_not_of_the_form_is_refused():
    for line in ("no arrow", "[CLS] x → y", "x → <s> y"):
        with pytest.raises(DataError, match="is not"):
            parse(line)
    with pytest.raises(DataError, match="does not begin with 'Answer:'"):
        parse("[CLS] x → <s> y", "Answer:")
    with pytest.raises(ConfigError, match="must be positive"):
        mixture_rates([0, 1])
