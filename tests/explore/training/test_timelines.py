"""The boxes are the passes that ran, and the arrays are those of the ranks."""

import numpy as np
import pytest

from tests.explore.models import numbers_of
from tinylm.explore import AtHand, page
from tinylm.explore.training.timelines import (
    PLANS,
    RANKS,
    ROUTES,
    all_reduce_frames,
    figures,
    pipeline_timeline,
)
from tinylm.parallel.pipeline.schedules import bubble, schedule, stalled, timed


@pytest.mark.parametrize("name, chunks", [(kind, chunks) for _, kind, _, chunks, _ in PLANS])
def test_recorded_passes_are_those_that_the_schedule_foresees(name, chunks):
    """What ran on the simulator is what `timed` computes: to the unit."""
    found = pipeline_timeline(name, 3, 6, chunks)
    actions = schedule(name, 3, 6, chunks)
    plan = timed(actions, forward=1.0, backward=1.0 if name[:2] == "zb" else 2.0, weights=1.0)
    expected = [
        [one.stage, one.action.kind, one.action.micro, one.action.chunk, one.start, one.stop]
        for one in plan
    ]
    key = lambda one: (one[0], one[4])  # noqa: E731
    for got, wanted in zip(sorted(found["passes"], key=key), sorted(expected, key=key)):
        assert got[:4] == wanted[:4] and got[4:] == pytest.approx(wanted[4:])
    assert len(found["passes"]) == len(expected)
    assert found["bubble"] == pytest.approx(bubble(plan))
    assert found["stalled"] == pytest.approx(stalled(plan))


def test_a_stage_does_one_thing_at_a_time():
    for stage in range(3):
        own = [one for one in pipeline_timeline("1f1b", 3, 4)["passes"] if one[0] == stage]
        for before, after in zip(own, own[1:]):
            assert after[4] >= before[5]


@pytest.mark.parametrize("name", ROUTES)
def test_digits_say_who_is_in_a_sum(name):
    frames = all_reduce_frames(name)["frames"]
    first = [[10.0**rank] * RANKS for rank in range(RANKS)]
    assert frames[0]["arrays"].tolist() == first and frames[0]["messages"] == []
    assert (frames[-1]["arrays"] == 1111).all()
    for before, after in zip(frames, frames[1:]):
        changed = before["arrays"] != after["arrays"]
        for rank, piece in zip(*np.nonzero(changed)):
            # Only what a message has brought changes, to a sum that the sender's part is in.
            source = next(m[0] for m in after["messages"] if m[1] == rank and m[2] <= piece < m[3])
            new, had, came = (
                int(x)
                for x in (
                    after["arrays"][rank, piece],
                    before["arrays"][rank, piece],
                    before["arrays"][source, piece],
                )
            )
            assert new in (had + came, came)


def test_times_and_bytes_are_the_formulas_of_the_room():
    found = {name: all_reduce_frames(name) for name in ROUTES}
    # Latency 1, the whole array (32 bytes) 1 more; n = 4.
    assert found["ring"]["time"] == 2 * 3 * (1 + 1 / 4)
    assert found["recursive doubling"]["time"] == 2 * (1 + 1)
    assert found["tree"]["time"] == 2 * 2 * (1 + 1)
    assert found["all to rank 0"]["time"] == 2 * (1 + 3)
    assert found["ring"]["busiest"] == 2 * 3 * 32 // 4
    assert found["all to rank 0"]["busiest"] == 3 * 32


# In the browser.


def test_pipelines_step_there_and_back_with_their_numbers(open_page):
    made = figures(AtHand())
    opened = open_page(page("machines", made)).drawn()
    part = opened.page.locator("#pipeline-1")
    table = numbers_of(part.locator("table").first)
    for row, plan in zip(table, made[0].data["plans"], strict=True):
        expected = [plan["time"], plan["bubble"], max(plan["stalled"]), max(plan["kept"])]
        np.testing.assert_allclose(row, expected, rtol=1e-6)
    stage = part.locator(".stage")
    assert part.locator("article svg rect").count() == sum(
        one[4] < 33 for plan in made[0].data["plans"] for one in plan["passes"]
    )
    before = stage.inner_html()
    part.get_by_role("button", name="Step back").click()
    assert stage.inner_html() != before
    part.get_by_role("button", name="Step forward").click()
    # The button that was pressed has the focus and is out of use at the end: only that differs.
    assert stage.inner_html() == before
    assert opened.complaints == [] and opened.requests == []


@pytest.mark.parametrize("name", ROUTES)
def test_an_all_reduce_steps_there_and_back(name, open_page):
    made = figures(AtHand())[1:]
    opened = open_page(page("rings", made), width=360, dark=True).drawn()
    opened.page.get_by_text(name, exact=True).first.click()
    picture = opened.page.locator("[aria-label=ranks]")
    back, forward = (
        opened.page.get_by_role("button", name=way) for way in ("Step back", "Step forward")
    )
    opened.page.get_by_role("button", name="First step").click()
    seen = [picture.inner_html()]
    while forward.is_enabled():
        forward.click()
        seen.append(picture.inner_html())
    frames = next(route for route in made[0].data["routes"] if route["name"] == name)["frames"]
    assert len(set(seen)) == len(frames)
    assert seen[-1].count(">1111<") == RANKS * RANKS
    for before in seen[-2::-1]:
        back.click()
        assert picture.inner_html() == before
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.complaints == []
