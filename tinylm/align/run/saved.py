"""A run of `tinylm align` on disk: a tuned model that every verb opens, and what continues it.

    model.npz      the plain decoder, LoRA merged: `tinylm chat`, `generate`, `export` read this
    head.npz       of a reward model: the head, and the scale of its rewards
    trained.npz    of an interrupted run: the parameters that are trained, such as A and B of LoRA
    optimizer.npz  and their moments

    state  align   method, settings, the run it started from with the hash of its weights (the
                   reference must not change), the hashes of the examples and of what scores
                   answers, the trainer's state
           reward  there if it is a reward model

Read next: training.py.
"""

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.align.rewards.reward_model import RewardModel
from tinylm.align.run.tunable import Tunable
from tinylm.backend import to_cpu
from tinylm.errors import CheckpointError, ConfigError, DataError
from tinylm.fields import Fields
from tinylm.finetune.freezing import trainable
from tinylm.finetune.instruct.conversations import encode_conversation
from tinylm.finetune.instruct.saved import save_tuned, template_of_run
from tinylm.finetune.peft.merging import bake
from tinylm.models.decoder.gpt import GPT
from tinylm.nn.module import Module
from tinylm.optim.adam import AdamW
from tinylm.prompt.protocol.opened import is_published
from tinylm.train import checkpoint as checkpoints
from tinylm.train import load_run

HEAD = ("head.weight",)
TEXTS = ("method", "run", "sha256", "examples", "reward", "where")  # of a Begun


@dataclass(frozen=True)
class Begun:
    """What a checkpoint of `tinylm align` says of its run.

    path      of the checkpoint
    method    name of the method;  run  what it started from
    settings  dict of all settings
    sha256    of the weights it started from;  examples  of what it learns from;  reward  of what
              scores answers, "" without
    where     the folder in which it began: paths that are not absolute are meant from there
    trainer   the trainer's state; None for a run that is finished
    before    figures on held-out examples before the first step; {} without any
    """

    path: object
    method: str
    run: str
    settings: dict
    sha256: str
    examples: str
    reward: str
    where: str
    trainer: dict | None
    before: dict

    def as_json(self) -> dict[str, Any]:
        """The field "align" of a checkpoint's state."""
        return {name: value for name, value in vars(self).items() if name != "path"}

    def placed(self) -> tuple[str, dict[str, Any]]:
        """(run, settings) with paths that lead to the same files from any folder.

        Where that folder is gone, as on another machine, paths stay as they were written.
        """
        run, settings = self.run, dict(self.settings)
        if not Path(self.where).is_dir():
            return run, settings
        if (Path(self.where) / run).exists():  # published weights have a name alone
            run = os.path.join(self.where, run)
        settings["data"] = [os.path.join(self.where, path) for path in settings["data"]]
        if settings.get("reward"):
            settings["reward"] = os.path.join(self.where, settings["reward"])
        return run, settings


def new_run(
    method: str, run: str, settings: dict[str, Any], sha256: str, examples: str, reward: str = ""
) -> Begun:
    """The Begun of a run before its first checkpoint; arguments as there."""
    named = {"method": method, "run": str(run), "settings": settings, "sha256": sha256}
    sums = {"examples": examples, "reward": reward}
    return Begun(path=None, **named, **sums, where=os.getcwd(), trainer=None, before={})


def read_begun(path: str) -> Begun:
    """The Begun of a run or a checkpoint.

    raises  CheckpointError if it was not made by `tinylm align`, or a field is missing
    """
    saved = checkpoints.load(checkpoints.find_run(path)[1], files=())
    if "align" not in saved.state:
        raise CheckpointError(
            f"{path} was not made by `tinylm align`: `tinylm train --resume` continues a training; "
            "a fine-tuned model is tuned further as RUN of a new command"
        )
    fields = Fields(saved.state, saved.path / checkpoints.STATE, name="state").object("align")
    texts = {name: fields.text(name) for name in TEXTS}
    objects = {name: fields.object(name).values for name in ("settings", "before")}
    trainer = fields.take("trainer", lambda v: v is None or isinstance(v, dict), "an object")
    return Begun(saved.path, trainer=trainer, **texts, **objects)


def save_aligned(
    directory: str | Path,
    model: GPT,
    opened: Tunable,
    begun: Begun,
    step: int,
    more: tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]] | None,
    shown: dict[str, Any],
) -> Path:
    """Write a checkpoint: of an interrupted run with what continues it, of a finished one without.

    model    the Module that is trained: a GPT with or without LoRA, or a RewardModel around one
    opened   Tunable
    begun    Begun, of which `trainer` is replaced
    more     (trained arrays, optimizer's arrays, JSON-able state of the trainer);
             None for a finished run
    shown    JSON-able dict for the model's card
    returns  path of the checkpoint
    """
    arrays, state = {}, {}
    if isinstance(model, RewardModel):
        arrays["head"] = {"head.weight": model.values.head.weight.data, **model.settings()}
        state["reward"] = {}
    about = begun.as_json() | {"trainer": None}
    if more is not None:
        arrays["trained"], arrays["optimizer"], about["trainer"] = more
    state["align"] = about
    plain = plain_decoder(model)
    return save_tuned(
        directory,
        plain,
        opened.tokenizer,
        opened.template,
        opened.base,
        step,
        {"method": begun.method, "run": begun.run, **shown},
        arrays,
        state,
    )


def plain_decoder(model: GPT) -> Module:
    """The GPT of a model that is trained: below a reward head, and with LoRA merged into a copy."""
    if isinstance(model, RewardModel):
        model = model.values.decoder
    if any(hasattr(module, "folded") for module in model.modules()):
        return bake(copy.deepcopy(model))
    return model


def trained_arrays(model: GPT) -> dict[str, np.ndarray]:
    """The parameters that are trained, {name: array}."""
    return {name: p.data for name, p in trainable(model).items()}


def load_trained(
    begun: Begun, model: GPT, optimizer: AdamW
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What an interrupted run has trained so far, by the shapes of its model.

    returns  (all arrays of the model, the optimizer's arrays); what is frozen is as it is, since it
             comes from the run that the tuning started from
    raises   CheckpointError if the checkpoint is damaged, or of another model
    """

    moments = {name: a for name, a in optimizer.state().items() if np.ndim(a)}  # without counters
    expected = {
        file: {name: (a.shape, np.dtype(a.dtype)) for name, a in arrays.items()}
        for file, arrays in (("trained", trained_arrays(model)), ("optimizer", moments))
    }
    saved = checkpoints.load(begun.path, files=tuple(expected), expected=expected)
    whole = {name: to_cpu(array) for name, array in model.named_arrays().items()}
    return whole | saved.arrays["trained"], saved.arrays["optimizer"]


@dataclass(frozen=True)
class RewardRun:
    """A reward model with what its texts need.

    model  RewardModel;  tokenizer, template  of its texts
    """

    model: RewardModel
    tokenizer: object
    template: object

    @property
    def context(self) -> int:
        """Most tokens of a conversation."""
        return self.model.values.decoder.config.context

    def rewards(self, conversations: Sequence, batch_size: int = 16) -> np.ndarray:
        """The rewards of conversations that end with an answer: (n,) float64.

        conversations  list of lists of {"role", "content"}
        raises         DataError for one that is longer than the model's context
        """
        context = self.context
        texts = [
            encode_conversation(self.tokenizer, self.template, messages, turns="last").ids
            for messages in conversations
        ]
        longest = max(map(len, texts), default=0)
        if longest > context:
            raise DataError(
                f"the reward model reads {context} tokens at most, and a conversation has "
                f"{longest}: ask for shorter answers, or train the reward model on a longer context"
            )
        return self.model.score(texts, batch_size)


def open_reward(path: str, device: str = "cpu") -> RewardRun:
    """Open a reward model: a run of `tinylm align reward`.

    returns  RewardRun
    raises   CheckpointError if there is no such run; ConfigError if it is no reward model
    """
    if is_published(path):
        raise ConfigError(f"{path} is no reward model: make one with `tinylm align reward {path}`")
    _, found = checkpoints.find_run(path)
    saved = checkpoints.load(found, files=())
    if "reward" not in saved.state:
        raise ConfigError(f"{path} is no reward model: make one with `tinylm align reward {path}`")
    decoder, tokenizer, _ = load_run(path, reward=True)
    model = RewardModel(decoder)
    weight = model.values.head.weight
    kind = {"head.weight": (weight.shape, np.dtype(weight.dtype))}
    kind |= {name: (np.shape(a), np.dtype(np.float64)) for name, a in model.settings().items()}
    arrays = checkpoints.load(found, ("head",), {"head": kind}).arrays["head"]
    weight.assign_(arrays["head.weight"])
    if wrong := model.check_settings(arrays):
        raise CheckpointError(f"{found}: {wrong}")
    model.take_settings(arrays)
    return RewardRun(model.to(device).eval(), tokenizer, template_of_run(path))
