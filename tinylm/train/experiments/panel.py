"""What a panel of a picture can show: curves over seeds, bars, matrices, timelines.

Lines are named at their right ends, in their color; names that would lie on one another are moved
apart, and a thin line leads back. Read first: picture.py. Read next: labels.py.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.train.experiments.labels import apart, dark, plain_logarithms

if TYPE_CHECKING:
    from tinylm.train.experiments.picture import Picture

NAME_SIZE, WIDEST_NAME = 7.5, 22  # points; characters of a line
GAP = 1.5  # points between two names
FEW = 16  # points of a curve that are marked each
MAP = "cividis"  # its lightness rises evenly, for all eyes


class Panel:
    """One pair of axes, made by Picture.panel().

    title, x, y  as in Picture.panel
    xscale, yscale  "linear" or "log"
    xticks  numbers that alone are marked below, as they are: those that were measured
    """

    def __init__(
        self,
        picture: "Picture",
        axes: Any,
        title: str,
        x: str,
        y: str,
        xscale: str = "linear",
        yscale: str = "linear",
        xticks: Iterable[float] = (),
    ) -> None:
        self.picture, self.axes = picture, axes
        self.ends: dict[str, tuple[float, float, str]] = {}
        self.beside: dict[str, tuple[float, float, str]] = {}
        self.names: list[Any] = []
        axes.set(title="\n".join(textwrap.wrap(title, 58)), xlabel=x, ylabel=y)
        axes.set_xscale(xscale)
        axes.set_yscale(yscale)
        plain_logarithms(axes)
        if ticks := list(xticks):
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_xticks([], minor=True)

    def curve(
        self,
        name: str,
        xs: Sequence[float] | np.ndarray,
        values: Any,
        color_of: str = "",
        label: bool = True,
        **style: Any,
    ) -> None:
        """A line, and a band from the least to the most over seeds.

        xs        (points,);  values  (points,) or (seeds, points); nan and infinity leave a gap
        color_of  name whose color it has; its own otherwise
        label     whether its end is named
        style     of matplotlib's plot()
        """
        rows = np.atleast_2d(np.asarray(values, float))
        rows = np.where(np.isfinite(rows), rows, np.nan)
        xs = np.asarray(xs, float)
        middle = rows.mean(0)
        source = color_of or name
        color = self.picture.color(source)
        if len(xs) <= FEW:
            style.setdefault("marker", self.picture.marker(source))
        style.setdefault("linestyle", self.picture.dashes(source))
        self.axes.plot(xs, middle, color=color, **style)
        if len(rows) > 1 and style["linestyle"] == "":
            self.axes.vlines(xs, rows.min(0), rows.max(0), color=color, linewidth=1)
        elif len(rows) > 1:
            self.axes.fill_between(xs, rows.min(0), rows.max(0), color=color, alpha=0.1, lw=0)
        there = np.flatnonzero(np.isfinite(middle))
        if label and name and len(there):
            last = there[np.argmax(xs[there])]
            self.ends[name] = float(xs[last]), float(middle[last]), color

    def points(self, name: str, xs: Any, ys: Any, label: bool = True) -> None:
        """Single points of a name, which stands beside the rightmost."""
        self.curve(name, xs, ys, label=label, linestyle="", marker=self.picture.marker(name))
        if name in self.ends:
            self.beside[name] = self.ends.pop(name)

    def level(self, name: str, y: float) -> None:
        """A horizontal line for comparison, named in grey."""
        self.axes.axhline(y, color="#888888", linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        self.ends[name] = np.inf, float(y), "#666666"

    def mark(self, name: str, x: float) -> None:
        """A vertical line, named beside its top."""
        self.axes.axvline(x, color="#888888", linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        self.axes.annotate(
            name,
            (x, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2),
            textcoords="offset points",
            va="top",
            fontsize=NAME_SIZE,
            color="#666666",
        )

    def bars(self, found: Mapping[str, Any], form: str = ".3g", zero: bool = True) -> None:
        """A bar for each name, with its value, and a line from the least to the most over seeds.

        found  {name: value or values of seeds}, or {group: such a mapping}
        form   of the printed values;  zero  False: points instead of bars, where zero is far
        """
        places, ticks, y = [], [], 0.0
        for name, value in found.items():
            members = value if isinstance(value, Mapping) else {name: value}
            if members is value:
                y += 0.35
                places.append(y)
                ticks.append(name)
                y += 0.85
            for member, values in members.items():
                self._bar(y, member, np.atleast_1d(np.asarray(values, float)), form, zero)
                places.append(y)
                ticks.append(f"  {member}" if members is value else member)
                y += 1
        self.axes.set_yticks(places, ["\n".join(textwrap.wrap(t, 30)) for t in ticks])
        groups = {name for name, value in found.items() if isinstance(value, Mapping)}
        for label in self.axes.get_yticklabels():
            if label.get_text() in groups:
                label.set_fontweight("bold")
        self.axes.tick_params(axis="y", length=0)
        self.axes.grid(False, axis="y")
        self.axes.set_ylim(y - 0.3, -0.7)
        self.axes.margins(x=0.18)

    def _bar(self, y, name, values, form, zero):
        """One bar, its interval and its value."""
        color, middle = self.picture.color(name), values.mean()
        if zero:
            self.axes.barh(y, middle, 0.72, color=color)
        else:
            self.axes.plot([values.min(), values.max()], [y, y], color=color, linewidth=1.1)
            self.axes.plot([middle], [y], self.picture.marker(name), color=color, markersize=6)
        if zero and len(values) > 1:
            # White below dark: seen on the bar and beside it.
            for width, ink in ((2.6, "white"), (1.1, "#111111")):
                self.axes.plot([values.min(), values.max()], [y, y], color=ink, linewidth=width)
        right = not zero or middle >= 0
        self.axes.annotate(
            format(middle, form),
            (values.max() if right else values.min(), y),
            xytext=(5 if right else -5, 0),
            textcoords="offset points",
            va="center",
            ha="left" if right else "right",
            fontsize=NAME_SIZE,
        )

    def stacks(self, found: Mapping[str, Mapping[str, float]]) -> None:
        """A bar of parts for each name; the parts are named above the longest one."""
        left = np.zeros(len(found))
        parts = list(next(iter(found.values())))
        longest = int(np.argmax([sum(row.values()) for row in found.values()]))
        for part in parts:
            widths = np.array([row[part] for row in found.values()])
            self.axes.barh(range(len(found)), widths, 0.75, left, color=self.picture.color(part))
            self.axes.annotate(
                part,
                (left[longest] + widths[longest] / 2, longest - 0.45),
                ha="center",
                va="bottom",
                fontsize=NAME_SIZE,
                color=dark(self.picture.color(part)),
            )
            left += widths
        self.axes.set_yticks(range(len(found)), list(found))
        self.axes.tick_params(axis="y", length=0)
        self.axes.grid(False, axis="y")
        self.axes.set_ylim(len(found) - 0.4, -1.1)

    def matrix(
        self,
        values: Any,
        unit: str,
        rows: Sequence[str] = (),
        columns: Sequence[str] = (),
        form: str = "",
    ) -> None:
        """Numbers as shades, with a bar of what they mean; nan stays white.

        values  (rows, columns);  unit  of the values;  form  of values written in the cells
        rows, columns  their names; their numbers otherwise
        """
        values = np.asarray(values, float)
        shown = self.axes.imshow(
            np.where(np.isfinite(values), values, np.nan), cmap=MAP, aspect="auto"
        )
        self.axes.grid(False)
        bar = self.picture.figure.colorbar(shown, ax=self.axes, pad=0.02)
        bar.set_label(unit)
        bar.outline.set_visible(False)
        if len(rows):
            self.axes.set_yticks(range(len(rows)), rows)
        if len(columns):
            self.axes.set_xticks(range(len(columns)), columns)
        for (i, j), value in np.ndenumerate(values):
            if form and np.isfinite(value):
                ink = "white" if shown.norm(value) < 0.55 else "black"
                self.axes.text(
                    j, i, format(value, form), ha="center", va="center", color=ink, fontsize=7
                )

    def timeline(
        self, slots: Iterable[tuple[int, float, float, str, Any]], rows: Sequence[str]
    ) -> None:
        """What is done when: (row, start, stop, kind, text in the slot) each, a color a kind."""
        kinds: dict[str, Any] = {}
        for row, start, stop, kind, text in slots:
            color = self.picture.color(kind)
            bar = self.axes.barh(row, stop - start, 0.9, start, color=color, edgecolor="white")
            kinds.setdefault(kind, bar)
            light = self.picture.number(kind) in (3, 5)  # of COLORS, on which white is not read
            self.axes.text(
                (start + stop) / 2,
                row,
                text,
                ha="center",
                va="center",
                fontsize=6.5,
                color="black" if light else "white",
            )
        self.axes.set_yticks(range(len(rows)), rows)
        self.axes.tick_params(axis="y", length=0)
        self.axes.grid(False)
        self.axes.margins(x=0.01)
        self.axes.legend(
            kinds.values(),
            kinds,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=len(kinds),
            frameon=False,
            fontsize=NAME_SIZE,
            handlelength=0.9,
            borderaxespad=0.1,
        )

    def arrows(
        self, messages: Iterable[tuple[float, int, float, int]], rows: Sequence[str]
    ) -> None:
        """What is sent: (leaves at, from row, arrives at, to row) each."""
        last = 0.0
        for left, source, arrived, to in messages:
            style = {"arrowstyle": "->", "color": self.picture.color("message"), "alpha": 0.75}
            self.axes.annotate("", (arrived, to), (left, source), arrowprops=style)
            last = max(last, arrived)
        self.axes.set_xlim(0, last)
        self.axes.set_ylim(-0.5, len(rows) - 0.5)
        self.axes.set_yticks(range(len(rows)), rows)

    def place_names(self) -> None:
        """Write the names of lines at the right of the axes, in the order of their ends."""
        for name in self.names:
            name.remove()
        self.names = []
        axes, renderer = self.axes, self.picture.figure._get_renderer()
        box = axes.get_window_extent()
        point = self.picture.figure.dpi / 72
        wanted = []
        for name, (x, y, color) in self.ends.items():
            end = axes.transData.transform((axes.get_xlim()[1] if x == np.inf else x, y))
            text = axes.annotate(
                "\n".join(textwrap.wrap(name, WIDEST_NAME)),
                axes.transAxes.inverted().transform(end),
                xycoords="axes fraction",
                va="center",
                fontsize=NAME_SIZE,
                color=dark(color),
                linespacing=1.0,
            )
            height = text.get_window_extent(renderer).height
            wanted.append((float(np.clip(end[1], box.y0, box.y1)), height, text))
            self.names.append(text)
        heights = [height + GAP * point for _, height, _ in wanted]
        places = apart([y for y, _, _ in wanted], heights, box.y0, box.y1)
        for (_, _, text), y in zip(wanted, places):
            text.set_position((1.035, (y - box.y0) / box.height))
            self.names.append(self._leader(text))
        self._place_beside()

    def _place_beside(self):
        """Write the names of points beside them, one above the other where they would collide."""
        axes, renderer = self.axes, self.picture.figure._get_renderer()
        box, point = axes.get_window_extent(), self.picture.figure.dpi / 72
        groups = []
        for name, (x, y, color) in self.beside.items():
            end = axes.transData.transform((x, y))
            right = end[0] < box.x0 + 0.6 * box.width
            text = axes.annotate(
                name,
                axes.transAxes.inverted().transform(end),
                xycoords="axes fraction",
                va="center",
                ha="left" if right else "right",
                fontsize=NAME_SIZE,
                color=dark(color),
            )
            self.names.append(text)
            span = text.get_window_extent(renderer)
            aside = (6 if right else -6) * point
            one = (span.x0 + aside, span.x1 + aside, end[0] + aside, end[1], span.height, text)
            # Those that share some of their width may collide; a new one can join groups together.
            near = [g for g in groups if any(m[0] < one[1] and one[0] < m[1] for m in g)]
            groups = [g for g in groups if g not in near] + [[m for g in near for m in g] + [one]]
        for group in groups:
            heights = [member[4] + GAP * point for member in group]
            places = apart([member[3] for member in group], heights, box.y0, box.y1)
            for (_, _, x, _, _, text), y in zip(group, places):
                text.set_position(axes.transAxes.inverted().transform((x, y)))

    def _leader(self, text):
        """A thin line from the end of a line to its name."""
        x, y = text.xy
        to_x, to_y = text.get_position()
        (line,) = self.axes.plot(
            [x, max(x, 1.0), to_x - 0.005],
            [y, y if x >= 1 else to_y, to_y],
            transform=self.axes.transAxes,
            color=text.get_color(),
            linewidth=0.5,
            alpha=0.55,
            clip_on=False,
            zorder=1,
            scalex=False,
            scaley=False,
        )
        return line
