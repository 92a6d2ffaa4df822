"""A small run, a file of pairs and `tinylm align` on both."""

import pytest

from tests.cli.learn.pairs import PAIRS, SMALL, write
from tinylm.cli import main


@pytest.fixture(scope="module")
def base(text, tiny, tmp_path_factory):
    """A run with a context that holds a conversation, and with dropout, which a resumed run must
    continue too."""
    path = tmp_path_factory.mktemp("base") / "base"
    settings = [word for word in tiny if "context" not in word]
    more = ["--context=48", "--dropout=0.1"]
    assert main(["train", "--data", str(text), "--out", str(path), *settings, *more]) == 0
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "pairs.jsonl", PAIRS)


@pytest.fixture(scope="module")
def rewarded(base, data, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("reward") / "reward")
    assert main(["align", "reward", base, "--data", data, "--out", path, *SMALL]) == 0
    return path


@pytest.fixture
def align(base, data, tmp_path, capsys):
    """Run `tinylm align METHOD` into a directory: (its path, what was printed)."""

    def run(method, *words, model=base, file=data, out="out", settings=SMALL, status=0):
        path = str(tmp_path / out)
        argv = ["align", method, model, "--data", file, "--out", path, *settings, *words]
        assert main(argv) == status
        return path, "".join(capsys.readouterr())

    return run
