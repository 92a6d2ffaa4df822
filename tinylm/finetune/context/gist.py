"""Gist tokens: a prompt squeezed through k places   (book section 3.3.2.2; Mu et al. 2023).

k new tokens stand between the prompt and the rest, and the attention mask lets nothing after them
see the prompt:

    c c c g g z y        a row is a query, x what it sees
    x . . . . . .        Whatever the answer needs of the prompt must pass through keys and values
                         of the gist tokens. After
    x x . . . . .        training these alone are kept: k columns of cache in place of |c|.
    x x x . . . .
    x x x x . . .        Trained on answers (AnswerLikelihood), or to say what the model says that
                         sees the prompt
    x x x x x . .        (ContextDistillation), with the model or with only the k vectors.
    . . . x x x .
    . . . x x x x        Read next: soft_context.py, where the vectors belong to one context.
"""

import numpy as np

from tinylm.autograd import Tensor, no_grad
from tinylm.backend import Random, device_of
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.context.contexts import answer_logits, check_distances, layout, tokens, vectors
from tinylm.generate.protocol.language_model import ModelLM
from tinylm.nn import Module, evaluating
from tinylm.pretrain.batch import IGNORE


def gist_mask(prompt, k, total, like=None):
    """Which column sees which: causal, and columns after the gist tokens do not see the prompt.

    prompt   columns of the prompt;  k gist tokens after it;  total  T, columns in all
    like     array of the device to make it on; the CPU if None
    returns  (T, T) bool, True = visible
    raises   ShapeError if they do not fit
    """
    if min(prompt, k) < 0 or prompt + k > total:
        raise ShapeError(
            f"gist_mask: {prompt} tokens of a prompt and {k} gist tokens do not fit into {total}"
        )
    at = np.arange(total, like=like)
    past = at[None, :] <= at[:, None]
    after = at[:, None] >= prompt + k
    hidden = at[None, :] < prompt
    return past & ~(after & hidden)


class GistCompressor(Module):
    """A language model that reads a context through k gist tokens.

    model    GPT, trained along unless frozen (finetune.freezing)
    k        gist tokens, 1 or more
    seed     of their vectors: the mean of the token embeddings, plus as much noise as these vary

    A student for the tasks of context_distillation.py; short contexts are not read.
    """

    def __init__(self, model, k, seed=0):
        if k < 1:
            raise ConfigError(f"GistCompressor: {k} gist tokens, needs 1 or more")
        self.model, self.k = model, k
        table = model.tokens.weight.data
        noise = Random(seed, "gist", device=device_of(table)).normal(
            (k, table.shape[1]), table.dtype
        )
        self.gist = Tensor(
            (table.mean(axis=0) + noise * table.std()).astype(table.dtype), requires_grad=True
        )  # (k, D)

    def read(self, batch):
        """Logits of the answers of a ContextBatch, (B, n, V), in one masked pass over context,
        gist, question and answer.
        """
        B, C = batch.context.shape
        total = C + self.k + batch.inputs.shape[1] + batch.targets.shape[1] - 1
        prompt = [
            tokens(self.model, batch.context, batch.context_real),
            vectors(self.gist, B),
            tokens(self.model, batch.inputs, batch.real),
        ]
        return answer_logits(
            self.model, prompt, batch.targets, gist_mask(C, self.k, total, like=batch.inputs)
        )

    def compress(self, context, real=None):
        """Read contexts once, dropout off, and keep the gist.

        context  (B, C) integers, right-aligned;  real (B, C) bool, where there are tokens; None: everywhere
        returns  (KeyValueCache of k columns, (B,) integers: the position of what comes next)
        """
        model, C = self.model, context.shape[1]
        x, real, positions = layout(
            [tokens(model, context, real), vectors(self.gist, len(context))]
        )
        lm = ModelLM(model)
        whole = lm.new_cache(len(context), capacity=C + self.k)
        gist = lm.new_cache(len(context), capacity=self.k)
        with evaluating(model), no_grad():
            model.transform(
                model.add_positions(x, positions), positions, whole, real[:, None, None, :]
            )
        for layer, (keys, values) in enumerate(whole.arrays(C + self.k)):
            gist.update(layer, keys[:, :, C : C + self.k], values[:, :, C : C + self.k])
        return gist, positions[:, -1] + 1

    def read_compressed(self, gist, batch):
        """What read() gives, from a gist in the place of the context; dropout is off, nothing is
        recorded.

        gist     of compress(), one row for each of the batch (KeyValueCache.select repeats rows);
                 left as it was
        batch    ContextBatch, its context not looked at
        returns  (B, n, V)
        """
        cache, start = gist
        model, n = self.model, batch.targets.shape[1]
        said = np.where(batch.targets == IGNORE, 0, batch.targets)[:, :-1]
        x, real, positions = layout([tokens(model, batch.inputs, batch.real), tokens(model, said)])
        seen = np.concatenate([np.ones_like(real, shape=(len(real), self.k)), real], axis=1)
        if model.position_bias is not None:
            raise ConfigError(
                "a kept gist needs positions that tokens have by themselves (learned, rope): this model's "
                f"{model.config.positions!r} counts the columns that were dropped"
            )
        check_distances(model, seen)
        positions = positions + start[:, None]
        with evaluating(model), no_grad():
            h = model.transform(
                model.add_positions(x, positions), positions, cache, seen[:, None, None, :]
            )
            cache.crop(self.k)
            return model.logits(h[:, h.shape[1] - n :])
