"""Adapting a pretrained model to a task   (book sections 1.4, 2.1.3, 3.3).

A task is an objective with answers: `make_batch(examples, rng)`, `loss(model, batch)`,
`predict(model, batch)`, `measure(answers, examples)`. Read fitting.py first, then freezing.py and
inputs.py.

    # a run of `tinylm train --objective masked`, see from_run.py
    encoder, inputs = pretrained_part("runs/masked")
    model, task = Classifier(encoder, 2), Classification(inputs, ("bad", "good"))
    fit(model, task, [("I liked it.", "good"), ("A waste of time.", "bad")])

The rooms:

    tasks      heads on an encoder or decoder: classes, tags, spans; grafted encoders; tasks written
               as text
    peft       LoRA, adapters, IA3, prefixes, soft prompts: few parameters are trained
    compress   distillation, pruning, quantization, early exit
    context    a long context distilled into weights, gist tokens or vectors
    instruct   instructions and conversations
    continual  forgetting, and what helps against it
    export     a run, tuned or not, as a folder that other libraries open
"""

from tinylm.finetune.fitting import answers, evaluate, fit
from tinylm.finetune.freezing import freeze, only, trainable, unfreeze
