"""Settings of a TrainConfig that exclude one another, refused before anything is made.

`setting` checks each field alone; here are the pairs: sizes that do not divide, and settings that
the model of an objective does not have. Every error names the setting to change. Read next:
build.py, the models these settings describe.
"""

import dataclasses
from typing import TYPE_CHECKING

from tinylm.errors import ConfigError
from tinylm.fields import LARGEST, show
from tinylm.nn import GATES
from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.pretrain.synonyms import near_names
from tinylm.train.run.defaults import TOKENS_PER_PARAMETER

if TYPE_CHECKING:
    from tinylm.train.run.config import TrainConfig


MOST_TOKENS = 1 << 28  # of a batch: more than any machine that trains by this program can hold

# Settings that a model has no choice of, and their values. An encoder is BERT's; an encoder-decoder
# is BART's or T5's; a GPT has every choice.
FIXED_OF_ENCODERS = {
    "norm": "layer",
    "n_kv_head": None,
    "bias": True,
    "tied": True,
}
FIXED = {
    "gpt": {},
    "multi_token": {},
    "seq2seq": {"n_kv_head": None},
}
ENCODERS = "encoder", "span_boundary", "electra"
POSITIONS = dict.fromkeys(ENCODERS, ("rope", "learned")) | {
    "seq2seq": ("t5", "learned"),
    "xlnet": ("auto",),  # relative ones of its own
}


def known_objective(name: str) -> str | None:
    """A check of a setting: the name of an objective."""
    if name in OBJECTIVES:
        return None
    hint = ""
    if near := near_names(name, OBJECTIVES):
        hint = f", such as {' or '.join(near)}"
    return f"must be a name or synonym that `tinylm corrupt --list` shows{hint}"


def check_sizes(config: "TrainConfig") -> None:
    """Raise ConfigError for numbers that do not go together."""
    if config.depth is None and config.tokens_per_parameter != TOKENS_PER_PARAMETER:
        raise ConfigError(
            f"tokens_per_parameter {config.tokens_per_parameter:g} sets the steps of a --depth: "
            "give --depth too, or --steps alone"
        )
    heads = config.n_kv_head or config.n_head  # of keys and values
    if config.d_model % config.n_head:
        multiple = -(-config.d_model // config.n_head) * config.n_head  # rounded up
        raise ConfigError(
            f"d_model {config.d_model} does not divide into {config.n_head} heads: "
            f"choose a multiple, such as {multiple}"
        )
    if config.n_head % heads:
        raise ConfigError(
            f"n_head {config.n_head} is not a multiple of n_kv_head {heads}: "
            "every key-value head serves equally many heads"
        )
    if config.min_lr is not None and config.min_lr > config.peak_lr:
        raise ConfigError(
            f"min_lr {config.min_lr:g} is above lr {config.peak_lr:g}: "
            "after warm-up the rate only falls"
        )
    if 0 < config.experts < config.experts_per_token:
        raise ConfigError(
            f"experts_per_token {config.experts_per_token} of {config.experts} experts: choose at "
            f"most {config.experts}"
        )
    # NumPy's integers and the files of a run hold 64 bits.
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ConfigError(f"{field.name} {show(value)} is too large: it must be below 2**63")


def check_batches(config: "TrainConfig") -> None:
    """Raise ConfigError for batches, workers and optimizers that cannot be."""
    if config.optimizer == "muon" and config.parallel:
        raise ConfigError(
            f"optimizer muon with --parallel {config.parallel}: a layout cuts matrices among "
            "ranks, and Muon needs each whole: use --workers N, or optimizer adamw"
        )
    if config.average and config.parallel:
        raise ConfigError(
            f"average {config.average} with --parallel {config.parallel}: the mean of weights that "
            "many ranks hold is not kept: use --workers N, or average 0"
        )
    if config.workers > config.batch_size:
        raise ConfigError(
            f"{config.workers} workers cannot share a batch of {config.batch_size}: "
            "at most one per row"
        )
    if config.workers > 1 and config.device != "cpu":
        raise ConfigError(
            f"{config.workers} workers share memory of the cpu, not the {config.device}: "
            "use --workers 1"
        )
    if config.workers and config.parallel:
        raise ConfigError(
            f"--workers {config.workers} and --parallel {config.parallel} both say how many "
            "processes train: leave out --workers; dp=N in the layout shares the batch"
        )
    if config.parallel and config.mixed:
        raise ConfigError(
            f"--dtype {config.dtype}: the parts of a model that --parallel cuts exchange sums in "
            "float32 and would round elsewhere than one process does: use --workers N, which "
            "shares the batch, or --dtype float32"
        )
    # The two stages of training: both settings or none.
    one_alone = bool(config.short_context) != bool(config.short_steps)
    if one_alone or config.short_context > config.context:
        raise ConfigError(
            f"short_context {config.short_context} and short_steps {config.short_steps}: "
            f"give both or none, and no more tokens than the context of {config.context}"
        )
    if config.patience and not (config.eval_every and config.val_fraction):
        raise ConfigError(
            "patience waits for a lower validation loss: "
            "it needs eval_every and val_fraction above 0"
        )
    if config.batch_size * config.context > MOST_TOKENS:
        raise ConfigError(
            f"batch_size {config.batch_size} x context {config.context} are more than "
            f"{MOST_TOKENS:,} tokens in a batch: choose fewer"
        )


def check_checkpointing(config: "TrainConfig") -> None:
    """Raise ConfigError where blocks cannot be computed twice."""
    if not config.checkpointing:
        return
    if config.parallel:
        raise ConfigError(
            f"--checkpointing with --parallel {config.parallel}: zero=3 computes its blocks twice, "
            "and the other layouts keep what a rank has computed: use --workers N, or micro_batch"
        )
    if config.experts:
        raise ConfigError(
            "--checkpointing with --experts: the loss that spreads tokens over experts is taken "
            "inside the blocks, of which one that is computed twice keeps nothing: leave one out"
        )
    if config.recipe.model == "xlnet":
        raise ConfigError(
            f"objective {config.objective}: --checkpointing computes blocks of one stream twice, "
            "and those of its model have two: leave it out, or use micro_batch"
        )


def check_objective(config: "TrainConfig") -> None:
    """Raise ConfigError for settings that the objective's model does not have, for rows that are
    too short for it, and for a file that it needs or cannot use.
    """
    name, allowed = config.objective, OBJECTIVES[config.objective].architectures
    if config.architecture and config.architecture not in allowed:
        raise ConfigError(
            f"objective {name} trains {' or '.join(allowed)} here, not {config.architecture}: "
            "leave out --architecture"
        )
    recipe = config.recipe
    if config.experts and name != "causal":
        raise ConfigError(
            f"objective {name}: its loss does not keep experts in balance, which that of causal "
            "does: leave out --experts"
        )
    if config.parallel and (name != "causal" or recipe.model != "gpt"):
        model = f", architecture {config.architecture}" if config.architecture else ""
        raise ConfigError(
            f"objective {name}{model}: --parallel cuts the decoder of objective causal alone: use "
            "--workers N, which shares the batch"
        )
    for field, only in FIXED.get(recipe.model, FIXED_OF_ENCODERS).items():
        if getattr(config, field) != only:
            raise ConfigError(
                f"objective {name}: its model has no choice of {field}: "
                f"leave out --{field.replace('_', '-')}"
            )
    known = POSITIONS.get(recipe.model)
    if known and config.positions not in known:
        raise ConfigError(
            f"objective {name}: its model has positions {' or '.join(known)}, "
            f"not {config.positions}: leave out --positions"
        )
    if config.norm_placement == "branch" and recipe.model not in ("gpt", "multi_token"):
        raise ConfigError(f"objective {name}: its model has norm_placement pre or post, not branch")
    if config.activation in GATES and recipe.model == "xlnet":
        raise ConfigError(
            f"objective {name}: its model has no gated feed-forward: "
            f"activation {config.activation} cannot be used"
        )
    # A causal row needs one token besides its target, others two; for fim the four special ids that
    # take the place of tokens must leave room for one.
    lengths = {"context": config.context}
    if config.short_steps:
        lengths["short_context"] = config.short_context
    for field, tokens in lengths.items():
        if tokens < recipe.least:
            raise ConfigError(
                f"objective {name}: rows of {tokens} tokens are too short, "
                f"{field} must be at least {recipe.least}"
            )
    check_files(config)


def check_files(config: "TrainConfig") -> None:
    """Raise ConfigError for a text or a dictionary that the objective needs or cannot use."""
    name, takes_dictionary = config.objective, "dictionary" in config.recipe.needs
    if config.recipe.pairs and not config.data:
        raise ConfigError(
            f"objective {name} needs pairs: --data FILE with lines sentence<TAB>translation"
        )
    if takes_dictionary and not config.dictionary:
        raise ConfigError(
            f"objective {name} needs --dictionary FILE with lines word<TAB>translation"
        )
    if config.dictionary and not takes_dictionary:
        raise ConfigError(f"objective {name} has no use for a dictionary: leave out --dictionary")
