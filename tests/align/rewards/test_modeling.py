import math

import numpy as np
import pytest

from tests.finetune.tasks.heads_small import decoder
from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.rewards.modeling import PairBatch, RewardModeling
from tinylm.align.rewards.pairwise import pairwise_loss
from tinylm.align.rewards.placement import place_segment_rewards
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.autograd import Tensor
from tinylm.errors import DataError, ShapeError
from tinylm.finetune import evaluate, fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.gpt import GPT

TASK = RewardModeling()


def pair(prompt, chosen, rejected, **given):
    return EncodedPair(encode_sft(prompt, chosen), encode_sft(prompt, rejected), **given)


PAIRS = [pair([1, 2], [3, 4, 9], [5, 9]), pair([6], [7, 9], [8, 8, 8, 9]), pair([2], [3], [4])]


def test_the_loss_is_that_of_the_scores_of_single_texts():
    model = RewardModel(decoder()).eval()
    chosen, rejected = (
        model.score([getattr(one, side).ids for one in PAIRS]) for side in ("chosen", "rejected")
    )
    loss, metrics = TASK.loss(model, TASK.make_batch(PAIRS))
    assert loss.item() == pytest.approx(
        pairwise_loss(Tensor(chosen), Tensor(rejected)).item(), rel=1e-10
    )
    assert metrics == {
        "tokens": 3,
        "loss": loss.item(),
        "accuracy": np.mean(chosen > rejected),
        "margin": pytest.approx(np.mean(chosen - rejected), rel=1e-10),
    }


def test_margins_soft_labels_and_the_regularizer_reach_the_loss():
    model = RewardModel(decoder()).eval()
    one = pair([1, 2], [3, 4, 9], [5, 9], probability=0.75, margin=0.5)
    a, b = model.score([one.chosen.ids, one.rejected.ids])
    d = a - b - 0.5
    expected = 0.75 * math.log1p(math.exp(-d)) + 0.25 * math.log1p(math.exp(d))
    batch = TASK.make_batch([one])
    assert TASK.loss(model, batch)[0].item() == pytest.approx(expected, rel=1e-10)
    centered = RewardModeling(center=0.1).loss(model, batch)[0].item()
    assert centered == pytest.approx(expected + 0.1 * (a + b) ** 2, rel=1e-10)


def test_accuracy_and_margin_of_answers_by_hand():
    # differences 1.5, -3 and 0: one and a half of three in the right order
    found = TASK.measure([(2.0, 0.5), (0.0, 3.0), (1.0, 1.0)], PAIRS)
    assert found == {"accuracy": 0.5, "margin": -0.5}


def test_at_a_head_of_zeros_the_loss_is_ln_2():
    loss, metrics = TASK.loss(RewardModel(decoder(), std=0), TASK.make_batch(PAIRS))
    assert loss.item() == pytest.approx(math.log(2), rel=1e-12)
    assert metrics["accuracy"] == 0.5


def test_a_pair_of_equal_texts_is_refused():
    with pytest.raises(DataError, match="both texts of a pair are the same"):
        TASK.make_batch([PAIRS[0], pair([1], [2, 9], [2, 9])])


def test_a_batch_is_cut_between_pairs():
    batch = TASK.make_batch(PAIRS)
    assert batch.inputs.shape == (3, 2, 5) and len(batch) == batch.tokens == 3
    part = batch.rows(1, 3)
    assert isinstance(part, PairBatch) and part.tokens == 2
    np.testing.assert_array_equal(part.inputs, batch.inputs[1:])
    # lengths of prompt and response together
    np.testing.assert_array_equal(batch.mask.sum(axis=2), [[5, 4], [3, 5], [2, 2]])


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_training_is_the_same_in_micro_batches_as_in_one(dropout):
    found = []
    for micro in (0, 2):
        model = RewardModel(decoder(dropout=dropout))
        losses = fit(model, TASK, PAIRS, epochs=3, batch_size=3, micro_batch=micro)
        found.append((losses, model.state_dict()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-10)
    for name, value in found[0][1].items():
        np.testing.assert_allclose(value, found[1][1][name], rtol=1e-8, atol=1e-10, err_msg=name)


def test_a_reward_model_learns_which_response_is_better():
    # the better response is the one with more tokens 3: to be heard, not the length nor the end
    rng = np.random.default_rng(0)

    def example():
        count = rng.permutation(5)[:2]
        responses = [
            [*rng.permutation([3] * c + [4] * (4 - c)), 9] for c in sorted(count, reverse=True)
        ]
        return pair([1, int(rng.integers(5, 9))], *responses)

    examples = [example() for _ in range(120)]
    config = GPTConfig(10, context=8, n_layer=1, n_head=2, d_model=16, dropout=0.0)
    model = RewardModel(GPT(config))
    before = evaluate(model, TASK, examples[80:])
    losses = fit(model, TASK, examples[:80], epochs=6, batch_size=16, learning_rate=1e-2)
    after = evaluate(model, TASK, examples[80:])
    assert losses[-1] < 0.2 < losses[0]
    # pairs that were not seen in training
    assert after["accuracy"] > 0.95 and after["margin"] > max(1, before["margin"])


def test_segment_rewards_stand_at_the_ends_of_segments():
    rewards = place_segment_rewards([0.5, -1.0, 2.0], [2, 3, 6], 7)
    np.testing.assert_array_equal(rewards, [0, 0.5, -1.0, 0, 0, 2.0, 0])
    assert rewards.sum() == 1.5
    # one segment: the reward of the whole response, at its end
    np.testing.assert_array_equal(place_segment_rewards([3.0], [4], 4), [0, 0, 0, 3])
    # a first segment of one token
    np.testing.assert_array_equal(place_segment_rewards([1.0, 2.0], [1, 3], 3), [1, 0, 2])


def test_ends_of_segments_rise_within_the_response():
    for ends in ([0, 3], [3, 3], [4, 2], [2, 8]):
        with pytest.raises(DataError, match="segments end at"):
            place_segment_rewards([1.0, 1.0], ends, 7)
    with pytest.raises(ShapeError, match="one each"):
        place_segment_rewards([1.0], [2, 3], 7)
