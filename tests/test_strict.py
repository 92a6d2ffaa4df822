"""The strict device keeps CuPy's rules: each test is one rule, most of them one line that breaks on
a GPU.
"""

import inspect
import pickle

import numpy as np
import pytest

from tests.cupy_rules import API
from tests.strict import SCATTERS, strict_module, to_numpy
from tests.strict_array import SilentOnGpu, StrictArray, synchronizations


def strict(values, dtype=np.float64):
    return strict_module.asarray(np.array(values, dtype))


X = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
HOST = np.ones((2, 3))


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        np.array,
        np.ascontiguousarray,
        memoryview,
        bytearray,
        list,
        range,
        lambda x: np.array([x, x]),
        lambda x: np.frombuffer(x),
        lambda x: np.random.default_rng(0).permutation(x),
        lambda x: np.testing.assert_allclose(x, HOST),
    ],
)
def test_no_way_leads_silently_to_the_host(convert):
    if convert is list:  # iterating is allowed and stays on the device
        assert all(isinstance(row, StrictArray) for row in list(strict(X)))
        return
    with pytest.raises(TypeError):
        convert(strict(X))
    assert not any(
        hasattr(StrictArray, name)
        for name in ("__array_interface__", "__array_struct__", "__index__")
    )


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + HOST,
        lambda x: HOST + x,
        lambda x: x @ HOST.T,
        lambda x: HOST.T @ x,
        lambda x: x < HOST,
        lambda x: np.maximum(x, HOST),
        lambda x: np.where(x > 0, x, HOST),
        lambda x: np.where(HOST > 0, x, x),
        lambda x: np.concatenate([x, HOST]),
        lambda x: np.einsum("ij,ij->i", x, HOST),
        lambda x: x + np.array(2.0),
        lambda x: x[np.array([0, 1])],
        lambda x: x[HOST > 0],
        lambda x: x.take(np.array([0])),
        lambda x: x + [1, 2, 3],
        lambda x: np.exp(HOST, out=x),
        lambda x: np.exp(x, out=HOST.copy()),
        lambda x: x.__setitem__(..., HOST),
        lambda x: x.__iadd__(HOST),
        lambda x: np.copyto(x, HOST),
        lambda x: np.sum(x, out=np.zeros(())),
    ],
)
def test_plain_arrays_are_refused_beside_device_arrays(mix):
    with pytest.raises(TypeError, match="[Uu]nsupported type"):
        mix(strict(X))


@pytest.mark.parametrize(
    "missing",
    [
        lambda x: np.sum(x, where=x > 0),
        lambda x: np.max(x, initial=0.0),
        lambda x: x.sum(initial=1.0),
        lambda x: np.exp(x, where=x > 0),
        lambda x: np.einsum("ij->i", x, out=x[:, 0]),
        lambda x: np.insert(x, 0, 1.0),
        lambda x: np.vecdot(x, x),
        lambda x: np.block([x, x]),
        lambda x: np.take(x, 0, mode="clip"),
        lambda x: np.add.at(x, 0, 1.0),
        lambda x: np.clip(x, min=0.0),
        lambda x: np.zeros_like(x, device="cpu"),
        lambda x: np.where(True, x, x),
        lambda x: np.apply_along_axis(np.sum, 0, x),
    ],
)
def test_what_cupy_lacks_is_refused(missing):
    with pytest.raises(TypeError):
        missing(strict(X))


def test_only_sums_and_products_reduce_and_only_some_ufuncs_scatter():
    x = strict(X)
    assert (
        float(np.add.reduce(x, axis=None)) == 21 and float(np.multiply.reduce(x, axis=None)) == 720
    )
    with pytest.raises(NotImplementedError, match="maximum.reduce"):
        np.maximum.reduce(x)
    with pytest.raises(NotImplementedError, match="multiply.at"):
        strict_module.multiply.at(x, 0, 2.0)
    strict_module.add.at(
        x, (strict([0, 0], np.int64), strict([1, 1], np.int64)), 1.0
    )  # duplicates add up
    assert float(x[0, 1]) == 4
    assert SCATTERS < set(API["ufuncs"])


@pytest.mark.parametrize(
    "get",
    [
        lambda x: x.sum(),
        lambda x: np.sum(x),
        lambda x: np.mean(x),
        lambda x: x.argmax(),
        lambda x: x[0, 0],
        lambda x: x[0][0],
        lambda x: np.exp(x[0, 0]),
        lambda x: x.T[0, 0],
        lambda x: np.linalg.norm(x),
        lambda x: np.count_nonzero(x),
        lambda x: np.allclose(x, x),
        lambda x: np.einsum("ij->", x),
        lambda x: x[0, 0] * 2,
        lambda x: np.vdot(x, x),
    ],
)
def test_numbers_stay_on_the_device_as_0d_arrays(get):
    result = get(strict(X))
    assert isinstance(result, StrictArray) and result.shape == ()


def test_scalars_mix_and_keep_numpys_promotion():
    x = strict(X, np.float32)
    for result in (
        x + 1,
        2.0 * x,
        x / np.float32(3),
        np.maximum(x, 0),
        1 - x,
        x**2,
        np.where(x > 1, x, 0.0),
    ):
        assert isinstance(result, StrictArray) and result.dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64 and np.result_type(x, np.float64) == np.float64


def test_views_write_through_and_index_arrays_copy():
    x = strict(X)
    x[1:, ::2][...] = 0.0
    x[0, 1][...] = 7.0  # an element is a 0-d view
    x.reshape(3, 2).T[0, 0] = 9.0
    x[strict([0], np.int64)][...] = -1.0  # a copy: nothing happens to x
    np.testing.assert_array_equal(to_numpy(x), [[9, 7, 3], [0, 5, 0]])


def test_out_and_in_place_return_the_very_array():
    x = strict(X)
    y = x
    y += 1
    assert (
        y is x and np.exp(x, out=x) is x and np.sum(x, axis=0, out=(z := strict(np.zeros(3)))) is z
    )
    assert x.astype(np.float64, copy=False) is x and strict_module.asarray(x) is x
    with pytest.raises(TypeError):
        y @= strict(np.eye(3))  # CuPy would make a new array where NumPy writes


@pytest.mark.parametrize(
    "use",
    [
        lambda x, i: x[i],
        lambda x, i: np.take(x, i, axis=0),
        lambda x, i: x.take(i, axis=0),
        lambda x, i: np.take_along_axis(x, i[:, None], axis=0),
    ],
)
def test_an_index_that_cupy_would_wrap_around_raises(use):
    with pytest.raises(SilentOnGpu):
        use(strict(X), strict([0, 2], np.int64))
    with pytest.raises(IndexError):  # but plain integers and axes are checked by CuPy too
        strict(X)[2]
    with pytest.raises(IndexError):
        np.take(strict(X), strict([0], np.int64), axis=5)


def test_assignment_with_duplicate_indices_raises_unless_all_write_the_same():
    x, twice = strict([1.0, 2.0, 3.0]), strict([1, 1], np.int64)
    with pytest.raises(SilentOnGpu):
        x[twice] = strict([5.0, 6.0])
    x[twice] = 4.0
    assert x.tolist() == [1, 4, 3]


def test_waits_for_the_device_are_counted():
    x = strict(X)
    before = synchronizations.copy()
    (
        float(x[0, 0]),
        int(x[0, 1]),
        bool(x[0, 2]),
        x[0, 0].item(),
        x[x > 2],
        np.nonzero(x),
        to_numpy(x),
    )
    x + x, x.sum(), x[0, 0], x.T.reshape(6), x[strict([0], np.int64)]  # none of these waits
    assert synchronizations - before == dict(
        float=1, int=1, bool=1, item=1, mask=1, nonzero=1, to_numpy=1
    )


def test_it_computes_what_numpy_computes(rng):
    a, b = rng.normal(size=(2, 4, 5)), rng.normal(size=(5, 3))
    i = rng.integers(0, 5, (2, 4, 2))
    x, y, j = strict(a), strict(b), strict(i, np.int64)
    pairs = [
        (np.matmul(x, y), np.matmul(a, b)),
        (np.einsum("bik,kj->bij", x, y), np.einsum("bik,kj->bij", a, b)),
        (np.take_along_axis(x, j, -1), np.take_along_axis(a, i, -1)),
        (np.cumsum(x, 1), np.cumsum(a, 1)),
        (np.pad(y, ((1, 0), (0, 2))), np.pad(b, ((1, 0), (0, 2)))),
        (x.transpose(2, 0, 1), a.transpose(2, 0, 1)),
        (np.argsort(x, axis=-1, kind="stable"), np.argsort(a, -1)),
        (np.linalg.qr(y).Q, np.linalg.qr(b).Q),
        (x[:, None, ..., ::-1], a[:, None, ..., ::-1]),
        (x[0, :, j[0, :, 0]], a[0, :, i[0, :, 0]]),
        (x[x > 0], a[a > 0]),
        (np.split(x, 2, axis=1)[1], a[:, 2:]),
        (np.zeros(3, like=x), np.zeros(3)),
        (divmod(x, 2)[1], a % 2),
        (strict_module.arange(3) + 1, np.arange(3) + 1),
        (x.view(np.int64), a.view(np.int64)),
    ]
    for ours, numpys in pairs:
        assert isinstance(ours, StrictArray) and ours.dtype == numpys.dtype
        np.testing.assert_array_equal(to_numpy(ours), numpys)
    assert (
        np.shape(x) == (2, 4, 5)
        and x.nbytes == a.nbytes
        and x.strides == a.strides
        and x.flags.c_contiguous
    )


def test_dtypes_of_the_host_alone_are_refused():
    for dtype in np.longdouble, object, "U3", "M8[s]":
        with pytest.raises(ValueError, match="Unsupported dtype"):
            strict_module.asarray(np.zeros(2, dtype))


def test_it_pickles_and_copies():
    x = pickle.loads(pickle.dumps(strict(X)))
    assert isinstance(x, StrictArray) and x.tolist() == X and x.copy().base is None


def test_the_table_of_names_agrees_with_cupy():
    cupy = pytest.importorskip("cupy", exc_type=ImportError)
    for name in API["ufuncs"]:
        assert isinstance(getattr(cupy, name), (cupy.ufunc, type(cupy.matmul))), name
    for name, parameters in API["functions"].items():
        if name.startswith("linalg."):
            function = getattr(cupy.linalg, name[7:])
        else:
            function = getattr(cupy, name)
        try:
            takes = inspect.signature(function).parameters
        except (TypeError, ValueError):  # made in C or by a fused ufunc: no signature to read
            continue
        if not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
            assert [p.lstrip("*") for p in parameters if p] == list(takes), name
    for name in API["methods"]:
        assert hasattr(cupy.ndarray, name), name
