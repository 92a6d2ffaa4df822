"""What an encoder is made of, as a configuration   (book section 1.3).

Read next: encoder.py; presets.py for the configurations of published models.
"""

from dataclasses import dataclass

from tinylm.errors import ConfigError
from tinylm.nn import ACTIVATIONS, GATES

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

    def __post_init__(self) -> None:
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
