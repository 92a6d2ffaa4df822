"""The Python on README runs as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest

import tinylm as tl
from tinylm.train import TrainConfig, train_run

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.S | re.M)
WORDS = "The with statement is a list. This is not the end. Dear reader, "


def block(word):
    """The one block of README that contains a word."""
    (found,) = [code for code in BLOCKS if word in code]
    return found


def run(code):
    names = {"__name__": "readme"}
    exec(compile(code, str(README), "exec"), names)
    return names


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the run and the text that README speaks of."""
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(WORDS * 60)
    Path("notes.txt").write_text("Dear friend, all is well. " * 60)
    sizes = dict(n_layer=1, n_head=2, d_model=16, context=48, batch_size=4, steps=20)
    rest = dict(tokenizer="bytes", workers=1, warmup=2, lr=1e-2)
    train_run(TrainConfig(data="text.txt", out="runs/mine", **sizes, **rest))


def test_every_block_is_tried():
    assert len(BLOCKS) == 2


def test_the_derivative_of_ones_own_is_right(capsys):
    names = run(block("softplus"))
    assert "ok" in capsys.readouterr().out.splitlines()[0]
    expected = 1 / (1 + np.exp([2.0, -0.5, -3.0]))
    np.testing.assert_allclose(names["x"].grad.numpy(), expected, rtol=1e-12)


def test_a_run_is_loaded_completed_scored_and_tuned_and_a_module_is_trained(desk, capsys):
    code = block("tl.load")
    assert 20 <= len([line for line in code.splitlines() if line.strip()]) <= 32
    names = run(code)
    assert names["net"](names["points"]).argmax(axis=-1).tolist() == names["classes"]
    # 30 steps on one sentence that comes again and again
    assert names["losses"][-1] < names["losses"][0]
    assert isinstance(names["text"].model, tl.models.GPT)
    lines = capsys.readouterr().out.splitlines()
    assert "[0 1 1 0]" in lines
