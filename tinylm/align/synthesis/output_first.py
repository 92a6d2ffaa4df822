"""Output first: fix the label, then generate an input that has it   (book section 4.2.2.2; Longpre
et al. 2023, input inversion).

A model that writes input and output of a classification task prefers some labels, and most samples
are of one class. So the label is drawn from a prior, and the model writes an input for it:

    input first    x ~ Pr(x | instruction),  y ~ Pr(y | x, instruction)     the model's labels
    output first   y ~ prior,  x ~ Pr(x | instruction, y)                   the prior's labels

Read next: evolve.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.align.synthesis.self_instruct import NO_INPUT
from tinylm.data.read.instructions import Instruction
from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.optimize.proposals import draw_seed
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import read_reply, render_fields

NEW_INPUT = (
    "You are given a set of examples, each composed of an instruction, an output and a user input "
    "that has this output. Please generate the user input of a new example based on these."
)


def label_counts(prior: dict[str, float], count: int) -> dict[str, int]:
    """How many of `count` samples get each label: the prior, rounded by largest remainders.

    prior    {label: weight}, 0 or more, not all 0
    returns  {label: int}, with sum `count`, each less than 1 away from count * share
    raises   ConfigError for weights that are no prior
    """
    weights = np.array(list(prior.values()), np.float64)
    if not len(weights) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ConfigError(f"label_counts: the prior {prior} must have weights of 0 or more")
    exact = count * weights / weights.sum()
    counts = np.floor(exact).astype(int)
    left = count - int(counts.sum())
    # Of equal remainders the label that comes first is rounded up.
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[:left]] += 1
    return dict(zip(prior, counts.tolist()))


def input_prompt(samples: Sequence[Instruction], instruction: str, output: str) -> str:
    """The prompt for an input that has a given output.

    samples  list of Instruction, shown with the output before the input
    """
    fields = [("", NEW_INPUT)]
    for k, sample in enumerate(samples, 1):
        fields += [(f"Example {k}", sample.instruction), ("Output", sample.output)]
        fields.append(("Input", sample.input or NO_INPUT))
    fields += [("New Example", instruction), ("Output", output), ("Input", None)]
    return render_fields(fields)


def output_first(
    lm: TextLM,
    instruction: str,
    prior: dict[str, int],
    count: int,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 128,
    **sampling: Any,
) -> list[Instruction]:
    """Samples of a classification task whose labels are those of a prior   (Longpre et al. 2023)

    lm              TextLM
    prior           {label: weight}
    count           samples to generate
    demonstrations  list of Instruction
    sampling        of TextLM.complete, temperature 0.7 unless given
    returns         list of Instruction, labels in a random order. An empty input is left out: the
                    model had none for that label
    """
    rng = np.random.default_rng(seed)
    labels = [label for label, n in label_counts(prior, count).items() for _ in range(n)]
    labels = [labels[i] for i in rng.permutation(len(labels))]
    stop = "\nExample ", "\nNew Example", "\nOutput:"
    sampling = {"temperature": 0.7, **sampling}
    found = []
    for label in labels:
        prompt = input_prompt(demonstrations, instruction, label)
        reply = lm.complete(
            prompt, seed=draw_seed(rng), max_tokens=max_tokens, stop=stop, **sampling
        )
        text = lm.parsed("input", read_reply(reply.text, "Input", ("Output",)))
        if text:
            found.append(Instruction(instruction, label, text, task="output-first"))
    return found
