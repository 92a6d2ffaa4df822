"""How many numbers each method trains, by formula: tests and tables compare the counted parameters
with it.

Read next: the file of each method; scripts/3_prompting/peft_comparison.py.
"""

from tinylm.errors import ConfigError
from tinylm.models.decoder.config import GPTConfig
from tinylm.nn import GATES


def counts(config: GPTConfig, r: int = 8, n: int = 8) -> dict[str, int]:
    """Numbers that each method trains on a GPT with biases and layer norms in pre-norm placement:
    dict method -> int.

    config  GPTConfig
    r       rank of LoRA (on q and v, and on every map), width of adapters
    n       prefixes, or vectors of a prompt
    """
    c = config
    L, D, G, K, F = c.n_layer, c.d_model, c.kv_heads, c.key_width, c.hidden_width
    Q = c.n_head * K
    pre_norm = c.norm == "layer" and c.norm_placement == "pre" and not c.qk_norm
    if not c.bias or not pre_norm or c.activation in GATES or c.kv_sharing > 1:
        raise ConfigError(
            "counts: the formulas are those of a GPT with biases, layer norms "
            "and a plain feed-forward, pre-norm"
        )
    norm = 2 * D  # gain and bias
    attention = (D + 1) * (Q + 2 * G * K) + (Q + 1) * D  # qkv and out, with biases
    feed_forward = (D + 1) * F + (F + 1) * D
    block = attention + feed_forward + 2 * norm
    # rank r beside a map of d_in to d_out: A has r d_in numbers, B has r d_out
    every_map = [(D, Q + 2 * G * K), (Q, D), (D, F), (F, D)]
    return {
        "last layer": block + norm,
        # biases of qkv, out, hidden, out and two norms a layer, and of the norm at the end
        "bitfit": L * (Q + 2 * G * K + D + F + D + 2 * D) + D,
        "norms": (2 * L + 1) * norm,
        "lora q, v": L * r * (D + Q + D + G * K),
        "lora all": L * r * sum(d_in + d_out for d_in, d_out in every_map),
        # D -> r -> D with biases: 2 D r + r + D; twice a layer, or once
        "adapters, Houlsby": 2 * L * (2 * D * r + r + D),
        "adapters, Pfeiffer": L * (2 * D * r + r + D),
        "ia3": L * (2 * G * K + F),
        "prefix, states": L * n * D,
        "prefix, keys and values": 2 * L * n * G * K,
        "prompt tuning": n * D,
    }
