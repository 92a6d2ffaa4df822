"""Gist tokens: a prompt compressed into the keys and values of k tokens   (book section 3.3.2.2; Mu
et al. 2023).

k new tokens stand between the prompt and the rest, and the attention mask hides the prompt from all
tokens behind them:

         c c c g g z y        a row is a query, x marks the keys that it sees
    c    x . . . . . .
    c    x x . . . . .
    c    x x x . . . .
    g    x x x x . . .
    g    x x x x x . .
    z    . . . x x x .
    y    . . . x x x x

All that the answer needs of the prompt must pass through the gist tokens. After training only their
keys and values are kept: k columns of cache in place of |c|. Trained on answers (AnswerLikelihood)
or on the outputs of the model that sees the prompt (ContextDistillation), with the whole model or
only the k vectors. Read next: soft_context.py, where the vectors belong to one context.
"""

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.backend import Random, device_of
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.context.contexts import (
    ContextBatch,
    answer_logits,
    check_distances,
    layout,
    tokens,
    vectors,
)
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.generate.protocol.language_model import ModelLM
from tinylm.nn import Module, evaluating
from tinylm.pretrain.batch import IGNORE


def gist_mask(prompt: int, k: int, total: int, like: np.ndarray | None = None) -> np.ndarray:
    """The mask above: causal, and columns behind the gist tokens do not see the prompt.

    prompt   columns of the prompt;  k gist tokens behind it;  total  T, columns in all
    like     array on the device of the result; None: the CPU
    returns  (T, T) bool, True = visible
    raises   ShapeError if they do not fit
    """
    if min(prompt, k) < 0 or prompt + k > total:
        raise ShapeError(
            f"gist_mask: {prompt} tokens of a prompt and {k} gist tokens do not fit into {total}"
        )
    columns = np.arange(total, like=like)
    query, key = columns[:, None], columns[None, :]  # (T, 1), (1, T)
    causal = key <= query
    behind_gist, in_prompt = query >= prompt + k, key < prompt
    return causal & ~(behind_gist & in_prompt)


class GistCompressor(Module):
    """A language model that reads a context through k gist tokens.

    model    GPT, trained too unless it is frozen (finetune.freezing)
    k        gist tokens, 1 or more
    seed     of their vectors: the mean of the token embeddings, plus noise of the same standard
             deviation

    A student for the tasks of context_distillation.py; short contexts are ignored.
    """

    def __init__(self, model: Module, k: int, seed: int = 0) -> None:
        if k < 1:
            raise ConfigError(f"GistCompressor: {k} gist tokens, needs 1 or more")
        self.model, self.k = model, k
        table = model.tokens.weight.data
        shape = (k, table.shape[1])
        noise = Random(seed, "gist", device=device_of(table)).normal(shape, table.dtype)
        start = table.mean(axis=0) + noise * table.std()  # (k, D)
        self.gist = Tensor(start.astype(table.dtype), requires_grad=True)

    def read(self, batch: ContextBatch) -> Tensor:
        """Logits of the answers of a ContextBatch, (B, n, V).

        One masked pass over context, gist, question and answer.
        """
        B, C = batch.context.shape
        # The last token of an answer is only predicted, not read.
        total = C + self.k + batch.inputs.shape[1] + batch.targets.shape[1] - 1
        context = tokens(self.model, batch.context, batch.context_real)
        question = tokens(self.model, batch.inputs, batch.real)
        prompt = [context, vectors(self.gist, B), question]
        visible = gist_mask(C, self.k, total, like=batch.inputs)
        return answer_logits(self.model, prompt, batch.targets, visible)

    def compress(
        self, context: np.ndarray, real: np.ndarray | None = None
    ) -> tuple[KeyValueCache, np.ndarray]:
        """Read contexts once, dropout off, and keep the gist.

        context  (B, C) integers, right-aligned
        real     (B, C) bool, False for padding; None: all are tokens
        returns  (KeyValueCache of k columns, (B,) integers: the next position)
        """
        model, (B, C) = self.model, context.shape
        parts = [tokens(model, context, real), vectors(self.gist, B)]
        x, real, positions = layout(parts)  # (B, C + k, D), (B, C + k) twice
        lm = ModelLM(model)
        whole = lm.new_cache(B, capacity=C + self.k)
        gist = lm.new_cache(B, capacity=self.k)
        mask = real[:, None, None, :]
        with evaluating(model), no_grad():
            model.transform(model.add_positions(x, positions), positions, whole, mask)
        # the last k columns of every layer, (B, G, k, K)
        columns = slice(C, C + self.k)
        for layer, (keys, values) in enumerate(whole.arrays(C + self.k)):
            gist.update(layer, keys[:, :, columns], values[:, :, columns])
        return gist, positions[:, -1] + 1

    def read_compressed(
        self, gist: tuple[KeyValueCache, np.ndarray], batch: ContextBatch
    ) -> Tensor:
        """The result of read() from a gist in place of the context, without graph and dropout.

        gist     of compress(), a row for each of the batch (KeyValueCache.select repeats rows); not
                 changed
        batch    ContextBatch; its context is ignored
        returns  (B, n, V)
        """
        cache, start = gist
        model, n = self.model, batch.targets.shape[1]
        answer = np.where(batch.targets == IGNORE, 0, batch.targets)[:, :-1]  # y_0 .. y_{n-2}
        parts = [tokens(model, batch.inputs, batch.real), tokens(model, answer)]
        x, real, positions = layout(parts)
        columns_of_gist = np.ones_like(real, shape=(len(real), self.k))
        held = np.concatenate([columns_of_gist, real], axis=1)  # (B, k + T)
        if model.position_bias is not None:
            raise ConfigError(
                "a kept gist needs positions that tokens have by themselves (learned, rope): this "
                f"model's {model.config.positions!r} counts the columns that were dropped"
            )
        check_distances(model, held)
        positions = positions + start[:, None]  # continued from context and gist
        mask = held[:, None, None, :]
        with evaluating(model), no_grad():
            h = model.transform(model.add_positions(x, positions), positions, cache, mask)
            cache.crop(self.k)  # forget question and answer again
            return model.logits(h[:, h.shape[1] - n :])
