"""Where names stand in a picture, and in what color; numbers on logarithmic axes.

Names of lines that end near one another are moved apart as little as possible. Read first:
panel.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def apart(
    wanted: Sequence[float], heights: Sequence[float], low: float = -np.inf, high: float = np.inf
) -> list[float]:
    """Places for names of some heights, as near to the wanted ones as they can be without lying on
    one another: those that collide become a group around the mean of their wishes.

    wanted, heights  (n,) in one unit
    low, high        between which they lie, if there is room for all of them
    returns          (n,) middles
    """
    groups: list[tuple[float, list[int], float]] = []  # (sum of bottoms, members, height)

    def bottom(group):
        # The mean of the bottoms that its members would give it.
        total, members, height = group
        return max(low, min(total / len(members), high - height))

    for i in sorted(range(len(wanted)), key=lambda i: wanted[i]):
        groups.append((wanted[i] - heights[i] / 2, [i], heights[i]))
        while len(groups) > 1 and bottom(groups[-2]) + groups[-2][2] > bottom(groups[-1]):
            (total, below, height), (more, above, size) = groups[-2:]
            total += more - height * len(above)
            groups[-2:] = [(total, below + above, height + size)]
    places = [0.0] * len(wanted)
    for group in groups:
        y = bottom(group)
        for i in group[1]:
            places[i] = y + heights[i] / 2
            y += heights[i]
    return places


def dark(color: str) -> str:
    """A color in which small text can be read on white: of light ones three quarters."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 120:
        return color
    return "#" + "".join(f"{3 * part // 4:02x}" for part in (red, green, blue))


def plain_logarithms(axes: Any) -> None:
    """Numbers on logarithmic axes as people write them, between the powers of ten too if there are
    few of these.
    """
    from matplotlib.ticker import FuncFormatter, LogFormatter

    def power(value, _):
        exponent = round(np.log10(value))
        return f"{value:,g}" if -4 < exponent < 5 else f"$10^{{{exponent}}}$"

    class Plain(LogFormatter):
        def __call__(self, value, position=None):
            chosen = super().__call__(value, position)  # "" where there is no room for it
            return f"{value:,g}" if chosen else ""

    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(FuncFormatter(power))
            axis.set_minor_formatter(Plain(minor_thresholds=(1.2, 0.5)))
