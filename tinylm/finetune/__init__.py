"""Adapting a pretrained model to a task   (book sections 1.4, 2.1.3, 3.3).

A task is an objective that also answers: `make_batch(examples, rng)`, `loss(model, batch)`, `predict(model, batch)`,
`measure(answers, examples)`. Read fit.py first, then freezing.py; heads.py for what is put on top of an encoder; lora.py,
adapters.py, prefix.py, soft_prompts.py for training few parameters; distill.py, prune.py, quantize.py for smaller models.
"""
from tinylm.finetune.fit import answers, evaluate, fit
from tinylm.finetune.freezing import freeze, only, trainable, unfreeze
