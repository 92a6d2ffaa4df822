"""A model from a description and tensors: is the description possible, and does every number find
its place?

Nothing is allocated before the sizes are held against the file. Read next: load.py.
"""

from dataclasses import fields

import numpy as np

from tinylm.errors import CheckpointError
from tinylm.models.decoder.gpt import GPT, GPTConfig
from tinylm.models.decoder.sizes import count_parameters
from tinylm.models.encoder.presets import build
from tinylm.models.published.layouts.rules import read_rule

# Tensors of a file that are no parameters: masks, frequencies and position ids that older versions
# saved too.
BUFFERS = (
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    "rotary_emb.inv_freq",
    "embeddings.position_ids",
    "attention.masked_bias",
)
# Heads that tasks put on a model; read_config has looked for the heads that are read.
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


def new_model(config, dtype):
    """A model in evaluation mode whose matrices are placeholders."""
    return (
        GPT(config, seed=None, dtype=dtype)
        if isinstance(config, GPTConfig)
        else build(config, None, dtype=dtype)
    ).eval()


def check_size(config, weights):
    """Refuse a description of a model that its weights cannot fill, before anything is made of it.

    raises  CheckpointError
    """
    sizes = {f.name: getattr(config, f.name) for f in fields(config) if f.type in (int, int | None)}
    wrong = [
        f"{name} = {value!r}"
        for name, value in sizes.items()
        if value is not None and (type(value) is not int or value < 0)
    ]
    if not wrong and _fits(config, weights, sizes):
        return
    layers = f"{config.n_layer} layers of width {config.d_model}, vocabulary {config.vocab_size}"
    raise CheckpointError(
        f"{weights.path}: {len(weights)} tensors of {weights.parameters():,} numbers in all are "
        f"not the model that its configuration describes: {wrong[0] if wrong else layers}"
    )


def _fits(config, weights, sizes):
    numbers = weights.parameters()
    if isinstance(config, GPTConfig):
        # A layer, or an expert, has a tensor at least, or else counting would take long. Twice:
        # what is smaller may lack one tensor, and fill() names it.
        return (
            max(config.n_layer, config.experts) <= len(weights)
            and count_parameters(config) <= 2 * numbers
        )
    layers = config.n_layer + getattr(config, "decoder_layers", 0)
    tables = [value for name, value in sizes.items() if name not in ("max_distance", "start")]
    return layers * config.d_model <= numbers and max(v or 0 for v in tables) <= numbers


def fill(model, rules, weights, dtype, prefix="", layout=None):
    """Give a model its parameters, one after another.

    model    its matrices may be placeholders; all of its parameters are replaced
    rules    list of Rule; those of parts that the model does not have are passed over
    weights  mapping name -> array; names may lack `prefix`
    layout   module of layouts, for the tensors that it lets a file repeat; None: none
    raises   CheckpointError for a tensor that is missing, of another shape, or that has no place in
             the model
    """
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
        given, lacking = (", ".join(list(names)[:4]) or "nothing" for names in (left, parameters))
        raise CheckpointError(
            f"{where}: in the model is no place for {given}, and the layout does not give {lacking}"
        )


def _may_be_left(name, model, weights, prefix, layout):
    bare = name.removeprefix(prefix)
    repeated = getattr(layout, "REPEATED", ())
    if bare in repeated or name in repeated or bare.endswith(BUFFERS) or name.endswith(BUFFERS):
        return True
    if name in getattr(layout, "ZERO", ()):
        return not np.any(weights[name])
    if name == "lm_head.weight" and getattr(model.config, "tied", False):
        return True
    return layout is not None and name.startswith(HEADS) and not isinstance(model, GPT)
