"""GGUF files: settings and tensors are read where they lie, and refused when they lie."""

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.published.formats.files import gguf, installed, string
from tinylm.errors import CheckpointError
from tinylm.models.low_bit.bfloat16 import narrow, simulate
from tinylm.models.low_bit.blocks import quantize
from tinylm.models.published.formats.gguf import read_gguf

SETTINGS = {
    "a.int": 7,
    "a.float": 0.5,
    "a.bool": True,
    "a.text": "ä b",
    "a.numbers": [1, -2],
    "a.texts": ["x", "", "ß"],
}
F32x4 = ("F32", (2, 2), np.arange(4, dtype="<f4").tobytes())


def opened(tmp_path, data):
    path = tmp_path / "a.gguf"
    path.write_bytes(data)
    return read_gguf(path)


@pytest.mark.parametrize("version", [2, 3])
def test_settings_are_read(tmp_path, version):
    metadata = opened(tmp_path, gguf(SETTINGS, version=version)).metadata
    assert metadata.pop("a.numbers").tolist() == [1, -2]
    assert metadata == {name: value for name, value in SETTINGS.items() if name != "a.numbers"}


@pytest.mark.parametrize("alignment", [8, 32, 64])
def test_tensors_are_read_rows_first(tmp_path, rng, alignment):
    array = rng.standard_normal((3, 64)).astype(np.float32)
    weights = opened(
        tmp_path,
        gguf(
            {"general.alignment": alignment},
            {
                "f32": ("F32", (3, 64), array.tobytes()),
                "f16": ("F16", (3, 64), array.astype("<f2").tobytes()),
                "bf16": ("BF16", (3, 64), narrow(array).tobytes()),
                "vector": ("I32", (3,), np.arange(3, dtype="<i4").tobytes()),
                "q8": ("Q8_0", (3, 64), quantize(array, "Q8_0").tobytes()),
            },
            alignment=alignment,
        ),
    )
    np.testing.assert_array_equal(weights["f32"], array, strict=True)
    np.testing.assert_array_equal(weights["f16"], array.astype(np.float16), strict=True)
    np.testing.assert_array_equal(weights["bf16"], simulate(array), strict=True)
    assert weights["vector"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(
        weights["q8"], array, atol=np.abs(array).max() / 127
    )  # twice the half step that 8 bits allow
    assert weights.parameters() == 4 * 3 * 64 + 3


def test_the_library_s_files_are_read(tmp_path, rng):
    library = pytest.importorskip("gguf")
    writer = library.GGUFWriter(tmp_path / "a.gguf", "llama")
    array = rng.standard_normal((4, 256)).astype(np.float32)
    writer.add_uint32("llama.block_count", 2)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_array("scores", [0.5, 1.5])
    writer.add_float64("double", 0.1)
    writer.add_int64("negative", -1 << 40)
    for kind in ("Q4_1", "Q8_0"):
        writer.add_tensor(
            kind,
            library.quants.quantize(array, library.GGMLQuantizationType[kind]),
            raw_dtype=library.GGMLQuantizationType[kind],
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    weights = read_gguf(tmp_path / "a.gguf")
    assert (
        weights.metadata["general.architecture"] == "llama"
        and weights.metadata["llama.block_count"] == 2
    )
    assert (
        weights.metadata["tokenizer.ggml.tokens"] == ["a", "b"]
        and weights.metadata["double"] == 0.1
    )
    assert (
        weights.metadata["scores"].tolist() == [0.5, 1.5]
        and weights.metadata["negative"] == -1 << 40
    )
    for kind in ("Q4_1", "Q8_0"):
        assert weights.entry(kind).raw.tobytes() == quantize(array, kind).tobytes()


def test_reading_one_tensor_allocates_that_tensor(tmp_path):
    blocks = quantize(np.ones((512, 512), np.float32), "Q4_0").tobytes()
    weights = opened(tmp_path, gguf({}, {name: ("Q4_0", (512, 512), blocks) for name in "abcd"}))
    tracemalloc.start()
    one = weights["b"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < one.nbytes + (1 << 20)  # and the scratch of `dequantize`


ONE = {"w": F32x4}
HOSTILE = {
    "empty": (b"", "is empty"),
    "another format": (b"PK\x03\x04" + bytes(40), "does not begin with the letters GGUF"),
    "version 1": (gguf(version=1), "version 1; versions 2 and 3"),
    "big-endian": (gguf(version=3 << 24), "big-endian"),
    "cut within the head": (gguf()[:10], "cut short"),
    "settings beyond the file": (gguf(n_settings=1 << 60), "cut short"),
    "tensors beyond the file": (gguf(n_tensors=(1 << 64) - 1), "cut short"),
    "one setting too many": (gguf(SETTINGS, n_settings=7), "cut short"),
    "name not UTF-8": (gguf({b"\xff": 1}), "not UTF-8"),
    "text not UTF-8": (gguf({"a": b"\xff"}), "not UTF-8"),
    "text of the list not UTF-8": (
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
        + string("a")
        + struct.pack("<IIQ", 9, 8, 2)
        + string("b")
        + string(b"\xff"),
        "not UTF-8",
    ),
    "name longer than the file": (
        struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 1 << 63) + bytes(64),
        "cut short",
    ),
    "list longer than the file": (
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + string("a") + struct.pack("<IIQ", 9, 12, 1 << 61),
        "cut short",
    ),
    "texts longer than the file": (
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + string("a") + struct.pack("<IIQ", 9, 8, 1 << 61),
        "cut short",
    ),
    "last text longer than the file": (
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
        + string("a")
        + struct.pack("<IIQQ", 9, 8, 1, 9)
        + bytes(8),
        "cut short",
    ),
    "lists without end": (
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
        + string("a")
        + struct.pack("<I", 9)
        + struct.pack("<IQ", 9, 1) * 5000,
        "does not exist",
    ),
    "type of a setting unknown": (
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + string("a") + struct.pack("<I", 99) + bytes(8),
        "type 99",
    ),
    "truth value 2": (
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + string("a") + struct.pack("<IB", 7, 2),
        "0 and 1",
    ),
    "setting twice": (
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 2) + (string("a") + struct.pack("<IB", 7, 1)) * 2,
        "'a' stands twice",
    ),
    "alignment 0": (gguf({"general.alignment": 0}, ONE), "not a power of 2"),
    "alignment a text": (gguf({"general.alignment": "32"}, ONE), "not a power of 2"),
    "alignment 2^31": (gguf({"general.alignment": 1 << 31}, ONE), "not a power of 2"),
    "five axes": (gguf({}, ONE, described={"w": {"shape": (1,) * 5}}), "5 axes"),
    "2^32 - 1 axes": (
        gguf({}, {"w": F32x4}).replace(
            struct.pack("<I", 2) + struct.pack("<QQ", 2, 2),
            struct.pack("<I", 2**32 - 1) + struct.pack("<QQ", 2, 2),
        ),
        "axes",
    ),
    "type of a tensor unknown": (
        gguf({}, ONE, described={"w": {"kind": 77}}),
        r"tensor 'w': its type 77 \(unknown\)",
    ),
    "type of a tensor wrong": (
        gguf({}, {"w": ("F32", (2, 4), bytes(32))}, described={"w": {"kind": 28}}),
        "cut short",
    ),  # F64
    "rows no whole blocks": (gguf({}, ONE, described={"w": {"kind": 2}}), "blocks of 32"),
    "shape absurd": (
        gguf({}, ONE, described={"w": {"shape": (1 << 40, 1 << 40)}}),
        "larger than any memory",
    ),
    "shape absurd but for a zero": (
        gguf({}, ONE, described={"w": {"shape": (0, (1 << 64) - 1)}}),
        "larger than any memory",
    ),
    "shape beyond the file": (
        gguf({}, ONE, described={"w": {"shape": (1 << 20, 1 << 20)}}),
        "cut short",
    ),
    "offset beyond the file": (gguf({}, ONE, described={"w": {"offset": 1 << 62}}), "cut short"),
    "offset not aligned": (gguf({}, ONE, described={"w": {"offset": 1}}), "multiple of 32"),
    "cut within a tensor": (gguf({}, ONE)[:-17], "cut short"),
    "overlap": (
        gguf({}, {"v": ("F32", (16,), bytes(64)), "w": F32x4}, described={"w": {"offset": 32}}),
        "'v' and 'w' overlap",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_without_allocating(tmp_path, case):
    data, message = HOSTILE[case]
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=message) as caught:
        opened(tmp_path, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "a.gguf" in str(caught.value) and len(str(caught.value)) < 500
    assert peak < 1 << 20


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_gives_arrays_or_one_error(tmp_path, data):
    good = bytearray(gguf(SETTINGS, {"v": ("Q4_0", (2, 32), bytes(36)), "w": F32x4}))
    for _ in range(data.draw(st.integers(0, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        weights = opened(
            tmp_path, bytes(good[: data.draw(st.integers(0, len(good)) | st.just(len(good)))])
        )
        with np.errstate(
            all="ignore"
        ):  # a changed float16 scale may be an infinity, times the code 0
            for name in weights:
                assert weights[name].shape == weights.shape(name)
    except CheckpointError:
        pass


def test_smollm2_is_what_the_library_reads():
    library = pytest.importorskip("gguf")
    weights = read_gguf(installed("smollm2"))
    assert (
        weights.parameters() == 134_515_008
    )  # 49,152 * 576 + 30 * (2 * 576 + 2 * 576^2 + 2 * 576 * 192 + 3 * 576 * 1536) + 576
    for name in ("blk.0.attn_q.weight", "blk.29.ffn_down.weight", "output_norm.weight"):
        entry = weights.entry(name)
        kind = library.GGMLQuantizationType[entry.kind]
        width = entry.nbytes * entry.shape[-1] // int(np.prod(entry.shape))
        expected = library.quants.dequantize(entry.raw.reshape(-1, width), kind).reshape(
            entry.shape
        )
        np.testing.assert_array_equal(weights[name], expected)


@pytest.mark.parametrize("number, kind", [(10, "Q2_K"), (23, "IQ4_XS"), (39, "MXFP4")])
def test_a_type_that_is_not_read_is_named_and_its_neighbors_are_read(tmp_path, number, kind):
    plain = ("F32", (2,), np.array([1, 2], "<f4").tobytes())
    weights = opened(
        tmp_path, gguf({}, {"a": plain, "odd": (number, (64,), bytes(40)), "z": plain})
    )
    assert weights["a"].tolist() == weights["z"].tolist() == [1, 2] and weights.shape("odd") == (
        64,
    )
    with pytest.raises(
        CheckpointError,
        match=f"tensor 'odd' has the dtype '{kind}', which is not read here, but U64",
    ):
        weights["odd"]
