"""Which files a text is read from."""

import gzip
import os

import pytest

from tinylm.data.read.documents import read_documents
from tinylm.data.read.sources import find_texts, text_files
from tinylm.data.read.text import read_text
from tinylm.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for name in ["b.py", "a/z.md", "a/m.txt", "README", "notes.json", ".hidden.py", ".git/x.py"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "a.bin").write_bytes(b"\0\1")
    (tmp_path / "photo.PNG").write_bytes(b"\x89PNG\0")
    (tmp_path / "program").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "empty.py").touch()
    return tmp_path


def names(found, folder):
    return [file.relative_to(folder).as_posix() for file in found]


def test_a_folder_gives_its_text_and_code_by_name_and_counts_the_rest(folder):
    found = find_texts(folder)
    assert names(found.files, folder) == [
        "README",
        "a/m.txt",
        "a/z.md",
        "b.py",
        "empty.py",
        "notes.json",
    ]
    assert found.left_out == {".bin": 1, ".png": 1, "without a suffix": 1}
    assert found.left_out_line().startswith("left out 3 files not named like a text")
    assert find_texts(folder / "b.py").left_out_line() == ""


def test_files_folders_and_patterns_come_in_the_order_given_each_file_once(folder):
    os.symlink(folder / "b.py", folder / "a" / "link.py")
    found = text_files(
        [folder / "b.py", f"{folder}/*.json", folder / "a", f"{folder}/./b.py", f"{folder}/**/*.md"]
    )
    assert names(found, folder) == ["b.py", "notes.json", "a/m.txt", "a/z.md"]


def test_a_pattern_takes_what_is_text_and_a_named_file_is_read_or_refused(folder):
    assert names(text_files(f"{folder}/*b*"), folder) == ["b.py"]  # a.bin matches too
    (folder / "odd.xyz").write_text("text")
    assert read_text(folder / "odd.xyz") == ["text"]
    with pytest.raises(DataError, match="a.bin' is a binary file"):
        read_text([folder / "b.py", folder / "a.bin"])
    with pytest.raises(DataError, match="no file matches '.*none"):
        text_files(f"{folder}/none*")
    with pytest.raises(DataError, match="no file or directory.*none"):
        text_files([folder / "b.py", folder / "none.txt"])


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder):
    (folder / "a[1].txt").write_text("brackets")
    assert read_text(folder / "a[1].txt") == ["brackets"]


def test_a_pipe_in_a_folder_is_not_opened(folder):
    os.mkfifo(folder / "pipe")  # opening it would wait for a writer
    os.mkfifo(folder / "pipe.txt")
    assert not any("pipe" in name for name in names(text_files(folder), folder))


def test_a_link_that_leads_nowhere_is_an_error_not_passed_over(folder):
    os.symlink(folder / "gone.txt", folder / "a" / "text.txt")
    with pytest.raises(DataError, match="text.txt' cannot be read"):
        read_text(folder / "a")


def test_documents_come_from_several_paths_without_empty_files(folder):
    found = list(read_documents([folder / "a", folder / "b.py", folder / "empty.py", folder / "a"]))
    assert found == ["a/m.txt", "a/z.md", "b.py"]


def test_packed_text_of_a_folder_is_read_too(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"packed"))
    (tmp_path / "b.bin.gz").write_bytes(gzip.compress(b"no text"))
    (tmp_path / "c.txt").write_text("plain")
    found = find_texts(tmp_path)
    assert read_text(tmp_path) == ["packed", "plain"] and found.left_out == {".gz": 1}
