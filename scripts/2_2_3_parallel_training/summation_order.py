"""The same sum on other machines: orders of addition against their bounds, and what another
processor does to a training.

Book section 2.2.3 (overflow, underflow, and differences between kinds of hardware). Three
measurements. First, sums of n float32 numbers, of one sign and of both, in orders that machines
have: the largest error over 20 draws in units of u sum |x_i| (u = 2^-24), beside the most that the
theory allows, H for H additions in a row (tinylm/train/precision/sums.py). Second, how many
different results the orders of 50 shuffles give, and how many 1, 2, 4, .. 64 workers give that each
add a part. Third, training itself: the GPT of number_formats.py, 200 steps, in new processes whose
BLAS and NumPy use the instructions of other processors (the environment variables
OPENBLAS_CORETYPE and NPY_DISABLE_CPU_FEATURES), with gradients cut into other micro-batches, and
with two threads: how far the losses are from those of this machine as it is.

Written down before the run. Every error must be within its bound: that is a theorem, and a single
error beyond it is reported as a fault. "Another kind of hardware costs nothing that matters" if the
interval (95 %, over seeds, of paired differences in validation loss) lies within 0.01 nats of 0 on
both sides; beside it stands the spread between seeds, which a difference must be seen against. A
kind of machine whose kernels are those of this one is skipped, and says so. 7 minutes on a busy
machine. `python scripts/2_2_3_parallel_training/summation_order.py [--seed N] [--quick] [--plot
FILE]`; --quick is two seeds and 20 steps. Read next: ../../tinylm/parallel/communicate/rings.py.

Measured output (5 seeds; Xeon with AVX-512, whose BLAS takes AVX2 kernels unless told otherwise):

    largest error of 20 sums, in units of 2^-24 sum |x|, and the most there can be
                                     n = 100                 n = 10,000                n = 100,000
                     x > 0       +-  at most    x > 0       +-  at most    x > 0       +-  at most
    running            3.8    0.819       99     52.9     1.39    10005      136    0.702   100599
    4 lanes           1.42    0.774       27     10.4    0.568     2502     41.2    0.477    25039
    8 lanes           1.58    0.309       19     4.64    0.423     1256     16.5    0.307    12515
    16 lanes          2.97     0.66       21      2.7     0.16      639     12.3    0.142     6266
    32 parts           3.8    0.706       34     2.88    0.224      343     6.63    0.117     3156
    pairwise          1.41    0.225        7    0.835   0.0321       14     1.68   0.0137       17
    Kahan            0.754    0.237        2    0.492   0.0116        2    0.791  0.00479        2
    NumPy's sum       2.99    0.384             0.835   0.0554              1.27   0.0192
    errors beyond their bound: 0

    different results of 50 orders of the same 4096 numbers
    running           37
    4 lanes           35
    8 lanes           31
    16 lanes          28
    32 parts          24
    pairwise          11
    Kahan              5
    NumPy's sum       13
    exact              1
    different results of 1, 2, 4, .. 64 workers that add a part each
    running            6
    fixed tree         1
    exact              1

    losses of 200 steps: largest difference from this machine as it is, over seeds
                             kernels    step 1   step 10   step 50  step 200  validation
    as it is                 Haswell  validation loss 3.9304, between seeds 0.0347
    AVX-512                 SkylakeX   4.8e-07   4.8e-07   0.0e+00   4.8e-07     2.1e-07
      costs nothing that matters (section 2.2.3), the worse side: -3.59e-08 [-1.57e-07, +8.47e-08],
        5 seeds: shows
    AVX2                     Haswell  skipped: these are the kernels of this machine
    AVX                  Sandybridge   9.5e-07   4.8e-07   4.8e-07   2.4e-07     8.6e-08
      costs nothing that matters (section 2.2.3), the worse side: -7.79e-09 [-8.06e-08, +6.5e-08], 5
        seeds: shows
    SSE                      Nehalem   4.8e-07   0.0e+00   4.8e-07   4.8e-07     4.2e-07
      costs nothing that matters (section 2.2.3), the worse side: -6.19e-08 [-3.44e-07, +2.2e-07], 5
        seeds: shows
    micro-batches of 4       Haswell   3.6e-07   3.6e-07   4.8e-07   3.6e-07     1.4e-07
      costs nothing that matters (section 2.2.3), the worse side: -5.1e-08 [-1.44e-07, +4.18e-08], 5
        seeds: shows
    two threads              Haswell   4.8e-07   9.5e-07   4.8e-07   2.4e-07     9.4e-08
      costs nothing that matters (section 2.2.3), the worse side: -6.8e-08 [-9.63e-08, -3.98e-08], 5
        seeds: shows
    float64                  Haswell  validation loss 3.9343, between seeds 0.0357
    float64, SSE             Nehalem   0.0e+00   8.9e-16   0.0e+00   1.8e-15     4.0e-15
      costs nothing that matters (section 2.2.3), the worse side: -8.88e-16 [-3.11e-15, +1.33e-15],
        5 seeds: shows

Every error is within its bound, and far from it where signs or sizes are random: the bound of a
running sum of 100,000 is 740 times what was found, that of a pairwise sum ten times. Only the exact
sum does not change with the order of the numbers; the tree that ranks share does not change with
the number of ranks.

What other processors, cuts and threads do to a loss is its last digit in float32 (5e-7 to 1e-6 at
once) and stays that: after 200 steps no loss differs by more, though the weights have been updated
200 times with other last digits; between seeds the spread is 0.035. In float64 the same is 1e-15.
How far it would go in a training that is unstable, or with dropped digits, is not measured here.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tinylm.machine import blas_kernels
from tinylm.train import TrainConfig, prepare_run
from tinylm.train.experiments.compare import Claim, weakest
from tinylm.train.experiments.picture import Picture
from tinylm.train.experiments.script import command_line
from tinylm.train.precision.sums import (
    error_bound,
    exact_sum,
    kahan_bound,
    kahan_sum,
    lane_height,
    lane_sum,
    pairwise_height,
    pairwise_sum,
    part_sum,
    running_height,
    running_sum,
    tree_of_parts,
)
from tinylm.train.run.rows import training_rows
from tinylm.train.run.run import new_trainer

U = 2.0**-24
DRAWS = 20
MODEL = {"n_layer": 2, "d_model": 64, "n_head": 4, "context": 64, "batch_size": 16}
MODEL |= {"positions": "learned", "init": "gpt2", "dropout": 0.0, "weight_decay": 0.1}
MODEL |= {"vocab_size": 512, "schedule": "cosine", "min_lr": None}  # None: a tenth of lr
STEPS, QUICK_STEPS = 200, 20
SHOWN = (1, 10, 50)  # steps whose losses are compared, besides the last
OLD = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"  # what NumPy 2 calls AVX2 and what came after
# Kind of machine -> (environment of its process, settings of its run).
MACHINES = {
    "as it is": ({}, {}),
    "AVX-512": ({"OPENBLAS_CORETYPE": "SkylakeX"}, {}),
    "AVX2": ({"OPENBLAS_CORETYPE": "Haswell"}, {}),
    "AVX": ({"OPENBLAS_CORETYPE": "Sandybridge", "NPY_DISABLE_CPU_FEATURES": OLD}, {}),
    "SSE": ({"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": OLD}, {}),
    "micro-batches of 4": ({}, {"micro_batch": 4}),
    "two threads": ({"OPENBLAS_NUM_THREADS": "2"}, {}),
    "float64": ({}, {"dtype": "float64"}),
    "float64, SSE": (
        {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": OLD},
        {"dtype": "float64"},
    ),
}
SAME = 0.01  # nats


def orders(n):
    """(name, function (n, ...) -> (...), most error in units of u sum |x_i|)."""
    one = np.ones(1, np.float32)

    def most(height):
        return float(error_bound(height, one)) / U

    yield "running", running_sum, most(running_height(n))
    for lanes in (4, 8, 16):
        name = f"{lanes} lanes"
        yield name, lambda x, lanes=lanes: lane_sum(x, lanes), most(lane_height(n, lanes))
    yield "32 parts", lambda x: part_sum(x, 32), most(lane_height(n, 32))
    yield "pairwise", pairwise_sum, most(pairwise_height(n))
    yield "Kahan", kahan_sum, float(kahan_bound(np.full(n, 1 / n, np.float32))) / U
    yield "NumPy's sum", lambda x: np.array([column.sum() for column in x.T.copy()]), None


def show_errors(rng, sizes):
    """Print the largest error of each order, beside its bound; returns {kind of numbers: {order:
    errors by size}}.
    """
    beyond, rows, drawn = 0, {}, {"positive numbers": {}, "numbers of both signs": {}}
    print("largest error of 20 sums, in units of 2^-24 sum |x|, and the most there can be")
    print(f"{'':<13}" + "".join(f"{f'n = {n:,}':>27}" for n in sizes))
    print(f"{'':<13}" + f"{'x > 0':>9}{'+-':>9}{'at most':>9}" * len(sizes))
    for n in sizes:
        for positive in (True, False):
            x = rng.standard_normal((n, DRAWS)).astype(np.float32)
            if positive:
                x = np.abs(x)
            exact, size = exact_sum(x.astype(np.float64)), np.abs(x).sum(0, dtype=np.float64)
            for name, add, most in orders(n):
                error = np.max(np.abs(add(x).astype(np.float64) - exact) / (U * size))
                beyond += most is not None and error > most
                kind = "positive numbers" if positive else "numbers of both signs"
                drawn[kind].setdefault(name, []).append(error)
                cells = rows.setdefault(name, [])
                cells.append(f"{error:.3g}")
                if not positive:
                    cells.append("" if most is None else f"{most:.0f}")
    for name, cells in rows.items():
        print(f"{name:<13}" + "".join(f"{cell:>9}" for cell in cells))
    print(f"errors beyond their bound: {beyond}")
    return drawn


def show_results(rng, n=4096):
    """Print how many different results orders and numbers of workers give."""
    x = rng.standard_normal(n).astype(np.float32)
    shuffled = np.stack([rng.permutation(x) for _ in range(50)], axis=1)  # (n, 50)
    print(f"\ndifferent results of 50 orders of the same {n} numbers")
    rows = {name: add(shuffled) for name, add, _ in orders(n)} | {"exact": exact_sum(shuffled)}
    for name, found in rows.items():
        print(f"{name:<14}{len(np.unique(found)):>6}")
    print("different results of 1, 2, 4, .. 64 workers that add a part each")
    numbers = [2**k for k in range(7)]
    ways = {
        "running": lambda parts: running_sum(np.stack([running_sum(part) for part in parts])),
        "fixed tree": tree_of_parts,
        "exact": lambda parts: exact_sum(np.concatenate(parts)),
    }
    for name, add in ways.items():
        found = {float(add(np.split(x, parts))) for parts in numbers}
        print(f"{name:<14}{len(found):>6}")


def train(seed, count, steps, settings):
    """In a process of its own: print the losses of every seed as JSON."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            steps=steps, lr=4e-3, out=str(Path(folder) / "run"), **MODEL, **settings
        )
        run = prepare_run(config, lambda line: None)
        for one in range(seed, seed + count):
            mine = dataclasses.replace(config, seed=one)
            rows = training_rows(mine, run.data.train, run.special)
            trainer = new_trainer(dataclasses.replace(run, config=mine, rows=rows), None)
            losses = [trainer.advance().loss for _ in range(steps)]
            found.append([losses, trainer.evaluate(run.validation, 16)[0]])
        run.lock.close()
    print(json.dumps({"kernels": blas_kernels(), "found": found}))


def losses_of(machine, seeds, steps):
    """(BLAS kernels, losses (seeds, steps), validation losses (seeds,)) of a kind of machine."""
    environment, settings = MACHINES[machine]
    order = json.dumps([seeds[0], len(seeds), steps, settings])
    out = subprocess.run(
        [sys.executable, __file__, "--train", order],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    answer = json.loads(out.splitlines()[-1])
    losses, scores = zip(*answer["found"])
    return answer["kernels"], np.array(losses), np.array(scores)


def show_machines(seeds, steps):
    """Print how far the losses of other machines are from this one's."""
    shown = [*(step for step in SHOWN if step < steps), steps]
    print(f"\nlosses of {steps} steps: largest difference from this machine as it is, over seeds")
    print(
        f"{'':<20}{'kernels':>12}"
        + "".join(f"{f'step {step}':>10}" for step in shown)
        + f"{'validation':>12}"
    )
    base = {}
    for machine, (environment, settings) in MACHINES.items():
        kernels, losses, scores = losses_of(machine, seeds, steps)
        start = f"{machine:<20}{kernels or '?':>12}"
        digits = settings.get("dtype", "float32")
        if digits not in base:
            base[digits] = kernels, losses, scores
            spread = scores.max() - scores.min()
            print(f"{start}  validation loss {scores.mean():.4f}, between seeds {spread:.4f}")
            continue
        usual, right, best = base[digits]
        if "OPENBLAS_CORETYPE" in environment and kernels == usual:
            print(f"{start}  skipped: these are the kernels of this machine")
            continue
        parted = np.abs(losses - right).max(0)
        cells = "".join(f"{parted[step - 1]:10.1e}" for step in shown)
        print(f"{start}{cells}{np.abs(scores - best).max():12.1e}")
        claim = Claim("  costs nothing that matters", "2.2.3", larger=False, least=-SAME)
        worse = weakest([claim.judge(scores, best), claim.judge(-scores, -best)])
        print(f"{claim.text} (section {claim.section}), the worse side: {worse}")


def plot(path, sizes, errors):
    """Save the largest errors over the count of numbers as a picture."""
    with Picture(path, columns=2, size=(5, 3.8)) as picture:
        for kind in ("positive numbers", "numbers of both signs"):
            scales = {"xscale": "log", "yscale": "log", "xticks": sizes}
            panel = picture.panel(kind, "numbers added", "largest error (2^-24 sum |x|)", **scales)
            for name, found in errors[kind].items():
                panel.curve(name, sizes, found)


def main(argv=None):
    """Measure and print."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--train"]:
        train(*json.loads(argv[1]))
        return
    options, seeds = command_line(argv, __doc__, "two seeds and 20 steps", plot=True)
    rng = np.random.default_rng(options.seed)
    sizes = (100, 10_000) if options.quick else (100, 10_000, 100_000)
    errors = show_errors(rng, sizes)
    if options.plot:
        plot(options.plot, sizes, errors)
    show_results(rng)
    show_machines(seeds, QUICK_STEPS if options.quick else STEPS)


if __name__ == "__main__":
    main()
