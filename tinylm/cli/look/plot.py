"""`tinylm plot RUN...`: loss, learning rate and gradient norm of one or several runs, from their
logs; of runs of `tinylm align` also margins, accuracy, rewards, KL, clipping, entropy, lengths.

With --out a PNG, SVG or PDF by matplotlib; without, characters in the terminal (charplot.py). Runs
with different tokenizers are compared in bits per byte, since their nats are of different tokens.
--csv and --tensorboard write the logs for other programs instead.
"""

import functools
import math
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.cli.look import charplot
from tinylm.cli.options import parse
from tinylm.cli.terminal import bare, colored, visible
from tinylm.errors import DataError
from tinylm.settings import at_least, one_of, setting
from tinylm.train.experiments.picture import Picture
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
    loss: str = setting(
        "auto",
        "what the loss is shown in: nats, bits-per-byte (of runs that read every token of their "
        "text), or auto: bits per byte where runs with different tokens are compared",
        one_of("auto", "nats", "bits-per-byte"),
    )
    csv: str = setting("", "table to write instead of drawing: every step and validation of a run")
    tensorboard: str = setting(
        "", "directory to write event files to instead of drawing: tensorboard --logdir DIR"
    )
    width: int = setting(0, "width in characters; 0: the width of the terminal", at_least(0))
    height: int = setting(14, "height of each drawing, in characters", at_least(4))
    color: bool = setting(True, "color, when the output is a terminal and NO_COLOR is not set")


def main(argv: Sequence[str]) -> None:
    """Draw the runs named in argv."""
    config, names = parse(
        argv,
        PlotConfig,
        positionals=("RUN...",),
        verb="plot",
        about=__doc__,
        examples=(
            "tinylm plot RUN",
            "tinylm plot RUN RUN2 --out curves.png",
            "tinylm plot RUN RUN2 --loss bits-per-byte",
            "tinylm plot RUN --csv log.csv --tensorboard events",
        ),
    )
    warn = functools.partial(print, file=sys.stderr)
    # Damaged lines are left out with a warning: a log may end inside one when a run was killed.
    runs = [(name, read_log(name, warn)) for name in names]
    if config.csv or config.tensorboard:
        _export(runs, config)
        if not config.out:
            return
    runs = in_unit(runs, config.loss)
    if config.out:
        save_figure(runs, config.out)
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


def _export(runs, config):
    """Write the logs for other programs."""
    from tinylm.cli.look.export_log import save_csv, save_events

    if config.csv:
        save_csv(runs, config.csv)
        print(f"wrote {config.csv}")
    if config.tensorboard:
        save_events(runs, config.tensorboard)
        print(f"wrote {config.tensorboard}: tensorboard --logdir {shlex.quote(config.tensorboard)}")


def in_unit(runs: Sequence, unit: str) -> Any:
    """The runs with their losses in a unit.

    unit     "nats", as they were logged; "bits-per-byte": loss / ln 2 / bytes per token; "auto":
             this where the tokens of the runs differ, and every run says how many bytes they have
    returns  list of (name, log);  raises  DataError for a run whose log cannot say
    """
    if unit == "auto":
        scales = [log["bits_per_nat"] for _, log in runs]
        known = all(scales) and len(runs) > 1
        # Texts of one tokenizer differ by less than a hundredth in bytes per token.
        unit = "nats"
        if known and max(s["validation"] for s in scales) > 1.01 * min(
            s["validation"] for s in scales
        ):
            unit = "bits-per-byte"
    if unit == "nats":
        return runs
    return [(name, _in_bits(name, log)) for name, log in runs]


def _in_bits(name, log):
    """A log whose losses are bits per byte."""
    scales = log["bits_per_nat"]
    if scales is None:
        raise DataError(
            f"{name}: its log does not say how many bytes a token has: in bits per byte only runs "
            "are shown that predict every token of a text and were validated; use --loss nats"
        )
    found = log | {"counted": "bytes"}
    for event, scale in scales.items():
        found[event] = {
            step: r | {"loss": r["loss"] * scale} if r.get("loss") is not None else r
            for step, r in log[event].items()
        }
    return found


def panels(runs: Sequence) -> list[tuple[str, str]]:
    """The (key, title) of PANELS that some run has, the loss with what it is a mean of."""
    found = [(key, title) for key, title in PANELS if curves(runs, key)]
    counted = {log["counted"] for _, log in runs}
    if found and found[0][0] == "loss" and len(counted) == 1:
        found[0] = ("loss", _LOSSES.get(*counted, "loss"))
    return found


_LOSSES = {  # by what the loss is a mean of
    "tokens": "loss (nats per token)",
    "bytes": "loss (bits per byte)",
    "pairs": "loss (mean over pairs)",
    "answers": "loss (mean over answers)",
}


def read_log(run: str, report: Callable = lambda line: None) -> dict[str, Any]:
    """The log of a run.

    run      a run directory, or a log.jsonl itself
    report   called with a line on the number of damaged lines, if any were skipped
    returns  {"step": {step: record}, "validation": {step: record}, "counted": what the loss is a
             mean of, "bits_per_nat": {"step", "validation"}: by which losses are multiplied for
             bits per byte, or None, "ended": when the log was written last}. Of a step that was
             trained twice, because a run was resumed from an earlier checkpoint, the later record.
    raises   DataError if there is no log, or no finished step in it
    """
    path = Path(run)
    if path.is_dir():
        path = path / NAME
    if not path.is_file():
        raise DataError(
            f"no log at {path}: give the directory of a run (`tinylm train` prints its name)"
        )
    log = {"step": {}, "validation": {}, "counted": "tokens", "ended": path.stat().st_mtime}
    start = {}
    for record in read(path, report):
        if record["event"] == "start":
            start = record
            log["counted"] = str(record.get("counted", "tokens"))
        elif record["event"] in ("step", "validation"):
            # The last record of a step wins, so a resumed run has one curve.
            log[record["event"]][record["step"]] = record
    if not log["step"] and not log["validation"]:
        raise DataError(f"{path} has no finished step yet")
    log["bits_per_nat"] = _bits_per_nat(log, start)
    return log


def _bits_per_nat(log, start):
    """{"step": factor, "validation": factor} from nats per token to bits per byte; None if unknown.

    A validation logs both. The text that is learnt from has other bytes per token: the start of the
    log says how many, in runs of this version; otherwise the validation's factor stands for it.
    """
    for record in log["validation"].values():
        bits, loss = record.get("bits_per_byte"), record.get("loss")
        if bits and loss:
            factor = bits / loss
            length = start.get("bytes_per_token")
            if type(length) not in (int, float) or not 0 < length < math.inf:
                return {"step": factor, "validation": factor}
            return {"step": 1 / math.log(2) / length, "validation": factor}
    return None


def curves(runs: Sequence, key: str) -> list:
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


def summary(xs: Sequence[int], ys: Sequence[float]) -> str:
    """The last, lowest and highest values and their steps, which a drawing of averages hides."""
    # Pairs (value, step): of equal values the first step is named for the lowest, the last for the
    # highest.
    low, high = min(zip(ys, xs)), max(zip(ys, xs))
    return f"last {ys[-1]:.4g}, lowest {low[0]:.4g} at {low[1]}, highest {high[0]:.4g} at {high[1]}"


def save_figure(runs: Sequence, out: str | Path) -> None:
    """Draw the panels with matplotlib and write them to `out`; the ending of the name picks
    the format.
    """
    shown = panels(runs)
    with Picture(out, rows=len(shown), size=(7.5, 2.9), option="--out") as picture:
        for key, title in shown:
            panel = picture.panel(title, "step")
            for name, xs, ys in curves(runs, key):
                run = name.removesuffix("validation").removesuffix("training").strip() or "run"
                if name.endswith("validation"):
                    panel.curve(name, xs, ys, run, linestyle="--", linewidth=2.2, marker="")
                else:
                    _draw_steps(panel, name, run, xs, ys)


def _draw_steps(panel, name, run, xs, ys):
    """A value of every step: of many steps pale, and their running mean over it."""
    line = {"color_of": run, "linestyle": "-", "marker": ""}
    width = len(ys) // 50
    # The learning rate and the like have no noise that a mean would take out.
    rough = np.abs(np.diff(ys, 2)).sum() > 0.1 * np.abs(np.diff(ys)).sum()
    if width < 4 or not rough:
        panel.curve(name, xs, ys, linewidth=1.2, **line)
        return
    panel.curve(name, xs, ys, linewidth=0.6, alpha=0.3, label=False, **line)
    means = np.convolve(ys, np.full(width, 1 / width), "valid")
    named = f"{name} (mean of {width})" if name else f"mean of {width}"
    panel.curve(named, np.array(xs)[width // 2 :][: len(means)], means, linewidth=1.5, **line)
