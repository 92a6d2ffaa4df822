"""No rule takes the square of a text's length, nor stumbles over any text."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.growth import MARKUP, PHRASES, RUNS, superlinear
from tinylm.data.clean import cleaning, privacy
from tinylm.data.clean.classifier import hashed_words
from tinylm.data.clean.contamination import Contamination
from tinylm.data.clean.dedup import ExactDuplicates, NearDuplicates
from tinylm.data.clean.language_id import LanguageId
from tinylm.data.clean.markup import without_markup
from tinylm.data.clean.ngram import CharNGram
from tinylm.data.clean.pipeline import code_steps, standard_steps
from tinylm.data.clean.toxicity import WordList
from tinylm.data.clean.words import comparable, words, words_of
from tinylm.errors import DataError

LANGUAGES, CHARACTERS = LanguageId(), CharNGram("the quick brown fox")
RULES = {
    "normalized": cleaning.normalized,
    "markup": without_markup,
    "citations": cleaning.without_citations,
    "sentence lines": cleaning.sentence_lines,
    "sentences": cleaning.at_least_sentences(1 << 40),
    "address": lambda text: cleaning.url_allowed(text, ("a.b",), ("x",)),
    "words": words,
    "words of": words_of,
    "comparable": comparable,
    "language": LANGUAGES.detect,
    "characters": CHARACTERS.bits_per_character,
    "counts": CharNGram,
    "toxic": WordList(["a b c"]).share,
    "exact copies": lambda text: ExactDuplicates()(text),
    "near copies": lambda text: NearDuplicates()(text),
    "classifier": lambda text: hashed_words(text, 1 << 10),
    "contamination": lambda text: Contamination(["a b c d"], 3)(text),
    "personal data": privacy.masked,
    "names": lambda text: privacy.masked(text, (), ("Ann", "中", "a a", "a@", "\t")),
    "secrets": lambda text: privacy.guarded(lambda: text, secrets=("aaab", "a 1"))(),
}
RULES |= {step.name: step for step in standard_steps() if step.name not in RULES}
RULES |= {f"code: {step.name}": step for step in code_steps()}
SEEN = (
    "\t",
    "<a ",
    "<!--",
    "<p",
    "</script",
    "<script",
    '<a b="',
    "\u0301\u0323",
    "1-",
    "a@",
    "555 1234.",
    "word\n",
    "(555) 123-4567",
    "(555) 123-4567::1",
    "%555-1234",
)


@pytest.mark.parametrize("name", RULES)
def test_time_grows_with_the_length_of_a_text(name):
    assert superlinear(RULES[name], SEEN, befores=("</p>",)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_time_grows_with_the_length_of_any_text(name):
    runs = dict.fromkeys((*RUNS, *MARKUP, *PHRASES))
    assert (
        superlinear(
            RULES[name],
            runs,
            befores=("", "</p>", "a@", "<a b='>"),
            afters=(
                "",
                "x",
                " x",
                "'>",
            ),
        )
        == []
    )


PIECES = st.sampled_from(
    [
        "</p>",
        "<",
        "</",
        ">",
        "<!--",
        "-->",
        "<![",
        "<!",
        "<?",
        "<script>",
        "</script ",
        "<style",
        "<nav>",
        "</nav>",
        "<p a=",
        "'",
        '"',
        "/>",
        "&#",
        "&#x",
        "&amp;",
        "99999999",
        "fffffff",
        "[",
        "]",
        "//",
        "http://",
        "@",
        ":",
        "1.2.3.4",
        "\0",
        "\ud800",
        "\u0301",
        "é",
        "中",
        "ก",
        "x",
        " ",
        "\n",
        "\t",
    ]
)
TEXTS = st.one_of(
    st.text(),
    st.lists(PIECES, max_size=30).map("".join),
    st.lists(PIECES, max_size=30).map(lambda pieces: "</p>" + "".join(pieces)),
)


@given(TEXTS)
def test_no_text_is_too_odd_for_a_rule(text):
    for rule in RULES.values():
        with contextlib.suppress(DataError):  # no text to count
            rule(text)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("</p><![foo[ x", "<![foo[ x"),
        ("</p><![foo[ x> y", "y"),
        ("</p>&#" + "9" * 5000 + ";x", "\ufffdx"),
        ("</p>&#x" + "f" * 5000, "\ufffd"),
        ("</p>&#0000000065;", "A"),
        ('</p>a <b c=">">d</b> e', "a d e"),
        ("</p><!-->x<!--->y<!-- a --!>z", "xyz"),
        ("</p>a < b and 3 > 2", "a < b and 3 > 2"),
        ("</p><script>a</b></script >q", "q"),
        ("</p>a <b", "a <b"),
        ("</p>it's <a b=\">z", "it's z"),
        ("</p><nav>a<nav>b</nav>c</nav>d", "d"),
        ("</p>a<svg/>b", "ab"),
    ],
)
def test_malformed_pages_have_the_text_that_a_browser_shows(text, shown):
    assert without_markup(text) == shown


@pytest.mark.parametrize(
    "url, allowed",
    [
        ("[1", False),
        ("http://[1]/", False),
        ("//]", False),
        ("http://[::1]/x", True),
        ("bad.com/x?u=http://ok.org", False),
        ("http://bad.com./", False),
        ("a" + "\u0301" * 20000, True),
    ],
)
def test_what_is_no_address_is_not_read_and_no_host_hides(url, allowed):
    assert cleaning.url_allowed(url, blocked=["bad.com"]) is allowed
