"""The reward model and the value model: one number from a decoder   (book eqs. 4.33, 4.34; sections
4.3.2, 4.3.3).

    v_t = h_t W_r            h_t (D,) the state of token t, W_r (D, 1)      value model, every t
    r(x, y) = v_last         the state of the last token has seen all of x and y    reward model

Both begin as the pre-trained decoder with a new head. "Last" is the last token that is no padding,
wherever the padding stands; which tokens are real is a mask of lengths, never ids == pad, since the
mark that ends a response often is the padding too. AutoModelForSequenceClassification of Hugging
Face with one label is the same model. Read first: finetune/tasks/heads.py. Read next: modeling.py,
its training; placement.py.
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd import Tensor, no_grad, scatter_add
from tinylm.backend import ArrayLike, Random, to_cpu
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.tasks.heads import hidden_states, innermost
from tinylm.models.decoder.gpt import GPT
from tinylm.models.decoder.prefixes import shares_prefixes, states_at
from tinylm.nn import Linear, Module, evaluating
from tinylm.pretrain.batch import IGNORE, pad_rows

if TYPE_CHECKING:
    from tinylm.finetune.instruct.instructions import InstructionBatch


class ValueModel(Module):
    """A number for every token, from the tokens up to it: V(s_t) of the state s_t = (x, y_<=t).

    decoder  GPT, or one behind a prompt or adapters (finetune.peft); not copied
    seed     of the head's weights
    std      of the head's weights; None: 1/sqrt(D + 1), with which the scores of normed states have
             a variance near 1 (Ziegler et al. 2019); 0: all values are 0 at first
    """

    def __init__(self, decoder: GPT, seed: int = 0, std: float | None = None) -> None:
        model = innermost(decoder)
        self.decoder = decoder
        weight, D = model.tokens.weight, model.config.d_model
        if std is None:
            std = (D + 1) ** -0.5
        # No bias: a constant of all scores changes no comparison.
        rng = Random(seed, "reward head")
        self.head = Linear(D, 1, rng, bias=False, std=std, dtype=weight.dtype)
        self.head.to(weight.device)

    def __call__(self, ids: np.ndarray, mask: np.ndarray | None = None) -> Tensor:
        """ids (B, T) integers, mask (B, T) bool, True for tokens, or None -> (B, T) Tensor.

        Rows may have padding at the left or at the right; values of padding are 0.
        raises   DataError for a row without a token, or with padding between tokens
        """
        if mask is None:
            return self._values(ids, None)
        rows = np.arange(len(ids), like=ids)[:, None]
        columns = np.arange(ids.shape[1], like=ids)
        first = _first_token(mask)[:, None]  # (B, 1)
        # Padding at the left is turned to the right end: token t then has position t, and causality
        # hides the padding. Column j of the turned row is column j + first of the row.
        turned = (columns + first) % ids.shape[1]  # (B, T)
        values = self._values(ids[rows, turned], mask[rows, turned])
        back = (columns - first) % ids.shape[1]
        return values[rows, back] * mask.astype(values.dtype)

    def at(self, ids: np.ndarray, mask: np.ndarray | None, wanted: np.ndarray) -> Tensor:
        """The values of some tokens alone, in less time where rows begin alike.

        ids, mask  as in __call__;  wanted  (B, T) bool
        returns    (n,) Tensor, in the order of np.nonzero(wanted)
        """
        at_ends = mask is None or bool((mask[:, 1:] <= mask[:, :-1]).all())
        if at_ends and shares_prefixes(self.decoder):
            return self.head(states_at(self.decoder, ids, mask, wanted))[:, 0]  # (n, D) -> (n,)
        return self(ids, mask)[np.nonzero(wanted)]

    def _values(self, ids, mask):
        h = hidden_states(self.decoder, ids, mask)  # (B, T, D)
        return self.head(h)[:, :, 0]  # (B, T, D) -> (B, T, 1) -> (B, T)


class RewardModel(Module):
    """r(x, y) = (v_last - shift) / scale   (book eqs. 4.33, 4.34)

    decoder, seed, std  as in ValueModel
    shift, scale        0 and 1 until standardize(); they are saved with the weights
    """

    def __init__(self, decoder: GPT, seed: int = 0, std: float | None = None) -> None:
        self.values = ValueModel(decoder, seed, std)
        self.shift, self.scale = np.zeros(()), np.ones(())

    def __call__(self, ids: np.ndarray, mask: np.ndarray | None = None) -> Tensor:
        """The reward of every row: (B, T) integers -> (B,) Tensor. Arguments as in ValueModel."""
        wanted = np.zeros_like(ids, dtype=bool)  # one place of each row
        if mask is None:
            wanted[:, -1] = True
        else:
            _first_token(mask)  # refuses what has no last token
            wanted[np.arange(len(ids), like=ids), last_token(mask)] = True
        last = self.values.at(ids, mask, wanted)  # (B,)
        return (last - float(self.shift)) * (1 / float(self.scale))

    def score(self, sequences: ArrayLike, batch_size: int = 16) -> np.ndarray:
        """The rewards of complete texts [x, y], without gradient and dropout.

        sequences  list of ids, of any lengths
        returns    (n,) float64 array
        """
        device, found = self.values.head.weight.device, []
        with evaluating(self), no_grad():
            for start in range(0, len(sequences), batch_size):
                ids, mask = pad_rows(sequences[start : start + batch_size], 0)
                moved = (Tensor(array, device=device).data for array in (ids, mask))
                found.append(to_cpu(self(*moved).data).astype(np.float64))
        return np.concatenate(found or [np.zeros(0)])

    def standardize(
        self,
        sequences: Sequence[list[int]],
        weights: np.ndarray | None = None,
        batch_size: int = 16,
    ) -> None:
        """Make the rewards of responses of the reference policy have mean 0 and variance 1.

        Only differences of rewards mean something, so their level and unit are free; this choice
        makes beta of the KL penalty mean the same for every reward model (Ziegler et al. 2019).

        sequences  list of ids [x, y], y sampled from the reference
        weights    (n,) their probabilities, where all responses are listed; None: all equal
        raises     DataError if all rewards are the same
        """
        rewards = self.score(sequences, batch_size)
        mean, deviation = mean_and_deviation(rewards, weights)
        # in the units of v: r = (v - shift) / scale
        self.shift = np.asarray(self.shift + self.scale * mean)
        self.scale = np.asarray(self.scale * deviation)

    def value_model(self) -> ValueModel:
        """A ValueModel that begins as a copy of this one, as PPO's critic does   (book section
        4.3.3). It is in the units of v, before shift and scale.
        """
        return copy.deepcopy(self.values)

    def settings(self) -> dict[str, np.ndarray]:
        """shift and scale, which are saved with the weights."""
        return {"shift": self.shift, "scale": self.scale}

    def check_settings(self, arrays: dict[str, dict[str, np.ndarray]]) -> str | None:
        """Any scale above 0 can be loaded."""
        scale = float(arrays.get("scale", self.scale))
        if not scale > 0:
            return f"the scale of a reward must be above 0, not {scale}"

    def take_settings(self, arrays: dict[str, dict[str, np.ndarray]]) -> None:
        """Load shift and scale."""
        self.shift = np.asarray(to_cpu(arrays.get("shift", self.shift)))
        self.scale = np.asarray(to_cpu(arrays.get("scale", self.scale)))


def response_values(model: ValueModel, batch: "InstructionBatch") -> Tensor:
    """V(s_t) before every token of a response, where response_logprobs() has log pi(y_t | ..).

    model    ValueModel
    batch    with inputs, targets and mask, as of InstructionTuning
    returns  (B, T) Tensor, 0 where no token of a response is predicted
    """
    counted = batch.targets != IGNORE
    values = model.at(batch.inputs, batch.mask, counted)
    return scatter_add(counted.shape, np.nonzero(counted), values)


def _first_token(mask):
    """Index of the first token of each row: (B, T) bool -> (B,)."""
    tokens = mask.sum(axis=1)
    if not (tokens > 0).all():
        raise DataError("a reward model needs at least one token in every row of its batch")
    first = mask.argmax(axis=1)
    # from the first to the last token there must be as many columns as tokens
    if not (last_token(mask) - first + 1 == tokens).all():
        raise DataError(
            "a reward model reads rows with padding at their left or right end, not between tokens"
        )
    return first


def last_token(mask: np.ndarray | None) -> np.ndarray:
    """Index of the last token of each row, wherever the padding stands: (B, T) bool -> (B,)."""
    return mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)


def mean_and_deviation(rewards: ArrayLike, weights: np.ndarray | None = None) -> tuple:
    """Mean and standard deviation of rewards under a policy.

    rewards  (n,) array
    weights  (n,) probabilities of all responses, for exact moments; None: a sample, all equal
    raises   DataError if all rewards are the same; ConfigError if the weights do not sum to 1
    """
    rewards = np.asarray(rewards, np.float64)
    if weights is None:
        weights = np.full(len(rewards), 1 / max(1, len(rewards)))
    weights = np.asarray(weights, np.float64)
    if abs(weights.sum() - 1) > 1e-6:
        raise ConfigError(f"mean_and_deviation: weights must sum to 1, not {weights.sum()}")
    mean = weights @ rewards
    deviation = np.sqrt(weights @ (rewards - mean) ** 2)
    if not deviation > 0:
        raise DataError(
            f"mean_and_deviation: all rewards are {mean:.6g}, so they have no scale: give more "
            "responses, or train the reward model first"
        )
    return mean, deviation
