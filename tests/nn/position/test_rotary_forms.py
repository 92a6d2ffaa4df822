"""RoPE in five forms: worked vectors, equality of the forms, distance alone counts, both orders of
the channels.
"""

import math

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf, plain
from tinylm.errors import ShapeError
from tinylm.nn import rotary_angles
from tinylm.nn.position.rotary import rotary_frequencies
from tinylm.nn.position.rotary_forms import (
    adjacent_to_halves,
    halves_to_adjacent,
    rotary_adjacent,
    rotary_complex,
    rotary_elementwise,
    rotary_periods,
    rotate2d,
    rotation_matrix,
)

X = np.array([1.0, 2, 3, 4])
# X at positions 0, 1, 2 and 100 with neighboring pairs, frequencies 1 and 0.01
TURNED = {
    0: X,
    1: [-1.14264, 1.922076, 2.959851, 4.0298],
    2: [-2.234742, 0.077004, 2.919405, 4.059196],
    100: [1.87505, 1.218272, -1.744977, 4.685622],
}


def angles(positions, width, device="cpu"):
    return dict(
        zip(("cos", "sin"), rotary_angles(plain(positions, device), width, dtype=np.float64))
    )


def test_a_quarter_turn_is_counter_clockwise_and_keeps_the_length():
    np.testing.assert_allclose(rotate2d(np.array([3.0, 4.0]), math.pi / 2), [-4, 3], atol=1e-15)
    assert np.linalg.norm(rotate2d(np.array([3.0, 4.0]), 0.7)) == pytest.approx(5, rel=1e-15)


def test_many_small_turns_are_one_large_turn():
    x = np.array([3.0, 4.0])
    for _ in range(7):
        x = rotate2d(x, 0.3)
    np.testing.assert_allclose(x, rotate2d(np.array([3.0, 4.0]), 2.1), rtol=1e-14)


def test_rotation_matrices_form_a_group():
    theta = rotary_frequencies(6)
    R3, R5 = rotation_matrix(3, theta), rotation_matrix(5, theta)
    np.testing.assert_allclose(R3 @ R5, rotation_matrix(8, theta), atol=1e-15)
    np.testing.assert_allclose(R3 @ R3.T, np.eye(6), atol=1e-15)
    assert np.linalg.det(R3) == pytest.approx(1, rel=1e-14)
    np.testing.assert_array_equal(
        R3[:2, :2], [[np.cos(3), np.sin(3)], [-np.sin(3), np.cos(3)]]
    )  # for row vectors


@pytest.mark.parametrize("width, expected", [(2, [1]), (4, [1, 0.01]), (8, [1, 0.1, 0.01, 0.001])])
def test_frequencies_fall_from_one_by_equal_ratios(device, width, expected):
    np.testing.assert_allclose(
        host(rotary_frequencies(width, like=plain([0], device))), expected, rtol=1e-14
    )


def test_periods_of_eight_channels_and_the_pairs_that_never_finish_a_turn():
    periods = rotary_periods(rotary_frequencies(8))
    np.testing.assert_allclose(periods, [6.283185, 62.831853, 628.318531, 6283.185307], atol=5e-7)
    assert (periods > 512).sum() == 2  # 628 and 6283 positions are more than 512


@pytest.mark.parametrize("t", TURNED)
def test_the_worked_vectors_in_every_form(device, t):
    theta, x, at = plain(rotary_frequencies(4), device), plain(X[None], device), plain([t], device)
    as_complex = host(rotary_complex(x, at, theta))[0]
    forms = [
        X @ rotation_matrix(t, rotary_frequencies(4)),
        host(rotary_elementwise(x, at, theta))[0],
        np.stack([as_complex.real, as_complex.imag], -1).reshape(-1),
        host(rotary_adjacent(tl.Tensor(x), **angles([t], 4, device)))[0],
    ]
    for form in forms:
        np.testing.assert_allclose(form, TURNED[t], atol=5e-7)
        np.testing.assert_allclose(form, forms[0], atol=1e-13)


def test_the_worked_vector_of_the_rotate_half_order(device):
    turned = host(tl.rotary(tl.Tensor(X[None], device=device), **angles([1], 4, device)))[0]
    np.testing.assert_allclose(turned, [-1.984111, 1.959901, 2.462378, 4.0198], atol=5e-7)


def test_the_two_orders_differ_by_a_permutation_of_channels(device, rng):
    x = rng.normal(size=(2, 3, 5, 8))
    turned = angles(np.arange(5), 8, device)
    halves = tl.rotary(tl.Tensor(adjacent_to_halves(plain(x, device))), **turned)
    adjacent = rotary_adjacent(tl.Tensor(x, device=device), **turned)
    np.testing.assert_allclose(host(halves_to_adjacent(halves.data)), host(adjacent), rtol=1e-14)


def test_the_permutation_takes_even_channels_first_in_every_head():
    assert adjacent_to_halves(np.arange(12), heads=2).tolist() == [
        0,
        2,
        4,
        1,
        3,
        5,
        6,
        8,
        10,
        7,
        9,
        11,
    ]
    x = np.arange(24).reshape(2, 12)
    np.testing.assert_array_equal(halves_to_adjacent(adjacent_to_halves(x, 3), 3), x)
    with pytest.raises(ShapeError, match="even"):
        adjacent_to_halves(x, heads=4)  # heads of 3 channels


def test_converted_weights_give_the_same_scores(rng):
    T, D, H, K = 5, 6, 2, 4
    x, turned = rng.normal(size=(T, D)), angles(np.arange(5), 4)
    weights = rng.normal(size=(2, D, H * K))  # of queries and keys, for neighboring pairs

    def scores(W, turn):
        q, k = (
            turn(tl.Tensor((x @ w).reshape(T, H, K).swapaxes(0, 1)), **turned).numpy() for w in W
        )
        return q @ k.swapaxes(-1, -2)

    halves = scores(adjacent_to_halves(weights, H), tl.rotary)
    np.testing.assert_allclose(halves, scores(weights, rotary_adjacent), rtol=1e-12, atol=1e-13)
    assert (
        np.abs(scores(weights, tl.rotary) - halves).max() > 0.1
    )  # without conversion it is another model


def test_the_backward_of_a_rotation_is_the_rotation_back(device, rng):
    x, g = leaf(rng.normal(size=(3, 4)), device), rng.normal(size=(3, 4))
    rotary_adjacent(x, **angles([0, 3, 9], 4, device)).backward(plain(g, device))
    back = rotary_adjacent(tl.Tensor(g, device=device), **angles([0, -3, -9], 4, device))
    np.testing.assert_allclose(host(x.grad), host(back), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("t, s", [(5, 2), (0, 0), (3, 9), (40, 1)])
@pytest.mark.parametrize("shift", [1, 100, 4000])
def test_scores_depend_on_the_distance_alone(rng, t, s, shift):
    theta = rotary_frequencies(8)
    x, y = rng.normal(size=(2, 8))

    def score(t, s):
        return (
            rotary_elementwise(x[None], np.array([t]), theta)[0]
            @ rotary_elementwise(y[None], np.array([s]), theta)[0]
        )

    assert score(t + shift, s + shift) == pytest.approx(score(t, s), rel=1e-9)
    assert score(t, s) == pytest.approx(
        x @ rotation_matrix(t - s, theta) @ y, rel=1e-12, abs=1e-12
    )  # eq. 2.90


def test_the_complex_inner_product_holds_the_real_one_and_the_distance(rng):
    theta = rotary_frequencies(8)
    x, y = rng.normal(size=(2, 1, 8))
    product = rotary_complex(x, np.array([5]), theta) * np.conj(
        rotary_complex(y, np.array([2]), theta)
    )  # (1, K/2)
    plain_product = rotary_complex(x, np.array([0]), theta) * np.conj(
        rotary_complex(y, np.array([0]), theta)
    )
    np.testing.assert_allclose(product, plain_product * np.exp(3j * theta), rtol=1e-13)  # eq. 2.89
    real = (
        rotary_elementwise(x, np.array([5]), theta) @ rotary_elementwise(y, np.array([2]), theta).T
    )
    assert product.sum().real == pytest.approx(real[0, 0], rel=1e-12)


def test_attention_is_the_same_wherever_the_text_starts(rng):
    q, k, v = (tl.Tensor(rng.normal(size=(1, 2, 6, 8))) for _ in range(3))

    def attend(start):
        turned = angles(np.arange(6) + start, 8)
        return tl.attention(
            rotary_adjacent(q, **turned), rotary_adjacent(k, **turned), v, causal=True
        ).numpy()

    np.testing.assert_allclose(attend(0), attend(1000), rtol=1e-10, atol=1e-12)


def test_cat_and_sleeping_enclose_the_same_angle_in_both_sentences(rng):
    # "The(1) cat(2) is(3) sleeping(4)" and "... the(6) cat(7) is(8) sleeping(9)"   (Fig. 2.12c)
    cat, sleeping = rng.normal(size=(2, 1, 8))

    def cosine(i, j):
        a, b = (
            rotary_elementwise(x, np.array([t]), rotary_frequencies(8))[0]
            for x, t in ((cat, i), (sleeping, j))
        )
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert (
        cosine(2, 4) == pytest.approx(cosine(7, 9), rel=1e-12)
        and abs(cosine(2, 4) - cosine(2, 5)) > 0.01
    )
