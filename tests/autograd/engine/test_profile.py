"""Counts of operations against closed formulas, live bytes that go back to zero, and the first bad
value named.
"""

import gc

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import leaf
from tinylm.autograd.engine.profile import count_operations, find_nonfinite
from tinylm.models import GPT, GPTConfig


@pytest.mark.parametrize("kv_heads", [1, 4])
@pytest.mark.parametrize("gated", [False, True])
def test_matrix_products_of_a_gpt_cost_what_the_formula_says(kv_heads, gated):
    B, T, L, H, D, F, V = 2, 5, 3, 4, 8, 24, 11
    model = GPT(
        GPTConfig(
            vocab_size=V,
            context=T,
            n_layer=L,
            n_head=H,
            n_kv_head=kv_heads,
            d_model=D,
            d_hidden=F,
            activation="swiglu" if gated else "gelu_tanh",
        )
    )
    with count_operations() as counts:
        model(np.zeros((B, T), int))
    K = D // H
    weights = (
        D * (H + 2 * kv_heads) * K + D * D + (3 if gated else 2) * D * F
    )  # per block: qkv, out, feed-forward
    # + scores and their mixture, 2 T D each
    expected = 2 * B * T * (L * weights + D * V) + L * 4 * B * T * T * D
    assert counts.matmul_flops() == expected
    assert counts.calls["self_attention"] == L and counts.calls["linear"] == (5 if gated else 4) * L


class Counted(np.ndarray):
    """An array that counts what NumPy's matmul is really asked for, forward and backward."""

    flops = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [x.view(np.ndarray) if isinstance(x, Counted) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(x.view(np.ndarray) for x in out)
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc is np.matmul and plain[1].ndim > 1:  # products with a vector of ones are sums
            Counted.flops += 2 * result.size * plain[0].shape[-1] * (plain[0].ndim > 1)
        if out is not None:
            return out[0]
        if isinstance(result, np.ndarray):
            return result.view(Counted)
        return result


@pytest.mark.parametrize(
    "gated, tied, kv_heads", [(False, True, 4), (True, False, 1), (True, True, 2)]
)
def test_products_counted_are_those_numpy_was_asked_for(gated, tied, kv_heads):
    # 12 tokens of a vocabulary of 600: beyond 512 rows the lookup's gradient is no product
    model = GPT(
        GPTConfig(
            600,
            6,
            2,
            4,
            8,
            kv_heads,
            24,
            "rms",
            activation="swiglu" if gated else "gelu_tanh",
            bias=False,
            positions="rope",
            tied=tied,
        ),
        dtype=np.float64,
    )
    for p in model.parameters():
        p.data = p.data.view(Counted)
    ids, Counted.flops = np.arange(12).reshape(2, 6), 0
    with count_operations() as counts:
        loss = tl.cross_entropy(model(ids), ids)
        forward, Counted.flops = Counted.flops, 0
        loss.backward()
    assert counts.matmul_flops() == forward
    assert counts.backward_flops() == Counted.flops == 2 * forward


def test_only_factors_that_want_a_gradient_cost_backward():
    w = leaf(np.ones((3, 4)))
    with count_operations() as counts:
        tl.linear(np.ones((5, 3)), w).sum().backward()  # the input is data: one product, x^T g
        assert counts.backward == {"linear": 2 * 5 * 3 * 4}
        (leaf(np.ones((5, 3))) @ w).sum().backward()  # g w^T and x^T g
    assert counts.backward_flops() == 3 * 2 * 5 * 3 * 4
    assert counts.calls == {
        "linear": 1,
        "matmul": 1,
        "sum": 2,
    }  # what a rule calls is no forward operation


@pytest.mark.parametrize(
    "name, run, flops",
    [
        ("matmul", lambda: leaf(np.ones((5, 2, 3))) @ np.ones((3, 4)), 2 * 5 * 2 * 3 * 4),
        (
            "einsum",
            lambda: tl.einsum("ij,jk->ik", leaf(np.ones((2, 3))), leaf(np.ones((3, 4)))),
            2 * 2 * 3 * 4,
        ),
        (
            "attention",
            lambda: tl.attention(leaf(np.ones((2, 4, 3, 5))), *[leaf(np.ones((2, 2, 6, 5)))] * 2),
            2 * 2 * 4 * 3 * 6 * (5 + 5),
        ),
        ("exp", lambda: tl.exp(leaf(np.ones((2, 3)))), 6),
        ("reshape", lambda: leaf(np.ones((2, 3))).reshape(6), 0),
    ],
)
def test_each_operation_has_its_price(name, run, flops):
    with count_operations() as counts:
        run()
    assert counts.flops[name] == flops and counts.calls[name] == 1
    assert counts.total_flops == sum(counts.flops.values())


def test_live_bytes_follow_the_graph_and_go_back_to_zero():
    model = GPT(GPTConfig(vocab_size=7, context=6, n_layer=2, n_head=2, d_model=8))
    gc.collect()
    with count_operations() as counts:
        loss = tl.cross_entropy(model(np.zeros((2, 6), int)), np.zeros((2, 6), int))
        held = counts.live_bytes
        assert held > 2 * 6 * 7 * 4  # at least the logits
        loss.backward()
        del loss
        assert counts.live_bytes == 0
    assert counts.peak_bytes >= held


def test_views_own_nothing_and_results_of_products_do():
    x, w = leaf(np.ones((2, 3, 4))), leaf(np.ones((4, 5)))
    with count_operations() as counts:
        y = tl.linear(x, w)  # computed as one tall product, returned as a view of it
        assert counts.live_bytes == 2 * 3 * 5 * 8
        z = y.reshape(6, 5).T[1:]
        assert counts.live_bytes == 2 * 3 * 5 * 8
        del y
        assert counts.live_bytes == 2 * 3 * 5 * 8  # the view keeps it
        del z
        assert counts.live_bytes == 0


def test_counts_are_the_same_on_every_device(device):
    with count_operations() as counts:
        x = leaf(np.ones((2, 4)), device)
        tl.gelu(tl.linear(x, leaf(np.ones((4, 3)), device))).sum().backward()
    assert counts.calls["linear"] == counts.calls["gelu"] == counts.calls["sum"] == 1
    assert counts.flops["linear"] == 2 * 2 * 4 * 3


def test_the_table_lists_the_most_expensive_first():
    with count_operations() as counts:
        tl.exp(leaf(np.ones((10, 10))) @ np.ones((10, 10)))
    lines = counts.table().splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["matmul", "exp", "total"]
    assert lines[3].split()[2] == "0.002"  # 2 * 1000 + 100 operations


def test_counting_stops_at_the_end_even_after_an_error():
    with pytest.raises(ZeroDivisionError), count_operations() as counts:
        tl.exp(leaf([1.0]))
        1 / 0  # noqa: B018
    tl.exp(leaf([1.0]))
    assert counts.calls == {"exp": 1}


def test_the_first_operation_with_a_bad_result_is_named(device):
    x = leaf([[1.0, 0.0, 2.0]], device)
    assert find_nonfinite(lambda: tl.exp(tl.log(x))).startswith(
        "log((1, 3)) -> (1, 3): 1 of 3 values are not finite"
    )
    assert find_nonfinite(lambda: tl.exp(x)) is None


def test_a_bad_input_is_told_from_a_bad_operation():
    found = find_nonfinite(lambda: tl.Tensor([np.nan, 1.0]) * 2.0)
    assert found.startswith("mul(") and "argument 0 already held 1 non-finite values" in found
