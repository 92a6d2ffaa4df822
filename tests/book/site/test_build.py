"""The site as files: every page parses, links lead somewhere, nothing comes from a network."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.book.site.conftest import small_rows
from tinylm import book
from tinylm.book import check
from tinylm.cli import main
from tinylm.errors import DataError, MissingExtra

VOID = {"meta", "link", "input", "img", "br"}


class Page(HTMLParser):
    """Ids, links and resources of a page; an element that is not closed is an error."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.resources, self.open = [], [], [], []
        self.headings = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == [], path

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "a":
            self.links.append(attributes["href"])
        elif tag in ("link", "script", "img", "iframe", "object", "source"):
            self.resources.append(attributes.get("href") or attributes.get("src"))
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def error(self, message):
        raise AssertionError(message)


def judged(folder):
    """Check every page of a site; returns how many there are."""
    pages = {path.name: Page(path) for path in sorted(folder.glob("*.html"))}
    for name, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), name
        assert page.headings[0] == 1 and page.headings.count(1) == 1, name
        # No level is skipped: screen readers offer headings as the outline of a page.
        assert all(b <= a + 1 for a, b in zip(page.headings, page.headings[1:])), name
        for resource in page.resources:
            assert resource and "//" not in resource and (folder / resource).is_file(), name
        for link in page.links:
            file, _, anchor = link.partition("#")
            assert "//" not in file, (name, link)
            target = pages[file or name]
            assert not anchor or anchor in target.ids, (name, link)
    return len(pages)


def test_pages_parse_links_lead_somewhere_and_nothing_is_loaded_from_outside(site):
    assert judged(site) > 5
    for name in ("book.css", "book.js", "index.js"):
        text = (site / name).read_text(encoding="utf-8")
        assert "http:" not in text and "https:" not in text and "@import" not in text


@pytest.mark.slow
def test_so_does_the_whole_book(tmp_path):
    pytest.importorskip("latex2mathml")
    from tinylm.book.site import build

    done = build.build(book.rows(), tmp_path / "site")
    assert judged(tmp_path / "site") == done.pages
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "<title>Foundations of Large Language Models as code &middot; tinylm</title>" in home
    assert done.bytes < 10e6  # as README says; 8.7 MB when this was written


def test_every_row_has_an_article_on_the_page_of_its_section(site):
    text = {path.name: path.read_text(encoding="utf-8") for path in site.glob("*.html")}
    assert '<article id="C2b-55">' in text["2.3.4.html"]
    for row in small_rows():
        assert sum(f'<article id="{row.id}">' in page for page in text.values()) == 1


def test_pages_lead_from_one_to_the_next(site):
    page = (site / "2.3.4.html").read_text(encoding="utf-8")
    assert '<a rel=prev href="1.4.6.html">' in page and '<a rel=next href="4.4.2.html">' in page


def test_an_older_site_is_replaced_and_another_folder_is_not(tmp_path):
    pytest.importorskip("latex2mathml")
    from tinylm.book.site import build

    rows = [row for row in small_rows() if book.section_number(row) in ("1.4.6", "1.3.2")]
    build.build(rows, tmp_path)
    (tmp_path / "notes.html").write_text("mine")
    build.build(rows[:1], tmp_path)
    assert {path.name for path in tmp_path.glob("1.*")} == {"1.3.2.html"}
    assert (tmp_path / "notes.html").read_text() == "mine"
    (tmp_path / "index.html").unlink()
    with pytest.raises(DataError, match="holds no older site"):
        build.build(rows, tmp_path)
    with pytest.raises(DataError, match="is a file"):
        build.build(rows, tmp_path / "notes.html")


def test_nothing_is_written_where_records_cannot_be_read(tmp_path):
    from tinylm.book.site import build

    with pytest.raises(DataError, match="none.xml"):
        build.build(small_rows(), tmp_path / "site", ("none.xml",))
    assert not (tmp_path / "site").exists()


def test_the_command_writes_what_was_found_and_says_where(tmp_path, capsys, monkeypatch):
    pytest.importorskip("latex2mathml")
    monkeypatch.setattr(check, "repository", lambda: None)
    assert main(["book", "1.4.6", "--html", str(tmp_path / "site")]) == 0
    text = capsys.readouterr().out
    assert "2 pages of 1 concept," in text and str(Path("site", "index.html")) in text
    assert "No results of tests are shown" in text
    assert "made from the installed package" in text
    home = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "made from the installed package" in home
    assert "<title>Contents: 1.4.6 &middot; tinylm</title>" in home


def test_without_the_extra_nothing_is_written(tmp_path, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "latex2mathml.converter", None)
    assert main(["book", "1.4.6", "--html", str(tmp_path / "site")]) == 1
    assert 'pip install "tinylm[site]"' in capsys.readouterr().err
    assert not (tmp_path / "site").exists()
    assert issubclass(MissingExtra, ImportError)


def test_recorded_results_are_counted_on_the_first_page(tmp_path):
    pytest.importorskip("latex2mathml")
    from tinylm.book.site import build

    rows = [row for row in small_rows() if book.section_number(row) == "1.4.6"]
    path, _, name = check.names(rows[0].test)[0].partition("[")[0].partition("::")
    case = path.removesuffix(".py").replace("/", ".")
    (tmp_path / "tests.xml").write_text(
        f'<testsuite timestamp="2026-11-30T01:02:03"><testcase classname="{case}" name="{name}" '
        'time="0.5"/></testsuite>'
    )
    done = build.build(rows, tmp_path / "site", (str(tmp_path / "tests.xml"),))
    assert "are recorded here (2026-11-30): 1 passed." in done.remarks[0]
    page = (tmp_path / "site" / "1.4.6.html").read_text(encoding="utf-8")
    assert "1 case, 0.50 s, 2026-11-30" in page
