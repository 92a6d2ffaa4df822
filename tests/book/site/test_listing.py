import html
import re

import pytest

from tinylm.book.site import listing

CODE = '''def f(x, y=2):
    """Twice <b>,

    & more."""
    # a comment
    return sum(x) + y.sum() > 0x1F and "a" + f"b{x!r}c"
'''


def plain(line):
    return html.unescape(re.sub(r"<[^>]+>", "", line))


def test_a_listing_is_the_code_with_nothing_added_or_lost():
    assert [plain(line) for line in listing.lines(CODE)] == CODE.splitlines()


@pytest.mark.parametrize(
    "text, kind",
    [
        ("def", "k"),
        ("f", "f"),
        ("2", "n"),
        ("# a comment", "c"),
        ("return", "k"),
        ("sum", "b"),
        ("0x1F", "n"),
    ],
)
def test_parts_have_their_color(text, kind):
    assert f"<span class={kind}>{text}</span>" in "\n".join(listing.lines(CODE))


def test_an_attribute_is_no_builtin():
    assert "y.sum()" in plain("\n".join(listing.lines(CODE)))
    assert "y.<span" not in "\n".join(listing.lines(CODE))


def test_a_string_of_several_lines_is_colored_on_each():
    second, third = listing.lines(CODE)[1], listing.lines(CODE)[3]
    assert second == '    <span class=s>"""Twice &lt;b&gt;,</span>'
    assert third == '<span class=s>    &amp; more."""</span>'


@pytest.mark.parametrize(
    "code", ["", "x = (", "  \t", "if x:\n  y\n z", "'''open", "\u00e9 = '\U0001f600'"]
)
def test_code_that_is_no_program_is_shown_as_it_is(code):
    assert [plain(line) for line in listing.lines(code)] == (code.splitlines() or [""])


def test_a_form_feed_ends_no_line():
    assert len(listing.lines("x = 1\n\x0cy = 2\n")) == 2


def test_doubled_braces_stay_as_they_are():
    code = "f'{{{x}}} {{}}' + f\"{y:{{}}}\""
    assert [plain(line) for line in listing.lines(code)] == [code]


def test_a_block_begins_with_its_line_and_escapes_its_name():
    block = listing.block("x = 1", 41, 'a"<b>')
    assert "counter-reset:line 40" in block
    assert 'aria-label="a&quot;&lt;b&gt;"' in block
