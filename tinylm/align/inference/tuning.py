"""Rejection sampling fine-tuning: best-of-n as training data   (book section 4.4.5; Nakano et al.
2021; Touvron et al. 2023, Llama 2).

Sample n responses to each prompt, keep the best, and fine-tune on it as on an answer; repeat with
the new model. With enough data a round turns the policy into its own law of best-of-n, k rounds
into that of n^k samples. A gain may come from the choice, or from training on one's own samples as
such, so the **matched random control** keeps one of the same n at random: nothing else differs. At
the sampling policy its expected gradient is 0. Read next: guided.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.align.inference.best_of_n import sampled
from tinylm.align.inference.law import best_of_n_law
from tinylm.align.rlhf.rollout import check_prompts
from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.fitting import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models.decoder.gpt import GPT


def best_of_each(candidates: Sequence[list[str]], rewards: Sequence[list[int]]) -> list:
    """The best candidate of each prompt, of equals the first: list of P.

    candidates  list of P lists;  rewards  as many numbers for each
    """
    _check(candidates, rewards)
    return [one[int(np.argmax(values))] for one, values in zip(candidates, rewards)]


def random_of_each(
    candidates: Sequence[list[str]], rewards: Sequence[list[int]], seed: int = 0
) -> list:
    """The matched control: a random candidate of each prompt, whatever its reward: list of P."""
    _check(candidates, rewards)
    rng = Random(seed, "random control")
    return [one[int(rng.integers(0, len(one)))] for one in candidates]


def _check(candidates, rewards):
    lengths = [len(one) for one in candidates]
    if lengths != [len(one) for one in rewards] or 0 in lengths:
        raise DataError(
            "rejection sampling: every prompt needs candidates, and a reward for each of them; "
            f"there are {lengths} candidates and {[len(one) for one in rewards]} rewards"
        )
    for prompt, values in enumerate(rewards):
        if np.isnan(values).any():  # argmax would take it for the greatest
            raise DataError(
                f"rejection sampling: a reward of prompt {prompt} is nan: it must be a number for "
                "every response, also for an empty or a broken one"
            )


SELECTIONS = ("best", "random")


def rejection_sampling_finetune(
    model: GPT,
    prompts: Sequence[list[int]],
    reward: Callable,
    n: int,
    max_tokens: int,
    *,
    rounds: int = 1,
    select: str = "best",
    eos: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    **options: Any,
) -> list:
    """Sample, select, fine-tune; in place.

    model      GPT
    prompts    list of P sequences of ids
    reward     function: (prompt, tokens) -> number
    n          samples a prompt;  rounds  of sampling with the current model
    select     "best", or "random": the control, on the very same samples in round 1
    options    of finetune.fit: steps, learning_rate, ..
    returns    list of (mean reward of all samples, mean reward of the selected ones), one a round
    raises     ConfigError for another selection; DataError for a prompt that leaves less than
               max_tokens of the model's context
    """
    if select not in SELECTIONS:
        raise ConfigError(
            f"rejection_sampling_finetune: select {select!r} is not one of {', '.join(SELECTIONS)}"
        )
    check_prompts(model, prompts, max_tokens)
    found = []
    for k in range(rounds):
        candidates, rewards = [], []
        for i, prompt in enumerate(prompts):
            # every sample of every round has a seed of its own
            first = seed + (k * len(prompts) + i) * n
            given = {"seed": first, "eos": eos, "temperature": temperature}
            candidates.append(sampled(model, prompt, n, max_tokens, **given))
            rewards.append([reward(prompt, one.tokens) for one in candidates[-1]])
        if select == "best":
            kept = best_of_each(candidates, rewards)
        else:
            kept = random_of_each(candidates, rewards, seed + k)
        examples = [encode_sft(x, y.tokens) for x, y in zip(prompts, kept)]
        selected = [reward(x, y.tokens) for x, y in zip(prompts, kept)]
        found.append((float(np.mean(rewards)), float(np.mean(selected))))
        fit(model, InstructionTuning(), examples, seed=seed + k, **options)
    return found


def iterated_law(p: np.ndarray, rewards: np.ndarray, n: int, rounds: int) -> Any:
    """The policy after rounds of rejection sampling fine-tuning with infinite data: (K,) float64.

    Each round replaces the policy by its own best-of-n law. F^n, r times, is F^(n^r): the law of
    the best of n^r samples of the first policy.
    """
    for _ in range(rounds):
        p = best_of_n_law(p, rewards, n)
    return np.asarray(p, float)
