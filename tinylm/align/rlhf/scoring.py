"""Rewards of whole responses: a function, a reward model, a verifier   (book section 4.3.2)

    r(x, y)   one number for a prompt and a response, of which no gradient is needed

A reward is given as a function (prompt, response) -> number of ids, `of_texts` makes one from a
function of two texts, and whatever has `score(list of ids) -> (n,)`, such as RewardModel and
RewardEnsemble, reads the whole text [x, y]. It stands at the last token of the response; what is
worth how much after that is the method's business. Read next: models.py.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinylm.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tinylm.align.rlhf.rollout import Rollout
    from tinylm.tokenizers.base import Tokenizer


# Advantages are squared in float64, errors of a value model in float32, which ends at 3e38.
LARGEST = 1e15


def score_responses(reward: Callable, rollout: "Rollout") -> np.ndarray:
    """The rewards of all responses of a rollout, (N,) float64: see scores_of().

    raises   also DataError for a reward beyond LARGEST, with which no gradient can be computed
    """
    found = scores_of(reward, rollout.prompts, rollout.responses)
    large = np.flatnonzero(np.abs(found) > LARGEST).tolist()
    if large:
        raise DataError(
            f"the reward of the response {rollout.responses[large[0]]} is {found[large[0]]:g}: "
            f"beyond {LARGEST:g} losses overflow. Divide rewards until they are about as large as 1"
        )
    return found


def scores_of(
    reward: Callable, prompts: Sequence[list[int]], responses: Sequence[list[int]]
) -> np.ndarray:
    """The rewards of responses, one to each prompt: (N,) float64.

    reward              function or reward model, see the head of this file
    prompts, responses  lists of N sequences of ids
    raises              ConfigError for something else, DataError for a reward that is no finite
                        number
    """
    if hasattr(reward, "score"):
        texts = [[*x, *y] for x, y in zip(prompts, responses)]
        found = np.asarray(reward.score(texts), np.float64)
    elif callable(reward):
        pairs = zip(prompts, responses)
        found = np.array([float(reward(list(x), y)) for x, y in pairs], np.float64)
    else:
        raise ConfigError(
            f"a reward is a function (prompt, response) -> number, or has score(texts), not "
            f"{type(reward).__name__}"
        )
    wrong = np.flatnonzero(~np.isfinite(found)).tolist()
    if wrong:
        raise DataError(
            f"the reward of the response {responses[wrong[0]]} is {found[wrong[0]]}: it "
            "must be a finite number for every response, also for an empty or a broken one"
        )
    return found


def of_texts(function: Callable, tokenizer: "Tokenizer", eos: int | None = None) -> Callable:
    """A reward of ids from one of texts: for a verifier, or a rule about words.

    function   (prompt, response) -> number, both str; the response without its end mark
    tokenizer  decode(ids) -> str
    eos        the end mark
    """

    def reward(prompt, response):
        if response and response[-1] == eos:
            response = response[:-1]
        return function(tokenizer.decode(prompt), tokenizer.decode(response))

    return reward
