"""What a model returns for a prompt: a text, or the probabilities of given texts.

The sum of a continuation's log-probabilities favors short ones, so evaluations divide it: by
tokens, by characters (`acc_norm` of the usual harnesses) or by bytes; or they compare it with the
probability of the same continuation after a prompt without the question (Holtzman et al. 2021).
Which one ranks best depends on the task, so every way is here and none is hidden. Read next:
text_lm.py.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError
from tinylm.generate.protocol.score import log_probabilities

NORMALIZATIONS = "sum", "token", "character", "byte", "unconditional"


@dataclass(frozen=True)
class Completion:
    """A reply.

    text        str, without the stop string
    tokens      list of int; an end token included
    logprobs    (n,) float64: log Pr of each token under the model itself, whatever the sampling;
                empty for a ScriptedLM
    finish      "end" (the model ended its text), "stop" (a stop string), "length" (max_tokens)
    stopped_by  the stop string that ended it, else ""
    cut         how many more tokens the model wrote, which the stop string cut off
    """

    text: str
    tokens: list
    logprobs: np.ndarray
    finish: str
    stopped_by: str = ""
    cut: int = 0

    @property
    def logprob(self) -> float:
        """log Pr of the whole reply, in nats."""
        return float(self.logprobs.sum())


@dataclass(frozen=True)
class Scores:
    """log Pr(continuation | prompt) of several continuations of one prompt.

    continuations  tuple of K str
    terms          tuple of K float64 arrays: log Pr of each token of a continuation
    prior          (K,) float64: log Pr of each after the unconditional prompt; None without one
    apart          tuple of K bool: prompt and continuation were encoded apart (seam.py)
    """

    continuations: tuple
    terms: tuple
    prior: np.ndarray | None = None
    apart: tuple = ()

    @property
    def sums(self) -> np.ndarray:
        """log Pr of each continuation, in nats: (K,)."""
        return np.array([terms.sum() for terms in self.terms])

    def by(self, normalization: str = "sum") -> np.ndarray:
        """The scores that are compared: (K,) float64.

        normalization  "sum": log Pr(y | x);  "token", "character", "byte": that, divided by the
                       number of tokens of y, of its characters or its UTF-8 bytes (without the
                       space that it begins with);  "unconditional": log Pr(y | x) - log Pr(y | x0)
        raises         ConfigError for another, or "unconditional" without an unconditional prompt
        """
        if normalization == "sum":
            return self.sums
        if normalization == "token":
            return self.sums / [len(terms) for terms in self.terms]
        if normalization in ("character", "byte"):
            texts = [text.removeprefix(" ") or text for text in self.continuations]
            if normalization == "byte":
                texts = [text.encode("utf-8") for text in texts]
            return self.sums / [len(text) for text in texts]
        if normalization != "unconditional":
            raise ConfigError(
                f"Scores: no normalization {normalization!r}; there are {', '.join(NORMALIZATIONS)}"
            )
        if self.prior is None:
            raise ConfigError(
                "Scores: without an unconditional prompt there is no prior to compare with: "
                "pass unconditional= to score()"
            )
        return self.sums - self.prior

    def best(self, normalization: str = "sum") -> int:
        """The number of the continuation with the highest score; of equal ones the first."""
        return int(self.by(normalization).argmax())

    def probabilities(self, normalization: str = "sum") -> np.ndarray:
        """The scores as a distribution over the K continuations alone: softmax, (K,) float64."""
        return np.exp(log_probabilities(self.by(normalization)))
