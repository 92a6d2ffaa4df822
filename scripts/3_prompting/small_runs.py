"""What the scripts that train small models from several seeds have in common.

Their command line, their model, and one pass over the rows of the training text. Sizes, learning
rates and what is measured are each script's own. Read next: any script that imports it.
"""

from tinylm.finetune import fit
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models import GPT, GPTConfig
from tinylm.train.script import command_line

__all__ = ["command_line", "read_once", "small_gpt"]


def small_gpt(vocab_size, context, seed, **parts):
    """A GPT of two layers, four heads and width 64, without biases, its two ends not tied.

    parts  fields of GPTConfig, others than these or in their place: positions, n_layer, ..
    """
    settings = {"n_layer": 2, "n_head": 4, "d_model": 64, "norm": "rms", "bias": False}
    config = GPTConfig(vocab_size, context, tied=False, **(settings | parts))
    model = GPT(config, seed)
    # Embeddings ten times GPT-2's: with 0.02 two layers learn more slowly.
    model.tokens.weight.data *= 10
    return model


def read_once(model, rows, batch, rate, seed, task=None):
    """Train a model on rows, each once, at a learning rate that falls from `rate`: the model.

    rows  encoded examples or packed rows, as fit() takes them
    task  as of fit(); None: InstructionTuning
    """
    fit(
        model,
        task or InstructionTuning(),
        rows,
        steps=-(-len(rows) // batch),  # rounded up
        batch_size=batch,
        learning_rate=rate,
        weight_decay=0.0,
        seed=seed,
    )
    return model.eval()
