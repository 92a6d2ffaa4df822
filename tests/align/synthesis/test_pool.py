"""The pool of Self-Instruct."""

import dataclasses

import numpy as np
import pytest

from tinylm.align.synthesis.pool import TaskPool
from tinylm.data.read.instructions import Instruction
from tinylm.errors import ConfigError


def task(*words):
    return Instruction(" ".join(words), "yes")


SEEDS = [task(f"seed{k}", f"is{k}") for k in range(8)]
MODEL = [task(f"model{k}", f"has{k}") for k in range(3)]


def filled():
    pool = TaskPool(SEEDS)
    assert [pool.add(one, step) for step, one in enumerate(MODEL, 1)] == [None] * 3
    return pool


def test_origin_and_step_of_a_task_are_kept():
    pool = filled()
    assert len(pool) == 11
    assert [entry.sample for entry in pool.written_by(human=True)] == SEEDS
    assert [entry.sample for entry in pool.written_by(human=False)] == MODEL
    assert [entry.step for entry in pool.tasks] == [0] * 8 + [1, 2, 3]
    with pytest.raises(dataclasses.FrozenInstanceError):
        pool.tasks[0].human = False


def test_what_is_like_another_task_does_not_enter():
    pool = filled()
    assert pool.add(task("model0", "has0"), 4) == "too similar"  # like one that the model wrote
    assert pool.add(task("seed1", "is1"), 4) == "too similar"
    assert len(pool) == 11
    # one of two words in common: ROUGE-L .5, below .7 and not below .5
    assert pool.add(task("seed1", "was"), 4) is None
    assert TaskPool(SEEDS, 0.5).add(task("seed1", "was"), 1) == "too similar"


def test_six_tasks_by_people_and_two_by_the_model_are_shown_in_a_random_order():
    pool, rng = filled(), np.random.default_rng(0)
    places = []
    for _ in range(30):
        shown = pool.sample_demonstrations(rng)
        own = [i for i, one in enumerate(shown) if one in MODEL]
        assert len(shown) == 8 == len({one.instruction for one in shown}) and len(own) == 2
        places += own
    assert set(places) == set(range(8))  # not always last


def test_people_take_the_places_of_a_model_that_wrote_too_little():
    pool, rng = TaskPool(SEEDS), np.random.default_rng(0)
    shown = pool.sample_demonstrations(rng)
    assert {one.instruction for one in shown} == {one.instruction for one in SEEDS}
    pool.add(MODEL[0], 1)
    shown = pool.sample_demonstrations(rng)
    assert sum(one in MODEL for one in shown) == 1 and len(shown) == 8
    assert len(pool.sample_demonstrations(rng, 1, 0)) == 1


def test_a_pool_needs_enough_tasks_by_people():
    with pytest.raises(ConfigError, match="begins with seed tasks"):
        TaskPool([])
    with pytest.raises(ConfigError, match="8 tasks by people are to be shown and the pool has 7"):
        TaskPool(SEEDS[:7]).sample_demonstrations(np.random.default_rng(0))


def test_the_draw_is_a_function_of_the_generator():
    draws = [filled().sample_demonstrations(np.random.default_rng(s)) for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
