"""Temporal-difference errors and GAE: worked numbers, identities, masks and truncation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.align.small import gpt
from tinylm.align.exact.tokens import returns_to_go
from tinylm.align.policy.advantages import gae, td_errors, whitened
from tinylm.align.rewards.reward_model import ValueModel
from tinylm.autograd import Tensor
from tinylm.errors import DataError, ShapeError
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.pretrain.batch import IGNORE

# the specification's four steps, with a reward at the end
R = np.array([[0.0, 0.0, 0.0, 1.0]])
V = np.array([[0.2, 0.4, 0.5, 0.7]])
ALL = np.ones((1, 4), bool)
CLOSE = dict(rtol=0, atol=1e-12)


def test_errors_of_the_worked_example():
    np.testing.assert_allclose(td_errors(R, V, ALL), [[0.2, 0.1, 0.2, 0.3]], **CLOSE)
    np.testing.assert_allclose(td_errors(R, V, ALL, 0.9), [[0.16, 0.05, 0.13, 0.3]], **CLOSE)


@pytest.mark.parametrize(
    "gamma, lam, wanted",
    [
        (1.0, 1.0, [0.8, 0.6, 0.5, 0.3]),
        (0.9, 1.0, [0.529, 0.41, 0.4, 0.3]),
        (1.0, 0.95, [0.7327125, 0.56075, 0.485, 0.3]),
        (1.0, 0.0, [0.2, 0.1, 0.2, 0.3]),
    ],
)
def test_advantages_of_the_worked_example(gamma, lam, wanted):
    np.testing.assert_allclose(gae(R, V, ALL, gamma, lam), [wanted], atol=1e-9)


def test_the_defaults_are_those_of_ziegler():
    np.testing.assert_array_equal(gae(R, V, ALL), gae(R, V, ALL, 1.0, 0.95))
    np.testing.assert_array_equal(td_errors(R, V, ALL), td_errors(R, V, ALL, 1.0))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.9, 0.0]), st.integers(1, 6))
def test_with_lambda_1_errors_telescope_to_the_return_less_the_value(seed, gamma, T):
    rng = np.random.default_rng(seed)
    rewards, values, counted = (
        rng.normal(size=(2, T)),
        rng.normal(size=(2, T)),
        np.ones((2, T), bool),
    )
    wanted = returns_to_go(rewards, gamma) - values
    np.testing.assert_allclose(gae(rewards, values, counted, gamma, 1.0), wanted, atol=1e-11)
    np.testing.assert_allclose(
        gae(rewards, values, counted, gamma, 0.0), td_errors(rewards, values, counted, gamma)
    )


def test_a_response_is_the_same_wherever_it_stands_in_its_row():
    """Before it is the prompt, after it padding; what stands there is never read."""
    rewards, values = np.full((2, 7), np.nan), np.full((2, 7), np.nan)
    counted = np.zeros((2, 7), bool)
    for row, start in ((0, 1), (1, 3)):
        at = slice(start, start + 4)
        rewards[row, at], values[row, at], counted[row, at] = R[0], V[0], True
    found = gae(rewards, values, counted, 0.9, 0.5)
    assert (found[~counted] == 0).all()
    alone = gae(R, V, ALL, 0.9, 0.5)[0]
    np.testing.assert_array_equal(found[0, 1:5], alone)
    np.testing.assert_array_equal(found[1, 3:7], alone)


def test_only_an_episode_that_goes_on_has_a_value_after_its_last_token():
    ended = td_errors(R, V, ALL, 0.5)
    cut = td_errors(R, V, ALL, 0.5, bootstrap=[0.6])
    np.testing.assert_allclose(cut - ended, [[0, 0, 0, 0.5 * 0.6]], **CLOSE)
    # and it reaches the tokens before by lambda: gamma lambda at each step
    spread = gae(R, V, ALL, 0.5, 0.5, bootstrap=[0.6]) - gae(R, V, ALL, 0.5, 0.5)
    np.testing.assert_allclose(spread, [0.3 * 0.25 ** np.arange(3, -1, -1)], **CLOSE)
    # the last token of each row is that of its response
    rewards, counted = np.zeros((2, 3)), np.array([[1, 1, 0], [0, 1, 1]], bool)
    found = td_errors(rewards, rewards, counted, 1.0, bootstrap=[5, 7])
    np.testing.assert_array_equal(found, [[0, 5, 0], [0, 0, 7]])


def test_values_may_be_a_tensor_and_get_no_gradient():
    values = Tensor(V, requires_grad=True)
    found = gae(R, values, ALL)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, gae(R, V, ALL))


def test_whitened_values_have_mean_0_and_deviation_1_where_they_count():
    rng = np.random.default_rng(0)
    values, counted = 3 + 5 * rng.normal(size=(4, 6)), rng.random((4, 6)) < 0.7
    values[~counted] = np.nan
    found = whitened(values, counted)
    assert found[counted].mean() == pytest.approx(0, abs=1e-14)
    assert found[counted].std() == pytest.approx(1, rel=1e-8)
    assert (found[~counted] == 0).all()
    kept = whitened(values, counted, shift=False)
    assert kept[counted].mean() == pytest.approx(values[counted].mean(), rel=1e-12)
    np.testing.assert_allclose(kept[counted] - kept[counted].mean(), found[counted], atol=1e-12)
    # a variance as small as eps counts half: 1e-4 / sqrt(1e-8 + 1e-8)
    small = whitened(np.array([[0.0, 2e-4]]), np.ones((1, 2), bool))
    np.testing.assert_allclose(small, [[-np.sqrt(0.5), np.sqrt(0.5)]], rtol=1e-9)
    # equal values have nothing to say, and are not divided by 0
    assert (whitened(np.full((1, 2), 7.0), np.ones((1, 2), bool)) == 0).all()


def test_what_has_no_advantage_is_refused():
    with pytest.raises(ShapeError, match="td_errors"):
        td_errors(R, V[:, :3], ALL)
    with pytest.raises(ShapeError, match="td_errors"):
        td_errors(R[0], V[0], ALL[0])
    with pytest.raises(ShapeError, match="td_errors"):
        td_errors(R[:, :3], V[:, :3], ALL)
    with pytest.raises(DataError, match="row 1 has several"):
        td_errors(np.zeros((2, 3)), np.zeros((2, 3)), np.array([[1, 1, 0], [1, 0, 1]], bool))
    with pytest.raises(DataError, match="at least two"):
        whitened(R, np.array([[False, True, False, False]]))


def test_a_value_model_gives_the_values_of_a_batch_from_its_inputs():
    """In the column of a token stands the value of what came before it."""
    rows = [encode_sft([1, 2], [0, 2]), encode_sft([1, 2], [1, 1])]
    batch = InstructionTuning().make_batch(rows)
    values = ValueModel(gpt())(batch.inputs).data
    counted = batch.targets != IGNORE
    assert np.argwhere(counted).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    first, second = values[:, 1], values[:, 2]
    assert first[0] == pytest.approx(first[1], rel=1e-12)  # of the prompt alone
    assert abs(second[0] - second[1]) > 1e-3  # after tokens 0 and 1
    delta = td_errors(np.zeros(counted.shape), values, counted)
    np.testing.assert_allclose(delta[counted], np.stack([second - first, -second], 1).ravel())
