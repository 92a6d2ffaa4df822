"""A network that makes one reward of several   (book section 4.4.1.4).

    r(x, y) = w_2 tanh(W_1 [r_1(x, y), .., r_K(x, y)] + b_1)  +  w [r_1, .., r_K]

The members stay as they are; the network is trained on held-out preferences with the pairwise loss.
It begins as the plain mean of the members, and learns where one of them is to be trusted more than
another. Read first: ensemble.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinylm.align.rewards.marked import MarkedText
from tinylm.align.rewards.pairwise import pairwise_loss, preference_accuracy
from tinylm.autograd import Tensor, tanh
from tinylm.backend import DType, Random
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import Linear, Module
from tinylm.pretrain.batch import Batch
from tinylm.pretrain.score import score_rows

if TYPE_CHECKING:
    from tinylm.align.preference.pairs import PreferenceBatch


class FusionNetwork(Module):
    """Rewards of K members -> one reward.

    members   K;  hidden units of the network;  seed of its weights
    """

    def __init__(
        self, members: int, hidden: int = 8, seed: int = 0, dtype: DType = np.float32
    ) -> None:
        rng = Random(seed, "fusion")
        self.mean = Linear(members, 1, rng, bias=False, dtype=dtype)
        self.mean.weight.data[...] = 1 / members
        self.hidden = Linear(members, hidden, rng, std=members**-0.5, dtype=dtype)
        self.out = Linear(hidden, 1, rng, bias=False, std=0.0, dtype=dtype)

    def __call__(self, rewards: np.ndarray) -> Tensor:
        """(B, K) array or Tensor -> (B,) Tensor."""
        if not isinstance(rewards, Tensor):
            rewards = Tensor(rewards.astype(self.mean.weight.dtype))
        x = tanh(self.hidden(rewards))  # (B, K) -> (B, H)
        return (self.mean(rewards) + self.out(x))[:, 0]  # (B, 1) -> (B,)


@dataclass(frozen=True)
class RewardPairs(Batch):
    """inputs (B, 2, K): the members' rewards of the chosen and of the rejected response."""

    @property
    def tokens(self) -> int:
        """The number of pairs."""
        return len(self)


@dataclass(frozen=True)
class Fusion:
    """The task for finetune.fit with a FusionNetwork; an example is a pair of (K,) rewards, the
    chosen response first.
    """

    def make_batch(
        self, examples: Sequence[MarkedText], rng: np.random.Generator | None = None
    ) -> RewardPairs:
        """list of pairs of (K,) rewards -> RewardPairs."""
        return RewardPairs(np.array(examples, np.float64), np.ones(len(examples)))

    def loss(self, model: GPT, batch: "PreferenceBatch") -> tuple[Tensor, dict[str, float]]:
        """Mean of -log sigma(r_chosen - r_rejected)."""
        chosen, rejected = (model(batch.inputs[:, i]) for i in (0, 1))
        return score_rows(pairwise_loss(chosen, rejected), len(batch))

    def predict(self, model: GPT, batch: "PreferenceBatch") -> list:
        """The rewards of each pair: list of two floats."""
        sides = (model(batch.inputs[:, i]).numpy().tolist() for i in (0, 1))
        return list(zip(*sides))

    def measure(
        self, answers: Sequence[np.ndarray], examples: Sequence[MarkedText]
    ) -> dict[str, float]:
        """{"accuracy": share of pairs in the right order}"""
        chosen, rejected = np.array(answers).T
        return {"accuracy": preference_accuracy(chosen, rejected)}
