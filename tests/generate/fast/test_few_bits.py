"""Steps with weights of few bits are those of a model with the rounded weights, however the work is
shared between threads.
"""

import numpy as np
import pytest

from tests.generate.fast.test_direct import IDS, step_by_step
from tinylm.generate.fast import few_bits
from tinylm.generate.fast.direct import DirectDecoder
from tinylm.generate.fast.few_bits import AHEAD, ALONE, KINDS, SHARED, Pace
from tinylm.machine import blas_threads
from tinylm.models.low_bit.quantized import QuantizedMatrix
from tinylm.nn import Linear

# 96 inputs are 3 blocks, an odd number: 4 bits are filled up.
SIZES = dict(d_model=96, n_head=3, d_hidden=160, n_layer=3, vocab_size=50, tied=False)
LLAMA = dict(norm="rms", activation="swiglu", positions="rope", bias=False, n_kv_head=1)


def rounded(model, bits):
    """Every matrix of a model becomes what its codes stand for: the readable twin."""
    heads = [model.head]
    for weight in heads + [part.weight for part in model.modules() if isinstance(part, Linear)]:
        matrix = QuantizedMatrix.from_array(weight.data.T, KINDS[bits])
        weight.data = np.ascontiguousarray(matrix.dequantize().T).astype(weight.dtype)
    return model


@pytest.fixture(params=[ALONE, AHEAD, SHARED])
def way(request, monkeypatch):
    """Each way to share the work, also of small matrices."""
    if request.param != ALONE:
        monkeypatch.setattr(few_bits, "LEAST_TABLE", 1)
        monkeypatch.setattr(few_bits, "blas_threads", lambda: 2)
    most = {AHEAD: 1 << 22, SHARED: 0}  # whatever cache this processor has
    monkeypatch.setattr(few_bits, "MOST_AHEAD", most.get(request.param, 0))
    return request.param


# Largest difference over the largest logit: float32 sums of some hundred products, in another
# order.
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("parts", [{}, LLAMA], ids=["gpt2", "llama"])
def test_steps_are_those_of_the_rounded_model(gpt, way, bits, parts):
    model = gpt(dtype=np.float32, **SIZES | parts)
    lm = DirectDecoder(model, bits)
    assert way in {product.way for layer in lm.layers for product in layer}
    found = step_by_step(lm, IDS)
    expected = step_by_step(DirectDecoder(rounded(model, bits)), IDS)
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


def test_tokens_of_one_text_do_not_disturb_another(gpt, way):
    lm = DirectDecoder(gpt(dtype=np.float32, **SIZES | LLAMA), 8)
    once = step_by_step(lm, IDS)
    np.testing.assert_array_equal(step_by_step(lm, IDS), once)


def test_an_error_within_a_step_leaves_nothing_running(gpt, way, monkeypatch):
    lm = DirectDecoder(gpt(dtype=np.float32, **SIZES | LLAMA), 8)
    once = step_by_step(lm, IDS)
    with monkeypatch.context() as patch:
        patch.setattr(lm, "_attend", None)
        with pytest.raises(TypeError, match="not callable"):
            step_by_step(lm, IDS)
    np.testing.assert_array_equal(step_by_step(lm, IDS), once)


def test_blas_has_its_threads_back_after_a_step(gpt, way):
    before = blas_threads()
    step_by_step(DirectDecoder(gpt(dtype=np.float32, **SIZES), 8), IDS)
    assert blas_threads() == before


def test_a_second_thread_is_asked_for_by_size_only(gpt, monkeypatch):
    monkeypatch.setattr(few_bits, "blas_threads", lambda: 2)
    lm = DirectDecoder(gpt(dtype=np.float32, **SIZES), 8)
    assert lm.threads == 1
    monkeypatch.setattr(few_bits, "LEAST_TABLE", 1)
    assert DirectDecoder(gpt(dtype=np.float32, **SIZES), 8).threads == 2


def test_a_small_output_layer_is_not_shared(gpt, monkeypatch):
    """Layers that are worth a hand-over, and a vocabulary that is not; then the other way round."""
    monkeypatch.setattr(few_bits, "blas_threads", lambda: 2)
    layer = 96 * 3 * 96 + 96 * 96 + 2 * 96 * 160
    monkeypatch.setattr(few_bits, "LEAST_TABLE", layer)
    lm = DirectDecoder(gpt(dtype=np.float32, **SIZES), 8)  # 50 * 96 numbers in the output layer
    assert lm.threads == 2 and lm.head.way == ALONE
    monkeypatch.setattr(few_bits, "LEAST_TABLE", 96 * 50)
    assert DirectDecoder(gpt(dtype=np.float32, **SIZES), 8).head.way == SHARED


def test_a_step_alone_has_the_same_numbers(gpt, way):
    lm = DirectDecoder(gpt(dtype=np.float32, **SIZES | LLAMA), 8)
    helped = step_by_step(lm, IDS)
    lm.pace.next = lambda: False
    np.testing.assert_array_equal(step_by_step(lm, IDS), helped)


def paced(pace, steps, together, alone=23.0):
    """Which of so many steps were helped, where a step takes `together` with help, else `alone`."""
    found = []
    for _ in range(steps):
        found.append(pace.next())
        pace.note(found[-1], together if found[-1] else alone)
    return found


def test_help_is_taken_as_long_as_it_is_fast():
    assert all(paced(Pace(), 100, 13.0))


def test_slow_help_is_given_up_after_two_steps_and_tried_again_now_and_then():
    pace = Pace()
    paced(pace, 50, 13.0)
    assert paced(pace, 60, 43.0) == [True] * 2 + [False] * 33 + [True] + [False] * 24
    # once the cores lie beside each other again the next trial finds out
    found = paced(pace, 80, 13.0)
    assert found[:8] == [False] * 8 and all(found[8:])


def test_one_slow_step_changes_nothing():
    pace = Pace()
    paced(pace, 50, 13.0)
    pace.note(pace.next(), 200.0)
    assert all(paced(pace, 50, 13.0))


def test_help_that_grows_slower_than_it_was_stays_if_it_is_faster_than_none():
    pace = Pace()
    paced(pace, 50, 13.0)
    found = paced(pace, 100, 18.0)  # a long text: attention takes its time
    assert found.count(False) == 3 and pace.help
