"""Encoders: BERT and its family   (book sections 1.2.2, 1.3; Devlin et al. 2019).

Every position sees every other, so a hidden state stands for a token in its whole sentence. What is
trained is the encoder with a head on top; what is used is the encoder. The members of the family
differ in a few words of the configuration: segments or languages added to the embeddings, narrow
embeddings, layers that share their weights. Read next: presets.py for what those words are,
heads.py, seq2seq.py.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from tinylm.autograd import dropout, tanh
from tinylm.autograd.kernels.masks import bool_mask
from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.models.encoder.heads import ReplacedHead, TokenHead
from tinylm.nn import (
    ACTIVATIONS,
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

HEADS = ("token", "token_plain", "replaced", None)


@dataclass(frozen=True)
class EncoderConfig:
    """What an encoder is made of; the defaults are BERT-base."""

    vocab_size: int = 30522  # V
    context: int = 512  # longest sequence, in tokens
    n_layer: int = 12  # L
    n_head: int = 12  # H
    d_model: int = 768  # D
    d_hidden: int | None = None  # F; 4 D if None
    d_embed: int | None = None  # width of the embeddings; D if None, else a map leads up to D
    segments: int = 2  # kinds of segments, 0 for none
    languages: int = 0  # languages with an embedding of their own, 0 for none
    # learned: a table, added to the embeddings | rope: queries and keys turn (Su et al. 2021)
    positions: str = "learned"
    rope_base: float = 10000.0
    first_position: int = 0  # row of the first token in the table of positions
    # Sets of layer weights; None: every layer has its own, 1: all share one.
    layer_groups: int | None = None
    # post: norm(x + F(x)), and the embeddings are normed | pre: x + F(norm(x)), and the output is
    norm_placement: str = "post"
    activation: str = "gelu"
    head_activation: str | None = None  # of the head; as in the layers if None
    norm_eps: float = 1e-12
    pooler: bool = True  # tanh(h_0 W + b): one vector for the sequence
    classes: int = 0  # of a pair of sentences, predicted from the pooled vector: 2 for NSP and SOP
    head: str | None = "token"  # token | token_plain | replaced | None
    dropout: float = 0.1

    def __post_init__(self):
        for field, allowed in {
            "norm_placement": ("post", "pre"),
            "activation": (*ACTIVATIONS, *GATES),
            "head": HEADS,
            "positions": ("learned", "rope"),
        }.items():
            if getattr(self, field) not in allowed:
                raise ConfigError(
                    f"EncoderConfig: {field} = {getattr(self, field)!r} is not one of "
                    f"{', '.join(map(str, allowed))}"
                )
        for field in ("vocab_size", "context", "n_layer", "n_head", "d_model"):
            if getattr(self, field) < 1:
                raise ConfigError(
                    f"EncoderConfig: {field} = {getattr(self, field)} must be at least 1"
                )
        if self.layer_groups is not None and not 1 <= self.layer_groups <= self.n_layer:
            raise ConfigError(
                f"EncoderConfig: layer_groups = {self.layer_groups} must be from 1 to "
                f"n_layer = {self.n_layer}"
            )
        width, rest = divmod(self.d_model, self.n_head)
        if self.positions == "rope" and (rest or width % 2):
            raise ConfigError(
                f"EncoderConfig: rope turns pairs, so d_model / n_head = {self.d_model} / "
                f"{self.n_head} must be an even number"
            )
        if self.classes and not self.pooler:
            raise ConfigError(
                f"EncoderConfig: classes = {self.classes} are predicted from the pooled vector: "
                "set pooler"
            )


class Encoder(Module):
    """Token ids in, a hidden state for every token out; and what the head makes of it.

    config  EncoderConfig
    seed    of the initial weights and of dropout; None: nothing is drawn and matrices are
            placeholders that take no memory, to be replaced by published weights
    dtype   of the parameters: np.float32, or np.float64 for checks
    """

    def __init__(self, config, seed=0, dtype=np.float32):
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

    def __call__(self, ids, segments=None, mask=None, languages=None, positions=None):
        """The head's logits: of every token (B, T, V), or of its being replaced (B, T).

        Arguments as in layers().
        """
        return self.logits(self.hidden(ids, segments, mask, languages, positions))

    def layers(self, ids, segments=None, mask=None, languages=None, positions=None):
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

    def hidden(self, ids, segments=None, mask=None, languages=None, positions=None):
        """The last hidden states H, (B, T, D)   (book eq. 1.8); arguments as in layers()."""
        return deque(self.layers(ids, segments, mask, languages, positions), maxlen=1)[0]

    def embed(self, ids, segments=None, mask=None, languages=None, positions=None):
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

    def rotation(self, ids, mask=None, positions=None):
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

    def logits(self, h):
        """The head's logits of hidden states (B, T, D)   (book eq. 1.9)."""
        if self.head is None:
            raise ConfigError(
                "Encoder: this model has no head: use hidden(), or set head in its configuration"
            )
        return self.head(h, self.tokens.weight)

    def pool(self, h):
        """tanh(h_0 W + b), one vector for each sequence: (B, T, D) -> (B, D)."""
        if self.pooler is None:
            raise ConfigError("Encoder: this model has no pooler: take h[:, 0] or the mean of h")
        if h.shape[1] == 0:
            raise ShapeError(
                f"Encoder: hidden states {h.shape} have no token, so there is no first one to pool"
            )
        return tanh(self.pooler(h[:, 0]))

    def pair_logits(self, h):
        """Logits of the classes of a pair of sentences, (B, T, D) -> (B, classes)   (book eq.
        1.19).
        """
        if self.classifier is None:
            raise ConfigError(
                "Encoder: this model has no classifier: set classes in its configuration"
            )
        return self.classifier(self.pool(h))

    def to(self, device):
        """Move parameters and the dropout stream to a device. Returns the model."""
        self.rng.device = device
        return super().to(device)


def encoder_block(config, rng, dtype):
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


def checked_mask(mask, ids):
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


def without_head(model):
    """The encoder that remains after pre-training, without heads   (book section 1.2.2).

    The weights are the same arrays, not copies.
    """
    bare = Encoder.__new__(Encoder)  # __init__ would draw weights
    config = replace(model.config, head=None, classes=0)
    vars(bare).update(vars(model), head=None, classifier=None, config=config)
    return bare


def distilled(teacher, keep=None, seed=0):
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

    def __init__(self, discriminator, generator, seed=0, dtype=np.float32):
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

    def to(self, device):
        """Move both to a device. Returns the model."""
        self.discriminator.rng.device = self.generator.rng.device = device
        return super().to(device)


def _shapes(module):
    """The shapes of a module's parameters; None for no module."""
    if module is None:
        return None
    return [parameter.shape for parameter in module.parameters()]
