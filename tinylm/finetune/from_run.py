"""From what `tinylm train` left to what is fine-tuned: the model without its pretraining head, and
how it reads texts.

    encoder, inputs = pretrained_part("runs/masked")
    model, task = Classifier(encoder, 2), Classification(inputs, ("bad", "good"))
    fit(model, task, [("I liked it.", "good"), ("A waste of time.", "bad"), ...])

Read next: tasks/heads.py, tasks/classify.py.
"""

from dataclasses import replace

from tinylm.finetune.inputs import EncoderInput
from tinylm.models.encoder.encoder import Electra, Encoder, without_head
from tinylm.train.run.families import family_of
from tinylm.train.run.run import load_run


def pretrained_part(path):
    """What a run has trained, ready for a task.

    path     a run, or a checkpoint directory
    returns  (model, EncoderInput): an Encoder without its head (of ELECTRA the discriminator), a
             GPT or a Seq2Seq as it is; and its tokenizer and special ids, texts cut to what it
             reads
    raises   CheckpointError if there is no run, or it is damaged
    """
    model, tokenizer, config = load_run(path)
    special = family_of(config, tokenizer.vocab_size).special
    model = (
        model.discriminator if isinstance(model, Electra) else getattr(model, "model", model)
    )  # without multi-token's heads
    if isinstance(model, Encoder):
        model = without_head(model)
    if special.pad is None:  # a GPT's vocabulary has none, and needs none: what is behind a text
        special = replace(special, pad=0)  # is seen by no token of it, whatever stands there
    return model, EncoderInput(special, tokenizer, getattr(model.config, "context", None))
