"""Steps of a batch on arrays: the model's own numbers, with every part that it can have."""

import itertools

import numpy as np
import pytest

from tests.generate.small import make_gpt
from tinylm.autograd.kernels import few_rows
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.finetune.peft.prompt_cache import PrefixedLM, prompt_keys_values
from tinylm.generate import ModelLM, generate, generate_batch
from tinylm.generate.fast import batched
from tinylm.generate.fast.batched import BatchDecoder
from tinylm.generate.fast.by_columns import by_columns
from tinylm.generate.fast.fastest import fastest
from tinylm.machine import blas_kernels, blas_threads
from tinylm.nn import ACTIVATIONS, GATES

IDS = np.random.default_rng(0).integers(0, 5, (3, 7))
PARTS = list(
    itertools.product(
        ["layer", "rms"],
        [*ACTIVATIONS, *GATES],
        ["learned", "rope"],
        [True, False],
        [True, False],
        [2, 1],
    )
)


def same_steps(model, padding, start=3, atol=1e-12):
    """Both decoders read IDS, a prompt and then column by column: they agree in every step."""
    plain, fast = ModelLM(model), BatchDecoder(model)
    caches = [lm.new_cache(len(IDS), padding) for lm in (plain, fast)]
    for stop in (start, *range(start + 1, IDS.shape[1] + 1)):
        columns = IDS[:, caches[0].length : stop]
        a, b = (lm.next_logits(columns, cache) for lm, cache in zip((plain, fast), caches))
        np.testing.assert_allclose(b, a, rtol=0, atol=atol)
    stored = [cache.arrays(stop)[..., :stop, :] for cache in caches]
    for row in range(len(IDS)):  # columns of padding are hidden, so nothing need stand there
        first = 0 if padding is None else padding[row]
        own, others = (keys[:, :, row, :, first:] for keys in stored)
        np.testing.assert_allclose(others, own, rtol=0, atol=atol)
    assert caches[0].length == caches[1].length == IDS.shape[1]


@pytest.mark.parametrize("norm, activation, positions, bias, tied, groups", PARTS)
def test_steps_are_those_of_the_model(norm, activation, positions, bias, tied, groups):
    model = make_gpt(
        norm=norm,
        activation=activation,
        positions=positions,
        bias=bias,
        tied=tied,
        n_kv_head=groups,
    )
    same_steps(model, None)
    same_steps(model, np.array([0, 2, 1]))


@pytest.mark.parametrize(
    "settings",
    [
        {"logit_cap": 0.5},
        {"embedding_scale": 3.0},
        {"attention_scale": 2.0},
        {"head_width": 6, "qkv_bias": True, "norm_eps": 1e-3},
    ],
)
def test_and_with_the_settings_of_published_models(settings):
    same_steps(make_gpt(**settings), np.array([1, 0, 0]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("activation", ["swiglu", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_the_hidden_units_are_shared_out_to_threads(monkeypatch, threads, activation, bias):
    calls = []

    def counted(parts):
        calls.append(len(parts))
        few_rows.in_parallel(parts)

    monkeypatch.setattr(few_rows, "WITHOUT_COPY", {blas_kernels()})
    monkeypatch.setattr(few_rows, "LEAST_TABLE", 1)
    monkeypatch.setattr(batched, "in_parallel", counted)
    before = blas_threads()
    if before is None:
        pytest.skip("NumPy has no OpenBLAS of its own here")
    try:
        blas_threads(threads)
        settings = {"norm": "rms", "activation": activation, "bias": bias, "dtype": np.float32}
        model = make_gpt(d_model=32, **settings)
        by_columns(model)
        # float32 sums in another order
        same_steps(model, np.array([0, 2, 1]), atol=1e-3)
        assert set(calls) == {threads}
    finally:
        blas_threads(before)


@pytest.mark.parametrize("padding", [None, np.array([0, 2, 1])])
def test_steps_behind_a_shared_prefix(padding):
    model = make_gpt(context=16, positions="rope", n_kv_head=1)
    lm = PrefixedLM(model, prompt_keys_values(model, [3, 1, 4, 1]))
    assert lm._batched is not None
    found = []
    for decoder in (lm._batched, None):
        lm._batched, cache = decoder, lm.new_cache(3, padding)
        lm.next_logits(IDS[:, :3], cache)
        found.append([lm.next_logits(IDS[:, t : t + 1], cache) for t in range(3, 7)])
        assert cache.length == 7
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-12)
    bad = np.full((3, 1), 5)
    lm._batched, cache = BatchDecoder(model), lm.new_cache(3)
    with pytest.raises(DataError, match="token id 5"):
        lm.next_logits(bad, cache)


def test_rows_of_a_batch_are_the_rows_alone():
    model = make_gpt(context=32, positions="rope")
    prompts = [[0, 1], [2, 3, 4, 1], [4]]
    together = generate_batch(model, prompts, 10, temperature=0.8, seed=[5, 6, 7])
    alone = [
        list(generate(ModelLM(model), prompt, 10, temperature=0.8, seed=seed))
        for prompt, seed in zip(prompts, (5, 6, 7))
    ]
    assert together == alone


def test_batches_of_plain_models_are_decoded_so_and_others_as_before():
    model = make_gpt()
    lm = ModelLM(model)
    assert isinstance(fastest(lm, 2), BatchDecoder) and not isinstance(fastest(lm, 1), BatchDecoder)
    for other in (ModelLM(make_gpt(dtype=np.float16)), ModelLM(make_gpt(norm_placement="post"))):
        assert fastest(other, 2) is other
    with pytest.raises(ConfigError, match="use ModelLM"):
        BatchDecoder(make_gpt(norm_placement="post"))


def test_what_is_no_step_is_read_by_the_model_or_as_a_prompt():
    model = make_gpt()
    fast, plain = BatchDecoder(model), ModelLM(model)
    assert (fast.vocab_size, fast.context) == (plain.vocab_size, plain.context)
    ids = IDS[:, :4]
    np.testing.assert_array_equal(fast.logits(ids), plain.logits(ids))
    np.testing.assert_allclose(fast.next_logits(ids), plain.next_logits(ids), rtol=0, atol=1e-12)
    first = ids[:, :1]
    np.testing.assert_allclose(fast.next_logits(first), plain.next_logits(first), atol=1e-12)
    for a, b in zip(fast.hidden_and_logits(ids), plain.hidden_and_logits(ids)):
        np.testing.assert_array_equal(a, b)


def test_a_step_checks_ids_and_room():
    fast = BatchDecoder(make_gpt(context=8))
    cache = fast.new_cache(2)
    with pytest.raises(DataError, match="token id 5"):
        fast.next_logits([[5], [0]], cache)
    fast.next_logits(np.zeros((2, 8), int), cache)
    with pytest.raises(ShapeError, match="past the context of 8"):
        fast.next_logits([[1], [0]], cache)
    assert cache.length == 8
