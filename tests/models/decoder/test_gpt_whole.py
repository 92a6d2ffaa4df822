"""The GPT as one function: its derivative, its distributions, what positions are for, and the last
norm of pre-norm.
"""

import numpy as np
import pytest

import tinylm as tl
from tinylm import gradcheck
from tinylm.backend import Random
from tinylm.models import GPT, GPTConfig
from tinylm.nn import PLACEMENTS, FeedForward, LayerNorm, LearnedPositions, SelfAttention, pre_norm
from tinylm.pretrain import CausalLM
from tinylm.tokenizers import CharTokenizer

TINY = dict(vocab_size=7, context=6, n_layer=2, n_head=2, d_model=4)
LLAMA = dict(norm="rms", activation="swiglu", positions="rope", n_kv_head=1, bias=False, tied=False)


@pytest.mark.parametrize(
    "options",
    [{}, {"norm_placement": "post"}, {"norm_placement": "branch"}, LLAMA],
    ids=["gpt2", "post-norm", "branch norm", "llama"],
)
def test_the_gradient_of_the_whole_model_is_what_differences_say(options, rng):
    """From embeddings to loss: every parameter of a spread-out model, against central differences
    in float64.
    """
    model = GPT(
        GPTConfig(**TINY | options | {"vocab_size": 5, "context": 3, "d_hidden": 3}),
        dtype=np.float64,
    )
    for p in model.parameters():  # away from the start, where attention is nearly uniform
        p.data[...] += 0.3 * rng.normal(size=p.shape)
    ids, targets = rng.integers(0, 5, (2, 3)), rng.integers(0, 5, (2, 3))
    report = gradcheck(lambda m: tl.cross_entropy(m(ids), targets), model)
    assert report, report
    assert report.points >= model.count_parameters()  # each of them was looked at


def test_the_loss_gathers_the_log_probability_at_the_index_of_the_target(rng):
    """The entry of Pr(. | x_0 .. x_i) that counts is the one indexed by the next token itself."""
    model = GPT(GPTConfig(**TINY), dtype=np.float64)
    ids, targets = rng.integers(0, 7, (2, 3, 6))
    logits = model(ids)
    p = tl.softmax(logits).numpy()
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-14)
    picked = np.take_along_axis(np.log(p), targets[..., None], -1)[..., 0]
    np.testing.assert_allclose(
        tl.cross_entropy(logits, targets, reduction="none").numpy(), -picked, rtol=1e-12
    )


def test_no_embedding_of_the_future_has_a_gradient(rng):
    """d logits_i / d e_j = 0 for j > i, exactly, and not for j <= i."""
    model, ids = GPT(GPTConfig(**TINY | {"n_head": 1}), dtype=np.float64), np.arange(6)[None]
    for i in range(6):
        model.zero_grad()
        (model.hidden(ids)[:, i] * rng.normal(size=4)).sum().backward()
        by_token = np.abs(model.tokens.weight.grad.numpy()).sum(-1)[
            :6
        ]  # token j stands at place j only
        assert (by_token[: i + 1] > 0).all() and (by_token[i + 1 :] == 0).all()


def test_one_trunk_serves_encoding_and_prediction(rng):
    model, ids = GPT(GPTConfig(**TINY)), rng.integers(0, 7, (2, 6))
    h = model.hidden(ids)
    assert h.shape == (2, 6, 4)  # a vector per token
    np.testing.assert_array_equal(model.logits(h).numpy(), model(ids).numpy())


def bidirectional_layer(x, positions=None):
    """Attention that sees both ways and a feed-forward, around the residual stream."""
    rng = Random(3)
    attention, hidden = (
        part(4, 2, rng, causal=False, dtype=np.float64)
        if part is SelfAttention
        else part(4, 8, rng, dtype=np.float64)
        for part in (SelfAttention, FeedForward)
    )
    for p in attention.parameters() + hidden.parameters():
        p.data[...] *= 25  # of size 1/2: attention is uneven and the branches matter
    x = tl.Tensor(x)
    if positions is not None:
        x = LearnedPositions(5, 4, rng, std=1.0, dtype=np.float64)(x, positions)
    norm = LayerNorm(4, dtype=np.float64)
    return pre_norm(pre_norm(x, attention, norm), hidden, norm).numpy()


def test_without_positions_a_layer_does_not_know_the_order_of_its_tokens(rng):
    x, order = rng.normal(size=(2, 5, 4)), np.array([3, 0, 4, 1, 2])
    permuted = bidirectional_layer(x[:, order])
    np.testing.assert_allclose(permuted, bidirectional_layer(x)[:, order], rtol=1e-11, atol=1e-12)
    places = np.arange(5)
    placed = bidirectional_layer(x[:, order], places) - bidirectional_layer(x, places)[:, order]
    assert np.abs(placed).max() > 0.1


def test_pre_norm_needs_a_last_norm_because_its_stream_grows(rng):
    """Unit branches add up: after 2 L of them the stream's variance is near 2 L + 1, and the last
    norm makes it 1.
    """
    weights = [rng.normal(size=(64, 64)) / 8 for _ in range(32)]
    norm = LayerNorm(64, dtype=np.float64)
    h = tl.Tensor(rng.normal(size=(100, 64)))
    for w in weights:  # a branch keeps the variance 1 that its norm gives it
        h = PLACEMENTS["pre"](h, lambda x, w=w: x @ w, norm)
    variance = h.numpy().var(-1).mean()
    assert 33 * 0.8 < variance < 33 * 1.2  # 33 independent terms of variance 1, 6,400 numbers
    np.testing.assert_allclose(norm(h).numpy().var(-1), 1, rtol=1e-5)
    model = GPT(GPTConfig(**TINY))
    assert (
        model.norm is not None and GPT(GPTConfig(**TINY | {"norm_placement": "post"})).norm is None
    )


def test_positions_never_visited_get_no_gradient_and_stay_as_they_were(rng):
    model, ids = GPT(GPTConfig(**TINY), dtype=np.float64), rng.integers(0, 7, (3, 4))
    before = model.positions.table.weight.numpy().copy()
    optimizer = tl.optim.SGD(tl.optim.FlatParameters(model.named_parameters()), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        tl.cross_entropy(model(ids), ids).backward()
        optimizer.step()
    after, gradient = (
        x.numpy() for x in (model.positions.table.weight, model.positions.table.weight.grad)
    )
    assert (gradient[4:] == 0).all() and np.array_equal(
        after[4:], before[4:]
    )  # 4 tokens were read, of 6 places
    assert (gradient[:4] != 0).any(-1).all() and (after[:4] != before[:4]).any(-1).all()


def test_the_target_of_a_decoder_is_its_input_shifted_by_one():
    tokenizer = CharTokenizer(
        "".join(sorted(set("I love this red car"))), special=["<bos>", "<eos>"]
    )
    ids = tokenizer.encode("<bos>I love this red car<eos>", allow_special=True)
    batch = CausalLM().make_batch(np.array([ids]))
    assert tokenizer.decode(batch.inputs[0]) == "<bos>I love this red car"
    assert tokenizer.decode(batch.targets[0]) == "I love this red car<eos>"
