"""Training of a reward model: which of two responses is better   (book eqs. 4.36 to 4.38).

    phi* = argmin over phi of  - mean over (x, y_a, y_b) of log sigma(r(x, y_a) - r(x, y_b))

phi are the weights of the decoder and of the head. The loop is that of all fine-tuning,
finetune.fit(RewardModel(decoder), RewardModeling(), examples), with this loss in place of
cross-entropy. The model is trained on pairs, and used afterwards on single responses. Read next:
placement.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.align.rewards.marked import MarkedText
from tinylm.align.rewards.pairwise import center_penalty, preference_accuracy, soft_pairwise_loss
from tinylm.autograd import Tensor
from tinylm.backend import Random
from tinylm.errors import DataError
from tinylm.models.decoder.gpt import GPT
from tinylm.pretrain.batch import Batch, pad_rows
from tinylm.pretrain.score import score_rows

if TYPE_CHECKING:
    from tinylm.align.feedback.pairs import EncodedPair
    from tinylm.align.preference.pairs import PreferenceBatch
    from tinylm.align.rewards.reward_model import RewardModel


@dataclass(frozen=True)
class PairBatch(Batch):
    """Pairs of texts.

    inputs   (B, 2, T) ids, padded at the right: the chosen text first
    targets  (B,) probability that it is preferred
    mask     (B, 2, T) bool, True for tokens
    margins  (B,)
    """

    mask: np.ndarray = None
    margins: np.ndarray = None

    @property
    def tokens(self) -> int:
        """The number of pairs: the loss is a mean over them."""
        return len(self)


@dataclass(frozen=True)
class RewardModeling:
    """The task for finetune.fit with a RewardModel; an example is an EncodedPair (feedback.pairs).

    center   lambda of the regularizer of book eq. 4.63
    """

    center: float = 0.0

    def make_batch(self, examples: "Sequence[EncodedPair]", rng: Random | None = None) -> PairBatch:
        """list of EncodedPair -> PairBatch. DataError for a pair of two equal texts."""
        for pair in examples:
            if np.array_equal(pair.chosen.ids, pair.rejected.ids):
                raise DataError(
                    "RewardModeling: both texts of a pair are the same, so its loss is ln 2 "
                    "whatever the model: leave it out, as encode_pairs does"
                )
        texts = [one.ids for pair in examples for one in (pair.chosen, pair.rejected)]
        ids, mask = pad_rows(texts, 0)  # (2 B, T) twice
        shape = (len(examples), 2, -1)
        probabilities = np.array([pair.probability for pair in examples], np.float64)
        margins = np.array([pair.margin for pair in examples], np.float64)
        return PairBatch(ids.reshape(shape), probabilities, mask.reshape(shape), margins)

    def scores(self, model: "RewardModel", batch: PairBatch) -> tuple[Tensor, ...]:
        """The rewards of both texts: two (B,) Tensors.

        One side after the other and not as 2 B rows at once: dropout then draws by rows of the
        batch, so that micro-batches and workers see the same masks.
        """
        sides = (model(batch.inputs[:, i], batch.mask[:, i]) for i in (0, 1))
        return tuple(sides)

    def loss(self, model: "RewardModel", batch: PairBatch) -> tuple[Tensor, dict[str, float]]:
        """Mean over pairs of the pairwise loss, with soft labels and margins where there are any.

        returns  (Tensor (), {"tokens": pairs, "loss", "accuracy", "margin": float, the mean
                 difference of both rewards})
        """
        chosen, rejected = self.scores(model, batch)
        margins = batch.margins.astype(chosen.dtype)
        loss = soft_pairwise_loss(chosen - margins, rejected, batch.targets)
        if self.center:
            loss = loss + self.center * center_penalty(chosen, rejected)
        loss, metrics = score_rows(loss, len(batch))
        difference = float((chosen.data - rejected.data).mean())
        accuracy = preference_accuracy(chosen, rejected)
        return loss, {**metrics, "accuracy": accuracy, "margin": difference}

    def predict(self, model: GPT, batch: "PreferenceBatch") -> list:
        """(reward of the chosen text, of the rejected one) of each pair: list of two floats."""
        chosen, rejected = (side.numpy().tolist() for side in self.scores(model, batch))
        return list(zip(chosen, rejected))

    def measure(
        self, answers: Sequence[np.ndarray], examples: Sequence[MarkedText]
    ) -> dict[str, float]:
        """accuracy, and margin: the mean difference of the rewards of a pair."""
        chosen, rejected = np.array(answers).T
        return {
            "accuracy": preference_accuracy(chosen, rejected),
            "margin": float(np.mean(chosen - rejected)),
        }


def bench_accuracy(score: Callable, bench: dict[str, Any]) -> dict[str, float]:
    """The share of pairs that a reward puts in the right order, by subset   (book section 4.4.1.4;
    Lambert et al. 2024, RewardBench)

    score    function: list of texts (ids) -> (n,) rewards, such as RewardModel.score or
             RewardEnsemble.score
    bench    {subset: list of EncodedPair}: a kind of task, or one aspect of responses
    returns  {subset: accuracy}, of equal rewards one half, and "mean": that of the subsets, which
             weigh the same whatever their sizes
    raises   DataError for a subset without pairs, or none
    """
    if not bench or not all(bench.values()):
        raise DataError("bench_accuracy: every subset needs a pair, and there must be a subset")
    found = {}
    for name, pairs in bench.items():
        chosen = score([pair.chosen.ids for pair in pairs])
        rejected = score([pair.rejected.ids for pair in pairs])
        found[name] = preference_accuracy(chosen, rejected)
    return {**found, "mean": float(np.mean(list(found.values())))}
