import pytest

import tinylm.backend
from tinylm import book
from tinylm.book import check
from tinylm.cli import VERBS


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
    "symbol, parts",
    [
        ("tinylm.backend:Random.normal", ("tinylm.backend", "Random.normal")),
        ("tinylm.backend.Random.normal", ("tinylm.backend", "Random.normal")),
        ("tinylm.backend", ("tinylm.backend", "")),
    ],
)
def test_a_symbol_has_a_module_and_a_path_in_it(symbol, parts):
    assert check.module_of(symbol) == parts


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
