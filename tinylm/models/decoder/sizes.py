"""How many parameters a language model has, in closed form, and the book's Table 2.2.

The book prints depth, width, heads and a rounded total. Hidden width, vocabulary, tying and head
width are not in the table: they are recalled from the models' published configurations
(presets.py). With them every total comes out, and that is evidence: where the table prints as many
key-value heads as query heads for LLaMA2-70B, Mistral and Falcon, only the smaller number of the
real models fits the printed total. Read next: presets.py.
"""

from dataclasses import dataclass

from tinylm.models.decoder.config import NORMS_PER_BLOCK, GPTConfig
from tinylm.nn import GATES

# Learned numbers of a bias of attention, for H heads (nn/position/bias.py with its own defaults).
_BIAS = {
    "offset": lambda H: 513 * H,
    "t5": lambda H: 32 * H,
    "kerple_power": lambda H: 2 * H,
    "kerple_log": lambda H: 2 * H,
    "fire": lambda H: 1 + 2 * 32 + 33 * H,
}


def count_parameters(config: GPTConfig) -> int:
    """How many numbers a GPT of this configuration trains; nothing is built.

    config   GPTConfig
    returns  int: embeddings + blocks + last norm
    """
    total = count_embeddings(config)
    total += sum(count_block(config, layer) for layer in range(config.n_layer))
    if config.norm_placement != "post":  # a post-norm block ends in a norm already
        total += count_norm(config)
    return total


def count_active(config: GPTConfig) -> int:
    """How many of them one token is multiplied with: of the experts, only those it is sent to."""
    c = config
    idle = (c.experts - c.experts_per_token) * count_feed_forward(c)  # in each layer of experts
    layers = sum(c.layer("feed_forward", layer) == "experts" for layer in range(c.n_layer))
    return count_parameters(c) - layers * idle


def count_embeddings(config: GPTConfig) -> int:
    """Token table, output weights and positions: V D (2 V D if not tied) + context D."""
    c = config
    total = c.vocab_size * c.d_model
    if not c.tied:
        total *= 2
    if c.positions == "learned":
        total += c.context * c.d_model
    elif c.positions in _BIAS:
        total += _BIAS[c.positions](c.n_head)
    if c.embedding_norm:
        total += count_norm(c)
    return total


def count_norm(config: GPTConfig) -> int:
    """One normalization: D gains, and D biases if it has them; RMS norms have none."""
    biases = config.norm == "layer" and config.has_bias("norm")
    return config.d_model * (1 + biases)


def count_attention(config: GPTConfig, layer: int = 0) -> int:
    """Queries, keys, values and output: (2 H + 2 G) K D, biases, and gains of normed queries and
    keys: 2 K or (H + G) K. G is 0 in a layer that reads the keys and values of one below.
    """
    c, G = config, config.kv_heads_of(layer)
    heads = c.n_head * c.key_width  # H K
    qkv = heads + 2 * G * c.key_width  # (H + 2 G) K
    gains = {None: 0, "head": 1 + (G > 0), "width": c.n_head + G}[c.qk_norm] * c.key_width
    biases = c.has_bias("qkv") * qkv + c.bias * c.d_model
    return c.d_model * (qkv + heads) + biases + gains


def count_feed_forward(config: GPTConfig) -> int:
    """One feed-forward, or one expert: 2 D F, 3 D F if gated, and biases."""
    c, D, F = config, config.d_model, config.hidden_width
    inner = 2 if c.activation in GATES else 1  # maps D -> F: a gated one has two
    return (inner + 1) * D * F + c.has_bias("mlp") * (inner * F + D)


def count_block(config: GPTConfig, layer: int = 0) -> int:
    """Block `layer`: attention, feed-forward or router and experts, and norms."""
    c = config
    forward = count_feed_forward(c)
    if c.layer("feed_forward", layer) == "experts":
        forward = c.d_model * c.experts + c.experts * forward  # the router is a (D, experts) map
    return count_attention(c, layer) + forward + NORMS_PER_BLOCK[c.norm_placement] * count_norm(c)


@dataclass(frozen=True)
class Printed:
    """A row of Table 2.2 as the book prints it.

    billions  of parameters, rounded;  the sizes after it are L, D, H and G
    preset    its name in presets.py, None where there is none
    note      what is wrong in the row, or why it is not counted
    """

    model: str
    billions: float
    n_layer: int
    d_model: int
    n_head: int
    n_kv_head: int
    preset: str | None
    note: str = ""


_MISPRINT = "a misprint for 27B: depth, width and heads give 27.23B"
_UNCOUNTED = "experts and latent attention follow another formula"
_GROUPED = "the real model groups its heads: with the printed number the total would be {:.2f}B"

# fmt: off
TABLE_2_2 = (
    Printed("GPT-1", 0.117, 12, 768, 12, 12, "gpt1"),
    Printed("GPT-2", 1.5, 48, 1600, 25, 25, "gpt2-xl"),
    Printed("GPT-3", 175, 96, 12288, 96, 96, "gpt3-175b"),
    Printed("LLaMA2", 7, 32, 4096, 32, 32, "llama2-7b"),
    Printed("LLaMA2", 13, 40, 5120, 40, 40, "llama2-13b"),
    Printed("LLaMA2", 70, 80, 8192, 64, 64, "llama2-70b", _GROUPED.format(78.37)),
    Printed("LLaMA3/3.1", 8, 32, 4096, 32, 8, "llama3-8b"),
    Printed("LLaMA3/3.1", 70, 80, 8192, 64, 8, "llama3-70b"),
    Printed("LLaMA3/3.1", 405, 126, 16384, 128, 8, "llama3.1-405b"),
    Printed("Gemma2", 2, 26, 2304, 8, 4, "gemma2-2b"),
    Printed("Gemma2", 9, 42, 3584, 16, 8, "gemma2-9b"),
    Printed("Gemma2", 37, 46, 4608, 32, 16, "gemma2-27b", _MISPRINT),
    Printed("Qwen2.5", 0.5, 24, 896, 14, 2, "qwen2.5-0.5b"),
    Printed("Qwen2.5", 7, 28, 3584, 28, 4, "qwen2.5-7b"),
    Printed("Qwen2.5", 72, 80, 8192, 64, 8, "qwen2.5-72b"),
    Printed("DeepSeek-V3", 671, 61, 7168, 128, 128, None, _UNCOUNTED),
    Printed("Falcon", 7, 32, 4544, 71, 71, "falcon-7b", _GROUPED.format(8.22)),
    Printed("Falcon", 40, 60, 8192, 128, 128, "falcon-40b", _GROUPED.format(48.90)),
    Printed("Falcon", 180, 80, 14848, 232, 232, "falcon-180b", _GROUPED.format(212.64)),
    Printed("Mistral", 7, 32, 4096, 32, 32, "mistral-7b", _GROUPED.format(8.05)),
)
# fmt: on
