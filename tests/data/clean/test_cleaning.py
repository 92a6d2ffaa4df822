"""Characters, markup and C4's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.clean import cleaning


@given(st.text())
def test_writing_in_one_way_twice_is_once(text):
    once = cleaning.normalized(text)
    assert cleaning.normalized(once) == once


@pytest.mark.parametrize(
    "text, clean",
    [
        ("e\u0301", "é"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\u00a0\u3000b  \n", "a b"),
        ("a\x00\x07\ufeff\u200bb", "ab"),
        ("a\n\n\n\nb\n", "a\n\nb"),
        ("\tindented", "\tindented"),
    ],
)
def test_each_thing_is_written_in_one_way(text, clean):
    assert cleaning.normalized(text) == clean


def test_a_page_of_html_becomes_what_a_browser_shows():
    page = (
        "<html><head><title>T</title><style>p {}</style></head><body><nav><a>Home</a></nav>"
        "<p>One &amp; <b>two</b>.</p><p>Three<br/>four</p><script>x = '<p>no</p>'</script></body></html>"
    )
    assert cleaning.without_markup(page).split() == ["One", "&", "two.", "Three", "four"]
    assert "\n" in cleaning.without_markup(page)  # paragraphs are lines
    assert cleaning.without_markup(cleaning.without_markup(page)) == cleaning.without_markup(page)


@pytest.mark.parametrize(
    "text", ["if a < b and c > d: pass", "x &amp; y", "", "no markup\n\nat all"]
)
def test_text_without_html_stays_as_it_is(text):
    assert cleaning.without_markup(text) == text


def test_lines_that_are_no_sentences_go():
    text = (
        "Home | About | Contact\nThis line is a whole sentence.\nToo short.\nAnd this one asks a question, no?\n\n\n"
        "Please enable JavaScript in your browser now.\nWe value you: read our cookie policy today.\n这是一个很长的句子。"
    )
    assert cleaning.sentence_lines(text) == (
        "This line is a whole sentence.\nAnd this one asks a question, no?\n\n这是一个很长的句子。"
    )


def test_a_line_of_five_words_is_long_enough():
    assert cleaning.sentence_lines("This line has five words.\nThis one has four.") == (
        "This line has five words."
    )
    assert cleaning.sentence_lines("Two words.\nOne.", least=2) == "Two words."
    # Every one of the three conditions is needed, and a blank line needs none.
    assert cleaning.sentence_lines("five words without an end") == ""
    assert cleaning.sentence_lines("JavaScript has five words here.") == ""
    assert cleaning.sentence_lines('He said "five words are here."') == (
        'He said "five words are here."'
    )


@given(st.text("ab .\n!", max_size=80))
def test_choosing_sentence_lines_twice_is_once(text):
    once = cleaning.sentence_lines(text, least=2)
    assert cleaning.sentence_lines(once, least=2) == once


def test_pages_by_what_they_hold():
    assert not cleaning.no_placeholder("Lorem Ipsum dolor") and cleaning.no_placeholder("ipsum")
    assert not cleaning.no_code("function f() { }") and cleaning.no_code("(plain) [text]")
    three = cleaning.at_least_sentences(3)
    assert three('One. "Two!" Three?') and not three("3.14 and e.g.this") and three("一。二！三？")
    assert cleaning.without_citations("Water[12] is wet[citation needed][edit].") == "Water is wet."


@pytest.mark.parametrize(
    "url, allowed",
    [
        ("https://example.org/page", True),
        ("http://www.bad.com/x", False),
        ("bad.com", False),
        ("https://notbad.com", True),
        ("https://ok.org/casino-games", False),
        ("https://ok.org/casinos", True),
        ("ftp://ok.org", False),
    ],
)
def test_pages_are_refused_by_host_and_by_word(url, allowed):
    assert cleaning.url_allowed(url, blocked=["bad.com"], words=["casino"]) is allowed


def test_tibetan_ends_its_sentences_with_a_stroke():
    line = "དེ་རིང་ང་ཚོ་སློབ་གྲྭར་ཕྱིན།"
    assert cleaning.sentence_lines(line) == line
    assert cleaning.at_least_sentences(2)(line + " " + line)
    assert not cleaning.at_least_sentences(3)(line + " " + line)
