"""The command: what it prints for a row, a list, a section, and nothing."""

import pytest

from tinylm import book
from tinylm.book import check
from tinylm.cli import main


def row(**columns):
    blank = {"id": "X", "section": "2.1", "concept": "c", "symbol": "-", "test": "-", "script": "-"}
    return book.Row(**{**blank, **columns})


@pytest.fixture
def small(monkeypatch):
    table = [
        row(
            symbol="tinylm.backend:Random.child",
            test="tests/x.py::test_y",
            script="scripts/engine_tour.py",
        ),
        row(id="Y", section="2.2.1", concept="Masks: of attention"),
        row(id="Z", section="2.3.1"),
    ]
    monkeypatch.setattr(book, "rows", lambda: table)


def shown(capsys, *words, status=0):
    assert main(["book", *words]) == status
    captured = capsys.readouterr()
    if status:
        return captured.err
    return captured.out


def test_a_row_has_idea_code_check_script_and_neighbor(small, capsys):
    text = shown(capsys, "X")
    for words in (
        "An independent stream",
        "backend.py:",
        "pytest tests/x.py::test_y",
        "python scripts/engine_tour.py",
        "verdict: exact",
        "next     Y  Masks",
    ):
        assert words in text
    assert "def child" not in text


def test_code_is_shown_where_it_is_wanted(small, capsys):
    lines = shown(capsys, "X", "--code").splitlines()
    (line,) = [line for line in lines if "def child(" in line]
    number = int(line.split()[0])
    path = check.resolve("tinylm.backend").__file__
    with open(path, encoding="utf-8") as file:
        assert "def child(" in file.read().splitlines()[number - 1]


def test_without_words_it_prints_the_titles_with_how_much_is_built(small, capsys):
    lines = shown(capsys).splitlines()
    (line,) = [line for line in lines if line.startswith("  2.2.1 ")]
    assert line.split() == ["2.2.1", "Data", "Preparation", "1", "of", "1"]


def test_a_list_has_a_line_for_each_row_and_a_number_to_choose_by(capsys):
    lines = shown(capsys, "GQA").splitlines()
    assert lines[0].split()[:3] == ["1", "*C2b-55", "2.3.4"]
    assert lines[-1].startswith("* read this first")
    assert all(len(line) <= 100 for line in lines)
    assert shown(capsys, "GQA", "--row", "2").startswith("C2a-C09")
    assert "2 rows were found" in shown(capsys, "GQA", "--row", "3", status=1)


def test_a_long_list_is_cut_after_ten_lines(capsys):
    lines = shown(capsys, "softmax").splitlines()
    assert lines[9].startswith(" 10") and lines[10] == ""
    assert "more with --all" in lines[11]
    assert len(shown(capsys, "softmax", "--all").splitlines()) > 12


def test_code_of_several_rows_is_that_of_the_first(capsys):
    text = shown(capsys, "GQA", "--code")
    assert text.startswith("C2b-55") and "class SelfAttention" in text
    assert "1 more row: tinylm book GQA" in text


def test_a_section_is_listed_whole_and_a_chapter_by_its_sections(capsys):
    text = shown(capsys, "2.3.4")
    assert "2.3 Long Sequence Modeling > 2.3.4 Sharing across Heads and Layers" in text
    assert text.count("C2b-") == 6 and "only named: Shared-weight" in text
    chapter = shown(capsys, "3")
    assert "3.2.5      RAG and Tool Use" in chapter and "C3-079" not in chapter
    assert "C3-079" in shown(capsys, "3", "--all")


def test_formulas_are_plain_text(monkeypatch, capsys):
    monkeypatch.setattr(
        "tinylm.book.latex.formulas", lambda: {"C2b-55": (r"\frac{\theta}{2} = \sqrt{x}",)}
    )
    assert "  formula  θ/2 = √x\n" in shown(capsys, "C2b-55")


def test_an_installed_package_says_where_tests_and_scripts_are(small, capsys, monkeypatch):
    monkeypatch.setattr(check, "repository", lambda: None)
    text = " ".join(shown(capsys, "X").split())
    assert "tests/ and scripts/ are in the repository, not in the installed package" in text
    assert "verdict" not in text


def test_files_beside_the_book_and_what_it_only_names(capsys):
    assert "tinylm/tokenizers/bpe.py" in shown(capsys, "BPE")
    text = shown(capsys, "Vision", "Transformer")
    assert "Only named in the book" in text and "D2L 11.9" in text


@pytest.mark.parametrize(
    "words, complaint",
    [
        (("quaternion",), "nothing in the index for 'quaternion': near are"),
        (("eq", "2.300"), "no row is about equation 2.300"),
        ((" ",), "an empty search"),
        (("--row", "1"), "need words to search for"),
        (("--results", "x.xml"), "give --html DIR too"),
        (("--check", "quaternion"), "nothing in the index"),
        (("--path", "softmax"), "--path is about everything: leave out 'softmax'"),
        (("--numbers", "softmax"), "--numbers is about everything"),
        (("--html", "site", "1.4.6", "9.9"), "nothing in the index for '9.9'"),
    ],
)
def test_a_query_without_an_answer_is_an_error(capsys, words, complaint):
    assert complaint in shown(capsys, *words, status=1)


def test_pages_of_several_sections_are_a_part_of_the_book(tmp_path, capsys):
    pytest.importorskip("latex2mathml")
    assert shown(capsys, "--html", str(tmp_path), "1.4.6", "1.3.2").count("pages of ") == 1
    assert {path.name for path in tmp_path.glob("1.*")} == {"1.4.6.html", "1.3.2.html"}
    lead = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "A part of the pages" in lead and f"of the {len(book.rows())} ideas" in lead


def test_check_ends_with_1_when_a_row_is_wrong(small, capsys):
    assert main(["book", "--check", "X"]) == 1
    assert "1 rows, 1 wrong" in capsys.readouterr().out  # the test is not there
    assert main(["book", "--check", "Y"]) == 0


def test_of_many_tests_a_row_shows_a_few_below_the_verdict(capsys):
    few, every = shown(capsys, "C4-100"), shown(capsys, "C4-100", "--all")
    (row,) = [row for row in book.rows() if row.id == "C4-100"]
    assert every.count("pytest tests/") == len(row.test.split()) > 10
    assert few.count("pytest tests/") == 5 and f"{len(row.test.split()) - 5} more tests" in few
    assert few.index("verdict:") < few.index("pytest tests/")
