"""The methods of `tinylm align`, each a row: what it learns from, its task, its model.

    sft      answers                 InstructionTuning   the decoder
    reward   pairs                   RewardModeling      a decoder with a head
    dpo      pairs, --loss NAME      DPO                 the decoder, compared with itself as it was
    kto      answers, good or bad    KTO                 likewise

A row has all that training.py needs, so no code compares names of methods. Read next: training.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinylm.align.preference.judged import KTO, kto_weights
from tinylm.align.preference.tuning import DPO, prepared
from tinylm.align.rewards.modeling import RewardModeling
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.align.run.examples import instruction_examples, judged_examples, pair_examples
from tinylm.align.run.settings import (
    JudgedSettings,
    PreferenceSettings,
    RewardSettings,
    SupervisedSettings,
)
from tinylm.errors import ConfigError
from tinylm.finetune.instruct.conversations import pack
from tinylm.finetune.instruct.instructions import InstructionTuning


@dataclass(frozen=True)
class Method:
    """One method.

    purpose   a line for --list;  section  of the book
    settings  dataclass of its own settings
    lr        peak learning rate unless one is set
    counted   what its loss is a mean of: tokens, pairs, answers
    examples  function: (opened, settings, own settings, report) -> list of Example
    task      function: (opened, own settings, encoded examples) -> task of finetune.fit
    model     function: (opened, settings) -> the Module that is trained
    prepare   function: (model, task, encoded examples, settings, own settings) -> encoded examples
              with what the task compares with, computed before the first update
    shown     names of figures that the progress line shows
    """

    purpose: str
    section: str
    settings: type
    lr: float
    counted: str
    examples: Callable
    task: Callable
    model: Callable
    prepare: Callable
    shown: tuple = ()


def _limit(opened, settings, more=0):
    """The longest text in tokens; `more`: the last token is only a target, and not read."""
    context = opened.model.config.context
    if settings.max_length is None:
        return context + more
    if settings.max_length > context + more:
        raise ConfigError(
            f"max_length {settings.max_length} is above the {context + more} tokens that the "
            "model's context allows"
        )
    return settings.max_length


def _as_it_is(model, task, examples, settings, own):
    return examples


def _decoder(opened, settings):
    return opened.model


def _reward_model(opened, settings):
    return RewardModel(opened.model, settings.seed)


def _sft_examples(opened, settings, own, report):
    limit = _limit(opened, settings, more=1) - 1  # encode_samples counts inputs
    return instruction_examples(opened, settings.data, settings.skip_bad, limit, own.turns, report)


def _sft_rows(model, task, examples, settings, own):
    if own.pack:
        return pack(examples, model.config.context)
    return examples


def _sft_task(opened, own, examples):
    return InstructionTuning(False, opened.tokenizer, opened.end)


def _reward_examples(opened, settings, own, report):
    limit = _limit(opened, settings)  # a reward is read at the last token, so that one is read too
    return pair_examples(opened, settings.data, settings.skip_bad, limit, report, own.margins)


def _reward_task(opened, own, examples):
    return RewardModeling(own.center)


def _pair_examples(opened, settings, own, report):
    limit = _limit(opened, settings, more=1)
    return pair_examples(opened, settings.data, settings.skip_bad, limit, report)


def _dpo_task(opened, own, examples):
    return DPO(*own.chosen_loss())


def _compared(model, task, examples, settings, own):
    return prepared(model, task, examples, settings.batch_size, settings.max_length)


def _judged_examples(opened, settings, own, report):
    limit = _limit(opened, settings, more=1)
    return judged_examples(opened, settings.data, settings.skip_bad, limit, report)


def _kto_task(opened, own, examples):
    good, bad = own.weight_good, own.weight_bad
    if good is None or bad is None:
        balanced = kto_weights(np.array([one.desirable for one in examples]))
        good, bad = (own or weight for own, weight in zip((good, bad), balanced))
    return KTO(own.beta, good, bad)


METHODS = {
    "sft": Method(
        "supervised fine-tuning on answers",
        "4.2.1",
        SupervisedSettings,
        3e-4,
        "tokens",
        _sft_examples,
        _sft_task,
        _decoder,
        _sft_rows,
    ),
    "reward": Method(
        "a reward model from pairs: which of two answers is better",
        "4.3.2",
        RewardSettings,
        1e-4,
        "pairs",
        _reward_examples,
        _reward_task,
        _reward_model,
        _as_it_is,
        ("accuracy",),
    ),
    "dpo": Method(
        "pairs without a reward model, by any --loss below",
        "4.4.2",
        PreferenceSettings,
        5e-5,
        "pairs",
        _pair_examples,
        _dpo_task,
        _decoder,
        _compared,
        ("margin", "accuracy"),
    ),
    "kto": Method(
        "answers that are good or bad, without pairs (not in the book)",
        "4.4.2",
        JudgedSettings,
        5e-5,
        "answers",
        _judged_examples,
        _kto_task,
        _decoder,
        _compared,
        ("reward_good", "reward_bad"),
    ),
}
