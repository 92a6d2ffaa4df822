"""The settings of `tinylm align`: those of every method, and those of each.

Every field has its default, its help text and its check; the command line is made from them
(cli/options.py). None stands for what the method or the loss has by itself. Read next: methods.py.
"""

from dataclasses import dataclass

from tinylm.align.preference.losses import preference_loss
from tinylm.settings import above, at_least, between, one_of, positive, setting


@dataclass
class TuningSettings:
    """Settings of every method that learns from a file."""

    data: tuple[str, ...] = setting(
        help="what is learnt from: files of JSON lines or a JSON list; may be .gz, folders, "
        "patterns",
        several=True,
    )
    skip_bad: bool = setting(False, "leave out lines that cannot be read, and count them")
    val_fraction: float = setting(
        0.1,
        "part of the examples kept for validation, whole prompts; 0: none",
        between(0, 0.9),
    )
    epochs: float = setting(1.0, "how many times all examples are read", positive)
    steps: int | None = setting(None, "updates; none: as many as the epochs need", at_least(1))
    batch_size: int = setting(16, "samples, pairs or answers of a batch", at_least(1))
    micro_batch: int = setting(
        0, "of a batch, differentiated at a time; 0: all. Fewer need less memory", at_least(0)
    )
    lr: float | None = setting(
        None,
        "peak learning rate, between a warm-up and a linear decay to 0; none: the method's",
        positive,
    )
    warmup: float = setting(0.1, "share of the steps that warm up", between(0, 1))
    weight_decay: float = setting(0.01, "of matrices", at_least(0))
    clip: float = setting(1.0, "largest gradient norm; 0: no clipping", at_least(0))
    lora: int = setting(
        0,
        "rank of the low-rank updates that are trained instead of the matrices, and merged into "
        "them at the end; 0: train all weights",
        at_least(0),
    )
    lora_alpha: float | None = setting(
        None, "low-rank updates are scaled by alpha / rank; none: twice the rank", above(0)
    )
    template: str = setting(
        "",
        "how conversations are written: roles, chatml, llama3, gemma, llama2, mistral, zephyr; "
        "none: as the model was tuned before, or roles",
    )
    max_length: int | None = setting(
        None, "tokens of a prompt and its answer; none: the model's context", at_least(2)
    )
    eval_every: int = setting(0, "steps between validations; 0: at the start and end", at_least(0))
    checkpoint_every: int = setting(100, "steps between checkpoints; 0: none", at_least(0))
    seed: int = setting(1337, "seed of the order of examples, the split, and new weights")
    device: str = setting("cpu", "cpu or gpu")
    out: str = setting("", "directory of the result; none: beside RUN, or in runs/")


@dataclass
class SupervisedSettings:
    """Settings of `tinylm align sft`."""

    turns: str = setting(
        "all", "which answers of a conversation are learnt: all or last", one_of("all", "last")
    )
    pack: bool = setting(False, "put several samples into one row, to leave little padding")


@dataclass
class RewardSettings:
    """Settings of `tinylm align reward`."""

    center: float = setting(
        0.0, "weight of the penalty that keeps the rewards of a pair around 0", at_least(0)
    )
    margins: bool = setting(
        False, "rewards of two rated answers must differ by as much as their ratings"
    )
    standardize: bool = setting(
        True, "at the end, give the rewards of the answers learnt from mean 0 and variance 1"
    )


@dataclass
class PolicyRunSettings:
    """Settings of the methods that learn from a reward, beside those of tinylm/align/rlhf."""

    data: tuple[str, ...] = setting(
        help="prompts: files of JSON lines or a JSON list, instructions and pairs as well; may be "
        ".gz, folders, patterns",
        several=True,
    )
    reward: str = setting(
        "", "what scores answers: a run of `tinylm align reward`, or FILE.py:function"
    )
    skip_bad: bool = setting(False, "leave out lines that cannot be read, and count them")
    val_fraction: float = setting(
        0.1, "part of the prompts kept for validation; 0: none", between(0, 0.9)
    )
    steps: int = setting(100, "turns of sample, evaluate, update", at_least(1))
    warmup: float = setting(
        0.1, "share of the updates that warm up, before a linear decay to 0", between(0, 1)
    )
    lora: int = setting(
        0, "rank of low-rank updates that are trained instead of the matrices; 0: all", at_least(0)
    )
    lora_alpha: float | None = setting(
        None, "low-rank updates are scaled by alpha / rank; none: twice the rank", above(0)
    )
    template: str = setting("", "how conversations are written, as `tinylm align sft` has it")
    eval_every: int = setting(0, "steps between validations; 0: at the start and end", at_least(0))
    checkpoint_every: int = setting(100, "steps between checkpoints; 0: none", at_least(0))
    device: str = setting("cpu", "cpu or gpu")
    out: str = setting("", "directory of the result; none: beside RUN, or in runs/")


# Names of losses that are others with their options set. RSO's loss is the hinge, on pairs drawn by
# statistical rejection sampling (inference/rejection.py).
ALIASES = {
    "cdpo": ("dpo", {"label_smoothing": 0.1}),
    "rso": ("hinge", {}),
    "apo": ("apo-zero", {}),
}
OPTIONS = ("beta", "label_smoothing", "gamma", "weight", "margin", "divergence")


@dataclass
class PreferenceSettings:
    """Settings of `tinylm align dpo`; a loss that has no such option refuses it."""

    loss: str = setting("dpo", "which loss of pairs; `tinylm align --list` shows all")
    beta: float | None = setting(
        None, "how much a change against the reference costs; none: the loss's", positive
    )
    label_smoothing: float | None = setting(
        None, "dpo, robust: the share of labels that are wrong", between(0, 0.5)
    )
    gamma: float | None = setting(None, "simpo: the margin of rewards", at_least(0))
    weight: float | None = setting(
        None,
        "cpo, slic: of the likelihood of the chosen answers; orpo: of the odds ratio",
        at_least(0),
    )
    margin: float | None = setting(None, "slic: the margin of log-probabilities", at_least(0))
    divergence: float | str | None = setting(
        None, "f-dpo: reverse_kl, forward_kl, jensen_shannon, or alpha between 0 and 1"
    )

    def chosen_loss(self):
        """(name of the loss in LOSSES, its options): what was set, and what an alias stands for.

        raises   ConfigError for an unknown loss
        """
        name, options = ALIASES.get(self.loss, (self.loss, {}))
        preference_loss(name)
        given = {option: getattr(self, option) for option in OPTIONS}
        return name, options | {k: v for k, v in given.items() if v is not None}


@dataclass
class JudgedSettings:
    """Settings of `tinylm align kto`."""

    beta: float = setting(0.1, "how much a change against the reference costs", positive)
    weight_good: float | None = setting(
        None, "of good answers; none: good and bad ones weigh the same in all", positive
    )
    weight_bad: float | None = setting(None, "of bad answers; none: as above", positive)
