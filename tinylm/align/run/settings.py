"""The settings of `tinylm align`: those of every method, and those of each.

Every field has its default, its help text and its check; the command line is made from them
(cli/options.py). None stands for what the method or the loss has by itself. Read first:
finetune/settings.py. Read next: methods.py.
"""

from dataclasses import dataclass

from tinylm.align.preference.losses import LOSSES, check_options
from tinylm.finetune.settings import RunSettings, UpdateSettings
from tinylm.settings import at_least, between, one_of, positive, setting, validate


@dataclass(frozen=True)
class TuningSettings(UpdateSettings, RunSettings):
    """Settings of every method that learns from a file."""

    epochs: float = setting(1.0, "how many times all examples are read", positive)
    lr: float | None = setting(
        None,
        "peak learning rate, between a warm-up and a linear decay to 0; none: the method's",
        positive,
    )
    max_length: int | None = setting(
        None, "tokens of a prompt and its answer; none: the model's context", at_least(2)
    )
    eval_every: int = setting(0, "steps between validations; 0: at the start and end", at_least(0))
    checkpoint_every: int = setting(100, "steps between checkpoints; 0: none", at_least(0))


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


@dataclass(frozen=True)
class PolicyRunSettings(RunSettings):
    """Settings of the methods that learn from a reward, beside those of tinylm/align/rlhf.

    data  of files with prompts; those of instructions and pairs have some as well
    """

    reward: str = setting(
        "", "what scores answers: a run of `tinylm align reward`, or FILE.py:function"
    )
    steps: int = setting(100, "turns of sample, evaluate, update", at_least(1))
    lr: float = setting(
        1e-4, "peak learning rate, between a warm-up and a linear decay to 0", positive
    )
    eval_every: int = setting(0, "steps between validations; 0: at the start and end", at_least(0))
    checkpoint_every: int = setting(100, "steps between checkpoints; 0: none", at_least(0))


# Names of losses that are others with their options set.
ALIASES = {
    "cdpo": ("dpo", {"label_smoothing": 0.1}),
    "rso": ("hinge", {}),
    "apo": ("apo-zero", {}),
}
# What the name of a loss means beyond it.
NOTES = {"rso": "on pairs that tinylm.align.preference.rso_pairs draws"}
OPTIONS = ("beta", "label_smoothing", "gamma", "weight", "margin", "divergence")


@dataclass
class PreferenceSettings:
    """Settings of `tinylm align dpo`; a loss that has no such option refuses it."""

    loss: str = setting(
        "dpo",
        f"which loss of pairs: {', '.join((*LOSSES, *ALIASES))}; `tinylm align --list` has sources",
    )
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

    def __post_init__(self) -> None:
        validate(self)
        check_options(*self.chosen_loss())

    def chosen_loss(self) -> tuple[str, dict]:
        """(name of the loss in LOSSES, its options): what was set, and what an alias stands for."""
        name, options = ALIASES.get(self.loss, (self.loss, {}))
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
