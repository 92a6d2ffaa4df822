"""AutoCompressor: shapes of the memory, what depends on what, and gradients that stop where they
should.
"""

import dataclasses

import numpy as np
import pytest

from tests.finetune.context.tiny_contexts import EXAMPLES, V, assert_padding_changes_nothing, gpt
from tinylm.autograd import Tensor, grad, no_grad
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.finetune import fit
from tinylm.finetune.context.auto_compressor import (
    MODES,
    AutoCompressor,
    SegmentedLM,
    fixed_cuts,
    random_cuts,
)
from tinylm.finetune.context.context_distillation import ContextDistillation
from tinylm.finetune.context.contexts import make_batch, read_short
from tinylm.finetune.context.gist import GistCompressor
from tinylm.models.early.cases import ready
from tinylm.pretrain import CausalLM

TEXTS = np.random.default_rng(0).integers(0, V, (2, 12))


def compressor(mode="replace", kappa=2, bptt=2, segment=4, **changes):
    return ready(AutoCompressor(gpt(**changes), kappa, mode, bptt, segment))


def segment_losses(model, ids, cuts):
    """The states that predict each segment, and sigma after each, as arrays."""
    with no_grad():
        return [
            (h.data, sigma[0].data)
            for h, sigma in model.segments(ids, np.ones_like(ids, bool), cuts)
        ]


def test_segments_are_counted_from_the_end():
    assert (
        fixed_cuts(12, 4) == [4, 8]
        and fixed_cuts(10, 4) == [2, 6]
        and fixed_cuts(4, 4) == fixed_cuts(3, 4) == []
    )
    for seed in range(20):
        edges = [*random_cuts(30, 3, 6, Random(seed)), 30]
        lengths = np.diff(edges)
        assert edges[0] <= 6 and lengths.min() >= 3 and lengths.max() <= 6
    assert len({tuple(random_cuts(30, 3, 6, Random(seed))) for seed in range(20)}) > 1


@pytest.mark.parametrize("mode", MODES)
def test_the_memory_keeps_its_size_or_grows_by_kappa_a_segment(mode):
    model = compressor(mode)
    shapes = [sigma.shape for _, sigma in segment_losses(model, TEXTS, [4, 8])]
    assert shapes == [
        (2, 2, 8),
        (2, 2 if mode == "replace" else 4, 8),
        (2, 2 if mode == "replace" else 6, 8),
    ]


@pytest.mark.parametrize("mode", MODES)
def test_one_segment_is_ordinary_language_modeling(mode):
    model = compressor(mode)
    loss, metrics = SegmentedLM(12).loss(model, SegmentedLM(12).make_batch(list(TEXTS)))
    ordinary, counted = CausalLM().loss(model.model, CausalLM().make_batch(TEXTS))
    assert (
        loss.item() == pytest.approx(ordinary.item(), rel=1e-13)
        and metrics["tokens"] == counted["tokens"] == 2 * 11
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_segment_depends_on_those_before_and_not_on_those_after(mode):
    model, changed = compressor(mode), TEXTS.copy()
    changed[:, 5] = (changed[:, 5] + 1) % V  # a token of the second of three segments
    was, now = (segment_losses(model, ids, [4, 8]) for ids in (TEXTS, changed))
    np.testing.assert_array_equal(was[0][0], now[0][0])
    assert np.abs(was[2][0] - now[2][0]).max() > 1e-6  # through sigma alone


def test_the_figures_sizes_two_summary_tokens_after_segments_of_four():
    model = compressor("replace", kappa=2, segment=4)  # Fig. 3.8
    h, sigma = model.step(None, TEXTS[:, :4], np.ones((2, 4), bool))
    assert h.shape == (2, 3, 8) and sigma[0].shape == (2, 2, 8)  # nothing predicts the first token
    h, sigma = model.step(sigma, TEXTS[:, 4:8], np.ones((2, 4), bool))
    assert h.shape == (2, 4, 8) and sigma[0].shape == (2, 2, 8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("positions", ["learned", "rope"])
def test_rows_of_different_lengths_give_what_they_give_alone(mode, positions):
    assert_padding_changes_nothing(
        lambda model, batch: model.read(batch), compressor(mode, segment=2, positions=positions)
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("contexts", [((), ()), ((), (1, 2, 3))])
def test_without_context_there_is_no_summary_and_the_question_stands_alone(mode, contexts):
    model = compressor(mode, segment=2)
    batch = make_batch(
        [dataclasses.replace(e, context=c, short=()) for e, c in zip(EXAMPLES, contexts)]
    )
    np.testing.assert_allclose(
        model.read(batch).data[0], read_short(model.model, batch).data[0], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("mode", MODES)
def test_texts_of_different_lengths_lose_what_they_lose_alone(mode):
    model, task = compressor(mode), SegmentedLM(4)
    rows = [tuple(TEXTS[0]), tuple(TEXTS[1, :5]), tuple(TEXTS[1, :2])]
    together, metrics = task.loss(model, task.make_batch(rows))
    alone = [task.loss(model, task.make_batch([row])) for row in rows]
    assert metrics["tokens"] == 11 + 4 + 1 == sum(m["tokens"] for _, m in alone)
    assert together.item() == pytest.approx(
        sum(loss.item() * m["tokens"] for loss, m in alone) / 16, rel=1e-12
    )


def frozen_loss(model, batch, given):
    """The loss of segments of 3 where the sigma that enters a segment named in `given` is that
    array.
    """
    real_stopped = model.stopped
    entering = {}

    def stopped(sigma, left):
        i = 4 - left  # which of four segments sigma enters
        if i in given:
            return Tensor(given[i]), sigma[1]
        entering[i] = None if sigma is None else sigma[0].data.copy()
        return sigma

    model.stopped = stopped
    try:
        with no_grad():
            return SegmentedLM(3).loss(model, batch)[0].item(), entering
    finally:
        model.stopped = real_stopped


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bptt", [2, 3, None])
def test_gradients_are_those_with_the_sigma_before_each_group_held_fixed(mode, bptt):
    model = compressor(mode, kappa=1, bptt=bptt)
    batch = SegmentedLM(3).make_batch(list(TEXTS))
    _, entering = frozen_loss(model, batch, {})
    # Four segments; counted from the last: groups of two begin at the third (2), of three at the
    # second (1).
    starts = {2: [2], 3: [1], None: []}[bptt]
    given = {i: entering[i] for i in starts}
    assert frozen_loss(model, batch, given)[0] == pytest.approx(
        SegmentedLM(3).loss(model, batch)[0].item(), rel=1e-13
    )
    for parameter in (model.summary, model.model.tokens.weight):
        exact = grad(SegmentedLM(3).loss(model, batch)[0], [parameter])[0].data
        for at in ((0, 0), (0, 5)):
            step, value = 1e-5, parameter.data[at]
            sides = []
            for sign in (1, -1):
                parameter.data[at] = value + sign * step
                sides.append(frozen_loss(model, batch, given)[0])
            parameter.data[at] = value
            # Central differences with step 1e-5: an error of about 1e-10 from the third derivative,
            # as much from rounding.
            assert exact[at] == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-8)


def test_stopping_gradients_changes_them_and_not_the_loss():
    batch = SegmentedLM(3).make_batch(list(TEXTS))
    found = []
    for bptt in (2, None):
        model = compressor(bptt=bptt)
        loss, _ = SegmentedLM(3).loss(model, batch)
        found.append((loss.item(), grad(loss, [model.summary])[0].data))
    assert found[0][0] == found[1][0] and np.abs(found[0][1] - found[1][1]).max() > 1e-6


def test_the_question_after_a_context_teaches_the_last_summary():
    model = compressor(bptt=2, segment=2)
    loss, _ = ContextDistillation(gpt(1)).loss(model, make_batch(EXAMPLES))
    assert np.abs(grad(loss, [model.summary])[0].data).max() > 1e-6


def test_drawn_segments_are_the_same_for_every_row_and_every_worker():
    task, rng = SegmentedLM(2, 5), Random(3)
    batch = task.make_batch(list(TEXTS), rng)
    with rng.rows(1, 2):
        part = task.make_batch(list(TEXTS[1:]), rng)
    assert (batch.cuts == batch.cuts[0]).all() and part.cuts.tolist() == batch.cuts[1:].tolist()
    assert len({str(task.make_batch(list(TEXTS), Random(seed)).cuts) for seed in range(9)}) > 1


def test_it_is_trained_by_language_modeling_over_drawn_segments():
    model, task = compressor("accumulate", bptt=None, context=40), SegmentedLM(3, 5)
    losses = fit(
        model, task, [tuple(row) for row in TEXTS], steps=60, batch_size=2, learning_rate=1e-2
    )
    assert losses[-5:].mean() < losses[0] / 2  # two texts are soon known by heart


def test_impossible_settings_are_refused():
    for changes, match in (
        ({"mode": "append"}, "append"),
        ({"kappa": 0}, "kappa 0"),
        ({"segment": 0}, "segment 0"),
        ({"bptt": 1}, "bptt 1"),
    ):
        with pytest.raises(ConfigError, match=match):
            AutoCompressor(gpt(), **{"kappa": 1, **changes})
    AutoCompressor(gpt(), 1, segment=1, bptt=2)  # the least of each
    for low, high in ((4, 3), (0, 3), (0, None)):
        with pytest.raises(ConfigError, match="low <= high"):
            SegmentedLM(low, high)
    assert (SegmentedLM(1).low, SegmentedLM(1).high) == (1, 1)


@pytest.mark.parametrize(
    "vectors",
    [lambda m: AutoCompressor(m, 5000).summary, lambda m: GistCompressor(m, 5000).gist],
)
def test_new_tokens_begin_around_the_mean_embedding(vectors):
    model = gpt(vocab_size=50)
    found, table = vectors(model).data, model.tokens.weight.data
    # the mean of 5000 draws and the deviation of 40,000, within five standard errors of theirs
    np.testing.assert_allclose(found.mean(0), table.mean(0), atol=5 * table.std() / 5000**0.5)
    spread = (found - table.mean(0)).std()
    assert spread == pytest.approx(table.std(), rel=5 / 80000**0.5)


def test_segments_are_cut_where_it_is_said_and_every_row_is_read_whole():
    model, all_tokens = compressor(segment=4), np.ones_like(TEXTS, bool)
    (usual, real), (said, _) = model.compress(TEXTS), model.compress(TEXTS, all_tokens, [4, 8])
    np.testing.assert_array_equal(usual.data, said.data)
    assert real.all() and real.shape == (2, 2)
    assert (model.compress(TEXTS, cuts=[6])[0].data != usual.data).any()


def test_the_question_is_counted_as_the_last_segment():
    # three segments of two tokens and the question: 4, 3, 2 passes are left, and a group of two
    # ends with the question
    model, left = compressor(segment=2), []
    stopped = model.stopped
    model.stopped = lambda sigma, n: left.append(n) or stopped(sigma, n)
    model.read(make_batch([dataclasses.replace(EXAMPLES[0], context=(1, 2, 3, 4, 5, 6))]))
    assert left == [4, 3, 2]
