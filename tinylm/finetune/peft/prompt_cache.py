"""A prompt read once and kept as keys and values: what hard and soft prompts have in common   (book
section 3.3.2, Fig. 3.3)

    attention(q, [K_prompt ; K_text], [V_prompt ; V_text])    in every layer

Later tokens see nothing of a prompt but its keys and values in every layer. Those of a hard or soft
prompt are computed once and kept; from then on only attending to them costs time. A prefix
(prefix.py) learns them directly. All three generate through `PrefixedLM`. Read next:
soft_prompts.py, prefix.py; generate/protocol/language_model.py.
"""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import ArrayLike, device_of, to_cpu, to_device
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.cache.key_value import KeyValueCache, check_padding
from tinylm.generate.cache.shared_prefix import SharedPrefixCache
from tinylm.generate.fast.batched import BatchDecoder
from tinylm.generate.fast.folded import supports
from tinylm.generate.protocol.language_model import check_tokens, padded
from tinylm.models import GPT
from tinylm.nn import SelfAttention, evaluating
from tinylm.nn.module import Module

if TYPE_CHECKING:
    from tinylm.finetune.peft.soft_prompts import Prompted


def prompt_keys_values(
    model: Module, ids: ArrayLike, before: np.ndarray | None = None
) -> np.ndarray:
    """The keys and values of a prompt, all that later tokens see of it.

    model    GPT; in evaluation mode during the call
    ids      (n,) integers, also of learnt vectors (soft_prompts.SoftTokens)
    before   (L, 2, G, m, K) array: keys and values of m tokens before the prompt; None for none
    returns  (L, 2, G, m + n, K) NumPy array: keys and values of every layer, keys turned to
             positions 0 .. m + n - 1
    """
    c, weight = model.config, model.tokens.weight
    ids = np.asarray(ids)
    if ids.ndim != 1 or not len(ids):
        raise ShapeError(
            f"prompt_keys_values: the prompt has shape {ids.shape}; "
            "it is one sequence of at least one id, (n,)"
        )
    m = 0
    if before is not None:
        m = before.shape[3]
    n = m + len(ids)
    sizes = (c.cache_layers, 1, c.kv_heads, c.key_width)
    cache = KeyValueCache(*sizes, weight.dtype, weight.device, n)
    if m:
        cache.arrays(n)[:, :, 0, :, :m] = to_device(before, weight.device)
        cache.length = m
    with evaluating(model), no_grad():
        model.hidden(to_device(ids[None], weight.device), cache=cache)  # fills the cache
    return np.array(
        to_cpu(cache.arrays(n)[:, :, 0, :, :n])
    )  # (L, 2, 1, G, n, K) -> (L, 2, G, n, K)


def hidden_states_of_prompt(model: Module, ids: Sequence[int]) -> np.ndarray:
    """The input of each layer for a prompt, h^0 .. h^(L-1) of the book: (L, n, D) NumPy array.

    model    GPT without windows and score biases; in evaluation mode during the call
    ids      (n,) integers
    """
    ids, states = np.asarray(ids), []
    device = model.tokens.weight.device
    positions = to_device(np.arange(len(ids)), device)
    with evaluating(model), no_grad():
        x = model.tokens(to_device(ids[None], device))  # (1, n, D)
        x = model.add_positions(x, positions)
        rotations = model.rotations(positions, x.dtype)
        for layer, block in enumerate(model.blocks):
            states.append(x.numpy()[0])
            x = block(x, rotation=rotations[layer], layer=layer)
    return np.stack(states)


class BehindPadding(KeyValueCache):
    """A KeyValueCache that begins with a prefix, between the padding and the text of each row.

        row b:   padding[b] columns of padding | n columns of prefix | text

    keys_values  (L, 2, G, n, K) array, on the device of the cache
    padding      (B,) integers. Distances from text to prefix are those without padding; the keys
                 and values of the padding tokens in these columns are dropped
    """

    def __init__(
        self, keys_values: Any, batch: int, capacity: int = 0, padding: np.ndarray | None = None
    ) -> None:
        L, _, G, n, K = keys_values.shape
        dtype, device = keys_values.dtype, device_of(keys_values)
        # Some room for tokens: without it the first of them would have the prefix copied again.
        room = max(capacity, n // 2)
        super().__init__(L, batch, G, K, dtype, device, n + room, padding)
        self.prefix, self.length, self.furthest = keys_values, n, 0
        if self.padding is None:
            self._array[:, :, :, :, :n] = keys_values[:, :, None]  # (L, 2, 1, G, n, K)
            return
        self.furthest = int(self.padding.max())
        for row, p in enumerate(self.padding.tolist()):
            # What does not fit into n columns follows with the tokens, in update().
            self._array[:, :, row, :, p:n] = keys_values[:, :, :, : max(n - p, 0)]

    def update(self, layer: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
        """As KeyValueCache.update(), with the prefix in its columns instead of k and v."""
        n = self.prefix.shape[3]
        if self.padding is None or self.length >= n + self.furthest:  # nothing of it is left
            return super().update(layer, k, v)
        columns = np.arange(self.length, self.length + k.shape[2], like=k)  # (T,)
        # column c of row b is number c - padding[b] of the prefix, if that is from 0 to n - 1
        number = columns - to_device(self.padding, self.device)[:, None]  # (B, T)
        within = ((number >= 0) & (number < n))[:, None, :, None]  # (B, 1, T, 1)
        prefix = self.prefix[layer][:, :, np.clip(number, 0, n - 1)]  # (2, G, B, T, K)
        prefix_k, prefix_v = prefix.transpose(0, 2, 1, 3, 4)  # (B, G, T, K) each
        k, v = np.where(within, prefix_k, k), np.where(within, prefix_v, v)
        return super().update(layer, k, v)


class PrefixedCache:
    """A KeyValueCache that begins with a prefix of n columns; `length` counts tokens alone."""

    def __init__(self, inner: KeyValueCache, n: int, padding: np.ndarray | None = None) -> None:
        self.inner, self.n, self.padding = inner, n, check_padding(padding, inner.batch)

    @property
    def length(self) -> int:
        """Tokens in the cache, without the prefix."""
        return self.inner.length - self.n

    def crop(self, length: int) -> None:
        """Forget tokens from `length` on; the prefix stays."""
        if length < 0:
            raise ShapeError(f"crop: {length} is no number of tokens")
        self.inner.crop(length + self.n)

    def select(self, rows: Any) -> None:
        """Keep the given rows, in the given order."""
        self.inner.select(rows)
        if self.padding is not None:
            self.padding = self.padding[[int(row) for row in rows]]


class PrefixedLM:
    """A GPT after a prefix, with the protocol of generate/protocol/language_model.py: tokens follow
    at positions n, n + 1, ...

    model       GPT
    keys_values (L, 2, G, n, K) array: of prompt_keys_values() or of a learnt prefix
    """

    def __init__(self, model: Module, keys_values: Any) -> None:
        c = self.config = model.config
        n = "n"
        if keys_values.ndim == 5:
            n = keys_values.shape[3]
        expected = (c.cache_layers, 2, c.kv_heads, n, c.key_width)
        if keys_values.shape != expected:
            raise ShapeError(
                f"PrefixedLM: keys and values of shape {keys_values.shape}; "
                f"this model needs (L, 2, G, n, K), {expected}"
            )
        if n >= c.context:
            raise ConfigError(
                f"PrefixedLM: a prefix of {n} leaves no room in a context of {c.context}"
            )
        self.model, self.n = model, n
        self.keys_values = to_device(keys_values, model.tokens.weight.device)
        self.vocab_size, self.context = c.vocab_size, c.context - self.n
        self._batched = None
        if supports(model):
            self._batched = BatchDecoder(model)

    def new_cache(
        self, batch: int, padding: np.ndarray | None = None, capacity: int = 0
    ) -> PrefixedCache | SharedPrefixCache:
        """A cache for B rows that holds the prefix, behind the padding of a row if it has some."""
        if shares_prefix(self.model):
            device = device_of(self.keys_values)
            return SharedPrefixCache(self.keys_values, batch, capacity, padding, device)
        inner = BehindPadding(self.keys_values, batch, capacity, padding)
        return PrefixedCache(inner, self.n, padding)

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the next token after each of `tokens`: (B, T) -> (B, T, V)."""
        return self._run(tokens, cache, slice(None))

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the token after the last of `tokens`: (B, T) -> (B, V)."""
        if self._batched and isinstance(cache, SharedPrefixCache) and np.shape(tokens)[1:] == (1,):
            return self._batched.step(check_tokens(tokens, self, cache)[:, 0], cache)
        return self._run(tokens, cache, slice(-1, None))[:, 0]

    def _run(self, tokens, cache, wanted):
        """Logits of the slice `wanted` of `tokens`, as an array."""
        tokens = check_tokens(tokens, self, cache)
        model, device = self.model, self.model.tokens.weight.device
        if cache is None:
            cache = self.new_cache(len(tokens))
        positions, mask = padded(tokens.shape[1], cache)
        inner = getattr(cache, "inner", cache)
        if inner is cache:  # columns are padding, text; the prefix is apart
            if positions is None:
                positions = np.arange(cache.length, cache.length + tokens.shape[1])
            else:
                mask = to_device(mask, device)
            positions = to_device(positions + self.n, device)
        elif mask is not None:  # columns are padding, prefix, text; all but the padding is visible
            columns = np.arange(self.n + cache.length + tokens.shape[1])
            mask = (columns >= cache.padding[:, None])[:, None, None, :]  # (B, 1, 1, columns)
            mask = to_device(mask, device)
            positions = to_device(positions + self.n, device)
        mode = contextlib.nullcontext()
        if model.training:  # a walk over all modules costs 2 % of a step
            mode = evaluating(model)
        with mode, no_grad():
            ids = to_device(tokens, device)
            h = model.hidden(ids, cache=inner, positions=positions, mask=mask)  # (B, T, D)
            return model.logits(h[:, wanted]).data


def shares_prefix(model: Module) -> bool:
    """True for a GPT in which every layer attends to the whole prefix, as its queries stand.

    Windows and biases measure distances between columns, so the prefix must be among these.
    """
    c = model.config
    return (
        type(model) is GPT
        and all(type(block.attention) is SelfAttention for block in model.blocks)
        and set(c.attention) == {"full"}
        and c.positions in ("learned", "sinusoidal", "rope", "none")
        and c.attention_cap is None
        and c.kv_sharing == 1
        and model.tokens.weight.dtype.itemsize >= 4  # in float16 e^s overflows at 11
    )


def language_model(prompted: "Prompted") -> PrefixedLM:
    """A Prompted GPT as a language model that generates: its prompt is read once, here.

    prompted  soft_prompts.Prompted with nothing behind the input
    returns   PrefixedLM
    """
    if len(prompted.after):
        raise ConfigError(
            "language_model: something stands behind the input, where text is generated: "
            "end the pattern with INPUT"
        )
    return PrefixedLM(prompted.model, prompt_keys_values(prompted.model, prompted.before))
