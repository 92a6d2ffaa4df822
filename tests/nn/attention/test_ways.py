"""Every way to attend: masks are bool, nothing seen gives zeros, what is hidden does not count."""

import tracemalloc

import numpy as np
import pytest

import tinylm as tl
from tests.nn.attention.ways import BY_TABLE, CHOSEN, MASKED, OWN
from tinylm.errors import DtypeError, ShapeError
from tinylm.nn import capped_attention

B, H, T, K = 2, 2, 5, 4
# Query 1 sees nothing; nobody sees key 2; key 4 is seen by the last query alone.
MASK = np.tri(T, dtype=bool)
MASK[1], MASK[:, 2] = False, False
BAD = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "large": 1e200}


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(B, H, T, K)) for _ in range(4)]


def run(way, arrays, *mask):
    """Output and the three gradients, the cotangent last among the arrays."""
    *qkv, g = arrays
    leaves = [tl.Tensor(x, requires_grad=True) for x in qkv]
    y = way(*leaves, *mask)
    y.backward(g)
    return [y.data, *(x.grad.data for x in leaves)]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("way", MASKED.values(), ids=MASKED)
def test_masks_that_are_not_bool_are_refused_with_what_to_write(way, kind):
    with pytest.raises(DtypeError, match="must be bool, True = visible.*== 0.*== 1"):
        run(way, drawn(), MASK.astype(kind))


@pytest.mark.parametrize("way", MASKED.values(), ids=MASKED)
def test_an_additive_mask_is_refused_also_as_a_tensor(way):
    additive = tl.Tensor(np.where(MASK, 0.0, -np.inf))
    with pytest.raises(DtypeError, match="float64"):
        way(*map(tl.Tensor, drawn()[:3]), additive)


@pytest.mark.parametrize(
    "shape",
    [
        (T + 2,),
        (T, T + 2),
        (T + 1, T),
        (B, 1, T, T + 1),
        (H + 1, T, T),
        (B + 1, 1, 1, T),
        (1, B, H, T, T),
    ],
    ids=str,
)
@pytest.mark.parametrize("way", MASKED.values(), ids=MASKED)
def test_masks_that_do_not_fit_are_named(way, shape):
    with pytest.raises(ShapeError, match="mask of shape|far_visible of shape"):
        way(*map(tl.Tensor, drawn()[:3]), np.ones(shape, bool))


def test_the_message_names_where_an_additive_mask_goes():
    x = tl.Tensor(np.ones((1, 1, 2, 2)))
    with pytest.raises(DtypeError, match=r"give mask == 0 \(or bias=mask\)"):
        tl.attention(x, x, x, mask=np.zeros((2, 2)))


def test_a_mask_given_as_a_bias_is_refused():
    x = tl.Tensor(np.ones((1, 1, 2, 2)))
    for way in (tl.attention, lambda *a, **o: capped_attention(*a, 5.0, **o)):
        with pytest.raises(DtypeError, match="bias is bool: pass a mask as mask="):
            way(x, x, x, bias=np.ones((2, 2), bool))


@pytest.mark.parametrize("way", [*MASKED.values(), *BY_TABLE.values()], ids=[*MASKED, *BY_TABLE])
def test_a_query_that_sees_nothing_gets_zeros_and_gives_none(way):
    y, *gradients = run(way, drawn(), MASK)
    np.testing.assert_array_equal(y[:, :, 1], 0)
    np.testing.assert_array_equal(gradients[0][:, :, 1], 0)
    assert all(np.isfinite(x).all() for x in (y, *gradients))
    blind = run(way, drawn(), np.zeros_like(MASK))
    assert all(not x.any() for x in blind)  # nobody sees anything


@pytest.mark.parametrize("way", [*MASKED.values(), *BY_TABLE.values()], ids=[*MASKED, *BY_TABLE])
def test_a_query_that_sees_nothing_changes_nothing_for_others(way):
    arrays = drawn()
    before = run(way, arrays, MASK)
    arrays[0][:, :, 1], arrays[3][:, :, 1] = 7.0, -3.0  # another query there, another cotangent
    after = run(way, arrays, MASK)
    for x, y in zip(before, after):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("way", [*MASKED.values(), *BY_TABLE.values()], ids=[*MASKED, *BY_TABLE])
def test_what_no_query_sees_reaches_nothing(way, bad):
    arrays = drawn()
    expected = run(way, arrays, MASK)
    for x in arrays[1:3]:
        x[:, :, 2, 1] = bad  # key and value 2, hidden from all
    for was, now in zip(expected, run(way, arrays, MASK)):
        np.testing.assert_allclose(now, was, rtol=1e-12, atol=1e-15)


def unseeing(arrays, bad, at):
    """The same arrays with something bad in key and value `at`."""
    changed = [x.copy() for x in arrays]
    for x in changed[1:3]:
        x[:, :, at, 1] = bad
    return changed


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("way", [*MASKED.values(), *BY_TABLE.values()], ids=[*MASKED, *BY_TABLE])
def test_what_one_query_sees_reaches_no_other(way, bad):
    arrays, mask = drawn(), np.tri(T, dtype=bool)
    arrays[3][:, :, -1] = 0  # of whoever sees the last key
    y, dq, dk, dv = run(way, arrays, mask)
    now = run(way, unseeing(arrays, bad, -1), mask)
    np.testing.assert_allclose(now[0][:, :, :-1], y[:, :, :-1], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(now[1][:, :, :-1], dq[:, :, :-1], rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("way", [*MASKED.values(), *BY_TABLE.values()], ids=[*MASKED, *BY_TABLE])
def test_a_query_that_is_no_number_spoils_what_it_sees_alone(way):
    arrays, mask = drawn(), np.tri(T, dtype=bool)
    expected = run(way, arrays, mask)
    arrays[0][:, :, 0] = np.nan  # it sees the first key alone
    for now, was in zip(run(way, arrays, mask), expected):
        np.testing.assert_allclose(now[:, :, 1:], was[:, :, 1:], rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("way", OWN.values(), ids=OWN)
def test_the_future_reaches_no_output_and_no_gradient_of_the_past(way, bad):
    arrays = drawn()
    arrays[3][:, :, -1] = 0
    y, dq, *_ = run(way, arrays)
    now = run(way, unseeing(arrays, bad, -1))
    np.testing.assert_allclose(now[0][:, :, :-1], y[:, :, :-1], rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(now[1][:, :, :-1], dq[:, :, :-1], rtol=1e-10, atol=1e-15)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("way", [tl.attention, tl.tiled_attention], ids=["plain", "tiled"])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_cotangent_that_is_nan_reaches_only_what_its_query_saw(way, groups):
    q, k, v, g = drawn()
    k, v = k[:, :groups], v[:, :groups]
    expected = run(lambda *a: way(*a, causal=True), [q, k, v, g])
    g = g.copy()
    g[:, :, 0] = np.nan  # it saw the first key alone
    now = run(lambda *a: way(*a, causal=True), [q, k, v, g])
    for x, was in zip(now[1:], expected[1:]):
        np.testing.assert_allclose(x[:, :, 1:], was[:, :, 1:], rtol=1e-12)
    assert np.isnan(now[3][:, :, 0]).all()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("way", [*OWN.values(), *CHOSEN.values()], ids=[*OWN, *CHOSEN])
def test_what_is_seen_and_not_a_number_stays_that(way):
    arrays = drawn()
    arrays[2][:, :, 0] = np.nan  # the first query sees itself
    assert np.isnan(run(way, arrays)[0][:, :, 0]).all()


@pytest.mark.parametrize("way", ["attention", "tiled", "capped"])
def test_more_queries_than_keys_leave_the_first_without_any(way):
    q, k, v, g = drawn()
    y, *gradients = run(OWN[way], [q, k[:, :, :3], v[:, :, :3], g])
    np.testing.assert_array_equal(y[:, :, :2], 0)  # the last query sees the last key
    np.testing.assert_array_equal(gradients[0][:, :, :2], 0)
    assert y[:, :, 2:].any() and all(np.isfinite(x).all() for x in gradients)


@pytest.mark.parametrize("name", ["attention", "self_attention", "tiled", "its twin"])
def test_a_mask_that_is_filled_anew_before_backward_changes_no_gradient(name):
    *arrays, g = drawn()
    expected = run(MASKED[name], [*arrays, g], MASK)
    leaves, mask = [tl.Tensor(x, requires_grad=True) for x in arrays], MASK.copy()
    y = MASKED[name](*leaves, mask)
    mask[...] = ~mask
    y.backward(g)
    for x, was in zip(leaves, expected[1:]):
        np.testing.assert_array_equal(x.grad.data, was)


def test_values_of_nothing_but_nan_take_no_more_memory_than_others():
    """A model that diverged: pairs of query and key are never each given a row of their own."""
    q, k, v, g = (np.full((1, 1, 256, 64), np.nan) for _ in range(4))
    tracemalloc.start()
    with np.errstate(all="ignore"):
        run(OWN["capped"], [q, k, v, g])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 256 * 256 * 8  # one of pairs is as much as 64


def test_a_second_derivative_leaves_out_what_is_hidden():
    q, k, v, g = drawn()
    v[:, :, 2], k[:, :, 2] = np.inf, np.nan

    def slope(*arrays):
        leaves = [tl.Tensor(x, requires_grad=True) for x in arrays]
        y = tl.attention(*leaves, mask=MASK)
        first = tl.grad((y * y).sum(), leaves, create_graph=True)
        return [x.data for x in tl.grad((first[0] * g).sum(), leaves)]

    with np.errstate(all="ignore"):
        now = slope(q, k, v)
    k[:, :, 2], v[:, :, 2] = 0.5, 0.25
    for x, was in zip(now, slope(q, k, v)):
        np.testing.assert_allclose(x, was, rtol=1e-12, atol=1e-15)


def test_rows_that_see_something_bad_take_the_same_bits_elsewhere():
    """What one row of a batch holds changes no bit of another row."""
    arrays = drawn()
    expected = run(OWN["attention"], arrays)
    arrays[2][1, 0, 0] = np.nan
    with np.errstate(all="ignore"):
        now = run(OWN["attention"], arrays)
    for x, was in zip(now, expected):
        np.testing.assert_allclose(x[0], was[0], rtol=1e-14)
