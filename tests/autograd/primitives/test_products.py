"""matmul under every NumPy shape rule, and einsum, against NumPy and against differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tests.numeric import differences, gradients
from tinylm.autograd.primitives import products
from tinylm.errors import ShapeError


def check(operation, numpy_operation, arrays, device):
    y, grads = gradients(operation, arrays, device)
    expected = np.asarray(numpy_operation(*arrays))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-13)
    cotangent = np.random.default_rng(0).normal(size=y.shape)
    numeric = differences(
        lambda *values: float(np.sum(cotangent * numpy_operation(*values))), arrays
    )
    for got, wanted in zip(grads, numeric):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-8)


SHAPES = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((4, 1, 2, 3), (5, 3, 2)),
    ((2, 3), (4, 5, 3, 2)),
    ((4, 5, 2, 3), (3,)),
    ((2, 0), (0, 3)),
    ((0, 3), (3, 2)),
    ((1, 1), (1,)),
]


@pytest.mark.parametrize("left, right", SHAPES)
def test_matmul_has_every_shape_rule_of_numpy(device, rng, left, right):
    check(tl.matmul, np.matmul, [rng.normal(size=left), rng.normal(size=right)], device)


@given(
    batch_left=st.lists(st.integers(1, 2), max_size=2),
    batch_right=st.lists(st.integers(1, 2), max_size=2),
    inner=st.integers(1, 3),
    rows=st.integers(0, 3),
    columns=st.integers(0, 3),
)
def test_matmul_broadcasts_batches_on_either_side(batch_left, batch_right, inner, rows, columns):
    # rows or columns 0 stands for a 1-D operand, which has no batch
    left = (*batch_left, rows, inner) if rows else (inner,)
    right = (*batch_right, inner, columns) if columns else (inner,)
    draw = np.random.default_rng(1)
    check(lambda a, b: a @ b, np.matmul, [draw.normal(size=left), draw.normal(size=right)], "cpu")


@pytest.mark.parametrize(
    "subscripts, shapes",
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("ij,kj->ik", [(2, 3), (4, 3)]),
        ("bij,bjk->bik", [(2, 2, 3), (2, 3, 2)]),
        ("ij->ji", [(2, 3)]),
        ("ij->", [(2, 3)]),
        ("ij->i", [(2, 3)]),
        ("i,j->ij", [(2,), (3,)]),
        ("i,i->", [(3,), (3,)]),
        ("bhtk,bhsk->bhts", [(1, 2, 2, 3), (1, 2, 3, 3)]),
        ("ij,jk,kl->il", [(2, 3), (3, 2), (2, 2)]),
        ("ij,j->i", [(2, 3), (3,)]),
        ("ij,k->i", [(2, 3), (2,)]),
        ("i,ij,j->", [(2,), (2, 3), (3,)]),
        ("a b, b -> a", [(2, 3), (3,)]),
    ],
)
def test_einsum_is_numpys(device, rng, subscripts, shapes):
    arrays = [rng.normal(size=shape) for shape in shapes]
    check(
        lambda *xs: tl.einsum(subscripts, *xs),
        lambda *xs: np.einsum(subscripts, *xs),
        arrays,
        device,
    )


def test_shape_errors_name_the_sizes():
    with pytest.raises(
        ShapeError, match=r"matmul: inner sizes differ, \(4, 8\) @ \(6, 3\): 8 != 6"
    ):
        tl.Tensor(np.ones((4, 8))) @ np.ones((6, 3))
    with pytest.raises(ShapeError, match=r"matmul: .*\(2, 3, 4\), \(3, 4, 2\)"):
        tl.Tensor(np.ones((2, 3, 4))) @ np.ones((3, 4, 2))
    with pytest.raises(ShapeError, match="matmul: inner sizes differ"):
        tl.Tensor(1.0) @ np.ones(3)
    with pytest.raises(
        ShapeError, match=r"einsum: term 'i' names 1 axes of an operand of shape \(2, 2\)"
    ):
        tl.einsum("i->i", np.ones((2, 2)))
    with pytest.raises(ShapeError, match="einsum"):
        tl.einsum("ij,jk->ik", np.ones((2, 3)), np.ones((2, 3)))


@pytest.mark.parametrize("subscripts", ["nd,nf->df", "nd,nf->d", "nd->d", "nd,nd->d", "nd,n->d"])
def test_einsum_over_many_rows_keeps_its_digits(subscripts, rng):
    shapes = {"nd": (300_000, 3), "nf": (300_000, 2), "n": (300_000,)}
    operands = [
        (rng.random(shapes[term]) + 0.1).astype(np.float32)
        for term in subscripts.split("->")[0].split(",")
    ]
    y = tl.einsum(subscripts, *operands)
    assert y.dtype == np.float32
    exact = np.einsum(subscripts, *(x.astype(np.float64) for x in operands))
    np.testing.assert_allclose(y.numpy(), exact, rtol=1e-6)


@given(st.data())
def test_any_contraction_of_two_operands_is_numpys(data):
    """Most are one np.matmul: batch, left, inner and right letters in any order."""
    letters = "abcdef"
    lengths = {c: data.draw(st.integers(1, 3), c) for c in letters}
    terms = [
        "".join(data.draw(st.permutations(letters))[: data.draw(st.integers(1, 4))])
        for _ in range(2)
    ]
    present = sorted(set("".join(terms)))
    output = "".join(data.draw(st.permutations(present))[: data.draw(st.integers(0, len(present)))])
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=[lengths[c] for c in term]) for term in terms]
    subscripts = f"{terms[0]},{terms[1]}->{output}"
    y = tl.einsum(subscripts, *arrays)
    np.testing.assert_allclose(y.data, np.einsum(subscripts, *arrays), rtol=1e-12, atol=1e-13)
    # Each gradient is a contraction too: of ones it is that of the sum.
    leaves = [tl.Tensor(x, requires_grad=True) for x in arrays]
    tl.einsum(subscripts, *leaves).sum().backward()
    for i, leaf in enumerate(leaves):
        other = np.einsum(
            f"{terms[1 - i]},{terms[i]}->{terms[i]}", arrays[1 - i], np.ones(leaf.shape)
        )
        np.testing.assert_allclose(leaf.grad.data, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "subscripts, matrices",
    [("ij,jk->ik", True), ("ij,jk->ki", True), ("bhtk,bhsk->bhts", True), ("ij,j->i", True),
     ("btd,btf->df", True), ("ij,ij->i", False), ("i,i->", False), ("i,j->ij", False),
     ("ij,k->i", False), ("bi,bij->bj", False)],
)  # fmt: skip
def test_matrix_products_are_left_to_blas(subscripts, matrices, monkeypatch):
    called = []
    by_numpy = np.einsum
    monkeypatch.setattr(
        products.np, "einsum", lambda *given, **o: called.append(1) or by_numpy(*given, **o)
    )
    terms = subscripts.split("->")[0].split(",")
    arrays = [np.ones((2,) * len(term), np.float32) for term in terms]
    tl.einsum(subscripts, *arrays)
    assert bool(called) != matrices


@pytest.mark.parametrize("n", [1000, 1025, 20_000])  # in float32 up to 1,024, in float64 beyond
def test_a_product_over_many_rows_keeps_its_digits(n, rng):
    a, b = (rng.random((n, 3)).astype(np.float32) for _ in range(2))
    exact = np.einsum("ni,nj->ij", a.astype(float), b.astype(float))
    np.testing.assert_allclose(tl.einsum("ni,nj->ij", a, b).data, exact, rtol=1e-6)
