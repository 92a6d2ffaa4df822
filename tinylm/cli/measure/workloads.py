"""The works that `tinylm bench` measures: sizes, batches and initial weights, the same for every
contestant.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.backend import Random
from tinylm.models import GPT, GPTConfig
from tinylm.models.encoder import Encoder, EncoderConfig
from tinylm.pretrain import CausalLM, MaskedLM
from tinylm.pretrain.batch import Batch, TokenBatch
from tinylm.pretrain.special import Special


@dataclass(frozen=True)
class Work:
    """A GPT of GPT-2's architecture with tied head, no dropout, and how it is trained and decoded."""

    n_layer: int
    n_head: int
    d_model: int
    context: int  # T
    batch: int  # B
    vocab_size: int = 65
    decode_tokens: int = 200

    def config(self, decoding: bool = False) -> GPTConfig:
        """The GPTConfig; decoding needs a context for all its tokens."""
        context = self.context
        if decoding:
            context = self.decode_tokens + 8
        return GPTConfig(self.vocab_size, context, self.n_layer, self.n_head, self.d_model)

    decodes = True
    objective = CausalLM()

    def model(self, decoding: bool = False, seed: int = 1) -> GPT:
        """The model with its initial weights."""
        return GPT(self.config(decoding), seed)

    def draw(self, ids: np.ndarray, rng: Random) -> np.ndarray:
        """What the contestants share of drawn ids (count, B, T+1): the ids themselves."""
        return ids

    def examples(self, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets (B, T) out of one of what draw() returns."""
        return drawn[:, :-1], drawn[:, 1:]

    def batch_of(self, inputs: np.ndarray, targets: np.ndarray) -> Batch:
        """The Batch of the objective."""
        return Batch(inputs, targets)

    def describe(self) -> str:
        """One line of sizes."""
        return (
            f"{self.n_layer} layers, {self.n_head} heads, width {self.d_model}, "
            f"T {self.context}, batch {self.batch}, vocabulary {self.vocab_size}"
        )


@dataclass(frozen=True)
class MaskedWork(Work):
    """An encoder of BERT's architecture and head without segments and pooler, no dropout, trained
    to predict masked tokens; the last id is [MASK].
    """

    decodes = False

    def config(self, decoding: bool = False) -> EncoderConfig:
        """The EncoderConfig."""
        return EncoderConfig(
            self.vocab_size,
            self.context,
            self.n_layer,
            self.n_head,
            self.d_model,
            segments=0,
            pooler=False,
            dropout=0.0,
        )

    @property
    def objective(self) -> MaskedLM:
        return MaskedLM(Special(self.vocab_size, mask=self.vocab_size - 1))

    def model(self, decoding: bool = False, seed: int = 1) -> Encoder:
        """The model with its initial weights."""
        return Encoder(self.config(), seed)

    def draw(self, ids: np.ndarray, rng: Random) -> np.ndarray:
        """Inputs and targets: (count, 2, B, T)."""
        found = []
        for sequences in np.minimum(ids[..., :-1], self.vocab_size - 2):
            batch = self.objective.make_batch(sequences, rng)
            found.append(np.stack([batch.inputs, batch.targets]))
        return np.stack(found)

    def examples(self, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets (B, T) out of one of what draw() returns."""
        return drawn[0], drawn[1]

    def batch_of(self, inputs: np.ndarray, targets: np.ndarray) -> TokenBatch:
        """The TokenBatch of the objective."""
        return TokenBatch(inputs, targets)

    def describe(self) -> str:
        """One line of sizes."""
        return f"masked LM, {super().describe()}"


WORKS = {
    "W1": Work(4, 4, 128, 64, 12),  # nanoGPT's configuration for a CPU
    "W2": Work(6, 6, 384, 256, 8),  # nanoGPT's for a GPU, with a smaller batch
    "W3": Work(2, 4, 64, 32, 8),
    # The size at which several small libraries publish figures.
    "W4": Work(4, 4, 128, 128, 8, vocab_size=512),
    "M1": MaskedWork(4, 4, 128, 64, 12, vocab_size=66),  # W1's sizes, and [MASK]
}
USUAL = ("W1", "W2", "W3", "M1")  # measured where none is named
ADAMW = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
CLIP = 1.0


def batches(work: Work, count: int = 16) -> np.ndarray:
    """`count` batches as Work.draw() has them, of token ids drawn uniformly, (count, B, T+1): the
    work does not depend on their values.
    """
    rng = Random(0, "bench")
    ids = rng.integers(0, work.vocab_size, (count, work.batch, work.context + 1))
    return work.draw(ids, rng)


def initial_weights(work: MaskedWork, decoding: bool = False) -> dict[str, np.ndarray]:
    """Name -> array: the weights every contestant starts from."""
    return {name: np.array(p) for name, p in work.model(decoding).state_dict().items()}
