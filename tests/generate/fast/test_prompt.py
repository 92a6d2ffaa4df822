"""A prompt read on arrays and threads leaves the logits and the cache of the model."""

import functools
import itertools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generate.small import make_gpt
from tinylm.generate import ModelLM
from tinylm.generate.fast import prompt
from tinylm.generate.fast.batched import BatchDecoder
from tinylm.generate.fast.prompt import PromptReader, cut, dealt
from tinylm.nn import ACTIVATIONS, GATES

IDS = np.random.default_rng(0).integers(0, 5, (3, 9))
PARTS = list(
    itertools.product(
        ["layer", "rms"],
        [*ACTIVATIONS, *GATES],
        ["learned", "rope"],
        [True, False],
        [4, 2, 1],
    )
)


@pytest.fixture
def gpt():
    """The maker of small models, with room for 9 tokens."""
    return functools.partial(make_gpt, context=12)


@pytest.fixture(params=[1, 2, 3])
def threads(request, monkeypatch):
    """Small prompts are read by so many threads too, in pieces of 3 tokens or fewer."""
    monkeypatch.setattr(prompt, "LEAST", 0)
    monkeypatch.setattr(prompt, "SCORES", 0)
    monkeypatch.setattr(prompt, "blas_threads", lambda: request.param)
    return request.param


def both(model, ids, padding=None, first=0):
    """Logits and caches of the model and of the reader; `first` tokens are read before."""
    found = []
    for lm in ModelLM(model), PromptReader(ModelLM(model)):
        cache = ModelLM(model).new_cache(len(ids), padding)
        if first:
            lm.next_logits(ids[:, :first], cache)
        logits = lm.next_logits(ids[:, first:], cache)
        assert cache.length == ids.shape[1]
        found.append((logits, cache.arrays(0)[..., : cache.length, :]))
    return found


# float64: a few dozen roundings, each 1e-16
def test_logits_and_cache_are_the_models_for_every_combination_of_parts(gpt):
    for norm, activation, positions, bias, groups in PARTS:
        model = gpt(
            n_head=4,
            d_model=16,
            norm=norm,
            activation=activation,
            positions=positions,
            bias=bias,
            n_kv_head=groups,
        )
        (expected, memory), (found, own) = both(model, IDS[:1])
        parts = norm, activation, positions, bias, groups
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, err_msg=str(parts))
        np.testing.assert_allclose(own, memory, rtol=0, atol=1e-12, err_msg=str(parts))


@pytest.mark.parametrize("first", [0, 4])
@pytest.mark.parametrize("positions", ["learned", "rope"])
def test_rows_with_padding_and_with_a_past_are_read_by_any_threads(gpt, threads, positions, first):
    model = gpt(d_model=16, n_head=4, n_kv_head=2, positions=positions, n_layer=3)
    padding = np.array([0, 2, 6])  # the last row begins in the second part, if there are two
    (expected, memory), (found, own) = both(model, IDS, padding, first)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    for b, start in enumerate(padding):  # what stands in columns of padding is never seen
        np.testing.assert_allclose(own[:, :, b, :, start:], memory[:, :, b, :, start:], atol=1e-12)


@pytest.mark.parametrize(
    "parts",
    [
        dict(head_width=6, attention_scale=0.3, embedding_scale=3.0, logit_cap=2.0, norm_eps=1e-3),
        dict(positions="rope", rotary_width=2),
        dict(qkv_bias=True, bias=False),
    ],
)
def test_widths_scales_and_caps_of_other_families_are_followed(gpt, threads, parts):
    (expected, _), (found, _) = both(gpt(d_model=16, n_head=4, **parts), IDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_float32_is_the_model_up_to_rounding(gpt, threads):
    (expected, _), (found, _) = both(gpt(dtype=np.float32, d_model=16, n_head=4), IDS)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("size", [30.0, -30.0])
def test_scores_that_exp_cannot_take_are_shifted(gpt, threads, size):
    model = gpt(d_model=16, n_head=4, norm="rms", bias=False)
    width = 16
    for block in model.blocks:  # keys are the queries, or their opposite: scores of one sign
        weight = block.attention.qkv.weight.data
        weight[:, :width] *= 30
        weight[:, width : 2 * width] = size * np.sign(weight[:, :width])
    (expected, _), (found, _) = both(model, IDS)
    # scores are a thousand times as large, and so are their roundings
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_is_left_to_the_model(gpt, threads, bad):
    model = gpt(d_model=16, n_head=4)
    model.tokens.weight.data[IDS[0, -1], 0] = bad
    with np.errstate(all="ignore"):
        (expected, memory), (found, own) = both(model, IDS)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(own, memory)


def test_an_error_in_one_thread_ends_the_others_and_the_model_reads(gpt, threads, monkeypatch):
    model = gpt(d_model=16, n_head=4)
    expected = ModelLM(model).next_logits(IDS)
    reader = PromptReader(ModelLM(model))
    split = prompt._Share._split

    def fails(self, *arguments):
        if threading.current_thread() is not threading.main_thread():
            raise MemoryError
        split(self, *arguments)

    monkeypatch.setattr(prompt._Share, "_split", fails)
    np.testing.assert_allclose(reader.next_logits(IDS), expected, rtol=0, atol=1e-12)


@given(
    start=st.integers(0, 9),
    more=st.integers(0, 700),
    threads=st.integers(1, 5),
    longest=st.integers(1, 128),
)
def test_pieces_make_up_the_row_and_are_dealt_out_once(start, more, threads, longest):
    pieces = cut(3, start, start + more, threads, longest)
    assert all(b == 3 and 0 < j - i <= longest for b, i, j in pieces)
    assert [t for _, i, j in pieces for t in range(i, j)] == list(range(start, start + more))
    shares = [dealt(pieces, thread, threads) for thread in range(threads)]
    assert sorted(piece for share in shares for piece in share) == pieces
    if more >= 2 * threads * 128:  # late pieces attend to more: sums of places are near each other
        sums = [sum(i + j for _, i, j in share) for share in shares]
        assert max(sums) - min(sums) <= 0.02 * sum(sums)


def test_decoders_of_batches_read_prompts_so(gpt, monkeypatch):
    model = gpt(d_model=16, n_head=4)
    seen = []
    read = PromptReader.next_logits
    monkeypatch.setattr(
        PromptReader, "next_logits", lambda self, *given: seen.append(1) or read(self, *given)
    )
    lm = BatchDecoder(model)
    np.testing.assert_allclose(
        lm.next_logits(IDS, lm.new_cache(3)), ModelLM(model).next_logits(IDS), rtol=0, atol=1e-12
    )
    assert seen == [1]
