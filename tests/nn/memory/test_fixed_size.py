"""Memories of fixed size: each against its own definition, worked numbers, and what it forgets."""

import dataclasses
import inspect

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import gradients, host, leaf, plain
from tinylm.autograd.engine.profile import count_operations
from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.nn.attention import linear_attention as la
from tinylm.nn.attention import patterns as p
from tinylm.nn.memory import fixed_size as m
from tinylm.nn.memory.segments import compressive, pool_by_mean
from tinylm.nn.position.rotary import rotary_angles
from tinylm.nn.recurrence.recurrent import GRUCell
from tinylm.nn.recurrence.state_space import moving_average as mega

B, H, G, T, K, J = 2, 4, 2, 12, 4, 3


def heads(rng, tokens=T):
    return [
        rng.normal(size=(B, *shape)) for shape in ((H, tokens, K), (G, tokens, K), (G, tokens, J))
    ]


def scalars(*values):
    """Numbers as keys and as values: (1, 1, n, 1)."""
    return tl.Tensor(np.array(values, float).reshape(1, 1, -1, 1))


def trace(memory, *segments):
    """Keys that the memory holds after each segment of numbers."""
    state, seen = None, []
    for values in segments:
        state = memory.update(scalars(*values), scalars(*values), state)
        keys, held = map(host, memory.read(state))
        np.testing.assert_array_equal(keys, held)  # keys and values are treated alike
        seen.append(keys.ravel().tolist())
    return seen


@pytest.mark.parametrize("segment", [1, 3, 5])
def test_remembering_everything_is_causal_attention(device, rng, segment):
    arrays = heads(rng)
    y, grads = gradients(lambda *a: m.stream(m.full(), *a, segment=segment)[0], arrays, device)
    y2, grads2 = gradients(lambda *a: tl.attention(*a, causal=True), arrays, device)
    for a, b in zip([y, *grads], [y2, *grads2]):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


MASKED = {
    "window 3": (m.window(3), 1, p.window(T, width=3)),
    "window 1": (m.window(1), 1, np.eye(T, dtype=bool)),
    "window wider than all": (m.window(20), 1, np.tri(T, dtype=bool)),
    "two segments of 3": (m.fifo(6), 3, p.blocks(T, size=3, back=1)),
    "one segment of 4": (m.fifo(4), 4, p.blocks(T, size=4)),
    "sinks and window": (
        m.first_and_window(2, 3),
        1,
        p.first_tokens(T, count=2) | p.window(T, width=3),
    ),
    "no sinks": (m.first_and_window(0, 3), 1, p.window(T, width=3)),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_memory_that_keeps_pairs_is_attention_under_a_mask(rng, name):
    memory, segment, mask = MASKED[name]
    arrays = heads(rng)
    y, grads = gradients(lambda *a: m.stream(memory, *a, segment=segment)[0], arrays)
    y2, grads2 = gradients(lambda *a: tl.attention(*a, mask=mask), arrays)
    for a, b in zip([y, *grads], [y2, *grads2]):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_a_segment_queue_shows_one_to_two_segments_of_the_past():
    assert p.blocks(T, size=3, back=1)[6:9].sum(1).tolist() == [4, 5, 6]  # n + 1 .. 2 n for n = 3
    assert trace(m.fifo(4), (0, 1), (2, 3), (4, 5), (6, 7)) == [
        [0, 1],
        [0, 1, 2, 3],
        [2, 3, 4, 5],
        [4, 5, 6, 7],
    ]


def test_the_order_of_pairs_in_a_memory_does_not_matter(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    order = rng.permutation(T)
    one = m.attend(q[:, :, -1:], k, v)
    np.testing.assert_allclose(
        host(m.attend(q[:, :, -1:], k[:, :, order], v[:, :, order])), host(one), rtol=1e-12
    )


def test_averages_are_the_worked_numbers():
    assert trace(m.cumulative_average(), [2], [4], [9]) == [[2], [3], [5]]
    assert trace(m.cumulative_average(), [2, 4], [9]) == [[3], [5]]  # one after the other
    assert trace(m.exponential_average(0.5), [2, 4]) == [[2.5]]  # 4 / 2 + 2 / 4
    one_to_five = [[1], [2], [3], [4], [5]]
    assert trace(m.moving_average(3), *one_to_five) == [
        [1],
        [1.5],
        [2],
        [3],
        [4],
    ]  # fewer at the start: their mean
    weighted = trace(m.weighted_average(np.array([1.0, 2, 3])), *one_to_five)
    np.testing.assert_allclose(np.ravel(weighted), [1, 8 / 5, 14 / 6, 20 / 6, 26 / 6], rtol=1e-14)
    assert trace(m.first_and_window(1, 2), *one_to_five) == [
        [1],
        [1, 2],
        [1, 2, 3],
        [1, 3, 4],
        [1, 4, 5],
    ]
    assert trace(m.first_and_window(2, 2), (1, 2, 3), (4, 5)) == [[1, 2, 3], [1, 2, 4, 5]]


def test_weighted_averages_have_their_limits(rng):
    k = rng.normal(size=(1, 1, 9, 1)).ravel()

    def held(memory):
        return np.ravel(trace(memory, *[[x] for x in k]))

    np.testing.assert_allclose(
        held(m.weighted_average(np.full(4, 0.3))), held(m.moving_average(4)), rtol=1e-13
    )
    np.testing.assert_allclose(held(m.weighted_average(np.array([0, 0, 1.0]))), k, rtol=1e-15)
    doubled, plain = (held(m.weighted_average(np.array(w))) for w in ([2.0, 4], [1.0, 2]))
    np.testing.assert_allclose(doubled, plain, rtol=1e-14)  # only ratios count
    np.testing.assert_allclose(held(m.moving_average(9)), held(m.cumulative_average()), rtol=1e-12)


def test_the_recursion_of_the_cumulative_average_does_not_drift():
    # Each of 10^5 steps rounds a mean of size 1 by 1e-16; errors shrink with 1/i as they are
    # averaged in
    values = np.random.default_rng(0).normal(size=100_000) + 1
    mean = 0.0
    for i, x in enumerate(values):
        mean = (x + i * mean) / (i + 1)
    np.testing.assert_allclose(mean, values.mean(), rtol=1e-12)
    memory = m.cumulative_average()
    (key, _), count = memory.update(scalars(*values[:300]), scalars(*values[:300]), None)
    np.testing.assert_allclose(host(key).item(), values[:300].mean(), rtol=1e-13)
    assert count == 300


@pytest.mark.parametrize(
    "memory",
    [m.moving_average(3), m.cumulative_average(), m.exponential_average(0.5)],
    ids=["moving", "cumulative", "exponential"],
)
def test_one_pair_alone_makes_the_query_and_the_key_irrelevant(rng, memory):
    arrays = heads(rng, 6)
    y, (by_q, by_k, by_v) = gradients(lambda *a: m.stream(memory, *a)[0], arrays)
    np.testing.assert_allclose(
        by_q, 0, atol=1e-14
    )  # e^s / e^s is 1 whatever s, but for two roundings
    np.testing.assert_allclose(by_k, 0, atol=1e-14)
    assert np.abs(by_v).max() > 0
    again = host(m.stream(memory, *map(tl.Tensor, (arrays[0] * 3, arrays[1] + 5, arrays[2])))[0])
    np.testing.assert_allclose(y, again, rtol=1e-14)


def test_the_exponential_average_is_mega_and_a_convolution(rng):
    k, v = rng.normal(size=(2, 1, 1, T, K))
    alpha, delta = rng.uniform(0.2, 0.9, size=(2, K))
    memory, state, held = m.exponential_average(alpha, delta), None, []
    for t in range(T):
        state = memory.update(tl.Tensor(k[:, :, t : t + 1]), tl.Tensor(v[:, :, t : t + 1]), state)
        held.append(host(state[0])[0, 0, 0])
    np.testing.assert_allclose(
        held, host(mega(tl.Tensor(k[0]), tl.Tensor(alpha), tl.Tensor(delta)))[0], rtol=1e-12
    )
    lag = np.arange(T)[:, None] - np.arange(T)
    kernel = np.where(
        lag[..., None] >= 0, alpha * (1 - alpha * delta) ** np.maximum(lag, 0)[..., None], 0
    )
    np.testing.assert_allclose(held, np.einsum("tsk,sk->tk", kernel, k[0, 0]), rtol=1e-12)


def test_update_rules_are_one_interface(rng):
    """Windows, averages and linear attention said as Mem = f((k, v), Mem_before), with the same
    results (eq. 2.58).
    """
    q, k, v = map(tl.Tensor, heads(rng))

    # f of eq. 2.57 as a cell: reads a pair and the state (pair, i)
    def averaged(k, v, s):
        i = 0 if s is None else s[2]
        if s is None:
            return (k, v, 1)
        return ((k + i * s[0]) / (i + 1), (v + i * s[1]) / (i + 1), i + 1)

    ours, theirs = m.Memory(averaged, lambda s: s[:2]), m.cumulative_average()
    np.testing.assert_allclose(
        host(m.stream(ours, q, k, v)[0]), host(m.stream(theirs, q, k, v)[0]), rtol=1e-12
    )
    # f = "add": outer products summed; read by a product instead of a softmax this is linear
    # attention
    ones = np.ones((B, G, 1, 1))

    def added(k, v, s):
        pair = la.elu_features(k).swapaxes(-1, -2) @ tl.concatenate([v, ones], axis=-1)
        if s is None:
            return pair
        return s + pair

    def by_product(q, state, _):
        y = la.elu_features(q) @ state
        return y[..., :-1] / y[..., -1:]

    queries = q[:, :G]
    y, state = m.stream(m.Memory(added, lambda s: (s, None)), queries, k, v, attend=by_product)
    y2, state2 = la.linear_attention_recurrent(la.elu_features(queries), la.elu_features(k), v)
    np.testing.assert_allclose(host(y), host(y2), rtol=1e-12)
    np.testing.assert_allclose(host(state), host(state2), rtol=1e-12)


def test_a_recurrent_cell_remembers_in_a_state_of_one_pair(rng):
    cell = GRUCell(K + J, K + J, Random(0), dtype=np.float64)
    q, k, v = (leaf(x) for x in heads(rng))
    y, state = m.stream(m.recurrent(cell), q, k, v)
    assert [x.shape for x in m.recurrent(cell).read(state)] == [(B, G, 1, K), (B, G, 1, J)]
    assert m.stored_numbers(state) == B * G * (K + J)
    y[:, :, -1].sum().backward()
    assert (
        np.abs(host(v.grad)).sum((0, 1, 3)) > 0
    ).all()  # the gradient goes through time to the first token


def test_sizes_stay_fixed_and_are_those_of_figure_2_6(rng):
    """Pairs read and numbers stored, for one head whose keys and values are one number wide."""
    expected = {  # name: memory, segment, pairs read, numbers stored
        "window, 4 x 2": (m.window(4), 1, 4, 8),
        "moving average, 1 x 2": (m.moving_average(4), 1, 1, 8),  # reads one pair, must keep four
        "cumulative average": (m.cumulative_average(), 1, 1, 2),
        "exponential average": (m.exponential_average(0.5), 1, 1, 2),
        "recurrent, 1 x 2": (m.recurrent(GRUCell(2, 2, Random(0), dtype=np.float64)), 1, 1, 2),
        "compressed 2 x 2 and recent 4 x 2": (compressive(4, 2, pool_by_mean(2)), 2, 6, 12),
        "sinks 1 and window 3": (m.first_and_window(1, 3), 1, 4, 8),
    }
    for name, (memory, segment, pairs, numbers) in expected.items():
        x = tl.Tensor(rng.normal(size=(1, 1, 40, 1)))
        sizes = []
        for tokens in (20, 40):  # after warming up it no longer grows
            state = m.stream(memory, x[:, :, :tokens], x[:, :, :tokens], x[:, :, :tokens], segment)[
                1
            ]
            sizes.append((memory.read(state)[0].shape[2], m.stored_numbers(state)))
        assert sizes == [(pairs, numbers)] * 2, name
    assert m.stored_numbers(m.stream(m.full(), x, x, x)[1]) == 80


def test_positions_counted_inside_the_memory_never_exceed_it(device, rng):
    q, k, v = (leaf(x, device) for x in heads(rng, 6))
    near = m.attend_rotated(q[:, :, -2:], k, v)
    cos, sin = rotary_angles(plain(np.arange(6), device), K, dtype=np.float64)
    turned = tl.attention(
        tl.rotary(q[:, :, -2:], cos=cos[4:], sin=sin[4:]),
        tl.rotary(k, cos=cos, sin=sin),
        v,
        causal=True,
    )
    np.testing.assert_allclose(host(near), host(turned), rtol=1e-12)


def test_inside_a_window_positions_in_the_memory_are_positions_in_the_text(rng):
    # rotary scores depend on distances, and a window without gaps keeps them
    q, k, v = map(tl.Tensor, heads(rng))
    y = m.stream(m.window(4), q, k, v, attend=m.attend_rotated)[0]
    cos, sin = rotary_angles(np.arange(T), K, dtype=np.float64)
    whole = tl.attention(
        tl.rotary(q, cos=cos, sin=sin), tl.rotary(k, cos=cos, sin=sin), v, mask=p.window(T, width=4)
    )
    np.testing.assert_allclose(host(y), host(whole), rtol=1e-11)
    # with sinks a gap opens: they stand closer in the memory than in the text, so it is another
    # model
    y = m.stream(m.first_and_window(1, 3), q, k, v, attend=m.attend_rotated)[0]
    mask = p.window(T, width=3) | p.first_tokens(T, count=1)
    whole = tl.attention(
        tl.rotary(q, cos=cos, sin=sin), tl.rotary(k, cos=cos, sin=sin), v, mask=mask
    )
    np.testing.assert_allclose(
        host(y)[:, :, :4], host(whole)[:, :, :4], rtol=1e-11
    )  # nothing is dropped yet
    assert np.abs(host(y) - host(whole))[:, :, 5:].max() > 1e-3


def test_what_does_not_fit_is_refused(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    with pytest.raises(ShapeError, match="attend: 3 queries at once, but the memory holds 1 pairs"):
        m.stream(m.moving_average(4), q, k, v, segment=3)
    with pytest.raises(ConfigError, match="size 0"):
        m.window(0)


def test_an_empty_sequence_leaves_the_memory_as_it_was(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    _, state = m.stream(m.window(4), q, k, v)
    y, again = m.stream(m.window(4), q[:, :, :0], k[:, :, :0], v[:, :, :0], state=state)
    assert y.shape == (B, H, 0, J) and again is state


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_a_stream_goes_on_where_it_was_interrupted(rng, cut):
    q, k, v = map(tl.Tensor, heads(rng))
    for memory in (m.window(4), m.first_and_window(2, 3), m.cumulative_average()):
        whole, end = m.stream(memory, q, k, v)
        _, state = m.stream(memory, q[:, :, :cut], k[:, :, :cut], v[:, :, :cut])
        rest, state = m.stream(memory, q[:, :, cut:], k[:, :, cut:], v[:, :, cut:], state=state)
        np.testing.assert_allclose(host(rest), host(whole)[:, :, cut:], rtol=1e-13)
        assert m.stored_numbers(state) == m.stored_numbers(end)


def test_a_memory_of_its_own_pairs_alone_may_be_as_long_as_its_queries(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    with pytest.raises(ShapeError, match="2 queries at once, but the memory holds 1 pairs"):
        m.attend(q[:, :, :2], k[:, :, :1], v[:, :, :1])  # the first would see nothing
    np.testing.assert_allclose(
        host(m.attend(q[:, :, :2], k[:, :, :2], v[:, :, :2]))[:, :, 0],
        host(v)[:, [0, 0, 1, 1], 0],  # two heads a group; e^s v / e^s of the first alone
        rtol=1e-15,
    )


def test_a_recurrent_memory_is_the_cell_run_over_pairs_side_by_side(rng):
    cell = GRUCell(K + J, K + J, Random(0), dtype=np.float64)
    _, k, v = map(tl.Tensor, heads(rng))
    memory = m.recurrent(cell)
    at_once = memory.update(k, v, None)
    for b, g in np.ndindex(B, G):  # every head of every row has a state of its own
        h = cell.initial_state(1)
        for t in range(T):
            h = cell(tl.concatenate([k[b, g, t], v[b, g, t]]).reshape(1, -1), h)
        key, value = (host(x)[b, g, 0] for x in memory.read(at_once))
        np.testing.assert_allclose(np.concatenate([key, value]), host(h[0])[0], rtol=1e-12)
    state = memory.update(k[:, :, :7], v[:, :, :7], None)
    state = memory.update(k[:, :, 7:], v[:, :, 7:], state)
    for a, b in zip(memory.read(state), memory.read(at_once)):
        np.testing.assert_array_equal(host(a), host(b))


def test_defaults_are_those_of_the_papers():
    # Su et al. 2021 rotate by powers of 10000; Ma et al. 2023 call delta = 1 the usual average;
    # a stream is read token by token (book section 2.3.3).
    for made, expected in (
        (m.attend_rotated, {"base": 10000.0}),
        (m.exponential_average, {"delta": 1.0}),
        (m.stream, {"segment": 1, "attend": m.attend, "state": None}),
    ):
        parameters = inspect.signature(made).parameters
        assert {name: parameters[name].default for name in expected} == expected


def test_a_rule_of_memory_is_not_changed_while_it_remembers():
    with pytest.raises(dataclasses.FrozenInstanceError):
        m.full().update = None


def test_work_for_a_token_grows_with_all_that_is_kept_and_not_with_a_window(rng):
    q, k, v = map(tl.Tensor, heads(rng))
    for memory, most in ((m.full(), T), (m.window(4), 4), (m.first_and_window(1, 2), 3)):
        state = None
        for t in range(T):
            now = slice(t, t + 1)
            state = memory.update(k[:, :, now], v[:, :, now], state)
            with count_operations() as counts:
                m.attend(q[:, :, now], *memory.read(state))
            pairs = min(t + 1, most)
            assert counts.matmul_flops() == 2 * B * H * pairs * (K + J)
            assert m.stored_numbers(state) == B * G * pairs * (K + J)
