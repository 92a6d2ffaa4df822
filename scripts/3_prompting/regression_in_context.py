"""Which learning method does a decoder carry out in its prompt? Functions of five numbers.

Book section 3.1.2; Garg et al. 2022, Akyürek et al. 2023, von Oswald et al. 2023. A prompt is x_1,
f(x_1), .., x_k with ever new f of one class: linear, linear with noise in the values, linear in one
of the five coordinates ("sparse"), a layer of ReLU units, or a decision tree. A decoder that reads
numbers learns to predict f(x_k), for every k up to 11 at once; the curriculum begins with one
coordinate. One model for each class, two layers of width 64, is tested on new functions beside
least squares, ridge regression, gradient descent, the mean of the 3 nearest examples, and
averaging. Errors and distances are squared, divided by the mean square of the values, so that 1 is
the error of predicting 0. Strength, rate and steps of the known methods that have one are the best
on other prompts. Also: inputs three times as large, queries orthogonal to all examples (the best
prediction is 0), and the model of one class on prompts of another. Five seeds, about 14 minutes on
one core. `python scripts/3_prompting/regression_in_context.py [--seed N] [--device cpu|gpu]
[--plot FILE] [--quick]`; --quick: two seeds, few steps. Next: prompt/in_context/real_decoder.py.

Measured output (one core):

    errors after k examples, and the distance of the model from a method: means over seeds
                              0      1      2      3      5      7     10   far at 3  far at 10
    linear
        model              1.00   0.84   0.67   0.52   0.35   0.28   0.20
        least squares      1.00   0.82   0.62   0.38   0.00   0.00   0.00       0.14       0.20
        ridge              1.00   0.82   0.62   0.39   0.08   0.01   0.00       0.10       0.17
        descent            1.00   0.84   0.67   0.55   0.41   0.38   0.31       0.08       0.17
        nearest            1.00   2.04   1.50   1.38   0.89   0.77   0.60       0.81       0.42
        averaging          1.00   6.09   3.42   2.03   1.18   0.86   0.57       1.57       0.40
        nearest: ridge, descent, descent, descent, descent, descent
    with noise
        model              0.99   0.88   0.78   0.72   0.57   0.49   0.45
        least squares      0.99   0.89   0.83   0.95 820.72   1.15   0.38       0.44       0.34
        ridge              0.99   0.87   0.75   0.66   0.46   0.39   0.31       0.05       0.14
        descent            0.99   0.91   0.76   0.68   0.54   0.47   0.44       0.03       0.08
        nearest            0.99   2.03   1.46   1.37   1.02   0.81   0.74       0.63       0.33
        averaging          0.99   5.47   3.03   2.18   1.40   1.04   0.73       1.52       0.37
        nearest: ridge, ridge, descent, descent, descent, descent
    sparse
        model              1.01   0.83   0.59   0.59   0.40   0.32   0.26
        least squares      1.01   0.81   0.54   0.40   0.00   0.00   0.00       0.18       0.26
        ridge              1.01   0.81   0.54   0.41   0.10   0.02   0.00       0.13       0.23
        descent            1.01   0.82   0.58   0.56   0.40   0.35   0.28       0.06       0.13
        nearest            1.01   1.95   1.41   1.31   0.91   0.76   0.57       0.76       0.37
        averaging          1.01   5.62   3.27   2.13   1.18   0.84   0.66       1.57       0.49
        nearest: ridge, descent, descent, descent, descent, descent
    relu
        model              0.99   0.83   0.69   0.62   0.51   0.43   0.34
        least squares      0.99   0.96   1.05   1.451529.05   2.05   1.12       0.96       1.04
        ridge              0.99   0.93   0.89   0.89   0.82   0.79   0.73       0.29       0.52
        descent            0.99   0.95   0.91   0.91   0.84   0.81   0.75       0.30       0.45
        nearest            0.99   1.42   1.00   0.90   0.70   0.60   0.49       0.28       0.17
        averaging          0.99   7.00   3.61   2.95   1.77   1.49   1.11       2.35       0.87
        nearest: ridge, ridge, nearest, nearest, nearest, nearest
    tree
        model              0.99   0.88   0.76   0.71   0.67   0.59   0.52
        least squares      0.99   1.12   1.55   2.5622009.39   4.14   1.55       1.90       1.23
        ridge              0.99   0.96   0.93   0.93   0.92   0.93   0.88       0.21       0.39
        descent            0.99   1.00   0.94   0.93   0.92   0.94   0.92       0.22       0.38
        nearest            0.99   1.41   1.01   0.89   0.82   0.74   0.67       0.19       0.14
        averaging          0.99   5.65   3.08   2.22   1.63   1.36   1.17       1.54       0.73
        nearest: ridge, ridge, nearest, nearest, nearest, nearest
    linear, out of distribution: mean (least .. most)
        error, inputs as trained                  0.20 (0.17 .. 0.24)
        error, inputs three times as large        0.55 (0.49 .. 0.67)
        prediction, 3 examples, any query         0.47 (0.41 .. 0.51)
        prediction, 3 examples, orthogonal        0.03 (0.02 .. 0.05)
    error after 10 examples, trained on (rows) and tested on (columns)
                          linear  with noise      sparse        relu        tree
        linear              0.20        0.44        0.23        0.85        1.37
        with noise          0.25        0.45        0.27        0.75        1.05
        sparse              0.28        0.50        0.26        0.79        1.20
        relu                0.38        0.57        0.33        0.34        0.78
        tree                0.64        0.76        0.54        0.56        0.52
    5 seeds; 796 s of one core
    linear: the error is less than half of that of predicting 0 (section 3.1.2): +0.304 [+0.269,
      +0.338], 5 seeds: shows
    linear: nearer to least squares than to the nearest examples or averaging (section 3.1.2):
      +0.205 [+0.13, +0.28], 5 seeds: shows
    linear: nearer to steps of gradient descent than to least squares (section 3.1.2): +0.0285
      [-0.0613, +0.118], 5 seeds: too small to tell; 0.09 could have been seen
    noise, 7 examples: nearer to ridge than to least squares or the nearest examples (section
      3.1.2): +0.229 [+0.172, +0.287], 5 seeds: shows
    noise: error within 0.1 of that of ridge, the best possible (section 3.1.2): -0.14 [-0.189,
      -0.0921], 5 seeds: too small to tell; -0.052 could have been seen
    sparse, 3 examples: less error than least squares (section 3.1.2): -0.187 [-0.273, -0.1], 5
      seeds: shows the opposite
    relu: less error than least squares and than the nearest examples (section 3.1.2): +0.149
      [+0.126, +0.173], 5 seeds: shows
    tree: less error than least squares and than the nearest examples (section 3.1.2): +0.149
      [+0.123, +0.176], 5 seeds: shows
    linear: inputs three times as large cost more than 0.1 (section 3.1.2): +0.358 [+0.3, +0.416], 5
      seeds: shows
    linear, 3 examples: an orthogonal query lowers the predictions' square by more than 0.2 (section
      3.1.2): +0.442 [+0.382, +0.501], 5 seeds: shows
    sparse, relu, tree: less error of the model of the class than of the linear one (section 3.1.2):
      -0.032 [-0.0613, -0.00278], 5 seeds: shows the opposite
    linear functions: the model of relu costs at most 0.1 (section 3.1.2): -0.181 [-0.226, -0.136],
      5 seeds: shows the opposite

What is learnt: linear functions (error 0.20 after ten examples), nearer to least squares than to
the nearest examples or averaging, but not its exactness, which no error above 0 after five examples
has; whether steps of gradient descent are nearer is too small to tell at ten examples, though after
two to seven they are the nearest of all. Under noise the model is nearest to ridge regression, and
0.14 above its error. For layers of ReLU units and trees it is better than every method here that it
is compared with, by 0.15.

What is not: that a coordinate alone matters. After three examples of sparse functions the error is
0.19 above that of least squares, which knows nothing of sparseness, and the model of linear
functions does as well on them (the least of three comparisons, and the opposite; for ReLU and trees
the model of the class gains 0.5 and 0.9). Nor does the model of ReLU units do for linear functions:
it costs 0.18.

Far from the training it fails: inputs three times as large cost 0.36. Where an example tells
nothing, it predicts nothing: an orthogonal query has predictions of 0.03 in the place of 0.47.
"""

import sys
import time
from collections import Counter
from functools import partial

import drawn_curves
import numpy as np
from small_runs import command_line

from tinylm import backend
from tinylm.autograd import no_grad
from tinylm.optim import AdamW
from tinylm.optim.schedule import linear_decay
from tinylm.prompt.in_context.function_classes import (
    CLASSES,
    Curriculum,
    decision_tree,
    orthogonal_query,
    prompts,
    sparse_linear,
)
from tinylm.prompt.in_context.real_decoder import small_decoder, squared_error
from tinylm.prompt.in_context.regression import (
    METHODS,
    along,
    closest,
    prediction_difference,
    tuned_methods,
)
from tinylm.train.experiments.compare import Claim, mean_and_range, weakest

D = 5
POINTS = 2 * D + 1  # of the last prompts of the curriculum; positions beyond are untrained
LAST = POINTS - 1  # examples before the last prediction
NOISE = 1.0  # w ~ N(0, I): the best ridge has the strength NOISE^2 / 1
# At twice the rate one model of five did not learn linear functions, even in 3,200 steps.
STEPS, BATCH, RATE, TESTED = 2400, 64, 2e-3, 1000
# One more coordinate every 60 steps; begun with all five, nothing was learnt in 1,600 steps.
CURRICULUM = Curriculum(D, start=1, every=60)
FIRST = 5  # other seeds have helped to choose the rate
# {name: (class, noise)}. With 11 examples of five numbers, one of five weights is sparse, and a
# tree of depth 2 has four leaves.
WORLDS = {
    "linear": (CLASSES["linear"], 0.0),
    "with noise": (CLASSES["linear"], NOISE),
    "sparse": (partial(sparse_linear, nonzero=1), 0.0),
    "relu": (CLASSES["two-layer relu"], 0.0),
    "tree": (partial(decision_tree, depth=2), 0.0),
}
SCALE, FEW = 3.0, 3  # of inputs; examples of orthogonal queries, fewer than D
# With D examples least squares fits the noise exactly, and its mean error is infinite; two more
# examples make it finite, and still large.
PEAK = D + 2
SHOWN = 0, 1, 2, 3, 5, 7, LAST  # numbers of examples
# Written before the run. Errors and distances as above, one a seed, after 10 examples where no
# other number is named.
LEARNT = Claim("linear: the error is less than half of that of predicting 0", "3.1.2", larger=False)
LINEAR = Claim(
    "linear: nearer to least squares than to the nearest examples or averaging",
    "3.1.2",
    larger=False,
)
STEPWISE = Claim(
    "linear: nearer to steps of gradient descent than to least squares", "3.1.2", larger=False
)
RIDGE = Claim(
    f"noise, {PEAK} examples: nearer to ridge than to least squares or the nearest examples",
    "3.1.2",
    larger=False,
)
NOISY = Claim(
    "noise: error within 0.1 of that of ridge, the best possible",
    "3.1.2",
    larger=False,
    least=-0.1,
)
SPARSE = Claim(
    f"sparse, {FEW} examples: less error than least squares", "3.1.2", larger=False, least=0.05
)
RELU = Claim(
    "relu: less error than least squares and than the nearest examples", "3.1.2", larger=False
)
TREE = Claim(
    "tree: less error than least squares and than the nearest examples", "3.1.2", larger=False
)
LARGE = Claim("linear: inputs three times as large cost more than 0.1", "3.1.2", least=0.1)
# The best prediction there is 0; that of any query has a mean square of FEW / D.
AWAY = Claim(
    f"linear, {FEW} examples: an orthogonal query lowers the predictions' square by more than 0.2",
    "3.1.2",
    larger=False,
    least=0.2,
)
OWN = Claim(
    "sparse, relu, tree: less error of the model of the class than of the linear one",
    "3.1.2",
    larger=False,
)
# Two models that have learnt nothing, with errors near 1, are no comparison.
RELU_ON_LINEAR = Claim(
    "linear functions: the model of relu costs at most 0.1",
    "3.1.2",
    larger=False,
    least=-0.1,
    floor=0.9,
)


def trained(name, seed, steps, device):
    """A decoder that has read ever new functions of a class, no prompt twice."""
    function_class, noise = WORLDS[name]
    model = small_decoder(D, POINTS, seed).to(device)
    optimizer = AdamW(model.named_parameters(), weight_decay=0.0)
    for step in range(steps):
        points, active = min(POINTS, CURRICULUM.points(step)), CURRICULUM.active(step)
        # Shorter prompts are more prompts, so that a step has as many predictions.
        rows = BATCH * POINTS // points
        number = 1_000_000 * (seed + 1) + step
        x, y = prompts(function_class, rows, points, D, number, active, noise)
        optimizer.zero_grad()
        squared_error(model, x, y).backward()
        optimizer.step(RATE * linear_decay(step, steps, warmup=100))
    return model


def predictions(model, x, y):
    """Every prediction of a decoder: (B, K)."""
    with no_grad():
        return backend.to_cpu(model(x, y).data).astype(np.float64)


# The measurements.


def new_prompts(world, seed, use):
    """Prompts of functions that no model has read: x (TESTED, POINTS, D), y (TESTED, POINTS).

    use  1 to choose the settings of known methods, 2 to measure
    """
    function_class, noise = WORLDS[world]
    # Training has seeds below 10^9.
    number = 10**9 + 100 * seed + 10 * use + list(WORLDS).index(world)
    return prompts(function_class, TESTED, POINTS, D, number, noise=noise)


def by_examples(model, world, seed):
    """Errors and distances by the number of examples, and the names of the nearest methods.

    returns  ({name of a method, or "model": error (POINTS,)}, {method: distance (POINTS,)}, names)
    """
    methods = tuned_methods(*new_prompts(world, seed, 1), WORLDS[world][1])
    x, y = new_prompts(world, seed, 2)
    size = (y**2).mean()
    p = predictions(model, x, y)
    errors = {"model": prediction_difference(p, y) / size}
    for name, predictor in methods.items():
        errors[name] = prediction_difference(along(predictor, x, y), y) / size
    names, far = closest(p, methods, x, y)
    return errors, {name: values / size for name, values in far.items()}, names


def elsewhere(model, seed):
    """The linear model out of its distribution: {name: mean square}."""
    x, y = new_prompts("linear", seed, 2)
    size = (y**2).mean()
    p = predictions(model, x, y)
    # f is linear, so f(3 x) = 3 f(x), and squares are nine times as large.
    large = predictions(model, SCALE * x, SCALE * y) / SCALE
    # A query that has nothing of the FEW examples before it.
    few = x[:, : FEW + 1].copy()
    few[:, FEW] = orthogonal_query(few[:, :FEW], few[:, FEW])
    away = predictions(model, few, y[:, : FEW + 1])
    return {
        "error, inputs as trained": prediction_difference(p, y)[LAST] / size,
        "error, inputs three times as large": prediction_difference(large, y)[LAST] / size,
        f"prediction, {FEW} examples, any query": (p[:, FEW] ** 2).mean() / size,
        f"prediction, {FEW} examples, orthogonal": (away[:, FEW] ** 2).mean() / size,
    }


def across(models, seed):
    """Errors after LAST examples of every model on every class: {(trained on, tested on): ..}."""
    found = {}
    for tested in WORLDS:
        x, y = new_prompts(tested, seed, 2)
        for name, model in models.items():
            errors = prediction_difference(predictions(model, x, y), y)
            found[name, tested] = errors[LAST] / (y**2).mean()
    return found


def run(seed, steps, device):
    """All measurements of one seed."""
    models, results = {}, {}
    for world in WORLDS:
        models[world] = trained(world, seed, steps, device)
        results[world] = by_examples(models[world], world, seed)
        error = results[world][0]["model"][LAST]
        print(f"seed {seed}, {world}: error {error:.2f}", file=sys.stderr, flush=True)
    results["elsewhere"] = elsewhere(models["linear"], seed)
    results["across"] = across(models, seed)
    return results


def show(runs):
    """Print the tables."""
    print("errors after k examples, and the distance of the model from a method: means over seeds")
    heads = "".join(f"{k:>7}" for k in SHOWN)
    print(f"{'':<20}{heads}{f'far at {FEW}':>11}{f'far at {LAST}':>11}")
    for world in WORLDS:
        print(world)
        errors, far = (
            {name: np.mean([r[world][part][name] for r in runs], axis=0) for name in names}
            for part, names in ((0, ("model", *METHODS)), (1, METHODS))
        )
        for name, values in errors.items():
            cells = "".join(f"{values[k]:>7.2f}" for k in SHOWN)
            if name in far:
                cells += "".join(f"{far[name][k]:>11.2f}" for k in (FEW, LAST))
            print(f"    {name:<16}{cells}")
        # In most of the runs. Without examples all methods predict 0.
        most = [Counter(r[world][2][k] for r in runs).most_common(1)[0][0] for k in SHOWN[1:]]
        print(f"    nearest: {', '.join(most)}")
    print("linear, out of distribution: mean (least .. most)")
    for name in runs[0]["elsewhere"]:
        print(f"    {name:<42}{mean_and_range([r['elsewhere'][name] for r in runs], '.2f')}")
    print(f"error after {LAST} examples, trained on (rows) and tested on (columns)")
    print(f"{'':<16}" + "".join(f"{tested:>12}" for tested in WORLDS))
    for name in WORLDS:
        cells = [np.mean([r["across"][name, tested] for r in runs]) for tested in WORLDS]
        print(f"    {name:<12}" + "".join(f"{cell:>12.2f}" for cell in cells))


def verdicts(runs):
    """Print the verdict of every claim."""

    def error(world, name="model", k=LAST):
        return np.array([r[world][0][name][k] for r in runs])

    def far(world, name, k=LAST):
        return np.array([r[world][1][name][k] for r in runs])

    def out(name):
        return [value for r in runs for key, value in r["elsewhere"].items() if name in key]

    def on(trained_on, tested):
        return [r["across"][trained_on, tested] for r in runs]

    def all_of(claim, pairs):
        print(
            f"{claim.text} (section {claim.section}): {weakest([claim.judge(*p) for p in pairs])}"
        )

    print(LEARNT.line(error("linear"), 0.5))
    exact = far("linear", "least squares")
    all_of(LINEAR, [(exact, far("linear", name)) for name in ("nearest", "averaging")])
    print(STEPWISE.line(far("linear", "descent"), exact))
    noisy = "with noise"
    right = far(noisy, "ridge", PEAK)
    rivals = [far(noisy, name, PEAK) for name in ("least squares", "nearest")]
    all_of(RIDGE, [(right, rival) for rival in rivals])
    print(NOISY.line(error(noisy), error(noisy, "ridge")))
    print(SPARSE.line(error("sparse", k=FEW), error("sparse", "least squares", FEW)))
    for claim, world in ((RELU, "relu"), (TREE, "tree")):
        rivals = [error(world, name) for name in ("least squares", "nearest")]
        all_of(claim, [(error(world), rival) for rival in rivals])
    print(LARGE.line(out("three times"), out("as trained")))
    print(AWAY.line(out("orthogonal"), out("any query")))
    others = "sparse", "relu", "tree"
    all_of(OWN, [(on(world, world), on("linear", world)) for world in others])
    print(RELU_ON_LINEAR.line(on("relu", "linear"), on("linear", "linear")))


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two seeds, few steps", FIRST, plot=True)
    steps = 50 if options.quick else STEPS
    runs = [run(seed, steps, options.device) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time():.0f} s of one core")
    verdicts(runs)
    drawn_curves.regression(options.plot, runs)


if __name__ == "__main__":
    main()
