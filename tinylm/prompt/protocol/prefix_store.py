"""A prompt is read once: the keys and values of its tokens are kept for the next prompt that begins
with them.

Few-shot prompts of one task share their instruction and demonstrations, the candidates of one
question share all of the prompt, and each turn of a conversation begins with the turns before. The
keys and values of the common tokens are the same in all of them (finetune/peft/prompt_cache.py), so
only the rest is read: in a prompt of n tokens that ends in m new ones, m of n. Read next:
reader.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.errors import ConfigError
from tinylm.finetune.peft.prompt_cache import PrefixedCache, prompt_keys_values
from tinylm.generate.protocol.language_model import LanguageModel
from tinylm.models.decoder.gpt import GPT

LEAST = 8  # tokens in common from which a stored prefix is used: below, copying costs as much


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """The number of tokens with which both sequences begin."""
    n = min(len(a), len(b))
    different = np.flatnonzero(np.asarray(a[:n]) != np.asarray(b[:n]))
    if len(different):
        return int(different[0])
    return n


def shared_length(rows: Sequence[list[int]]) -> int:
    """The number of tokens with which all rows begin, without the last token of the shortest: one
    at least is left to read in each.
    """
    same = min(common_length(rows[0], ids) for ids in rows)
    return min(same, min(map(len, rows)) - 1)


class PrefixStore:
    """Keys and values of the last few texts that a GPT has read.

    model   GPT
    texts   how many are kept; the one used longest ago leaves first
    """

    def __init__(self, model: GPT, texts: int = 4) -> None:
        if texts < 1:
            raise ConfigError(f"PrefixStore: it must keep at least 1 text, not {texts}")
        self.model, self.texts = model, texts
        self._kept = []  # (ids, keys and values), the last used at the end

    def read(self, ids: Sequence[int]) -> tuple[np.ndarray, int]:
        """The keys and values of a text, of which only what is new is read.

        ids      list of int, at least one
        returns  ((L, 2, G, n, K) array, the number of tokens that were read now)
        """
        lengths = [common_length(ids, kept) for kept, _ in self._kept]
        best, before = 0, None
        if lengths and max(lengths) >= LEAST:
            best = max(lengths)
            kept, found = self._kept.pop(lengths.index(best))
            before = found[:, :, :, :best]
            # A text that continues the kept one takes its place; otherwise the kept one stays, and
            # is now the last used.
            if best == len(ids) or best < len(kept):
                self._kept.append((kept, found))
            if best == len(ids):
                return before, 0
        found = prompt_keys_values(self.model, ids[best:], before)
        self._kept.append((list(ids), found))
        del self._kept[: -self.texts]
        return found, len(ids) - best

    def clear(self) -> None:
        """Forget all texts: after the model's weights have changed."""
        self._kept.clear()


class ContinuedLM:
    """A language model for one sequence at a time, after tokens that have been read.

    lm           language model whose cache is a KeyValueCache: ModelLM, or a fast decoder
    keys_values  (L, 2, G, n, K) of the n tokens

    Follows generate/protocol/language_model.py; PrefixedLM does the same for batches.
    """

    def __init__(self, lm: LanguageModel, keys_values: np.ndarray) -> None:
        self.lm, self.keys_values = lm, keys_values
        self.n = keys_values.shape[3]
        self.vocab_size, self.context = lm.vocab_size, lm.context
        if self.context is not None:
            self.context -= self.n

    def new_cache(self, batch: int = 1, padding: np.ndarray | None = None) -> PrefixedCache:
        """A cache for one row that holds the tokens."""
        cache = self.lm.new_cache(batch, padding)
        n = self.n
        cache.arrays(n)[:, :, 0, :, :n] = self.keys_values
        cache.length = n
        return PrefixedCache(cache, n)

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the next token after each of `tokens`: (1, T) -> (1, T, V)."""
        if cache is None:
            cache = self.new_cache()
        return self.lm.logits(tokens, cache.inner)

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the token after the last of `tokens`: (1, T) -> (1, V)."""
        if cache is None:
            cache = self.new_cache()
        return self.lm.next_logits(tokens, cache.inner)
