"""The live line of a training run: step, loss, tokens per second, gradient norm, time left.

On a terminal it is one line that is rewritten (by tqdm if it is installed); elsewhere, as in a file
or in CI, a plain line now and then. A training with figures of its own, such as rewards, shows them
first: what a narrow terminal cuts off is what every training has.
"""

import functools
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

EVERY = 10.0  # seconds between plain lines where the output is no terminal
REDRAW = 0.1  # seconds between redraws of the live line: faster than that cannot be read


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    seconds = int(seconds + 0.5)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours}:{minutes:02}:{seconds % 60:02}"
    return f"{minutes}:{seconds % 60:02}"


def unsigned_zero(loss: float) -> float:
    """The loss as it is shown, with three places; what is 0 then has no sign."""
    return round(loss, 3) + 0.0  # -0.0 + 0.0 is 0.0


def _if_it_can_be_shown(method):
    """`method`, ignoring a closed terminal or a full disk: training continues."""

    @functools.wraps(method)
    def show(self, *args):
        try:
            return method(self, *args)
        except OSError:
            return None

    return show


class Progress:
    """The progress of a run on a terminal or in a file.

    first, steps  steps done before, and in all when finished
    stream        where to write; standard error by default
    now           clock in seconds
    unit          that losses are means over and the speed counts: Recipe.counted
    """

    def __init__(
        self,
        first: int,
        steps: int,
        stream: TextIO | None = None,
        now: Callable = time.monotonic,
        unit: str = "tokens",
    ) -> None:
        self.first = first
        self.steps = steps
        self.now = now
        self.unit = unit
        stream = stream or sys.stderr
        # The live line moves the cursor itself: it passes by what keeps texts of others from that
        # (cli/terminal.py).
        self.stream = getattr(stream, "bare", stream)
        self.live = self.stream.isatty()
        self.started = now()
        self.shown = -float("inf")  # when the line was last drawn
        self.last = ""  # the line
        self.width = 0  # characters of it that stand on the terminal
        self.bar = None
        if self.live:
            self.bar = _tqdm(first, steps, self.stream)

    @_if_it_can_be_shown
    def update(
        self,
        step: int,
        loss: float,
        per_second: float,
        grad_norm: float,
        more: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Take in the figures of a finished step, and draw the line if it is time to.

        step        steps done;  per_second  units trained on in a second
        more        list of (name, value): further figures of this training
        """
        figures = [f"{name} {value + 0.0:.3g}" for name, value in more]
        figures += [
            f"loss {unsigned_zero(loss):.3f}",
            f"{per_second:,.0f} {self.unit}/s",
            f"norm {grad_norm:.2f}",
        ]
        if self.bar is not None:
            if more:
                self.bar.bar_format = _NARROW
            self.bar.set_postfix_str(", ".join(figures), refresh=False)
            self.bar.update(step - self.bar.n)
            return
        now = self.now()
        # Time left: seconds a step so far, times the steps that are left.
        left = (now - self.started) / max(step - self.first, 1) * (self.steps - step)
        figures = [
            f"step {step:>{len(str(self.steps))}}/{self.steps}",
            *figures,
            f"{clock(left)} left",
        ]
        self.last = "  ".join(figures)
        if self.live:  # a line that wraps cannot be rewritten
            self.last = self.last[: shutil.get_terminal_size().columns - 1]
        pause = EVERY
        if self.live:
            pause = REDRAW
        if now - self.shown >= pause or step == self.steps:
            self._show(now)

    @_if_it_can_be_shown
    def note(self, text: str) -> None:
        """Print a line above the live one."""
        if self.bar is not None:
            self.bar.write(text, file=self.stream)
        else:
            self._clear()
            print(text, file=self.stream, flush=True)

    @_if_it_can_be_shown
    def close(self) -> None:
        """Draw the last state and end the line."""
        if self.bar is not None:
            self.bar.close()
        elif self.live and self.last:
            self._show(self.now())
            print(file=self.stream, flush=True)
            self.width = 0

    def _show(self, now):
        self.shown = now
        if self.live:
            # \r goes back to the start of the line; spaces overwrite the rest of a longer one.
            print("\r" + self.last.ljust(self.width), end="", file=self.stream, flush=True)
            self.width = len(self.last)
        else:
            print(self.last, file=self.stream, flush=True)

    def _clear(self):
        if self.live and self.width:
            print("\r" + " " * self.width + "\r", end="", file=self.stream)
            self.width = 0


# tqdm's line with as little of its own as can be: the bar shrinks to one place before text is cut.
_NARROW = "{n_fmt}/{total_fmt}|{bar}|{remaining} left{postfix}"


def _tqdm(first, steps, stream):
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(
        total=steps, initial=first, file=stream, dynamic_ncols=True, unit="step", mininterval=REDRAW
    )
