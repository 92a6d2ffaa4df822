"""Whatever is edited in the JSON of a run: it loads, or one error names the file. Nothing else."""

import copy
import hashlib
import json
import math
import random

import pytest

from tests.train.tiny import tiny_config
from tinylm import tokenizers
from tinylm.data import Prepared
from tinylm.errors import CheckpointError, DataError, TinylmError
from tinylm.finetune.instruct.conversations import MARKS, ROLES
from tinylm.finetune.instruct.saved import save_tuned, template_of_run
from tinylm.finetune.instruct.vocabulary import add_special, grow_vocabulary
from tinylm.train import TrainConfig, checkpoint, load_run, prepare_run, train_run
from tinylm.train.alone import ALONE
from tinylm.train.patience import Patience
from tinylm.train.run.run import new_trainer
from tinylm.train.run.saved import restore

GONE = object()
WRONG = [GONE, None, "", "x", "a\0", "\ud800", [], [1], ["a"], [[]], {}, {"a": 1}, -1, 0, 1, 1.5]
WRONG += [True, False, 2**31, 2**62, 2**64, 10**30, math.nan, math.inf, 1e308, -1e308, 1e-320]


def quiet(line):
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    train_run(tiny_config(folder, n_layer=1, steps=3, positions="rope"), None, quiet)
    return folder / "run"


@pytest.fixture(scope="module")
def tuned(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "tuned"
    model, tokenizer, config = load_run(run)
    tokenizer = add_special(tokenizer, MARKS)
    grow_vocabulary(model, tokenizer.vocab_size)
    save_tuned(path, model, tokenizer, ROLES, config, 3, {"note": 1})
    return path


def resume(path):
    """Open a run as --resume does, and train one step of it."""
    config = TrainConfig(resume=str(path), steps=9, workers=1)
    opened = prepare_run(config, quiet, {"steps", "workers", "resume"})
    try:
        trainer = new_trainer(opened, ALONE)
        restore(opened.checkpoint, trainer, Patience(0))
        trainer.advance()
    finally:
        opened.lock.close()


def open_tuned(path):
    load_run(path)
    template_of_run(path)


def places(value, path=()):
    """The path of every field of a JSON value, of long lists only the first and last entries'."""
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for i in {0, len(value) - 1} & set(range(len(value))):
            yield from places(value[i], (*path, i))


def edited(value, path, new):
    """A copy in which the field at `path` is another, or gone."""
    if not path:
        return new
    whole = copy.deepcopy(value)
    inner = whole
    for name in path[:-1]:
        inner = inner[name]
    if new is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return whole


def write(file, value):
    """Write an edited file, with the checksum of its content where it has one."""
    if file.name == "state.json" and isinstance(value, dict) and "sha256" in value:
        content = {name: one for name, one in value.items() if name != "sha256"}
        sha256 = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        value = {**content, "sha256": sha256}
    file.write_text(json.dumps(value))


def try_all(file, read, seed, tries):
    """Edit every field in `tries` random ways and read; the file is then as it was."""
    original, draw = file.read_bytes(), random.Random(seed)
    value, refused = json.loads(original), 0
    try:
        for path in places(value):
            for new in draw.sample(WRONG[not path :], tries):
                write(file, edited(value, path, new))
                try:
                    read()
                except TinylmError as error:
                    refused += 1
                    named = isinstance(error, (CheckpointError, DataError))
                    assert named or str(path[-1]) in str(error), (path, new, error)
    finally:
        file.write_bytes(original)
    return refused


def test_every_field_of_a_checkpoint(run):
    state = checkpoint.latest(run) / "state.json"
    assert try_all(state, lambda: resume(run), seed=1, tries=3) > 100


def test_a_tuned_model_of_before_a_field_was_added_is_read(tuned):
    file = checkpoint.latest(tuned) / "state.json"
    original = file.read_text()
    value = json.loads(original)
    for name in ("rotary_width", "rotation", "qk_norm"):  # added after the first were tuned
        del value["state"]["gpt"][name]
    try:
        write(file, value)
        open_tuned(tuned)
    finally:
        file.write_text(original)


def test_every_field_of_a_tuned_checkpoint(tuned):
    state = checkpoint.latest(tuned) / "state.json"
    assert try_all(state, lambda: open_tuned(tuned), seed=2, tries=3) > 100


def test_every_field_of_a_prepared_text(run):
    assert try_all(run / "data" / "meta.json", lambda: Prepared.open(run / "data"), 3, 8) > 50


def test_every_field_of_a_tokenizer(run, tmp_path):
    path = tmp_path / "tokenizer.json"
    kinds = [
        tokenizers.load(run / "tokenizer.json"),
        tokenizers.ByteTokenizer(["<a>"]),
        tokenizers.BPETokenizer.train(["the cat and the dog"] * 3, 260, ["<a>"]),
        tokenizers.UnigramTokenizer.train(["the cat and the dog"] * 3, 280, ["<a>"]),
        tokenizers.train_wordpiece(["the cat and the dog"] * 3, 30),
        tokenizers.WordTokenizer(["the", "cat"]),
    ]
    for kind in kinds:
        kind.save(path)
        assert try_all(path, lambda: use(path), 4, 10) > 8


def use(path):
    found = tokenizers.load(path)
    found.decode(found.encode("the cat"))


@pytest.mark.parametrize("path, value, names", [
    (("config", "n_layer"), 10**9, "n_layer 1000000000"),
    (("config", "d_hidden"), 10**12, "d_hidden 1000000000000"),
    (("config", "d_model"), "a", "d_model is 'a'"),
    (("config", "lr"), [1], r"lr is \[1\]"),
    (("config", "batch_size"), 2**62, "batch_size 4611686018427387904"),
    (("config", "seed"), 2**64, "seed is 18446744073709551616"),
    (("trainer", "step"), "3", "state.trainer.step is '3'"),
    (("trainer", "random"), None, "state.trainer.random is None"),
    (("trainer", "random", 0, "counter"), -1, r"state.trainer.random\[0\].counter is -1"),
    (("trainer", "optimizer", "t"), 1.5, "state.trainer.optimizer.t is 1.5"),
    (("data",), [], r"state.data is \[\]"),
    (("data", "position"), 7, "state.data.position is 7"),
    (("schedule", "name"), {}, "state.schedule.name is {}"),
    (("patience", "waited"), "x", "state.patience.waited is 'x'"),
    (("patience", "loss"), math.nan, "state.patience.loss is nan"),
    (("tokenizer", "characters"), 5, "state.tokenizer: .*characters is 5"),
    (("more",), 1, "'more'"),
])  # fmt: skip
def test_the_error_names_file_and_field(run, path, value, names):
    state = checkpoint.latest(run) / "state.json"
    original = state.read_bytes()
    try:
        write(state, edited(json.loads(original), ("state", *path), value))
        for read in (load_run, resume):
            with pytest.raises(CheckpointError, match=f"state.json.*({names})"):
                read(run)
    finally:
        state.write_bytes(original)


@pytest.mark.parametrize("path, value, names", [
    (("n_layer",), 10**9, "another model"),
    (("vocab_size",), 10**12, "another model"),
    (("n_head",), 0, "n_head = 0"),
    (("n_kv_head",), 0, "n_kv_head is 0"),
    (("attention",), [], "attention is empty"),
    (("attention",), [["full"]], "attention is"),
    (("norm_eps",), -1.0, "norm_eps"),
    (("dropout",), 5, "dropout"),
    (("rope_scaling",), {"name": "linear", "factor": "x"}, "gpt describes no model"),
    (("rope_scaling",), {"name": "linear", "factor": 1e-320}, "gpt describes no model"),
])  # fmt: skip
def test_the_shape_of_a_tuned_model_is_checked_before_it_is_made(tuned, path, value, names):
    state = checkpoint.latest(tuned) / "state.json"
    original = state.read_bytes()
    try:
        write(state, edited(json.loads(original), ("state", "gpt", *path), value))
        with pytest.raises(CheckpointError, match=f"state.json.*({names})"):
            load_run(tuned)
    finally:
        state.write_bytes(original)
