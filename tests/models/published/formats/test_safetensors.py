"""safetensors files are read where they lie, written as the library writes them, and refused when
they lie.
"""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.published.formats.files import described, safetensors
from tinylm.errors import CheckpointError, DtypeError
from tinylm.models.low_bit.bfloat16 import simulate
from tinylm.models.published.formats import read_weights
from tinylm.models.published.formats.safetensors import (
    read_safetensors,
    write_safetensors,
    write_sharded,
)

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]


@pytest.fixture
def tensors(rng):
    return {f"layer.{dtype}": rng.integers(0, 2, (3, 5)).astype(dtype) for dtype in DTYPES} | {
        "scalar": np.array(7, np.float32),
        "none": np.zeros((0, 4), np.float32),
        "ä": rng.standard_normal(3),
    }


def opened(tmp_path, data):
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    return read_safetensors(path)


def test_what_is_written_is_read(tmp_path, tensors):
    write_safetensors(tmp_path / "a.safetensors", tensors, {"step": "7"})
    weights = read_weights(tmp_path / "a.safetensors")
    assert weights.metadata == {"format": "pt", "step": "7"}
    assert set(weights) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(weights[name], array, strict=True)
        assert not weights[name].flags.writeable


def test_files_are_those_of_the_library_byte_for_byte(tmp_path, tensors):
    library = pytest.importorskip("safetensors.numpy")
    write_safetensors(tmp_path / "ours", tensors)
    library.save_file(tensors, tmp_path / "theirs", {"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_torch_s_bfloat16_is_read_and_written(tmp_path, rng):
    library, torch = pytest.importorskip("safetensors.torch"), pytest.importorskip("torch")
    array = rng.standard_normal((4, 3)).astype(np.float32)
    library.save_file({"w": torch.tensor(array).bfloat16()}, tmp_path / "theirs")
    np.testing.assert_array_equal(
        read_safetensors(tmp_path / "theirs")["w"], simulate(array), strict=True
    )
    write_safetensors(tmp_path / "ours", {"w": array, "ids": np.arange(3)}, kind="BF16")
    back = library.load_file(tmp_path / "ours")
    assert (
        back["w"].dtype == torch.bfloat16 and back["ids"].dtype == torch.int64
    )  # integers stay what they are
    np.testing.assert_array_equal(back["w"].float().numpy(), simulate(array))


def test_a_plain_tensor_is_a_window_and_costs_nothing(tmp_path):
    write_safetensors(
        tmp_path / "a",
        {"large": np.ones((1024, 1024), np.float32), "small": np.ones(4, np.float32)},
    )
    tracemalloc.start()
    large = read_safetensors(tmp_path / "a")["large"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert large.sum() == 1 << 20 and peak < 1 << 18  # of 4 MB


def test_reading_a_bfloat16_tensor_allocates_that_tensor(tmp_path):
    write_safetensors(
        tmp_path / "a", {name: np.ones((512, 512), np.float32) for name in "abcd"}, kind="BF16"
    )
    weights = read_safetensors(tmp_path / "a")
    tracemalloc.start()
    weights["b"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 512 * 512 * 4 + (1 << 17)


def test_unaligned_tensors_are_read(tmp_path):
    # 8 + 63 bytes before the numbers: nothing is at a multiple of 4. BLAS needs that, so a copy is
    # made.
    header = json.dumps({"w": described("F32", [2], 0, 8)}).encode()
    header += b" " * (63 - len(header))
    weights = opened(tmp_path, safetensors(header, np.array([1, 2], "<f4").tobytes()))
    assert weights["w"].tolist() == [1, 2] and weights["w"].flags.aligned


def test_shards_are_read_as_one(tmp_path, tensors):
    write_sharded(tmp_path, tensors, shard_bytes=200)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    files = set(index["weight_map"].values())
    assert len(files) > 1 and all((tmp_path / file).is_file() for file in files)
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in tensors.values())
    weights = read_weights(tmp_path)
    for name, array in tensors.items():
        np.testing.assert_array_equal(weights[name], array, strict=True)


def test_what_fits_in_one_shard_is_one_file(tmp_path, tensors):
    write_sharded(tmp_path / "new", tensors)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.safetensors"]
    assert set(read_weights(tmp_path / "new")) == set(tensors)


def test_names_and_shapes_are_known_without_reading(tmp_path, tensors):
    write_safetensors(tmp_path / "a", tensors)
    weights = read_safetensors(tmp_path / "a")
    assert "scalar" in weights and "other" not in weights and weights.get("other") is None
    assert weights.shape("none") == (0, 4)
    assert weights.parameters() == len(DTYPES) * 15 + 1 + 0 + 3
    with pytest.raises(CheckpointError, match="has no tensor 'other'; it has 15"):
        weights["other"]


F32x2 = described("F32", [2], 0, 8)
HOSTILE = {
    "empty": (b"", "is empty"),
    "shorter than a length": (b"\x00" * 7, "has 7 bytes"),
    "header length beyond the file": (safetensors({}, length=1 << 62), "cut short"),
    "header length 2^64 - 1": (b"\xff" * 8 + b"{}", "cut short"),
    "cut within the header": (safetensors({"w": F32x2})[:20], "cut short"),
    "header not UTF-8": (safetensors(b'{"\xff": 1}'), "not UTF-8"),
    "header not JSON": (safetensors(b"{nonsense}"), "not JSON"),
    "header nested without end": (safetensors(b"[" * 100_000), "not JSON"),
    "header of an endless integer": (safetensors(b'{"w": ' + b"9" * 5000 + b"}"), "not JSON"),
    "header a list": (safetensors(b"[]"), "no JSON object"),
    "a name twice": (
        safetensors(b'{"w": %b, "w": %b}' % ((json.dumps(F32x2).encode(),) * 2), bytes(8)),
        "'w' stands twice",
    ),
    "metadata not strings": (safetensors({"__metadata__": {"a": 1}}), "__metadata__"),
    "tensor not described": (safetensors({"w": 1}), "tensor 'w': it is not described"),
    "dtype of other sizes": (
        safetensors({"w": {**F32x2, "dtype": "F8_E4M3"}}, bytes(8)),
        "needs 2 bytes",
    ),
    "numbers of half bytes": (
        safetensors({"w": described("F4", [3], 0, 2)}, bytes(2)),
        "12 bits, which fill no whole",
    ),
    "header after a space": (
        safetensors(b" " + json.dumps({"w": F32x2}).encode(), bytes(8)),
        "not with '{'",
    ),
    "header after a mark": (safetensors(b"\xef\xbb\xbf{}"), "not JSON"),
    "half a surrogate pair": (safetensors({"\ud800": F32x2}, bytes(8)), "half a surrogate pair"),
    "an empty tensor in another": (
        safetensors({"v": F32x2, "w": described("F32", [0], 4, 4)}, bytes(8)),
        "bytes before tensor 'w'",
    ),
    "dtype a list": (
        safetensors({"w": {**F32x2, "dtype": []}}, bytes(8)),
        r"tensor 'w': dtype \[\]",
    ),
    "dtype wrong": (
        safetensors({"w": {**F32x2, "dtype": "F64"}}, bytes(8)),
        "needs 16 bytes, and data_offsets give 8",
    ),
    "shape negative": (
        safetensors({"w": {**F32x2, "shape": [-2]}}, bytes(8)),
        "not a list of integers from 0",
    ),
    "shape a float": (
        safetensors({"w": {**F32x2, "shape": [2.0]}}, bytes(8)),
        "not a list of integers",
    ),
    "shape true": (
        safetensors({"w": {**F32x2, "shape": [True, 2]}}, bytes(8)),
        "not a list of integers",
    ),
    "shape absurd": (
        safetensors({"w": {**F32x2, "shape": [2**40, 2**40]}}, bytes(8)),
        "larger than any memory",
    ),
    "shape absurd but for a zero": (
        safetensors({"w": described("F32", [2**70, 0], 0, 0)}),
        "larger than any memory",
    ),
    "shape of 65 axes": (
        safetensors({"w": {**F32x2, "shape": [2] + [1] * 64}}, bytes(8)),
        "65 axes",
    ),
    "offsets beyond the file": (
        safetensors({"w": described("F32", [2], 4, 12)}, bytes(8)),
        "not within the 8 bytes",
    ),
    "offsets backwards": (safetensors({"w": described("F32", [2], 8, 0)}, bytes(8)), "not within"),
    "offsets three": (
        safetensors({"w": {**F32x2, "data_offsets": [0, 8, 8]}}, bytes(8)),
        "not within",
    ),
    "cut within a tensor": (safetensors({"w": F32x2}, bytes(7)), "not within the 7 bytes"),
    "overlap": (
        safetensors({"v": F32x2, "w": described("F32", [2], 4, 12)}, bytes(12)),
        "'v' and 'w' overlap",
    ),
    "hole": (
        safetensors({"v": F32x2, "w": described("F32", [2], 12, 20)}, bytes(20)),
        "4 bytes before tensor 'w'",
    ),
    "more at the end": (safetensors({"w": F32x2}, bytes(9)), "1 bytes at its end"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_without_allocating(tmp_path, case):
    data, message = HOSTILE[case]
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=message) as caught:
        opened(tmp_path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "a.safetensors" in str(caught.value) and len(str(caught.value)) < 500
    assert peak < 10 << 20  # JSON nested 100,000 times is the most of it


def test_truth_values_other_than_0_and_1_are_refused(tmp_path):
    weights = opened(tmp_path, safetensors({"w": described("BOOL", [2], 0, 2)}, b"\x01\x02"))
    with pytest.raises(CheckpointError, match="tensor 'w': BOOL has the byte 2"):
        weights["w"]


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
tensor_like = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F64", "BOOL", "BF16", "U8"]) | json_like,
        "shape": st.lists(st.integers(0, 4) | st.integers(), max_size=3) | json_like,
        "data_offsets": st.lists(st.integers(0, 32) | st.integers(), min_size=2, max_size=2)
        | json_like,
    }
)


@given(
    header=st.dictionaries(st.text(max_size=3), tensor_like | json_like, max_size=3)
    | st.binary(max_size=60),
    body=st.binary(max_size=32),
    length=st.none() | st.integers(0, 2**64 - 1),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_header_gives_arrays_or_one_error(tmp_path, header, body, length):
    try:
        weights = opened(tmp_path, safetensors(header, body, length))
        for name in weights:
            assert weights[name].shape == weights.shape(name)
    except CheckpointError:
        pass


@given(data=st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_library_accepts_what_we_accept_when_a_byte_is_changed(tmp_path, data):
    library = pytest.importorskip("safetensors")
    good = bytearray(safetensors({"v": F32x2, "w": described("I16", [2, 2], 8, 16)}, bytes(16)))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        ours = dict(
            opened(tmp_path, bytes(good))
        )  # a dtype that is not known is refused when it is asked for
    except CheckpointError:
        return
    with library.safe_open(tmp_path / "a.safetensors", "numpy") as theirs:
        assert set(theirs.keys()) == set(ours)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "weight_map"),
        ({"weight_map": {}}, "weight_map"),
        ({"weight_map": {"w": 1}}, "weight_map"),
        ({"weight_map": {"w": "../a.safetensors"}}, "not a plain name"),
        ({"weight_map": {"w": "/etc/passwd"}}, "not a plain name"),
        (
            {"weight_map": {"w": "gone.safetensors"}},
            "names the shard 'gone.safetensors', which is not there",
        ),
        (
            {"weight_map": {"w": "a.bin"}},
            "'a.bin' is not read here, but shards that end in .safetensors",
        ),
        ({"weight_map": {"other": "a.safetensors"}}, "has no tensor 'other'"),
    ],
)
def test_a_damaged_index_is_refused(tmp_path, index, message):
    write_safetensors(tmp_path / "a.safetensors", {"w": np.zeros(2)})
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message):
        read_safetensors(path)


def test_a_tensor_that_the_index_passes_over_is_refused(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", {"v": np.zeros(2), "w": np.zeros(2)})
    write_safetensors(tmp_path / "b.safetensors", {"w": np.ones(2)})
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"w": "a.safetensors"}}))
    with pytest.raises(
        CheckpointError, match="a.safetensors holds the tensor 'v'.*does not name it"
    ):
        read_safetensors(path)
    path.write_text(json.dumps({"weight_map": {"v": "a.safetensors", "w": "b.safetensors"}}))
    with pytest.raises(CheckpointError, match="holds the tensor 'w'.*places it in 'b.safetensors'"):
        read_safetensors(path)


UNREAD = {
    "F8_E4M3": 2,
    "F8_E5M2": 2,
    "F8_E8M0": 2,
    "F4": 1,
    "I4": 1,
    "U4": 1,
    "C64": 16,
    "F9_NEW": 7,
    "Q8_0": 34,
    "": 0,
}


@pytest.mark.parametrize(("kind", "nbytes"), UNREAD.items())
def test_a_dtype_that_is_not_read_is_named_and_its_neighbors_are_read(tmp_path, kind, nbytes):
    header = {
        "a": described("F32", [1], 0, 4),
        "odd": described(kind, [2], 4, 4 + nbytes),
        "z": described("I8", [2], 4 + nbytes, 6 + nbytes),
    }
    weights = opened(
        tmp_path, safetensors(header, np.float32(2).tobytes() + bytes(nbytes) + b"\1\2")
    )
    assert (
        weights["a"].tolist() == [2]
        and weights["z"].tolist() == [1, 2]
        and weights.shape("odd") == (2,)
    )
    with pytest.raises(
        CheckpointError,
        match=f"tensor 'odd' has the dtype '{kind}', which is not read here, but U64",
    ):
        weights["odd"]


@pytest.mark.parametrize(
    "header",
    [
        {"__metadata__": None, "w": F32x2},  # null: no metadata
        {"none": described("F32", [0], 0, 0), "w": F32x2, "end": described("F64", [3, 0], 8, 8)},
        {"w": described("F64", [], 0, 8)},
        {"": F32x2},  # a name as good as any
    ],
)
def test_what_the_library_reads_is_no_damage(tmp_path, header):
    weights = opened(tmp_path, safetensors(header, bytes(8)))
    for name in header.keys() - {"__metadata__"}:
        assert not weights[name].any() and list(weights[name].shape) == header[name]["shape"]
    assert weights.metadata == {}


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="cannot read the weights .*gone"):
        read_safetensors(tmp_path / "gone.safetensors")
    with pytest.raises(CheckpointError, match="holds neither model.safetensors nor"):
        read_safetensors(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"w": np.zeros(2)})
    before = path.read_bytes()
    with pytest.raises(DtypeError, match="tensor 'w' has dtype complex128"):
        write_safetensors(path, {"w": np.zeros(2, complex)})
    with pytest.raises(DtypeError, match="'I8' is no kind of floating-point"):
        write_safetensors(path, {"w": np.zeros(2)}, kind="I8")
    with pytest.raises(CheckpointError, match="cannot write the weights"):
        write_safetensors(tmp_path / "no" / "a.safetensors", {"w": np.zeros(2)})
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_arrays_in_any_memory_order_are_written_row_by_row(tmp_path, rng):
    array = rng.standard_normal((3, 4)).astype(">f4")
    write_safetensors(tmp_path / "a", {"t": array.T, "s": array[::2, ::-1]})
    weights = read_safetensors(tmp_path / "a")
    np.testing.assert_array_equal(weights["t"], array.T)
    np.testing.assert_array_equal(weights["s"], array[::2, ::-1])
