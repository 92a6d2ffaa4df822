"""Schedules: what must come before comes before, and idle time and memory are their formulas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.parallel.pipeline.schedules import (
    SCHEDULES,
    Action,
    bubble,
    gpipe,
    in_slots,
    most_kept,
    one_f_one_b,
    schedule,
    timed,
)

few = st.integers(1, 5)


@given(name=st.sampled_from(sorted(SCHEDULES)), stages=few, groups=few, chunks=few)
def test_every_pass_happens_once_and_after_what_it_needs(name, stages, groups, chunks):
    micros = groups * stages if chunks > 1 else groups
    actions = schedule(name, stages, micros, chunks)
    every = {Action(kind, k, c) for kind in "FB" for k in range(micros) for c in range(chunks)}
    for row in actions:
        assert len(row) == len(every) and set(row) == every
    ends = {}
    last = stages * chunks - 1
    for one in timed(actions, forward=1, backward=2, hop=0.1):
        ends[one.action.kind, one.action.micro, one.action.chunk * stages + one.stage] = one.stop
    for (kind, k, virtual), stop in ends.items():
        length = (1 if kind == "F" else 2) / chunks
        if kind == "F" and virtual:
            assert stop >= ends["F", k, virtual - 1] + length - 1e-9
        if kind == "B":
            assert stop >= ends["F", k, virtual] + length - 1e-9
            if virtual < last:
                assert stop >= ends["B", k, virtual + 1] + length - 1e-9


def test_the_book_s_staircase():
    """Three workers and three micro-batches: each goes down as soon as it can."""
    assert in_slots(timed(gpipe(3, 3))).splitlines() == [
        "stage 2   .  . F0 F1 F2 B0 B1 B2  .  .",
        "stage 1   . F0 F1 F2  .  . B0 B1 B2  .",
        "stage 0  F0 F1 F2  .  .  .  . B0 B1 B2",
    ]


@pytest.mark.parametrize(
    "stages, micros, idle",
    [(4, 1, 0.75), (4, 3, 0.5), (4, 8, 0.2727), (4, 32, 0.0857), (8, 3, 0.7), (8, 32, 0.1795)],
)
def test_idle_shares_of_the_specification(stages, micros, idle):
    for make in (gpipe, one_f_one_b):
        assert bubble(timed(make(stages, micros))) == pytest.approx(idle, abs=5e-5)
        assert bubble(timed(make(stages, micros), 1, 2)) == pytest.approx(idle, abs=5e-5)


@given(stages=st.integers(2, 5), groups=st.integers(1, 4), chunks=st.integers(1, 4))
def test_chunks_divide_the_bubble(stages, groups, chunks):
    m = groups * stages
    plan = timed(one_f_one_b(stages, m, chunks), 1, 2)
    assert bubble(plan) == pytest.approx((stages - 1) / (chunks * m + stages - 1))
    assert plan[-1].stop == pytest.approx(3 * (m + (stages - 1) / chunks))


@given(stages=few, micros=few)
def test_gpipe_keeps_all_micro_batches_and_1f1b_one_for_each_stage_above(stages, micros):
    assert most_kept(gpipe(stages, micros)) == [micros] * stages
    assert most_kept(one_f_one_b(stages, micros)) == [
        min(micros, stages - stage) for stage in range(stages)
    ]


def test_one_micro_batch_is_model_parallelism():
    """One stage works at a time: forward up to the top, and back (C2a-J04)."""
    plan = timed(gpipe(4, 1))
    found = {(one.stage, one.action.kind): one.start + 1 for one in plan}
    assert found == {(s, "F"): s + 1 for s in range(4)} | {(s, "B"): 8 - s for s in range(4)}
    assert bubble(plan) == pytest.approx(1 - 1 / 4)


def test_with_a_cost_of_every_pass_there_is_a_best_number_of_micro_batches():
    """The batch takes 8 in all; a pass costs 0.1 more, whatever its size."""
    times = {m: timed(gpipe(4, m), 8 / m, 8 / m, overhead=0.1)[-1].stop for m in range(1, 61)}
    best = min(times, key=times.get)
    # 2 (m + p - 1) (8 / m + 0.1) is least at m = sqrt(8 (p - 1) / 0.1) = 15.5
    assert best in (15, 16) and times[best] == pytest.approx(2 * (best + 3) * (8 / best + 0.1))


def test_impossible_schedules_are_refused():
    with pytest.raises(ConfigError, match="no 'two', choose one of gpipe, 1f1b"):
        schedule("two", 1, 1)
    with pytest.raises(ConfigError, match="at least 1"):
        schedule("gpipe", 2, 0)
    with pytest.raises(ConfigError, match="7 micro-batches are no multiple of 3 stages.* 6 are"):
        schedule("1f1b", 3, 7, 2)
    with pytest.raises(ConfigError, match="stage 0 before B0"):
        timed([[Action("B", 0), Action("F", 0)]])
