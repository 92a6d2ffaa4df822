"""Schedules at the points where their value is known."""

import inspect
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError
from tinylm.optim import schedule
from tinylm.optim.schedule import (
    SCHEDULES,
    batch_size_ramp,
    constant,
    cosine,
    inverse_sqrt,
    linear_decay,
    rise_and_fall,
    warm_up,
    warm_up_steps,
)


def test_warm_up_starts_above_zero_and_reaches_one():
    assert [warm_up(s, 4) for s in range(6)] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    assert warm_up(0, 0) == 1.0


def test_cosine_is_one_half_way_and_at_the_floor():
    # 101 steps, none of warm-up: step 50 is half of the cosine, step 100 the last
    assert cosine(0, 101) == 1.0
    assert cosine(50, 101, floor=0.1) == pytest.approx((1 + 0.1) / 2)
    assert cosine(25, 101, floor=0.0) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert cosine(100, 101, floor=0.1) == pytest.approx(0.1)
    assert cosine(10_000, 101, floor=0.1) == pytest.approx(0.1)


def test_linear_falls_evenly():
    assert [linear_decay(s, 5) for s in range(5)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert linear_decay(2, 5, floor=0.5) == pytest.approx(0.75)


def test_inverse_square_root_halves_when_steps_quadruple():
    assert inverse_sqrt(99, 1000, warmup=99) == 1.0  # step + 1 = 100 = warmup + 1
    assert inverse_sqrt(399, 1000, warmup=99) == pytest.approx(0.5)
    assert inverse_sqrt(49, 1000, warmup=99) == pytest.approx(0.5)  # half of the warm-up
    assert inverse_sqrt(10**9, 1000, warmup=99, floor=0.01) == 0.01


def test_warmup_stable_decay_has_three_parts():
    values = [
        SCHEDULES["warmup_stable_decay"](s, 100, warmup=10, floor=0.0, decay=0.2)
        for s in range(100)
    ]
    assert (
        values[0] == pytest.approx(1 / 11) and values[10:81] == [1.0] * 71
    )  # decay is steps 80 .. 99
    assert values[99] == pytest.approx(0.0) and values[80] > values[90] > values[98]
    ends = [SCHEDULES["warmup_stable_decay"](s, 100, floor=0.5) for s in (79, 99)]
    assert ends == [1.0, pytest.approx(0.5)]
    # 0.1 of 4 steps is rounded up to one: a line of one step has its first point alone.
    assert [SCHEDULES["warmup_stable_decay"](s, 4, decay=0.1) for s in range(4)] == [1.0] * 4


def test_constant_stays():
    assert [constant(s, 10, warmup=1) for s in (0, 1, 9)] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("name", SCHEDULES)
@given(steps=st.integers(1, 300), warmup=st.integers(0, 50), floor=st.floats(0, 1))
def test_every_schedule_stays_between_zero_and_one_and_falls_after_the_warm_up(
    name, steps, warmup, floor
):
    values = [SCHEDULES[name](s, steps, warmup=warmup, floor=floor) for s in range(steps)]
    assert all(0 <= v <= 1 + 1e-12 for v in values)
    assert values[0] > 0 or steps == 1 or floor == 0
    tail = values[warmup:]
    assert all(later <= earlier + 1e-12 for earlier, later in zip(tail, tail[1:]))


DEFAULTS = {
    "constant": dict(warmup=0, floor=0.0),
    "cosine": dict(warmup=0, floor=0.1),  # a tenth of the peak, as Hoffmann et al. 2022
    "linear": dict(warmup=0, floor=0.0),  # down to 0, as BERT (Devlin et al. 2019)
    "inverse_sqrt": dict(warmup=0, floor=0.0),  # Vaswani et al. 2017 have no floor
    "warmup_stable_decay": dict(
        warmup=0, floor=0.1, decay=0.2
    ),  # ours; Hu et al. 2024 decay over 0.1
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_defaults_are_those_of_the_papers(name):
    parameters = inspect.signature(SCHEDULES[name]).parameters
    assert {key: parameters[key].default for key in DEFAULTS[name]} == DEFAULTS[name]


def test_unknown_names_list_the_known():
    assert schedule.schedule("cosine") is cosine
    with pytest.raises(
        ConfigError, match="no schedule named 'exponential': choose one of constant, cosine"
    ):
        schedule.schedule("exponential")


def test_a_batch_grows_in_equal_steps():
    assert [batch_size_ramp(s, 8, 32, 8) for s in (0, 1, 2, 4, 6, 8, 100)] == [
        8,
        8,
        16,
        24,
        32,
        32,
        32,
    ]
    assert batch_size_ramp(0, 8, 8, 5) == 8
    # A ramp of no steps or one: the full batch from step 1 on.
    assert [batch_size_ramp(s, 8, 32, ramp) for ramp in (0, 1) for s in (0, 1)] == [8, 32] * 2
    with pytest.raises(ConfigError, match="12 is not a multiple of 8"):
        batch_size_ramp(0, 8, 12, 5)


@pytest.mark.parametrize(
    "warmup, steps, found",
    [(100, 1000, 100), (9, 10, 9), (10, 10, 1), (100, 50, 5), (1, 1, 0), (0, 1, 0)],
)
def test_warm_up_leaves_steps_at_the_full_rate(warmup, steps, found):
    assert warm_up_steps(warmup, steps) == found
    for one in (constant, cosine, linear_decay):  # the full rate is reached
        assert max(one(step, steps, found) for step in range(steps)) == 1.0


def test_no_step_of_fine_tuning_has_the_rate_0():
    rate = rise_and_fall(0.5, 5, 0.2)  # one step rises; 4 equal parts down to 0 at step 5
    assert [rate(s) for s in range(6)] == pytest.approx([0.25, 0.5, 0.375, 0.25, 0.125, 0])
    assert [rise_and_fall(1.0, 2, 0.0)(s) for s in range(2)] == [1.0, 0.5]
    assert rise_and_fall(1.0, 1, 0.1)(0) == 1.0
    # all steps that warm up would never reach the full rate: a tenth does
    assert max(map(rise_and_fall(1.0, 10, 1.0), range(10))) == 1.0
