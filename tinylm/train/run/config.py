"""Everything that decides a training run, in one dataclass: data, model, optimization, and how the
run is kept.

The defaults are the run that `tinylm train` makes on two cores within two minutes. The settings
that a resumed run must keep are its `fingerprint`; the others (how long, how fast, how often) may
change. Read next: checks.py, which settings exclude one another; recorded.py, configurations out of
files.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.backend import DType
from tinylm.models import GPTConfig
from tinylm.optim.schedule import SCHEDULES, warm_up_steps
from tinylm.pretrain.objectives import OBJECTIVES, Recipe
from tinylm.pretrain.special import Special
from tinylm.pretrain.synonyms import canonical
from tinylm.settings import (
    above,
    at_least,
    between,
    named_in_utf8,
    one_of,
    paths,
    positive,
    setting,
    validate,
)
from tinylm.train.run.checks import (
    check_batches,
    check_checkpointing,
    check_objective,
    check_sizes,
    known_objective,
)
from tinylm.train.run.defaults import TOKENS_PER_PARAMETER, choose, default_rate

# Of the weights that are updated and saved, by the setting. The passes of the last three have fewer
# digits (precision/mixed.py).
DTYPES = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float32,
    "bfloat16": np.float32,
    "float8": np.float32,
}


def below_one(value: Any) -> str | None:
    """A check: a number in [0, 1)."""
    return between(0, 1)(value) or (None if value < 1 else "must be below 1")


def two_decays(value: Any) -> str | None:
    """A check: two numbers in [0, 1), as Adam needs."""
    if len(value) == 2 and not any(map(below_one, value)):
        return None
    return "must be two numbers in [0, 1)"


@dataclass
class TrainConfig:
    """A training run. `setting` gives each field its help and check; see settings.py."""

    # What is learnt, and from which text.
    objective: str = setting(
        "causal",
        "what is learnt from the text; `tinylm corrupt --list` describes all of them; also by the "
        "names mlm (masked), clm or gpt (causal), t5 (sentinels), electra (replaced) and more",
        known_objective,
    )
    architecture: str | None = setting(
        None,
        "causal and prefix can train a decoder or seq2seq, masked an encoder or seq2seq; "
        "none: the first of these",
        one_of("encoder", "decoder", "seq2seq"),
    )
    data: tuple[str, ...] = setting(
        (),
        "text to learn: files, folders of text or code, patterns; "
        "none: the English in Python's own help; for translation lines "
        "of sentence<TAB>translation",
        named_in_utf8,
        several=True,
    )
    skip_bad: bool = setting(False, "leave out lines that cannot be read, and count them")
    dictionary: str = setting(
        "", "for code-switching: a file with lines word<TAB>translation", named_in_utf8
    )
    tokenizer: str = setting(
        "bpe",
        "chars, bytes, bpe (learnt from the text), or a tokenizer file that was saved",
        named_in_utf8,
    )
    vocab_size: int = setting(1024, "tokens of the vocabulary that bpe learns", above(0))
    val_fraction: float = setting(0.1, "share of the text kept for validation; 0: none", below_one)

    # The model.
    depth: int | None = setting(
        None,
        "one number for the size of a run: layers; width (32 a layer), heads, lr and steps follow "
        "unless they are set (run/defaults.py); none: the sizes below",
        between(1, 1000),
    )
    tokens_per_parameter: float = setting(
        TOKENS_PER_PARAMETER, "with depth: tokens read for each parameter of the blocks", positive
    )
    n_layer: int | None = setting(None, "blocks; none: 4, or depth", at_least(1))
    n_head: int | None = setting(
        None, "attention heads; none: 4, or with depth as many as are 32 wide", at_least(1)
    )
    n_kv_head: int | None = setting(None, "key-value heads; none: as many as heads", at_least(1))
    d_model: int | None = setting(
        None, "width of the residual stream; none: 128, or 32 depth", at_least(1)
    )
    d_hidden: int | None = setting(
        None, "width of the feed-forward; none: four times d_model", at_least(1)
    )
    experts: int = setting(
        0,
        "causal: feed-forwards of each layer, of which a token is sent to a few; 0: one for all",
        at_least(0),
    )
    experts_per_token: int = setting(2, "with experts: how many read a token", at_least(1))
    balance: float = setting(
        0.01, "with experts: weight of the loss that spreads tokens evenly over them", at_least(0)
    )
    context: int | None = setting(
        None,
        "longest sequence, in tokens; none: 256 for a decoder, else 64",
        at_least(1),
    )
    norm: str = setting("layer", "layer or rms", one_of("layer", "rms"))
    norm_placement: str = setting(
        "pre", "pre, post, or branch (the book's)", one_of("pre", "post", "branch")
    )
    activation: str = setting(
        "gelu_tanh",
        "of the feed-forward: gelu_tanh, gelu, relu, silu, swiglu, geglu, glu",
        one_of("gelu_tanh", "gelu", "relu", "silu", "swiglu", "geglu", "glu"),
    )
    positions: str = setting(
        "auto",
        "learned, rope, sinusoidal, alibi, t5 or none; encoders: rope or learned; "
        "encoder-decoders: t5 or learned; auto: rope, and in an encoder-decoder t5 with sentinels, "
        "else learned",
        one_of("auto", "learned", "rope", "sinusoidal", "alibi", "t5", "none"),
    )
    rope_base: float = setting(
        10000.0, "b: rope turns pair i of a head by position * b^(-2i/K), K its width", positive
    )
    bias: bool = setting(True, "biases in linear maps and layer norms")
    tied: bool = setting(True, "output weights are the embedding table")
    init: str = setting(
        "width",
        "spread of a decoder's initial matrices: gpt2 (0.02), or width (0.02 sqrt(768 / d_model)); "
        "encoders have the second, encoder-decoders their own",
        one_of("gpt2", "width"),
    )
    dropout: float | None = setting(
        None,
        "probability of dropping an activation while training; none: 0.1 for a decoder, else 0, "
        "for which contrastive uses 0.1",
        below_one,
    )

    # Optimization. A batch is batch_size rows of context tokens.
    steps: int | None = setting(
        None,
        "updates of the parameters, counted from the start of the run; none: 2500 for a decoder, "
        "else 1000; with depth by tokens_per_parameter",
        at_least(1),
    )
    short_context: int | None = setting(
        None,
        "length of the rows in the first short_steps steps; 0: context from the start; none: 64 "
        "for a decoder whose context is left open, else 0",
        at_least(0),
    )
    short_steps: int | None = setting(
        None,
        "steps with short rows before the full ones; none: four fifths of all, if there are short "
        "rows; BERT: 90 %",
        at_least(0),
    )
    patience: int = setting(
        0,
        "stop after this many validations in a row without a lower loss; 0: never",
        at_least(0),
    )
    batch_size: int | None = setting(
        None,
        "windows of a whole batch, over all workers; none: 8 for a decoder, else 16",
        at_least(1),
    )
    micro_batch: int = setting(
        0,
        "windows a worker reads at a time, their gradients added; 0: all of its own",
        at_least(0),
    )
    checkpointing: bool = setting(
        False,
        "keep only the inputs of blocks for the backward pass, and compute the rest again: less "
        "memory, a third more operations, the same losses",
    )
    optimizer: str = setting(
        "adamw",
        "adamw, or muon: orthogonalized momentum for the maps of the blocks, AdamW for the rest",
        one_of("adamw", "muon"),
    )
    muon_scale: float = setting(5.0, "muon: the rate of those maps is this times lr", above(0))
    lr: float | None = setting(
        None,
        "peak learning rate; none: 4e-3 for causal, prefix, fim and multi-token, else 1e-3; with "
        "depth this times (128 / d_model)^0.5",
        positive,
    )
    min_lr: float | None = setting(
        0.0, "learning rate at the end of the run; none: a tenth of lr", at_least(0)
    )
    warmup: int = setting(
        100,
        "steps of linear warm-up; if the run has no more steps than that, a tenth of the run",
        at_least(0),
    )
    schedule: str = setting("linear", ", ".join(SCHEDULES), one_of(*SCHEDULES))
    weight_decay: float | None = setting(
        None,
        "of matrices: each step subtracts weight_decay * learning rate * weight; none: 0.4 for a "
        "decoder, else 0.1",
        at_least(0),
    )
    betas: tuple[float, float] = setting(
        (0.9, 0.99), "decays of AdamW's two running means", two_decays
    )
    average: float = setting(
        0.0,
        "decay of a running mean of the weights, which is validated and saved instead of the last "
        "ones; 0: none",
        below_one,
    )
    clip: float = setting(1.0, "largest gradient norm; 0: no clipping", at_least(0))

    # Numbers and machine. Workers and device may change between two parts of a run.
    seed: int = setting(1337, "seed of the initial weights, the batches and dropout")
    dtype: str = setting(
        "float32",
        "float32 or float64; float16, bfloat16 or float8: passes in these, updates in float32",
        one_of(*DTYPES),
    )
    device: str = setting("cpu", "cpu or gpu")
    workers: int = setting(
        0, "processes that share the batch; 0: chosen from the cores", at_least(0)
    )
    parallel: str = setting(
        "",
        "causal: how processes share the work, such as dp=2,tp=2: dp (batch), tp (matrices), pp "
        "(layers), cp (sequences), ep (experts); with zero=STAGE, sequence, heads, chunks=N, "
        "schedule=NAME",
    )
    elastic: bool = setting(
        False, "if a process that was forked is lost, go on from the last checkpoint with fewer"
    )

    # How often the run is validated and saved, and where.
    eval_every: int = setting(250, "steps between validations; 0: only at the end", at_least(0))
    eval_batches: int = setting(
        20,
        "batches of each validation before the last; 0: the whole validation text, as at the end",
        at_least(0),
    )
    ngrams: bool = setting(
        True, "at the end, say what n-grams of characters reach on the validation text"
    )
    checkpoint_every: int = setting(
        250, "steps between checkpoints; 0: only at the end", at_least(0)
    )
    keep: int = setting(2, "checkpoints kept, the newest", at_least(1))
    out: str = setting("", "directory of the run; none: runs/ and the time", named_in_utf8)
    resume: str = setting("", "a run to continue, or a checkpoint in it")

    def __post_init__(self) -> None:
        """Choose what was left open. A path alone becomes a tuple of one: configurations of older
        runs have a path.
        """
        self.data = paths(self.data)
        self.objective = canonical(self.objective)
        choose(self)

    def check(self) -> "TrainConfig":
        """Raise ConfigError for a value, or a pair of values, that cannot work. Returns the
        configuration.
        """
        validate(self)
        check_sizes(self)
        check_batches(self)
        check_objective(self)
        check_checkpointing(self)
        return self

    @property
    def recipe(self) -> Recipe:
        """The Recipe that is trained: the objective's row in OBJECTIVES, for the architecture."""
        return OBJECTIVES[self.objective].of(self.architecture)

    @property
    def weights_dtype(self) -> DType:
        """The NumPy type of the weights that are updated and saved."""
        return DTYPES[self.dtype]

    @property
    def mixed(self) -> bool:
        """True if the passes have fewer digits than the weights."""
        return self.dtype != np.dtype(self.weights_dtype).name

    def special(self, words: int) -> Special:
        """The Special of a tokenizer of `words` ids: the objective's ids follow its last word."""
        return self.recipe.special(words, self.context)

    @property
    def peak_lr(self) -> float:
        """The highest learning rate: `lr`, or the objective's."""
        if self.lr is not None:
            return self.lr
        return default_rate(self.objective)

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        floor = 0.1  # of the peak
        if self.min_lr is not None:
            floor = self.min_lr / self.peak_lr
        # A rate of 0 is reached after the last step: none is wasted on it.
        steps = self.steps + (not floor)
        return self.peak_lr * SCHEDULES[self.schedule](step, steps, self.warm_up_steps, floor)

    @property
    def warm_up_steps(self) -> int:
        """The steps of warm-up: `warmup`, or a tenth of a run that is not longer than `warmup`."""
        return warm_up_steps(self.warmup, self.steps)

    def model(self, vocab_size: int) -> GPTConfig:
        """The GPTConfig of this run; vocab_size is the tokenizer's, often less than the setting."""
        shape = {name: getattr(self, name) for name in MODEL}
        if self.experts:
            shape["feed_forward"] = ("experts",)
        return GPTConfig(**shape | {"vocab_size": vocab_size})

    def fingerprint(self) -> dict[str, Any]:
        """The settings of the model, the data order and the update rule: {name: value}."""
        return {name: value for name, value in as_json(self).items() if name not in MAY_CHANGE}


# The fields of a GPTConfig that a run chooses; the others, which only published families need, keep
# their defaults.
MODEL = [
    field.name
    for field in dataclasses.fields(GPTConfig)
    if field.name in TrainConfig.__dataclass_fields__
]

# What may differ between two parts of one run: none of these changes a parameter's shape, the order
# of the data or the seed. All others are the fingerprint.
MAY_CHANGE = (
    "steps",
    "patience",
    "lr",
    "min_lr",
    "warmup",
    "schedule",
    "clip",
    "micro_batch",
    "checkpointing",
    "device",
    "workers",
    "parallel",
    "elastic",
    "eval_every",
    "eval_batches",
    "ngrams",
    "checkpoint_every",
    "keep",
    "out",
    "resume",
)


def as_json(config: Any) -> dict[str, Any]:
    """A dataclass as JSON has it: {name: value}, tuples as lists, paths as text."""
    values = dataclasses.asdict(config)
    for name, value in values.items():
        if isinstance(value, tuple):
            values[name] = list(value)
        elif isinstance(value, Path):
            values[name] = str(value)
    return values
