"""In float32 a layout differs from one process by no more than what its sums explain."""

import numpy as np
import pytest

from tests.parallel import layouts
from tests.parallel.layouts import Draw, alone, shared
from tinylm.models import GPTConfig
from tinylm.models.decoder.sizes import count_parameters
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.mesh import Layout
from tinylm.parallel.pipeline.run import Pipeline
from tinylm.parallel.rounding import UNIT, gradient_bound, norm_bound, reordered
from tinylm.pretrain import CausalLM

LAYOUTS = {
    "data": Layout(dp=4),
    "data, sliced": Layout(dp=4, zero=3),
    "tensor": Layout(tp=4),
    "sequence": Layout(tp=4, sequence=True),
    "pipeline": Layout(pp=2),
    "context": Layout(cp=4),
    "heads": Layout(cp=4, heads=True),
    "experts": Layout(ep=4),
    "all": Layout(dp=2, tp=2, pp=2, cp=2, sequence=True),
}
SMALL = 23, 8, 2, 4, 16, 4  # words, tokens, layers, heads, width, rows
LARGE = [(101, 32, 4, 4, 64, 8), (101, 16, 8, 4, 64, 4)]


def drawn(scheme, words, tokens, layers, heads, width, rows):
    """A decoder of these sizes, and how it is shared."""
    experts, objective = {}, CausalLM(None, 0.1, 1e-3)
    if scheme == "experts":
        experts = {"feed_forward": ("dense", "experts"), "experts": 4}
        objective = CausalLM(None, 0.1, 1e-3, 0.1, 0.01)
    config = GPTConfig(
        words, tokens, layers, heads, width, d_hidden=2 * width, dropout=0.1, positions="rope",
        activation="swiglu", norm="rms", **experts,
    )  # fmt: skip
    layout = LAYOUTS[scheme]
    return Draw(config, objective, layout, 2 if layout.pp > 1 else 1, rows, tokens)


def shares_of_bounds(found, seed, monkeypatch):
    """Differences of gradient, loss and norm after one step in float32, divided by their bounds."""
    for name, value in (("STEPS", 1), ("CLIP", 0.0), ("SEED", seed)):
        monkeypatch.setattr(layouts, name, value)
    steps, _, moments, _ = alone(found, np.float32)
    # Without clipping Adam's first moment is a tenth of the gradient.
    expected = np.concatenate([m.astype(float).reshape(-1) for m in moments["m"].values()])
    others, _, shared_moments, *_ = simulate(shared, found.layout.size, found, np.float32).results[
        0
    ]
    c, sizes = found.config, (found.rows, found.length, found.micros)
    terms = reordered(found.layout, c, *sizes)
    gradient = np.linalg.norm(shared_moments["m"].astype(float) - expected) / np.linalg.norm(
        expected
    )
    loss = abs(others[0].loss / steps[0].loss - 1)
    norm = abs(others[0].grad_norm / steps[0].grad_norm - 1)
    bound = gradient_bound(terms)
    return gradient / bound, loss / bound, norm / norm_bound(terms, count_parameters(c))


def check(found, seed, monkeypatch):
    gradient, loss, norm = shares_of_bounds(found, seed, monkeypatch)
    assert max(gradient, loss, norm) < 1
    assert gradient > 0.01  # and the bound is not so wide that it says nothing


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scheme", LAYOUTS)
def test_float32_differs_by_what_the_scheme_adds_up_in_another_order(scheme, seed, monkeypatch):
    check(drawn(scheme, *SMALL), seed, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", LARGE)
@pytest.mark.parametrize("scheme", LAYOUTS)
def test_so_it_does_for_larger_models(scheme, sizes, monkeypatch):
    for seed in range(5):
        check(drawn(scheme, *sizes), seed, monkeypatch)


def test_a_message_in_fewer_digits_breaks_the_bound(monkeypatch):
    """2^-11 of float16 is 8,192 times as coarse as 2^-24."""
    send = Pipeline._send

    def coarse(self, kind, k, virtual, array, step):
        send(self, kind, k, virtual, array.astype(np.float16).astype(array.dtype), step)

    monkeypatch.setattr(Pipeline, "_send", coarse)
    assert shares_of_bounds(drawn("pipeline", *SMALL), 0, monkeypatch)[0] > 3


def test_terms_by_hand():
    config = drawn("data", *SMALL).config
    assert reordered(Layout(), config, 4, 8) == 0
    assert reordered(Layout(zero=3), config, 4, 8, 2) == 4 * 8  # micro-batches alone
    for one in (Layout(dp=2), Layout(ep=2), Layout(cp=2, heads=True)):
        assert reordered(one, config, 4, 8) == 4 * 8
    assert reordered(Layout(cp=2), config, 4, 8) == 4 * 8 + 4 * 2 * 8  # two layers of 8 tokens
    # In each of two layers heads 16, packed 48, hidden 32 forward and two gates of 32 backward.
    tensor = 2 * (16 + 48 + 3 * 32) + 2 * 23
    assert reordered(Layout(tp=2), config, 4, 8) == tensor
    assert reordered(Layout(tp=2, sequence=True), config, 4, 8) == tensor + 4 * 8
    # One layer of two has experts, of which a token meets two.
    experts = drawn("experts", *SMALL).config
    assert reordered(Layout(tp=2), experts, 4, 8) == tensor + 3 * 32
    assert gradient_bound(16) == 8 * UNIT and norm_bound(16, 25) == 13 * UNIT
