"""One function for all methods: it learns, and refuses what no method has."""

import inspect
import os
import signal
import textwrap

import numpy as np
import pytest

from tinylm.align import rlhf
from tinylm.align.rlhf import METHODS, policy_trainer, setting_names, train_policy
from tinylm.align.rlhf.methods import GRPO, RLOO
from tinylm.align.rlhf.trainer import PolicyTrainer
from tinylm.errors import ConfigError
from tinylm.models import GPT, GPTConfig

PROMPTS = [[1], [2, 3], [3], [4, 5, 1]]


def policy(seed=0, dtype=np.float32):
    return GPT(GPTConfig(6, 16, 1, 2, 16), seed, dtype)


def fives(prompt, response):
    return float(response.count(5))


OPTIONS = {"batch_size": 4, "max_tokens": 3, "eos": 0, "learning_rate": 1e-2}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_what_is_rewarded(method):
    """From 3/6 fives in a response by chance, or fewer, to more than 2 of 3."""
    model = policy()
    found = train_policy(model, PROMPTS, fives, method, steps=25, beta=0.01, group=4, **OPTIONS)
    assert len(found) == 25 and not model.training
    assert found[0]["reward"] < 1
    assert np.mean([one["reward"] for one in found[-3:]]) > 2


def test_the_example_of_the_room_runs_as_it_stands():
    """The code in the docstring of tinylm.align.rlhf."""
    code = [line for line in rlhf.__doc__.splitlines() if line.startswith("    ") or not line]
    scope = {}
    exec(textwrap.dedent("\n".join(code)), scope)
    found = scope["found"]
    assert found[-1]["reward"] > found[0]["reward"] + 0.3


def test_a_step_reports_what_it_measured():
    (found,) = train_policy(policy(), PROMPTS, fives, "grpo", steps=1, **OPTIONS)
    assert found["step"] == 1 and 0 <= found["reward"] <= 3 and 1 <= found["length"] <= 3
    assert found["kl"] == pytest.approx(0, abs=1e-5)  # of the policy to itself
    assert found["largest_ratio"] < 1e-5 and found["beta"] == 0.04
    assert 0 < found["entropy"] <= np.log(6) and found["grad_norm"] > 0
    for share in ("truncated", "informative", "clip_fraction", "sampling", "scoring"):
        assert 0 <= found[share] <= 1


def test_training_ends_where_after_step_says_so():
    seen = []

    def after_step(metrics):
        seen.append(metrics["step"])
        return metrics["step"] == 2

    found = train_policy(
        policy(), PROMPTS, fives, "rloo", steps=9, after_step=after_step, **OPTIONS
    )
    assert seen == [1, 2] and len(found) == 2


def test_ctrl_c_ends_the_training_after_the_step():
    seen = []

    def after_step(metrics):
        seen.append(metrics["step"])
        os.kill(os.getpid(), signal.SIGINT)

    options = OPTIONS | {"group": 2}
    with pytest.raises(KeyboardInterrupt):
        train_policy(policy(), PROMPTS, fives, "rloo", steps=9, after_step=after_step, **options)
    assert len(seen) == 1
    # in the very last step it has nothing left to interrupt
    found = train_policy(
        policy(), PROMPTS, fives, "rloo", steps=1, after_step=after_step, **options
    )
    assert [one["step"] for one in found] == [1]


def test_ctrl_c_in_the_last_step_leaves_nothing_undone():
    def after_step(metrics):
        if metrics["step"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    options = OPTIONS | {"group": 2}
    found = train_policy(
        policy(), PROMPTS, fives, "rloo", steps=2, after_step=after_step, **options
    )
    assert len(found) == 2


def test_the_learning_rate_is_1e_4_unless_it_is_given():
    for made, name in ((PolicyTrainer, "rate"), (policy_trainer, "learning_rate")):
        assert inspect.signature(made).parameters[name].default == 1e-4


def test_a_method_may_be_given_by_name_or_made():
    by_name = policy_trainer(policy(), PROMPTS, fives, "rloo", group=3, **OPTIONS)
    made = policy_trainer(policy(), PROMPTS, fives, RLOO(group=2), beta=0.2, **OPTIONS)
    assert by_name.method == RLOO(group=3)
    assert made.method == RLOO(group=2, beta=0.2)
    assert policy_trainer(policy(), PROMPTS, fives, **OPTIONS).method == METHODS["ppo"]()


def test_an_option_that_a_method_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="RLOO has no setting 'clip'; it has group, kl, beta"):
        train_policy(policy(), PROMPTS, fives, "rloo", clip=0.1)
    with pytest.raises(ConfigError, match="no method 'trpo': there are reinforce"):
        train_policy(policy(), PROMPTS, fives, "trpo")
    assert "clip" in setting_names(GRPO)
