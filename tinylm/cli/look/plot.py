"""`tinylm plot RUN...`: loss, learning rate and gradient norm of one or several runs, from their
logs; of runs of `tinylm align` also margins, accuracy, rewards, KL, clipping, entropy, lengths.

With --out a PNG, SVG or PDF by matplotlib; without, characters in the terminal (charplot.py).
"""

import functools
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tinylm.cli.look import charplot
from tinylm.cli.options import parse
from tinylm.cli.terminal import bare, colored, visible
from tinylm.errors import ConfigError, DataError, MissingExtra
from tinylm.files import WholeFile
from tinylm.settings import at_least, setting
from tinylm.train.log import NAME, read

# Those that no run has are left out.
PANELS = (
    ("loss", "loss"),
    ("accuracy", "share of pairs in the right order"),
    ("margin", "reward of the chosen answer less that of the rejected one"),
    ("reward_good", "reward of good answers"),
    ("reward_bad", "reward of bad answers"),
    ("reward", "reward"),
    ("kl", "KL to the reference (nats per response)"),
    ("clip_fraction", "share of tokens that are clipped"),
    ("entropy", "entropy (nats per token)"),
    ("length", "tokens of a response"),
    ("lr", "learning rate"),
    ("grad_norm", "gradient norm"),
)


@dataclass
class PlotConfig:
    """Settings of `tinylm plot`."""

    out: str = setting(
        "", "image to write, by matplotlib: .png, .svg or .pdf; none: draw with characters"
    )
    width: int = setting(0, "width in characters; 0: the width of the terminal", at_least(0))
    height: int = setting(14, "height of each drawing, in characters", at_least(4))
    color: bool = setting(True, "color, when the output is a terminal and NO_COLOR is not set")


def main(argv):
    """Draw the runs named in argv."""
    config, names = parse(
        argv,
        PlotConfig,
        positionals=("RUN...",),
        verb="plot",
        about=__doc__,
        examples=("tinylm plot RUN", "tinylm plot RUN RUN2 --out curves.png"),
    )
    warn = functools.partial(print, file=sys.stderr)
    # Damaged lines are left out with a warning: a log may end inside one when a run was killed.
    runs = [(name, read_log(name, warn)) for name in names]
    if config.out:
        save_figure(runs, config.out)
        print(f"wrote {config.out}")
        return
    # Colors are written past the guard of the terminal; names of runs are not to control it.
    color, screen = config.color and colored(sys.stdout), bare(sys.stdout)
    # Wider drawings than 120 characters show no more of an average.
    width = config.width or min(shutil.get_terminal_size().columns, 120)
    for key, title in panels(runs):
        series = [
            (f"{visible(name)} {summary(xs, ys)}".strip(), xs, ys)
            for name, xs, ys in curves(runs, key)
        ]
        drawn = charplot.lines(series, width, config.height, title, "step", color)
        print("\n".join(drawn), end="\n\n", file=screen)


def panels(runs):
    """The (key, title) of PANELS that some run has, the loss with what it is a mean of."""
    found = [(key, title) for key, title in PANELS if curves(runs, key)]
    counted = {log["counted"] for _, log in runs}
    if found and found[0][0] == "loss" and len(counted) == 1:
        found[0] = ("loss", _LOSSES.get(*counted, "loss"))
    return found


_LOSSES = {  # by what the loss is a mean of
    "tokens": "loss (nats per token)",
    "pairs": "loss (mean over pairs)",
    "answers": "loss (mean over answers)",
}


def read_log(run, report=lambda line: None):
    """The log of a run.

    run      a run directory, or a log.jsonl itself
    report   called with a line on the number of damaged lines, if any were skipped
    returns  {"step": {step: record}, "validation": {step: record}, "counted": what the loss is a
             mean of}. Of a step that was trained twice, because a run was resumed from an earlier
             checkpoint, the later record.
    raises   DataError if there is no log, or no finished step in it
    """
    path = Path(run)
    if path.is_dir():
        path = path / NAME
    if not path.is_file():
        raise DataError(
            f"no log at {path}: give the directory of a run (`tinylm train` prints its name)"
        )
    log = {"step": {}, "validation": {}, "counted": "tokens"}
    for record in read(path, report):
        if record["event"] == "start":
            log["counted"] = str(record.get("counted", "tokens"))
        elif record["event"] in ("step", "validation"):
            # The last record of a step wins, so a resumed run has one curve.
            log[record["event"]][record["step"]] = record
    if not log["step"] and not log["validation"]:
        raise DataError(f"{path} has no finished step yet")
    return log


def curves(runs, key):
    """The curves of one panel, as list of (name, xs, ys). The loss panel has training and
    validation.
    """
    found = []
    events = {"step": ""}  # event -> its name in the legend
    validated = any(key in record for _, log in runs for record in log["validation"].values())
    if key == "loss" or validated:
        events = {"step": "training", "validation": "validation"}
    for name, log in runs:
        label = Path(name).name or name
        for event, title in events.items():
            points = sorted(
                (step, r[key])
                for step, r in log[event].items()
                # A loss that was infinite is null in the log, and leaves a gap.
                if isinstance(r.get(key), (int, float))
            )
            if len(runs) > 1:
                title = f"{label} {title}".strip()
            if points:
                found.append((title, *map(list, zip(*points))))
    return found


def summary(xs, ys):
    """The last, lowest and highest values and their steps, which a drawing of averages hides."""
    # Pairs (value, step): of equal values the first step is named for the lowest, the last for the
    # highest.
    low, high = min(zip(ys, xs)), max(zip(ys, xs))
    return f"last {ys[-1]:.4g}, lowest {low[0]:.4g} at {low[1]}, highest {high[0]:.4g} at {high[1]}"


def save_figure(runs, out):
    """Draw the panels with matplotlib and write them to `out`; the ending of the name picks
    the format.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra(
            "--out needs matplotlib: pip install 'tinylm[plot]', or leave out --out"
        ) from None
    if Path(out).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"out must end in .png, .svg or .pdf, not {Path(out).name!r}")
    # Figure alone, without pyplot: no display is needed, and no window opens.
    shown = panels(runs)
    figure = Figure(figsize=(8, 3 * len(shown)), layout="constrained")
    rows = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    for axes, (key, title) in zip(rows, shown):
        for name, xs, ys in curves(runs, key):
            style = {"linestyle": "-", "linewidth": 1}
            if name.endswith("validation"):
                style = {"linestyle": "--", "linewidth": 2}
            axes.plot(xs, ys, label=name or None, **style)
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    axes.set_xlabel("step")
    # Written aside and renamed, so a picture is whole or not there.
    with WholeFile(out) as file:
        figure.savefig(file, dpi=150, format=Path(out).suffix[1:].lower())
