"""A fine-tuned model as a run on disk, opened by every verb that opens a run.

The layout is that of a training run, one checkpoint with the newest weights (train/checkpoint.py).
Beside the tokenizer it holds the chat template and the whole configuration of the model, since
published weights come without a run's. Read next: cli/learn/finetune.py.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.errors import CheckpointError, ConfigError, MissingExtra
from tinylm.fields import Fields, of_type
from tinylm.files import write_text
from tinylm.finetune.instruct.conversations import chat_template
from tinylm.models.decoder.gpt import GPT
from tinylm.models.published.chat_template import ChatTemplate, RefusedTemplate, template_of
from tinylm.nn.module import Module
from tinylm.tokenizers.base import Tokenizer
from tinylm.train import checkpoint as checkpoints
from tinylm.train.run.config import MODEL, TrainConfig, as_json
from tinylm.train.run.saved import fields_of


def save_tuned(
    directory: Path,
    model: Module,
    tokenizer: Tokenizer,
    template: ChatTemplate | None = None,
    base: TrainConfig | None = None,
    step: int = 0,
    settings: dict[str, Any] | None = None,
    more_arrays: dict[str, dict[str, np.ndarray]] | None = None,
    more_state: dict[str, Any] | None = None,
) -> Path:
    """Write a fine-tuned GPT as a run, which `tinylm chat` and `generate` open.

    directory  created if needed; must hold no checkpoint of this step
    template   ChatTemplate of the tuning, or None
    base       TrainConfig of the original run; None: derived from the model
    step       number of updates of the tuning
    settings   JSON-able dict, stored for information
    more_arrays  {file: {name: array}} beside the weights;  more_state  JSON-able dict beside the
               description: what continues a tuning that was interrupted
    returns    path of the checkpoint
    raises     CheckpointError if it cannot be written, or the model is no plain GPT, as which a run
               is opened
    """
    directory, config = Path(directory), described(model, base)
    arrays = {"model": model.named_arrays(), **(more_arrays or {})}
    _check_plain(model, arrays["model"])
    directory.mkdir(parents=True, exist_ok=True)
    chat = None
    if template is not None:
        chat = as_dict(template)
    shown = {"gpt": dataclasses.asdict(model.config), "finetune": settings or {}}
    state = {
        "config": as_json(dataclasses.replace(config, out=str(directory))),
        "gpt": shown["gpt"],
        "tokenizer": tokenizer.to_dict(),
        "chat_template": chat,
        "finetune": shown["finetune"],
        **(more_state or {}),
    }
    path = checkpoints.save_step(directory, step, arrays, state)
    tokenizer.save(directory / "tokenizer.json")
    write_text(directory / "config.json", json.dumps(shown, indent=2) + "\n")
    return path


def _check_plain(model, arrays):
    """Raise CheckpointError for a model with other arrays than a GPT of its configuration."""
    plain = GPT(model.config, seed=None).named_parameters()
    strange = sorted(set(arrays) ^ plain.keys())
    if strange:
        raise CheckpointError(
            f"save_tuned: the model is no plain GPT ({', '.join(strange[:3])}): bake() what can be "
            "written into its weights, or keep what was added with save_trained()"
        )


def described(model: Module, base: TrainConfig | None = None) -> TrainConfig:
    """A TrainConfig with the sizes of a model, and with its parts as far as it can express them."""
    # sizes and parts from the model, everything else from the original run
    fields = {name: getattr(model.config, name) for name in MODEL}
    dtype = str(model.parameters()[0].dtype)
    config = dataclasses.replace(
        base or TrainConfig(steps=1, short_steps=0), **fields, dtype=dtype, resume=""
    )
    try:
        return config.check()
    except ConfigError:  # parts that no run is made of: "gpt" in the checkpoint counts
        return dataclasses.replace(
            TrainConfig(steps=1, short_steps=0), context=model.config.context, dtype=dtype
        )


def template_of_run(path: str | Path) -> Any:
    """The ChatTemplate of a tuned run, or None for one that only continues texts.

    raises   CheckpointError if there is no run, or its template is unknown to this version
    """
    saved = checkpoints.load(checkpoints.find_run(path)[1], files=())
    if saved.state.get("chat_template") is None:
        return None
    chat = fields_of(saved).object("chat_template")
    try:
        return of_dict(chat)
    except ConfigError as error:
        raise CheckpointError(
            f"{saved.path}: its chat template is of another version of tinylm: {error}"
        ) from None


def as_dict(template: ChatTemplate) -> dict[str, str | None]:
    """A template as JSON: the name of a function here, or the program of the model."""
    if isinstance(template, ChatTemplate):
        return {
            "name": template.name,
            "default": template.default,
            "begin": template.begin,
            "end": template.end,
            "program": template.program,
        }
    return {
        "name": template.name,
        "program": template.program,
        "tokens": template.tokens,
        "special": list(template.special),
    }


def of_dict(chat: Fields) -> Any:
    """The template of Fields that as_dict made.

    raises   ConfigError for a name that is not known; CheckpointError for fields of wrong types
    """

    def optional(name, kind, what):
        """A field that older versions did not write."""
        if name in chat:
            return chat.take(name, lambda value: of_type(value, kind), what)
        return None

    name = chat.text("name")
    program = chat.values.get("program")
    if "tokens" not in chat:  # a template of this library, by name
        template = chat_template(name, optional("default", str | None, "a text or null"))
        changed = {}
        for field in ("begin", "end", "program"):
            if field in chat:
                changed[field] = optional(field, str | None, "a text or null")
        return dataclasses.replace(template, **changed)
    tokens = chat.take("tokens", _names_tokens, "an object of texts and lists of texts, or null")
    special = chat.take("special", _texts, "a list of texts")
    try:
        return template_of(program, tokens, special, name)
    except MissingExtra as error:  # the weights can be used without Jinja: raised when it renders
        return RefusedTemplate(error, program)


def _names_tokens(value):
    """Whether a value is {name: text, list of texts or None}, or None."""
    if value is None:
        return True
    if not isinstance(value, dict):
        return False
    return all(text is None or of_type(text, str) or _texts(text) for text in value.values())


def _texts(value):
    """Whether a value is a list of texts."""
    return isinstance(value, list) and all(of_type(text, str) for text in value)
