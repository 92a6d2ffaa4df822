"""Panels: names that do not lie on one another, and what is drawn is what was given."""

import itertools

import numpy as np
import pytest

from tinylm.train.experiments.picture import Picture


@pytest.fixture
def picture(tmp_path):
    pytest.importorskip("matplotlib")
    with Picture(tmp_path / "a.png", report=lambda line: None) as made:
        yield made


def boxes(panel):
    renderer = panel.picture.figure._get_renderer()
    return [name.get_window_extent(renderer) for name in panel.names if hasattr(name, "xyann")]


def test_names_at_the_ends_of_lines_do_not_overlap(picture):
    panel = picture.panel("ten lines that end within a hundredth", "step", "loss (nats)")
    for i in range(10):
        name = f"run {i}" + " with a name of more than a line" * (i % 3 == 0)
        panel.curve(name, [1, 2, 3], [3, 2, 1 + i / 1000])
    picture.finish()
    found = boxes(panel)
    assert len(found) == 10
    for a, b in itertools.combinations(found, 2):
        assert not a.overlaps(b)
    axes = panel.axes.get_window_extent()
    whole = picture.figure.bbox
    for box in found:  # beside the axes, and inside the picture
        assert box.x0 > axes.x1
        assert box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1


def test_names_of_points_stand_beside_them_and_not_on_one_another(picture):
    panel = picture.panel("", "bytes", "nats")
    for i in range(4):
        panel.points(f"cache {i}", [1.0 + i // 3], [2.0])
    picture.finish()
    found = boxes(panel)
    assert len(found) == 4
    for a, b in itertools.combinations(found, 2):
        assert not a.overlaps(b)
    axes = panel.axes.get_window_extent()
    assert all(axes.x0 < box.x0 and box.x1 < axes.x1 for box in found)


def test_a_name_stands_at_the_height_of_its_end(picture):
    panel = picture.panel("two lines", "step", "loss (nats)")
    panel.curve("low", [1, 2], [5, 1])
    panel.curve("high", [1, 2], [5, 9])
    picture.finish()
    for box, end in zip(boxes(panel), (1, 9)):
        y = panel.axes.transData.transform((2, end))[1]
        assert (box.y0 + box.y1) / 2 == pytest.approx(y, abs=3)  # pixels


def test_a_curve_is_the_mean_of_seeds_and_its_band_their_range(picture):
    panel = picture.panel("", "", "")
    panel.curve("a", [1, 2], [[1.0, 4.0], [3.0, 8.0]])
    assert panel.axes.lines[0].get_ydata().tolist() == [2.0, 6.0]
    band = panel.axes.collections[0].get_paths()[0].vertices
    assert {(1.0, 1.0), (1.0, 3.0), (2.0, 4.0), (2.0, 8.0)} <= set(map(tuple, band))


def test_a_value_that_is_not_finite_is_a_gap_and_no_name(picture):
    panel = picture.panel("", "", "")
    panel.curve("gone", [1, 2], [np.nan, np.inf])
    panel.curve("there", [1, 2, 3], [1.0, 2.0, np.inf])
    assert list(panel.ends) == ["there"] and panel.ends["there"][:2] == (2.0, 2.0)


def test_bars_say_their_values(picture):
    panel = picture.panel("", "nats", "")
    panel.bars({"reviews": {"one": [1.0, 2.0], "two": -3.0}, "tasks": {"one": 4.0}})
    assert [text.get_text() for text in panel.axes.texts] == ["1.5", "-3", "4"]
    assert [bar.get_width() for bar in panel.axes.patches] == [1.5, -3.0, 4.0]
    ticks = [label.get_text().strip() for label in panel.axes.get_yticklabels()]
    assert ticks == ["reviews", "one", "two", "tasks", "one"]


def test_stacks_begin_where_the_part_before_ends(picture):
    panel = picture.panel("", "MB", "")
    panel.stacks({"stage 0": {"a": 2.0, "b": 3.0}, "stage 1": {"a": 1.0, "b": 1.0}})
    assert [bar.get_x() for bar in panel.axes.patches] == [0.0, 0.0, 2.0, 1.0]


def test_a_matrix_has_a_bar_with_its_unit(picture):
    panel = picture.panel("", "key j", "query i")
    panel.matrix([[1.0, np.nan], [0.25, 0.75]], "weight", form=".2f")
    bar = picture.figure.axes[-1]
    assert bar is not panel.axes and bar.get_ylabel() == "weight"
    assert [text.get_text() for text in panel.axes.texts] == ["1.00", "0.25", "0.75"]


def test_a_timeline_names_its_kinds(picture):
    panel = picture.panel("", "slot", "")
    panel.timeline([(0, 0, 1, "forward", 0), (1, 1, 3, "backward", 0)], ["stage 0", "stage 1"])
    legend = [text.get_text() for text in panel.axes.get_legend().get_texts()]
    assert legend == ["forward", "backward"]
    assert [(bar.get_x(), bar.get_width()) for bar in panel.axes.patches] == [(0, 1), (1, 2)]
