"""Names that are moved apart, and numbers as people write them."""

import numpy as np
import pytest

from tinylm.train.experiments.labels import apart, dark, plain_logarithms
from tinylm.train.experiments.picture import COLORS


def test_names_that_collide_share_the_room_around_their_wishes():
    assert apart([10.0, 50.0], [4.0, 4.0]) == [10.0, 50.0]
    assert apart([10.0, 10.0], [4.0, 4.0]) == [8.0, 12.0]
    # Heights of 4, 8 and 4 around wishes of 0: bottoms 0, 4 and 12 above a common one.
    places = apart([0.0, 0.0, 0.0], [4.0, 8.0, 4.0])
    assert np.diff(places).tolist() == [6.0, 6.0]
    assert apart([], []) == []
    assert apart([1.0, 5.0], [4.0, 4.0], low=0.0) == [2.0, 6.0]  # what is moved up moves others
    assert apart([9.0, 9.0], [4.0, 4.0], high=10.0) == [4.0, 8.0]


def test_names_in_light_colors_are_darker_than_their_lines():
    def luminance(color):
        parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return (np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)) @ (
            0.2126,
            0.7152,
            0.0722,
        )

    for color in COLORS:
        # Contrast with white: of WCAG 2, at least 3 : 1, its bound for graphics and large text.
        assert 1.05 / (luminance(dark(color)) + 0.05) > 3
    assert dark(COLORS[0]) == COLORS[0] and dark(COLORS[5]) != COLORS[5]


def test_powers_of_ten_are_written_out_while_they_are_short():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.set_xscale("log")
    plain_logarithms(axes)
    text = axes.xaxis.get_major_formatter()
    found = [text(x, 0) for x in (1e-5, 0.001, 1.0, 10_000.0, 1e9)]
    assert found == ["$10^{-5}$", "0.001", "1", "10,000", "$10^{9}$"]
