"""What is put on top of a pretrained model: Predict_omega(BERT_theta(x))   (book eqs. 1.3, 1.21,
section 1.4).

    h = BERT_theta(x)  (B, T, D),    v = pool(h)  (B, D),    logits = v W + b  (B, classes)

The model gives a state for every token, a pooling makes one vector of them, and a new linear map
gives the logits of the classes. In an encoder the first state h_cls sees the whole text; in a
decoder only the last one does. All is trained together (Devlin et al. 2019), or the head alone
(freezing.freeze(model.encoder): a linear probe). Read next: classify.py for the tasks; tagging.py,
spans.py for heads with one answer a word.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.autograd import Tensor, dropout, sigmoid
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.models.decoder.gpt import GPT
from tinylm.models.encoder.encoder import Encoder
from tinylm.models.encoder.seq2seq import Seq2Seq
from tinylm.nn import Linear, Module
from tinylm.pretrain.discriminative.contrastive import mean_pool
from tinylm.pretrain.score import padding_options


def innermost(model: Module) -> Module:
    """The model inside wrappers that hold it as `model`, such as a prefix or a soft prompt."""
    while hasattr(model, "model"):
        model = model.model
    return model


def hidden_states(
    model: Module,
    inputs: np.ndarray,
    mask: np.ndarray | None = None,
    segments: np.ndarray | None = None,
    **options: Any,
) -> Tensor:
    """The last hidden states of an encoder, a decoder or the encoder of an encoder-decoder.

    model     Encoder, GPT, Seq2Seq, or anything with their methods
    inputs    (B, T) integers, padded at their ends;  mask (B, T) bool, True for tokens, or None
    segments  (B, T), passed on if the model has segment embeddings
    returns   (B, T, D)
    """
    if isinstance(innermost(model), GPT):
        mask = bool_mask(mask, "hidden_states", bias=None)
        # a token behind padding would attend to it
        if mask is not None and bool(np.any(mask[:, 1:] & ~mask[:, :-1])):
            raise DataError(
                "hidden_states: a decoder reads from left to right, so its rows are padded at "
                "their ends: move the padding behind the tokens"
            )
        # Attention needs no mask: it is causal, so no token sees the padding after it. Experts do:
        # they must not route padding.
        return model.hidden(inputs, **padding_options(model, mask), **options)
    if isinstance(model, Seq2Seq):
        return model.encode(inputs, mask, **options)
    if segments is not None and getattr(model.config, "segments", 2) > 1:
        options["segments"] = segments
    return model.hidden(inputs, mask=mask, **options)


def _check_tokens(name, h):
    """Raise ShapeError for hidden states (B, 0, D): there is nothing to pool."""
    if h.shape[1] == 0:
        raise ShapeError(
            f"{name}: hidden states {h.shape} are of no token: a text needs at least one"
        )


def first_state(model: Any, h: Tensor, mask: np.ndarray | None = None) -> Tensor:
    """h_cls, the state of the first token: (B, T, D) -> (B, D)   (book section 1.4.1)."""
    _check_tokens("first_state", h)
    if mask is None:
        return h[:, 0]
    mask = bool_mask(mask, "first_state", bias=None)
    first = np.argmax(mask, axis=1)  # (B,) index of the first True; 0 in a row of padding
    return h[np.arange(h.shape[0], like=mask), first]


def pooled_state(model: Module, h: Tensor, mask: np.ndarray | None = None) -> Tensor:
    """h_cls through the encoder's own pooler, as in BERT's published classifiers.

    (B, T, D) -> (B, D); in BERT tanh(h_cls W + b)
    """
    # pool() reads the state at position 0: (B, D) -> (B, 1, D) -> (B, D)
    return innermost(model).pool(first_state(model, h, mask)[:, None])


def mean_state(model: Module, h: Tensor, mask: np.ndarray | None = None) -> Tensor:
    """The mean over tokens: (B, T, D) -> (B, D)."""
    return mean_pool(h, mask)


def last_state(model: Module, h: Tensor, mask: np.ndarray | None = None) -> Tensor:
    """The state of the last token, the only one of a decoder that has seen the whole text.

    (B, T, D) -> (B, D)   (Radford et al. 2018)
    """
    _check_tokens("last_state", h)
    if mask is None:
        return h[:, -1]
    mask = bool_mask(mask, "last_state", bias=None)
    positions = np.arange(h.shape[1], like=mask)
    last = np.max(positions * mask, axis=1)  # (B,) index of the last True
    return h[np.arange(h.shape[0], like=mask), last]


POOLS = {"first": first_state, "pooler": pooled_state, "mean": mean_state, "last": last_state}


def pool_for(model: Module, name: str | None = None) -> Callable:
    """The pooling of that name; by default last for a decoder, else first: it sees all tokens."""
    if not name and isinstance(innermost(model), GPT):
        name = "last"
    name = name or "first"
    if name not in POOLS:
        raise ConfigError(f"no pooling {name!r}; there are {', '.join(POOLS)}")
    return POOLS[name]


class Classifier(Module):
    """A model with a linear layer on one vector of the text: logits of classes.

    encoder  Encoder (models.encoder.without_head takes its pretraining head off), GPT or Seq2Seq;
             not copied. Also one of these behind a prompt or prefix (finetune.peft)
    classes  their number
    pool     first | pooler | mean | last; None: first, for a GPT last
    seed     of the new layer's weights; the encoder keeps its own
    """

    def __init__(
        self, encoder: Module, classes: int, pool: str | None = None, seed: int = 0
    ) -> None:
        model = innermost(encoder)
        self.encoder, self.pool, self.rng = encoder, pool_for(encoder, pool), model.rng
        weight = model.tokens.weight  # the head has its dtype and device
        self.out = Linear(model.config.d_model, classes, Random(seed, "head"), dtype=weight.dtype)
        self.out.to(weight.device)

    def features(
        self, inputs: np.ndarray, mask: np.ndarray | None = None, **options: Any
    ) -> Tensor:
        """The vector of every text: (B, T) integers -> (B, D)."""
        h = hidden_states(self.encoder, inputs, mask, **options)  # (B, T, D)
        return self.pool(self.encoder, h, mask)

    def __call__(
        self, inputs: np.ndarray, mask: np.ndarray | None = None, **options: Any
    ) -> Tensor:
        """Logits of the classes: (B, T) integers -> (B, classes)."""
        x = self.features(inputs, mask, **options)
        if self.training:
            x = dropout(x, self.encoder.config.dropout, self.rng)
        return self.out(x)  # (B, D) -> (B, classes)


class Regressor(Module):
    """One number for every text or pair of texts   (book section 1.4.3).

    bounded  sigmoid(w h + b), between 0 and 1, such as a similarity; False: w h + b
    others   as in Classifier
    """

    def __init__(
        self, encoder: Encoder, bounded: bool = True, pool: str | None = None, seed: int = 0
    ) -> None:
        self.score, self.bounded = Classifier(encoder, 1, pool, seed), bounded

    def __call__(self, inputs: np.ndarray, **options: Any) -> Tensor:
        """(B, T) integers -> (B,)."""
        y = self.score(inputs, **options)[:, 0]
        if self.bounded:
            return sigmoid(y)
        return y


def replace_head(model: Module, classes: int, seed: int = 0) -> Classifier:
    """A Classifier for another task on the same encoder, not copied, with a new last layer   (book
    Fig. 1.1).

    model    Classifier
    """
    new = Classifier(model.encoder, classes, seed=seed)
    new.pool = model.pool
    return new
