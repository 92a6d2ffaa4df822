"""Exchanging tokens for heads: a permutation and its transpose, with the traffic it promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.autograd import Tensor, grad
from tinylm.backend import Random
from tinylm.nn.attention import SelfAttention
from tinylm.parallel.communicate.network import Link, Network
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.data_parallel import share_rows
from tinylm.parallel.sequence.heads import Exchange, head_shares, heads_to_tokens, tokens_to_heads
from tinylm.parallel.sequence.layers import Tokens, _share_heads
from tinylm.parallel.sequence.ring import own_positions, ring_attention
from tinylm.parallel.tensor.layers import ColumnSplit, RowSplit, Stream

B, K = 2, 3


@given(groups=st.integers(1, 5), per_group=st.integers(1, 4), data=st.data())
def test_every_head_has_one_rank_and_keys_are_where_they_are_read(groups, per_group, data):
    H = groups * per_group
    size = data.draw(st.integers(1, H))
    shares = head_shares(H, groups, size)
    assert [h for (a, b), _ in shares for h in range(a, b)] == list(range(H))
    for (a, b), (low, high) in shares:
        assert a < b  # no rank is idle
        assert {h // per_group for h in range(a, b)} == set(range(low, high))
        assert (b - a) % (high - low) == 0  # what grouped attention takes
        assert high - low == 1 or size <= groups


def test_shares_by_hand():
    assert head_shares(6, 3, 2) == [((0, 2), (0, 1)), ((2, 6), (1, 3))]
    assert head_shares(6, 2, 4) == [((0, 1), (0, 1)), ((1, 3), (0, 1))] + [
        ((3, 4), (1, 2)), ((4, 6), (1, 2)),
    ]  # fmt: skip


def whole(T, parts):
    return np.random.default_rng(3).standard_normal((B, T, parts, K))


@settings(max_examples=30, deadline=None)
@given(T=st.integers(0, 9), size=st.integers(1, 4), seed=st.integers(0, 99))
def test_heads_of_all_tokens_come_and_go_back(T, size, seed):
    """Any ranges of heads, also none and the same on several ranks: columns, then their sums."""
    rng = np.random.default_rng(seed)
    parts = 5
    ranges = []
    for _ in range(size):
        cuts = np.sort(rng.integers(0, parts + 1, 4)).tolist()
        ranges.append((tuple(cuts[:2]), tuple(cuts[2:])))
    ranges = tuple(ranges)
    x = whole(T, parts)
    columns = [[i for a, b in own for i in range(a, b)] for own in ranges]
    times = np.array([sum(own.count(i) for own in columns) for i in range(parts)])

    def there_and_back(comm):
        mine = slice(*share_rows(T, comm.rank, comm.size))
        own = Tensor(x[:, mine])
        y = tokens_to_heads(own, comm=comm, heads=ranges, total=T)
        again = heads_to_tokens(y, comm=comm, heads=ranges, total=T, parts=parts)
        return mine, y.data, again.data

    for rank, (mine, y, again) in enumerate(simulate(there_and_back, size).results):
        np.testing.assert_array_equal(y, x[:, :, columns[rank]])
        np.testing.assert_allclose(again, x[:, mine] * times[:, None], rtol=1e-15)


def attention(H, G, dropout=0.0, qk_norm=None, cap=None):
    """SelfAttention of H heads of width 4 and G of keys and values."""
    rng = Random(5, "attention")
    return SelfAttention(
        H * 4, H, rng, G, dropout=dropout, qk_norm=qk_norm, cap=cap, dtype=np.float64,
    )  # fmt: skip


def derived(layer, x, g, options):
    """Output, gradient of x, gradients of parameters."""
    x = Tensor(x.copy(), requires_grad=True)
    y = layer(x, **options)
    y.backward(g)
    found = {n.split(".", 1)[-1]: p.grad.data for n, p in layer.named_parameters().items()}
    return y.data, x.grad.data, found


def check(T, size, H, G, options, **kind):
    rng = np.random.default_rng(1)
    x, g = rng.standard_normal((2, B, T, H * 4))
    y, dx, expected = derived(attention(H, G, **kind), x, g, options(range(H)))

    def shared(comm):
        layer, tokens = attention(H, G, **kind), Tokens(comm, True)
        stream = Stream(comm.split(comm.rank))  # no tensor parallelism: each alone
        layer.qkv = ColumnSplit(layer.qkv.weight, layer.qkv.bias, stream)
        layer.out = RowSplit(layer.out.weight, layer.out.bias, stream)
        tokens.total = stream.total = T
        _share_heads(layer, H, tokens, G)
        mine = tokens.own()
        first, last = head_shares(H, G, comm.size)[comm.rank][0]
        return mine, derived(layer, x[:, mine], g[:, mine], options(range(first, last)))

    results = simulate(shared, size).results
    for mine, (own_y, own_dx, _) in results:
        np.testing.assert_allclose(own_y, y[:, mine], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(own_dx, dx[:, mine], rtol=1e-9, atol=1e-12)
    for name, array in expected.items():
        summed = sum(found[name] for _, (_, _, found) in results)
        np.testing.assert_allclose(summed, array, rtol=1e-9, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(T=st.integers(1, 9), size=st.integers(1, 4), groups=st.integers(1, 4), data=st.data())
def test_a_layer_is_the_layer_of_the_whole_sequence(T, size, groups, data):
    per_group = data.draw(st.integers(-(-size // groups), 4))
    dropout, norm = (
        data.draw(st.sampled_from([0.0, 0.3])),
        data.draw(st.sampled_from([None, "head"])),
    )
    check(T, size, groups * per_group, groups, lambda own: {}, dropout=dropout, qk_norm=norm)


def test_masks_biases_and_caps_are_those_of_one_device():
    T, H = 7, 4
    bias = np.random.default_rng(2).standard_normal((H, T, T))
    mask = np.tri(T, dtype=bool) & ~np.tri(T, k=-3, dtype=bool)  # a window of 3

    def options(own):
        return {"bias": Tensor(bias[own.start : own.stop]), "mask": mask}

    check(T, 3, H, H, options)
    check(T, 3, H, 2, options, cap=1.5)


def exchanged(comm, T, H, G, both):
    """The exchanges of a layer, forward and if asked backward; bytes sent."""
    tokens = Tokens(comm, True)
    tokens.total = T
    exchange = Exchange(tokens, H, G)
    x = Tensor(np.zeros((B, len(tokens.own()), (H + 2 * G) * K)), requires_grad=True)
    packed = exchange.before(x)
    y = exchange.after(packed[:, :, : exchange.own_heads * K])
    if both:
        y.backward(np.zeros(y.shape))
    return comm.bytes_sent["all_to_all"]


def ringed(comm, T, H, G, both):
    mine = own_positions(T, comm.rank, comm.size)
    q, k, v = (Tensor(np.zeros((B, h, len(mine), K)), requires_grad=True) for h in (H, G, G))
    y = ring_attention(q, k, v, comm, T)
    if both:
        y.backward(np.zeros(y.shape))
    return comm.bytes_sent["send"]


@pytest.mark.parametrize(
    "n, H, G", [(2, 8, 8), (4, 8, 8), (4, 8, 4), (8, 8, 8), (4, 8, 2), (8, 8, 1)]
)
def test_traffic_of_both_kinds_is_their_formula(n, H, G):
    T = 2 * n * 3  # both cut it evenly
    share = B * T // n * K * 8  # of one head, bytes
    here = (n - 1) * share * (2 * H + 2 * max(G, n)) // n
    assert simulate(exchanged, n, T, H, G, False).results == [here] * n
    assert simulate(exchanged, n, T, H, G, True).results == [2 * here] * n
    around = (n - 1) * share * 2 * G
    assert simulate(ringed, n, T, H, G, False).results == [around] * n
    assert simulate(ringed, n, T, H, G, True).results == [2 * around + n * share * 2 * G] * n


def test_numbers_of_the_docstring():
    """Millions of elements for T = 4096, H = 32, K = 128: counted for a 64th of T, and a 128th of
    K."""
    for G, n, here, around in (
        (32, 2, 33.6, 67.1), (32, 8, 14.7, 92.3), (32, 32, 4.1, 98.6),
        (4, 2, 18.9, 8.4), (4, 8, 9.2, 11.5), (4, 32, 4.1, 12.3),
    ):  # fmt: skip
        more = 64 * 128 / (B * K * 8) / 1e6
        counted = [simulate(f, n, 64, 32, G, True).results[0] for f in (exchanged, ringed)]
        assert [round(c * more, 1) for c in counted] == [here, around]


def test_it_takes_the_time_of_its_two_exchanges():
    """(n-1) latencies and the bytes of a rank, twice."""
    n, T, H = 4, 24, 8
    run = simulate(exchanged, n, T, H, H, False, network=Network(Link(1e-3, 1e6)))
    sent = run.results[0]
    assert run.seconds == pytest.approx(2 * (n - 1) * 1e-3 + sent / 1e6)


def test_a_second_derivative_goes_through_the_exchanges():
    """d/dx of the gradient of sum w y^3, whose y is x: 6 w x, on whichever rank it lies."""
    T, parts, ranges = 5, 4, (((0, 2),), ((2, 4),))
    x, w = whole(T, parts), np.random.default_rng(9).standard_normal((B, T, parts, K))

    def second(comm):
        mine = slice(*share_rows(T, comm.rank, comm.size))
        own = Tensor(x[:, mine].copy(), requires_grad=True)
        y = tokens_to_heads(own, comm=comm, heads=ranges, total=T)
        weights = Tensor(w[:, :, slice(*ranges[comm.rank][0])])
        (first,) = grad((weights * y * y * y).sum(), [own], create_graph=True)
        (twice,) = grad(first.sum(), [own])
        return mine, twice.data

    for mine, found in simulate(second, 2).results:
        np.testing.assert_allclose(found, 6 * w[:, mine] * x[:, mine], rtol=1e-12)
