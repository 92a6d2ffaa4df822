"""Biases of attention scores: the numbers of Table 2.4 and Figure 2.11, what each limit case
equals, caches, devices.
"""

import inspect

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, plain
from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.nn.position.bias import (
    POSITION_BIASES,
    AlibiBias,
    FireBias,
    KerpleLogBias,
    KerplePowerBias,
    OffsetBias,
    SandwichBias,
    T5Bias,
    alibi_slopes,
    fire_argument,
    inside_root,
    kerple_log,
    kerple_power,
    offsets,
    phrase_distortion,
    sandwich,
)
from tinylm.nn.position.sinusoidal import sinusoidal
from tinylm.nn.position.t5_buckets import t5_bucket

B, H, T, K = 2, 4, 6, 4
PLACES = np.arange(T)


def qkv(rng, device="cpu"):
    return [tl.Tensor(rng.normal(size=(B, H, T, K)), device=device) for _ in range(3)]


def made(name, device="cpu", heads=H, **settings):
    return POSITION_BIASES[name](heads, Random(1), dtype=np.float64, **settings).to(device)


# All of them.


@pytest.mark.parametrize("name", POSITION_BIASES)
def test_a_bias_has_one_row_per_query_and_the_dtype_it_was_made_with(name, device):
    bias = made(name, device)(plain(PLACES[4:], device), plain(PLACES, device))
    assert bias.shape == (1 if name == "sandwich" else H, 2, T) and bias.dtype == np.float64
    assert POSITION_BIASES[name](H, Random(0))(PLACES, PLACES).dtype == np.float32


@pytest.mark.parametrize("name", POSITION_BIASES)
def test_queries_after_a_cache_get_the_last_rows(name, device, rng):
    layer, (q, k, v) = made(name, device), qkv(rng, device)
    whole = layer(plain(PLACES, device), plain(PLACES, device))
    late = layer(plain(PLACES[4:], device), plain(PLACES, device))
    np.testing.assert_array_equal(host(late), host(whole)[:, 4:])
    y = host(tl.attention(q, k, v, bias=whole, causal=True))
    stream = host(tl.attention(q[:, :, 4:], k, v, bias=late, causal=True))
    np.testing.assert_allclose(stream, y[:, :, 4:], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", POSITION_BIASES)
def test_each_sequence_may_have_positions_of_its_own(name, device, rng):
    places = np.array([[0, 1, 2, 3, 4, 5], [0, 3, 4, 10, 11, 40]])
    layer = made(name, device)
    both = layer(plain(places, device), plain(places, device))
    for b in range(B):
        alone = layer(plain(places[b], device), plain(places[b], device))
        np.testing.assert_allclose(host(both)[b], host(alone), rtol=1e-13, atol=1e-13)
    assert host(tl.attention(*qkv(rng, device), bias=both, causal=True)).shape == (B, H, T, K)


@pytest.mark.parametrize("name", [n for n in POSITION_BIASES if n != "fire"])
def test_the_bias_of_a_longer_text_continues_that_of_a_shorter(name):
    layer = made(name)
    np.testing.assert_array_equal(
        layer(PLACES, PLACES).numpy(), layer(np.arange(50), np.arange(50)).numpy()[:, :T, :T]
    )
    np.testing.assert_array_equal(
        layer(PLACES, PLACES).numpy(), layer(PLACES + 70, PLACES + 70).numpy()
    )


LEARNED = {  # numbers of H heads
    "offset": 513 * H,  # one per offset 0 .. 512
    "t5": 32 * H,  # one per bucket
    "alibi": 0,
    "kerple_power": 2 * H,  # beta1 and beta2
    "kerple_log": 2 * H,
    "sandwich": 0,
    "fire": 1
    + 2 * 32
    + (32 + 1) * H,  # c; weights and biases of 32 hidden units; those of H outputs
}


@pytest.mark.parametrize("name", POSITION_BIASES)
def test_a_bias_learns_as_many_numbers_as_its_paper_says(name, rng):
    layer = made(name)
    assert layer.count_parameters() == LEARNED[name]
    if LEARNED[name]:
        bias = layer(PLACES, PLACES)
        bias.backward(rng.normal(size=bias.shape))
        assert all((p.grad.numpy() != 0).any() for p in layer.parameters())


DEFAULTS = [
    (T5Bias, dict(buckets=32, max_distance=128, bidirectional=False)),  # Raffel et al. 2020
    (SandwichBias, dict(width=128, heads=1)),  # Chi et al. 2023
    (FireBias, dict(hidden=32, c=0.1, threshold=512)),  # Li et al. 2024, their code
    (OffsetBias, dict(max_offset=512, bidirectional=False)),  # ours: the same length
    (AlibiBias, dict(slopes=None)),  # Press et al. 2022: those of alibi_slopes
]


@pytest.mark.parametrize("bias, expected", DEFAULTS)
def test_defaults_are_those_of_the_papers(bias, expected):
    parameters = inspect.signature(bias).parameters
    assert {name: parameters[name].default for name in expected} == expected


# Where the bias stands   (book eqs. 2.76, 2.80, 2.81).


def test_a_bias_of_the_query_alone_changes_nothing(rng):
    q, k, v = qkv(rng)
    row = tl.Tensor(rng.normal(size=(H, T, 1)))
    np.testing.assert_allclose(
        tl.attention(q, k, v, bias=row).numpy(),
        tl.attention(q, k, v).numpy(),
        rtol=1e-12,
        atol=1e-14,
    )


def test_unscaled_attention_of_shrunk_queries_is_the_scaled_one(rng):
    # Softmax(q k^T + u) with q and u divided by sqrt(K) is Softmax((q k^T + u) / sqrt(K)).
    q, k, v = qkv(rng)
    u = made("t5")(PLACES, PLACES)
    scaled = tl.attention(q, k, v, bias=inside_root(u, K), causal=True)
    unscaled = tl.attention(q / np.sqrt(K), k, v, bias=u / np.sqrt(K), causal=True, scale=1.0)
    np.testing.assert_allclose(scaled.numpy(), unscaled.numpy(), rtol=1e-12, atol=1e-14)
    assert (
        np.abs(scaled.numpy() - tl.attention(q, k, v, bias=u, causal=True, scale=1.0).numpy()).max()
        > 0.01
    )


def test_the_gradient_of_a_bias_under_the_root_is_that_of_the_scores_divided_by_it(rng):
    q, k, v = qkv(rng)
    values = rng.normal(size=(H, T, T))
    inside, outside = (tl.Tensor(x, requires_grad=True) for x in (values, values / np.sqrt(K)))
    cotangent = rng.normal(size=q.shape)
    tl.attention(q, k, v, bias=inside_root(inside, K), causal=True).backward(cotangent)
    tl.attention(q, k, v, bias=outside, causal=True).backward(cotangent)
    np.testing.assert_allclose(
        inside.grad.numpy(), outside.grad.numpy() / np.sqrt(K), rtol=1e-12, atol=1e-15
    )


# Offsets and T5   (book eqs. 2.77-2.79).


def test_an_offset_that_training_never_met_gets_a_gradient_of_exactly_zero(rng):
    layer = made("offset", max_offset=9)
    tl.attention(*qkv(rng), bias=layer(PLACES, PLACES), causal=True).backward(
        rng.normal(size=(B, H, T, K))
    )
    gradient = layer.table.grad.numpy()
    assert (gradient[T:] == 0).all() and (gradient[:T] != 0).all()


def test_an_offset_without_a_number_is_refused():
    with pytest.raises(DataError, match="5 is beyond the largest, 4"):
        made("offset", max_offset=4)(PLACES, PLACES)
    with pytest.raises(DataError, match="5"):  # the first query and the last key
        made("offset", max_offset=4, bidirectional=True)(PLACES[:1], PLACES)
    made("offset", max_offset=4)(
        PLACES[:1], PLACES
    )  # keys after the query are masked: no number needed


def test_a_text_of_no_tokens_has_an_empty_bias():
    assert made("offset")(PLACES[:0], PLACES[:0]).shape == (H, 0, 0)


def test_bidirectional_offsets_have_a_number_for_each_sign():
    layer = OffsetBias(1, Random(0), max_offset=2, bidirectional=True, dtype=np.float64)
    u = layer.table.numpy()[:, 0]  # offsets -2, -1, 0, 1, 2
    np.testing.assert_array_equal(
        layer(np.arange(3), np.arange(3)).numpy()[0], u[[[2, 1, 0], [3, 2, 1], [4, 3, 2]]]
    )


def test_t5_with_a_bucket_per_offset_is_the_offset_bias():
    t5 = T5Bias(H, Random(0), buckets=16, max_distance=64)
    offset = OffsetBias(H, Random(0), max_offset=15)
    near = np.arange(8)  # 8 of 16 buckets hold one offset each
    offset.table.assign_(t5.table.numpy())
    np.testing.assert_array_equal(t5(near, near).numpy(), offset(near, near).numpy())


def test_a_bucket_gathers_the_gradient_of_all_its_pairs(device):
    layer = T5Bias(H, Random(0), buckets=4, max_distance=5, dtype=np.float64).to(device)
    layer(plain(PLACES, device), plain(PLACES, device)).sum().backward()
    # Figure 2.11a's matrix of 6 x 6: bucket 0 on and above the diagonal 21 times, then 5, 4 + 3 and
    # 2 + 1
    np.testing.assert_array_equal(
        host(layer.table.grad), np.array([21, 5, 7, 3])[:, None] * np.ones(H)
    )
    assert (t5_bucket(offsets(PLACES, PLACES)[0], 4, 5)[5] == [3, 3, 2, 2, 1, 0]).all()


# ALiBi   (book eqs. 2.82-2.84, Fig. 2.11b).


@pytest.mark.parametrize(
    "heads, exponents",
    [
        (1, [-8]),
        (2, [-4, -8]),
        (4, [-2, -4, -6, -8]),
        (8, range(-1, -9, -1)),
        (16, np.arange(1, 17) / -2),
        (6, [-2, -4, -6, -8, -1, -3]),
        (12, [*range(-1, -9, -1), -0.5, -1.5, -2.5, -3.5]),
    ],
)
def test_slopes_of_alibi(heads, exponents):
    np.testing.assert_allclose(alibi_slopes(heads), 2.0 ** np.array(exponents), rtol=1e-14)


def test_the_printed_rule_of_slopes_is_not_a_geometric_sequence():
    printed = 0.5 ** (8 / np.arange(1, 9))  # 1/2^(8/k): rises with k
    np.testing.assert_allclose(
        printed, [0.003906, 0.0625, 0.15749, 0.25, 0.329877, 0.39685, 0.452862, 0.5], atol=5e-7
    )
    assert (
        np.ptp(printed[1:] / printed[:-1]) > 1
        and np.ptp(alibi_slopes(8)[1:] / alibi_slopes(8)[:-1]) < 1e-15
    )


def test_the_matrix_of_alibi(device):
    bias = host(
        AlibiBias(1, slopes=[0.5])(plain(np.arange(4), device), plain(np.arange(4), device))
    )[0]
    rows = [[0], [-0.5, 0], [-1, -0.5, 0], [-1.5, -1, -0.5, 0]]
    assert [row[: i + 1].tolist() for i, row in enumerate(bias)] == rows
    np.testing.assert_array_equal(bias, bias.T)  # for encoders: the same penalty on both sides


def test_slopes_of_zero_and_without_end_are_plain_attention_and_the_token_itself(rng):
    q, k, v = qkv(rng)
    none, steep = (
        AlibiBias(H, slopes=[s] * H, dtype=np.float64)(PLACES, PLACES) for s in (0.0, 1e4)
    )
    np.testing.assert_allclose(
        tl.attention(q, k, v, bias=none, causal=True).numpy(),
        tl.attention(q, k, v, causal=True).numpy(),
    )
    np.testing.assert_allclose(
        tl.attention(q, k, v, bias=steep, causal=True).numpy(), v.numpy(), rtol=1e-12
    )


def test_a_slope_times_the_key_position_alone_gives_the_same_attention(rng):
    # beta (j - i) and beta j differ by a constant per row.
    q, k, v = qkv(rng)
    by_key = tl.Tensor(alibi_slopes(H)[:, None, None] * PLACES)  # (H, 1, T)
    y = tl.attention(q, k, v, bias=made("alibi")(PLACES, PLACES), causal=True).numpy()
    np.testing.assert_allclose(
        tl.attention(q, k, v, bias=by_key, causal=True).numpy(), y, rtol=1e-12, atol=1e-14
    )


def test_phrases_in_order_have_no_distortion():
    assert phrase_distortion([(0, 1), (2, 2), (3, 5)]) == [0, 0, 0]
    # Words 3-5 first: |3 + 1 - 1| = 3 skipped; then back to 0 from 5: |0 - 5 - 1| = 6; then 2 after
    # 1: 0.
    assert phrase_distortion([(3, 5), (0, 1), (2, 2)]) == [-3, -6, 0]


# Table 2.4.


def test_kerple_of_offsets_0_to_5(device):
    n = plain(np.arange(6.0), device)
    power = host(kerple_power(tl.Tensor(n), 1.0, 0.5))
    np.testing.assert_allclose(power, [0, -1, -1.414214, -1.732051, -2, -2.236068], atol=5e-7)
    logarithmic = host(kerple_log(tl.Tensor(n), 1.0, 1.0))
    np.testing.assert_allclose(
        logarithmic, [0, -0.693147, -1.098612, -1.386294, -1.609438, -1.791759], atol=5e-7
    )


def test_kerple_of_power_one_is_alibi_and_starts_there():
    n, beta = np.arange(100.0), 0.37
    np.testing.assert_allclose(kerple_power(n, beta, 1.0).numpy(), -beta * n)
    start = KerplePowerBias(H, dtype=np.float64)(PLACES, PLACES)
    np.testing.assert_allclose(start.numpy(), made("alibi")(PLACES, PLACES).numpy(), rtol=1e-13)


def test_logarithmic_kerple_starts_anywhere_in_two_ranges():
    layer = KerpleLogBias(4000, Random(0), dtype=np.float64)
    # Of 4000 numbers, some come within a 400th of either end; the lowest hundredth is left out.
    for raw, top in (layer.a, 2), (layer.b, 1):
        beta = tl.softplus(raw).numpy() / top
        assert 0.01 <= beta.min() < 0.0125 and 0.9975 < beta.max() < 1


def test_the_exponential_of_logarithmic_kerple_is_a_power_law():
    n = np.arange(50.0)
    np.testing.assert_allclose(
        np.exp(kerple_log(n, 0.7, 1.3).numpy()), (1 + 1.3 * n) ** -0.7, rtol=1e-12
    )


@pytest.mark.parametrize("power", [0.3, 1.0, 1.7, 2.0])
def test_kerple_is_conditionally_positive_definite_up_to_power_two(power):
    n = np.abs(np.arange(12.0)[:, None] - np.arange(12))
    centered = np.eye(12) - 1 / 12  # onto vectors whose entries sum to zero

    def lowest(p):
        return np.linalg.eigvalsh(centered @ kerple_power(n, 1.0, p).numpy() @ centered).min()

    assert lowest(power) > -1e-9 and lowest(2.5) < -1  # 1e-9: rounding of sums of a few thousand


def test_sandwich_of_offsets_0_to_5(device):
    found = host(sandwich(plain(np.arange(6), device), 8))
    np.testing.assert_allclose(
        found, [4, 3.994954, 3.979865, 3.954882, 3.920253, 3.87632], atol=5e-7
    )


def test_sandwich_is_the_inner_product_of_two_sinusoidal_vectors():
    # Frequencies 10000^(-2k/w), k = 1 .. w/2: those of sinusoids of width w, all one pair further,
    # since 10000^(-2k/w) = 10000^(-2/w) * 10000^(-2(k-1)/w): sinusoids of positions times
    # 10000^(-2/w).
    i, j, w = np.arange(20), np.arange(9), 16
    at_i, at_j = (sinusoidal(p * 10000.0 ** (-2 / w), w, dtype=np.float64) for p in (i, j))
    bias = SandwichBias(width=w, dtype=np.float64)(i, j).numpy()[0]
    np.testing.assert_allclose(bias, at_i @ at_j.T, rtol=1e-12)
    assert bias[3, 3] == w / 2 and bias[2, 7] == bias[7, 2]
    with pytest.raises(ConfigError, match="even"):
        SandwichBias(width=5)


def test_the_argument_of_fire(device):
    i, j = (plain(x, device) for x in (np.array([3, 4, 7]), np.arange(8)))
    rows = host(fire_argument(i, j, 1.0, 4))[0]
    np.testing.assert_allclose(rows[0, :4], [0.861353, 0.682606, 0.430677, 0], atol=5e-7)
    np.testing.assert_allclose(rows[1, :5], [1, 0.861353, 0.682606, 0.430677, 0], atol=5e-7)
    np.testing.assert_allclose(
        rows[2], [1, 0.935785, 0.861654, 0.773976, 0.666667, 0.528321, 0.333333, 0], atol=5e-7
    )


def test_the_argument_of_fire_stays_in_0_to_1_and_reaches_1_at_the_first_key():
    z = fire_argument(np.arange(600), np.arange(600), 0.1, 50).numpy()[0]
    assert z.min() == 0 and z.max() == 1 and (z[50:, 0] == 1).all() and (z[:50] < 1).all()


def test_fire_depends_on_the_offset_alone_only_up_to_its_threshold():
    layer = FireBias(H, Random(0), threshold=8, dtype=np.float64)

    def rows(first):
        return layer(np.array([first]), np.arange(first - 2, first + 1)).numpy()  # offsets 2, 1, 0

    np.testing.assert_allclose(rows(3), rows(8), rtol=1e-13)
    assert np.abs(rows(8) - rows(30))[..., :2].max() > 1e-3


def test_fire_starts_with_its_kinks_spread_over_all_distances():
    layer = FireBias(4, Random(0), hidden=4000, dtype=np.float64)
    kinks = layer.hidden.bias.numpy()  # in (-1, 1); of 4000, some within a 1000th of either end
    assert -1 <= kinks.min() < -0.998 and 0.998 < kinks.max() < 1
    assert tl.softplus(layer.c).item() == pytest.approx(0.1)
    # Slopes of deviation 1, outputs of 1/sqrt(F), known within 1 / sqrt(2 * 4000) = 1 %.
    assert layer.hidden.weight.numpy().std() == pytest.approx(1, abs=0.05)
    assert layer.out.weight.numpy().std() * 4000**0.5 == pytest.approx(1, abs=0.05)


def test_fire_with_straight_lines_is_alibi():
    # psi(x) = x: log(c x + 1) / log(c m + 1) -> x / m as c -> 0, with an error below c m / 2; f(z)
    # = -beta m z.
    z = fire_argument(PLACES, PLACES, 1e-9, 16).numpy()
    alibi = AlibiBias(1, slopes=[0.25], dtype=np.float64)(PLACES, PLACES).numpy()
    np.testing.assert_allclose(np.tril(-0.25 * 16 * z[0]), np.tril(alibi[0]), atol=1e-6)
