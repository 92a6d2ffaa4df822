"""Where the steps of a reply end and its answer begins   (book sections 3.2.1 and 3.1.4.5).

    Add them: 2 + 4 + 9 = 15. Divide, 15/3 = 5.   So the answer is   5.
    steps                                          mark               answer

The first mark counts, and the first match after it: a model that is not stopped goes on with a
question of its own. A reply without a mark has no answer. Read next: chain_of_thought.py.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from tinylm.data.measure.numbers import canonical_number, numbers_in
from tinylm.data.read.items import Item
from tinylm.errors import DataError

# "So the answer is", "The answer to this question is", "Final answer:", and the mark of GSM8K.
# "Answer:" counts where a line or a sentence begins, as steps may say "find the answer: add them".
_SO = r"(?:so|thus|hence|therefore),? "
_TO = r"(?: to (?:the|this|your) (?:question|query|problem))?"
MARK = re.compile(
    rf"\b(?:{_SO})?(?:the )?(?:final )?answer{_TO} is:?"
    rf"|\b(?:{_SO}(?:the )?(?:final )?|(?:the )?final )answer{_TO}:"
    rf"|(?:^|(?<=[.!?] )|(?<=\n))[ \t*#>]*(?:the )?answer{_TO}:|####",
    re.IGNORECASE,
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def split_conclusion(text: str) -> tuple[str, str | None]:
    """(steps, what follows the first mark) of a reply, both str without white space at their ends;
    the second is None without a mark.
    """
    found = MARK.search(text)
    if found is None:
        return text.strip(), None
    return text[: found.start()].strip(), text[found.end() :].strip()


# Readers: function(text, item) -> str or None, the answer in what follows a mark.


def first_number(text: str, item: Item | None = None) -> str:
    """The first number, without currency sign and commas; None if there is none."""
    found = numbers_in(text)
    if not found:
        return None
    # "$1,200" is 1200: values are compared, and not how they are written.
    return re.sub("[$€£,+ ]", "", found[0])


def first_result(text: str, item: Item | None = None) -> str:
    """The first number of the first sentence, but the result where the sentence is an equation:
    "18" of "18 dollars.", "5" of "2 + 3 = 5 years". None if there is no number.
    """
    # A period inside of a number has no space after it: "2.5 km." is one sentence.
    sentence = re.split(r"[.!?]\s|\n", text.strip(), maxsplit=1)[0]
    # Without "=" rpartition returns the whole sentence as its last part.
    return first_number(sentence.rpartition("=")[2]) or first_number(text)


def first_yes_no(text: str, item: Item | None = None) -> Any:
    """The first "yes" or "no", in small letters; None if there is neither."""
    # \b, as "no" is also in "know" and "another"; "no doubt" denies nothing
    found = re.search(r"\b(yes|no)\b(?! (?:doubt|question|idea)\b)", text.lower())
    return found and found[1]


def first_option(text: str, item: Item) -> str | None:
    """The option of the item that the text names first: by its letter, as (c), c) or a letter
    alone, or by its own words. None if it names none.
    """
    places = []
    for letter, option in zip(LETTERS, item.options):
        # (c), c), a letter alone at the beginning, or the option itself as whole words. Neither is
        # in "C++", unless it is the option.
        alone = rf"^{letter}\b(?! \w|[+#])"
        named = rf"\({letter}\)|\b{letter}\)|{alone}|(?<!\w){re.escape(option)}(?![\w+#])"
        found = re.search(named, text, re.IGNORECASE)
        if found:
            # Of options that begin at the same place the longest is meant: "cat food", not "cat".
            places.append((found.start(), -len(found[0]), option))
    if not places:
        return None
    return min(places)[2]


def first_line(text: str, item: Item | None = None) -> str:
    """The first line, without the period and quotation marks around it; None if it is empty."""
    line = text.strip().partition("\n")[0].strip().removesuffix(".")
    return line.strip().strip('"').strip() or None


def reader(item: Item, demonstrations: Sequence[Item] = ()) -> Callable:
    """The reader for an item: first_option if it has options, first_result if its answer is a
    number, else first_line.

    Of the gold answer the kind alone is used. A question without one is read as the answers of its
    demonstrations are written: as numbers, if all of them are. Without demonstrations nothing is
    known, and first_line is taken: give read=first_result to a method where a number is wanted.
    """
    if item.options:
        return first_option
    answers = [item.answer]
    if item.answer is None:
        answers = [demo.answer for demo in demonstrations]
    if answers and all(canonical_number(answer or "") is not None for answer in answers):
        return first_result
    return first_line


def read_conclusion(
    text: str, item: Item, read: Callable | None = None, demonstrations: Sequence[Item] = ()
) -> tuple[str, str | None]:
    """The steps of a reply, and the answer after its mark.

    read     reader; None: by the item and the demonstrations
    returns  (str, str or None); a reply without a mark has no answer
    """
    steps, conclusion = split_conclusion(text)
    if conclusion is None:
        return steps, None
    return steps, (read or reader(item, demonstrations))(conclusion, item)


def with_options(item: Item) -> str:
    """The question with its options, "(a) ...", as in Figure 3.1; without options as it is."""
    if not item.options:
        return item.question
    if len(item.options) > len(LETTERS):
        raise DataError(f"{len(item.options)} options have no letters: there are {len(LETTERS)}")
    options = [f"({letter}) {option}" for letter, option in zip(LETTERS, item.options)]
    return f"{item.question} {' '.join(options)}"
