"""An audit of a small repository: tests that bite, tests that do not, and what cannot be tried."""

import os
import sys

import pytest

from tinylm import book
from tinylm.book import audit, check
from tinylm.cli import main
from tinylm.errors import DataError

FILES = {
    "audited_sample.py": """
        import time

        def add(a, b):
            return a + b

        def wait(longer=False):
            if longer:
                time.sleep(60)
            return 1
        """,
    "tests/test_add.py": """
        import subprocess, sys
        from audited_sample import add, wait

        def test_the_sum_is_right():
            assert add(2, 3) == 5

        def test_in_a_process_of_its_own():
            program = "import audited_sample; print(audited_sample.add(2, 3))"
            assert subprocess.check_output([sys.executable, "-c", program]).strip() == b"5"

        def test_of_nothing():
            add(2, 0)

        def test_fails():
            assert add(2, 3) == 6

        def test_waits():
            assert wait() == 1
        """,
    "tests/test_peer.py": """
        import pytest

        pytest.importorskip("a_library_that_nobody_has")

        def test_agrees_with_a_peer():
            pass
        """,
}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [line[8:] for line in text.splitlines()]
        path.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "repository")
    yield tmp_path / "repository"
    sys.modules.pop("audited_sample", None)


def row(number, test, symbol="audited_sample:add"):
    return book.Row(f"X-{number}", "1.1", "adding", symbol, test, "-")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants run in forked processes")
def test_survivors_are_those_that_the_rows_tests_pass(repository):
    here = "tests/test_add.py::"
    table = [
        row(1, here + "test_the_sum_is_right"),
        row(2, here + "test_in_a_process_of_its_own"),
        row(3, here + "test_of_nothing"),
        row(4, here + "test_fails"),
        row(5, "-"),
        row(6, here + "test_the_sum_is_right", "audited_sample:nothing"),
    ]
    seen = []
    verdicts = audit.audit(table, repository, report=seen.append)
    assert [(v.killed, len(v.survivors)) for v in verdicts[:3]] == [(1, 0), (1, 0), (0, 1)]
    assert verdicts[2].survivors[0].after == "a - b"
    assert [v.trouble for v in verdicts[3:]] == [
        "its tests do not pass unchanged",
        "it names no test",
        "its symbols have no source to change",
    ]
    assert seen == verdicts
    assert (repository / "audited_sample.py").read_text(encoding="utf-8").count("a + b") == 1
    summary = audit.summary(verdicts)
    assert "2 of 3 mutants killed" in summary and "3 of 6 rows" in summary


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants run in forked processes")
def test_files_that_are_skipped_for_want_of_a_library_are_left_out_and_named(repository):
    peer, here = "tests/test_peer.py::test_agrees_with_a_peer", "tests/test_add.py::"
    table = [
        row(1, f"{peer} {here}test_the_sum_is_right"),
        row(2, peer),
        row(3, f"{here}test_that_is_gone"),
    ]
    verdicts = audit.audit(table, repository)
    assert (verdicts[0].killed, verdicts[0].skipped) == (1, ("tests/test_peer.py",))
    assert [v.trouble for v in verdicts[1:]] == [
        "all of its tests are skipped here",
        "its tests do not pass unchanged",
    ]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants run in forked processes")
def test_a_mutant_without_end_is_killed(repository):
    table = [row(1, "tests/test_add.py::test_waits", "audited_sample:wait")]
    (verdict,) = audit.audit(table, repository, per_row=9, seconds=10)
    # False -> True and `if not longer` both wait; 60 -> 61 is the same program to this test.
    assert verdict.killed == 3
    assert [(m.before, m.after) for m in verdict.survivors] == [("60", "61")]


def test_without_fork_an_error_names_the_reason(repository, monkeypatch):
    monkeypatch.delattr(os, "fork", raising=False)
    with pytest.raises(DataError, match="forked"):
        audit.audit([row(1, "tests/test_add.py")], repository)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants run in forked processes")
def test_the_command_lists_survivors_and_ends_with_1(repository, monkeypatch, capsys):
    here = "tests/test_add.py::"
    table = [row(1, here + "test_the_sum_is_right"), row(2, here + "test_of_nothing")]
    monkeypatch.setattr(book, "rows", lambda: table)
    monkeypatch.setattr(check, "repository", lambda: repository)
    assert main(["book", "--mutate", "X-1"]) == 0
    assert "X-1: 1 of 1 noticed" in capsys.readouterr().out
    assert main(["book", "--mutate", "X-1", "X-2"]) == 1
    text = capsys.readouterr().out
    assert "X-2: 0 of 1 noticed" in text and "a + b  ->  a - b" in text
    monkeypatch.setattr(check, "repository", lambda: None)
    assert main(["book", "--mutate", "X-1"]) == 1
    assert "in a checkout" in capsys.readouterr().err
