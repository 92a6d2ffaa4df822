"""Experience: responses with all that an update needs of them   (book section 4.3.3)

    old        log pi(y_t | ..) of the policy that drew, before any update
    reference  log pi_ref(y_t | ..)
    values     V(s_t) of the state before each token
    scores     r(x, y) of the whole response
    advantages, returns      of the method, from these

All of it is computed once for each rollout, without dropout and without a gradient, by the
function that the loss uses too: response_logprobs(). Then the responses are rows that can be put
into batches in any order, as often as the method reads them. Read next: methods/.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tinylm.align.logprobs import frozen_logprobs
from tinylm.align.policy.kl import kl_in_reward
from tinylm.align.policy.surrogates import check_first_ratio
from tinylm.align.rewards.placement import place_terminal_reward
from tinylm.align.rewards.reward_model import response_values
from tinylm.align.rlhf.rollout import Rollout, rounding
from tinylm.autograd import no_grad
from tinylm.backend import to_cpu
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.finetune.instruct.instructions import InstructionBatch, InstructionTuning
from tinylm.nn import evaluating
from tinylm.pretrain.batch import IGNORE

if TYPE_CHECKING:
    from tinylm.align.rlhf.models import FourModels


@dataclass(frozen=True)
class Experience:
    """A rollout that is scored; arrays (N, L) are 0 where nothing counts.

    rollout     Rollout of N responses
    scores      (N,) rewards of whole responses
    old         (N, L)
    reference   (N, L); None without a reference
    values      (N, L); None without a value model
    advantages  (N, L) of tokens, or (N,) of responses; None until the method gives them
    returns     (N, L) targets of the value model, or None
    """

    rollout: Rollout
    scores: np.ndarray
    old: np.ndarray
    reference: np.ndarray | None = None
    values: np.ndarray | None = None
    advantages: np.ndarray | None = None
    returns: np.ndarray | None = None

    @property
    def counted(self) -> np.ndarray:
        """(N, L) bool, True for tokens of responses."""
        return self.rollout.counted

    @property
    def drawn(self) -> np.ndarray:
        """(N, L) log-probabilities that were seen while drawing."""
        return self.rollout.drawn

    def divergence(self) -> np.ndarray:
        """log pi(y|x) - log pi_ref(y|x) of each response, (N,): its mean estimates KL."""
        return (self.old - self.reference).sum(axis=1)

    def rewards(self, beta: float = 0.0, missing_end: float | None = None) -> np.ndarray:
        """r_t of every token: the score at the last one, less beta (log pi - log pi_ref): (N, L).

        beta         of a penalty in the reward; 0: none
        missing_end  reward of a truncated response in place of its score; None: its score
        """
        counted, ended = self.counted, ~self.rollout.truncated
        placed = place_terminal_reward(self.scores, counted, ended, missing_end)
        if not beta:
            return placed
        return kl_in_reward(placed, self.old, self.reference, counted, beta)

    def samples(self) -> "list[Sample]":
        """The rows as list of N Sample."""
        arrays = {name: getattr(self, name) for name in PLACED}
        found = []
        for i, (example, held) in enumerate(zip(self.rollout.examples(), self.counted)):
            given = {}
            for name, array in arrays.items():
                if array is not None and array.ndim == 2:
                    given[name] = array[i][held]  # (L,) -> (n,)
                elif array is not None:
                    given[name] = array[i]  # one number for a response
            found.append(Sample(example, **given))
        return found


PLACED = ("old", "drawn", "reference", "values", "advantages", "returns")


@dataclass(frozen=True)
class Sample:
    """A response and what belongs to its n tokens: arrays (n,), or one number for all of them."""

    example: Encoded
    old: np.ndarray = None
    drawn: np.ndarray = None
    reference: np.ndarray | None = None
    values: np.ndarray | None = None
    advantages: np.ndarray | None = None
    returns: np.ndarray | None = None


@dataclass(frozen=True)
class PolicyBatch(InstructionBatch):
    """Rows of prompts and responses; arrays (B, T) stand in the columns of the targets.

    old, drawn, reference, values, returns  (B, T), or None
    advantages                       (B, T), or (B,) for one number for a response
    weight                           (B,) how much each row counts in the mean that is the loss: its
                                     tokens, or 1
    """

    old: np.ndarray = None
    drawn: np.ndarray = None
    reference: np.ndarray | None = None
    values: np.ndarray | None = None
    advantages: np.ndarray | None = None
    returns: np.ndarray | None = None
    weight: np.ndarray = None

    @property
    def tokens(self) -> int:
        """What the mean of the loss is divided by."""
        return int(self.weight.sum())


def make_policy_batch(samples: Sequence[Sample], per_token: bool = True) -> PolicyBatch:
    """list of B Sample -> PolicyBatch, padded at the right.

    per_token  whether a row weighs by its tokens in the loss, or all rows weigh 1
    """
    batch = InstructionTuning().make_batch([one.example for one in samples])
    counted = batch.targets != IGNORE  # (B, T)
    placed = {}
    for name in PLACED:
        rows = [getattr(one, name) for one in samples]
        if rows[0] is None:
            placed[name] = None
        elif np.ndim(rows[0]) == 0:
            placed[name] = np.array(rows, np.float64)  # (B,)
        else:
            placed[name] = np.zeros(counted.shape)
            placed[name][counted] = np.concatenate(rows)  # True places are met row by row
    weight = np.ones(len(samples), np.int64)
    if per_token:
        weight = counted.sum(axis=1)
    fields = {name: getattr(batch, name) for name in ("inputs", "targets", "prompt", "mask")}
    return PolicyBatch(**fields, **placed, weight=weight)


def assess(
    models: "FourModels",
    rollout: Rollout,
    scores: np.ndarray,
    temperature: float = 1.0,
    batch_size: int = 16,
) -> Experience:
    """Log-probabilities and values of a rollout under the models as they are now: Experience.

    models  FourModels;  scores (N,) of score_responses()
    raises  DataError if a token was drawn with another probability than `old` says
    """
    examples = rollout.examples()
    old = _columns(_logprobs(models.policy, examples, temperature, batch_size), rollout)
    allowed = rounding(models.policy.parameters()[0].dtype, temperature)
    check_first_ratio(old, rollout.drawn, rollout.counted, allowed)
    reference = values = None
    if models.reference is not None:
        found = _logprobs(models.reference, examples, temperature, batch_size)
        reference = _columns(found, rollout)
    if models.value is not None:
        values = _columns(_values(models.value, examples, batch_size), rollout)
    return Experience(rollout, scores, old, reference, values)


def with_advantages(
    experience: Experience, advantages: np.ndarray, returns: np.ndarray | None = None
) -> Experience:
    """The same with what the method has computed."""
    return replace(experience, advantages=advantages, returns=returns)


def _batches(examples, batch_size, device):
    for start in range(0, len(examples), batch_size):
        batch = InstructionTuning().make_batch(examples[start : start + batch_size])
        yield batch.to(device), batch.targets != IGNORE


def _logprobs(model, examples, temperature, batch_size):
    """list of the (n,) log-probabilities of each response's tokens."""
    found = []
    for batch, counted in _batches(examples, batch_size, model.parameters()[0].device):
        logp, _ = frozen_logprobs(model, batch, temperature)
        found += [row[held] for row, held in zip(to_cpu(logp), counted)]
    return found


def _values(model, examples, batch_size):
    """list of the (n,) values of the states before each response's tokens."""
    found = []
    for batch, counted in _batches(examples, batch_size, model.parameters()[0].device):
        with no_grad(), evaluating(model):
            values = to_cpu(response_values(model, batch).data)
        found += [row[held] for row, held in zip(values, counted)]
    return found


def _columns(rows, rollout):
    """Rows of n numbers each as (N, L) float64."""
    array = np.zeros(rollout.counted.shape)
    if len(rows):
        array[rollout.counted] = np.concatenate(rows)
    return array
