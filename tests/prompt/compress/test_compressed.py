"""The ratio is exact arithmetic on tokens."""

from tinylm.prompt import ScriptedLM
from tinylm.prompt.compress.compressed import Compressed

# The book's long description of a task, and its short form (section 3.3.3).
LONG = (
    "The task involves developing a language model capable of understanding and responding to user "
    "inquiries across various domains, with a particular emphasis on healthcare and finance. "
    "Considering the broad range of potential queries, from medical diagnoses to the nuances of "
    "financial regulations, the model must ensure a comprehensive understanding and accurate "
    "responses."
)
SHORT = (
    "The task involves developing a language model focused on healthcare and finance, capable of "
    "understanding and accurately responding to a wide range of user queries."
)


def test_the_books_example_keeps_25_of_52_words():
    found = Compressed.of(ScriptedLM([]), LONG, SHORT, method="by hand")
    assert (found.tokens, found.before, found.saved) == (25, 52, 27)
    assert found.ratio == 25 / 52
    assert found.text == SHORT and found.details == {"method": "by hand"}


def test_nothing_saves_nothing():
    assert Compressed.of(ScriptedLM([]), LONG, LONG).ratio == 1
    assert Compressed.of(ScriptedLM([]), "", "").ratio == 1
