"""Bytes of any file of a run are changed: it goes on to the same bits, or an error of tinylm says
what is wrong. Nothing else, and never other numbers."""

import random
import shutil

import pytest

from tests.train.run.test_run import final, same_bits
from tests.train.tiny import tiny_config
from tinylm.errors import TinylmError
from tinylm.train import TrainConfig, checkpoint, load_run, train_run
from tinylm.train import log as logs


def quiet(line):
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(a run of three steps, what it becomes in the fourth)."""
    folder = tmp_path_factory.mktemp("damage")
    (folder / "text.txt").mkdir()
    for name in ("a", "b", "c"):  # several documents: their ends are kept too
        (folder / "text.txt" / f"{name}.txt").write_text(f"the {name} sat on the mat. " * 30)
    train_run(tiny_config(folder, n_layer=1, steps=3, eval_every=0, keep=1), None, quiet)
    shutil.copytree(folder / "run", folder / "further")
    return folder / "run", go_on(folder / "further")


def go_on(run):
    """The parameters of a run after another step."""
    train_run(TrainConfig(resume=str(run), steps=4, workers=1, eval_every=0), None, quiet)
    return final(run)[0]["model"]


def damaged(data, draw):
    """Bytes with a change somewhere: flipped, cut off, zeroed, inserted, removed, random."""
    at, length = draw.randrange(len(data) + 1), draw.choice([1, 2, 8, 64])
    before, changed, after = data[:at], data[at : at + length], data[at + length :]
    flipped = bytes(byte ^ 1 << draw.randrange(8) for byte in changed[:1]) + changed[1:]
    return draw.choice([
        before + flipped + after,
        before,
        before + bytes(len(changed)) + after,
        before + draw.randbytes(length) + changed + after,
        before + after,
        before + draw.randbytes(len(changed)) + after,
        bytes(len(data)),
        b"",
        b"[" * 3000,
        b"{}",
    ])  # fmt: skip


FILES = ["config.json", "tokenizer.json", "lock", "log.jsonl", "data/meta.json", "data/train.bin"]
FILES += ["data/val.bin", "state.json", "model.npz", "optimizer.npz"]


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file(whole, tmp_path, name):
    run, expected = whole
    draw = random.Random(name)
    for case in range(4):
        copy = tmp_path / str(case)
        shutil.copytree(run, copy)
        file = copy / name if (copy / name).exists() else checkpoint.latest(copy) / name
        file.write_bytes(damaged(file.read_bytes(), draw))
        try:
            load_run(copy)
            assert same_bits(go_on(copy), expected), f"case {case} went on to other numbers"
        except TinylmError as error:
            assert file.name in str(error)
            assert name not in ("config.json", "lock", "log.jsonl")  # nothing depends on these
        for event in logs.read(copy):
            assert event["event"]
        shutil.rmtree(copy)
