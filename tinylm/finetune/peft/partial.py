"""Training a part of the model's own parameters   (book section 3.3.2.2, Fig. 3.7 c; Lialin et al.
2023)

Nothing is added: some parameters are trained as in full fine-tuning, the others are frozen. Which
ones is a pattern of names, so each method is one line over freezing.only(). Read next: freezing.py;
lora.py.
"""

from tinylm.errors import ConfigError
from tinylm.finetune.freezing import only
from tinylm.nn.module import Module


def bitfit(model: Module) -> Module:
    """Train every bias, of linear maps and of norms, and nothing else   (Ben Zaken et al. 2022,
    BitFit). Returns the model.
    """
    return only(model, "*.bias")


def norms_only(model: Module) -> Module:
    """Train gains and biases of normalization layers, and nothing else. Returns the model."""
    # norms in the blocks, behind them, of an encoder's embeddings, and in any wrapper
    return only(model, "*norm*")


def last_layers(model: Module, k: int) -> Module:
    """Train the last k blocks and the norm behind them, and nothing else. Returns the model.

    model   GPT or Encoder
    raises  ConfigError unless 1 <= k <= L
    """
    L = len(model.blocks)
    if not 1 <= k <= L:
        raise ConfigError(f"last_layers: {k} of {L} layers: it must be from 1 to {L}")
    patterns = [f"blocks.{layer}.*" for layer in range(L - k, L)]
    if getattr(model, "norm", None) is not None:  # post-norm models have none behind the last block
        patterns.append("norm.*")
    return only(model, *patterns)
