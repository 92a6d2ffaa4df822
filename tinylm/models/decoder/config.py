"""GPTConfig: a decoder-only language model as a choice of parts   (book section 2.1.1, Table 2.2).

Every family from GPT-1 to Gemma 2 is these few words set differently; what a word stands for is
looked up in a dictionary of parts (NORMS, ACTIVATIONS, PLACEMENTS, ...). Read next: gpt.py, which
builds the model; presets.py, the families; sizes.py, how many parameters each has.
"""

import math
from dataclasses import dataclass

from tinylm.errors import ConfigError
from tinylm.nn import ACTIVATIONS, GATES, NORMS, PLACEMENTS
from tinylm.nn.position.bias import POSITION_BIASES
from tinylm.nn.position.rotary_scaling import SCALINGS

# norm_placement -> norms in a block. The placements of nn/norm.py put one norm at each of the two
# branches, sandwich two at each. In the parallel block both branches read the stream through one
# norm, or through one each.
NORMS_PER_BLOCK = {**dict.fromkeys(PLACEMENTS, 2), "sandwich": 4, "parallel": 1, "parallel_pair": 2}
ATTENTION = "full", "window"
FEED_FORWARD = "dense", "experts"
ROTATION = "rope", "none"
QK_NORMS = None, "head", "width"
POSITIONS = "learned", "sinusoidal", "rope", "none", *POSITION_BIASES, "alibi_in_root"

# field -> the words that it takes
WORDS = {
    "norm": NORMS,
    "norm_placement": NORMS_PER_BLOCK,
    "activation": {**ACTIVATIONS, **GATES},
    "positions": POSITIONS,
    "gates": ("probability", "share"),
}
# The same for fields that hold one word a layer, repeated to the last layer.
WORDS_BY_LAYER = {"attention": ATTENTION, "feed_forward": FEED_FORWARD, "rotation": ROTATION}


@dataclass(frozen=True)
class GPTConfig:
    """The settings of a GPT: its sizes and the kinds of its parts.

    The defaults are those of the smallest GPT-2.
    """

    vocab_size: int  # V
    context: int = 1024  # longest sequence, in tokens
    n_layer: int = 12  # L
    n_head: int = 12  # H
    d_model: int = 768  # D
    n_kv_head: int | None = None  # G; H if None
    d_hidden: int | None = None  # F; 4 D if None
    norm: str = "layer"  # layer | rms
    # pre:      x + F(norm(x))            sandwich:       x + norm'(F(norm(x)))
    # post:     norm(x + F(x))            parallel:       x + A(norm(x)) + F(norm(x))
    # branch:   x + norm(F(x))            parallel_pair:  x + A(norm(x)) + F(norm'(x))
    norm_placement: str = "pre"
    activation: str = "gelu_tanh"  # gelu_tanh | gelu | relu | silu | swiglu | geglu | ...
    # learned | sinusoidal | rope | none | a bias of the scores: alibi, t5, ...
    positions: str = "learned"
    rope_base: float = 10000.0
    bias: bool = True  # in linear maps and layer norms
    tied: bool = True  # output weights are the embedding table
    dropout: float = 0.0
    head_width: int | None = None  # K; D / H if None
    qkv_bias: bool | None = None  # in the query, key and value maps; as `bias` if None
    mlp_bias: bool | None = None  # in the maps of the feed-forward; as `bias` if None
    norm_bias: bool | None = None  # in layer norms; as `bias` if None
    norm_eps: float | None = None  # 1e-5 in layer norms and 1e-6 in RMS norms if None
    rope_scaling: dict | None = None  # {"name": of SCALINGS, its settings ...}
    rotary_width: int | None = None  # R: the first R / 2 pairs of a head turn; all K / 2 if None
    rotation: tuple = ("rope",)  # rope | none, layer by layer, repeated to the last layer
    qk_norm: str | None = None  # RMS norm of queries and keys: of each head | all heads' width
    embedding_scale: float = 1.0  # times the token embeddings, not the tied output weights
    embedding_norm: bool = False  # a layer norm after the embeddings
    attention: tuple = ("full",)  # full | window, layer by layer, repeated to the last layer
    window: int | None = None  # tokens a query of a window layer sees, itself among them
    attention_scale: float | None = None  # of the scores; 1/sqrt(K) if None
    # Neighboring layers that share the keys and values of the first of them; 1: each has its own.
    kv_sharing: int = 1
    # M: earlier positions whose states every layer reads too, segment by segment; see GPT.read().
    segment_memory: int = 0
    scale_by_layer: bool = False  # scores of layer l, from 0, are divided by l + 1
    attention_cap: float | None = None  # c: scores become c tanh(score / c)
    logit_cap: float | None = None  # the same for the logits
    feed_forward: tuple = ("dense",)  # dense | experts, layer by layer, repeated to the last layer
    experts: int = 0  # in each layer of experts; every one is a feed-forward
    experts_per_token: int = 2
    # Weight of the one chosen expert if experts_per_token is 1. probability: its probability among
    # all experts | share: its share among the chosen, which is 1. With more experts always shares.
    gates: str = "probability"
    # In training an expert takes at most this times its even share of a sequence's choices; the
    # others are dropped. None: all are taken.
    capacity_factor: float | None = None

    def __post_init__(self) -> None:
        for field in WORDS_BY_LAYER:
            value = getattr(self, field)
            if isinstance(value, str):
                value = (value,)
            # A frozen dataclass sets its own fields this way; JSON gives lists for tuples.
            object.__setattr__(self, field, tuple(value))
        self._check_words()
        self._check_sizes()
        self._check_numbers()
        self._check_rotation()
        self._check_segments()

    def _check_words(self):
        for field, allowed in WORDS.items():
            _check_word(field, getattr(self, field), allowed)
        for field, allowed in WORDS_BY_LAYER.items():
            pattern = getattr(self, field)
            if not pattern:
                raise ConfigError(
                    f"GPTConfig: {field} is empty: give a word for at least one layer"
                )
            for word in pattern:
                _check_word(field, word, allowed)

    def _check_sizes(self):
        sizes = ["vocab_size", "context", "n_layer", "n_head", "d_model", "kv_sharing"]
        if "window" in self.attention:
            sizes.append("window")
        if "experts" in self.feed_forward:
            sizes.append("experts")
        for field in sizes:
            if (getattr(self, field) or 0) < 1:
                raise ConfigError(f"GPTConfig: {field} = {getattr(self, field)} must be at least 1")
        if not self.key_width or self.n_head % self.kv_heads:
            raise ConfigError(
                f"GPTConfig: {self.n_head} heads are more than d_model {self.d_model}, or "
                f"no multiple of {self.kv_heads} key-value heads"
            )
        if "experts" in self.feed_forward and not 1 <= self.experts_per_token <= self.experts:
            raise ConfigError(
                f"GPTConfig: experts_per_token = {self.experts_per_token} of {self.experts} experts"
            )

    def _check_numbers(self):
        for field in ("rope_base", "norm_eps", "attention_cap", "logit_cap", "capacity_factor"):
            value = getattr(self, field)
            if value is not None and not value > 0:
                raise ConfigError(f"GPTConfig: {field} = {value} must be above 0")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"GPTConfig: dropout = {self.dropout} must be in [0, 1)")
        if self.attention_cap is not None and self.dropout:
            raise ConfigError(
                "GPTConfig: capped attention has no dropout of its weights; set dropout to 0"
            )

    def _check_rotation(self):
        if self.qk_norm not in QK_NORMS:
            raise ConfigError(
                f"GPTConfig: qk_norm = {self.qk_norm!r} is not one of None, head, width"
            )
        turned = self.positions == "rope"
        if not turned and (self.rotary_width is not None or "none" in self.rotation):
            raise ConfigError(
                "GPTConfig: rotary_width and rotation are of positions 'rope', "
                f"not {self.positions!r}"
            )
        if turned and self.key_width % 2:
            raise ConfigError(
                f"GPTConfig: rope turns pairs, so the head width {self.key_width} must be even: "
                "change d_model or n_head, or take other positions, such as learned"
            )
        R = self.rotary_width
        if R is not None and (R % 2 or not 2 <= R <= self.key_width):
            raise ConfigError(
                f"GPTConfig: rotary_width = {R} must be even, from 2 to the head width "
                f"{self.key_width}"
            )
        if self.rope_scaling is not None:
            self._check_scaling(self.rope_scaling)
        # Both patterns repeat, so it is enough to check the layers of one common period.
        period = math.lcm(max(1, len(self.rotation)), self.kv_sharing)
        for layer in range(min(self.n_layer, period)):
            owner = layer - layer % self.kv_sharing
            if self.layer("rotation", layer) != self.layer("rotation", owner):
                raise ConfigError(
                    f"GPTConfig: with kv_sharing = {self.kv_sharing} layer {layer} reads the keys "
                    f"of layer {owner}: give both the same rotation, not "
                    f"{', '.join(self.rotation)}"
                )

    def _check_scaling(self, scaling):
        if scaling.get("name") not in SCALINGS:
            raise ConfigError(
                f"GPTConfig: rope_scaling names {scaling.get('name')!r}, "
                f"not one of {', '.join(SCALINGS)}"
            )
        # Some scalings have a factor for every pair of coordinates that turns.
        for name in ("factors", "short", "long"):
            factors = scaling.get(name)
            if factors is not None and len(factors) != self.turned_width // 2:
                raise ConfigError(
                    f"GPTConfig: rope_scaling has {len(factors)} numbers for {name}, and "
                    f"{self.turned_width // 2} pairs turn: one each"
                )

    def _check_segments(self):
        if self.segment_memory < 0:
            raise ConfigError(f"GPTConfig: segment_memory = {self.segment_memory} is below 0")
        if self.segment_memory and self.positions in ("learned", "sinusoidal"):
            raise ConfigError(
                f"GPTConfig: segment_memory needs relative positions, not {self.positions!r}: a "
                "state is read again in the next segment, where it lies further back"
            )
        if self.segment_memory and self.kv_sharing > 1:
            raise ConfigError(
                f"GPTConfig: segment_memory = {self.segment_memory} keeps states of every layer, "
                f"and with kv_sharing = {self.kv_sharing} some make no keys of them: set one"
            )

    @property
    def key_width(self) -> int:
        """K, the width of a head."""
        return self.head_width or self.d_model // self.n_head

    @property
    def turned_width(self) -> int:
        """R, how many numbers of a head belong to pairs that turn."""
        return self.rotary_width or self.key_width

    @property
    def kv_heads(self) -> int:
        """G, the number of key-value heads."""
        return self.n_kv_head or self.n_head

    def kv_heads_of(self, layer: int) -> int:
        """Key-value heads that a layer makes: G, or 0 where it reads those of a layer below."""
        if layer % self.kv_sharing:
            return 0
        return self.kv_heads

    @property
    def cache_layers(self) -> int:
        """Layers whose keys and values a cache holds: L / kv_sharing, rounded up."""
        return -(-self.n_layer // self.kv_sharing)

    @property
    def hidden_width(self) -> int:
        """F, the width of the feed-forward."""
        return self.d_hidden or 4 * self.d_model

    def has_bias(self, part: str) -> bool:
        """Whether a part has biases: its own field if that is set, else `bias`.

        part  "qkv", "mlp" or "norm"
        """
        own = getattr(self, f"{part}_bias")
        if own is None:
            return self.bias
        return own

    def layer(self, field: str, index: int) -> str:
        """The word of layer `index` in a repeated field: attention, feed_forward or rotation."""
        pattern = getattr(self, field)
        return pattern[index % len(pattern)]


def _check_word(field, word, allowed):
    if word not in allowed:
        raise ConfigError(f"GPTConfig: {field} = {word!r} is not one of {', '.join(allowed)}")
