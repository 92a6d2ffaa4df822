import json

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
        "--positions=learned",
        "--init=gpt2",
    ]


@pytest.fixture(scope="session")
def run(text, tiny, tmp_path_factory):
    """A finished run of three steps, for verbs that read one."""
    from tinylm.cli import main

    path = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "--data", str(text), "--out", str(path), *tiny]) == 0
    return path


@pytest.fixture(scope="session")
def prompted(text, tmp_path_factory):
    """A run of three steps whose context holds a prompt."""
    from tinylm.cli import main

    path = str(tmp_path_factory.mktemp("prompt") / "run")
    small = "--tokenizer=bytes --n-layer=1 --n-head=1 --d-model=8 --batch-size=2 --workers=1"
    long = "--context=120 --steps=3 --warmup=0 --positions=learned --init=gpt2"
    assert main(["train", "--data", str(text), "--out", path, *small.split(), *long.split()]) == 0
    return path


@pytest.fixture
def items_file(tmp_path):
    """Three questions with two options."""
    path = tmp_path / "items.jsonl"
    items = [
        {"question": f"the {word}?", "answer": "cat", "options": ["cat", "dog"]}
        for word in ("one", "two", "six")
    ]
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return str(path)
