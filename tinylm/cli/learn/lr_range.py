"""`tinylm train --lr-range`: which learning rate, before a run is begun   (Smith 2017).

A training of a hundred steps in which the rate rises by the same factor each time, on the text and
the model of the settings. The curve and a suggestion are printed; nothing is kept. Read next:
train/rate_range.py.
"""

import dataclasses
import gc
import shutil
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinylm.cli.options import refuse, report
from tinylm.errors import ConfigError
from tinylm.settings import at_least, positive, setting

if TYPE_CHECKING:
    from tinylm.train.rate_range import RangeTest
    from tinylm.train.run.config import TrainConfig


WIDEST, HEIGHT = 120, 16  # characters of the drawing


@dataclass
class RangeSettings:
    """Settings of the range test."""

    lr_range: bool = setting(
        False,
        "do not train, but try learning rates: a short training whose rate rises, its loss drawn "
        "over the rate, and a suggestion",
    )
    lr_from: float = setting(1e-5, "with --lr-range: the first rate", positive)
    lr_to: float = setting(1.0, "with --lr-range: the last rate", positive)
    lr_steps: int = setting(100, "with --lr-range: steps", at_least(2))
    plot: str = setting("", "with --lr-range: also a picture, .png, .svg or .pdf, by matplotlib")


def refuse_idle(settings: RangeSettings, given: dict) -> None:
    """Raise ConfigError for settings of a range test without one."""
    if not settings.lr_range:
        names = [field.name for field in dataclasses.fields(RangeSettings)]
        reason = "without --lr-range no rates are tried"
        refuse(given, names, reason, RangeSettings)


def try_rates(config: "TrainConfig", settings: RangeSettings) -> None:
    """Do the test and print what it has found.

    config    TrainConfig, whose rate and schedule are not used
    raises    ConfigError for a run that goes on, or that many processes share
    """
    from tinylm.parallel.communicate.mpi import started_by_mpiexec
    from tinylm.train.experiments.picture import check_picture

    for name in ("resume", "parallel"):
        if getattr(config, name):
            raise ConfigError(
                f"--lr-range tries rates on a new model in this process: leave out --{name}"
            )
    if started_by_mpiexec():
        raise ConfigError("--lr-range tries rates in one process: leave out mpiexec")
    if settings.plot:
        check_picture(settings.plot)
    with tempfile.TemporaryDirectory(prefix="tinylm-") as folder:
        found = _tested(dataclasses.replace(config, out=str(Path(folder) / "run")), settings)
        gc.collect()  # Windows removes no file that is still mapped
    width = min(shutil.get_terminal_size().columns, WIDEST)
    lines = [textwrap.fill(line, width) for line in in_words(found)]
    report("\n".join([*drawn(found, width, sys.stdout.isatty()), "", *lines]))
    if settings.plot:
        save_picture(found, settings.plot)


def _tested(config, settings):
    """The RangeTest of a configuration, whose run is made in `config.out`."""
    from tinylm.train import prepare_run
    from tinylm.train.rate_range import range_test
    from tinylm.train.run.run import new_trainer

    run = prepare_run(config, report)
    try:
        trainer = new_trainer(run, None)
        report(f"model: {trainer.parameters:,} parameters; {settings.lr_steps} steps (--lr-steps)")
        return range_test(
            trainer, settings.lr_from, settings.lr_to, settings.lr_steps, _progress(settings)
        )
    finally:
        run.lock.close()


def _progress(settings):
    """A function of rate_range.range_test that shows the step on a terminal."""

    def show(step, rate, loss):
        if sys.stderr.isatty():
            end = "\n" if step == settings.lr_steps else ""
            line = f"\rstep {step}/{settings.lr_steps}  rate {rate:.2e}  loss {loss:.3f} "
            print(line, end=end, file=sys.stderr, flush=True)

    return show


def drawn(found: "RangeTest", width: int = 80, color: bool = False) -> list[str]:
    """The losses over the logarithm of the rate, as lines of text.

    found    RangeTest
    """
    from tinylm.cli.look import charplot

    powers = np.log10(found.rates).tolist()
    series = [
        ("of each step", powers, found.losses.tolist()),
        ("running mean", powers, found.smooth.tolist()),
    ]
    title = "loss while the learning rate rises"
    return charplot.lines(series, width, HEIGHT, title, "learning rate: 10 to the power of", color)


def in_words(found: "RangeTest") -> list[str]:
    """The result of a RangeTest as lines, with the rule of the suggestion."""
    lines = []
    if found.ended:
        lines.append(f"ended early: {found.ended}")
    if found.suggested is None:
        return [
            *lines,
            "no suggestion: the loss has fallen by less than 1 %: try a wider range "
            "(--lr-from, --lr-to) or more --lr-steps",
        ]
    lines.append(f"lowest at a rate of {found.lowest:.2g}")
    if found.lowest == found.rates[-1] and not found.ended:
        lines.append(
            "that is the last rate tried, and the loss was still falling: try a higher --lr-to"
        )
    lines.append(
        f"suggested: --lr {found.suggested:.2g}, where seven tenths of that fall are done. It is a "
        "rule of thumb: these steps say nothing of the rest of a run"
    )
    return lines


def save_picture(found: "RangeTest", out: str) -> None:
    """Draw a RangeTest by matplotlib, with the suggestion as a line."""
    from tinylm.train.experiments.picture import Picture

    with Picture(out, size=(6.5, 3.8), report=report) as picture:
        title = "loss while the learning rate rises"
        panel = picture.panel(title, "learning rate", "loss (nats)", xscale="log")
        pale = {"linestyle": "-", "linewidth": 0.8, "alpha": 0.5, "marker": ""}
        panel.curve("of each step", found.rates, found.losses, color_of="loss", **pale)
        thick = {"linestyle": "-", "linewidth": 2.2, "marker": ""}
        panel.curve("running mean", found.rates, found.smooth, color_of="loss", **thick)
        if found.suggested is not None:
            panel.mark(f"suggested: {found.suggested:.2g}", found.suggested)
