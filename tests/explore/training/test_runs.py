"""The curves are the lines of the logs, and what is left out of a long one is not its peaks."""

import json

import numpy as np
import pytest

from tests.explore.models import numbers_of, unfolded
from tinylm.explore import AtHand, Unsuitable, page
from tinylm.explore.training.runs import (
    MOST_POINTS,
    PANELS,
    curve,
    figures,
    names_of,
    panels,
    read_run,
    samples,
    thinned,
)
from tinylm.train.log import Log


def write_log(folder, steps=5, shift=0.0, **more):
    folder.mkdir(parents=True, exist_ok=True)
    log = Log(folder)
    log.write("start", step=0, parameters=1234, config={"objective": "causal"})
    for step in range(1, steps + 1):
        loss = float("inf") if step == 2 else 5 / step + shift
        log.write("step", step=step, loss=loss, lr=0.01 / step, grad_norm=1.0 + step, **more)
    log.write("validation", step=steps, loss=1.5 + shift, bits_per_byte=0.7)
    log.close()
    return folder


def test_a_curve_is_the_log_and_an_infinite_loss_is_a_gap(tmp_path):
    run = read_run(write_log(tmp_path / "a"))
    steps, values = curve(run["step"], "loss")
    assert steps.tolist() == [1, 2, 3, 4, 5] and run["start"]["parameters"] == 1234
    np.testing.assert_array_equal(values, [5, np.nan, 5 / 3, 5 / 4, 1])
    assert curve(run["validation"], "bits_per_byte")[1].tolist() == [0.7]


def test_of_a_step_that_was_trained_twice_the_later_counts(tmp_path):
    folder = write_log(tmp_path / "a")
    with open(folder / "log.jsonl", "a") as file:
        file.write(json.dumps({"event": "step", "step": 3, "loss": 0.25}) + "\nbroken")
    steps, values = curve(read_run(folder)["step"], "loss")
    assert values[steps == 3] == 0.25 and len(steps) == 5


@pytest.mark.parametrize("n", [10, MOST_POINTS, MOST_POINTS + 1, 20_000])
def test_a_long_curve_keeps_its_ends_and_its_peaks(n):
    rng = np.random.default_rng(0)
    steps, values = np.arange(n), rng.normal(size=n)
    values[n // 3] = 100.0
    values[n // 2] = -100.0
    x, y = thinned(steps, values)
    assert len(x) <= MOST_POINTS + 2 and (np.diff(x) > 0).all()
    assert {0, n - 1, n // 3, n // 2} <= set(x.tolist())
    np.testing.assert_array_equal(y, values[x])


def test_a_long_gap_stays_a_gap():
    values = np.ones(5000)
    values[1000:2000] = np.nan
    x, y = thinned(np.arange(5000), values)
    assert np.isnan(y[(x >= 1000) & (x < 2000)]).all() and ((x > 1000) & (x < 2000)).any()


def test_a_run_has_one_number_in_every_panel(tmp_path):
    runs = [read_run(write_log(tmp_path / name, shift=i)) for i, name in enumerate("ab")]
    found = panels(runs, PANELS)
    assert [panel["key"] for panel in found] == ["loss", "bits_per_byte", "grad_norm", "lr"]
    for panel in found:
        assert {line["run"] for line in panel["lines"]} == {0, 1}
    kinds = [line["kind"] for line in found[0]["lines"]]
    assert kinds == ["training", "held-out"] * 2


def test_names_are_as_long_as_it_takes_to_tell_them_apart(tmp_path):
    assert names_of([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert names_of([tmp_path / "x" / "run", tmp_path / "y" / "run"]) == ["x/run", "y/run"]
    assert len(names_of([tmp_path / "a", tmp_path / "a"])) == 2


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(Unsuitable, match="directory of a run"):
        figures(AtHand())
    with pytest.raises(Unsuitable, match="none at"):
        figures(AtHand(str(tmp_path)))
    (tmp_path / "log.jsonl").write_text('{"event": "start"}\n')
    with pytest.raises(Unsuitable, match="no finished step"):
        figures(AtHand(str(tmp_path)))
    assert samples(tmp_path, "a", 0) == []


# In the browser.


def test_the_page_has_the_points_of_the_logs(open_page, tmp_path):
    a, b = (write_log(tmp_path / name, shift=i) for i, name in enumerate("ab"))
    made = figures(AtHand(str(a), compare=(str(b),)))
    opened = open_page(page("runs", made), width=360).drawn()
    part = opened.page.locator("article[data-key=loss]")
    shown = np.array(numbers_of(unfolded(part)))
    lines = made[0].data["panels"][0]["lines"]
    expected = np.concatenate([np.stack([line["x"], line["y"]], axis=1) for line in lines])
    np.testing.assert_allclose(shown, expected, rtol=1e-6)
    # The same run is drawn in the same color in every panel.
    colors = opened.page.evaluate(
        """() => [...document.querySelectorAll("article")].map((panel) =>
        [...panel.querySelectorAll("path.mark")].map((path) => path.style.stroke))"""
    )
    assert len({tuple(panel) for panel in colors[2:]}) == 1 and len(set(colors[2])) == 2
    slider = opened.page.get_by_role("slider").first
    said = part.locator(".note")
    before = said.inner_text()
    assert "a: 1 at 5" in before
    slider.press("ArrowLeft")
    assert "a: 1.25 at 4" in said.inner_text()
    slider.press("ArrowRight")
    assert said.inner_text() == before
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.complaints == [] and opened.requests == []


def test_marks_of_axes_are_round_numbers_and_no_fewer_than_three(open_page, tmp_path):
    opened = open_page(page("runs", figures(AtHand(str(write_log(tmp_path / "a")))))).drawn()

    def marks(call):
        return opened.page.evaluate(f"tinylm.tools.{call}")

    assert marks("ticks(0, 31, 4)") == [0, 10, 20, 30]
    # Steps of 0.01 would be two marks, 0 and 0.01.
    found = marks("ticks(-0.0099, 0.0199, 3)")
    np.testing.assert_allclose(found, [-0.005, 0, 0.005, 0.01, 0.015], atol=1e-12)
    assert marks("ticks(2, 2)") == [2] and marks("logTicks(2, 2)") == [2]
    assert marks("logTicks(0.8, 3, 4)") == [1, 2]
    assert marks("logTicks(1, 100, 4)") == [1, 2, 5, 10, 20, 50, 100]
    assert marks("logTicks(1, 1e5, 3)") == [1, 100, 10000]
    np.testing.assert_allclose(marks("logTicks(6.1, 6.9, 4)"), [6.2, 6.4, 6.6, 6.8])
    rows = numbers_of(unfolded(opened.page.locator("article").first))
    assert rows and opened.complaints == []
