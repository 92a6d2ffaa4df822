"""The text of pages against Python's own parser of HTML, where pages are well formed."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.clean.markup import without_markup

WORDS = st.sampled_from(
    [
        "text ",
        "a &amp; b",
        "x &lt; y",
        "\n",
        "&nbsp;é",
        "3 > 2",
        "&#65;",
        "AT&T ",
        'it\'s "q"',
        "<br>",
        "<br/>",
        "<img src=x/>",
        "<!-- <p> -->",
        "<!---->",
        "<!DOCTYPE html>",
        "<?xml?>",
    ]
)
ATTRIBUTES = st.sampled_from(
    [
        "",
        " class='x y'",
        ' href="a>b"',
        " id=z",
        ' title="it\'s"',
        " hidden",
        "\na = 'b'\n",
    ]
)
TAGS = st.sampled_from(["p", "DIV", "span", "a", "b", "li", "table", "td", "h1", "textile"])


def element(inside):
    return st.tuples(TAGS, ATTRIBUTES, st.lists(inside, max_size=3)).map(
        lambda made: f"<{made[0]}{made[1]}>{''.join(made[2])}</{made[0].lower()}>"
    )


class Shown(HTMLParser):
    """All text of a page."""

    def __init__(self):
        super().__init__()
        self.text = ""

    def handle_data(self, data):
        self.text += data


@given(st.lists(st.recursive(WORDS, element, max_leaves=8), max_size=4).map("".join))
def test_well_formed_pages_have_the_text_that_pythons_parser_finds(page):
    page += "</p>"
    parser = Shown()
    parser.feed(page)
    parser.close()
    assert "".join(without_markup(page).split()) == "".join(parser.text.split())
