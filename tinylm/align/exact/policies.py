"""Policies whose responses can all be listed: a table of logits, and any small language model.

Both give log pi(y | x) of every response y to every prompt x as one Tensor (X, K), so a loss of
theirs is exact, and so is its gradient with respect to the policy's parameters. Read next:
expectations.py.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from tinylm.align.logprobs import response_logprobs
from tinylm.autograd import Tensor, log_softmax
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.nn.module import Module

MOST = 20_000  # responses to all prompts together: a few seconds with a tiny model


class TablePolicy(Module):
    """pi(y | x) = softmax over y of a table of logits: every distribution is reached.

    logits  (X, K), X prompts and K responses: the parameter
    """

    def __init__(self, logits: ArrayLike) -> None:
        logits = np.array(logits, np.float64)
        if logits.ndim != 2:
            raise ShapeError(f"TablePolicy: logits {logits.shape}, need (X prompts, K responses)")
        self.logits = Tensor(logits, requires_grad=True)

    def logprobs(self) -> Tensor:
        """log pi(y | x), (X, K) Tensor."""
        return log_softmax(self.logits)


class StepTable(Module):
    """A language model whose next token depends on its place in the response alone.

    With two tokens, of which 0 ends a response, ListedPolicy(StepTable(logits), [[0]], n, eos=0)
    has the responses 0, 10, 110, .., of 1, 2, .., n and n tokens, and reaches every distribution
    over these n + 1.

    logits  (n, V), of the first token of a response, of the second, ..: the parameter. Tokens after
            the n-th have the logits of that one
    raises  ShapeError for logits of another shape
    """

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = Tensor(np.array(logits, np.float64), requires_grad=True)
        if self.logits.ndim != 2:
            raise ShapeError(f"StepTable: logits {self.logits.shape}, need (n places, V tokens)")
        self.vocab_size = self.logits.shape[1]

    @classmethod
    def of(cls, chance: np.ndarray) -> "StepTable":
        """The table in which the responses 0, 10, 110, .. have these probabilities, (n + 1,)."""
        chance = np.asarray(chance, np.float64)
        ends, goes_on = chance[:-1], np.cumsum(chance[::-1])[-2::-1]  # of those so long, (n,)
        return cls(np.log(np.stack([ends, goes_on], axis=1)))

    def __call__(self, ids: np.ndarray) -> Tensor:
        """Logits (B, T, V) after each of the ids (B, T): a prompt of one token, a response."""
        places = np.arange(ids.shape[1]).clip(max=len(self.logits) - 1)
        return self.logits[places] + np.zeros((len(ids), 1, 1))  # (T, V) -> (B, T, V)


class ListedPolicy(Module):
    """A language model over all responses of a length, V^n of them.

    model    what response_logprobs() reads
    prompts  list of X sequences of ids, each of at least one token and of any length
    length   n, tokens of a response
    eos      id that ends a response, or None. After it nothing but eos stands, and nothing counts:
             the model is not read there, and probabilities still sum to 1
    vocab_size  V; the model's if None

    responses  (K, n) int64;  counted (K, n) bool, False after an eos
    raises     ConfigError if there are more than MOST to list, DataError for an empty prompt
    """

    def __init__(
        self,
        model: Module,
        prompts: Sequence[Sequence[int]],
        length: int,
        eos: int | None = None,
        vocab_size: int | None = None,
    ) -> None:
        V = vocab_size or getattr(model, "vocab_size", None) or model.config.vocab_size
        if V**length * len(prompts) > MOST:
            raise ConfigError(
                f"ListedPolicy: {V}^{length} responses to {len(prompts)} prompts are more than "
                f"{MOST}: a shorter length, a smaller vocabulary or fewer prompts"
            )
        if not all(len(prompt) for prompt in prompts):
            raise DataError("ListedPolicy: an empty prompt: begin each with a start token")
        self.model = model
        self.responses = np.array(list(itertools.product(range(V), repeat=length)), np.int64)
        self.counted = np.ones(self.responses.shape, bool)
        if eos is not None:
            ended = np.cumsum(self.responses == eos, axis=1) > 0  # from the first eos on
            kept = (~ended | (self.responses == eos)).all(axis=1)
            self.responses, self.counted = self.responses[kept], self.counted[kept]
            self.counted[:, 1:] = ~ended[kept, :-1]  # the first eos is drawn, those after it not
        self.prompts = [np.asarray(prompt, np.int64) for prompt in prompts]
        rows = [self.example(x, k) for x in range(len(prompts)) for k in range(len(self.responses))]
        self._batch = InstructionTuning().make_batch(rows)  # X K rows

    def example(self, x: int, k: int) -> Encoded:
        """Prompt x and response k as an Encoded, a row of a batch."""
        prompt = self.prompts[x]
        answer = np.concatenate([np.zeros(len(prompt), bool), self.counted[k]])
        return Encoded(np.concatenate([prompt, self.responses[k]]), answer)

    def token_logprobs(self, temperature: float = 1.0) -> Tensor:
        """log pi(y_t | x, y_<t), (X, K, n) Tensor; 0 after an eos."""
        K, n = self.responses.shape
        logp, _ = response_logprobs(self.model, self._batch, temperature)  # (X K, T)
        first = np.repeat([len(prompt) - 1 for prompt in self.prompts], K)  # y_1's column, (X K,)
        columns = first[:, None] + np.arange(n)  # (X K, n)
        picked = logp[np.arange(len(first))[:, None], columns]
        return picked.reshape(len(self.prompts), K, n)

    def logprobs(self, temperature: float = 1.0) -> Tensor:
        """log pi(y | x), the sum over tokens: (X, K) Tensor."""
        return self.token_logprobs(temperature).sum(axis=-1)
