"""The responses of a step: groups of a prompt, drawn until they teach something, in any share."""

import numpy as np
import pytest

from tests.align.small import gpt
from tinylm.align.rlhf import policy_trainer
from tinylm.errors import ConfigError
from tinylm.parallel.launcher import launch

PROMPTS = [[1], [2, 1], [0, 1, 2]]


def trainer(method="rloo", reward=None, comm=None, **options):
    given = {"batch_size": 2, "max_tokens": 3, "eos": 0, "group": 2} | options
    return policy_trainer(gpt(), PROMPTS, reward or length, method, comm=comm, **given)


def length(prompt, response):
    return len(response)


def test_the_responses_of_a_group_stand_together():
    collector = trainer(group=3).collector
    found, _ = collector.collect()
    prompts = found.rollout.prompts
    assert len(prompts) == 6 == collector.rows
    assert prompts[:3] == [prompts[0]] * 3 and prompts[3:] == [prompts[3]] * 3
    assert len({tuple(y) for y in found.rollout.responses}) > 1  # each has its own stream
    np.testing.assert_array_equal(found.scores, found.rollout.lengths)


def test_each_draw_reads_the_next_prompts_and_other_streams():
    collector = trainer(batch_size=3).collector
    one, two = collector.collect()[0], collector.collect()[0]
    assert sorted(map(len, one.rollout.prompts)) == sorted(map(len, two.rollout.prompts))
    assert one.rollout.responses != two.rollout.responses
    assert collector.draws == 2


def test_groups_that_teach_nothing_are_drawn_again():
    """Only responses of prompt [2, 1] differ in reward; of two draws the two best groups stay."""

    def reward(prompt, response):
        return float(prompt == [2, 1] and response[0])

    collector = trainer("dapo", reward, batch_size=3, group=4, draws=6).collector
    found, _ = collector.collect()
    different = collector.different(found.scores)
    assert 1 < collector.draws <= 6
    assert different.sum() > 1
    for group, useful in zip(range(3), different):
        prompts = found.rollout.prompts[4 * group : 4 * group + 4]
        assert prompts == [prompts[0]] * 4
        assert not useful or prompts[0] == [2, 1]
    np.testing.assert_array_equal(
        found.scores, [reward(x, y) for x, y in zip(found.rollout.prompts, found.rollout.responses)]
    )


def test_where_no_group_teaches_anything_the_step_is_full_all_the_same():
    collector = trainer("dapo", lambda x, y: 1.0, draws=3).collector
    found, _ = collector.collect()
    assert collector.draws == 3 and len(found.rollout) == 4


def test_one_draw_is_enough_where_all_groups_differ_or_none_is_asked_for():
    always = iter(range(1000))
    collector = trainer("dapo", lambda x, y: next(always), draws=3).collector
    collector.collect()
    assert collector.draws == 1
    once = trainer("dapo", lambda x, y: 1.0, draws=1).collector
    once.collect()
    assert once.draws == 1


def gathered(comm):
    found, _ = trainer("ppo", comm=comm, batch_size=3, group=1).collector.collect()
    assert found.counted.dtype == bool and found.rollout.ids.dtype == np.int64
    return found.rollout.responses, found.scores, found.old, found.reference, found.values


def test_every_worker_has_all_rows():
    """Three rows for two workers."""
    alone, shared = gathered(None), launch(gathered, 2, capacity=1 << 20)
    assert alone[0] == shared[0]
    for one, other in zip(alone[1:], shared[1:]):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_minibatches_have_one_size():
    with pytest.raises(ConfigError, match="4 responses of a step do not make 3 minibatches"):
        trainer("grpo", minibatches=3)
