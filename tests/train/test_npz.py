"""Nothing is taken from the file of a checkpoint, and no memory for it, before it is checked."""

import hashlib
import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from tinylm.errors import CheckpointError
from tinylm.train import checkpoint, npz

ARRAYS = {"model": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(3)}}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "step-000001"
    checkpoint.save(path, ARRAYS, {})
    return path


def edit(saved, change):
    """Change what state.json holds, and make its checksum right again."""
    content = json.loads((saved / "state.json").read_text())
    del content["sha256"]
    change(content)
    sha256 = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (saved / "state.json").write_text(json.dumps({"sha256": sha256, **content}))


def member(shape, dtype="<f4", data=b""):
    """The bytes of an .npy whose header promises what is not there."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def write(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def refused_without_memory(saved, match, expected=None):
    """Loading raises CheckpointError, and at no time is as much as a megabyte in use."""
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=match):
            checkpoint.load(saved, expected=expected)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


HUGE = 300_000_000  # float32: 1.2 GB


def test_a_header_of_another_shape_takes_no_memory(saved):
    write(saved / "model.npz", {"w": member((HUGE,)), "b": member((3,), "<f8", bytes(24))})
    match = r"array 'w' has shape \[300000000\], but state.json has \[2, 3\]"
    refused_without_memory(saved, match)


def test_a_header_of_another_dtype_takes_no_memory(saved):
    b = member((3,), "<f8", bytes(24))
    write(saved / "model.npz", {"w": member((2, 3), "<U9999999"), "b": b})
    refused_without_memory(saved, "array 'w' has dtype <U9999999")


def test_a_state_that_agrees_with_a_false_header_takes_no_memory(saved):
    def grow(content):
        content["arrays"]["model"]["w"]["shape"] = [HUGE]

    edit(saved, grow)
    write(saved / "model.npz", {"w": member((HUGE,)), "b": member((3,), "<f8", bytes(24))})
    refused_without_memory(saved, "is cut short: it has .* bytes, and its arrays take 1200000024")


def test_a_small_file_cannot_be_unpacked_into_a_large_memory(saved):
    zeros = {"w": member((2, 3), data=bytes(24)), "b": member((3,), "<f8", bytes(1 << 24))}
    write(saved / "model.npz", zeros, zipfile.ZIP_DEFLATED)
    refused_without_memory(saved, "is compressed")


def test_a_file_that_is_longer_than_its_header_says_is_refused(saved):
    write(saved / "model.npz", {"w": member((2, 3), data=bytes(32)), "b": b""})
    refused_without_memory(saved, "array 'w' does not have the length in its header")


def test_another_model_than_expected_takes_no_memory(saved):
    shapes = {"w": ((2, 3), np.float32), "b": ((3,), np.float64)}
    assert checkpoint.load(saved, expected={"model": shapes}).arrays["model"]["b"].sum() == 3
    for change, match in [
        ({"w": ((3, 2), np.float32)}, r"array 'w' is <f4 of shape \[2, 3\].*needs <f4 of \[3, 2\]"),
        ({"w": ((2, 3), np.float64)}, "needs <f8"),
        ({"c": ((1,), np.float32)}, "lacks the array 'c'"),
    ]:
        refused_without_memory(saved, match, {"model": {**shapes, **change}})
    refused_without_memory(saved, "holds the array 'w'", {"model": {}})
    refused_without_memory(saved, "arrays.optimizer is missing", {"model": shapes, "optimizer": {}})


@pytest.mark.parametrize("dtype", ["|O", "<f3", "i4,i4", "float32", "<m8[s]", None, 4, ["<f4"]])
def test_only_dtypes_of_numbers_are_read(saved, dtype):
    def change(content):
        content["arrays"]["model"]["w"]["dtype"] = dtype

    edit(saved, change)
    refused_without_memory(saved, "arrays.model.w.dtype is")


@pytest.mark.parametrize("name", ["../model", "/etc/model", "a/b", "..\\model", "", "a\0b"])
def test_names_of_array_files_stay_in_the_checkpoint(saved, name):
    def change(content):
        content["arrays"][name] = content["arrays"].pop("model")

    (saved / "model.npz").rename(saved.parent / "model.npz")
    edit(saved, change)
    refused_without_memory(saved, "is refused: .* is not a plain name")


@pytest.mark.parametrize("file", ["model.npz", "state.json"])
def test_links_out_of_a_checkpoint_are_not_followed(saved, file):
    (saved / file).rename(saved.parent / file)
    (saved / file).symlink_to(f"../{file}")
    refused_without_memory(saved, "leads out of")


@pytest.mark.parametrize("file", ["model.npz", "state.json"])
def test_a_pipe_in_place_of_a_file_does_not_wait(saved, file):
    (saved / file).unlink()
    os.mkfifo(saved / file)
    refused_without_memory(saved, "is not a regular file|cannot be read")


def test_arrays_in_the_order_of_fortran_come_back(tmp_path):
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    checkpoint.save(tmp_path / "c", {"model": {"w": array, "none": np.zeros((0, 4))}}, {})
    found = checkpoint.load(tmp_path / "c").arrays["model"]
    assert np.array_equal(found["w"], array) and found["none"].shape == (0, 4)
    assert npz.nbytes(npz.describe(array)) == 48


@pytest.mark.parametrize("header", [
    "", "{", "{'descr': '<f4'", "(" * 3000, "[" * 3000, "{'descr': '<f4', 'shape': (2, 3L), ",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1e99), }", "'''", "\\", "0" * 9000,
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }",
    "{'descr': 'x', 'fortran_order': False, 'shape': (2, 3), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}",
])  # fmt: skip
@pytest.mark.parametrize("version", [1, 2, 3])
def test_any_header_is_one_error(saved, header, version):
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    data = b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + bytes(24)
    write(saved / "model.npz", {"w": data, "b": b""})
    refused_without_memory(saved, "model.npz is damaged: array 'w' cannot be read")


@pytest.mark.parametrize(
    "array",
    [
        np.float32(3),
        np.zeros((2, 0)),
        np.ones((1, 2, 3), np.int64),
        np.array([True]),
        np.array([1j]),
        np.arange(3, dtype=">f4"),
    ],
)
def test_arrays_of_every_kind_come_back(tmp_path, array):
    checkpoint.save(tmp_path / "c", {"model": {"w": np.asarray(array)}}, {})
    found = checkpoint.load(tmp_path / "c").arrays["model"]["w"]
    assert found.dtype == np.asarray(array).dtype and np.array_equal(found, array)
