from pathlib import Path

import pytest

import tinylm.backend
from tinylm import book
from tinylm.book import check
from tinylm.cli import VERBS, main


@pytest.fixture
def root(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(
        "class TestB:\n    def test_c(self): pass\n\ndef test_d(): pass\n"
    )
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "tour.py").write_text("")
    return tmp_path


def row(**columns):
    blank = {"id": "X", "section": "2.1", "concept": "c", "symbol": "-", "test": "-", "script": "-"}
    return book.Row(**{**blank, **columns})


@pytest.mark.parametrize(
    "symbol", ["tinylm.backend:Random", "tinylm.backend.Random", "tinylm.backend::Random"]
)
def test_a_symbol_resolves_in_every_spelling(symbol):
    assert check.resolve(symbol) is tinylm.backend.Random


def test_a_symbol_may_be_a_method_or_a_module():
    assert check.resolve("tinylm.backend:Random.normal") is tinylm.backend.Random.normal
    assert check.resolve("tinylm.backend") is tinylm.backend


@pytest.mark.parametrize(
    "symbol, words",
    [
        ("tinylm.nowhere:f", "tinylm.nowhere does not import"),
        ("tinylm.backend:nothing", "tinylm.backend has no 'nothing'"),
        ("tinylm.backend.Random.nothing", "tinylm.backend.Random has no 'nothing'"),
    ],
)
def test_a_symbol_that_is_not_there_says_which_part(symbol, words):
    with pytest.raises(LookupError, match=words):
        check.resolve(symbol)


@pytest.mark.parametrize(
    "symbol, text",
    [
        ("tinylm.backend:Random.normal", "def normal("),
        ("tinylm.backend:Random", "class Random"),
        ("tinylm.cli:VERBS", "VERBS = "),
        ("tinylm.backend", '"""'),
    ],
)
def test_the_location_is_the_line_that_a_reader_looks_for(symbol, text):
    path, line = check.location(symbol)
    assert Path(path).read_text().splitlines()[line - 1].strip().startswith(text)


def test_the_idea_is_the_first_paragraph_of_the_docstring():
    assert (
        check.idea("tinylm.backend:Random.child")
        == "An independent stream whose path continues this one's, on the same device."
    )


@pytest.mark.parametrize(
    "test, complaint",
    [
        ("tests/test_a.py", None),
        ("tests/test_a.py::test_d", None),
        ("tests/test_a.py::TestB::test_c", None),
        ("tests/test_a.py::test_d[3-x]", None),
        ("tests/test_z.py::test_d", "test file tests/test_z.py is not there"),
        ("tests/test_a.py::test_c", "tests/test_a.py has no 'test_c'"),
    ],
)
def test_a_test_id_is_looked_up_in_its_file(root, test, complaint):
    assert check.test_complaint(test, root) == complaint


def test_each_command_of_a_row_is_a_line():
    found = check.commands("scripts/a.py --quick scripts/b.py")
    assert found == ["python scripts/a.py --quick", "python scripts/b.py"]
    found = check.commands("tinylm data pages.jsonl scripts/b.py")
    assert found == ["tinylm data pages.jsonl", "python scripts/b.py"]
    assert check.commands("none.py") == ["python none.py"]


@pytest.mark.parametrize(
    "script, complaint",
    [
        ("scripts/tour.py --quick", None),
        ("scripts/none.py", "script scripts/none.py is not there"),
        ("scripts/tour.py scripts/none.py", "script scripts/none.py is not there"),
        ("scripts/tour.py scripts/tour.py", None),
        ("tinylm train scripts/none.py", "script scripts/none.py is not there"),
        ("tinylm", "tinylm has no verb ''"),
        ("tinylm train --steps 5", None),
        ("tinylm fly", "tinylm has no verb 'fly'"),
    ],
)
def test_a_script_is_a_file_or_a_command(root, script, complaint):
    assert check.script_complaint(script, root, VERBS) == complaint


def test_complaints_name_the_row_and_look_at_everything_it_names(root):
    bad = row(
        symbol="tinylm.backend:nothing tinylm.errors",
        test="tests/test_a.py::test_d, tests/test_z.py",
        script="none.py",
    )
    assert check.complaints([row(), bad], root) == [
        "X: symbol tinylm.backend:nothing: tinylm.backend has no 'nothing'",
        "X: test file tests/test_z.py is not there",
        "X: script none.py is not there",
    ]


def test_without_a_repository_only_symbols_are_resolved():
    assert (
        check.complaints(
            [row(symbol="tinylm.errors", test="tests/none.py", script="none.py")], None
        )
        == []
    )


def test_every_row_of_the_book_resolves():
    assert check.complaints(book.rows(), check.repository(), VERBS) == []


@pytest.fixture
def small(monkeypatch):
    table = [
        row(
            symbol="tinylm.backend:Random.child",
            test="tests/x.py::test_y",
            script="scripts/tour.py",
        ),
        row(id="Y", section="2.10"),
        row(id="Z", section="2.9"),
    ]
    monkeypatch.setattr(book, "rows", lambda: table)


def test_the_command_shows_idea_code_proof_and_script(small, capsys):
    assert main(["book", "X"]) == 0
    text = capsys.readouterr().out
    for words in (
        "An independent stream",
        "backend.py:",
        "tests/x.py::test_y",
        "python scripts/tour.py",
    ):
        assert words in text


def test_the_overview_counts_concepts_by_section_in_order(small, capsys):
    assert main(["book"]) == 0
    counted = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert counted == [["2.1", "1"], ["2.9", "1"], ["2.10", "1"]]


def test_a_query_without_an_answer_is_an_error(small, capsys):
    assert main(["book", "quaternion"]) == 1
    assert "nothing in the index for 'quaternion'" in capsys.readouterr().err


def test_check_ends_with_1_when_a_row_is_wrong(small, capsys):
    assert main(["book", "--check", "X"]) == 1
    assert "1 rows, 2 wrong" in capsys.readouterr().out  # neither the test nor the script is there
    assert main(["book", "--check", "Y"]) == 0
