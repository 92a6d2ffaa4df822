"""Measured figures on the pages name the command that yields them and, if times, the processor."""

from types import SimpleNamespace

import pytest

from tests.conftest import pytest_report_collectionfinish
from tinylm.book import check, numbers
from tinylm.cli import main

HEADS = "| script | book section | claim | verdict as measured | minutes |\n|---|---|---|---|---|\n"


def test_every_figure_of_the_pages_says_where_it_comes_from():
    assert numbers.all_complaints(check.repository()) == []


@pytest.mark.parametrize(
    "text, found",
    [
        ("it takes 16.8 ms, GELU 1.3", ["16.8 ms", "1.3"]),
        ("in **75** seconds, or in ten minutes", ["75 seconds", "ten minutes"]),
        ("89 tokens/s at 35 GB/s", ["89 tokens/s", "35 GB/s"]),
        ("126 billion operations a second", ["126 billion operations a second"]),
        ("3 times as fast, 1.4 to 1.6 times torch's time", ["3 times as fast", "1.4"]),
        ("to 1.67 bits per byte and 2 nats", ["1.67 bits per byte", "2 nats"]),
        ("6 % of half a batch, 0.75 of the time", ["6 % of half a batch", "0.75 of the time"]),
        ("116 MiB; off by 2e-7", ["116 MiB", "2e-7"]),
        ("6,500 cases", ["6,500 cases"]),
    ],
)
def test_figures_with_a_unit_and_fractions_are_measured(text, found):
    assert numbers.figures(text)[: len(found)] == found


@pytest.mark.parametrize(
    "text",
    [
        "sections 2.1 and 4.2 to 4.4, eq. 2.13, chapter 3",
        "NumPy 2.4, torch 2.13 and TRL (version 1.16)",
        "a GPT of 0.9 million parameters, 4 layers of width 128",
        "`--dropout 0.1` and [a run](runs/1.5.md)",
        "a chain of 100,000 operations; one of 29 objectives; 3/8 of the context",
    ],
)
def test_versions_places_sizes_and_settings_are_not_measured(text):
    assert numbers.figures(text) == []


@pytest.mark.parametrize(
    "page",
    [
        "A loss of 1.7 (`tinylm eval RUN`).",
        "A loss of 1.7\nby `python scripts/a.py`.",
        "A loss of 1.7:\n\n    tinylm eval RUN\n",
        "A loss of 1.7:\n\n```\npytest tests/a.py\n```\n",
        "No difference above 3e-11 (`tests/a.py`).",
        "Losses by `tinylm eval`:\n\n| a | 1.7 | 1.8 |\n",
        "| [a](a.py) | 1.7 | 3 |",
        "# A\n\nThe figures of this section: `tinylm eval`.\n\nA loss of 1.7.\n\n## B\n\n3 nats.",
    ],
)
def test_a_command_may_stand_in_the_passage_behind_it_or_for_the_section(page):
    assert numbers.complaints(page) == []


@pytest.mark.parametrize(
    "page, line",
    [
        ("By `tinylm eval`.\n\nA loss of 1.7.", 3),
        ("- by `tinylm eval`\n- a loss of 1.7", 2),
        ("A loss of 1.7, `kernels/linear.py`.", 1),
        ("Losses\n\n| a | b | c |\n|---|---|---|\n| a | 1.7 | 1.8 |", 5),
        ("# A\n\nThe figures of this section: `tinylm eval`.\n\n# B\n\nA loss of 1.7.", 7),
    ],
)
def test_a_figure_without_a_command_is_found_in_its_line(page, line):
    (complaint,) = numbers.complaints(page)
    assert complaint.startswith(f"line {line}: no command yields")


def test_a_time_needs_a_processor_and_a_loss_does_not():
    assert numbers.complaints("`tinylm bench`: 8 ms") == [
        "line 1: no processor or kernels for 8 ms"
    ]
    assert numbers.complaints("`tinylm bench`: 8 ms, kernels for AVX2") == []
    assert numbers.complaints("`tinylm eval`: 1.7 nats") == []
    table = "How fast, by `tinylm bench`{}:\n\n| a | 1.7 | 1.8 |"
    assert numbers.complaints(table.format("")) == ["line 1: no processor or kernels for fast"]
    assert numbers.complaints(table.format(" on an EPYC")) == []


def test_a_page_of_scripts_has_a_full_row_for_every_script():
    row = "| [a.py](a.py) | 2.1 | it learns | shows | {} |\n"
    assert numbers.script_complaints(HEADS + row.format("0.5"), ["a.py"]) == []
    assert numbers.script_complaints(HEADS + row.format("0.5"), ["a.py", "b.py"]) == [
        "b.py is not on the page"
    ]
    assert numbers.script_complaints(HEADS + row.format("soon"), []) == [
        "line 3: minutes must be a number, not 'soon'"
    ]
    assert numbers.script_complaints(HEADS + row.format(""), []) == [
        "line 3: a row has 5 cells, none empty"
    ]
    (wrong,) = numbers.script_complaints("| script | claim |\n|---|---|\n| [a.py](a.py) | x |", [])
    assert wrong.startswith("line 1: the columns must be script, book section")


def test_the_command_lists_what_is_wrong_and_ends_with_1(tmp_path, monkeypatch, capsys):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "README.md").write_text("A loss of 1.7.")
    (tmp_path / "DESIGN.md").write_text("")
    monkeypatch.setattr(check, "repository", lambda: tmp_path)
    assert main(["book", "--numbers"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out == ["README.md, line 1: no command yields 1.7", "1 to mend"]
    (tmp_path / "README.md").write_text("")
    assert main(["book", "--numbers"]) == 0
    assert "every measured figure" in capsys.readouterr().out
    monkeypatch.setattr(check, "repository", lambda: None)
    assert main(["book", "--numbers"]) == 1
    assert "in a checkout" in capsys.readouterr().err


def test_functions_and_their_cases_are_counted_apart():
    items = [SimpleNamespace(nodeid=f"tests/a.py::{name}") for name in ("f[1]", "f[2-[3]]", "g")]
    assert pytest_report_collectionfinish(None, items) == "2 test functions, 3 cases"
