"""Last letter concatenation, with the names of the book."""

import pytest

from tinylm.data.synthetic.prompted.last_letters import (
    NAMES,
    last_letter_items,
    last_letter_steps,
    last_letters_of,
)
from tinylm.errors import ConfigError


def test_the_examples_of_the_book():
    assert last_letters_of("Elon Musk") == "nk"
    # The book's text has "aan"; its four words end in a, a, a and n.
    assert last_letters_of("Renata Mariela Mona Kristin") == "aaan"
    assert last_letter_steps("Elon Musk") == (
        'The last letter of "Elon" is "n". The last letter of "Musk" is "k". '
        'Concatenating them is "nk".'
    )


@pytest.mark.parametrize("words", [1, 4])
def test_difficulty_is_the_number_of_words(words):
    for item in last_letter_items(20, words=words):
        assert len(item.answer) == words and item.rationale.count(".") == words + 1
    assert last_letter_items(1)[0].answer == last_letter_items(1, words=2)[0].answer
    with pytest.raises(ConfigError, match="words is 0"):
        last_letter_items(1, words=0)


def test_names_differ_and_have_many_last_letters():
    assert len(set(NAMES)) == len(NAMES) and len({name[-1] for name in NAMES}) >= 10
