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
    naive,
    one_f_one_b,
    schedule,
    stalled,
    timed,
    zb_h1,
    zb_h2,
)

few = st.integers(1, 5)
HALVES = {"zb-h1": zb_h1, "zb-h2": zb_h2}


@given(name=st.sampled_from(sorted(SCHEDULES)), stages=few, groups=few, chunks=few)
def test_every_pass_happens_once_and_after_what_it_needs(name, stages, groups, chunks):
    chunks = 1 if name in HALVES else chunks
    micros = groups * stages if chunks > 1 else groups
    actions = schedule(name, stages, micros, chunks)
    kinds = "FBW" if name in HALVES else "FB"
    every = {Action(kind, k, c) for kind in kinds for k in range(micros) for c in range(chunks)}
    for row in actions:
        assert len(row) == len(every) and set(row) == every
    ends = {}
    last = stages * chunks - 1
    for one in timed(actions, forward=1, backward=2, hop=0.1, weights=1.5):
        ends[one.action.kind, one.action.micro, one.action.chunk * stages + one.stage] = one.stop
    for (kind, k, virtual), stop in ends.items():
        length = {"F": 1, "B": 2, "W": 1.5}[kind] / chunks
        if kind == "W":
            assert stop >= ends["B", k, virtual] + length - 1e-9
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


@given(p=st.integers(1, 6), more=st.integers(0, 6), times=st.tuples(*[st.integers(1, 6)] * 3))
def test_zero_bubbles_are_the_formulas_of_the_paper(p, more, times):
    """Qi et al. 2023, section 2: with any times, not only equal ones."""
    f, b, w = times
    if w > f:
        f, w = w, f
    one_f = timed(one_f_one_b(p, p + more), f, b + w)
    assert max(stalled(one_f)) == (p - 1) * (f + b + w)
    h1 = timed(zb_h1(p, p + more), f, b, weights=w)
    assert max(stalled(h1)) == stalled(h1)[0] == (p - 1) * (f + b - w)
    # The last stage begins (p - 1) T_F after the first, so nothing ends earlier than this.
    assert max(one.stop for one in h1) == (p + more) * (f + b + w) + (p - 1) * max(f, f + b - w)
    if 2 * w <= f + b:
        h2 = timed(zb_h2(p, 2 * p - 1 + more), f, b, weights=w)
        assert max(stalled(h2)) == stalled(h2)[0] == (p - 1) * (f + b - 2 * w)
        last = max(one.stop for one in h2)
        assert last == (2 * p - 1 + more) * (f + b + w) + (p - 1) * max(f, f + b - 2 * w)


@given(p=st.integers(1, 6), more=st.integers(0, 6))
def test_with_equal_times_a_third_of_1f1b_s_bubble_and_none(p, more):
    m = 2 * p - 1 + more
    assert bubble(timed(one_f_one_b(p, m), 1, 2)) == pytest.approx((p - 1) / (m + p - 1))
    assert bubble(timed(zb_h1(p, m))) == pytest.approx((p - 1) / (3 * m + p - 1))
    assert stalled(timed(zb_h2(p, m))) == [0] * p
    # its stages begin one after another, and end so: a parallelogram
    ends = [max(o.stop for o in timed(zb_h2(p, m)) if o.stage == s) for s in range(p)]
    assert ends == [3 * m + s for s in range(p)]


@given(p=st.integers(1, 6), more=st.integers(0, 6), share=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_passes_kept_with_the_backward_in_halves(p, more, share):
    """(p - s) M_B + s M_W of stage s, and (2 p - 1 - 2 s) M_B + 2 s M_W (Qi et al. 2023)."""
    m = 2 * p - 1 + more
    assert most_kept(zb_h1(p, m), share) == [p - s + s * share for s in range(p)]
    assert most_kept(zb_h2(p, m), share) == [2 * (p - s) - 1 + 2 * s * share for s in range(p)]
    assert max(most_kept(zb_h1(p, m))) == max(most_kept(one_f_one_b(p, m))) == p


def test_zero_bubble_by_hand():
    """Two stages and three micro-batches, drawn on paper: 1F1B would end at 12."""
    assert in_slots(timed(zb_h1(2, 3))).splitlines() == [
        "stage 1   . F0 B0 F1 B1 W0 F2 B2 W1 W2",
        "stage 0  F0 F1  . B0 W0 F2 B1 W1 B2 W2",
    ]
    assert in_slots(timed(zb_h2(2, 3))).splitlines() == [
        "stage 1   . F0 B0 F1 B1 F2 B2 W0 W1 W2",
        "stage 0  F0 F1 F2 B0 W0 B1 W1 B2 W2  .",
    ]


@given(stages=few, micros=few, chunks=few)
def test_naive_pipelines_work_one_stage_at_a_time(stages, micros, chunks):
    actions = schedule("naive", stages, micros, chunks)
    plan = timed(actions, 1, 2)
    assert bubble(plan) == pytest.approx(1 - 1 / stages)
    assert all(one.stop <= after.start + 1e-9 for one, after in zip(plan, plan[1:]))
    assert most_kept(actions) == [chunks] * stages
    assert len(plan) == 2 * stages * chunks * micros


def test_one_micro_batch_is_model_parallelism():
    """One stage works at a time: forward up to the top, and back (C2a-J04)."""
    assert timed(naive(4, 1)) == timed(gpipe(4, 1))
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
    with pytest.raises(ConfigError, match="no 'two', choose one of naive, gpipe, 1f1b, zb"):
        schedule("two", 1, 1)
    with pytest.raises(ConfigError, match="at least 1"):
        schedule("gpipe", 2, 0)
    with pytest.raises(ConfigError, match="7 micro-batches are no multiple of 3 stages.* 6 are"):
        schedule("1f1b", 3, 7, 2)
    with pytest.raises(ConfigError, match="one chunk a stage, not 2; 1f1b takes chunks"):
        schedule("zb-h2", 3, 6, 2)
    with pytest.raises(ConfigError, match="stage 0 before B0"):
        timed([[Action("B", 0), Action("F", 0)]])
