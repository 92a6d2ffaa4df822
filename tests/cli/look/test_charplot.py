import math

import pytest

from tinylm.cli.look.charplot import lines, tick_labels, ticks

BRAILLE = range(0x2800, 0x2900)


def dots(row):
    return [column for column, character in enumerate(row) if ord(character) in BRAILLE]


def test_no_line_is_wider_than_asked():
    drawn = lines(
        [("a", range(1000), [math.sin(i / 50) for i in range(1000)])],
        width=60,
        height=10,
        x_label="step",
    )
    assert max(map(len, drawn)) <= 60


def test_the_plotting_area_has_the_height_asked():
    drawn = lines([("", [0, 1], [0, 1])], width=40, height=7)
    assert sum("│" in line or "┤" in line for line in drawn) == 7


def test_a_rising_line_runs_from_the_lower_left_to_the_upper_right():
    area = [
        line
        for line in lines([("", [0, 1], [0, 1])], width=40, height=8)
        if "│" in line or "┤" in line
    ]
    firsts = [dots(line)[0] for line in area]
    assert firsts == sorted(firsts, reverse=True) and len(set(firsts)) == 8


def test_the_first_and_last_point_touch_both_edges():
    area = [
        line
        for line in lines([("", [3, 7], [5, 5])], width=40, height=5)
        if "│" in line or "┤" in line
    ]
    middle = next(line for line in area if dots(line))
    start = max(middle.find("│"), middle.find("┤"))
    assert (dots(middle)[0], dots(middle)[-1]) == (start + 1, 39)


def test_several_curves_carry_their_letters_and_the_legend_explains_them():
    xs = list(range(100))
    drawn = lines([("one", xs, xs), ("two", xs, xs[::-1])], width=60, height=10)
    area, legend = drawn[:10], drawn[-2:]
    assert sum(line.count("a") for line in area) >= 2 and sum(line.count("b") for line in area) >= 2
    assert [line.strip() for line in legend] == ["a one", "b two"]


def test_one_curve_needs_no_letter():
    drawn = lines([("loss", [0, 1, 2], [1, 2, 3])], width=40)
    assert drawn[-1].strip() == "loss" and not any("a" in line for line in drawn[:-1])


def test_color_only_adds_codes_around_the_same_characters():
    series = [("x", [0, 1, 2], [1, 3, 2]), ("y", [0, 1, 2], [2, 1, 3])]
    colored = "\n".join(lines(series, color=True))
    assert "\x1b[36m" in colored and "\x1b[33m" in colored
    for code in ("\x1b[36m", "\x1b[33m", "\x1b[0m"):
        colored = colored.replace(code, "")
    assert colored == "\n".join(lines(series))


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_point_that_is_not_finite_breaks_the_curve(bad):
    whole = lines([("", [0, 1, 2, 3, 4], [0, 0, 0, 0, 0])], width=40, height=5)
    broken = lines([("", [0, 1, 2, 3, 4], [0, 0, bad, 0, 0])], width=40, height=5)
    assert 0 < sum(len(dots(line)) for line in broken) < sum(len(dots(line)) for line in whole)


@pytest.mark.parametrize("series", [[], [("", [], [])], [("", [1], [math.nan])]])
def test_nothing_to_draw_is_said(series):
    assert lines(series, title="loss") == ["loss", "(nothing to draw)"]


def test_a_single_point_and_huge_or_tiny_values_are_drawn():
    for value in (0.0, 5.0, -3.0, 1e300, 1e-300):
        assert any(dots(line) for line in lines([("", [1], [value])], width=40))


def test_points_of_one_dot_column_are_averaged():
    # 4,000 points that alternate between 0 and 2 on about 70 dot columns: their mean, 1, is drawn
    # as a line. A line fills 34 characters less its letters; a row without a line has none.
    alternating = ("", range(4000), [i % 2 * 2 for i in range(4000)])
    area = lines(
        [alternating, ("", [0, 3999], [0, 0]), ("", [0, 3999], [2, 2])], width=40, height=9
    )[:9]
    assert [len(dots(line)) > 25 for line in area] == [row in (0, 4, 8) for row in range(9)]


@pytest.mark.parametrize(
    "low, high, most, expected",
    [(0, 10, 5, [0, 2, 4, 6, 8, 10]), (1.5, 4.2, 4, [2, 3, 4]), (-1, 1, 4, [-1, -0.5, 0, 0.5, 1])],
)
def test_ticks_are_round_numbers(low, high, most, expected):
    assert ticks(low, high, most) == pytest.approx(expected)


@pytest.mark.parametrize(
    "values, texts",
    [
        ([0, 0.0005, 0.001], ["0", "0.0005", "0.001"]),
        ([100, 200], ["100", "200"]),
        ([1000, 1002], ["1000", "1002"]),
        ([0.1 * 3, 0.4], ["0.3", "0.4"]),
        ([2000000, 4000000], ["2000000", "4000000"]),
    ],
)
def test_tick_labels_are_short_and_exact(values, texts):
    assert tick_labels(values) == texts
