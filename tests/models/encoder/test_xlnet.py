"""The query stream never sees its own token; a single stream that may see itself does."""

import itertools

import numpy as np
import pytest

import tinylm as tl
from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.models.encoder.presets import build, preset, tiny
from tinylm.models.encoder.xlnet import XLNetConfig

IDS = np.array([[3, 9, 4, 8, 1]])
ORDER = np.array([2, 4, 0, 3, 1])  # position 2 is predicted first, 1 last


def model(**changes):
    """A small XLNet in evaluation mode, with weights of size one half."""
    made = build(tiny("xlnet-base", **changes), 0, dtype=np.float64).eval()
    for i, p in enumerate(made.parameters()):
        p.data[...] += 0.3 * np.random.default_rng(i).normal(size=p.shape)
    return made


def seen(outputs, inputs):
    """[i, j]: does output i depend on the token embedding at j?"""
    rows = []
    for i in range(outputs.shape[1]):
        weights = np.zeros(outputs.shape)
        weights[:, i] = np.random.default_rng(i).normal(size=outputs.shape[-1])
        (g,) = tl.grad(outputs, [inputs], cotangent=Tensor(weights), retain_graph=True)
        rows.append(np.abs(g.numpy()[0]).max(-1) > 1e-9)
    return np.array(rows)


def streams_of(m):
    e = Tensor(m.tokens(IDS).numpy(), requires_grad=True)
    m.tokens.__class__ = type("Fixed", (m.tokens.__class__,), {"__call__": lambda self, ids: e})
    return *m.streams(IDS, ORDER), e


def test_a_changed_token_leaves_its_own_prediction_as_it_was_to_the_bit():
    m = model()
    before = m(IDS, ORDER).numpy()
    for step, position in enumerate(ORDER):
        changed = IDS.copy()
        changed[0, position] = 20
        after = m(changed, ORDER).numpy()
        for earlier in ORDER[: step + 1]:  # its own prediction, and those before it in the order
            np.testing.assert_array_equal(after[0, earlier], before[0, earlier])
        for later in ORDER[step + 1 :]:
            assert np.abs(after[0, later] - before[0, later]).max() > 1e-6


def test_each_stream_sees_what_the_order_says():
    content, query, e = streams_of(model())
    rank = np.argsort(ORDER)
    np.testing.assert_array_equal(seen(query, e), rank[None, :] < rank[:, None])
    np.testing.assert_array_equal(seen(content, e), rank[None, :] <= rank[:, None])


def test_the_worked_order_conditions_on_what_the_book_says():
    # Order x0 -> x4 -> x2 -> x1 -> x3: x3 is predicted from e0, e4, e2, e1, on both of its sides   (eq. 1.14)
    rank = np.argsort([0, 4, 2, 1, 3])
    assert [np.flatnonzero(rank < rank[i]).tolist() for i in (0, 4, 2, 1, 3)] == [
        [],
        [0],
        [0, 4],
        [0, 2, 4],
        [0, 1, 2, 4],
    ]


def test_one_stream_that_sees_itself_knows_the_answer():
    m = model()
    content, query, e = streams_of(m)
    assert (
        seen(content, e).diagonal().all()
    )  # the leak: what is to be predicted is among what is read
    assert not seen(query, e).diagonal().any()


def test_in_every_order_the_probabilities_of_all_strings_sum_to_one():
    m = model(vocab_size=3)
    strings = np.array(list(itertools.product(range(3), repeat=3)))  # all 27
    for order in itertools.permutations(range(3)):
        logp = tl.autograd.log_softmax(m(strings, np.array(order))).numpy()
        total = np.exp(np.take_along_axis(logp, strings[..., None], -1)[..., 0].sum(1)).sum()
        assert abs(total - 1) < 1e-12


def test_moving_the_whole_sequence_changes_nothing():
    # Positions are relative: what stands behind padding, seen by nobody, computes the same.
    m = model()
    padded, mask = np.concatenate([[[7, 7]], IDS], axis=1), np.array([[False, False] + [True] * 5])
    np.testing.assert_allclose(
        m.hidden(padded, mask=mask).numpy()[:, 2:], m.hidden(IDS).numpy(), rtol=0, atol=1e-12
    )


def test_segments_are_relative_too():
    m, segments = model(), np.array([[0, 0, 1, 1, 1]])
    np.testing.assert_array_equal(
        m.hidden(IDS, segments).numpy(), m.hidden(IDS, 1 - segments).numpy()
    )
    assert np.abs(m.hidden(IDS, segments).numpy() - m.hidden(IDS).numpy()).max() > 1e-6


@pytest.mark.parametrize(
    "name, count", [("xlnet-base", 116_718_336 + 32_000), ("xlnet-large", 360_268_800 + 32_000)]
)
def test_the_published_counts(name, count):
    assert build(preset(name), None).count_parameters() == count  # and a bias for each word


def test_a_configuration_that_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="not one of relu"):
        XLNetConfig(activation="swiglu")
    with pytest.raises(ConfigError, match="does not divide into 5 heads"):
        build(XLNetConfig(vocab_size=5, d_model=16, n_head=5))


def test_it_runs_on_every_device(device):
    m = model().to(device)
    ids, order, mask = (
        tl.backend.to_device(x, device) for x in (IDS, ORDER, np.ones((1, 5), bool))
    )
    np.testing.assert_allclose(
        m(ids, order, mask=mask).numpy(), model()(IDS, ORDER).numpy(), rtol=0, atol=1e-10
    )


def test_dropout_does_not_depend_on_how_the_batch_is_shared_out():
    m = model(dropout=0.5).train()
    ids = np.arange(20).reshape(4, 5) % 10
    parts = []
    for first, stop in (
        (0, 4),
        (0, 2),
        (2, 4),
    ):  # the whole batch, then what two workers would read of it
        m.rng.counter = 0
        with m.rng.rows(first, 4):
            parts.append(m(ids[first:stop], ORDER).numpy())
    whole, upper, lower = parts
    np.testing.assert_allclose(np.concatenate([upper, lower]), whole, rtol=1e-12)
