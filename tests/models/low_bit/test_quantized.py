"""A quantized matrix multiplies as the matrix it stands for."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.models.published.formats.files import gguf
from tinylm.errors import CheckpointError, ShapeError
from tinylm.models.low_bit.blocks import FORMATS, dequantize, quantize
from tinylm.models.low_bit.quantized import QuantizedMatrix
from tinylm.models.published.formats.gguf import read_gguf

# 1 and 3 groups are odd, so that 4 bits need padding; 600 rows of 576 are more than a small tile of
# 2^17 numbers.
SHAPES = [(1, 32), (7, 96), (600, 576)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1"])
def test_products_are_those_of_the_dequantized_matrix(kind, shape, rng):
    array = rng.standard_normal(shape).astype(np.float32)
    matrix = QuantizedMatrix.from_array(array, kind)
    weights = dequantize(quantize(array, kind).reshape(-1), kind, shape)
    np.testing.assert_array_equal(matrix.dequantize(), weights)
    x = rng.standard_normal((2, 3, shape[1])).astype(np.float32)
    # float32 sums of D products of size about 1, in another order: some sqrt(D) * 2^-24 for each
    # unit; 1e-4 is ten times that.
    np.testing.assert_allclose(matrix.matvec(x[0, 0]), weights @ x[0, 0], atol=1e-4)
    np.testing.assert_allclose(matrix.matmul(x), x @ weights.T, atol=1e-4)
    np.testing.assert_allclose(matrix.matmul(x[:1, :1]), x[:1, :1] @ weights.T, atol=1e-4)


def test_rows_with_one_scale_each(rng):
    array = rng.standard_normal((600, 577)).astype(np.float32)  # no multiple of anything
    matrix = QuantizedMatrix.from_rows(array)
    weights = matrix.dequantize()
    assert (
        np.abs(weights - array) <= 0.5001 * np.abs(array).max(axis=1, keepdims=True) / 127
    ).all()  # half a step
    assert matrix.nbytes == 600 * 577 + 600 * 4
    x = rng.standard_normal((3, 577)).astype(np.float32)
    np.testing.assert_allclose(
        matrix.matvec(x[0]), weights @ x[0], atol=2e-4
    )  # as above, but scaled after summing
    np.testing.assert_allclose(matrix.matmul(x), x @ weights.T, atol=2e-4)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_can_be_multiplied(kind, rng):
    form, R, D = FORMATS[kind], 5, 512
    raw = rng.integers(0, 256, (R * D // form.weights, form.nbytes), dtype=np.uint8)
    for at in {"Q6_K": [208], "Q8_0": [0], "Q4_0": [0], "Q5_0": [0]}.get(kind, [0, 2]):
        raw[:, at + 1] = 0x20  # float16 numbers of about 2^-7
    matrix = QuantizedMatrix.from_blocks(raw.reshape(-1), kind, (R, D))
    weights = dequantize(raw.reshape(-1), kind, (R, D))
    np.testing.assert_allclose(
        matrix.dequantize(), weights, rtol=1e-6, atol=1e-6 * np.abs(weights).max()
    )
    x = rng.standard_normal(D).astype(np.float32)
    np.testing.assert_allclose(matrix.matvec(x), weights @ x, atol=1e-5 * np.abs(weights).max() * D)
    assert matrix.bits == (4 if form.bits == 4 else 8)


@pytest.mark.parametrize(
    ("kind", "bytes_a_weight"),
    [("Q8_0", 1 + 4 / 32), ("Q4_0", 1 / 2 + 4 / 32), ("Q4_1", 1 / 2 + 8 / 32)],
)  # a float32 scale, and offset, for 32 codes
def test_memory_is_codes_and_scales(kind, bytes_a_weight, rng):
    assert (
        QuantizedMatrix.from_array(rng.standard_normal((128, 64)), kind).nbytes
        == 128 * 64 * bytes_a_weight
    )


def test_multiplying_never_makes_the_matrix(rng):
    matrix = QuantizedMatrix.from_array(
        rng.standard_normal((8192, 256)).astype(np.float32), "Q8_0"
    )  # 8 MB in float32
    x = np.ones((2, 256), np.float32)
    matrix.matvec(x[0])
    tracemalloc.start()
    matrix.matvec(x[0])
    matrix.matmul(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_threads_do_not_share_scratch(rng):
    matrix = QuantizedMatrix.from_array(rng.standard_normal((600, 576)).astype(np.float32), "Q4_1")
    x = rng.standard_normal((16, 576)).astype(np.float32)
    alone = [matrix.matvec(row) for row in x]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(matrix.matvec, x)):
            np.testing.assert_array_equal(one, other)


def test_a_tensor_of_a_file_stays_in_its_blocks(tmp_path, rng):
    array = rng.standard_normal((4, 64)).astype(np.float32)
    path = tmp_path / "a.gguf"
    path.write_bytes(
        gguf(
            {},
            {
                "w": ("Q4_0", (4, 64), quantize(array, "Q4_0").tobytes()),
                "n": ("F32", (4,), bytes(16)),
            },
        )
    )
    weights = read_gguf(path)
    np.testing.assert_array_equal(
        QuantizedMatrix.from_file(weights, "w").dequantize(), weights["w"]
    )
    with pytest.raises(CheckpointError, match="tensor 'n' is F32, not in quantized blocks"):
        QuantizedMatrix.from_file(weights, "n")


def test_widths_that_do_not_fit_are_refused(rng):
    matrix = QuantizedMatrix.from_array(np.zeros((4, 32)), "Q8_0")
    with pytest.raises(ShapeError, match=r"matvec: \(4, 32\) @ \(33,\)"):
        matrix.matvec(np.zeros(33))
    with pytest.raises(ShapeError, match=r"matmul: \(2, 4\) @ \(32, 4\)"):
        matrix.matmul(np.zeros((2, 4)))
    with pytest.raises(ShapeError, match="two axes"):
        QuantizedMatrix.from_array(np.zeros(32), "Q8_0")
