"""From a checkpoint back to its model, or to the state of its training, checked field by field
before anything is made of it.

    state  config     TrainConfig as JSON
           tokenizer  Tokenizer.to_dict()
           gpt        GPTConfig as JSON, of a fine-tuned model; it replaces the sizes in `config`
           trainer, data, schedule, patience   of a run that can be resumed
           align      of a run of `tinylm align`: all that continues it
           reward     of a reward model, whose head is a file of its own
           classifier names of the classes, and the pooling, of a classifier with such a head

An edited field is a CheckpointError that names it; sizes are compared with the saved arrays before
a model is made. Read next: resume.py, which continues a run.
"""

import math
from pathlib import Path

import numpy as np

from tinylm import tokenizers
from tinylm.errors import CheckpointError, DataError, TinylmError
from tinylm.fields import Fields
from tinylm.models import GPT, GPTConfig
from tinylm.models.decoder.sizes import count_parameters
from tinylm.nn.module import Module
from tinylm.optim.schedule import SCHEDULES
from tinylm.tokenizers.base import Tokenizer
from tinylm.train import checkpoint as checkpoints
from tinylm.train.checkpoint import Checkpoint
from tinylm.train.patience import Patience
from tinylm.train.run.build import new_model
from tinylm.train.run.config import TrainConfig
from tinylm.train.run.recorded import from_json
from tinylm.train.trainer import Trainer, read_state

KEPT = "config", "tokenizer", "gpt", "trainer", "data", "schedule", "patience", "chat_template"
KEPT += ("finetune", "align", "reward", "classifier")


def load_run(path: str | Path, reward: bool = False) -> tuple:
    """The model of a run.

    path     a run (its newest checkpoint), or a checkpoint directory
    reward   also the decoder below the head of a reward model, which is refused otherwise: its
             states were tuned for rewards, and its words mean nothing
    returns  (model in evaluation mode, tokenizer, TrainConfig). The kind of model depends on the
             objective, see build.py; config.special(tokenizer.vocab_size) are the special ids that
             follow the tokenizer's
    raises   CheckpointError if there is none, or it is damaged
    """
    _, found = checkpoints.find_run(path)
    # First the description alone, by which the model is made; then arrays of just that model.
    saved = checkpoints.load(found, files=())
    if "reward" in saved.state and not reward:
        raise CheckpointError(
            f"{path} is a reward model, which scores answers and writes none: generate with the "
            f"model it was tuned from, and choose by it: `tinylm generate RUN --best-of 4 --reward "
            f"{path}`"
        )
    if "classifier" in saved.state:
        raise CheckpointError(
            f"{path} is a classifier, which labels texts and predicts no tokens: `tinylm classify "
            f"{path} TEXT`"
        )
    config, tokenizer = described(saved)
    model = model_of(saved, config, tokenizer)
    saved = checkpoints.load(found, ("model",), {"model": parameters_of(model)})
    model.load_state_dict(saved.arrays["model"])
    return model.eval(), tokenizer, config


def restore(path: Path, trainer: Trainer, patience: Patience) -> None:
    """Give a new Trainer and a new Patience the state of a checkpoint.

    raises   CheckpointError if it is of another model or optimizer, or damaged
    """
    saved, where = checkpoints.load(path, expected=trainer.expected()), path / checkpoints.STATE
    trainer.load_state(saved.arrays, saved.state["trainer"], where)
    patience.load_state(saved.state.get("patience"), where)


def fields_of(saved: Checkpoint) -> Fields:
    """The state of a Checkpoint as Fields, of which none is unknown."""
    fields = Fields(saved.state, saved.path / checkpoints.STATE, name="state")
    for name in ("config", "tokenizer"):
        if name not in fields:
            raise CheckpointError(
                f"{saved.path} is not a checkpoint of a training run: state.{name} is missing"
            )
    for name in saved.state:
        if name not in KEPT:
            raise CheckpointError(
                f"{fields.where}: state has a field {name!r} that this version of tinylm does "
                "not have"
            )
    return fields


def described(saved: Checkpoint) -> tuple:
    """(TrainConfig, tokenizer) of a checkpoint, checked against the size of its arrays.

    raises   CheckpointError naming the field
    """
    fields = fields_of(saved)
    config = from_json(fields.object("config").values, f"{fields.where}: state.config")
    try:
        tokenizer = tokenizers.from_dict(fields.object("tokenizer").values)
    except DataError as error:
        raise CheckpointError(f"{fields.where}: state.tokenizer: {error}") from None
    if "gpt" not in fields:
        _check_size(config, tokenizer.vocab_size, saved, fields)
    if "trainer" in fields:
        trained_on(saved)
    return config, tokenizer


def model_of(saved: Checkpoint, config: TrainConfig, tokenizer: Tokenizer) -> Module:
    """The model of a checkpoint, freshly initialized: its arrays are not loaded here.

    raises   CheckpointError if the arrays of the checkpoint are not those of the model
    """
    fields = fields_of(saved)
    if "gpt" in fields:
        return _gpt(fields, saved, config)
    return new_model(config, config.special(tokenizer.vocab_size))


def parameters_of(model: Module) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """{name: (shape, dtype)} that the file of a model must have; see checkpoint.load."""
    return {name: (a.shape, np.dtype(a.dtype)) for name, a in model.named_arrays().items()}


def trained_on(saved: Checkpoint) -> str:
    """The sha256 of the text that a run was trained on; also checks the fields that only resuming
    needs.

    raises   CheckpointError naming the field
    """
    fields = fields_of(saved)
    step = read_state(fields.values.get("trainer"), fields.where)[0]
    Patience(0).load_state(fields.values.get("patience"), fields.where)
    schedule, data = fields.object("schedule"), fields.object("data")
    schedule.one_of("name", SCHEDULES)
    schedule.number("next")
    if data.integer("position") != step:
        raise data.wrong("position", data.values["position"], f"the step of the trainer, {step}")
    return data.text("sha256")


def _numbers(saved, fields):
    """(arrays, numbers in all) of the model that a checkpoint holds."""
    if "model" not in saved.described:
        raise CheckpointError(f"{fields.where}: arrays.model is missing: it holds no model")
    shapes = [one["shape"] for one in saved.described["model"].values()]
    return len(shapes), sum(map(math.prod, shapes))


def _check_size(config, words, saved, fields):
    """Refuse a configuration whose model is larger than the saved arrays, before it is made.

    A lower bound for every model: V D for the embeddings, in each layer two maps D -> D of
    attention and two between D and F, and T D for learned positions.
    """
    _, numbers = _numbers(saved, fields)
    D, F = config.d_model, config.d_hidden or 4 * config.d_model
    least = words * D + config.n_layer * (2 * D * D + 2 * D * F)
    if config.positions == "learned":
        least += config.context * D
    if least > numbers:
        raise CheckpointError(
            f"{fields.where}: state.config describes a model of at least {least:,} numbers "
            f"(n_layer {config.n_layer}, d_model {D}, d_hidden {F}, context {config.context}), "
            f"but {numbers:,} were saved"
        )


def _turns(model):
    """True if the angles of RoPE are finite, or there are none: wrong settings give inf or NaN."""
    with np.errstate(all="ignore"):
        angles = model.rotation(np.arange(2), model.tokens.weight.dtype)
    return angles is None or all(np.isfinite(x).all() for x in angles)


# Fields of a GPTConfig that older fine-tuned models do not have, with the values they imply.
ADDED = {
    "rotary_width": None,
    "rotation": ["rope"],
    "qk_norm": None,
    "kv_sharing": 1,
    "segment_memory": 0,
}


def _gpt(fields, saved, config):
    """The GPT of a fine-tuned model."""
    described = fields.object("gpt")
    for name, value in ADDED.items():
        described.values.setdefault(name, value)
    arrays, numbers = _numbers(saved, fields)
    try:
        shape = GPTConfig(**described.arguments(GPTConfig))
        for name in ("n_kv_head", "d_hidden", "head_width", "window"):
            if getattr(shape, name) is not None:
                described.integer(name, 1)
        # A layer, and an expert, has one array at least; without this bound an edited number of
        # layers would make the count below take forever.
        if max(shape.n_layer, shape.experts) <= arrays and count_parameters(shape) == numbers:
            model = GPT(shape, config.seed, config.weights_dtype)
            if _turns(model):
                return model
            raise described.wrong("rope_scaling", shape.rope_scaling, "a scheme of finite angles")
    except CheckpointError:
        raise
    except (TinylmError, ArithmeticError, TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{fields.where}: state.gpt describes no model: {error}") from None
    raise CheckpointError(
        f"{fields.where}: state.gpt describes another model than the {arrays} arrays of "
        f"{numbers:,} numbers that were saved"
    )
