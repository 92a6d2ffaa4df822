"""The live line rewrites itself on a terminal and stays quiet elsewhere."""

import io

import pytest

from tinylm.train import progress
from tinylm.train.progress import Progress, clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setattr(progress, "_tqdm", lambda *args: None)


def test_clock_reads_as_people_write_it():
    assert [clock(s) for s in (0, 59.6, 61, 3600 + 62)] == ["0:00", "1:00", "1:01", "1:01:02"]


def test_no_terminal_gets_a_line_now_and_then():
    stream = io.StringIO()
    times = iter(range(0, 100))  # a second passes with every look at the clock
    shown = Progress(0, 30, stream, now=lambda: next(times))
    for step in range(1, 31):
        shown.update(step, 2.0, 1000, 0.5)
    shown.close()
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [
        "1/30",
        "11/30",
        "21/30",
        "30/30",
    ]  # every 10 s, and the last
    assert "loss 2.000  1,000 tokens/s  norm 0.50  0:29 left" in lines[0]  # 1 step took 1 s
    assert "\r" not in stream.getvalue()


def test_terminal_gets_one_line_that_is_rewritten(plain):
    stream, times = Terminal(), iter(range(0, 100))
    shown = Progress(0, 3, stream, now=lambda: next(times))
    shown.update(1, 2.0, 1000, 123456.0)
    shown.update(2, 2.0, 1000, 0.5)
    shown.note("saved")
    shown.update(3, 2.0, 1000, 0.5)
    shown.close()
    first, second, *_ = stream.getvalue().split("\r")[1:]
    assert len(second) == len(first)  # a shorter line wipes out the longer one before
    assert stream.getvalue().count("\n") == 2  # the note's, and the last
    assert stream.getvalue().endswith("left\n")


def test_a_loss_just_below_zero_is_shown_without_a_sign():
    """Losses of policy gradients are about 0."""
    stream, times = io.StringIO(), iter(range(0, 1000, 20))
    shown = Progress(0, 5, stream, now=lambda: next(times))
    for loss in (-1e-5, -0.0, -0.001, float("nan")):
        shown.update(1, loss, 1000, 0.5, [("margin", -0.0)])
    found = [line.split("loss ")[1].split()[0] for line in stream.getvalue().splitlines()]
    assert found == ["0.000", "0.000", "-0.001", "nan"]
    assert "margin 0 " in stream.getvalue()


def test_a_run_that_goes_on_counts_from_where_it_is():
    stream, times = io.StringIO(), iter(range(0, 100))
    shown = Progress(90, 100, stream, now=lambda: next(times))
    shown.update(91, 2.0, 1000, 0.5)
    assert (
        "91/100" in stream.getvalue() and "0:09 left" in stream.getvalue()
    )  # not 9/91 of a second


FIGURES = [("reward", 0.512), ("kl", 0.0123), ("clip_fraction", 0.0123), ("entropy", 1.23)]


@pytest.mark.parametrize("with_tqdm", [True, False])
def test_figures_of_a_training_are_seen_on_a_narrow_terminal(with_tqdm, monkeypatch):
    """They come before what every training has, and no line is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "92")
    if with_tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setattr(progress, "_tqdm", lambda *args: None)
    stream = Terminal()
    shown = Progress(0, 100, stream)
    for step in (1, 2):
        shown.update(step, 0.1, 1234, 0.5, [*FIGURES, ("length", 12.3)])
        shown.shown = -float("inf")  # do not wait for the next turn
        if shown.bar is not None:
            shown.bar.ncols = 92
            shown.bar.dynamic_ncols = False
            shown.bar.refresh()
    line = stream.getvalue().split("\r")[-1]
    assert "reward 0.512" in line and "clip_fraction 0.0123" in line and "length 12.3" in line
    assert "2/100" in line and len(line.rstrip("\n")) <= 92


def test_tqdm_is_used_if_it_is_there():
    pytest.importorskip("tqdm")
    stream = Terminal()
    shown = Progress(0, 2, stream)
    shown.update(1, 2.0, 1000, 0.5)
    shown.update(2, 2.0, 1000, 0.5)
    shown.note("saved")
    shown.close()
    assert (
        "2/2" in stream.getvalue()
        and "norm 0.50" in stream.getvalue()
        and "saved\n" in stream.getvalue()
    )
