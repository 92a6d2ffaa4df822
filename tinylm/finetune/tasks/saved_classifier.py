"""A classifier of texts as a run on disk, which `tinylm classify` opens.

The layout is that of a training run: the pretrained part without its head is its model, the new
layer a file of its own beside it (train/checkpoint.py). Read first: classify.py, heads.py. Read
next: cli/learn/classify.py.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from tinylm.errors import CheckpointError, ConfigError
from tinylm.fields import of_type
from tinylm.files import write_text
from tinylm.finetune.from_run import part_of
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import POOLS, Classifier
from tinylm.models.decoder.gpt import GPT
from tinylm.train import checkpoint as checkpoints
from tinylm.train.run.config import TrainConfig, as_json
from tinylm.train.run.saved import described, fields_of, model_of, parameters_of


def save_classifier(
    directory: str | Path,
    model: Classifier,
    task: Classification,
    config: TrainConfig,
    step: int = 0,
    settings: dict[str, Any] | None = None,
) -> Path:
    """Write a classifier as a run.

    directory  created if needed; must hold no checkpoint of this step
    task       with the names of its classes, and the tokenizer that its inputs are made with
    config     TrainConfig of the run that the pretrained part is from
    step       number of updates
    settings   JSON-able dict, stored for information
    returns    path of the checkpoint
    raises     CheckpointError if it cannot be written; ConfigError for a task without names, or
               a pooling that is not one of POOLS
    """
    names = {pool: name for name, pool in POOLS.items()}
    if task.classes is None or model.pool not in names:
        raise ConfigError(
            "save_classifier: needs the names of the classes, Classification(inputs, classes), and "
            f"a pooling of {', '.join(POOLS)}"
        )
    directory = Path(directory)
    kind = {"classes": list(task.classes), "pool": names[model.pool]}
    state = {
        "config": as_json(dataclasses.replace(config, out=str(directory))),
        "tokenizer": task.inputs.tokenizer.to_dict(),
        "classifier": kind,
        "finetune": settings or {},
    }
    if isinstance(model.encoder, GPT):
        state["gpt"] = dataclasses.asdict(model.encoder.config)
    directory.mkdir(parents=True, exist_ok=True)
    arrays = {"model": model.encoder.named_arrays(), "head": model.out.named_arrays()}
    path = checkpoints.save_step(directory, step, arrays, state)
    task.inputs.tokenizer.save(directory / "tokenizer.json")
    shown = {"classifier": kind, "finetune": settings or {}}
    write_text(directory / "config.json", json.dumps(shown, indent=2) + "\n")
    return path


def is_classifier(path: str | Path) -> bool:
    """True for a run that save_classifier wrote. Raises CheckpointError if there is no run."""
    saved = checkpoints.load(checkpoints.find_run(path)[1], files=())
    return "classifier" in saved.state


def load_classifier(path: str | Path) -> tuple[Classifier, Classification]:
    """A classifier and its task, ready for answers().

    path     a run of save_classifier
    raises   CheckpointError if there is no run, it holds another kind of model, or is damaged
    """
    found = checkpoints.find_run(path)[1]
    saved = checkpoints.load(found, files=())
    if "classifier" not in saved.state:
        raise CheckpointError(
            f"{path} labels no texts: `tinylm classify {path} --data FILE` trains it to"
        )
    config, tokenizer = described(saved)
    kind = fields_of(saved).object("classifier")
    classes = kind.take("classes", _names, "a list of two or more different texts")
    pool = kind.one_of("pool", POOLS)
    encoder, inputs = part_of(model_of(saved, config, tokenizer), tokenizer, config)
    model = Classifier(encoder, len(classes), pool)
    expected = {"model": parameters_of(encoder), "head": parameters_of(model.out)}
    arrays = checkpoints.load(found, ("model", "head"), expected).arrays
    encoder.load_state_dict(arrays["model"])
    model.out.load_state_dict(arrays["head"])
    return model.eval(), Classification(inputs, tuple(classes))


def _names(value):
    """Whether a value is a list of names of classes."""
    texts = isinstance(value, list) and all(of_type(one, str) for one in value)
    return texts and 1 < len(value) == len(set(value))
