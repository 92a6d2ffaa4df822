"""Encoders: BERT and its family   (book sections 1.2.2, 1.3; Devlin et al. 2019).

Every position sees every other, so a hidden state stands for a token in its whole sentence. What is
trained is the encoder with a head on top; what is used is the encoder. The members of the family
differ in a few words of the configuration: segments or languages added to the embeddings, narrow
embeddings, layers that share their weights. Read next: presets.py for what those words are,
heads.py, seq2seq.py.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tinylm.autograd import Tensor, dropout, tanh
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.backend import ArrayLike, DType, Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.models.encoder.config import EncoderConfig
from tinylm.models.encoder.heads import ReplacedHead, TokenHead
from tinylm.nn import (
    GATES,
    PLACEMENTS,
    Block,
    Embedding,
    LayerNorm,
    LearnedPositions,
    Linear,
    Module,
    SelfAttention,
    feed_forward,
    rotary_angles,
)
from tinylm.nn.position.learned import columns_of_tokens


class Encoder(Module):
    """Token ids in, a hidden state for every token out; and what the head makes of it.

    config  EncoderConfig
    seed    of the initial weights and of dropout; None: nothing is drawn and matrices are
            placeholders that take no memory, to be replaced by published weights
    dtype   of the parameters: np.float32, or np.float64 for checks
    """

    def __init__(
        self, config: EncoderConfig, seed: int | None = 0, dtype: DType = np.float32
    ) -> None:
        c = self.config = config
        rng = None if seed is None else Random(seed, "init")
        self.rng = Random(seed or 0, "dropout")
        width = c.d_embed or c.d_model  # E
        self.tokens = Embedding(c.vocab_size, width, rng, dtype=dtype)
        self.positions = self.segments = self.languages = None
        if c.positions == "learned":
            self.positions = LearnedPositions(c.first_position + c.context, width, rng, dtype=dtype)
        if c.segments:
            self.segments = Embedding(c.segments, width, rng, dtype=dtype)
        if c.languages:
            self.languages = Embedding(c.languages, width, rng, dtype=dtype)
        self.embedding_norm = self.widen = None
        if c.norm_placement == "post":
            self.embedding_norm = LayerNorm(width, eps=c.norm_eps, dtype=dtype)
        if c.d_embed:
            self.widen = Linear(width, c.d_model, rng, dtype=dtype)  # E -> D
        # With fewer sets of weights than layers, neighbors are one and the same module: layers 0
        # to L/groups - 1 are the first, and so on. A shared parameter counts once.
        groups = c.layer_groups or c.n_layer
        blocks = [encoder_block(c, rng, dtype) for _ in range(groups)]
        self.blocks = [blocks[layer * groups // c.n_layer] for layer in range(c.n_layer)]
        self.norm = self.pooler = self.classifier = None
        if c.norm_placement == "pre":
            self.norm = LayerNorm(c.d_model, eps=c.norm_eps, dtype=dtype)
        if c.pooler:
            self.pooler = Linear(c.d_model, c.d_model, rng, dtype=dtype)
        if c.classes:
            self.classifier = Linear(c.d_model, c.classes, rng, dtype=dtype)
        self.head = self._new_head(rng, width, dtype)
        # The parts drew their weights from `rng`; dropout has a stream of its own.
        for module in self.modules():
            if hasattr(module, "rng"):
                module.rng = self.rng

    def _new_head(self, rng, width, dtype):
        c = self.config
        if c.head is None:
            return None
        activation = c.activation
        if activation in GATES:  # these take a pair of maps, and the head has one
            activation = "gelu"
        activation = c.head_activation or activation
        if c.head == "replaced":
            return ReplacedHead(c.d_model, rng, activation, dtype)
        plain = c.head == "token_plain"
        return TokenHead(c.d_model, width, c.vocab_size, rng, activation, c.norm_eps, plain, dtype)

    def __call__(
        self,
        ids: np.ndarray,
        segments: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        languages: ArrayLike | None = None,
        positions: np.ndarray | None = None,
    ) -> Tensor:
        """The head's logits: of every token (B, T, V), or of its being replaced (B, T).

        Arguments as in layers().
        """
        return self.logits(self.hidden(ids, segments, mask, languages, positions))

    def layers(
        self,
        ids: np.ndarray,
        segments: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        languages: ArrayLike | None = None,
        positions: np.ndarray | None = None,
    ) -> Iterator[Tensor]:
        """The residual stream before the first block and after each, one (B, T, D) after the other.

        ids        (B, T) integers
        segments   (B, T) integers, 0 for the first sentence, 1 for the second; all 0 by default
                   (book eq. 1.20)
        mask       bool, True = visible: (B, T) for the positions that hold a token; or
                   (1|B, T, T) for pairs of query and key
        languages  (B, T) integers, or one for all, where the model has languages
        positions  (T,) or (B, T) integers from 0; by default counted from each row's first token,
                   for models whose first_position is not 0 over tokens alone
        yields     L + 1 Tensors (of a pre-norm model the last is normed)
        raises     ShapeError if positions are counted and the sequence is longer than the context
        """
        mask = checked_mask(mask, ids)
        x = self.embed(ids, segments, mask, languages, positions)  # H^0 (B, T, D)
        rotation = self.rotation(ids, mask, positions)
        yield x
        if mask is not None and mask.ndim == 2:
            mask = mask[:, None, :]  # (B, T) -> (B, 1, T), the same for every query
        if mask is not None:
            mask = mask[:, None]  # (1|B, 1|T, T) -> (1|B, 1, 1|T, T), the same for every head
        options = {"mask": mask}
        if rotation is not None:
            options["rotation"] = rotation
        for block in self.blocks[:-1]:
            x = block(x, **options)  # H^l = Layer(H^{l-1})
            yield x
        x = self.blocks[-1](x, **options)
        if self.norm is not None:
            x = self.norm(x)
        yield x

    def hidden(
        self,
        ids: np.ndarray,
        segments: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        languages: ArrayLike | None = None,
        positions: np.ndarray | None = None,
    ) -> Tensor:
        """The last hidden states H, (B, T, D)   (book eq. 1.8); arguments as in layers()."""
        return deque(self.layers(ids, segments, mask, languages, positions), maxlen=1)[0]

    def embed(
        self,
        ids: np.ndarray,
        segments: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        languages: ArrayLike | None = None,
        positions: np.ndarray | None = None,
    ) -> Tensor:
        """token + position (+ segment) (+ language), normed, and widened to D   (book eq. 1.20).

        Arguments as in layers(); rotary positions are not added. Returns (B, T, D).
        """
        c = self.config
        mask = checked_mask(mask, ids)
        positions = self._positions(ids, mask, positions)
        x = self.tokens(ids)  # (B, T) -> (B, T, E)
        if self.positions is not None:
            x = self.positions(x, positions + c.first_position)
        if self.segments is not None:
            if segments is None:
                segments = np.zeros_like(ids)
            x = x + self.segments(segments)
        if self.languages is not None:
            if languages is None:
                raise ConfigError(
                    f"Encoder: this model has {c.languages} languages: choose with languages="
                )
            x = x + self.languages(np.zeros_like(ids) + languages)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        x = dropout(x, c.dropout if self.training else 0.0, self.rng)
        if self.widen is None:
            return x
        return self.widen(x)  # (B, T, E) -> (B, T, D)

    def rotation(
        self, ids: np.ndarray, mask: np.ndarray | None = None, positions: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Cosines and sines that turn queries and keys, each (T, K/2) or (B, 1, T, K/2); None with
        learned positions. Arguments as in layers().
        """
        c = self.config
        if c.positions != "rope":
            return None
        positions = self._positions(ids, mask, positions)
        return rotary_angles(
            positions, c.d_model // c.n_head, c.rope_base, self.tokens.weight.dtype
        )

    def _positions(self, ids, mask, positions):
        """The position of each token, (T,) or (B, T): as given, or counted."""
        c, T = self.config, ids.shape[-1]
        if positions is not None:
            return positions
        if T > c.context:
            raise ShapeError(
                f"Encoder: {T} tokens do not fit the context of {c.context}: shorten the input"
            )
        if c.first_position and mask is not None and mask.ndim == 2:
            # RoBERTa counts tokens only, and padding has -1: the row of the table just before
            # that of the first token.
            return np.cumsum(mask, axis=-1) * mask - 1
        return columns_of_tokens(ids, mask)

    def logits(self, h: Tensor) -> Tensor:
        """The head's logits of hidden states (B, T, D)   (book eq. 1.9)."""
        if self.head is None:
            raise ConfigError(
                "Encoder: this model has no head: use hidden(), or set head in its configuration"
            )
        return self.head(h, self.tokens.weight)

    def pool(self, h: Tensor) -> Tensor:
        """tanh(h_0 W + b), one vector for each sequence: (B, T, D) -> (B, D)."""
        if self.pooler is None:
            raise ConfigError("Encoder: this model has no pooler: take h[:, 0] or the mean of h")
        if h.shape[1] == 0:
            raise ShapeError(
                f"Encoder: hidden states {h.shape} have no token, so there is no first one to pool"
            )
        return tanh(self.pooler(h[:, 0]))

    def pair_logits(self, h: Tensor) -> Tensor:
        """Logits of the classes of a pair of sentences, (B, T, D) -> (B, classes)   (book eq.
        1.19).
        """
        if self.classifier is None:
            raise ConfigError(
                "Encoder: this model has no classifier: set classes in its configuration"
            )
        return self.classifier(self.pool(h))

    def to(self, device: str) -> Module:
        """Move parameters and the dropout stream to a device. Returns the model."""
        self.rng.device = device
        return super().to(device)


def encoder_block(config: EncoderConfig, rng: Random | None, dtype: DType) -> Block:
    """One block in which every position sees every other."""
    c = config
    attention = SelfAttention(
        c.d_model, c.n_head, rng, causal=False, dropout=c.dropout, dtype=dtype
    )
    hidden = feed_forward(c.activation)(
        c.d_model, c.d_hidden or 4 * c.d_model, rng, c.activation, True, dtype=dtype
    )
    norms = [LayerNorm(c.d_model, eps=c.norm_eps, dtype=dtype) for _ in range(2)]
    return Block(attention, hidden, norms, PLACEMENTS[c.norm_placement], rng, c.dropout)


def checked_mask(mask: np.ndarray | None, ids: np.ndarray) -> np.ndarray | None:
    """A mask of the form that layers() takes, or None.

    mask    bool (B, T) or (1|B, T, T), or None
    ids     (B, T)
    raises  DtypeError, ShapeError
    """
    mask = bool_mask(mask, "Encoder", bias=None)
    B, T = ids.shape
    if mask is not None and mask.shape not in ((B, T), (B, T, T), (1, T, T)):
        raise ShapeError(
            f"Encoder: a mask of shape {mask.shape} for ids {ids.shape}: give (B, T), which "
            "positions hold a token, or (1|B, T, T), which sees which"
        )
    return mask


def without_head(model: Encoder) -> Encoder:
    """The encoder that remains after pre-training, without heads   (book section 1.2.2).

    The weights are the same arrays, not copies.
    """
    bare = Encoder.__new__(Encoder)  # __init__ would draw weights
    config = replace(model.config, head=None, classes=0)
    vars(bare).update(vars(model), head=None, classifier=None, config=config)
    return bare


def distilled(teacher: Encoder, keep: Sequence[int] | None = None, seed: int = 0) -> Encoder:
    """A DistilBERT: some layers of the teacher, no segments, no pooler   (Sanh et al. 2019).

    keep     the teacher's layers, in order; every other one by default
    returns  Encoder that starts from copies of the teacher's weights
    """
    if keep is None:
        keep = range(0, teacher.config.n_layer, 2)
    keep = list(keep)
    config = replace(
        teacher.config, n_layer=len(keep), segments=0, pooler=False, classes=0, layer_groups=None
    )
    student = Encoder(config, seed, teacher.tokens.weight.dtype)
    for part in ("tokens", "positions", "languages", "embedding_norm", "widen", "norm", "head"):
        if getattr(student, part) is not None:
            getattr(student, part).load_state_dict(getattr(teacher, part).state_dict())
    for block, layer in zip(student.blocks, keep):
        block.load_state_dict(teacher.blocks[layer].state_dict())
    return student


class Electra(Module):
    """A small generator that fills masks, and a discriminator that finds what it filled in.

    The discriminator is the result of pre-training. The two share their tables of tokens, positions
    and segments   (Clark et al. 2020; book section 1.2.2.3).

    discriminator, generator  EncoderConfigs with heads "replaced" and "token" and embeddings of one
                              width
    """

    def __init__(
        self,
        discriminator: EncoderConfig,
        generator: EncoderConfig,
        seed: int = 0,
        dtype: DType = np.float32,
    ) -> None:
        if discriminator.head != "replaced" or generator.head != "token":
            raise ConfigError(
                f"Electra: heads {discriminator.head!r} and {generator.head!r}: "
                "they must be 'replaced' and 'token'"
            )
        self.discriminator = Encoder(discriminator, seed, dtype)
        self.generator = Encoder(generator, seed + 1, dtype)
        for part in ("tokens", "positions", "segments"):
            table = getattr(self.discriminator, part)
            mine, others = _shapes(table), _shapes(getattr(self.generator, part))
            if mine != others:
                raise ConfigError(
                    f"Electra: tables of {part} have shapes {mine} and {others}; they must agree"
                )
            setattr(self.generator, part, table)

    def to(self, device: str) -> Module:
        """Move both to a device. Returns the model."""
        self.discriminator.rng.device = self.generator.rng.device = device
        return super().to(device)


def _shapes(module):
    """The shapes of a module's parameters; None for no module."""
    if module is None:
        return None
    return [parameter.shape for parameter in module.parameters()]
