"""From a run of `tinylm train` to a model for fine-tuning, without its pretraining head.

    encoder, inputs = pretrained_part("runs/masked")
    model, task = Classifier(encoder, 2), Classification(inputs, ("bad", "good"))
    fit(model, task, [("I liked it.", "good"), ("A waste of time.", "bad"), ...])

Read next: tasks/heads.py, tasks/classify.py.
"""

from dataclasses import replace
from pathlib import Path

from tinylm.finetune.inputs import EncoderInput
from tinylm.models.encoder.encoder import Electra, Encoder, without_head
from tinylm.nn.module import Module
from tinylm.tokenizers.base import Tokenizer
from tinylm.train.run.config import TrainConfig
from tinylm.train.run.saved import load_run


def pretrained_part(path: str | Path) -> tuple:
    """The pretrained model of a run, ready for a task.

    path     a run, or a checkpoint directory
    returns  (model, EncoderInput): an Encoder without its head (of ELECTRA the discriminator), a
             GPT or a Seq2Seq as it is; and the input that holds its tokenizer, its special ids and
             its longest text
    raises   CheckpointError if there is no run, or it is damaged
    """
    return part_of(*load_run(path))


def part_of(model: Module, tokenizer: Tokenizer, config: TrainConfig) -> tuple:
    """The same of a model with its tokenizer and its TrainConfig."""
    special = config.special(tokenizer.vocab_size)
    if isinstance(model, Electra):
        model = model.discriminator
    elif hasattr(model, "model"):
        model = model.model  # without the heads of multi-token prediction
    if isinstance(model, Encoder):
        model = without_head(model)
    if special.pad is None:
        # A GPT's vocabulary has no [PAD] and any id may stand for it: attention is causal, so no
        # token of a text sees the padding behind it.
        special = replace(special, pad=0)
    return model, EncoderInput(special, tokenizer, getattr(model.config, "context", None))
