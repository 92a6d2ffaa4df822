"""Soft prompts: vectors that are learnt, where a prompt has the embeddings of words   (book section
3.3.2.2)

    [ p_0 .. p_n ; e_0 .. e_m ]                     prompt tuning (Lester et al. 2021; Fig. 3.6): n D numbers
    [ p_0 .. p_n ; q_0 .. q_m' ; e_0 .. e_m ]       hybrid: words of a hard prompt q among them (Liu et al. 2023)

The vectors are made ids of their own, V and up: `SoftTokens` stands where the embedding table stood
and looks ids below V up in the table, others among the vectors. So a soft prompt is a sequence of
ids like any other, may stand anywhere, in encoders as in decoders, and two rows of a batch may
carry two tasks' prompts. Nothing else of the model is touched. Read next: prompt_encoder.py
(P-tuning); prefix.py, which reaches every layer; prompt_cache.py, to generate after one.
"""

from dataclasses import dataclass

import numpy as np

from tinylm.autograd import Tensor, concatenate, embedding, where
from tinylm.backend import Random, to_cpu, to_device
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.freezing import freeze
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import Module
from tinylm.nn.experts import has_experts

INPUT = "<input>"  # in a pattern: where the text goes


@dataclass(frozen=True)
class Soft:
    """In a pattern: n vectors to learn, which start as rows of the vocabulary drawn at random."""

    n: int


class SoftPrompt(Module):
    """n vectors of their own. `start` is an array (n, D), copied: from random_start,
    vocabulary_start or text_start.
    """

    def __init__(self, start):
        self.vectors = Tensor(np.array(start), requires_grad=True)

    def __call__(self):
        return self.vectors


def random_start(table, n, seed=0):
    """Vectors drawn as large as the vocabulary's: normal, of the table's standard deviation.
    Returns (n, D).
    """
    std = float(np.std(to_cpu(table.data)))
    return (Random(seed, "soft prompt").normal((n, table.shape[1]), np.float64) * std).astype(
        table.dtype
    )


def vocabulary_start(table, n, seed=0):
    """The embeddings of n tokens drawn at random (Lester et al. 2021 draw among the 5,000 most
    frequent). Returns (n, D).
    """
    return to_cpu(table.data)[Random(seed, "soft prompt").integers(0, table.shape[0], (n,))]


def text_start(table, ids):
    """The embeddings of a hard prompt: before training, the soft prompt is that prompt, exactly.
    Returns (n, D).
    """
    return to_cpu(table.data)[np.asarray(ids)]


class SoftTokens(Module):
    """An embedding table with learnt vectors behind its last row: ids V, V + 1, ... mean those.

    base     the Embedding (V, D) that stood here;  `weight` is its table, so a tied output layer does not change
    sources  modules that return vectors (n, D): SoftPrompt, or a PromptEncoder
    """

    def __init__(self, base):
        self.base, self.sources = base, []

    @property
    def weight(self):
        """The table of words, (V, D)."""
        return self.base.weight

    def add(self, source):
        """Give the vectors of a source ids of their own; returns them, (n,) integers."""
        first = self.base.weight.shape[0] + sum(s().shape[0] for s in self.sources)
        n, width = source().shape
        if width != self.base.weight.shape[1]:
            raise ShapeError(
                f"SoftTokens: vectors are {width} wide, the embeddings of this model {self.base.weight.shape[1]}"
            )
        self.sources.append(source.to(self.base.weight.device))
        return np.arange(first, first + n)

    def __call__(self, ids):
        V = self.base.weight.shape[0]
        soft = ids >= V
        if not self.sources or not np.any(soft):
            return self.base(ids)
        table = concatenate([source() for source in self.sources], axis=0)  # (n, D)
        learnt = embedding(np.where(soft, ids - V, 0), table)
        return where(
            soft[..., None], learnt, self.base(np.where(soft, 0, ids))
        )  # (B, T) -> (B, T, D)


def soft_tokens(model):
    """The SoftTokens of a model, put in the place of its embeddings if there are none yet."""
    if not isinstance(model.tokens, SoftTokens):
        model.tokens = SoftTokens(model.tokens)
    return model.tokens


class Prompted(Module):
    """A GPT or Encoder that reads every input inside a prompt, and answers for the input alone.

    before, after  ids in front of the input and behind it, V and up for learnt ones: see hybrid()
    """

    def __init__(self, model, before, after=()):
        self.model, self.training = model, model.training
        self.before, self.after = np.asarray(before, np.int64), np.asarray(after, np.int64)

    @property
    def config(self):
        """The model's."""
        return self.model.config

    def wrap(self, ids):
        """The whole of what the model reads: (B, T) -> (B, n + T + m). Rows with anything behind
        must be of one length.
        """
        sides = [
            np.broadcast_to(to_device(side, self.model.tokens.weight.device), (len(ids), len(side)))
            for side in (self.before, self.after)
        ]
        return np.concatenate([sides[0], ids, sides[1]], axis=1)

    def settings(self):
        """The ids of the prompt, hard tokens among them."""
        return {"before": self.before, "after": self.after}

    def hidden(self, ids, segments=None, mask=None):
        """Last hidden states of the input, (B, T) -> (B, T, D).

        segments, mask  (B, T), of an Encoder; the prompt is visible and of segment 0. Rows of a GPT
                        are padded at their ends, where causality hides the padding: only its
                        experts are told the mask
        """
        n = len(self.before)
        return self._all(ids, segments, mask)[:, n : n + ids.shape[1]]

    def __call__(self, ids, segments=None, mask=None):
        """Logits of the input's positions, (B, T) -> (B, T, V)."""
        return self.logits(self.hidden(ids, segments, mask))

    def last(self, ids):
        """Scores of what comes after all of it, (B, T) -> (B, V): what a prompt that ends in a
        question asks.
        """
        return self.logits(self._all(ids)[:, -1:])[:, 0]

    def logits(self, h):
        """The model's output layer."""
        return self.model.logits(h)

    def _all(self, ids, segments=None, mask=None):
        if isinstance(self.model, GPT):
            return self.model.hidden(self.wrap(ids), **self._padding(ids, mask))
        sides = (0, 0), (len(self.before), len(self.after))
        more = {
            name: np.pad(value, sides, constant_values=fill)
            for name, value, fill in (("segments", segments, 0), ("mask", mask, True))
            if value is not None
        }
        return self.model.hidden(self.wrap(ids), **more)

    def _padding(self, ids, mask):
        """What a GPT is told of padding: nothing, but of layers of experts."""
        if mask is None or not has_experts(self.model):
            return {}
        sides = (0, 0), (len(self.before), len(self.after))
        held = np.pad(mask.reshape(ids.shape), sides, constant_values=True)
        return {"mask": held[:, None, None, :]}


def prompt_tuning(model, start):
    """Freeze a model and put learnt vectors in front of every input   (Lester et al. 2021)

    start    array (n, D) that they start from, or a module that makes them (PromptEncoder)
    returns  Prompted
    """
    return hybrid(model, [start if isinstance(start, Module) else SoftPrompt(start), INPUT])


def hybrid(model, pattern, tokenizer=None, seed=0):
    """Freeze a model and put its input into a pattern of learnt vectors and words.

    pattern    list of Soft(n), SoftPrompt or PromptEncoder (learnt), texts or lists of ids (words),
               and INPUT, once: [Soft(4), "Translate:", Soft(2), INPUT]
    tokenizer  has encode(text); needed for texts alone
    returns    Prompted
    """
    if pattern.count(INPUT) != 1:
        raise ConfigError(
            f"hybrid: the pattern has {pattern.count(INPUT)} places for the input; it needs exactly one INPUT"
        )
    if tokenizer is None and any(isinstance(part, str) and part != INPUT for part in pattern):
        raise ConfigError(
            "hybrid: the pattern has texts: give the tokenizer, or ids in place of texts"
        )
    freeze(model)
    table, sides = soft_tokens(model), [[]]
    for i, part in enumerate(pattern):
        if isinstance(part, str) and part == INPUT:
            sides.append([])
        elif isinstance(part, (Soft, Module)):
            if isinstance(part, Soft):
                source = SoftPrompt(vocabulary_start(table.weight, part.n, seed + i))
            else:
                source = part
            sides[-1].extend(table.add(source).tolist())
        else:
            sides[-1].extend(tokenizer.encode(part) if isinstance(part, str) else part)
    return Prompted(model, *sides)


class PromptedSeq2Seq(Module):
    """An encoder-decoder that reads every source behind a prompt, as T5 was prompt-tuned; arguments
    as in Prompted.
    """

    def __init__(self, model, before):
        self.model, self.training, self.before = model, model.training, np.asarray(before, np.int64)

    def settings(self):
        """The ids of the prompt."""
        return {"before": self.before}

    def __call__(self, source, target, source_mask=None, target_mask=None):
        """Logits of the target, as models.Seq2Seq."""
        before = np.broadcast_to(
            to_device(self.before, self.model.tokens.weight.device), (len(source), len(self.before))
        )
        if source_mask is None:
            seen = None
        else:
            seen = np.pad(source_mask, ((0, 0), (len(self.before), 0)), constant_values=True)
        return self.model(np.concatenate([before, source], axis=1), target, seen, target_mask)


def nearest_words(vectors, table, k=5):
    """The words whose embeddings point most nearly where learnt vectors do: what, if anything, the
    prompt says.

    vectors  (n, D) array or Tensor;  table (V, D) of embeddings
    returns  ids (n, k), nearest first, and their cosines (n, k)
    """
    x, y = (
        to_cpu(a.data if isinstance(a, Tensor) else a).astype(np.float64) for a in (vectors, table)
    )
    x, y = (a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-12) for a in (x, y))
    cosines = x @ y.T  # (n, V)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(cosines, order, axis=1)
