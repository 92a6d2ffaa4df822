"""The GPT: published sizes, causality to the last bit, and a whole training step on every device."""

import math

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, plain
from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.models import GPT, GPTConfig
from tinylm.models.decoder import gpt
from tinylm.optim import AdamW, FlatParameters, clip_grad_norm

TINY = dict(vocab_size=11, context=8, n_layer=2, n_head=4, d_model=8)
SHAPES = {
    "gpt2": {},
    "post-norm": dict(norm_placement="post"),
    "branch norm": dict(norm_placement="branch"),
    "llama": dict(
        norm="rms",
        activation="swiglu",
        positions="rope",
        n_kv_head=2,
        d_hidden=20,
        bias=False,
        tied=False,
    ),
    "multi-query": dict(n_kv_head=1, activation="geglu"),
    "relu": dict(activation="relu", bias=False),
    "silu": dict(activation="silu", norm="rms"),
}


@pytest.fixture
def ids(rng):
    return rng.integers(0, 11, (2, 8))


def closed_form(c):
    """Parameters of a GPT, counted by hand: table, positions, blocks, last norm, head."""
    V = c.vocab_size
    D = c.d_model
    L = c.n_layer
    G = c.n_kv_head or c.n_head
    K = c.d_model // c.n_head
    b = int(c.bias)
    F, maps = c.d_hidden or 4 * D, 3 if c.activation in ("swiglu", "geglu") else 2
    qkv = D + 2 * G * K
    norm = D * (1 + (b if c.norm == "layer" else 0))
    block = 2 * norm + (D + b) * qkv + (D + b) * D + maps * D * F + b * ((maps - 1) * F + D)
    tables = V * D * (1 if c.tied else 2) + c.context * D * (c.positions == "learned")
    return tables + L * block + norm * (c.norm_placement != "post")


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_parameters_are_what_the_formula_counts(options):
    config = GPTConfig(**TINY | options)
    assert GPT(config).count_parameters() == closed_form(config)


PUBLISHED = {
    "GPT-1, 117M": (dict(vocab_size=40478, context=512, norm_placement="post"), 116_534_784),
    "GPT-2 small": (dict(vocab_size=50257), 124_439_808),
    "GPT-2, 1.5B": (dict(vocab_size=50257, n_layer=48, n_head=25, d_model=1600), 1_557_611_200),
    "GPT-3, 175B": (
        dict(vocab_size=50257, context=2048, n_layer=96, n_head=96, d_model=12288),
        174_604_259_328,
    ),
    "LLaMA2, 7B": (
        dict(
            vocab_size=32000,
            n_layer=32,
            n_head=32,
            d_model=4096,
            d_hidden=11008,
            norm="rms",
            activation="swiglu",
            positions="rope",
            bias=False,
            tied=False,
        ),
        6_738_415_616,
    ),
}


@pytest.mark.parametrize("options, count", PUBLISHED.values(), ids=PUBLISHED)
def test_published_models_have_their_published_sizes(monkeypatch, options, count):
    def without_memory(shape, rng, std, dtype=np.float32):
        return tl.Tensor(np.broadcast_to(dtype(0), shape), requires_grad=True)

    for module in (tl.nn.linear, gpt):
        monkeypatch.setattr(module, "normal_parameter", without_memory)
    config = GPTConfig(**options)
    assert GPT(config).count_parameters() == closed_form(config) == count


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_the_future_does_not_change_the_past_to_the_last_bit(options, ids):
    model = GPT(GPTConfig(**TINY | options), seed=1)
    first = model(ids).numpy()
    for t in range(1, 8):
        changed = ids.copy()
        changed[:, t:] = (changed[:, t:] + 5) % 11
        second = model(changed).numpy()
        np.testing.assert_array_equal(second[:, :t], first[:, :t])
        assert (second[:, t] != first[:, t]).any()


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_a_training_step_is_the_same_on_every_device(device, options, ids):
    def step(where):
        model = GPT(GPTConfig(**TINY | options, dropout=0.2), seed=3).to(where)
        flat = FlatParameters(model.named_parameters())
        optimizer = AdamW(flat, lr=0.01)
        losses = []
        for _ in range(2):
            optimizer.zero_grad()
            with tl.first_order_only():
                loss = tl.cross_entropy(model(plain(ids, where)), plain(np.roll(ids, -1, 1), where))
            loss.backward()
            clip_grad_norm(flat, 1.0)
            optimizer.step()
            losses.append(loss.item())
        return losses, host(flat.data)

    losses, parameters = step(device)
    expected_losses, expected = step("cpu")
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-6)
    # Adam's first steps divide by |g|: where g is zero but for rounding, a parameter may move by
    # the step, 0.01 each.
    assert np.mean(np.abs(parameters - expected) > 1e-5) < 0.01


def test_the_initial_loss_is_near_the_entropy_of_a_uniform_guess(ids):
    # Weights of 0.02 make logits of order 0.02: the loss exceeds log V by half their variance, far
    # below 0.01.
    loss = tl.cross_entropy(GPT(GPTConfig(**TINY))(ids), np.roll(ids, -1, 1))
    assert abs(loss.item() - math.log(11)) < 0.01


def test_one_batch_can_be_learned_by_heart(ids):
    model = GPT(GPTConfig(**TINY), seed=2)
    optimizer = AdamW(model.named_parameters(), lr=0.02, weight_decay=0.0)
    for _ in range(150):
        optimizer.zero_grad()
        loss = tl.cross_entropy(model(ids), np.roll(ids, -1, 1))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05  # from log 11 = 2.4


def test_residual_projections_start_smaller_by_the_root_of_the_branches():
    model = GPT(GPTConfig(vocab_size=5, context=4, n_layer=8, n_head=2, d_model=64))
    plain_, residual = (
        [getattr(getattr(b, part), name).weight.numpy().std() for b in model.blocks]
        for part, name in (("attention", "qkv"), ("attention", "out"))
    )
    assert np.mean(residual) / np.mean(plain_) == pytest.approx(
        1 / 4, rel=0.02
    )  # 1/sqrt(2 * 8); 8 * 4096 draws


def test_a_tied_head_is_the_table_and_gets_both_gradients(ids):
    tied = GPT(GPTConfig(**TINY), dtype=np.float64)
    untied = GPT(GPTConfig(**TINY | dict(tied=False)), dtype=np.float64)
    state = tied.state_dict()
    untied.load_state_dict(state | {"head": state["tokens.weight"].T})
    for model in (tied, untied):
        tl.cross_entropy(model(ids), ids).backward()
    both = untied.tokens.weight.grad.numpy() + untied.head.grad.numpy().T
    np.testing.assert_allclose(tied.tokens.weight.grad.numpy(), both, rtol=1e-11, atol=1e-15)


def test_probabilities_of_the_next_token_sum_to_one(ids):
    p = tl.softmax(GPT(GPTConfig(**TINY), dtype=np.float64)(ids)).numpy()
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-14)


@pytest.mark.parametrize("options", [SHAPES["gpt2"], SHAPES["llama"]], ids=["gpt2", "llama"])
@pytest.mark.parametrize("chunks", [[8], [1] * 8, [3, 5], [5, 1, 2]], ids=str)
def test_reading_in_chunks_through_a_cache_gives_the_same_logits(device, options, chunks, ids):
    config = GPTConfig(**TINY | options)
    model = GPT(config, dtype=np.float64).eval().to(device)
    whole = host(model(plain(ids, device)))
    with tl.no_grad():
        cache = KeyValueCache(2, 2, config.n_kv_head or 4, 2, np.float64, device)
        parts, start = [], 0
        for n in chunks:
            parts.append(host(model(plain(ids[:, start : start + n], device), cache=cache)))
            start += n
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=1e-11, atol=1e-14)


def test_dropout_acts_in_training_only_and_repeats_with_its_stream(ids):
    model = GPT(GPTConfig(**TINY | dict(dropout=0.3)), seed=4)
    first = model(ids).numpy()
    assert (model(ids).numpy() != first).any()
    model.rng.counter = 0
    np.testing.assert_array_equal(model(ids).numpy(), first)
    model.eval()
    np.testing.assert_array_equal(model(ids).numpy(), model(ids).numpy())


def test_weights_come_from_the_seed_alone():
    a, b, c = (GPT(GPTConfig(**TINY), seed=s).state_dict() for s in (0, 0, 1))
    assert all(np.array_equal(a[n], b[n]) for n in a)
    assert (a["tokens.weight"] != c["tokens.weight"]).any()
    assert Random(0, "init").key != Random(0, "dropout").key


def test_precision_is_the_dtype_asked_for(ids):
    for dtype in (np.float32, np.float64):
        model = GPT(GPTConfig(**TINY), dtype=dtype)
        logits = model(ids)
        logits.sum().backward()
        assert logits.dtype == dtype and {p.grad.dtype for p in model.parameters()} == {
            np.dtype(dtype)
        }


def test_bad_inputs_are_named():
    model = GPT(GPTConfig(**TINY))
    with pytest.raises(ShapeError, match="GPT: 9 tokens do not fit the context of 8"):
        model(np.zeros((1, 9), int))
    with pytest.raises(DataError, match="token id 11 .* outside the vocabulary of 11"):
        model(np.array([[0, 11]]))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(norm="batch"), "norm = 'batch' is not one of layer, rms"),
        (dict(activation="step"), "activation = 'step' is not one of"),
        (
            dict(norm_placement="middle"),
            "norm_placement = 'middle' is not one of pre, post, branch",
        ),
        (dict(n_layer=0), "n_layer = 0 must be at least 1"),
        (dict(positions="rope", d_model=12), "the head width 3 must be even: change"),
    ],
)
def test_impossible_configurations_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        GPTConfig(**TINY | options)


def test_a_cap_bends_logits_and_bounds_them():
    """Gemma 2: c tanh(x / c); at x = c log(3) / 2 the tanh is (3 - 1) / (3 + 1) = 1/2."""
    model = GPT(GPTConfig(**TINY | dict(logit_cap=3.0)), dtype=np.float64)
    model.tokens.weight.data[...] = np.eye(11, 8)  # the logits of h are the numbers of h
    h = np.array([[[1.5 * math.log(3), -1.5 * math.log(3), 0.0, 1e-6, 1e3, -1e3, 0.0, 0.0]]])
    logits = model.logits(tl.Tensor(h)).numpy()[0, 0]
    np.testing.assert_allclose(logits[:6], [1.5, -1.5, 0, 1e-6, 3, -3], rtol=1e-12, atol=1e-15)
    free = GPT(GPTConfig(**TINY), dtype=np.float64)
    free.tokens.weight.data[...] = np.eye(11, 8)
    np.testing.assert_array_equal(free.logits(tl.Tensor(h)).numpy()[0, 0, :8], h[0, 0])


def test_ids_may_be_a_list_an_array_or_a_tensor(ids):
    model = GPT(GPTConfig(**TINY))
    expected = model(ids).numpy()
    for same in (ids.tolist(), tl.Tensor(ids)):
        np.testing.assert_array_equal(model(same).numpy(), expected)
    with pytest.raises(ShapeError, match=r"ids of shape \(8,\), needs \(B, T\)"):
        model(ids[0])
