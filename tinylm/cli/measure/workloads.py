"""The works that `tinylm bench` measures: sizes, batches and initial weights, the same for every
contestant.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.backend import Random
from tinylm.models import GPT, GPTConfig


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

    def config(self, decoding=False):
        """The GPTConfig; decoding needs a context for all its tokens."""
        context = self.context
        if decoding:
            context = self.decode_tokens + 8
        return GPTConfig(self.vocab_size, context, self.n_layer, self.n_head, self.d_model)

    def describe(self):
        """One line of sizes."""
        return (
            f"{self.n_layer} layers, {self.n_head} heads, width {self.d_model}, "
            f"T {self.context}, batch {self.batch}, vocabulary {self.vocab_size}"
        )


WORKS = {
    "W1": Work(4, 4, 128, 64, 12),  # nanoGPT's configuration for a CPU
    "W2": Work(6, 6, 384, 256, 8),  # nanoGPT's for a GPU, with a smaller batch
    "W3": Work(2, 4, 64, 32, 8),
    # The size at which several small libraries publish figures.
    "W4": Work(4, 4, 128, 128, 8, vocab_size=512),
}
ADAMW = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
CLIP = 1.0


def batches(work, count=16):
    """(count, B, T+1) token ids drawn uniformly: the work does not depend on their values."""
    return Random(0, "bench").integers(0, work.vocab_size, (count, work.batch, work.context + 1))


def initial_weights(work, decoding=False):
    """Name -> array: the weights every contestant starts from."""
    return {
        name: np.array(p) for name, p in GPT(work.config(decoding), seed=1).state_dict().items()
    }
