"""A prompt read once and kept as keys and values: what hard and soft prompts have in common   (book
section 3.3.2, Fig. 3.3)

To what comes after it, a prompt is nothing but its keys and values in every layer. Those of a hard
prompt are computed once and kept, and from then on the prompt costs no more to read, only to attend
to. Those of a soft prompt are computed likewise; a prefix (prefix.py) learns them directly. All
three generate through `PrefixedLM`. Read next: soft_prompts.py, prefix.py;
generate/protocol/language_model.py.
"""

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import device_of, to_cpu, to_device
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.cache.key_value import KeyValueCache, check_padding
from tinylm.generate.protocol.language_model import check_tokens, padded
from tinylm.nn import evaluating


def prompt_keys_values(model, ids):
    """Read a prompt and return what later tokens will see of it.

    model    GPT, in evaluation mode for the time
    ids      (n,) integers; those of SoftTokens too
    returns  (L, 2, G, n, K) NumPy array: keys and values of every layer, keys turned to positions 0
             .. n-1
    """
    c, weight = model.config, model.tokens.weight
    ids = np.asarray(ids)
    if ids.ndim != 1 or not len(ids):
        raise ShapeError(
            f"prompt_keys_values: the prompt has shape {ids.shape}; it is one sequence of at least one id, (n,)"
        )
    cache = KeyValueCache(
        c.n_layer, 1, c.kv_heads, c.key_width, weight.dtype, weight.device, len(ids)
    )
    with evaluating(model), no_grad():
        model.hidden(to_device(ids[None], weight.device), cache=cache)
    return np.array(to_cpu(cache.arrays(len(ids))[:, :, 0, :, : len(ids)]))


def hidden_states_of_prompt(model, ids):
    """What each layer reads of a prompt, h^0 .. h^(L-1) of the book: (L, n, D) NumPy array.

    model    GPT without windows and score biases, in evaluation mode for the time
    ids      (n,) integers
    """
    ids, states = np.asarray(ids), []
    positions = to_device(np.arange(len(ids)), model.tokens.weight.device)
    with evaluating(model), no_grad():
        x = model.add_positions(
            model.tokens(to_device(ids[None], model.tokens.weight.device)), positions
        )
        rotations = model.rotations(positions, x.dtype)
        for layer, block in enumerate(model.blocks):
            states.append(x.numpy()[0])
            x = block(x, rotation=rotations[layer], layer=layer)
    return np.stack(states)


class BehindPadding(KeyValueCache):
    """A KeyValueCache that begins with a prefix, which stands in each row between its padding and
    its text.

    keys_values  (L, 2, G, n, K) array, on the device where the cache is to be
    padding      (B,) integers: row b holds the prefix in columns padding[b] .. padding[b] + n - 1,
                 so that distances from text to prefix are those without padding. What padding's own
                 tokens would store there is dropped
    """

    def __init__(self, keys_values, batch, capacity=0, padding=None):
        L, _, G, n, K = keys_values.shape
        super().__init__(
            L, batch, G, K, keys_values.dtype, device_of(keys_values), n + capacity, padding
        )
        self.prefix = keys_values
        nothing = np.zeros_like(keys_values, shape=(batch, G, n, K))
        for layer, pair in enumerate(keys_values):
            if self.padding is None:
                rows = [np.broadcast_to(x, nothing.shape) for x in pair]
            else:
                rows = [nothing] * 2
            self.update(layer, *rows)

    def update(self, layer, k, v):
        """As in KeyValueCache."""
        if self.padding is None:
            return super().update(layer, k, v)
        n = self.prefix.shape[3]
        columns = np.arange(self.length, self.length + k.shape[2], like=k)
        at = columns - to_device(self.padding, self.device)[:, None]  # (B, T): place in the prefix
        within = ((at >= 0) & (at < n))[:, None, :, None]
        stored = self.prefix[layer][:, :, np.clip(at, 0, n - 1)].transpose(
            0, 2, 1, 3, 4
        )  # (2, B, G, T, K)
        return super().update(layer, *(np.where(within, own, x) for own, x in zip(stored, (k, v))))


class PrefixedCache:
    """A KeyValueCache that begins with a prefix of n columns; `length` counts tokens alone."""

    def __init__(self, inner, n, padding=None):
        self.inner, self.n, self.padding = inner, n, check_padding(padding, inner.batch)

    @property
    def length(self):
        """Tokens read."""
        return self.inner.length - self.n

    def crop(self, length):
        """Forget tokens from `length` on; the prefix stays."""
        if length < 0:
            raise ShapeError(f"crop: {length} is no number of tokens")
        self.inner.crop(length + self.n)

    def select(self, rows):
        """Keep the given rows, in the given order."""
        self.inner.select(rows)
        self.padding = None if self.padding is None else self.padding[[int(row) for row in rows]]


class PrefixedLM:
    """A GPT after a prefix, with the protocol of generate/protocol/language_model.py: tokens follow
    at positions n, n + 1, ...

    model       GPT
    keys_values (L, 2, G, n, K) array: of prompt_keys_values() or of a learnt prefix
    """

    def __init__(self, model, keys_values):
        c = self.config = model.config
        expected = (
            c.n_layer,
            2,
            c.kv_heads,
            keys_values.shape[3] if keys_values.ndim == 5 else "n",
            c.key_width,
        )
        if keys_values.shape != expected:
            raise ShapeError(
                f"PrefixedLM: keys and values of shape {keys_values.shape}; this model needs (L, 2, G, n, K), "
                f"{expected}"
            )
        if c.context is not None and keys_values.shape[3] >= c.context:
            raise ConfigError(
                f"PrefixedLM: a prefix of {keys_values.shape[3]} leaves no room in a context of {c.context}"
            )
        self.model, self.n = model, keys_values.shape[3]
        self.keys_values = to_device(keys_values, model.tokens.weight.device)
        self.vocab_size, self.context = c.vocab_size, c.context - self.n

    def new_cache(self, batch, padding=None, capacity=0):
        """A cache for B rows that holds the prefix, of a row with padding behind the padding."""
        inner = BehindPadding(self.keys_values, batch, capacity, padding)
        return PrefixedCache(inner, self.n, padding)

    def logits(self, tokens, cache=None):
        """Scores of the next token after each of `tokens`: (B, T) -> (B, T, V)."""
        return self._run(tokens, cache, slice(None))

    def next_logits(self, tokens, cache=None):
        """Scores of the token after the last of `tokens`: (B, T) -> (B, V)."""
        return self._run(tokens, cache, slice(-1, None))[:, 0]

    def _run(self, tokens, cache, wanted):
        tokens = check_tokens(tokens, self, cache)
        weight = self.model.tokens.weight
        model = self.model
        if cache is None:
            cache = self.new_cache(len(tokens))
        positions, mask = padded(tokens.shape[1], cache)
        if mask is not None:  # padding, prefix, text: as if there were no padding
            columns = np.arange(self.n + cache.length + tokens.shape[1])
            mask = (columns >= cache.padding[:, None])[:, None, None, :]
            positions, mask = (to_device(x, weight.device) for x in (positions + self.n, mask))
        with evaluating(model), no_grad():
            h = model.hidden(
                to_device(tokens, weight.device), cache=cache.inner, positions=positions, mask=mask
            )
            return model.logits(h[:, wanted]).data


def language_model(prompted):
    """A Prompted GPT as a language model that generates: its prompt is read once, here.

    prompted  soft_prompts.Prompted with nothing behind the input
    returns   PrefixedLM
    """
    if len(prompted.after):
        raise ConfigError(
            "language_model: something stands behind the input, where text is generated: end the pattern with INPUT"
        )
    return PrefixedLM(prompted.model, prompt_keys_values(prompted.model, prompted.before))
