"""How many numbers each method trains, by formula: what tests and tables hold the counted
parameters against.

Read next: the file of each method; scripts/3_prompting/peft_comparison.py.
"""

from tinylm.errors import ConfigError
from tinylm.nn import GATES


def counts(config, r=8, n=8):
    """Numbers that each method trains on a GPT with biases and layer norms in pre-norm placement:
    dict method -> int.

    config  GPTConfig
    r       rank of LoRA (on q and v, and on every map), width of adapters
    n       prefixes, or vectors of a prompt
    """
    c = config
    L, D, G, K, F = c.n_layer, c.d_model, c.kv_heads, c.key_width, c.hidden_width
    Q = c.n_head * K
    if (
        not c.bias
        or c.norm != "layer"
        or c.activation in GATES
        or c.norm_placement != "pre"
        or c.qk_norm
    ):
        raise ConfigError(
            "counts: the formulas are those of a GPT with biases, layer norms and a plain feed-forward, pre-norm"
        )
    norm = 2 * D
    block = (D + 1) * (Q + 2 * G * K) + (Q + 1) * D + (D + 1) * F + (F + 1) * D + 2 * norm
    every_map = [(D, Q + 2 * G * K), (Q, D), (D, F), (F, D)]
    return {
        "last layer": block + norm,
        "bitfit": L * (Q + 2 * G * K + D + F + D + 2 * D) + D,
        "norms": (2 * L + 1) * norm,
        "lora q, v": L * r * (D + Q + D + G * K),
        "lora all": L * r * sum(d_in + d_out for d_in, d_out in every_map),
        "adapters, Houlsby": 2 * L * (2 * D * r + r + D),
        "adapters, Pfeiffer": L * (2 * D * r + r + D),
        "ia3": L * (2 * G * K + F),
        "prefix, states": L * n * D,
        "prefix, keys and values": 2 * L * n * G * K,
        "prompt tuning": n * D,
    }
