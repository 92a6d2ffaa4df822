"""The ways of smaller_models.py: students, and what is taken away: weights, heads, layers, bits.

Book section 1.3.3. Students are trained by a Bench, with the setting that is chosen for each; each
function that takes away starts from its trained model and returns {name: what Bench.measure() finds
of the smaller model}. Measured output: in smaller_models.py. Read next:
tinylm/finetune/compress/structured.py.
"""

import copy
import functools

import numpy as np

from tinylm.backend import Random
from tinylm.finetune.compress.distill import Distillation
from tinylm.finetune.compress.prune import effective, prune, sparsity_of
from tinylm.finetune.compress.quantize import (
    bytes_of,
    quantization_aware,
    quantize_weights,
    symmetric,
)
from tinylm.finetune.compress.reweight import bake
from tinylm.finetune.compress.structured import (
    evenly,
    head_importance,
    keep_layers,
    least_important,
    remove_heads,
    with_layer_drop,
    without_layer_drop,
)
from tinylm.pretrain import CausalLM
from tinylm.pretrain.batch import Batch

LAYERS, HEADS = 8, 4
DROP = 0.2  # each block is left out of a step with this probability
DRAWS = 8  # random choices of heads, whose mean is compared
MORE, DROPPED = ", trained on", f"trained with LayerDrop {DROP}"
TASK = CausalLM()


def distilled(bench, student, rate, beta=0.0):
    """A student that learns from the labels and the teacher."""
    task = Distillation(TASK, bench.teacher, alpha=0.5, beta=beta)
    return bench.train(student, rate, task=task)


def of_states(bench, beta):
    """A student that learns from hidden states too, at the rate that is best without."""
    return distilled(bench, bench.student(), bench.settings["half depth, logits"], beta)


def of_its_layers(bench, rate):
    """A student that starts from every second layer of the teacher."""
    return distilled(bench, keep_layers(bench.teacher, evenly(LAYERS, LAYERS // 2)), rate)


def shared(bench, rate):
    """One layer's weights in the place of all (ALBERT)."""
    model = bench.new()
    # one object many times: its parameters are counted once
    model.blocks = model.blocks[:1] * LAYERS
    return bench.train(model, rate)


def with_some_missing(bench, rate):
    """A model as large as the teacher, trained with LayerDrop."""
    return without_layer_drop(bench.train(with_layer_drop(bench.new(), DROP), rate))


def pruning(bench):
    """Weights set to zero, before and after training on. A bitmap marks those that are left."""
    found = {}
    for sparsity in (0.2, 0.5, 0.8):
        model = copy.deepcopy(bench.teacher)
        name = f"{sparsity:.0%} of weights pruned"
        # the smallest of all weights of the blocks, by |w|
        prune(model, sparsity)
        weights = sum(w.size for w in effective(model).values())
        alive = model.count_parameters() - round(sparsity_of(model) * weights)
        nbytes = 4 * alive + weights // 8  # the weights that are left, and one bit for each place
        found[name] = bench.measure(model, nbytes, alive)
        found[name + MORE] = bench.measure(bench.trained_on(model), nbytes, alive)
    return found


def heads(bench):
    """Heads removed by importance, at random, and by importance with training on."""
    # importance of a head: |dL/d gate| of a gate of 1 on its output, over about 256 rows
    rows, found = bench.rows[:: max(1, len(bench.rows) // 256)], {}
    batch = Batch(rows[:, :-1], rows[:, 1:]).to(bench.device)
    importance = head_importance(bench.teacher, lambda model, b: TASK.loss(model, b)[0], [batch])
    rng = Random(bench.seed, "heads")
    for count in (LAYERS * HEADS // 4, LAYERS * HEADS // 2):
        model = copy.deepcopy(bench.teacher)
        name = f"{count} of {LAYERS * HEADS} heads removed"
        found[name] = bench.measure(remove_heads(model, least_important(importance, count)))
        # a random number for every head in the place of its importance
        draws = [
            bench.measure(
                remove_heads(
                    copy.deepcopy(bench.teacher),
                    least_important(rng.uniform(importance.shape), count),
                )
            )
            for _ in range(DRAWS)
        ]
        found[name + ", at random"] = np.mean(draws, axis=0).tolist()
        found[name + MORE] = bench.measure(bench.trained_on(model))
    return found


def layers(bench):
    """Layers removed from the teacher, and from one trained with some missing."""
    dropped = bench.side(DROPPED)
    found = {DROPPED: bench.measure(dropped)}
    for gone in (LAYERS // 4, LAYERS // 2):
        keep = evenly(LAYERS, LAYERS - gone)
        name = f"{gone} of {LAYERS} layers removed"
        found[name] = bench.measure(keep_layers(bench.teacher, keep))
        for model, word in ((bench.teacher, ""), (dropped, ", LayerDrop")):
            small = keep_layers(model, keep)
            found[name + word] = bench.measure(small)
            found[name + word + MORE] = bench.measure(bench.trained_on(small))
    return found


def rounding(bench):
    """Weights of the blocks in few bits, with a scale for every output.

    Rounded once after all training, or in every step of the last part of it.
    """
    trained_on, found = bench.trained_on(copy.deepcopy(bench.teacher)), {}
    for bits in (8, 4, 3, 2):
        model = copy.deepcopy(trained_on)
        quantizer = functools.partial(symmetric, bits=bits)
        # codes of `bits` and scales; embeddings and norms stay float32
        nbytes = bytes_of(model, quantize_weights(model, quantizer))
        found[f"{bits} bits"] = bench.measure(model, nbytes)
        if bits < 8:
            # the forward pass rounds, the gradient passes straight through
            model = quantization_aware(copy.deepcopy(bench.teacher), quantizer)
            rounded = bake(bench.trained_on(model))
            found[f"{bits} bits, trained through rounding"] = bench.measure(rounded, nbytes)
    return found


REMOVALS = pruning, heads, layers, rounding
