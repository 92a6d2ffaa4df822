"""Soft prompts: learnt vectors in place of the embeddings of a prompt's words   (book section
3.3.2.2)

    [ p_0 .. p_{n-1} ; e_0 .. e_m ]                  prompt tuning: n D numbers (Lester et al. 2021;
                                                     Fig. 3.6)
    [ p_0 .. p_{n-1} ; q_0 .. q_m' ; e_0 .. e_m ]    hybrid, with words q of a hard prompt (Liu et
                                                     al. 2023)

The vectors get ids of their own, V and up: `SoftTokens` replaces the embedding table. It looks up
ids below V in the table and others among the vectors. So a soft prompt is a sequence of ids like
any other, may stand anywhere, in encoders as in decoders, and two rows of a batch may carry the
prompts of two tasks. Nothing else in the model changes. Read next: prompt_encoder.py (P-tuning);
prefix.py, which reaches every layer; prompt_cache.py, to generate after one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import Tensor, concatenate, embedding, where
from tinylm.backend import Random, to_cpu, to_device
from tinylm.errors import ConfigError, ShapeError
from tinylm.finetune.freezing import freeze
from tinylm.models.decoder.gpt import GPT
from tinylm.nn import Module
from tinylm.nn.experts import has_experts
from tinylm.nn.linear import Embedding

if TYPE_CHECKING:
    from tinylm.finetune.peft.prompt_encoder import PromptEncoder
    from tinylm.tokenizers.base import Tokenizer


INPUT = "<input>"  # in a pattern: where the text goes


@dataclass(frozen=True)
class Soft:
    """In a pattern: n learnt vectors that start as embeddings of tokens drawn at random."""

    n: int


class SoftPrompt(Module):
    """n learnt vectors; called, returns them, (n, D).

    start  (n, D) array, copied: from random_start(), vocabulary_start() or text_start()
    """

    def __init__(self, start: np.ndarray) -> None:
        self.vectors = Tensor(np.array(start), requires_grad=True)

    def __call__(self) -> Tensor:
        return self.vectors


def random_start(table: Tensor, n: int, seed: int = 0) -> np.ndarray:
    """Vectors from a normal distribution with the table's standard deviation: (n, D)."""
    std = float(np.std(to_cpu(table.data)))
    drawn = Random(seed, "soft prompt").normal((n, table.shape[1]), np.float64)
    return (drawn * std).astype(table.dtype)


def vocabulary_start(table: Tensor, n: int, seed: int = 0) -> np.ndarray:
    """The embeddings of n tokens drawn at random: (n, D).

    Lester et al. 2021 draw among the 5,000 most frequent tokens, here among all.
    """
    ids = Random(seed, "soft prompt").integers(0, table.shape[0], (n,))
    return to_cpu(table.data)[ids]


def text_start(table: Tensor, ids: Sequence[int]) -> np.ndarray:
    """The embeddings of a hard prompt, (n, D): the soft prompt starts as exactly that prompt."""
    return to_cpu(table.data)[np.asarray(ids)]


class SoftTokens(Module):
    """An embedding table with learnt vectors behind its last row, of ids V, V + 1, ...

    base     the Embedding (V, D) that is replaced; `weight` is its table, so a tied output layer
             does not change
    sources  modules that return vectors (n, D): SoftPrompt, or a PromptEncoder
    """

    def __init__(self, base: Embedding) -> None:
        self.base, self.sources = base, []

    @property
    def weight(self) -> Tensor:
        """The table of words, (V, D)."""
        return self.base.weight

    def add(self, source: Module) -> np.ndarray:
        """Assign ids to the vectors of a source; returns them, (n,) integers."""
        V, D = self.base.weight.shape
        first = V + sum(s().shape[0] for s in self.sources)
        n, width = source().shape
        if width != D:
            raise ShapeError(
                f"SoftTokens: vectors are {width} wide, the embeddings of this model {D}"
            )
        self.sources.append(source.to(self.base.weight.device))
        return np.arange(first, first + n)

    def __call__(self, ids: np.ndarray) -> Tensor:
        V = self.base.weight.shape[0]
        soft = ids >= V
        if not self.sources or not np.any(soft):
            return self.base(ids)
        table = concatenate([source() for source in self.sources], axis=0)  # (n, D)
        # Two look-ups, each with id 0 where the other's result is taken: (B, T) -> (B, T, D)
        learnt = embedding(np.where(soft, ids - V, 0), table)
        words = self.base(np.where(soft, 0, ids))
        return where(soft[..., None], learnt, words)


def soft_tokens(model: Module) -> SoftTokens:
    """The SoftTokens of a model; put in place of its embeddings if it has none yet."""
    if not isinstance(model.tokens, SoftTokens):
        model.tokens = SoftTokens(model.tokens)
    return model.tokens


class Prompted(Module):
    """A GPT or Encoder that reads every input inside a prompt; its outputs are those of the input.

    before  (n,) ids in front of the input, V and up for learnt ones: see hybrid()
    after   (m,) ids behind it
    """

    def __init__(self, model: Module, before: Sequence | np.ndarray, after: Sequence = ()) -> None:
        self.model, self.training = model, model.training
        self.before = np.asarray(before, np.int64)
        self.after = np.asarray(after, np.int64)

    @property
    def config(self) -> Any:
        """The configuration of the model."""
        return self.model.config

    def wrap(self, ids: np.ndarray) -> np.ndarray:
        """Prompt and input: (B, T) -> (B, n + T + m). With m > 0, rows must not be padded."""
        before, after = self._repeated(self.before, ids), self._repeated(self.after, ids)
        return np.concatenate([before, ids, after], axis=1)

    def _repeated(self, side, ids):
        """The same ids for every row of `ids`: (n,) -> (B, n)."""
        side = to_device(side, self.model.tokens.weight.device)
        return np.broadcast_to(side, (len(ids), len(side)))

    def settings(self) -> dict[str, np.ndarray]:
        """The ids of the prompt, learnt and hard ones."""
        return {"before": self.before, "after": self.after}

    def hidden(
        self, ids: np.ndarray, segments: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> Tensor:
        """Last hidden states of the input, (B, T) -> (B, T, D).

        segments, mask  (B, T), of an Encoder; the prompt is visible and in segment 0. Rows of a GPT
                        are padded at their ends, where causality hides the padding: only its
                        experts need the mask
        """
        n = len(self.before)
        # positions of the prompt are cut off at both ends
        return self._all(ids, segments, mask)[:, n : n + ids.shape[1]]

    def __call__(
        self, ids: np.ndarray, segments: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> Tensor:
        """Logits of the input's positions, (B, T) -> (B, T, V)."""
        return self.logits(self.hidden(ids, segments, mask))

    def last(self, ids: np.ndarray) -> Tensor:
        """Logits of the token behind prompt and input, (B, T) -> (B, V): an answer."""
        h = self._all(ids)[:, -1:]  # (B, n + T + m, D) -> (B, 1, D)
        return self.logits(h)[:, 0]

    def logits(self, h: Tensor) -> Tensor:
        """Logits of hidden states, by the output layer of the model."""
        return self.model.logits(h)

    def _all(self, ids, segments=None, mask=None):
        """Hidden states of prompt and input: (B, n + T + m, D)."""
        if isinstance(self.model, GPT):
            return self.model.hidden(self.wrap(ids), **self._padding(ids, mask))
        options = {}
        if segments is not None:
            options["segments"] = self._widened(segments, 0)
        if mask is not None:
            options["mask"] = self._widened(mask, True)
        return self.model.hidden(self.wrap(ids), **options)

    def _widened(self, rows, fill):
        """(B, T) -> (B, n + T + m), `fill` in the columns of the prompt."""
        sides = (0, 0), (len(self.before), len(self.after))
        return np.pad(rows, sides, constant_values=fill)

    def _padding(self, ids, mask):
        """The mask option of a GPT: none, except for experts, which must not count padding."""
        if mask is None or not has_experts(self.model):
            return {}
        held = self._widened(mask.reshape(ids.shape), True)
        return {"mask": held[:, None, None, :]}  # (B, 1, 1, n + T + m)


def prompt_tuning(model: Module, start: "np.ndarray | PromptEncoder") -> Prompted:
    """Freeze a model and put learnt vectors in front of every input   (Lester et al. 2021)

    start    array (n, D) that they start from, or a module that returns them (PromptEncoder)
    returns  Prompted
    """
    if not isinstance(start, Module):
        start = SoftPrompt(start)
    return hybrid(model, [start, INPUT])


def hybrid(
    model: Module, pattern: Sequence, tokenizer: "Tokenizer | None" = None, seed: int = 0
) -> Prompted:
    """Freeze a model and put its input into a pattern of learnt vectors and words.

    pattern    list of Soft(n), SoftPrompt or PromptEncoder (learnt), texts or lists of ids (words),
               and INPUT, once: [Soft(4), "Translate:", Soft(2), INPUT]
    tokenizer  has encode(text); needed only if there are texts
    returns    Prompted
    """
    inputs = pattern.count(INPUT)
    if inputs != 1:
        raise ConfigError(
            f"hybrid: the pattern has {inputs} places for the input; it needs exactly one INPUT"
        )
    if tokenizer is None and any(isinstance(part, str) and part != INPUT for part in pattern):
        raise ConfigError(
            "hybrid: the pattern has texts: give the tokenizer, or ids in place of texts"
        )
    freeze(model)
    table = soft_tokens(model)  # from here on ids from V up are looked up among learnt vectors
    before, after = [], []
    ids = before  # the side that is being filled
    for i, part in enumerate(pattern):
        if isinstance(part, str) and part == INPUT:
            ids = after
        elif isinstance(part, Soft):
            source = SoftPrompt(vocabulary_start(table.weight, part.n, seed + i))
            ids.extend(table.add(source).tolist())
        elif isinstance(part, Module):
            ids.extend(table.add(part).tolist())
        elif isinstance(part, str):
            ids.extend(tokenizer.encode(part))
        else:
            ids.extend(part)
    return Prompted(model, before, after)


class PromptedSeq2Seq(Module):
    """An encoder-decoder that reads every source behind a prompt, as T5 was prompt-tuned.

    before  (n,) ids in front of the source, as in Prompted
    """

    def __init__(self, model: Module, before: Sequence | np.ndarray) -> None:
        self.model, self.training = model, model.training
        self.before = np.asarray(before, np.int64)

    def settings(self) -> dict[str, np.ndarray]:
        """The ids of the prompt."""
        return {"before": self.before}

    def __call__(
        self,
        source: np.ndarray,
        target: np.ndarray,
        source_mask: np.ndarray | None = None,
        target_mask: np.ndarray | None = None,
    ) -> Tensor:
        """Logits of the target, as models.Seq2Seq."""
        B, n = len(source), len(self.before)
        before = to_device(self.before, self.model.tokens.weight.device)
        source = np.concatenate([np.broadcast_to(before, (B, n)), source], axis=1)  # (B, n + S)
        if source_mask is not None:
            source_mask = np.pad(source_mask, ((0, 0), (n, 0)), constant_values=True)
        return self.model(source, target, source_mask, target_mask)


def nearest_words(vectors: np.ndarray, table: Tensor, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """The words whose embeddings have the largest cosine with each learnt vector.

    vectors  (n, D) array or Tensor;  table (V, D) of embeddings
    returns  ids (n, k), nearest first, and their cosines (n, k)
    """
    cosines = _unit(vectors) @ _unit(table).T  # (n, D) @ (D, V) -> (n, V)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(cosines, order, axis=1)


def _unit(rows):
    """Rows of a matrix, divided by their lengths, as float64 on the CPU."""
    if isinstance(rows, Tensor):
        rows = rows.data
    rows = to_cpu(rows).astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(length, 1e-12)  # a row of zeros stays one
