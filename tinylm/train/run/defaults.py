"""What a run takes where a setting is left open: fixed values, or all of them from one number, the
depth.

`--depth L` is a dial from a run of seconds to one of days. It chooses, for L layers,

    width   D = 32 L, in heads of 32: the ratios of the default model (nanochat: 64 L, heads of 128)
    rate    the objective's, times (128 / D)^0.5: wider models need smaller steps. 128 is the width
            at which the objective's rate was found; the exponent is nanochat's
    steps   as many as read 20 tokens for each parameter of the blocks, N = L (4 D^2 + 2 D F)
            (Hoffmann et al. 2022: model and data grow alike; N is that of Kaplan et al. 2020)

so operations grow with L^6. What the user sets stays, and the rest follows from it. Read first:
config.py.
"""

import math
from typing import TYPE_CHECKING

from tinylm.nn import GATES
from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.settings import validate

if TYPE_CHECKING:
    from tinylm.pretrain.objectives import Recipe
    from tinylm.train.run.config import TrainConfig


DECODERS = "gpt", "multi_token"  # models of recipes
# A decoder learns from every token of a row, so that long rows pay, at first short ones the more;
# it reads a small text many times, which asks for dropout and strong decay.
# scripts/2_2_training_at_scale/learning_per_second.py measures what each is worth. Others predict a
# few tokens of a row.
DEFAULTS = {
    "decoder": {
        "context": 256,
        "short_context": 64,
        "batch_size": 8,
        "steps": 2500,
        "dropout": 0.1,
        "weight_decay": 0.4,
    },
    "other": {
        "context": 64,
        "short_context": 0,
        "batch_size": 16,
        "steps": 1000,
        "dropout": 0.0,
        "weight_decay": 0.1,
    },
}
SHAPE = {"n_layer": 4, "n_head": 4, "d_model": 128}
WIDTH_PER_LAYER, HEAD_WIDTH = 32, 32  # those of SHAPE
TOKENS_PER_PARAMETER = 20.0  # for each parameter
MOST_HEADS = 4096  # that are looked at
USEFUL_EPOCHS = 4  # readings of a text that teach like new text (Muennighoff et al. 2023)


def choose(config: "TrainConfig") -> None:
    """Set what a TrainConfig leaves open (None), in place.

    raises   ConfigError for a value that cannot be, where others would be computed from it
    """
    if config.depth is not None:
        validate(config)
    known = config.objective in OBJECTIVES
    chosen = DEFAULTS["decoder" if known and config.recipe.model in DECODERS else "other"]
    if known and config.positions == "auto":
        config.positions = positions_of(config.recipe)
    _choose_shape(config)
    open_context = config.context is None
    for name in ("context", "dropout", "batch_size", "weight_decay"):
        if getattr(config, name) is None:
            setattr(config, name, chosen[name])
    if config.depth and config.lr is None:
        config.lr = default_rate(config.objective) * (SHAPE["d_model"] / config.d_model) ** 0.5
    short = config.short_context
    if short is None:
        short = chosen["short_context"] if open_context else 0
    if config.steps is None:
        config.steps = chosen["steps"]
        if config.depth:
            config.steps = _steps_of_depth(config, short)
    short_steps = config.short_steps
    if short_steps is None:
        short_steps = config.steps * 4 // 5  # 0 of a run of one step
    if config.short_context is None:
        config.short_context = short if short_steps else 0
    if config.short_steps is None:
        config.short_steps = short_steps if config.short_context else 0


def positions_of(recipe: "Recipe") -> str:
    """The positions of an objective's model, where they are left open.

    Places that are looked up in a table have to be learnt before masked tokens can be guessed from
    their neighbors; distances are there from the first step, so decoders and encoders turn queries
    and keys (scripts/1_pretraining/masked_or_causal.py measures what that is worth). A decoder that
    writes the source again finds its place there by a table; one that writes what sentinels stand
    for needs none, and has T5's biases.
    """
    if recipe.model == "xlnet":
        return "auto"  # relative ones of its own
    if recipe.model == "seq2seq":
        return "t5" if recipe.sentinels else "learned"
    return "rope"


def default_rate(objective: str) -> float:
    """The peak learning rate of an objective, for a model of the default width. Where few tokens of
    a row are predicted, gradients are noisier and need smaller steps.
    """
    if OBJECTIVES[objective].shifted:  # for both architectures of causal and prefix
        return 4e-3
    return 1e-3


def block_parameters(config: "TrainConfig") -> int:
    """N: the matrices of all blocks, L (4 D^2 + 2 D F), with 3 D F where the feed-forward is gated.

    Embeddings are not counted, nor that heads may share keys and values: it sets a length.
    """
    D, F = config.d_model, config.d_hidden or 4 * config.d_model
    maps = 3 if config.activation in GATES else 2
    return config.n_layer * (4 * D * D + maps * D * F)


def tokens_read(config: "TrainConfig") -> int:
    """The tokens that a whole run reads: a batch of rows for each step, first of short ones."""
    short = min(config.short_steps, config.steps) * config.short_context
    full = max(config.steps - config.short_steps, 0) * config.context
    return config.batch_size * (short + full)


def dial_line(config: "TrainConfig", tokens: int) -> str:
    """What a depth has come to, as a line for the user.

    tokens   of the text to learn from
    """
    read, N = tokens_read(config), block_parameters(config)
    epochs = read / max(tokens, 1)
    line = (
        f"depth {config.depth}: layers {config.n_layer}, width {config.d_model}, heads "
        f"{config.n_head}, rate {config.peak_lr:.3g}, {config.steps} steps = {read:,} tokens, "
        f"{read / N:.3g} for each of {N:,} parameters; the text is read {epochs:.2g} times"
    )
    if epochs > USEFUL_EPOCHS:
        line += (
            f" (after {USEFUL_EPOCHS} times it teaches less than new text would: give more --data, "
            "or fewer --tokens-per-parameter)"
        )
    return line


def _choose_shape(config):
    """Layers, width and heads."""
    shape = dict(SHAPE)
    if config.depth:
        shape["n_layer"] = config.depth
        shape["d_model"] = WIDTH_PER_LAYER * config.depth
    for name in ("n_layer", "d_model"):
        if getattr(config, name) is None:
            setattr(config, name, shape[name])
    if config.n_head is None:
        config.n_head = shape["n_head"]
        if config.depth:
            config.n_head = _heads(config.d_model, config.n_kv_head)


def _heads(width, groups):
    """The number of heads that divides a width, of those whose own width is nearest to HEAD_WIDTH.

    groups  key-value heads, of which it must be a multiple; or None
    """
    few = [
        h for h in range(1, min(width, MOST_HEADS) + 1) if width % h == 0 and h % (groups or 1) == 0
    ]
    return min(few, key=lambda h: abs(math.log(width / h / HEAD_WIDTH)), default=1)


def _steps_of_depth(config, short):
    """The steps that read tokens_per_parameter tokens for each parameter, `short` the short rows'
    length.
    """
    wanted = config.tokens_per_parameter * block_parameters(config) / config.batch_size
    if not short:
        return max(1, math.ceil(wanted / config.context))
    if config.short_steps is not None:  # of a number that the user has set
        rest = wanted - config.short_steps * short
        if rest <= 0:
            return max(1, math.ceil(wanted / short))
        return config.short_steps + math.ceil(rest / config.context)
    # Four fifths of the steps have short rows.
    return max(1, math.ceil(wanted / (0.8 * short + 0.2 * config.context)))
