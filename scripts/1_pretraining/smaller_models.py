"""Smaller models: what is lost by distilling, pruning, removing and rounding? Book section 1.3.3.

Claims: a student of half the depth learns more from a teacher than from the text alone, more still
from its hidden states, and from its layers; a part of the weights can go at once, more of them
after training on; some heads go without much loss, and by importance better than at random; layers
can be removed if the model was trained with some missing (LayerDrop); 8 bits cost nothing, and few
bits cost less when the model was trained through the rounding. A GPT of 8 layers learns characters
of English text; each way of making it smaller starts from it. Students see as many batches as the
teacher did, what is trained on an eighth of that; so does the teacher itself, for comparison.

Whatever is trained from new weights or as a student has the best of the same learning rates, and
the hidden states the best of the same weights of their loss, on a seed that is not used below. The
loss of text has no ceiling; the teacher is trained for 3,000 steps. (After 900, with 4 layers, one
could go for 0.07 nats, so that nothing was left to gain, and LayerDrop, which learns slower, was
0.23 behind.)

`python scripts/1_pretraining/smaller_models.py [--data FILE_OR_FOLDER] [--seed N] [--device D]
[--out FILE] [--plot FILE] [--quick]`; without --data Python's language reference, which every
Python has; finished cells are kept in FILE and not computed again. 5 seeds, about an hour of one
core (125 minutes beside other work, which the last line counts); --quick is 2 seeds and a few
steps. Read next: adaptive_inference.py, which spends less only where an input allows it.

Measured output:

    teacher                                        0.002: 1.468   0.004: 1.402   0.008: 1.380
    half depth, from the text                      0.002: 1.491   0.004: 1.407   0.008: 1.403
    half depth, logits                             0.002: 1.436   0.004: 1.379   0.008: 1.351
    half depth, logits and hidden states          0.0001: 1.359   0.001: 1.372    0.01: 1.408
    half depth, logits, from its layers            0.002: 1.378   0.004: 1.359   0.008: 1.352
    one layer's weights for all                    0.002: 1.714   0.004: 1.608   0.008: 1.536
    trained with LayerDrop 0.2                     0.002: 1.624   0.004: 1.520   0.008: 1.496
                                                 parameters     KiB   kFLOP  nats a character
    teacher                                         233,520     912     526  1.391 (1.383 .. 1.395)
    teacher, trained on                             233,520     912     526  1.386 (1.381 .. 1.392)
    half depth, from the text                       120,432     470     268  1.415 (1.405 .. 1.421)
    half depth, logits                              120,432     470     268  1.369 (1.358 .. 1.374)
    half depth, logits and hidden states            120,432     470     268  1.371 (1.362 .. 1.375)
    half depth, logits, from its layers             120,432     470     268  1.356 (1.350 .. 1.361)
    one layer's weights for all                      35,616     139     526  1.553 (1.540 .. 1.561)
    20% of weights pruned                           189,283     766     526  1.408 (1.398 .. 1.416)
    20% of weights pruned, trained on               189,283     766     526  1.388 (1.384 .. 1.394)
    50% of weights pruned                           122,928     507     526  2.016 (1.934 .. 2.073)
    50% of weights pruned, trained on               122,928     507     526  1.433 (1.429 .. 1.443)
    80% of weights pruned                            56,573     248     526  3.533 (3.418 .. 3.619)
    80% of weights pruned, trained on                56,573     248     526  1.880 (1.863 .. 1.923)
    8 of 32 heads removed                           214,800     839     471  1.425 (1.417 .. 1.434)
    8 of 32 heads removed, at random                214,800     839     471  1.841 (1.664 .. 2.047)
    8 of 32 heads removed, trained on               214,800     839     471  1.395 (1.391 .. 1.402)
    16 of 32 heads removed                          196,080     766     415  1.493 (1.464 .. 1.506)
    16 of 32 heads removed, at random               196,080     766     415  2.405 (2.202 .. 2.991)
    16 of 32 heads removed, trained on              196,080     766     415  1.410 (1.401 .. 1.414)
    trained with LayerDrop 0.2                      233,520     912     526  1.505 (1.498 .. 1.516)
    2 of 8 layers removed                           176,976     691     397  1.546 (1.519 .. 1.564)
    2 of 8 layers removed, trained on               176,976     691     397  1.424 (1.414 .. 1.432)
    2 of 8 layers removed, LayerDrop                176,976     691     397  1.538 (1.528 .. 1.556)
    2 of 8 layers removed, LayerDrop, trained on    176,976     691     397  1.502 (1.495 .. 1.509)
    4 of 8 layers removed                           120,432     470     268  1.845 (1.820 .. 1.914)
    4 of 8 layers removed, trained on               120,432     470     268  1.479 (1.471 .. 1.490)
    4 of 8 layers removed, LayerDrop                120,432     470     268  1.584 (1.565 .. 1.601)
    4 of 8 layers removed, LayerDrop, trained on    120,432     470     268  1.523 (1.510 .. 1.538)
    8 bits                                          233,520     278     526  1.386 (1.381 .. 1.392)
    4 bits                                          233,520     170     526  1.413 (1.403 .. 1.424)
    4 bits, trained through rounding                233,520     170     526  1.397 (1.392 .. 1.406)
    3 bits                                          233,520     143     526  1.568 (1.548 .. 1.583)
    3 bits, trained through rounding                233,520     143     526  1.434 (1.423 .. 1.447)
    2 bits                                          233,520     116     526  3.583 (3.431 .. 3.698)
    2 bits, trained through rounding                233,520     116     526  1.740 (1.722 .. 1.761)
    half depth, logits < half depth, from the text
      a teacher's logits help a student (section 1.3.3): +0.046 [+0.0383, +0.0537], 5 seeds: shows
    half depth, logits and hidden states < half depth, logits
      its hidden states help besides (section 1.3.3): -0.00146 [-0.00746, +0.00454], 5 seeds: too
        small to tell; 0.006 could have been seen
    half depth, logits, from its layers < half depth, logits
      starting from its layers helps (section 1.3.3): +0.0134 [+0.00449, +0.0223], 5 seeds: shows
    8 of 32 heads removed < 8 of 32 heads removed, at random
      importance chooses heads better than chance (section 1.3.3): +0.416 [+0.233, +0.599], 5 seeds:
        shows
    16 of 32 heads removed < 16 of 32 heads removed, at random
      importance chooses heads better than chance (section 1.3.3): +0.912 [+0.482, +1.34], 5 seeds:
        shows
    2 of 8 layers removed, LayerDrop < 2 of 8 layers removed
      LayerDrop makes layers removable (section 1.3.3): +0.00857 [-0.0144, +0.0315], 5 seeds: too
        small to tell; 0.023 could have been seen
    2 of 8 layers removed, LayerDrop, trained on < 2 of 8 layers removed, trained on
      LayerDrop makes layers removable (section 1.3.3): -0.0778 [-0.0919, -0.0638], 5 seeds: shows
        the opposite
    4 of 8 layers removed, LayerDrop < 4 of 8 layers removed
      LayerDrop makes layers removable (section 1.3.3): +0.261 [+0.197, +0.325], 5 seeds: shows
    4 of 8 layers removed, LayerDrop, trained on < 4 of 8 layers removed, trained on
      LayerDrop makes layers removable (section 1.3.3): -0.0433 [-0.0641, -0.0225], 5 seeds: shows
        the opposite
    4 bits, trained through rounding < 4 bits
      training through rounding helps (section 1.3.3): +0.0153 [+0.00915, +0.0215], 5 seeds: shows
    3 bits, trained through rounding < 3 bits
      training through rounding helps (section 1.3.3): +0.135 [+0.123, +0.147], 5 seeds: shows
    2 bits, trained through rounding < 2 bits
      training through rounding helps (section 1.3.3): +1.84 [+1.73, +1.96], 5 seeds: shows
    costs at most 0.02, against the teacher, trained on
      20% of weights pruned: -0.0218 [-0.0307, -0.013], 5 seeds: too small to tell; -0.011 could
        have been seen
      20% of weights pruned, trained on: -0.00186 [-0.00379, +7.81e-05], 5 seeds: shows
      50% of weights pruned: -0.629 [-0.691, -0.568], 5 seeds: shows the opposite
      50% of weights pruned, trained on: -0.0463 [-0.0532, -0.0395], 5 seeds: shows the opposite
      80% of weights pruned: -2.15 [-2.25, -2.05], 5 seeds: shows the opposite
      80% of weights pruned, trained on: -0.494 [-0.522, -0.466], 5 seeds: shows the opposite
      8 of 32 heads removed, trained on: -0.0087 [-0.0112, -0.00623], 5 seeds: shows
      16 of 32 heads removed, trained on: -0.0233 [-0.0283, -0.0183], 5 seeds: too small to tell;
        -0.015 could have been seen
      2 of 8 layers removed, trained on: -0.0373 [-0.0461, -0.0286], 5 seeds: shows the opposite
      2 of 8 layers removed, LayerDrop, trained on: -0.115 [-0.127, -0.104], 5 seeds: shows the
        opposite
      4 of 8 layers removed, trained on: -0.0932 [-0.099, -0.0873], 5 seeds: shows the opposite
      4 of 8 layers removed, LayerDrop, trained on: -0.136 [-0.155, -0.118], 5 seeds: shows the
        opposite
      8 bits: -0.000133 [-0.000457, +0.000191], 5 seeds: shows
      4 bits: -0.0264 [-0.0324, -0.0204], 5 seeds: shows the opposite
      4 bits, trained through rounding: -0.0111 [-0.0147, -0.00741], 5 seeds: shows
      3 bits: -0.182 [-0.196, -0.168], 5 seeds: shows the opposite
      3 bits, trained through rounding: -0.0474 [-0.0566, -0.0383], 5 seeds: shows the opposite
      2 bits: -2.2 [-2.32, -2.07], 5 seeds: shows the opposite
      2 bits, trained through rounding: -0.353 [-0.372, -0.334], 5 seeds: shows the opposite
    5 seeds; 125 minutes of one core

So a teacher's logits are worth .046 nats (its student of half the depth ends .017 below the teacher
trained on), starting from its layers .013 more, and its hidden states nothing that 5 seeds could
see. A fifth of the weights goes for nothing once the rest is trained on, a quarter of the heads for
.009 and half of them for .023, importance choosing far better than chance; half of the weights or
two whole layers cost more than .02. LayerDrop shows only where four layers are removed at once and
nothing is trained on: as it learns slower, it is .12 behind in full, and after training on, the
model trained without it is the better one each time. 8 bits cost nothing, 4 bits .011 when trained
through the rounding and .026 otherwise. The rates chosen are the highest of the three tried for all
but the student with hidden states; between the two highest lies .004 to .07, so that higher ones
may still gain a little, for teacher and students alike.
"""

import argparse
import copy
import functools

import numpy as np
from shrinking import (
    DROPPED,
    HEADS,
    LAYERS,
    MORE,
    REMOVALS,
    TASK,
    distilled,
    of_its_layers,
    of_states,
    shared,
    with_some_missing,
)

from tinylm import backend
from tinylm.autograd import no_grad
from tinylm.autograd.engine.profile import count_operations
from tinylm.backend import to_device
from tinylm.data import python_documentation, read_text, split_text, without_repeats
from tinylm.finetune import fit
from tinylm.models import GPT, GPTConfig
from tinylm.nn.linear import INIT_STD
from tinylm.pretrain.batch import Batch
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

T, B, D, STEPS = 48, 8, 48, 3000
EXTRA = 0.125  # what is trained on sees this share of the batches again, at a third of the rate
RATES = 2e-3, 4e-3, 8e-3  # tried for everything that is trained in full
BETAS = 1e-4, 1e-3, 1e-2  # tried for the loss on hidden states
SEEDS, TUNING = 5, 1001  # the seed on which rates and betas are chosen

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
    """Text to train on, held-out text to measure on, and the models of one seed.

    settings  {side: its learning rate, or the weight of its loss on states}, see SIDES
    """

    def __init__(self, text, seed, device, steps, settings):
        train, test = split_text(text, 0.1)
        self.alphabet = np.unique(np.frombuffer(text.encode("utf-32-le"), np.uint32))
        # (n, T + 1): windows that overlap, one every 7 characters
        self.rows = np.lib.stride_tricks.sliding_window_view(self.ids(train), T + 1)[::7]
        unseen = self.ids(test)
        # (512, T + 1) at most, fewer with --quick: windows that do not overlap
        self.test = unseen[: len(unseen) // (T + 1) * (T + 1)].reshape(-1, T + 1)[: min(512, steps)]
        self.seed = seed
        self.device = device
        self.steps = steps
        self.settings = settings
        # of which every result depends
        self.sizes = {"seed": seed, "steps": steps, "layers": LAYERS, "characters": len(text)}

    @functools.cached_property
    def teacher(self):
        """The trained model that everything starts from."""
        return self.side("teacher")

    @property
    def further(self):
        """The learning rate of what is trained on."""
        return self.settings["teacher"] / 3

    def side(self, name):
        """What SIDES trains under that name, with its setting."""
        return SIDES[name](self, self.settings[name])

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

    def student(self):
        """A fresh GPT of half the depth."""
        return self.new(LAYERS // 2, 1)

    def train(self, model, rate, share=1.0, task=TASK):
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

    def trained_on(self, model):
        """The model after the last part of the training."""
        return self.train(model, self.further, EXTRA)

    def loss(self, model):
        """Mean loss on held-out text, in nats a character."""
        batches = [
            Batch(part[:, :-1], part[:, 1:]).to(self.device)
            for part in np.array_split(self.test, 8)
        ]
        with no_grad():
            return float(
                np.average(
                    [TASK.loss(model.eval(), b)[1]["loss"] for b in batches],
                    weights=[len(b) for b in batches],
                )
            )

    def measure(self, model, nbytes=None, alive=None):
        """The size, work and loss of a model: [parameters, bytes, kFLOP a character, nats].

        nbytes  bytes it takes, if not 4 for every parameter
        alive   how many parameters are not zero, if some are
        """
        # the products of one window of T characters, forward
        with no_grad(), count_operations() as counts:
            model(to_device(self.test[:1, :-1], self.device))
        count = alive or model.count_parameters()
        return [count, nbytes or 4 * count, counts.matmul_flops() / T / 1e3, self.loss(model)]


# name: how it is trained, as a function of a Bench and of its setting; in this order, since later
# ones need the settings of earlier ones.
SIDES = {
    "teacher": lambda bench, rate: bench.train(bench.new(), rate),
    "half depth, from the text": lambda bench, rate: bench.train(bench.student(), rate),
    "half depth, logits": lambda bench, rate: distilled(bench, bench.student(), rate),
    "half depth, logits and hidden states": of_states,
    "half depth, logits, from its layers": of_its_layers,
    "one layer's weights for all": shared,
    DROPPED: with_some_missing,
}


def chosen(cells, bench, rates=RATES, betas=BETAS):
    """The best setting of every side on the seed of a bench, as a dict."""
    for name in SIDES:
        grid, losses = betas if SIDES[name] is of_states else rates, []
        before = dict(bench.settings)
        for setting in grid:
            cell = {"choose": name, "setting": setting, "given": before} | bench.sizes
            bench.settings[name] = setting
            run = functools.partial(lambda side: {"loss": bench.loss(bench.side(side))}, name)
            losses.append(cells(cell, run)["loss"])
        bench.settings[name] = grid[int(np.argmin(losses))]
        print(f"{name:44}" + "".join(f"{x:>8g}: {y:.3f}" for x, y in zip(grid, losses)), flush=True)
    return bench.settings


def trained(bench):
    """The teacher, the students, and the other models that are trained in full."""
    found = {"teacher": bench.measure(bench.teacher)}
    found["teacher" + MORE] = bench.measure(bench.trained_on(copy.deepcopy(bench.teacher)))
    for name in list(SIDES)[1:-1]:
        found[name] = bench.measure(bench.side(name))
    return found


PARTS = {part.__name__: part for part in (trained, *REMOVALS)}


def one_seed(cells, bench):
    """All measurements of one seed: dict name -> [parameters, bytes, kFLOP a character, nats]."""
    found = {}
    for name, part in PARTS.items():
        cell = {"part": name, "given": bench.settings} | bench.sizes
        found |= cells(cell, functools.partial(part, bench))
    return found


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
    for gone in (LAYERS // 4, LAYERS // 2):
        name = f"{gone} of {LAYERS} layers removed"
        for more in ("", MORE):
            comparisons.append((LAYER_DROP, name + ", LayerDrop" + more, name + more))
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
    parser.add_argument("--out", metavar="FILE", help="keep finished cells there, and go on")
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    if options.data:
        text = "\n\n".join(read_text(options.data))
    else:
        text = without_repeats(python_documentation())
    seeds = range(options.seed, options.seed + SEEDS)
    steps, cells, grids = STEPS, Cells(options.out), (RATES, BETAS)
    if options.quick:
        seeds, steps, grids = seeds[:2], 16, (RATES[:1], BETAS[:1])
        print(ONLY_RUNS)
    settings = chosen(cells, Bench(text, TUNING, options.device, steps, {}), *grids)
    found = [one_seed(cells, Bench(text, seed, options.device, steps, settings)) for seed in seeds]
    print(f"{'':44}{'parameters':>11}{'KiB':>8}{'kFLOP':>8}  nats a character")
    loss = {name: np.array([each[name][3] for each in found]) for name in found[0]}
    # sizes and work are the same for all seeds
    for name, (count, nbytes, flop, _) in found[0].items():
        sizes = f"{count:>11,.0f}{nbytes / 1024:>8.0f}{flop:>8.0f}"
        print(f"{name:44}{sizes}  {mean_and_range(loss[name])}")
    verdicts(loss)
    if options.plot:
        with Picture(options.plot, size=(7, 11)) as picture:
            picture.panel("held-out loss", "nats a character").bars(loss, zero=False)
    print(f"{len(seeds)} seeds; {cells.seconds() / 60:.0f} minutes of one core")


if __name__ == "__main__":
    main()
