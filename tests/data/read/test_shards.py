"""Every document comes back once, in any order, in memory that does not grow."""

import gzip
import json
import math
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.shards import INDEX, Shards, ShardWriter
from tinylm.errors import ConfigError, DataError

TEXTS = [f"document {i} " + "é\n" * (i % 7) for i in range(100)]


@pytest.fixture
def corpus(tmp_path):
    with ShardWriter(tmp_path / "corpus", shard_bytes=300) as shards:
        for text in TEXTS:
            shards.add(text)
    return Shards(tmp_path / "corpus")


def test_documents_come_back_as_they_were(corpus):
    assert list(corpus.stream()) == TEXTS and len(corpus) == 100 and len(corpus.shards) > 5


@pytest.mark.parametrize("buffer", [0, 1, 10, 1000])
def test_an_epoch_is_every_document_once(corpus, buffer):
    epochs = [list(corpus.stream(epoch, seed=4, buffer=buffer)) for epoch in (0, 1)]
    assert (
        sorted(epochs[0]) == sorted(epochs[1]) == sorted(TEXTS) and epochs[0] != epochs[1] != TEXTS
    )
    assert epochs[0] == list(corpus.stream(0, seed=4, buffer=buffer))


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_workers_together_read_everything_once(corpus, size):
    parts = [
        text for rank in range(size) for text in corpus.stream(2, buffer=5, rank=rank, size=size)
    ]
    assert sorted(parts) == sorted(TEXTS)


@given(skip=st.integers(0, 110))
def test_resuming_goes_on_where_it_stopped(skip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume") / "corpus"
    with ShardWriter(folder, 500) as shards:
        for text in TEXTS:
            shards.add(text)
    corpus = Shards(folder)
    assert list(corpus.stream(3, buffer=8, skip=skip)) == list(corpus.stream(3, buffer=8))[skip:]


def peaks(folder):
    """Print the most bytes held at a time, writing and reading 20, 200, 2000 documents of 2 KB."""
    for documents in (20, 200, 2000):
        tracemalloc.start()
        with ShardWriter(f"{folder}/{documents}", shard_bytes=100_000) as shards:
            for i in range(documents):
                shards.add(f"{i} " * 500)
        for text in Shards(f"{folder}/{documents}").stream(0, buffer=20):
            assert text
        print(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """In a process of its own: here, threads of the test runner allocate whenever they like."""
    code = "import sys; from tests.data.read.test_shards import peaks; peaks(sys.argv[1])"
    found = subprocess.check_output([sys.executable, "-c", code, tmp_path])
    _, small, large = map(int, found.split())  # first 0.04 MB with imports; 0.4 MB and 4.5 MB
    # The same buffer and file blocks; the index grows by 100 bytes a shard. Ten times the text, not
    # a tenth more memory.
    assert large < 1.1 * small + 100_000


def test_the_same_documents_make_the_same_files(tmp_path):
    for name in "ab":
        with ShardWriter(tmp_path / name, 300) as shards:
            for text in TEXTS:
                shards.add(text)
    files = [
        sorted((path.name, path.read_bytes()) for path in (tmp_path / name).iterdir())
        for name in "ab"
    ]
    assert files[0] == files[1]


def test_an_unfinished_corpus_is_not_read(tmp_path):
    with pytest.raises(KeyboardInterrupt), ShardWriter(tmp_path / "corpus") as shards:
        shards.add("text")
        raise KeyboardInterrupt
    with pytest.raises(DataError, match="writing was not finished"):
        Shards(tmp_path / "corpus")


def test_a_corpus_is_never_written_over(corpus):
    with pytest.raises(DataError, match="holds a corpus already"):
        ShardWriter(corpus.folder)


def test_damage_is_named(corpus):
    path = corpus.folder / corpus.shards[2]["name"]
    whole = path.read_bytes()
    for damage in (
        whole[:-10],
        whole[:20],
        b"text",
        (corpus.folder / corpus.shards[1]["name"]).read_bytes(),
    ):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=path.name):
            list(corpus.stream())
    (corpus.folder / INDEX).write_text("{}")
    with pytest.raises(DataError, match="is damaged"):
        Shards(corpus.folder)


def test_a_worker_must_be_one_of_them(corpus):
    with pytest.raises(ConfigError, match="rank 2 is not one of 2"):
        next(corpus.stream(rank=2, size=2))


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "", "..", "a/b", "a\0", None, 3, ["a"]]
)
def test_the_names_in_an_index_stay_in_the_folder(tmp_path, name):
    with ShardWriter(tmp_path / "c") as shards:
        shards.add("text")
    index = json.loads((tmp_path / "c" / "index.json").read_text())
    index["shards"][0]["name"] = name
    (tmp_path / "c" / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"index.json.*shards\[0\].name"):
        Shards(tmp_path / "c")


def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(tmp_path):
    with ShardWriter(tmp_path / "c") as shards:
        shards.add("text")
    (tmp_path / "c" / "00000.jsonl.gz").rename(tmp_path / "elsewhere")
    (tmp_path / "c" / "00000.jsonl.gz").symlink_to("../elsewhere")
    with pytest.raises(DataError, match="leads out of"):
        Shards(tmp_path / "c")


@pytest.mark.parametrize("field", ["documents", "bytes", "crc", "name"])
@pytest.mark.parametrize("value", [None, "a", -1, 1.5, True, [], {}, math.nan, 10**30])
def test_every_field_of_an_index_is_checked(tmp_path, field, value):
    with ShardWriter(tmp_path / "c") as shards:
        shards.add("text")
    index = json.loads((tmp_path / "c" / "index.json").read_text())
    index["shards"][0][field] = value
    (tmp_path / "c" / "index.json").write_text(json.dumps(index))
    if (field, value) == ("name", "a"):
        with pytest.raises(DataError, match="a cannot be read"):
            list(Shards(tmp_path / "c").stream())
        return
    with pytest.raises(DataError, match=rf"index.json.*shards\[0\].{field}"):
        Shards(tmp_path / "c")


@pytest.mark.parametrize(
    "line", [b"[]", b"{}", b'{"text": 1}', b"[" * 100_000, b"\xff", b"1" * 5000]
)
def test_a_line_that_is_no_document_is_an_error(tmp_path, line):
    with ShardWriter(tmp_path / "c") as shards:
        shards.add("text")
    (tmp_path / "c" / "00000.jsonl.gz").write_bytes(gzip.compress(line + b"\n"))
    with pytest.raises(DataError, match="cannot be read"):
        list(Shards(tmp_path / "c").stream())


def test_files_that_are_there_are_not_written_over(tmp_path):
    (tmp_path / "00000.jsonl.gz").write_bytes(b"somebody's corpus")
    with pytest.raises(DataError, match="exists already and is not overwritten"):
        with ShardWriter(tmp_path) as shards:
            shards.add("a")
    assert (tmp_path / "00000.jsonl.gz").read_bytes() == b"somebody's corpus"
    assert not (tmp_path / INDEX).exists()
