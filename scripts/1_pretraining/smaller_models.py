"""Smaller models: what is lost by distilling, pruning, removing and rounding? Book section 1.3.3.

Claims: a student of half the depth learns more from a teacher than from the text alone, more still
from its hidden states; half of the weights can go at once, most of them after training on; some
heads go without much loss, and by importance better than at random; layers can be removed if the
model was trained with some missing (LayerDrop); 8 bits cost nothing, and few bits cost less when
the model was trained through the rounding. A GPT of 4 layers learns characters of English text;
each way of making it smaller starts from it. Students see as many batches as the teacher did, what
is trained on an eighth of that; so does the teacher itself, for comparison. `python
scripts/1_pretraining/smaller_models.py [--data FILE_OR_FOLDER] [--seed N] [--device D] [--quick]`;
without --data Python's language reference, which every Python has. 3 seeds, about 4 minutes on one
core; --quick is 2 seeds and a tenth of the steps. Read next: adaptive_inference.py, which spends
less only where an input allows it.

Measured output (mean over 3 seeds, with the least and the most):

                                               parameters     KiB   kFLOP  nats a character
    teacher                                       120,432     470     268  2.027 (1.989 .. 2.053)
    teacher, trained on                           120,432     470     268  2.008 (1.982 .. 2.038)
    half depth, from the text                      63,888     250     139  2.041 (2.028 .. 2.064)
    half depth, logits                             63,888     250     139  1.971 (1.946 .. 1.997)
    half depth, logits and hidden states           63,888     250     139  2.243 (2.208 .. 2.261)
    half depth, logits, from its layers            63,888     250     139  1.895 (1.877 .. 1.906)
    one layer's weights for all                    35,616     139     268  2.132 (2.102 .. 2.165)
    50% of weights pruned                          65,136     268     268  2.286 (2.248 .. 2.331)
    50% of weights pruned, trained on              65,136     268     268  2.056 (2.034 .. 2.080)
    80% of weights pruned                          31,958     138     268  3.048 (2.990 .. 3.079)
    80% of weights pruned, trained on              31,958     138     268  2.465 (2.441 .. 2.500)
    95% of weights pruned                          15,370      74     268  3.567 (3.409 .. 3.767)
    95% of weights pruned, trained on              15,370      74     268  2.828 (2.807 .. 2.846)
    4 of 16 heads removed                         111,072     434     240  2.047 (2.020 .. 2.066)
    4 of 16 heads removed, at random              111,072     434     240  2.237 (2.021 .. 2.511)
    4 of 16 heads removed, trained on             111,072     434     240  2.015 (1.991 .. 2.043)
    8 of 16 heads removed                         101,712     397     213  2.090 (2.071 .. 2.102)
    8 of 16 heads removed, at random              101,712     397     213  2.287 (2.090 .. 2.536)
    8 of 16 heads removed, trained on             101,712     397     213  2.032 (2.013 .. 2.053)
    trained with LayerDrop 0.2                    120,432     470     268  2.255 (2.221 .. 2.273)
    1 of 4 layers removed                          92,160     360     203  2.099 (2.075 .. 2.126)
    1 of 4 layers removed, trained on              92,160     360     203  2.039 (2.016 .. 2.073)
    1 of 4 layers removed, after LayerDrop         92,160     360     203  2.277 (2.247 .. 2.294)
    2 of 4 layers removed                          63,888     250     139  2.230 (2.212 .. 2.260)
    2 of 4 layers removed, trained on              63,888     250     139  2.088 (2.063 .. 2.128)
    2 of 4 layers removed, after LayerDrop         63,888     250     139  2.291 (2.260 .. 2.310)
    8 bits                                        120,432     153     268  2.008 (1.982 .. 2.038)
    4 bits                                        120,432      99     268  2.027 (1.998 .. 2.057)
    4 bits, trained through rounding              120,432      99     268  2.017 (1.991 .. 2.046)
    3 bits                                        120,432      86     268  2.135 (2.090 .. 2.210)
    3 bits, trained through rounding              120,432      86     268  2.042 (2.007 .. 2.076)
    2 bits                                        120,432      72     268  2.979 (2.920 .. 3.030)
    2 bits, trained through rounding              120,432      72     268  2.315 (2.296 .. 2.338)
    half depth, logits < half depth, from the text
      a teacher's logits help a student (section 1.3.3): +0.0708 [+0.0461, +0.0956], 3 seeds: shows
    half depth, logits and hidden states < half depth, logits
      its hidden states help besides (section 1.3.3): -0.272 [-0.315, -0.229], 3 seeds: shows the
        opposite
    half depth, logits, from its layers < half depth, logits
      starting from its layers helps (section 1.3.3): +0.0761 [+0.0304, +0.122], 3 seeds: shows
    4 of 16 heads removed < 4 of 16 heads removed, at random
      importance chooses heads better than chance (section 1.3.3): +0.19 [-0.38, +0.76], 3 seeds:
        too small to tell; 0.57 could have been seen
    8 of 16 heads removed < 8 of 16 heads removed, at random
      importance chooses heads better than chance (section 1.3.3): +0.197 [-0.344, +0.738], 3 seeds:
        too small to tell; 0.54 could have been seen
    1 of 4 layers removed, after LayerDrop < 1 of 4 layers removed
      LayerDrop makes layers removable (section 1.3.3): -0.178 [-0.226, -0.13], 3 seeds: shows the
        opposite
    2 of 4 layers removed, after LayerDrop < 2 of 4 layers removed
      LayerDrop makes layers removable (section 1.3.3): -0.0612 [-0.139, +0.0164], 3 seeds: too
        small to tell; 0.078 could have been seen
    4 bits, trained through rounding < 4 bits
      training through rounding helps (section 1.3.3): +0.00956 [+0.0044, +0.0147], 3 seeds: shows
    3 bits, trained through rounding < 3 bits
      training through rounding helps (section 1.3.3): +0.0932 [+0.00305, +0.183], 3 seeds: shows
    2 bits, trained through rounding < 2 bits
      training through rounding helps (section 1.3.3): +0.664 [+0.541, +0.788], 3 seeds: shows
    costs at most 0.02, against the teacher, trained on
      50% of weights pruned: -0.277 [-0.311, -0.244], 3 seeds: shows the opposite
      50% of weights pruned, trained on: -0.0476 [-0.0617, -0.0336], 3 seeds: shows the opposite
      80% of weights pruned: -1.04 [-1.17, -0.905], 3 seeds: shows the opposite
      80% of weights pruned, trained on: -0.456 [-0.502, -0.411], 3 seeds: shows the opposite
      95% of weights pruned: -1.56 [-2.06, -1.06], 3 seeds: shows the opposite
      95% of weights pruned, trained on: -0.819 [-0.939, -0.7], 3 seeds: shows the opposite
      4 of 16 heads removed, trained on: -0.00701 [-0.0134, -0.000632], 3 seeds: shows
      8 of 16 heads removed, trained on: -0.0235 [-0.0435, -0.00336], 3 seeds: too small to tell;
        9.4e-05 could have been seen
      1 of 4 layers removed, trained on: -0.0307 [-0.0475, -0.0139], 3 seeds: too small to tell;
        -0.0032 could have been seen
      2 of 4 layers removed, trained on: -0.0799 [-0.105, -0.0548], 3 seeds: shows the opposite
      8 bits: -0.000135 [-0.000555, +0.000284], 3 seeds: shows
      4 bits: -0.0187 [-0.0249, -0.0124], 3 seeds: too small to tell; -0.014 could have been seen
      4 bits, trained through rounding: -0.00911 [-0.0122, -0.00604], 3 seeds: shows
      3 bits: -0.127 [-0.223, -0.0305], 3 seeds: shows the opposite
      3 bits, trained through rounding: -0.0336 [-0.0505, -0.0166], 3 seeds: too small to tell;
        -0.003 could have been seen
      2 bits: -0.971 [-1.14, -0.798], 3 seeds: shows the opposite
      2 bits, trained through rounding: -0.307 [-0.356, -0.257], 3 seeds: shows the opposite

Where the claims do not show: half of the weights cannot go at once, and 80 % not even with training
on; matching hidden states (weight 1) costs a student more than it gives; chance heads differ so
much that three seeds are too few to compare importance with it; LayerDrop has learned less in 900
steps, and a little training on mends a removal better. The teacher is far from done learning, so a
student that learns from text and teacher for as long passes it. In NumPy only fewer heads and
layers save time, as the kFLOP of products for each character show.
"""

import argparse
import copy
from functools import partial

import numpy as np

from tinylm.autograd import no_grad
from tinylm.autograd.engine.profile import count_operations
from tinylm.backend import Random, to_device
from tinylm.data import python_documentation, read_text, split_text, without_repeats
from tinylm.finetune import fit
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
from tinylm.models import GPT, GPTConfig
from tinylm.nn.linear import INIT_STD
from tinylm.pretrain import CausalLM
from tinylm.pretrain.batch import Batch
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

T, B, D, LAYERS, HEADS, STEPS, RATE = 48, 8, 48, 4, 4, 900, 8e-3
MORE = ", trained on"
EXTRA = 0.125  # what is trained on sees this share of the batches again, at a third of the rate
TASK = CausalLM()

# Losses in nats a character, paired: every model of a seed comes from its teacher and its batches.
LOGITS = Claim("a teacher's logits help a student", "1.3.3", larger=False)
STATES = Claim("its hidden states help besides", "1.3.3", larger=False)
START = Claim("starting from its layers helps", "1.3.3", larger=False)
IMPORTANCE = Claim("importance chooses heads better than chance", "1.3.3", larger=False)
LAYER_DROP = Claim("LayerDrop makes layers removable", "1.3.3", larger=False)
ROUNDING = Claim("training through rounding helps", "1.3.3", larger=False)
# About as much as training on changes the teacher: less than that is no price.
FREE = Claim("costs at most 0.02", "1.3.3", larger=False, least=-0.02)


class Bench:
    """Text to train on, and held-out text to measure on."""

    def __init__(self, text, seed, device, steps):
        train, test = split_text(text, 0.1)
        self.alphabet = np.unique(np.frombuffer(text.encode("utf-32-le"), np.uint32))
        # (n, T + 1): windows that overlap, one every 7 characters
        self.rows = np.lib.stride_tricks.sliding_window_view(self.ids(train), T + 1)[::7]
        unseen = self.ids(test)
        # (256, T + 1) at most: windows that do not overlap
        self.test = unseen[: len(unseen) // (T + 1) * (T + 1)].reshape(-1, T + 1)[:256]
        self.seed = seed
        self.device = device
        self.steps = steps
        self.found = {}

    def ids(self, text):
        """Characters as numbers below the size of the alphabet."""
        return np.searchsorted(
            self.alphabet, np.frombuffer(text.encode("utf-32-le"), np.uint32)
        ).astype(np.int64)

    def new(self, layers=LAYERS, seed=0):
        """A fresh GPT."""
        config = GPTConfig(len(self.alphabet), T, layers, HEADS, D)
        model = GPT(config, 10 * self.seed + seed)
        for p in model.parameters():
            if p.ndim == 2:
                # std D^-1/2: GPT-2's small weights are meant for widths of hundreds
                p.data *= D**-0.5 / INIT_STD
        return model.to(self.device)

    def train(self, model, share=1.0, rate=RATE, task=TASK):
        """Train on the text, `share` of the whole number of steps. Returns the model."""
        fit(
            model,
            task,
            self.rows,
            steps=round(share * self.steps),
            batch_size=B,
            learning_rate=rate,
            seed=self.seed,
        )
        return model

    def loss(self, model):
        """Mean loss on held-out text, in nats a character."""
        batches = [
            Batch(part[:, :-1], part[:, 1:]).to(self.device)
            for part in np.array_split(self.test, 4)
        ]
        with no_grad():
            return float(
                np.average(
                    [TASK.loss(model.eval(), b)[1]["loss"] for b in batches],
                    weights=[len(b) for b in batches],
                )
            )

    def measure(self, name, model, nbytes=None, alive=None):
        """Record the size, work and loss of a model.

        nbytes  bytes it takes, if not 4 for every parameter
        alive   how many parameters are not zero, if some are
        """
        # the products of one window of T characters, forward
        with no_grad(), count_operations() as counts:
            model(to_device(self.test[:1, :-1], self.device))
        count = alive or model.count_parameters()
        self.found[name] = (
            count,
            nbytes or 4 * count,
            counts.matmul_flops() / T / 1e3,
            self.loss(model),
        )


def distillation(bench, teacher):
    """Students of half the depth, by what they learn from; and one layer's weights in the place of
    all (ALBERT).
    """
    bench.measure("half depth, from the text", bench.train(bench.new(LAYERS // 2, 1)))
    for name, student, beta in (
        ("half depth, logits", bench.new(LAYERS // 2, 1), 0.0),
        ("half depth, logits and hidden states", bench.new(LAYERS // 2, 1), 1.0),
        (
            "half depth, logits, from its layers",
            # every second layer of the teacher
            keep_layers(teacher, evenly(LAYERS, LAYERS // 2)),
            0.0,
        ),
    ):
        bench.measure(
            name, bench.train(student, task=Distillation(TASK, teacher, alpha=0.5, beta=beta))
        )
    shared = bench.new()
    # one object four times: its parameters are counted once
    shared.blocks = shared.blocks[:1] * LAYERS
    bench.measure("one layer's weights for all", bench.train(shared))


def pruning(bench, teacher):
    """Weights set to zero, before and after training on. A bitmap marks those that are left."""
    for sparsity in (0.5, 0.8, 0.95):
        model = copy.deepcopy(teacher)
        name = f"{sparsity:.0%} of weights pruned"
        # the smallest of all weights of the blocks, by |w|
        prune(model, sparsity)
        weights = sum(w.size for w in effective(model).values())
        alive = model.count_parameters() - round(sparsity_of(model) * weights)
        nbytes = 4 * alive + weights // 8  # the weights that are left, and one bit for each place
        bench.measure(name, model, nbytes, alive)
        bench.measure(name + MORE, bench.train(model, EXTRA, RATE / 3), nbytes, alive)


def heads(bench, teacher):
    """Heads removed by importance, at random, and by importance with training on."""
    # importance of a head: |dL/d gate| of a gate of 1 on its output, over about 64 rows
    rows = bench.rows[:: max(1, len(bench.rows) // 64)]
    batch = Batch(rows[:, :-1], rows[:, 1:]).to(bench.device)
    importance = head_importance(teacher, lambda model, b: TASK.loss(model, b)[0], [batch])
    # a random number for every head in the place of its importance
    chance = Random(bench.seed, "heads").uniform(importance.shape)
    for count in (LAYERS * HEADS // 4, LAYERS * HEADS // 2):
        model = copy.deepcopy(teacher)
        name = f"{count} of {LAYERS * HEADS} heads removed"
        bench.measure(name, remove_heads(model, least_important(importance, count)))
        bench.measure(
            name + ", at random",
            remove_heads(copy.deepcopy(teacher), least_important(chance, count)),
        )
        bench.measure(name + MORE, bench.train(model, EXTRA, RATE / 3))


def layers(bench, teacher):
    """Layers removed from the teacher, and from one trained with some missing."""
    # each block is left out of a step with probability 0.2
    dropped = without_layer_drop(bench.train(with_layer_drop(bench.new(), 0.2)))
    bench.measure("trained with LayerDrop 0.2", dropped)
    for gone in (1, 2):
        keep = evenly(LAYERS, LAYERS - gone)
        name = f"{gone} of {LAYERS} layers removed"
        bench.measure(name, keep_layers(teacher, keep))
        bench.measure(name + MORE, bench.train(keep_layers(teacher, keep), EXTRA, RATE / 3))
        bench.measure(name + ", after LayerDrop", keep_layers(dropped, keep))


def rounding(bench, teacher, trained_on):
    """Weights of the blocks in few bits, with a scale for every output.

    Rounded once after all training, or in every step of the last part of it.
    """
    for bits in (8, 4, 3, 2):
        model = copy.deepcopy(trained_on)
        quantizer = partial(symmetric, bits=bits)
        # codes of `bits` and scales; embeddings and norms stay float32
        nbytes = bytes_of(model, quantize_weights(model, quantizer))
        bench.measure(f"{bits} bits", model, nbytes)
        if bits < 8:
            # the forward pass rounds, the gradient passes straight through
            model = quantization_aware(copy.deepcopy(teacher), quantizer)
            bench.measure(
                f"{bits} bits, trained through rounding",
                bake(bench.train(model, EXTRA, RATE / 3)),
                nbytes,
            )


def one_seed(text, seed, device, steps):
    """All measurements of one seed: dict name -> (parameters, bytes, kFLOP a character, loss)."""
    bench = Bench(text, seed, device, steps)
    teacher = bench.train(bench.new())
    bench.measure("teacher", teacher)
    trained_on = bench.train(copy.deepcopy(teacher), EXTRA, RATE / 3)
    bench.measure("teacher" + MORE, trained_on)
    for part in (distillation, pruning, heads, layers):
        part(bench, teacher)
    rounding(bench, teacher, trained_on)
    return bench.found


def verdicts(loss):
    """Print the verdicts. loss: dict name -> (seeds,)."""
    student = "half depth, from the text"
    taught = "half depth, logits"
    comparisons = [
        (LOGITS, taught, student),
        (STATES, "half depth, logits and hidden states", taught),
        (START, "half depth, logits, from its layers", taught),
    ]
    for count in (LAYERS * HEADS // 4, LAYERS * HEADS // 2):
        name = f"{count} of {LAYERS * HEADS} heads removed"
        comparisons.append((IMPORTANCE, name, name + ", at random"))
    for gone in (1, 2):
        name = f"{gone} of {LAYERS} layers removed"
        comparisons.append((LAYER_DROP, name + ", after LayerDrop", name))
    for bits in (4, 3, 2):
        comparisons.append((ROUNDING, f"{bits} bits, trained through rounding", f"{bits} bits"))
    for claim, better, worse in comparisons:
        print(f"{better} < {worse}\n  {claim.line(loss[better], loss[worse])}")

    # The price is that against the teacher trained on, which has read as much.
    teacher = "teacher" + MORE
    print(f"{FREE.text}, against the teacher{MORE}")
    for name, values in loss.items():
        if name != teacher and (MORE in name or "bits" in name or "pruned" in name):
            print(f"  {name}: {FREE.judge(values, loss[teacher])}")


def main(argv=None):
    """Measure every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    if options.data:
        text = "\n\n".join(read_text(options.data))
    else:
        text = without_repeats(python_documentation())
    seeds = range(options.seed, options.seed + 3)
    steps = STEPS
    if options.quick:
        seeds, steps = seeds[:2], STEPS // 10
        print(ONLY_RUNS)
    found = [one_seed(text, seed, options.device, steps) for seed in seeds]
    print(f"{'':42}{'parameters':>11}{'KiB':>8}{'kFLOP':>8}  nats a character")
    loss = {name: np.array([each[name][3] for each in found]) for name in found[0]}
    # sizes and work are the same for all seeds
    for name, (count, nbytes, flop, _) in found[0].items():
        sizes = f"{count:>11,}{nbytes / 1024:>8.0f}{flop:>8.0f}"
        print(f"{name:42}{sizes}  {mean_and_range(loss[name])}")
    verdicts(loss)


if __name__ == "__main__":
    main()
