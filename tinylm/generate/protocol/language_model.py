"""The language model protocol: all that decoding, prompting and alignment need from a model.

A language model maps x_0 .. x_{i-1} to Pr(. | x_0 .. x_{i-1})   (book section 2.1, eq. 2.1). Here
it is an object with

    vocab_size   V
    context      most tokens it reads at once, or None for no limit
    new_cache(batch, padding=None)   an empty memory for B rows, with `length` (columns read),
                 `padding`, `crop(length)` and `select(rows)`. padding (B,) counts leading columns
                 of a row that are no tokens
    logits(tokens, cache=None)       tokens (B, T) NumPy integers, the columns after those in the
                 cache, which grows by T; returns (B, T, V): column t scores the token after
                 tokens[:, t]. Without a cache nothing is kept
    next_logits(tokens, cache=None)  the same for the last position alone, (B, V)

and, where decoding needs hidden states (contrastive search, kNN-LM),

    hidden_and_logits(tokens, cache=None)   (B, T, D) what the output layer reads, and (B, T, V)

and, where rows with the same tokens have the same scores, whatever their number,

    rows_alike   True: generation then reads one of them, and copies what is in the cache

Code that uses nothing else runs on a model just trained (`ModelLM`), on the fast decoder
(fast/folded.py) and on `EnumerableLM` (enumerable.py), where every expectation is a finite sum. x_0
is given: it is never scored. Read next: enumerable.py, then loop.py.
"""

from typing import Any, Protocol

import numpy as np

from tinylm import backend
from tinylm.autograd import no_grad
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.nn.module import Module


class LanguageModel(Protocol):
    """What every decoder needs of a model, as the beginning of this file says."""

    vocab_size: int
    context: int | None

    def new_cache(self, batch: int, padding: np.ndarray | None = None) -> Any:
        """An empty memory for B rows."""

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """(B, T) -> (B, T, V)"""

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """(B, T) -> (B, V)"""


Model = LanguageModel | Module  # what as_language_model takes


class ModelLM:
    """A `models.GPT`, or another model(ids, cache=, positions=, mask=), as a language model.

    model    its `config` gives vocab_size, context, n_layer (cache_layers, where layers share
             keys and values), n_head, n_kv_head and d_model. Each call runs in evaluation mode
             and restores the mode it found
    """

    rows_alike = True

    def __init__(self, model: Module) -> None:
        self.model, self.config = model, model.config
        self.vocab_size, self.context = self.config.vocab_size, self.config.context
        self._weight = model.parameters()[0]  # any parameter: read for its device and dtype

    def new_cache(
        self, batch: int, padding: ArrayLike | None = None, capacity: int = 0
    ) -> KeyValueCache:
        """An empty KeyValueCache for B rows, with room for `capacity` tokens."""
        c = self.config
        return KeyValueCache(
            getattr(c, "cache_layers", c.n_layer),
            batch,
            c.n_kv_head or c.n_head,
            _key_width(c),
            self._weight.dtype,
            self._weight.device,
            capacity,
            padding,
        )

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the next token after each of `tokens`: (B, T) -> (B, T, V), on its device."""
        return self._run(self.model, tokens, cache)

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Scores of the token after the last of `tokens`: (B, T) -> (B, V)."""
        if not hasattr(self.model, "hidden"):
            return self.logits(tokens, cache)[:, -1]

        # The output layer is the largest product of a small model: apply it to one position only.
        def last_position(ids, **more):
            return self.model.logits(self.model.hidden(ids, **more)[:, -1])  # (B, D) -> (B, V)

        return self._run(last_position, tokens, cache)

    def hidden_and_logits(
        self, tokens: np.ndarray, cache: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The states that the output layer reads, and its scores: (B, T) -> (B, T, D), (B, T, V).

        raises  ConfigError for a model without `hidden` and `logits`
        """
        if not hasattr(self.model, "hidden"):
            raise ConfigError(
                f"a {type(self.model).__name__} does not show its hidden states: "
                "it has no method `hidden`"
            )
        states = []

        def run(ids, **more):
            states.append(self.model.hidden(ids, **more))  # kept for the second result
            return self.model.logits(states[0])

        scores = self._run(run, tokens, cache)
        return states[0].data, scores

    def _run(self, function, tokens, cache):
        """function(ids, cache=, positions=, mask=) without a tape, in evaluation mode."""
        tokens = check_tokens(tokens, self, cache)
        positions, mask = padded(tokens.shape[1], cache)
        device = self._weight.device
        ids = backend.to_device(tokens, device)
        if positions is not None:  # rows of unequal length; without padding the model counts itself
            positions, mask = backend.to_device(positions, device), backend.to_device(mask, device)
        training = getattr(self.model, "training", False)
        if training:
            self.model.eval()
        try:
            with no_grad():
                return function(ids, cache=cache, positions=positions, mask=mask).data
        finally:
            if training:
                self.model.train()


def _key_width(config):
    """K: `key_width` of the configuration, or D / H where it has none."""
    return getattr(config, "key_width", None) or config.d_model // config.n_head


def padded(T: int, cache: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Positions and mask of T new columns after those in `cache`, where rows begin with padding.

    returns  positions (B, T): a row's first token has position 0, and so has padding;
             mask (B, 1, 1, length + T): True for tokens. (None, None) where there is no padding
    """
    if cache is None or cache.padding is None:
        return None, None
    # With 2 columns of padding:  column    0  1  2  3  4
    #                             position  0  0  0  1  2
    #                             mask      F  F  T  T  T
    columns = np.arange(cache.length + T)
    start = cache.padding[:, None]  # (B, 1), the column of each row's first token
    positions = np.maximum(columns[cache.length :] - start, 0)  # of the new columns only
    mask = columns >= start  # over old and new columns: the keys
    return positions, mask[:, None, None, :]  # broadcasts over heads and queries


def check_tokens(tokens: ArrayLike, lm: LanguageModel, cache: Any = None) -> np.ndarray:
    """`tokens` as a (B, T) NumPy array that `lm` can read after what is in `cache`.

    raises  ShapeError if it is not (B, T), T >= 1, or goes past the context; DataError for an id
            outside the vocabulary
    """
    tokens = np.asarray(tokens)
    if tokens.ndim != 2 or 0 in tokens.shape:
        raise ShapeError(
            f"tokens have shape {tokens.shape}, but a language model reads (B, T) "
            "with B and T at least 1"
        )
    check_token_ids(tokens, lm.vocab_size)
    before = 0 if cache is None else cache.length
    if lm.context is not None and before + tokens.shape[1] > lm.context:
        raise ShapeError(
            f"{before} tokens in the cache and {tokens.shape[1]} new ones go past the context of "
            f"{lm.context}; read fewer at a time (generate() slides its window by itself)"
        )
    return tokens


def check_token_ids(ids: np.ndarray, vocab_size: int) -> None:
    """Raise DataError if an id is not an integer in [0, vocab_size); the message names both."""
    ids = np.asarray(ids)
    if ids.size and ids.dtype.kind not in "iu":
        raise DataError(
            f"token ids have dtype {ids.dtype}, but they are integers; "
            "encode text with a tokenizer first"
        )
    outside = (ids < 0) | (ids >= vocab_size)
    if outside.any():
        raise DataError(
            f"token id {int(ids[outside][0])} is outside the vocabulary of {vocab_size} "
            f"(0 to {vocab_size - 1}); was the text encoded with another tokenizer?"
        )


def as_language_model(model: Any) -> Any:
    """`model` if it follows the protocol; ModelLM(model) for a model of `tinylm.models`."""
    if hasattr(model, "next_logits"):
        return model
    if hasattr(model, "config") and callable(model):
        return ModelLM(model)
    raise ConfigError(
        f"a {type(model).__name__} is no language model: give a tinylm.models model, "
        "or an object with the protocol of tinylm/generate/protocol/language_model.py"
    )
