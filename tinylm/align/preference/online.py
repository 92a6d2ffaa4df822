"""Preferences on the policy's own samples: online DPO and self-play   (book sections 4.4.2,
4.2.2.2).

DPO on a fixed data set learns from answers of another model, and what these do not cover it cannot
correct: offline learning. Here every round samples two answers to each prompt from the policy as it
is now, has them labelled, and trains on these pairs:

    reference "first"    the policy before all rounds: the optimum stays pi* of the KL-regularized
                         objective, as in PPO (Guo et al. 2024, online DPO)
    reference "current"  the policy before the round: every round may move as far again (iterative
                         DPO: Xu et al. 2023; Yuan et al. 2024, self-rewarding)

SPIN needs no labels: the chosen answer is a person's, the rejected one the policy's own (Chen et
al. 2024). Read first: tuning.py.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinylm.align.feedback.pairs import EncodedPair
from tinylm.align.preference.tuning import DPO, tune, with_reference
from tinylm.align.rlhf.rollout import check_prompts
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.fitting import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.generate.loop import generate_batch
from tinylm.models.decoder.gpt import GPT

REFERENCES = ("first", "current")


def own_pairs(
    model: GPT,
    prompts: Sequence[list[int]],
    prefer: Callable,
    max_tokens: int,
    *,
    seed: int = 0,
    eos: int | None = None,
    temperature: float = 1.0,
) -> list[EncodedPair]:
    """Two samples of the policy for each prompt, labelled: list of EncodedPair.

    prompts  list of P sequences of ids
    prefer   function: (prompt, a, b) -> probability that a is preferred to b, of an annotator, a
             reward model or a judge; the sample that is more probably preferred is `chosen`, the
             probability its soft label
    returns  at most P pairs: equal samples teach nothing and are left out
    raises   DataError for a prompt that leaves less than max_tokens of the model's context
    """
    check_prompts(model, prompts, max_tokens)
    options = {"eos": eos, "temperature": temperature}
    # prompt 0 twice, prompt 1 twice, ..: every row has a seed of its own
    twice = [prompt for prompt in prompts for _ in range(2)]
    samples = generate_batch(model, twice, max_tokens, seed=2 * seed * len(prompts), **options)
    found = []
    for prompt, a, b in zip(prompts, samples[::2], samples[1::2]):
        if a == b:
            continue
        p = float(prefer(prompt, a, b))
        if p < 0.5:
            a, b, p = b, a, 1 - p
        found.append(EncodedPair(encode_sft(prompt, a), encode_sft(prompt, b), p))
    return found


def self_play_pairs(
    model: GPT,
    prompts: Sequence[list[int]],
    answers: Sequence[list[int]],
    max_tokens: int,
    *,
    seed: int = 0,
    eos: int | None = None,
    temperature: float = 1.0,
) -> list:
    """SPIN's pairs: people's answers against the policy's own   (Chen et al. 2024, algorithm 1)

    answers  list of P sequences of ids
    returns  list of EncodedPair, without prompts at which the policy already gives the answer
    raises   DataError for a prompt that leaves less than max_tokens of the model's context
    """
    check_prompts(model, prompts, max_tokens)
    options = {"eos": eos, "temperature": temperature}
    samples = generate_batch(model, prompts, max_tokens, seed=seed * len(prompts), **options)
    return [
        EncodedPair(encode_sft(prompt, answer), encode_sft(prompt, own))
        for prompt, answer, own in zip(prompts, answers, samples)
        if list(answer) != own
    ]


def online_dpo(
    model: GPT,
    task: DPO,
    make_pairs: Callable,
    *,
    rounds: int = 1,
    reference: str = "first",
    seed: int = 0,
    **options: Any,
) -> list:
    """Rounds of sampling pairs from the policy and training on them, in place.

    task        DPO
    make_pairs  function: (model, number of the round) -> list of EncodedPair, such as own_pairs or
                self_play_pairs with the other arguments bound and the round as seed
    reference   of REFERENCES; SPIN has "current"
    options     of finetune.fit: steps, learning_rate, batch_size, ..
    returns     list of (number of pairs, (steps,) losses), one a round
    raises      ConfigError for another reference; DataError for a round without a pair
    """
    if reference not in REFERENCES:
        raise ConfigError(
            f"online_dpo: reference {reference!r} is not one of {', '.join(REFERENCES)}"
        )
    first = None
    if reference == "first" and rounds > 1:
        first = copy.deepcopy(model)
    found = []
    for k in range(rounds):
        pairs = [replace(pair, reference=None) for pair in make_pairs(model, k)]
        if not pairs:
            raise DataError(
                f"online_dpo: round {k} has no pair: all samples were equal; raise the temperature"
            )
        if first is None or k == 0:
            losses = tune(model, task, pairs, seed=seed + k, **options)
        else:
            # The policy has left its reference: its first log ratios are not 0 any more.
            pairs = with_reference(first, pairs, temperature=task.temperature)
            losses = fit(model, task, pairs, seed=seed + k, **options)
        found.append((len(pairs), np.asarray(losses)))
    return found
