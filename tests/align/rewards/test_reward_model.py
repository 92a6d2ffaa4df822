import numpy as np
import pytest

from tests.finetune.tasks.heads_small import decoder
from tinylm.align.rewards import reward_model
from tinylm.align.rewards.placement import place_terminal_reward
from tinylm.align.rewards.reward_model import (
    RewardModel,
    ValueModel,
    last_token,
    mean_and_deviation,
    response_values,
)
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError, DataError
from tinylm.finetune import freeze
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.peft.lora import lora
from tinylm.models.decoder.prefixes import states_at
from tinylm.pretrain.batch import IGNORE

TEXTS = [[1, 5, 2, 9], [3, 4], [7, 7, 1, 2, 8, 6, 3]]
KINDS = [
    {},  # learned positions
    {"positions": "rope", "norm": "rms", "activation": "swiglu", "bias": False},
    {"positions": "alibi"},
    {"attention": "window", "window": 3},
]


def padded(texts, side, width=9, fill=9):
    """Texts with padding at a side; its id also stands in the texts, as an end mark would."""
    ids, mask = np.full((len(texts), width), fill), np.zeros((len(texts), width), bool)
    for row, text in enumerate(texts):
        place = slice(0, len(text))
        if side == "left":
            place = slice(width - len(text), width)
        ids[row, place], mask[row, place] = text, True
    return ids, mask


def alone(model, text):
    return model(np.array([text])).numpy()[0]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_reward_does_not_depend_on_the_padding(kind, side):
    model = RewardModel(decoder(**kind)).eval()
    found = model(*padded(TEXTS, side)).numpy()
    # float64, sums in another order
    np.testing.assert_allclose(found, [alone(model, text) for text in TEXTS], rtol=1e-10)


@pytest.mark.parametrize("side", ["right", "left"])
def test_values_stand_at_their_tokens_and_are_0_in_the_padding(side):
    model = ValueModel(decoder()).eval()
    ids, mask = padded(TEXTS, side)
    found = model(ids, mask).numpy()
    assert found.shape == ids.shape
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(found[row, mask[row]], alone(model, text), rtol=1e-10)
    np.testing.assert_array_equal(found[~mask], 0)


def test_a_value_depends_on_no_later_token():
    model = ValueModel(decoder()).eval()
    first = alone(model, [1, 5, 2, 9])
    for t in range(4):
        changed = [1, 5, 2, 9]
        changed[t] = 11
        second = alone(model, changed)
        np.testing.assert_array_equal(first[:t], second[:t])
        assert (first[t:] != second[t:]).all()


def test_the_first_position_has_seen_nothing_of_the_response():
    model = ValueModel(decoder()).eval()
    found = model(np.array([[1, 5, 2, 9], [1, 7, 7, 3]])).numpy()
    assert found[0, 0] == pytest.approx(found[1, 0], rel=1e-12)
    assert found[0, -1] != pytest.approx(found[1, -1], rel=1e-6)


def test_the_reward_is_the_value_of_the_last_token():
    # eq. 4.34: the state of the last token times W_r, without a bias
    model = RewardModel(decoder()).eval()
    h = model.values.decoder.hidden(np.array([TEXTS[0]])).numpy()[0, -1]
    expected = float(h @ model.values.head.weight.numpy()[:, 0])
    assert alone(model, TEXTS[0]) == pytest.approx(expected, rel=1e-12)
    assert alone(model.values, TEXTS[0])[-1] == pytest.approx(expected, rel=1e-12)


# Where else a reward could be read, in rows with padding; each is wrong for some row.
PLACES = {
    "the last position": lambda values, ids, mask: values[:, -1],
    "the mean over positions": lambda values, ids, mask: values.mean(axis=1),
    "the first token": lambda values, ids, mask: values[:, 0],
    "the token before the last": lambda values, ids, mask: values[
        np.arange(len(ids)), last_token(mask) - 1
    ],
    # padding is the end mark, so the first of these ids is the end of the text already
    "before the first padding id": lambda values, ids, mask: values[
        np.arange(len(ids)), (ids == 9).argmax(axis=1) - 1
    ],
}


@pytest.mark.parametrize("place", PLACES)
def test_a_reward_read_elsewhere_is_found(place):
    texts = [[1, 5, 2, 9], [3, 4, 9], [7, 7, 1, 2, 8, 6, 3, 9]]
    model = RewardModel(decoder()).eval()
    ids, mask = padded(texts, "right")
    expected = np.array([alone(model, text) for text in texts])
    np.testing.assert_allclose(model(ids, mask).numpy(), expected, rtol=1e-10)
    wrong = PLACES[place](model.values(ids, mask).numpy(), ids, mask)
    assert np.abs(wrong - expected).min() > 1e-3


@pytest.mark.parametrize(
    "mask, message",
    [
        ([[True, True], [False, False]], "at least one token"),
        ([[True, False, True]], "not between"),
        ([[False, True, False, True]], "not between"),
    ],
)
def test_rows_that_have_no_last_token_are_refused(mask, message):
    mask = np.array(mask)
    with pytest.raises(DataError, match=message):
        RewardModel(decoder())(np.ones(mask.shape, int), mask)


def test_the_last_token_of_a_row():
    mask = np.array([[True, True, False], [False, True, True], [False, True, False]])
    np.testing.assert_array_equal(last_token(mask), [1, 2, 1])


def test_a_gradient_reaches_the_head_and_the_decoder_through_real_tokens_alone():
    model = RewardModel(decoder()).eval()
    ids, mask = padded([[1, 5, 2]], "left", fill=9)
    table = model.values.decoder.tokens.weight
    g_table, g_head = grad(model(ids, mask).sum(), [table, model.values.head.weight])
    assert np.abs(g_head.numpy()).min() > 0
    used = np.abs(g_table.numpy()).max(axis=1) > 0
    assert np.flatnonzero(used).tolist() == [1, 2, 5]


def test_a_head_can_begin_at_0():
    model = RewardModel(decoder(), std=0)
    np.testing.assert_array_equal(model(np.array(TEXTS[:1])).numpy(), 0)


def test_heads_of_two_seeds_differ_and_have_the_usual_spread():
    heads = [ValueModel(decoder(d_model=256), seed).head.weight.numpy() for seed in (0, 1)]
    assert heads[0].shape == (256, 1) and (heads[0] != heads[1]).all()
    for default in (ValueModel(decoder(d_model=256)), RewardModel(decoder(d_model=256)).values):
        np.testing.assert_array_equal(default.head.weight.numpy(), heads[0])
    # 1/sqrt(257) = .062; 256 draws, so within four standard errors of 4.4 %
    assert heads[0].std() == pytest.approx(257**-0.5, rel=0.18)
    unit = ValueModel(decoder(d_model=256), 0, std=1.0).head
    np.testing.assert_allclose(heads[0], unit.weight.numpy() * 257**-0.5, rtol=1e-6)
    assert len(unit.parameters()) == 1  # no bias: it would change no comparison


def test_a_decoder_behind_adapters_is_read_too():
    plain = decoder()
    expected = alone(RewardModel(plain).eval(), TEXTS[0])
    model = RewardModel(lora(freeze(plain), "blocks.*", r=2)).eval()
    assert alone(model, TEXTS[0]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_values_at_some_tokens_are_those_of_all_tokens(kind, side, rng):
    """With gradients; the first two kinds read what rows share once, the others whole rows."""
    model = ValueModel(decoder(**kind)).eval()
    ids, mask = padded([*TEXTS, [1, 5, 2, 8, 8]], side)
    wanted = mask & (rng.random(mask.shape) < 0.6)
    weights = rng.normal(size=int(wanted.sum()))
    found, all_of_them = model.at(ids, mask, wanted), model(ids, mask)[np.nonzero(wanted)]
    np.testing.assert_allclose(found.numpy(), all_of_them.numpy(), rtol=1e-12, atol=1e-13)
    parameters = model.parameters()
    pairs = [grad((y * weights).sum(), parameters) for y in (found, all_of_them)]
    for ours, theirs in zip(*pairs):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-10, atol=1e-12)


def test_what_rows_share_is_read_once_where_padding_stands_at_their_ends(monkeypatch):
    seen = []
    monkeypatch.setattr(
        reward_model, "states_at", lambda *given: seen.append(1) or states_at(*given)
    )
    model = ValueModel(decoder()).eval()
    for side, calls in (("right", 1), ("left", 1), ("right", 2)):  # at the left: whole rows
        ids, mask = padded(TEXTS, side)
        model.at(ids, mask, mask)
        assert len(seen) == calls
    model.at(ids, None, mask)
    assert len(seen) == 3


def test_values_of_responses_stand_where_their_tokens_are_predicted():
    model = ValueModel(decoder()).eval()
    batch = InstructionTuning().make_batch([encode_sft([1, 5], [2, 9]), encode_sft([3], [4, 4, 7])])
    found, counted = response_values(model, batch).numpy(), batch.targets != IGNORE
    whole = model(batch.inputs, batch.mask).numpy()
    np.testing.assert_allclose(found, np.where(counted, whole, 0), rtol=1e-12, atol=1e-13)


def test_scores_are_those_of_single_texts_with_dropout_off():
    model = RewardModel(decoder(dropout=0.5))
    found = model.score(TEXTS, batch_size=2)
    assert model.training and found.dtype == np.float64
    np.testing.assert_allclose(found, [alone(model.eval(), text) for text in TEXTS], rtol=1e-10)
    assert model.score([]).shape == (0,)


def test_by_default_sixteen_texts_are_scored_at_a_time(monkeypatch):
    model, sizes = RewardModel(decoder()), []
    whole = ValueModel.at

    def counted(self, ids, mask, wanted):
        sizes.append(len(ids))
        return whole(self, ids, mask, wanted)

    monkeypatch.setattr(ValueModel, "at", counted)
    model.score([[1, 2]] * 33)
    assert sizes == [16, 16, 1]
    sizes.clear()
    model.standardize([[1, 2]] * 17 + [[3]])
    assert sizes == [16, 2]


def test_standardized_rewards_have_mean_0_and_variance_1():
    model = RewardModel(decoder())
    before = model.score(TEXTS)
    model.standardize(TEXTS)
    after = model.score(TEXTS)
    assert after.mean() == pytest.approx(0, abs=1e-12)
    assert after.std() == pytest.approx(1, rel=1e-12)
    # the order and the ratios of differences stay
    np.testing.assert_allclose(after * before.std() + before.mean(), before, rtol=1e-10)
    # once more changes nothing
    model.standardize(TEXTS)
    np.testing.assert_allclose(model.score(TEXTS), after, rtol=1e-10)


def test_with_probabilities_the_moments_are_those_of_the_policy():
    weights = np.array([0.5, 0.3, 0.2])
    mean, deviation = mean_and_deviation([1.0, 0.0, -1.0], weights)
    assert mean == pytest.approx(0.3, rel=1e-15)
    assert deviation == pytest.approx((0.7 - 0.09) ** 0.5, rel=1e-14)
    model = RewardModel(decoder())
    model.standardize(TEXTS, weights)
    assert weights @ model.score(TEXTS) == pytest.approx(0, abs=1e-12)
    assert weights @ model.score(TEXTS) ** 2 == pytest.approx(1, rel=1e-12)


def test_rewards_without_a_scale_are_refused():
    with pytest.raises(DataError, match="all rewards are 0"):
        RewardModel(decoder(), std=0).standardize(TEXTS)
    with pytest.raises(ConfigError, match="sum to 1"):
        mean_and_deviation([1, 2], [0.5, 0.6])


def test_shift_and_scale_are_saved_with_the_weights():
    model = RewardModel(decoder())
    model.standardize(TEXTS)
    other = RewardModel(decoder(seed=1), seed=1)
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other.score(TEXTS), model.score(TEXTS))
    state = model.state_dict()
    state["scale"] = np.zeros(())
    with pytest.raises(Exception, match="scale of a reward must be above 0"):
        other.load_state_dict(state)


def test_a_value_model_begins_as_a_copy():
    model = RewardModel(decoder()).eval()
    values = model.value_model()
    np.testing.assert_array_equal(alone(values, TEXTS[0]), alone(model.values, TEXTS[0]))
    values.head.weight.data[...] = 0
    assert alone(model, TEXTS[0]) != 0


def test_the_terminal_reward_stands_at_the_last_token():
    # prompt tokens, three responses of 2, 4 and 1 tokens, padding at the right
    counted = np.array([[0, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0]], bool)
    rewards = place_terminal_reward(np.array([0.5, -1.0, 2.0]), counted)
    expected = np.zeros((3, 6))
    expected[0, 2], expected[1, 5], expected[2, 0] = 0.5, -1.0, 2.0
    np.testing.assert_array_equal(rewards, expected)
    # a token before, or one past it, would be another return of some state
    assert (np.roll(rewards, 1, axis=1) != expected).any()


def test_a_response_that_was_cut_off_may_have_a_reward_of_its_own():
    counted = np.ones((2, 2), bool)
    scores, ended = np.array([3.0, 4.0]), np.array([True, False])
    kept = place_terminal_reward(scores, counted, ended)
    np.testing.assert_array_equal(kept, [[0, 3], [0, 4]])
    given = place_terminal_reward(scores, counted, ended, missing_end=-1.0)
    np.testing.assert_array_equal(given, [[0, 3], [0, -1]])
    np.testing.assert_array_equal(place_terminal_reward(scores, counted, None, -1.0), kept)


def test_a_reward_needs_a_response():
    with pytest.raises(DataError, match="no token"):
        place_terminal_reward(np.ones(2), np.array([[True, False], [False, False]]))
    for scores, shape in ((np.ones(3), (2, 2)), (np.ones(2), (2,))):
        with pytest.raises(Exception, match="must be"):
            place_terminal_reward(scores, np.ones(shape, bool))


def test_rewards_are_no_tensors():
    rewards = place_terminal_reward(Tensor([1.0]).numpy(), np.ones((1, 2), bool))
    assert isinstance(rewards, np.ndarray)
