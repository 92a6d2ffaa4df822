"""Curves in a terminal: braille characters hold 2 x 4 dots each, so 80 columns draw 160 points
across.

Pure functions that return text. Points that fall on one dot column are averaged. Several curves
are distinguished by a letter drawn on each of them, and optionally by color. Read next: plot.py,
which reads the logs of runs.
"""

import math
from collections.abc import Sequence

# Unicode braille: the dot at (row, column) of a cell is one bit above U+2800.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
COLORS = (36, 33, 35, 32, 34, 31)  # cyan, yellow, magenta, green, blue, red


def lines(
    series: Sequence[tuple[str, list[int], list[float]]],
    width: int = 80,
    height: int = 16,
    title: str = "",
    x_label: str = "",
    color: bool = False,
) -> list[str]:
    """Draw curves with axes and a legend.

    series   list of (name, xs, ys); a point that is not finite is left out and breaks its curve.
             Names make the legend; "" for none
    width    characters of a whole line, at least 20
    height   characters of the plotting area, at least 4
    color    True adds ANSI color codes
    """
    width, height = max(20, width), max(4, height)
    curves = [(name, _finite(xs, ys)) for name, xs, ys in series]
    points = [p for _, curve in curves for p in curve if p]
    if not points:
        return [title] * bool(title) + ["(nothing to draw)"]
    x_low, x_high = _span([x for x, _ in points])
    # A cell is two dots wide, so points closer than half a cell are averaged.
    bucket = (x_high - x_low) / (2 * width)
    curves = [(name, _average(curve, bucket)) for name, curve in curves]
    points = [p for _, curve in curves for p in curve if p]
    y_ticks = ticks(*_span([y for _, y in points]), height // 3 + 1)
    labels = tick_labels(y_ticks)
    margin = max(map(len, labels))
    inner = width - margin - 2  # one space, one axis character
    y_low, y_high = _span([y for _, y in points])

    def place(point):  # (x, y) -> dot (column from left, row from top)
        column = round((point[0] - x_low) / (x_high - x_low) * (2 * inner - 1))
        return column, round((y_high - point[1]) / (y_high - y_low) * (4 * height - 1))

    cells = {}  # (row, column) -> [dots, curve, letter]
    for index, (_, curve) in enumerate(curves):
        _draw(cells, [p and place(p) for p in curve], index)
    if len(curves) > 1:
        for index, (_, curve) in enumerate(curves):
            _letter(cells, [place(p) for p in curve if p], index, len(curves), inner)
    # Each tick label stands at the row nearest to its value.
    at_row = {
        round((y_high - y) / (y_high - y_low) * (height - 1)): label
        for y, label in zip(y_ticks, labels)
    }
    drawn = [title] * bool(title)
    for row in range(height):
        label = at_row.get(row, "")
        axis = "┤" if label else "│"
        body = "".join(_cell(cells.get((row, column)), color) for column in range(inner))
        drawn.append(f"{label:>{margin}} {axis}{body}".rstrip())
    drawn += _x_axis(x_low, x_high, margin, inner, x_label)
    for i, (name, _) in enumerate(curves):  # the legend
        if name and len(curves) > 1:
            name = f"{letter(i)} {name}"
        if name:
            drawn.append(" " * (margin + 2) + _paint(name, i, color))
    return drawn


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers in [low, high], at most about `most`: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)] or [low]


def tick_labels(values: Sequence[float]) -> list[str]:
    """The shortest texts that are all different and exact to 1e-6."""
    for digits in range(1, 16):
        texts = [f"{value:.{digits}g}" for value in values]
        exact = all(
            math.isclose(float(t), v, rel_tol=1e-6, abs_tol=1e-300) for t, v in zip(texts, values)
        )
        if exact and len(set(texts)) == len(texts):
            break
    return [_plain(text) for text in texts]


def _plain(text):
    """1e+04 as 10000, and 0e+00 or -0 as 0."""
    value = float(text)
    if value == 0:
        return "0"
    if "e+" in text and abs(value) < 1e7:
        return f"{value:.0f}"
    return text


def _finite(xs, ys):
    """A list of (x, y), with None for every point that is missing or not finite."""
    points = []
    for x, y in zip(xs, ys):
        if y is None or not math.isfinite(x) or not math.isfinite(y):
            points.append(None)
        else:
            points.append((float(x), float(y)))
    return points


def _average(curve, bucket):
    """One mean point for every run of neighbors that lie within `bucket` of the first of them."""
    means, group = [], []
    for point in [*curve, None]:
        if group and (point is None or point[0] - group[0][0] >= bucket):
            means.append(tuple(sum(values) / len(group) for values in zip(*group)))
            group = []
        if point is None:
            means.append(None)  # a gap stays a gap
        else:
            group.append(point)
    return means[:-1]


def _span(values):
    low, high = min(values), max(values)
    room = abs(high) * 0.5 or 1.0  # a flat curve is drawn in the middle
    if high - low > 1e-12 * abs(high):
        return (low, high)
    return (low - room, high + room)


def _draw(cells, dots, index):
    """Set the dots of one curve: a straight line from each point to the next, none over a gap."""
    last = None
    for dot in dots:
        if dot:
            start = last or dot
            steps = max(abs(dot[0] - start[0]), abs(dot[1] - start[1]), 1)
            for i in range(steps + 1):
                x = round(start[0] + (dot[0] - start[0]) * i / steps)
                y = round(start[1] + (dot[1] - start[1]) * i / steps)
                # A cell holds 4 rows of 2 dots; the curve drawn last colors it.
                cell = cells.setdefault((y // 4, x // 2), [0, index, ""])
                cell[0] |= DOTS[y % 4][x % 2]
                cell[1] = index
        last = dot


def _letter(cells, dots, index, count, inner):
    """Put the letter of a curve on it about every quarter of the width, each curve at places of its
    own.
    """
    placed = set()
    for x, y in dots:
        quarter = x // 2 - inner * index // (4 * count)
        slot = quarter // max(1, inner // 4)
        if slot not in placed and not cells[y // 4, x // 2][2]:
            placed.add(slot)
            cells[y // 4, x // 2][1:] = [index, letter(index)]


def letter(index: int) -> str:
    """The letter of the index-th curve: a, b, ... z, then again."""
    return "abcdefghijklmnopqrstuvwxyz"[index % 26]


def _paint(text, index, color):
    if color:
        return f"\x1b[{COLORS[index % len(COLORS)]}m{text}\x1b[0m"
    return text


def _cell(cell, color):
    if cell:
        return _paint(cell[2] or chr(0x2800 + cell[0]), cell[1], color)
    return " "


def _x_axis(low, high, margin, inner, x_label):
    values = ticks(low, high, max(2, inner // 14))
    rule, under = ["─"] * inner, [" "] * (inner + 8)
    for value, text in zip(values, tick_labels(values)):
        column = round((value - low) / (high - low) * (inner - 1))
        start = max(0, min(column - len(text) // 2, inner - len(text)))  # centered, if it fits
        if all(c == " " for c in under[max(0, start - 1) : start + len(text) + 1]):
            rule[column] = "┬"
            under[start : start + len(text)] = text
    axis = [" " * margin + " └" + "".join(rule), " " * (margin + 2) + "".join(under).rstrip()]
    if x_label:
        axis.append(" " * (margin + 2) + x_label.center(inner).rstrip())
    return axis
