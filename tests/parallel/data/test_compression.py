"""What is sent of a gradient, that nothing is lost, and where descent fails without the rest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinylm.errors import ConfigError
from tinylm.parallel import launch, share_rows
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.data.compression import CompressedSum, OneBit, ScaledSign, TopK

CODES = {
    "top k": lambda n, dtype=np.float64: TopK(n, 0.25, dtype),
    "one bit": lambda n, dtype=np.float64: OneBit(n, dtype),
    "scaled sign": lambda n, dtype=np.float64: ScaledSign(n, dtype),
}
vectors = st.integers(1, 40).flatmap(
    lambda n: arrays(np.float64, n, elements=st.floats(-100, 100, width=32))
)


@given(vectors, st.sampled_from(sorted(CODES)), st.sampled_from([np.float32, np.float64]))
def test_messages_have_one_length(p, name, dtype):
    code = CODES[name](len(p), dtype)
    message = code.pack(p.astype(dtype))
    assert message.shape == (code.nbytes,) and message.dtype == np.uint8
    found = code.unpack(message)
    assert found.shape == p.shape and found.dtype == dtype


def test_bytes_by_hand():
    """Of 9 numbers: two bytes of bits and one or two means, or two places and two numbers."""
    assert OneBit(9, np.float32).nbytes == len(OneBit(9).pack(np.ones(9))) == 2 + 8
    assert ScaledSign(9, np.float64).nbytes == 2 + 8
    assert TopK(9, 0.25, np.float64).nbytes == 2 * (4 + 8)
    assert ScaledSign(8).nbytes == 1 + 4


@given(vectors)
def test_the_largest_are_sent_as_they_are(p):
    code = TopK(len(p), 0.25, np.float64)
    found = code.unpack(code.pack(p))
    sent = np.flatnonzero(found)
    np.testing.assert_array_equal(found[sent], p[sent])
    left = np.delete(np.abs(p), sent)
    assert len(sent) <= code.k
    if len(sent) == code.k and left.size:
        assert np.abs(p[sent]).min() >= left.max()
    whole = TopK(len(p), 1.0, np.float64)
    np.testing.assert_array_equal(whole.unpack(whole.pack(p)), p)


@given(vectors)
def test_both_sides_of_zero_keep_their_sums(p):
    code = OneBit(len(p), np.float64)
    found = code.unpack(code.pack(p))
    for side in (p >= 0, p < 0):
        assert found[side].sum() == pytest.approx(p[side].sum(), rel=1e-12, abs=1e-9)
        assert len(set(found[side])) <= 1


@given(vectors)
def test_how_far_a_scaled_sign_is_from_the_gradient(p):
    """|p - C(p)|^2 = |p|^2 - |p|_1^2 / n: less than |p|^2, which is what convergence needs."""
    code = ScaledSign(len(p), np.float64)
    error = np.sum((p - code.unpack(code.pack(p))) ** 2)
    expected = np.sum(p**2) - np.sum(np.abs(p)) ** 2 / len(p)
    assert error == pytest.approx(expected, rel=1e-9, abs=1e-7)


def rest_and_sent(comm, name, steps, whole):
    """(sum of a rank's gradients, what it has not sent, sum over ranks of what was sent)."""
    rng = np.random.default_rng(comm.rank)
    sums = CompressedSum(comm, CODES[name](24))
    own, sent = np.zeros(24), np.zeros(24)
    for _ in range(steps):
        g = rng.integers(-9, 10, 24).astype(np.float64)
        if not whole:
            g = rng.standard_normal(24)
        own += g
        sent += sums.sum(g)
    return own, sums.rest, sent


@pytest.mark.parametrize("name", CODES)
def test_what_was_sent_and_the_rest_are_all_gradients(name):
    found = simulate(rest_and_sent, 3, name, 50, False).results
    gradients, rests = sum(own for own, _, _ in found), sum(rest for _, rest, _ in found)
    for _, _, sent in found:
        assert sent.tobytes() == found[0][2].tobytes()  # the same bits on all ranks
        np.testing.assert_allclose(sent + rests, gradients, rtol=0, atol=1e-12)
    assert np.abs(rests).max() > 0.1  # something is late


def test_of_whole_numbers_nothing_at_all_is_lost():
    """The k largest are sent as they are, so sums of whole numbers are exact."""
    found = simulate(rest_and_sent, 3, "top k", 50, True).results
    gradients, rests = sum(own for own, _, _ in found), sum(rest for _, rest, _ in found)
    np.testing.assert_array_equal(found[0][2] + rests, gradients)


def test_workers_that_share_memory_send_the_same():
    for name in CODES:
        one = launch(rest_and_sent, 2, name, 5, False, capacity=4096)
        other = simulate(rest_and_sent, 2, name, 5, False).results[0]
        assert one[2].tobytes() == other[2].tobytes()


# Two workers, losses (a . x)^2 for the two rows: where they begin, what one sends cancels what the
# other sends, though the sum of their gradients is not 0.
STUCK = {
    "top k": ([[1, 0.5, 0, 0], [-1, 0.5, 0, 0]], [0, 1, 0, 0]),
    "one bit": ([[1.5, 0.5, -1, -1], [-0.5, -1.5, 1, 1]], [1, -1, 0, 0]),
    "scaled sign": ([[1.5, -0.5, 1.5, -0.5], [-0.5, 1.5, -0.5, 1.5]], [1, 1, 1, 1]),
}


def descent(comm, name, feedback):
    """|gradient| of the loss of both before and after, and how far x has come."""
    rows, start = (np.array(part, np.float64) for part in STUCK[name])
    sums = CompressedSum(comm, CODES[name](4), feedback)
    a, x = rows[comm.rank], start.copy()
    for _ in range(2000):
        x -= 0.02 * sums.sum(2 * a * (a @ x))
    gradients = [np.linalg.norm(2 * rows.T @ (rows @ at)) for at in (start, x)]
    return *gradients, np.linalg.norm(x - start)


@pytest.mark.parametrize("name", CODES)
def test_without_feedback_descent_can_stand_still(name):
    before, after, moved = simulate(descent, 2, name, False).results[0]
    assert before > 0.9 and after > 0.9 and moved < 0.3
    _, after, moved = simulate(descent, 2, name, True).results[0]
    assert after < 1e-9 and moved > 0.9


def regression(comm, code, feedback):
    """Loss of least squares on 60 rows after 400 steps; bytes that this worker has sent."""
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((60, 20)), np.zeros(20)
    y = x @ rng.standard_normal(20)
    mine = slice(*share_rows(60, comm.rank, comm.size))
    sums = code and CompressedSum(comm, CODES[code](20), feedback)
    add = sums.sum if code else comm.all_reduce
    for _ in range(400):
        w -= 0.05 * add(2 / 60 * x[mine].T @ (x[mine] @ w - y[mine]))
    return np.mean((x @ w - y) ** 2), sum(comm.bytes_sent.values())


def test_with_feedback_regression_arrives_where_it_does_without_compression():
    exact, everything = simulate(regression, 2, None, None).results[0]
    assert exact < 1e-6 and everything == 400 * 20 * 8  # 2 (n - 1) / n of 160 bytes
    for name, message in (("top k", 5 * 12), ("one bit", 3 + 16), ("scaled sign", 3 + 8)):
        loss, sent = simulate(regression, 2, name, True).results[0]
        assert sent == 400 * message
        assert loss < 1e-3


@pytest.mark.parametrize("n", [2, 4, 8])
def test_gathered_messages_save_while_they_are_less_than_two_nths(n):
    """(n - 1) m against 2 (n - 1) / n S: with 8 workers a quarter of the bytes is no gain."""

    def program(comm, share):
        gradient = np.ones(1024, np.float32)
        CompressedSum(comm, TopK(1024, share)).sum(gradient)
        compressed = sum(comm.bytes_sent.values())
        comm.all_reduce(gradient)
        return compressed / (sum(comm.bytes_sent.values()) - compressed)

    for share in (1 / 16, 1 / 8, 1 / 4):
        ratio = simulate(program, n, share).results[0]
        assert ratio == pytest.approx(2 * share * n / 2)  # m / S = 2 share: a place and a number


def test_a_share_that_is_none_is_refused():
    for share in (0, -0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="must be above 0 and at most 1"):
            TopK(10, share)
    assert TopK(10, 0.001).k == 1
