"""Pictures of measured results, in one quiet style: `--plot FILE` of scripts, `tinylm plot --out`.

    with Picture("losses.png", columns=2) as picture:
        left = picture.panel("training", "step", "loss (nats per token)")
        left.curve("alibi", steps, losses)                     # (seeds, steps): mean, and a band
        right = picture.panel("after it", "loss (nats per token)")
        right.bars({"alibi": last})

A name has the same color in every panel of a picture, lines are named at their ends instead of in a
legend, and the colors differ in lightness too, so that a print in grey can be read. The same
numbers make the same file. Needs matplotlib. Read next: panel.py, what a panel can show.
"""

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tinylm.errors import ConfigError, MissingExtra
from tinylm.files import WholeFile

if TYPE_CHECKING:
    from tinylm.train.experiments.panel import Panel

KINDS = ".png", ".svg", ".pdf"
# Neighbours in this list are far apart in lightness; all of them are told apart in grey, and by
# eyes without one kind of cones.
COLORS = "#15307c", "#cf5d1c", "#006b53", "#3c9ad6", "#8e2232", "#d6a01f", "#8356b4", "#161620"
DASHES = "-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.2, 1.2, 1.2))
MARKERS = "o", "s", "^", "D", "v", "P", "X", "p"
INK, PALE = "#333333", "#d9d9d9"
STYLE = {
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tinylm",  # names inside the file are not drawn anew each time
    "pdf.fonttype": 42,
}
NO_DATE = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
DPI = 150


class Picture:
    """A file with panels; written when the `with` block ends without an error.

    path     .png, .svg or .pdf
    rows, columns   of panels
    size     (width, height) of a panel with its labels, in inches
    option   named where matplotlib is missing, or the name of the file is wrong
    report   called with a line when the file is written
    raises   ConfigError, MissingExtra
    """

    def __init__(
        self,
        path: str | Path,
        rows: int = 1,
        columns: int = 1,
        size: tuple[float, float] = (4.4, 3.2),
        option: str = "--plot",
        report: Callable[[str], object] = print,
    ) -> None:
        check_picture(path, option)
        self.path, self.report = Path(path), report
        self.grid, self.size = (rows, columns), size
        self.panels: list[Panel] = []
        self.names: dict[str, int] = {}
        self.style = contextlib.ExitStack()
        self.figure: Any = None

    def __enter__(self) -> "Picture":
        from matplotlib import style
        from matplotlib.figure import Figure

        # From the defaults, whatever a user's matplotlibrc says: the same numbers, the same file.
        self.style.enter_context(style.context(["default", STYLE]))
        (rows, columns), (width, height) = self.grid, self.size
        # A Figure without pyplot needs no display, and opens no window.
        self.figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        self.figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
        self.places = list(self.figure.subplots(rows, columns, squeeze=False).flat)
        return self

    def panel(self, title: str, x: str = "", y: str = "", **settings: Any) -> "Panel":
        """The next panel, row by row.

        title     what is shown;  x, y  names of the axes, with their units
        settings  of Panel: xscale, yscale, xticks
        """
        from tinylm.train.experiments.panel import Panel

        if len(self.panels) == len(self.places):
            raise ConfigError(
                f"picture: panel {len(self.panels) + 1} of {self.grid[0]} x {self.grid[1]}: "
                "give more rows or columns"
            )
        made = Panel(self, self.places[len(self.panels)], title, x, y, **settings)
        self.panels.append(made)
        return made

    def number(self, name: str) -> int:
        """The number of a name in this picture, by which its color is chosen."""
        return self.names.setdefault(name, len(self.names))

    def color(self, name: str) -> str:
        """The color of a name, the same in every panel."""
        return COLORS[self.number(name) % len(COLORS)]

    def dashes(self, name: str) -> Any:
        """The dashes of a name: solid until the colors come again."""
        n = self.number(name)
        return DASHES[(n + n // len(COLORS)) % len(DASHES)]

    def marker(self, name: str) -> str:
        """The marker of a name."""
        n = self.number(name)
        return MARKERS[(n + n // len(COLORS)) % len(MARKERS)]

    def finish(self) -> Any:
        """Place the names of lines; returns the figure of matplotlib."""
        for place in self.places[len(self.panels) :]:
            place.set_visible(False)
        for _ in range(2):  # room that names take moves the axes, and the ends of lines with them
            self.figure.draw_without_rendering()
            for panel in self.panels:
                panel.place_names()
        return self.figure

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self.style:
            if kind is not None:
                return
            ending = self.path.suffix.lower()
            figure = self.finish()
            with WholeFile(self.path) as file:
                figure.savefig(file, dpi=DPI, format=ending[1:], metadata=NO_DATE[ending])
        self.report(f"wrote {self.path}")


def check_picture(path: str | Path, option: str = "--plot") -> None:
    """Raise ConfigError unless the name of a picture ends in one of KINDS in a folder that is
    there, MissingExtra without matplotlib: before what is drawn is computed.
    """
    name = option.removeprefix("--")
    if Path(path).suffix.lower() not in KINDS:
        raise ConfigError(f"{name} must end in .png, .svg or .pdf, not {Path(path).name!r}")
    if not Path(path).parent.is_dir():
        raise ConfigError(f"{name}: there is no folder {str(Path(path).parent)!r}: make it first")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingExtra(
            f"{option} needs matplotlib: pip install 'tinylm[plot]', or leave out {option}"
        ) from None


def add_plot(parser: argparse.ArgumentParser, shown: str = "the results") -> None:
    """Add --plot FILE to a script's options. A name that cannot be drawn to ends the script there,
    before it computes anything.

    shown  what the picture has, for --help
    """

    def picture(name):
        try:
            check_picture(name)
        except (ConfigError, MissingExtra) as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return name

    parser.add_argument(
        "--plot",
        metavar="FILE",
        type=picture,
        help=f"also draw {shown}: .png, .svg or .pdf, by matplotlib",
    )
