import pytest

TEXT = "the cat sat on the mat and the dog sat on the log. " * 12  # 612 bytes


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """A small text file."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="session")
def tiny():
    """Settings of a model so small that three steps take no time."""
    return [
        "--tokenizer=bytes",
        "--n-layer=1",
        "--n-head=1",
        "--d-model=8",
        "--context=8",
        "--steps=3",
        "--batch-size=2",
        "--warmup=0",
        "--workers=1",
    ]


@pytest.fixture(scope="session")
def run(text, tiny, tmp_path_factory):
    """A finished run of three steps, for verbs that read one."""
    from tinylm.cli import main

    path = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "--data", str(text), "--out", str(path), *tiny]) == 0
    return path
