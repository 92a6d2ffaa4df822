"""`tinylm train --lr-range`: a curve, a suggestion, and nothing left behind."""

import tempfile

import numpy as np
import pytest

from tinylm.cli import main
from tinylm.cli.learn.lr_range import drawn, in_words
from tinylm.train.rate_range import RangeTest


@pytest.fixture
def words(text, tiny):
    return ["train", "--data", str(text), *tiny, "--lr-range", "--lr-steps", "30"]


def test_a_curve_and_a_suggestion_are_printed_and_nothing_is_kept(
    words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main([*words, "--lr-to", "3"]) == 0
    said = capsys.readouterr().out
    assert "learning rate: 10 to the power of" in said and "b running mean" in said
    assert "suggested: --lr 0." in said
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_written(words, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "rates.svg"
    assert main([*words, "--plot", str(out)]) == 0
    assert out.read_text().startswith("<?xml")


def found(smooth, ended="", suggested=0.01):
    n = len(smooth)
    rates = 10.0 ** -np.arange(n, 0, -1)
    lowest = float(rates[int(np.argmin(smooth))])
    return RangeTest(rates, np.array(smooth), np.array(smooth), ended, lowest, suggested)


def test_the_words_say_the_rule_and_what_to_do_next():
    (lowest, rule) = in_words(found([5.0, 3.0, 4.0]))
    assert lowest == "lowest at a rate of 0.01" and "--lr 0.01, where seven tenths" in rule
    assert any("higher --lr-to" in line for line in in_words(found([5.0, 4.0, 3.0])))
    assert in_words(found([5.0, 4.0, 3.0], "it broke"))[0] == "ended early: it broke"
    (none,) = in_words(found([5.0, 5.0], suggested=None))
    assert none.startswith("no suggestion") and "--lr-from" in none


def test_the_drawing_fits_a_narrow_terminal():
    assert max(map(len, drawn(found([5.0, 3.0, 4.0]), width=30))) <= 40


@pytest.mark.parametrize(
    "more, said",
    [
        (["--resume", "RUN"], "leave out --resume"),
        (["--parallel", "dp=2", "--workers=0"], "leave out --parallel"),
        (["--lr-from", "1", "--lr-to", "0.1"], "range test: rates from 1 to 0.1"),
        (["--lr-steps", "1"], "lr_steps must be"),
        (["--plot", "rates.txt"], "plot must end in .png, .svg or .pdf"),
    ],
)
def test_what_cannot_be_is_one_line(words, more, said, capsys):
    assert main([*words, *more]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize("option", [["--lr-to", "3"], ["--lr-steps", "5"], ["--plot", "a.png"]])
def test_its_settings_without_it_are_refused(text, tiny, option, capsys):
    assert main(["train", "--data", str(text), *tiny, *option]) == 1
    assert "would change nothing: without --lr-range" in capsys.readouterr().err
