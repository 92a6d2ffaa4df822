"""A model from a configuration and tensors, with a check that every tensor has its place in it.

Nothing is allocated before the sizes are compared with the file. Read next: load.py.
"""

from collections.abc import Sequence
from dataclasses import fields
from types import ModuleType

import numpy as np

from tinylm.backend import DType
from tinylm.errors import CheckpointError
from tinylm.models.decoder.gpt import GPT, GPTConfig
from tinylm.models.decoder.sizes import count_parameters
from tinylm.models.encoder.encoder import EncoderConfig
from tinylm.models.encoder.presets import build
from tinylm.models.published.formats.mapped import WeightFile
from tinylm.models.published.layouts.rules import Rule, read_rule
from tinylm.nn.module import Module

# Tensors of a file that are no parameters: masks, frequencies and position ids, which older
# versions of the library saved too.
BUFFERS = (
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    "rotary_emb.inv_freq",
    "embeddings.position_ids",
    "attention.masked_bias",
)
# Heads of tasks, whose tensors may be left over: read_config has chosen the heads that are read.
HEADS = (
    "classifier.",
    "score.",
    "qa_outputs.",
    "multiple_choice_head.",
    "transformer.score.",
    "sequence_summary.",
    "logits_proj.",
    "pre_classifier.",
    "classification_head.",
    "cls.",
    "lm_head.",
    "predictions.",
    "sop_classifier.",
    "generator_predictions.",
    "discriminator_predictions.",
    "generator_lm_head.",
    "vocab_transform.",
    "vocab_layer_norm.",
    "vocab_projector.",
    "pred_layer.",
    "lm_loss.",
)


def new_model(config: GPTConfig | EncoderConfig, dtype: DType) -> Module:
    """A model in evaluation mode whose matrices are placeholders."""
    # seed None: nothing is drawn.
    if isinstance(config, GPTConfig):
        return GPT(config, seed=None, dtype=dtype).eval()
    return build(config, None, dtype=dtype).eval()


def check_size(config: GPTConfig | EncoderConfig, weights: WeightFile) -> None:
    """Refuse a configuration that its weights cannot fill, before anything is allocated for it.

    raises  CheckpointError with the size that is wrong
    """
    sizes = {f.name: getattr(config, f.name) for f in fields(config) if f.type in (int, int | None)}
    problem = f"{config.n_layer} layers of width {config.d_model}, vocabulary {config.vocab_size}"
    for name, value in sizes.items():
        if value is not None and (type(value) is not int or value < 0):
            problem = f"{name} = {value!r}"
            break
    else:
        if _fits(config, weights, sizes):
            return
    raise CheckpointError(
        f"{weights.path}: {len(weights)} tensors of {weights.parameters():,} numbers in all are "
        f"not the model that its configuration describes: {problem}"
    )


def _fits(config, weights, sizes):
    """Whether a file may hold such a model: a cheap bound against absurd sizes, not the check."""
    numbers = weights.parameters()
    if isinstance(config, GPTConfig):
        # Every layer, or expert, has at least one tensor; more of them would take long to count.
        if max(config.n_layer, config.experts) > len(weights):
            return False
        # Twice: a file that lacks one tensor passes here, and fill() names the tensor.
        return count_parameters(config) <= 2 * numbers
    # Of other models: no table has more rows, and no stack more rows of d_model, than numbers.
    layers = config.n_layer + getattr(config, "decoder_layers", 0)
    tables = [value for name, value in sizes.items() if name not in ("max_distance", "start")]
    return layers * config.d_model <= numbers and max(v or 0 for v in tables) <= numbers


def fill(
    model: Module,
    rules: Sequence[Rule],
    weights: WeightFile,
    dtype: DType,
    prefix: str = "",
    layout: ModuleType | None = None,
) -> None:
    """Give a model its parameters, one after another.

    model    its matrices may be placeholders; all of its parameters are replaced
    rules    list of Rule; those of parts that the model does not have are skipped
    weights  mapping name -> array; names may lack `prefix`
    layout   module of layouts/, for the tensors that a file may repeat; None: none
    raises   CheckpointError for a tensor that is missing, of another shape, or that has no place in
             the model
    """
    # Both shrink: the tensors that no rule has read, and the parameters that none has given.
    left, parameters = set(weights), model.named_parameters()
    where = getattr(weights, "path", "the weights")
    for rule in rules:
        if rule.ours not in parameters:
            continue
        array, names = read_rule(rule, weights, dtype, prefix, where)
        parameter = parameters.pop(rule.ours)
        if array.shape != parameter.shape:
            raise CheckpointError(
                f"{where}: {names[0]!r} gives {rule.ours} the shape {array.shape}, "
                f"and the configuration {parameter.shape}"
            )
        parameter.data = array
        left.difference_update(names)
    left = [name for name in sorted(left) if not _may_be_left(name, model, weights, prefix, layout)]
    if left or parameters:
        given, lacking = (
            ", ".join(list(names)[:4]) or "nothing" for names in (left, parameters.keys())
        )
        raise CheckpointError(
            f"{where}: in the model is no place for {given}, and the layout does not give {lacking}"
        )


def _may_be_left(name, model, weights, prefix, layout):
    """Whether a tensor without a place in the model may be ignored."""
    bare = name.removeprefix(prefix)
    repeated = getattr(layout, "REPEATED", ())
    if bare in repeated or name in repeated or bare.endswith(BUFFERS) or name.endswith(BUFFERS):
        return True
    if name in getattr(layout, "ZERO", ()):  # has no effect if it is zero
        return not np.any(weights[name])
    # Tied: the output matrix is the embedding, and the file has it twice.
    if name == "lm_head.weight" and getattr(model.config, "tied", False):
        return True
    return layout is not None and name.startswith(HEADS) and not isinstance(model, GPT)
