import pytest

from tests.parallel.runs import SETTINGS
from tinylm.cli import main


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "book.txt"
    path.write_text("the cat sat on the mat, and the dog ate the map. " * 30)
    return path


@pytest.fixture(scope="session")
def single_run(book, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "single"
    assert main(["train", "--data", str(book), "--out", str(out), *SETTINGS, "--workers=1"]) == 0
    return out
