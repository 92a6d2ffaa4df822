"""The span boundary objective: what stands around a span, and that nothing else is asked."""

import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import bounded
from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.pretrain.batch import IGNORE
from tinylm.pretrain.cases import SPECIAL, TEXT
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.masked.span_boundary import SpanBoundaryLM, boundaries, spanbert


def test_the_tokens_around_a_span_and_the_place_in_it():
    chosen = np.array([[False, True, True, False, True, False, False]])
    before, after, place = (part[0][chosen[0]].tolist() for part in boundaries(chosen))
    assert before == [0, 0, 3] and after == [3, 3, 5] and place == [0, 1, 0]


def test_a_span_at_the_end_of_a_row_is_its_own_boundary():
    before, after, place = boundaries(np.array([[False, True, True]]))
    assert (
        before[0, 1:].tolist() == [0, 0]
        and after[0, 1:].tolist() == [2, 2]
        and place[0, 1:].tolist() == [0, 1]
    )


def test_it_adds_to_masked_lm():
    model, objective = bounded(), spanbert(SPECIAL)
    batch = objective.make_batch(TEXT, Random(0))
    loss, metrics = objective.loss(model, batch)
    np.testing.assert_allclose(
        metrics["masked"], MaskedLM(SPECIAL).loss(model, batch)[0].item(), rtol=1e-12
    )
    np.testing.assert_allclose(metrics["loss"], metrics["masked"] + metrics["boundary"], rtol=1e-12)


def test_the_boundary_term_depends_on_the_two_boundary_states_alone():
    model, objective = bounded(), spanbert(SPECIAL, rate=0.5)
    batch = objective.make_batch(TEXT[:1], Random(0))
    h = Tensor(model.hidden(batch.inputs, **batch.options).numpy(), requires_grad=True)
    model.hidden = lambda ids, **options: h
    nothing = Tensor(np.zeros((*batch.inputs.shape, SPECIAL.vocab_size)))
    model.logits = lambda h: nothing  # masked LM has no gradient
    counted = batch.targets[0] != IGNORE
    loss, metrics = objective.loss(model, batch)
    (g,) = tl.grad(loss, [h])
    z = model.boundary(h, batch.before, batch.after, batch.place, model.tokens.weight).numpy()[0]
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    by_hand = -np.mean([log_p[t, batch.targets[0, t]] for t in np.flatnonzero(counted)])
    assert metrics["boundary"] == pytest.approx(by_hand, rel=1e-12)
    around = set(batch.before[0][counted]) | set(batch.after[0][counted])
    assert set(np.flatnonzero(np.abs(g.numpy()[0]).max(-1))) == around


def test_places_beyond_the_longest_span_are_its_last():
    everything = MaskedLM(SPECIAL, 1.0, choose=lambda ids, eligible, rng, rate: eligible)
    batch = SpanBoundaryLM(everything, longest=3).make_batch(TEXT, Random(0))
    assert batch.place[0].tolist() == [0, 0, 1, 2, 2, 2, 2]  # [CLS], then a run of six


def test_a_masked_token_counts_once():
    batch = spanbert(SPECIAL, 0.5).make_batch(TEXT, Random(0))
    _, metrics = spanbert(SPECIAL, 0.5).loss(bounded(), batch)
    assert metrics["tokens"] == (batch.targets != IGNORE).sum() == 6
    assert metrics["loss"] == pytest.approx(metrics["masked"] + metrics["boundary"], rel=1e-12)
