"""Rollouts: responses that are drawn from the policy   (book section 4.3.1, "sample")

    y_t ~ pi(. | x, y_<t),   the model's own distribution at one temperature

Rows are drawn together, with the key-value cache, each from a random stream of its own, so that a
response does not depend on the rows beside it. What is drawn is what is differentiated later: no
top-k, no top-p, no penalty, and no window that slides. A response ends with the end mark; one that
reaches the most tokens without it is `truncated`, and no end mark is added. Read next: scoring.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.backend import DType, Random
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.conversations import Encoded, encode_sft
from tinylm.generate.loop import generate_rows
from tinylm.generate.protocol.enumerable import EnumerableLM
from tinylm.models.decoder.gpt import GPT


@dataclass(frozen=True)
class Rollout:
    """N responses; arrays have L columns, the most tokens of a response.

    prompts    list of N sequences of ids
    ids        (N, L) int64, the end mark included; 0 after it
    counted    (N, L) bool, True for tokens of the response
    truncated  (N,) bool, True for a response without its end mark
    drawn      (N, L) log-probabilities that were seen while drawing, of the distribution that was
               drawn from
    """

    prompts: list
    ids: np.ndarray
    counted: np.ndarray
    truncated: np.ndarray
    drawn: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each response, (N,)."""
        return self.counted.sum(axis=1)

    @property
    def responses(self) -> list[list[int]]:
        """list of N lists of ids."""
        return [row[:n].tolist() for row, n in zip(self.ids, self.lengths)]

    def examples(self) -> list[Encoded]:
        """Prompts and responses as rows of a batch: list of N Encoded."""
        return [encode_sft(x, y) for x, y in zip(self.prompts, self.responses)]

    def take(self, rows: np.ndarray) -> "Rollout":
        """The given rows as a Rollout."""
        arrays = (self.ids, self.counted, self.truncated, self.drawn)
        return Rollout([self.prompts[r] for r in rows], *(array[rows] for array in arrays))

    def joined(self, other: "Rollout") -> "Rollout":
        """The rows of this rollout, then those of another."""
        mine = (self.ids, self.counted, self.truncated, self.drawn)
        theirs = (other.ids, other.counted, other.truncated, other.drawn)
        arrays = [np.concatenate(pair) for pair in zip(mine, theirs)]
        return Rollout([*self.prompts, *other.prompts], *arrays)


def roll_out(
    policy: GPT,
    prompts: Sequence[list[int]],
    max_tokens: int,
    seeds: Sequence[int],
    *,
    eos: int | None = None,
    temperature: float = 1.0,
) -> Rollout:
    """Draw one response to each prompt: Rollout.

    policy       GPT, or another model of tinylm.generate; drawn from in evaluation mode
    prompts      list of N sequences of ids; one that stands there G times gets G responses
    max_tokens   L
    seeds        N integers, one stream for each row
    eos          id that ends a response, or several; None: all have L tokens, none is truncated
    temperature  > 0, as later in response_logprobs()
    raises       ConfigError for another temperature; DataError for a prompt that leaves less than
                 L tokens of the context
    """
    if not temperature > 0:
        raise ConfigError(
            f"roll_out: temperature {temperature}: a policy that always takes its most probable "
            "token has no gradient; give a temperature above 0"
        )
    check_prompts(policy, prompts, max_tokens)
    given = {"seed": seeds, "eos": eos, "temperature": temperature, "notice": None}
    rows = generate_rows(policy, prompts, max_tokens, **given)
    lengths = np.array([len(row.tokens) for row in rows], np.int64)
    counted = np.arange(max_tokens) < lengths[:, None]  # (N, L)
    ids = np.zeros(counted.shape, np.int64)
    drawn = np.zeros(counted.shape)
    if len(rows):
        ids[counted] = np.concatenate([row.tokens for row in rows])
        drawn[counted] = np.concatenate([row.drawn for row in rows])
    truncated = np.array([row.finish != "end" and eos is not None for row in rows], bool)
    return Rollout(list(prompts), ids, counted, truncated, drawn)


def check_prompts(
    policy: EnumerableLM | GPT,
    prompts: Sequence[list[int]],
    max_tokens: int,
    name: str = "policy",
    last: bool = False,
) -> None:
    """Refuse prompts after which `max_tokens` tokens do not fit the context of the policy, or of
    another model that reads them.

    A window that slides would draw tokens from another distribution than the one that a forward
    pass over the whole row differentiates.

    name     of the model, for the error
    last     True: it reads the last token too, at which a reward stands
    raises   ConfigError for max_tokens below 1; DataError for an empty prompt, or one that is too
             long
    """
    if not max_tokens > 0:
        raise ConfigError(f"roll_out: max_tokens {max_tokens}: a response needs one at least")
    context = getattr(getattr(policy, "config", policy), "context", None)
    for number, prompt in enumerate(prompts):
        if not len(prompt):
            raise DataError(f"prompt {number} is empty: begin it with a start token")
        # The last token is drawn after all others are read, and need not be read itself.
        needed = len(prompt) + max_tokens - 1 + last
        if context is not None and needed > context:
            raise DataError(
                f"prompt {number} has {len(prompt)} tokens, and {max_tokens} are to follow: the "
                f"{name} reads {context} at most; shorten the prompt, or lower max_tokens"
            )


def row_streams(seed: int, draw: int, first: int, stop: int) -> list[int]:
    """Seeds of rows first .. stop-1 of a draw: the same, whoever draws them."""
    rng = Random(seed, "rollouts", draw)
    return rng.integers(0, 2**53, stop)[first:].tolist()


def rounding(dtype: DType, temperature: float = 1.0) -> float:
    """How far two ways through a model may differ in a log-probability.

    temperature  one below 1 multiplies all logits, and what they differ by
    """
    allowed = 1e-3
    if np.dtype(dtype) == np.float64:
        allowed = 1e-9
    return allowed / min(1.0, temperature)
