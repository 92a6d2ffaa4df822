"""Fine-tuning on the best of n: its exact limit, and a control that differs in the choice."""

import numpy as np
import pytest

from tests.finetune.instruct.talks import model
from tinylm.align.inference import (
    best_of_each,
    best_of_n_law,
    iterated_law,
    random_of_each,
    rejection_sampling_finetune,
)
from tinylm.align.inference import tuning as module
from tinylm.autograd import Tensor, log_softmax
from tinylm.errors import ConfigError, DataError

P, R = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0])


def expected_gradient(law):
    """Of -E log pi(y) by the logits of pi = P, responses drawn from a law."""
    logits = Tensor(np.log(P), requires_grad=True)
    (-(log_softmax(logits) * law).sum()).backward()
    return logits.grad.data


def test_own_samples_teach_nothing_on_average():
    """N = 1, and the random control for any N: the expected gradient at the policy is 0."""
    np.testing.assert_allclose(expected_gradient(best_of_n_law(P, R, 1)), 0, atol=1e-15)
    assert expected_gradient(best_of_n_law(P, R, 4))[2] < -0.3  # towards the best


def test_one_round_with_infinite_data_is_the_law_of_best_of_n():
    """Fine-tuning is maximum likelihood: its optimum is the law of its data."""
    law = best_of_n_law(P, R, 4)
    np.testing.assert_array_equal(iterated_law(P, R, 4, 1), law)
    logits = Tensor(np.log(law), requires_grad=True)
    (-(log_softmax(logits) * law).sum()).backward()
    np.testing.assert_allclose(logits.grad.data, 0, atol=1e-15)


def test_rounds_sharpen_like_more_samples():
    np.testing.assert_allclose(iterated_law(P, R, 2, 3), best_of_n_law(P, R, 8), atol=1e-15)
    np.testing.assert_array_equal(iterated_law(P, R, 4, 0), P)
    np.testing.assert_allclose(iterated_law(P, R, 4, 8), [0, 0, 1], atol=1e-12)


def test_the_best_and_a_random_one_of_each():
    candidates, rewards = [["a", "b"], ["c", "d", "e"]], [[0, 1], [2, 2, 1]]
    assert best_of_each(candidates, rewards) == ["b", "c"]
    found = [random_of_each(candidates, rewards, seed) for seed in range(40)]
    assert {one[0] for one in found} == {"a", "b"} and {one[1] for one in found} == set("cde")
    assert found[3] == random_of_each(candidates, rewards, 3)
    assert random_of_each(candidates, rewards) == found[0]
    for wrong in ([[0, 1]], [[0, 1], [2]], [[], []]):
        with pytest.raises(DataError, match="a reward for each of them"):
            best_of_each(candidates, wrong)
    with pytest.raises(DataError, match="a reward for each"):
        random_of_each([[]], [[]])
    for choose in (best_of_each, random_of_each):
        with pytest.raises(DataError, match="a reward of prompt 1 is nan"):
            choose(candidates, [[0, 1], [2, np.nan, 1]])


def digits(prompt, tokens):
    """The share of tokens below 128: half of the vocabulary."""
    return float(np.mean([token < 128 for token in tokens]))


def test_training_on_the_best_raises_the_reward_and_the_control_does_not_choose():
    """Round 1 of both has the same samples; selected ones are better only where they are chosen."""
    options = dict(steps=12, learning_rate=2e-2, batch_size=4, seed=1)
    prompts = [[5], [6], [7], [8]]
    best = rejection_sampling_finetune(model(), prompts, digits, 4, 3, rounds=3, **options)
    control = rejection_sampling_finetune(
        model(), prompts, digits, 4, 3, select="random", **options
    )
    assert len(best) == 3 and len(control) == 1
    assert best[0][0] == control[0][0]
    assert best[0][1] > best[0][0] and best[0][1] > control[0][1]
    assert best[2][0] > best[0][0] + 0.2


@pytest.mark.parametrize("select", ["best", "random"])
def test_every_sample_has_a_seed_of_its_own(select, monkeypatch):
    """2 rounds of 2 prompts with 3 samples each, from seed 5 on; fitting draws anew each round."""
    drawn, orders, chosen = [], [], []
    real = module.sampled

    def watched(m, prompt, n, max_tokens, **options):
        drawn.extend((options["seed"] + i, tuple(prompt)) for i in range(n))
        assert options["temperature"] == 1.0 and options["eos"] is None
        return real(m, prompt, n, max_tokens, **options)

    def fitted(m, task, examples, seed, **options):
        orders.append(seed)
        chosen.append([one.ids[one.prompt :].tolist() for one in examples])

    monkeypatch.setattr(module, "sampled", watched)
    monkeypatch.setattr(module, "fit", fitted)
    found = rejection_sampling_finetune(
        model(), [[5], [6]], digits, 3, 2, rounds=2, seed=5, select=select
    )
    order = [[5]] * 3 + [[6]] * 3
    assert drawn == [(5 + i, tuple(prompt)) for i, prompt in enumerate(order * 2)]
    assert orders == [5, 6]
    for (_, selected), answers in zip(found, chosen):
        assert selected == pytest.approx(np.mean([digits(None, y) for y in answers]))


def test_the_control_draws_anew_each_round(monkeypatch):
    seeds = []
    monkeypatch.setattr(module, "fit", lambda *given, **options: None)
    monkeypatch.setattr(
        module, "random_of_each", lambda c, r, seed: seeds.append(seed) or [one[0] for one in c]
    )
    options = {"rounds": 3, "seed": 7, "select": "random"}
    rejection_sampling_finetune(model(), [[5]], digits, 2, 2, **options)
    assert seeds == [7, 8, 9]


def test_another_selection_is_refused():
    with pytest.raises(ConfigError, match="best, random"):
        rejection_sampling_finetune(model(), [[5]], digits, 2, 2, select="worst")
