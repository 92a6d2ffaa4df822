"""A classifier on disk: what comes back is what was saved, and damage is named."""

import json

import numpy as np
import pytest

from tests.train.test_npz import edit
from tests.train.tiny import tiny_config
from tinylm.errors import CheckpointError, ConfigError
from tinylm.finetune import answers
from tinylm.finetune.from_run import part_of, pretrained_part
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.finetune.tasks.saved_classifier import is_classifier, load_classifier, save_classifier
from tinylm.train import load_run
from tinylm.train.checkpoint import latest
from tinylm.train.run.run import train_run

CLASSES = "animals", "numbers"
TEXTS = ["the cat 3", "a dog", "no bird", "6 times 3"]


@pytest.fixture(scope="module", params=["masked", "replaced", "causal", "multi-token", "sentinels"])
def base(request, tmp_path_factory):
    """A run of two steps of each kind of model."""
    folder = tmp_path_factory.mktemp(request.param)
    train_run(tiny_config(folder, steps=2, objective=request.param), report=lambda line: None)
    return folder / "run"


def made(base, pool=None):
    model, tokenizer, config = load_run(base)
    encoder, inputs = part_of(model, tokenizer, config)
    classifier = Classifier(encoder, len(CLASSES), pool, seed=3).eval()
    return classifier, Classification(inputs, CLASSES), config


@pytest.mark.parametrize("pool", [None, "mean"])
def test_the_same_logits_come_back(base, pool, tmp_path):
    model, task, config = made(base, pool)
    save_classifier(tmp_path / "run", model, task, config, 7, {"lr": 1.0})
    assert is_classifier(tmp_path / "run") and not is_classifier(base)
    again, its_task = load_classifier(tmp_path / "run")
    examples = [(text, CLASSES[0]) for text in TEXTS]
    batch, same = task.make_batch(examples), its_task.make_batch(examples)
    np.testing.assert_array_equal(same.inputs, batch.inputs)
    logits = model(batch.inputs, **batch.options).numpy()
    np.testing.assert_array_equal(again(same.inputs, **same.options).numpy(), logits)
    assert answers(again, its_task, examples) == [CLASSES[i] for i in logits.argmax(axis=-1)]
    shown = json.loads((tmp_path / "run" / "config.json").read_text())
    assert shown["classifier"]["classes"] == list(CLASSES) and shown["finetune"] == {"lr": 1.0}


def test_it_is_no_model_of_tokens_and_a_run_is_no_classifier(base, tmp_path):
    model, task, config = made(base)
    save_classifier(tmp_path / "run", model, task, config)
    with pytest.raises(CheckpointError, match="is a classifier, which labels texts"):
        load_run(tmp_path / "run")
    with pytest.raises(CheckpointError, match="is a classifier, which labels texts"):
        pretrained_part(tmp_path / "run")
    with pytest.raises(CheckpointError, match="labels no texts: `tinylm classify .* --data FILE`"):
        load_classifier(base)


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("classes", ["one"], "classes"),
        ("classes", ["a", "a"], "classes"),
        ("classes", ["a", "b", "c"], "out.weight|shape"),
        ("pool", "last word", "pool"),
    ],
)
def test_an_edited_description_is_named(base, field, value, words, tmp_path):
    model, task, config = made(base)
    save_classifier(tmp_path / "run", model, task, config)
    changed = {field: value}
    edit(latest(tmp_path / "run"), lambda it: it["state"]["classifier"].update(changed))
    with pytest.raises(CheckpointError, match=words):
        load_classifier(tmp_path / "run")


def test_what_has_no_name_is_not_saved(base, tmp_path):
    model, task, config = made(base)
    with pytest.raises(ConfigError, match="needs the names of the classes"):
        save_classifier(tmp_path / "a", model, Classification(task.inputs), config)
    model.pool = lambda model, h, mask: h[:, 0]
    with pytest.raises(ConfigError, match="a pooling of first, pooler, mean, last"):
        save_classifier(tmp_path / "b", model, task, config)
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
