from tinylm import book
from tinylm.book.site import frame
from tinylm.book.site.frame import Place

PLACES = [
    Place("2.1.html", "2.1", "A <title>", 1),
    Place("2.2.1.html", "2.2.1", "Data", 2),
    Place("d2l-11.9.html", "D2L 11.9", "Other", 3),
]


def test_a_file_is_named_after_its_section():
    assert frame.file_of("2.3.4") == "2.3.4.html"
    assert frame.file_of("D2L 11.9") == "d2l-11.9.html"


def test_a_page_knows_its_neighbors_and_escapes_its_title():
    page = frame.page("2.2.1 <x>", "<p>body</p>", PLACES, "2.2.1.html", (PLACES[0], None))
    assert "<title>2.2.1 &lt;x&gt; &middot; tinylm</title>" in page
    assert '<link rel=prev href="2.1.html">' in page and "rel=next" not in page
    assert "A &lt;title&gt;" in page and "A <title>" not in page
    assert page.count('aria-current="page"') == 1


def test_a_section_without_a_page_is_a_heading_over_those_below_it():
    page = frame.page("x", "", PLACES, "2.2.1.html")
    heading = page.index("Training at Scale")
    assert page.index("A &lt;title&gt;") < heading < page.index("Data")


def test_only_the_chapter_at_hand_is_unfolded():
    page = frame.page("x", "", PLACES, "d2l-11.9.html")
    assert 'href="d2l-11.9.html" aria-current' in page and "2.2.1.html" not in page


def test_the_contents_count_what_is_built():
    rows = [row for row in book.rows() if book.section_number(row) == "2.3.4"]
    page = frame.contents_page(
        rows, [Place("2.3.4.html", "2.3.4", "S", 6)], "A & b.", ["A <remark>."]
    )
    assert "<p class=lead>A &amp; b.</p>" in page
    assert "<p class=note>A &lt;remark&gt;.</p>" in page
    assert '<a href="2.3.4.html">Sharing across Heads and Layers</a>' in page
    assert "6<span class=unseen> of 7 concepts</span>" in page
    assert "Prompting" not in page
