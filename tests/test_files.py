"""What is written appears whole; links stay links, devices stay devices; JSON has one error."""

import json
import os
import stat
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tinylm.data import ShardWriter, write_tokens
from tinylm.data.read.conll import write_conll
from tinylm.errors import DataError
from tinylm.files import ABANDONED, WholeFile, inside, parse_json, read_json, write_text
from tinylm.models.published.formats.safetensors import write_safetensors
from tinylm.tokenizers import BPETokenizer, ByteTokenizer, save_gpt2


def gpt2(path):
    save_gpt2(BPETokenizer.train(["a b a b"], 258), path, path.with_name("merges.txt"))


def shard_index(path):
    with ShardWriter(path.parent) as shards:
        shards.add("a document")


# Every function that writes one file: (name of the file, function of its path).
WRITERS = {
    "text": ("a.txt", lambda path: write_text(path, "text")),
    "tokenizer": ("tokenizer.json", lambda path: ByteTokenizer().save(path)),
    "gpt2": ("encoder.json", gpt2),
    "conll": ("a.conll", lambda path: write_conll(path, [(["a"], ["B"])])),
    "safetensors": ("a.safetensors", lambda path: write_safetensors(path, {"a": np.zeros(2)})),
    "tokens": ("a.bin", lambda path: write_tokens(path, [1, 2], 3)),
    "shards": ("index.json", shard_index),
}
every_writer = pytest.mark.parametrize("name, write", WRITERS.values(), ids=WRITERS)


@every_writer
def test_a_link_stays_a_link_and_its_target_is_written(tmp_path, name, write):
    (tmp_path / "there").mkdir()
    path, target = tmp_path / name, tmp_path / "there" / "target"
    path.symlink_to("there/target")
    write(path)  # first the target is not there, then it is
    first = target.read_bytes()
    if name == "index.json":  # shards are not written over
        return
    target.write_bytes(b"older")
    write(path)
    assert path.is_symlink() and not target.is_symlink()
    assert target.read_bytes() == first
    assert os.listdir(tmp_path / "there") == ["target"]


@pytest.mark.skipif(not hasattr(os, "mknod") or os.geteuid() != 0, reason="only root makes them")
@every_writer
def test_a_device_stays_a_device(tmp_path, name, write):
    path = tmp_path / name
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null
        path.write_bytes(b"")
    except OSError:
        pytest.skip("no devices can be made or used here")
    try:
        write(path)
    except ValueError:  # DataError: a token file is read back, and shards are not written over
        assert name in ("a.bin", "index.json")
    assert stat.S_ISCHR(path.stat().st_mode)


def test_a_pipe_is_written_straight_through(tmp_path):
    path, found = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    write_text(path, "through")
    reader.join()
    assert found == [b"through"] and stat.S_ISFIFO(path.stat().st_mode)


def test_the_standard_output_is_not_replaced(tmp_path):
    """`--out /dev/stdout > file`: the file is written through the descriptor that is open."""
    path = tmp_path / "file"
    with open(path, "wb") as file:
        before = os.stat(path).st_ino
        write_text(f"/dev/fd/{file.fileno()}", "through")
    assert os.stat(path).st_ino == before and path.read_text() == "through"


def test_what_fails_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "a"
    path.write_text("older")
    with pytest.raises(KeyError), WholeFile(path) as out:
        out.write(b"half")
        raise KeyError
    assert path.read_text() == "older" and os.listdir(tmp_path) == ["a"]


def test_the_error_names_the_file_and_not_what_is_written_aside(tmp_path):
    with pytest.raises(FileNotFoundError) as failed:
        write_text(tmp_path / "nowhere" / "a", "text")
    assert failed.value.filename == str(tmp_path / "nowhere" / "a")
    with pytest.raises(DataError, match="tokenizer: .*nowhere/a cannot be written .No such file"):
        ByteTokenizer().save(tmp_path / "nowhere" / "a")


def test_the_mode_of_an_older_file_is_kept(tmp_path):
    path = tmp_path / "a"
    path.write_text("older")
    path.chmod(0o640)
    write_text(path, "newer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_in_the_way_of_the_aside_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / f"a.tmp-{os.getpid()}").symlink_to("mine")
    write_text(tmp_path / "a", "text")
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix", reason="only there can a process be asked for")
def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    a_day_ago = time.time() - ABANDONED - 60

    def left(name, modified=a_day_ago):
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (modified, modified))

    dead = f"a.tmp-{gone.pid}"
    kept = [
        f"a.tmp-{os.getppid()}",
        f"b.tmp-{gone.pid}",
        f"a.tmp-{gone.pid}.txt",
        "a.tmp-x",
        "aatmp-1",
    ]
    for name in [dead, *kept]:
        left(name)
    write_text(tmp_path / "a", "text")
    assert sorted(os.listdir(tmp_path)) == sorted(["a", *kept])
    left(dead, modified=a_day_ago + 120)  # of today: perhaps another machine's process writes to it
    write_text(tmp_path / "a", "text")
    (tmp_path / dead).unlink()
    (tmp_path / dead).mkdir()
    os.utime(tmp_path / dead, (a_day_ago, a_day_ago))
    write_text(tmp_path / "a", "text")
    assert (tmp_path / dead).is_dir()


def test_links_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError):
        write_text(tmp_path / "a", "text")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"a": 1, "a": 1}', b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000],
    ids=["empty", "half", "twice", "no-utf8", "lists", "objects", "digits"],
)
def test_what_is_no_json_is_a_value_error(data):
    with pytest.raises(ValueError):
        parse_json(data)


def test_json_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode())
    assert read_json(tmp_path / "a") == {"a": 1}


def test_a_pipe_in_place_of_json_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(OSError, match="not a regular file"):
        read_json(tmp_path / "a")


@pytest.mark.parametrize(
    "name", ["../a", "/etc/passwd", "", ".", "..", "a/b", "a\\b", "a\0", "\ud800", None, 1, ["a"]]
)
def test_names_stay_in_their_folder(tmp_path, name):
    with pytest.raises(ValueError, match="plain name"):
        inside(tmp_path, name)


def test_links_that_lead_out_of_a_folder_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").symlink_to("../secret")
    (tmp_path / "in" / "beside").symlink_to("other")
    (tmp_path / "link").symlink_to("in")  # the folder itself may be one
    assert inside(tmp_path / "link", "beside").name == "beside"
    with pytest.raises(ValueError, match="leads out"):
        inside(tmp_path / "link", "out")
