"""The answer of a reply is what follows its first mark, or nothing."""

import pytest

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.reasoning.conclusion import (
    first_line,
    first_number,
    first_option,
    first_result,
    first_yes_no,
    read_conclusion,
    reader,
    split_conclusion,
    with_options,
)

CABLE = Item(
    "What home entertainment equipment requires cable?",
    options=("radio shack", "substation", "television", "cabinet"),
)


@pytest.mark.parametrize(
    "text, steps, answer",
    [
        # Replies of the book's sections 3.2.1 and 3.1.4.5.
        ("Divide, 15/3 = 5. The answer is 5.", "Divide, 15/3 = 5.", "5."),
        ("In this case 15/3 = 5. So the answer is 5.", "In this case 15/3 = 5.", "5."),
        ("They need a television. So the answer is (c).", "They need a television.", "(c)."),
        ("32 + 64 = <<32+64=96>>96\n#### 96", "32 + 64 = <<32+64=96>>96", "96"),
        # Other words.
        ("It is 4. Therefore, the final answer is: 4", "It is 4.", "4"),
        ("It is 4.\nAnswer: 4", "It is 4.", "4"),
        ("Thus the answer is 4", "", "4"),
        ("It is 4. The answer to this question is 4", "It is 4.", "4"),
        ("So the answer to the problem is: 4", "", "4"),
        ("The answer is", "", ""),
        # "answer:" begins a line or a sentence, or comes after "final" or "so".
        ("First find the answer: we need 3+4. So the answer is 7.", None, "7."),
        ("Find the answer: 3+4.\n**Answer: 7", "Find the answer: 3+4.", "7"),
        ("It is 3+4.\n  The answer: 7", "It is 3+4.", "7"),
        ("It is 3+4. Answer: 7", "It is 3+4.", "7"),
        ("It is 3+4, the final answer: 7", "It is 3+4,", "7"),
        ("3+4, so the answer: 7", "3+4,", "7"),
        ("3+4, hence the final answer: 7", "3+4,", "7"),
    ],
)
def test_steps_end_and_the_answer_begins_at_the_mark(text, steps, answer):
    if steps is None:
        steps = text.removesuffix(f" So the answer is {answer}")
    assert split_conclusion(text) == (steps, answer)


def test_the_first_mark_counts():
    text = "2 + 2 = 4. The answer is 4.\n\nQ: And 3 + 3?\nA: The answer is 6."
    assert first_number(split_conclusion(text)[1]) == "4"


def test_without_a_mark_there_is_no_answer():
    for text in (
        " It may be 4. ",
        "Answers are hard",
        "the answering is 4",
        "the answer to life is 4",
        "find the answer: 4",
        "it has no answer: 4",
    ):
        assert split_conclusion(text) == (text.strip(), None)


@pytest.mark.parametrize(
    "text, number",
    [("5.", "5"), ("about 5 apples, not 6", "5"), ("$1,234.50 in all", "1234.50"), ("-3", "-3"),
     ("37.5 % of it", "37.5%"), ("3/8", "3/8"), ("+4", "4"), ("five", None), ("", None)],
)  # fmt: skip
def test_the_first_number_is_read(text, number):
    assert first_number(text) == number


def test_yes_or_no_is_read():
    assert first_yes_no("Yes, they do, no doubt.") == "yes"
    assert first_yes_no("NO.") == "no"
    assert first_yes_no("nobody knows yesterday") is None
    assert first_yes_no("There is no doubt: yes.") == "yes"
    assert first_yes_no("There is no question of it") is first_yes_no("No idea.") is None


@pytest.mark.parametrize(
    "text, option",
    [
        ("(c).", "television"),
        ("(C) television", "television"),
        ("c", "television"),
        ("c) it is", "television"),
        ("C.", "television"),
        ("television", "television"),
        ("a television, not a cabinet", "television"),  # the letter a is a word here
        ("the Radio Shack", "radio shack"),
        ("(b), not (a)", "substation"),
        ("televisions", None),
        ("(e)", None),
        ("none of them", None),
        ("", None),
    ],
)
def test_an_option_is_named_by_letter_or_words(text, option):
    assert first_option(text, CABLE) == option


def test_of_options_that_begin_together_the_longest_is_meant():
    item = Item("What does it eat?", options=("cat", "cat food"))
    assert first_option("cat food.", item) == "cat food"
    assert first_option("cat, or cat food", item) == "cat"
    languages = Item("Which language?", options=("C", "C++", "Java", "C#"))
    for option in languages.options:
        assert first_option(f"{option}.", languages) == option
    assert first_option("C++", Item("Which language?", options=("R", "Java", "Go"))) is None
    assert first_option("a+b (c) d", Item("?", options=("a+b", "(c) d"))) == "a+b"  # no pattern


def test_a_line_is_read_without_what_stands_around_it():
    assert first_line(' "nk".\nQ: next') == "nk"
    assert first_line("] ] >") == "] ] >"
    assert first_line("12.5.") == "12.5"
    assert first_line(" .\n") is None and first_line("") is None


def test_the_result_of_an_equation_is_read():
    assert first_result(" 18 dollars.\nQ: 2 = 2") == "18"
    assert first_result("2 + 3 = 5 years. So 5 = 5 and 6 = 6.") == "5"
    assert first_result("1 + 1.5 = $2.50") == "2.50" and first_result("1+1=2! 3 = 3") == "2"
    assert first_result("7 = x") == "7"  # nothing after the sign
    assert first_result("none. Or 4") == "4" and first_result("none") is None


def test_the_item_decides_how_it_is_read_and_asked():
    assert reader(CABLE) is first_option and reader(Item("Who?")) is first_line
    number = Item("How many dollars?", "18")
    assert reader(number) is first_result and reader(Item("When?", "in 1990")) is first_line
    assert reader(number)(" 18 dollars.", number) == "18"
    assert reader(Item("Which?", "2", ("1", "2"))) is first_option
    # Without a gold answer: as the answers of the demonstrations are written.
    shown = [Item("How many?", "3"), Item("How many?", "1/2")]
    assert reader(Item("How many?"), shown) is first_result
    assert reader(Item("How many?"), [*shown, Item("Who?", "Tom")]) is first_line
    assert reader(Item("How many?"), [*shown, Item("Who?")]) is first_line
    assert reader(Item("Who?", "Tom"), shown) is first_line
    assert reader(CABLE, shown) is first_option
    steps, value = read_conclusion("3. The answer is 2 + 3 = 5 nuts.", Item("?"), None, shown)
    assert (steps, value) == ("3.", "5")
    assert with_options(CABLE) == (
        "What home entertainment equipment requires cable? "
        "(a) radio shack (b) substation (c) television (d) cabinet"
    )
    assert with_options(Item("Who?")) == "Who?"
    most = Item("Which?", options=tuple(str(i) for i in range(26)))
    assert with_options(most).endswith("(z) 25")
    with pytest.raises(DataError, match="27 options have no letters: there are 26"):
        with_options(Item("Which?", options=tuple(str(i) for i in range(27))))
