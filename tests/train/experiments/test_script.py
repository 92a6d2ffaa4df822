"""The command line of scripts that judge claims over seeds."""

import pytest

from tinylm.train.experiments.compare import ONLY_RUNS
from tinylm.train.experiments.script import command_line

ABOUT = "One line.\n\nAnd more."


def test_five_seeds_from_the_first_one():
    options, seeds = command_line([], ABOUT, "less")
    assert list(seeds) == [0, 1, 2, 3, 4] and options.device == "cpu" and not options.quick
    assert list(command_line([], ABOUT, "less", first=7)[1]) == [7, 8, 9, 10, 11]
    assert list(command_line(["--seed", "3"], ABOUT, "less", first=7)[1]) == [3, 4, 5, 6, 7]
    assert list(command_line([], ABOUT, "less", count=7)[1]) == list(range(7))
    assert list(command_line(["--quick"], ABOUT, "less", count=7)[1]) == [0, 1]


def test_quick_is_two_seeds_and_says_that_it_shows_nothing(capsys):
    options, seeds = command_line(["--quick", "--seed", "5"], ABOUT, "less")
    assert list(seeds) == [5, 6] and options.quick
    assert capsys.readouterr().out == f"{ONLY_RUNS}\n"
    command_line([], ABOUT, "less")
    assert capsys.readouterr().out == ""


def test_a_picture_where_there_is_one(capsys):
    options, _ = command_line(["--plot", "x.png"], ABOUT, "less", plot=True)
    assert options.plot == "x.png" and command_line([], ABOUT, "less", plot=True)[0].plot is None
    for wrong in (["--plot", "x.png"], ["--device", "phone"]):
        with pytest.raises(SystemExit):
            command_line(wrong, ABOUT, "less")
    capsys.readouterr()


def test_help_begins_with_the_first_line(capsys):
    with pytest.raises(SystemExit):
        command_line(["--help"], ABOUT, "half of the steps")
    shown = capsys.readouterr().out
    assert "One line." in shown and "And more." not in shown and "half of the steps" in shown
