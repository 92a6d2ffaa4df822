"""Segment memories: what they equal, where their gradients stop, and how much they hold."""

import numpy as np
import pytest

import tinylm as tl
from tests.nn.memory.test_fixed_size import heads, trace
from tests.numeric import gradients, host, leaf
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.nn.attention import linear_attention as la
from tinylm.nn.attention import patterns as p
from tinylm.nn.attention.multi_head import SelfAttention, merge_heads
from tinylm.nn.memory import fixed_size as m
from tinylm.nn.memory import segments as sm
from tinylm.nn.position.bias import AlibiBias, OffsetBias

B, T, D, N = 2, 12, 6, 4  # N tokens in a segment


def layer(memory, bias=None):
    made = sm.SegmentRecurrentAttention(D, 2, Random(0), memory, bias, dtype=np.float64)
    for weight in (made.q.weight, made.kv.weight, made.out.weight):
        weight.data[...] *= 20  # standard deviation 0.4: attention that is not even
    return made


def by_segments(made, x, detach=True):
    outputs, past = [], None
    for start in range(0, T, N):
        y, past = made(x[:, start : start + N], past, detach=detach)
        outputs.append(y)
    return outputs, past


@pytest.mark.parametrize(
    "bias",
    [None, AlibiBias(2), OffsetBias(2, Random(1), max_offset=T, std=1.0, dtype=np.float64)],
    ids=["none", "alibi", "learned"],
)
def test_with_the_whole_past_segments_equal_full_attention(rng, bias):
    made, x = layer(T, bias), rng.normal(size=(B, T, D))
    positions = np.arange(T)

    def whole(x):
        kv = made.kv(x).reshape(B, T, 4, 3).transpose(0, 2, 1, 3)
        q = made.q(x).reshape(B, T, 2, 3).transpose(0, 2, 1, 3)
        scores = None if bias is None else made.bias(positions, positions)
        return made.out(
            merge_heads(tl.attention(q, kv[:, :2], kv[:, 2:], bias=scores, causal=True))
        )

    y, (g,) = gradients(
        lambda x: tl.concatenate(by_segments(made, x, detach=False)[0], axis=1), [x]
    )
    y2, (g2,) = gradients(whole, [x])
    np.testing.assert_allclose(y, y2, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(g, g2, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("memory", [0, N])
def test_one_segment_of_memory_is_the_block_mask(rng, memory):
    made, x = layer(memory), leaf(rng.normal(size=(B, T, D)))
    y = tl.concatenate(by_segments(made, x)[0], axis=1)
    kv = made.kv(x).reshape(B, T, 4, 3).transpose(0, 2, 1, 3)
    q = made.q(x).reshape(B, T, 2, 3).transpose(0, 2, 1, 3)
    mask = p.blocks(T, size=N, back=memory // N)
    whole = made.out(merge_heads(tl.attention(q, kv[:, :2], kv[:, 2:], mask=mask)))
    np.testing.assert_allclose(host(y), host(whole), rtol=1e-11, atol=1e-13)


def test_no_gradient_enters_the_segment_before(rng):
    for detach in (True, False):
        made, x = layer(N), leaf(rng.normal(size=(B, T, D)))
        by_segments(made, x, detach)[0][-1].sum().backward()
        reached = np.abs(host(x.grad)).sum((0, 2)) > 0
        # the memory is used, its values reach the output, but as constants
        np.testing.assert_array_equal(reached, np.arange(T) >= (T - N if detach else T - 2 * N))


def test_how_far_a_token_is_felt_grows_by_the_memory_with_every_layer(rng):
    x = rng.normal(size=(1, 5 * N, D))

    def last(x, depth):
        layers, pasts = [layer(N) for _ in range(depth)], [None] * depth
        for start in range(0, 5 * N, N):
            h = tl.Tensor(x[:, start : start + N])
            for i, made in enumerate(layers):
                y, pasts[i] = made(h, pasts[i])
                h = h + y
        return host(h)[0, -1]

    for depth in (1, 2, 3):
        felt = []
        for t in range(5 * N):
            moved = x.copy()
            moved[0, t] += 1.0
            felt.append((last(moved, depth) != last(x, depth)).any())
        assert np.argmax(felt) == 4 * N - depth * N  # one more segment with every layer


def test_what_falls_out_of_the_compressive_memory_is_squeezed():
    memory = sm.compressive(4, 2, sm.pool_by_mean(2))
    seen = trace(memory, (0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
    assert seen == [
        [0, 1],
        [0, 1, 2, 3],
        [0.5, 2, 3, 4, 5],
        [0.5, 2.5, 4, 5, 6, 7],
        [2.5, 4.5, 6, 7, 8, 9],
    ]
    largest = trace(sm.compressive(2, 1, sm.pool_by_max(2)), (0, 1), (2, 3), (4, 5))
    assert largest == [[0, 1], [1, 2, 3], [3, 4, 5]]
    span = 4 + 2 * 2  # n_mem + c n_cmem tokens have a part in it
    felt = [
        any(trace(memory, *[(x == t, x + 1 == t) for x in range(0, 20, 2)])[-1]) for t in range(20)
    ]
    assert sum(felt) == span and all(felt[-span:])


def test_a_rate_of_one_is_one_long_queue(rng):
    arrays = heads(rng)
    y, grads = gradients(
        lambda *a: m.stream(sm.compressive(4, 4, sm.pool_by_mean(1)), *a, segment=2)[0], arrays
    )
    y2, grads2 = gradients(lambda *a: m.stream(m.fifo(8), *a, segment=2)[0], arrays)
    for a, b in zip([y, *grads], [y2, *grads2]):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_squeezing_equal_pairs_loses_nothing(rng):
    q = leaf(rng.normal(size=(1, 1, 3, 2)))
    pair = np.tile(rng.normal(size=(1, 1, 1, 2)), (1, 1, 4, 1))
    squeezed = host(sm.pool_by_mean(2)(tl.Tensor(pair)))
    np.testing.assert_array_equal(squeezed, pair[:, :, :2])
    loss = sm.reconstruction_loss(q, (tl.Tensor(pair),) * 2, (tl.Tensor(squeezed),) * 2)
    np.testing.assert_allclose(loss.item(), 0, atol=1e-30)
    pool = sm.ConvolutionPool(2, 2, Random(0), dtype=np.float64)
    pool.weight.data[...] = np.tile(np.eye(2) / 2, (2, 1))  # the kernel that is the mean
    mixed = tl.Tensor(rng.normal(size=(1, 1, 6, 2)))
    np.testing.assert_allclose(host(pool(mixed)), host(sm.pool_by_mean(2)(mixed)), rtol=1e-14)


def test_pairs_that_do_not_divide_by_the_rate_are_refused(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    with pytest.raises(ConfigError, match="3 pairs do not divide by the rate 2"):
        m.stream(sm.compressive(3, 2, sm.pool_by_mean(2)), q, k, v, segment=3)


def test_infini_attention_is_linear_attention_of_earlier_segments_beside_exact_attention(rng):
    q, k, v = (rng.normal(size=(B, 2, T, 3)) for _ in range(3))
    q, k, v = map(tl.Tensor, (q, k, v))
    for gate, part in ((800.0, "memory"), (-800.0, "inside"), (0.0, "both")):
        b, state, outputs = tl.Tensor(np.full(2, gate)), None, []
        for start in range(0, T, N):
            now = slice(start, start + N)
            y, state = sm.infini_attention(q[:, :, now], k[:, :, now], v[:, :, now], b, state)
            outputs.append(host(y))
        y = np.concatenate(outputs, axis=2)
        inside = host(tl.attention(q, k, v, mask=p.blocks(T, size=N)))
        # linear attention where a query sees the segments before its own only
        scores = host(la.elu_features(q)) @ host(la.elu_features(k)).swapaxes(-1, -2)
        scores = scores * (np.arange(T)[:, None] // N > np.arange(T) // N)
        memory = np.divide(
            scores @ host(v),
            scores.sum(-1, keepdims=True),
            where=scores.sum(-1, keepdims=True) > 0,
            out=np.zeros(v.shape),
        )
        share = {"memory": 1.0, "inside": 0.0, "both": 0.5}[part]
        np.testing.assert_allclose(y, share * memory + (1 - share) * inside, rtol=1e-11, atol=1e-13)
    assert state.shape == (B, 2, 3, 4)  # however many segments


def test_memory_tokens_carry_what_lies_beyond_the_segment(rng):
    inside = SelfAttention(D, 2, Random(0), dtype=np.float64)
    rmt = sm.RecurrentMemory(lambda x: x + inside(x), 2, D, Random(1), dtype=np.float64)
    x = leaf(rng.normal(size=(B, 3 * N, D)))
    memory, outputs = None, []
    for start in range(0, 3 * N, N):
        y, memory = rmt(x[:, start : start + N], memory)
        outputs.append(y)
    assert outputs[0].shape == (B, N, D) and memory.shape == (B, 2, D)
    outputs[-1].sum().backward()
    assert (
        np.abs(host(x.grad)).sum((0, 2)) > 0
    ).all()  # the third segment feels the first through the tokens
    x.grad = None
    rmt(x[:, 2 * N :])[0].sum().backward()  # without memory it feels only itself
    np.testing.assert_array_equal(np.abs(host(x.grad)).sum((0, 2)) > 0, np.arange(3 * N) >= 2 * N)


def test_a_block_recurrent_state_keeps_its_size_and_can_keep_everything(rng):
    cell = sm.BlockRecurrentCell(D, 2, 3, Random(0), dtype=np.float64)
    x = tl.Tensor(rng.normal(size=(B, N, D)))
    y, state = cell(x)
    for _ in range(3):
        y, state = cell(x, state)
    assert y.shape == (B, N, D) and state.shape == (B, 3, D)
    cell.gate.data[...] = 800.0  # sigmoid = 1: the state is handed on unchanged
    np.testing.assert_array_equal(host(cell(x, state)[1]), host(state))


@pytest.mark.parametrize("memory", [0, 3, 20])
def test_so_many_inputs_are_kept_as_the_memory_holds(rng, memory):
    x = tl.Tensor(rng.normal(size=(B, T, D)))
    _, past = layer(memory)(x)
    np.testing.assert_array_equal(host(past), host(x)[:, max(T - memory, 0) :])
    with pytest.raises(ConfigError, match="memory -1: heads must divide the width and memory be 0"):
        layer(-1)


def test_states_of_segments_are_those_of_each_layer_and_constants(rng):
    x, y = (leaf(rng.normal(size=(B, N, D))) for _ in range(2))
    states = sm.SegmentStates(3)
    assert states.length == 0
    for given in (x, y):  # two layers of the first segment: there is nothing before it
        assert states.extended(len(states.kept), given) is given
    later = sm.SegmentStates(3, states.kept)
    assert later.length == 3
    seen = later.extended(1, x)
    np.testing.assert_array_equal(host(seen), np.concatenate([host(y)[:, 1:], host(x)], axis=1))
    np.testing.assert_array_equal(host(later.kept[0]), host(x)[:, 1:])  # the newest three of seven
    seen.sum().backward()
    assert y.grad is None and (host(x.grad) == 1).all()  # the past is a constant
    assert not any(kept.requires_grad for kept in later.kept)


def test_memory_tokens_stand_on_both_sides_of_the_segment():
    # Running sums see everything before: 1, 2 before and behind the segment 10, 20 give
    # 1, 3, 13, 33, 34, 36; the segment's own are 13, 33, and the next memory is 34, 36.
    rmt = sm.RecurrentMemory(lambda x: tl.cumsum(x, axis=1), 2, 1, Random(0), dtype=np.float64)
    column = [tl.Tensor(np.array(values, float).reshape(1, 2, 1)) for values in ((10, 20), (1, 2))]
    y, memory = rmt(*column)
    assert host(y).ravel().tolist() == [13, 33] and host(memory).ravel().tolist() == [34, 36]
    rmt.start.data[0, :, 0] = 1, 2  # the learned tokens, the same for every row of a batch
    y, memory = rmt(tl.concatenate([column[0]] * 3, axis=0))
    np.testing.assert_array_equal(host(y)[..., 0], [[13, 33]] * 3)
    memory.sum().backward()
    assert (host(rmt.start.grad) != 0).all()


def cell_and_segment(rng):
    cell = sm.BlockRecurrentCell(D, 2, 3, Random(0), dtype=np.float64)
    for weight in cell.parameters():
        if weight.ndim == 2:
            weight.data[...] *= 20  # standard deviation 0.4: outputs of size one
    return cell, tl.Tensor(rng.normal(size=(B, N, D)))


def test_a_block_recurrent_token_adds_what_it_reads_from_its_segment_and_from_the_state(rng):
    cell, x = cell_and_segment(rng)
    state = tl.Tensor(rng.normal(size=(B, 3, D)))
    y = host(cell(x, state)[0])
    inside, read = host(cell.inside(x)), host(cell.reading(x, state))
    assert min(np.abs(inside).max(), np.abs(read).max()) > 0.1
    np.testing.assert_allclose(y - host(x), inside + read, rtol=1e-10, atol=1e-13)


def test_a_gate_of_a_block_recurrent_state_mixes_the_old_with_the_new(rng):
    cell, x = cell_and_segment(rng)
    state = tl.Tensor(rng.normal(size=(B, 3, D)))
    np.testing.assert_allclose(cell.gate.data, 1.0)  # sigmoid(1) = 0.73 is kept at first
    after = {}
    for gate in (800.0, 0.0, -800.0):  # keep all, half, nothing
        cell.gate.data[...] = gate
        after[gate] = host(cell(x, state)[1])
    np.testing.assert_array_equal(after[800.0], host(state))
    assert np.abs(after[-800.0]).max() < 1  # a tanh
    np.testing.assert_allclose(np.arctanh(after[-800.0]), host(cell.writing(state, x)), rtol=1e-9)
    np.testing.assert_allclose(after[0.0], (after[800.0] + after[-800.0]) / 2, rtol=1e-12)
    cell.gate.data[...] = 0.0
    cell(x)[1].sum().backward()
    assert (host(cell.gate.grad) != 0).all()  # each channel learns how much to keep


def test_learned_states_start_normal_and_different():
    n = 100 * 60  # numbers drawn; a deviation of them has the standard error 1/sqrt(2n)
    for start in (
        sm.BlockRecurrentCell(60, 2, 100, Random(0)).start,
        sm.RecurrentMemory(None, 100, 60, Random(0)).start,
    ):
        assert start.shape == (1, 100, 60)
        assert abs(start.data.std() - 1) < 5 / (2 * n) ** 0.5
        assert (start.data[0, 0] != start.data[0, 1]).all()


def test_a_convolution_starts_with_outputs_as_large_as_its_inputs(rng):
    # Sums of rate * K products with weights of variance 1 / (rate K).
    pool = sm.ConvolutionPool(4, 25, Random(0), dtype=np.float64)
    assert pool.weight.shape == (4 * 25, 25)
    n = pool.weight.size
    assert abs(pool.weight.data.std() * 10 - 1) < 5 / (2 * n) ** 0.5


def test_values_are_squeezed_as_keys_are_unless_said_otherwise(rng):
    k, v = (tl.Tensor(rng.normal(size=(1, 1, 4, 1))) for _ in range(2))
    for pools, expected in (
        ((sm.pool_by_max(2),), host(v).reshape(2, 2).max(1)),
        ((sm.pool_by_max(2), sm.pool_by_mean(2)), host(v).reshape(2, 2).mean(1)),
    ):
        memory = sm.compressive(2, 3, *pools)
        state = memory.update(
            k[:, :, 2:], v[:, :, 2:], memory.update(k[:, :, :2], v[:, :, :2], None)
        )
        keys, values = memory.read(state)
        np.testing.assert_array_equal(host(keys)[0, 0, 0], host(k)[0, 0, :2].max(0))
        np.testing.assert_allclose(host(values)[0, 0, 0], expected[0], rtol=1e-15)


def test_each_head_of_infini_attention_has_its_own_gate(rng):
    q, k, v = (tl.Tensor(rng.normal(size=(B, 2, N, 3))) for _ in range(3))
    before = la.linear_attention_recurrent(*map(la.elu_features, (q, k)), v)[1]
    gate = tl.Tensor(np.array([800.0, -800.0]))  # head 0 reads the memory, head 1 the segment
    y, _ = sm.infini_attention(q, k, v, gate, before)
    inside = host(tl.attention(q, k, v, causal=True))
    np.testing.assert_allclose(host(y)[:, 1], inside[:, 1], rtol=1e-12)
    assert np.abs(host(y)[:, 0] - inside[:, 0]).max() > 1e-2


def test_the_state_of_infini_attention_is_that_of_linear_attention(rng):
    q, k, v = (tl.Tensor(rng.normal(size=(B, 2, T, 3))) for _ in range(3))
    state, gate = None, tl.Tensor(np.zeros(2))
    for start in range(0, T, N):
        now = slice(start, start + N)
        _, state = sm.infini_attention(q[:, :, now], k[:, :, now], v[:, :, now], gate, state)
    whole = la.linear_attention_recurrent(*map(la.elu_features, (q, k)), v)[1]
    np.testing.assert_allclose(host(state), host(whole), rtol=1e-12)
