"""Event files: the checksum and the framing by their published values, and TensorBoard itself."""

import struct

import pytest

from tinylm.cli.look.event_file import crc32c, event, event_file, record


@pytest.mark.parametrize(
    "data, value",
    [  # RFC 3720, appendix B.4; the last is the check value of the catalogue of crcs
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_the_checksum_is_crc_32c(data, value):
    assert crc32c(data) == value


def test_a_record_is_framed_by_its_length_and_two_masked_checksums():
    def masked(data):
        crc = crc32c(data)
        return ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32

    framed = record(b"abc")
    length, first, data, last = struct.unpack("<8sI3sI", framed)
    assert length == struct.pack("<Q", 3) and data == b"abc"
    assert (first, last) == (masked(length), masked(b"abc"))


def test_an_event_has_the_bytes_that_protobuf_writes():
    # Field 1 as a double, field 2 as varint 300, field 5 a message that holds a message of tag and
    # float: written out by the rules of the wire format.
    value = b"\x0a\x04loss" + b"\x15" + struct.pack("<f", 1.5)
    wanted = b"\x09" + struct.pack("<d", 2.0) + b"\x10\xac\x02"
    wanted += b"\x2a" + bytes([len(value) + 2]) + b"\x0a" + bytes([len(value)]) + value
    assert event(2.0, 300, {"loss": 1.5}) == wanted


def test_a_file_opens_with_its_version():
    assert b"brain.Event:2" in event_file(0.0, [])[:40]


def test_tensorboard_reads_what_was_written(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    points = [(10.0 + i, i, {"training/loss": 5.0 / i, "é": 1e30}) for i in (1, 2, 300)]
    (tmp_path / "events.out.tfevents.0000000000.test").write_bytes(event_file(10.0, points))
    found = accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    assert found.Tags()["scalars"] == ["training/loss", "é"]
    loss = found.Scalars("training/loss")
    assert [(one.step, one.wall_time) for one in loss] == [(1, 11.0), (2, 12.0), (300, 310.0)]
    assert [one.value for one in loss] == pytest.approx([5.0, 2.5, 5.0 / 300], rel=1e-7)
