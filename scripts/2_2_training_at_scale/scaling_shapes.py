"""Laws that are not straight: three phases of learning, two descents, and abilities made by the
metric.

Claims of the book (section 2.2.4): (1) test error over data has three phases, flat while there is
too little to beat a guess, a power law, flat again near the irreducible error (figure 2.3, Hestness
et al. 2017); (2) some curves are not monotone, such as double descent; (3) abilities appear
suddenly with size (Wei et al. 2022b). Shown: (1) counts of pairs of a Markov chain, whose loss and
entropy are known exactly, and the law with one corner fitted to part of the curve; (2) least
squares on more and more features, measured against the expectation in closed form; (3) one smooth
power law of the loss seen as exact match of k tokens. No network is trained: scaling_laws.py does
that. About 6 seconds. `python scripts/2_2_training_at_scale/scaling_shapes.py [--seed N] [--device
cpu] [--quick] [--plot FILE]`; five seeds from N on, with --quick two.

Measured output, mean (least .. most over seeds):

    1. counts of pairs of 24 symbols: guess log 24 = 3.178, entropy 2.1310
        pairs                      loss   local slope of the loss
            1    3.174 (3.168 .. 3.180)
            4    3.162 (3.143 .. 3.178)  -0.003 (-0.006 .. 0.000)
           16    3.128 (3.106 .. 3.155) -0.008 (-0.013 .. -0.003)
           64    2.990 (2.939 .. 3.013) -0.033 (-0.040 .. -0.025)
          256    2.690 (2.664 .. 2.742) -0.076 (-0.082 .. -0.068)
         1024    2.350 (2.344 .. 2.357) -0.097 (-0.110 .. -0.093)
         4096    2.195 (2.191 .. 2.197) -0.049 (-0.051 .. -0.047)
        16384    2.147 (2.146 .. 2.148) -0.016 (-0.017 .. -0.015)
        65536    2.135 (2.135 .. 2.136) -0.004 (-0.004 .. -0.004)
       262144    2.132 (2.132 .. 2.132) -0.001 (-0.001 .. -0.001)
    the law with one corner, fitted without the last two rows: irreducible error 2.133 (2.121 ..
      2.142), true 2.131;
    slope above it -1.10 (-1.40 .. -0.84), of counts -1

    2. least squares on 40 examples, median error of 100 draws
     features    median        mean  expected mean
            5     1.236       1.242          1.226
           10     1.384       1.394          1.410
           20     1.949       2.072          2.066
           30     3.504       4.030          4.182
           38    14.529      33.277         36.335
           40    85.023    1975.148            inf
           42    14.446      32.134         37.523
           50     4.189       4.815          4.842
           60     2.531       2.580          2.692
           80     1.705       1.738          1.699
          120     1.250       1.265          1.222
          240     0.946       0.954          0.941

    3. a token's loss that is an exact power law of parameters, and answers of k tokens
      parameters     loss    all 1 right    all 5 right   all 20 right   all 50 right
           1e+05    2.000         0.1353         0.0000         0.0000         0.0000
           1e+06    1.125         0.3248         0.0036         0.0000         0.0000
           1e+07    0.632         0.5313         0.0423         0.0000         0.0000
           1e+08    0.356         0.7007         0.1689         0.0008         0.0000
           1e+09    0.200         0.8187         0.3679         0.0183         0.0000
           1e+10    0.112         0.8936         0.5699         0.1055         0.0036
           1e+11    0.063         0.9387         0.7289         0.2823         0.0423
           1e+12    0.036         0.9651         0.8371         0.4910         0.1689
           1e+13    0.020         0.9802         0.9048         0.6703         0.3679

    three phases, the weakest of the comparisons (section 2.2.4): +0.0215 [+0.0168, +0.0261], 5
      seeds: shows
    the error peaks where features are as many as examples, logarithms, at both ends: +4.36 [+3.79,
      +4.93], 5 seeds: shows
    a metric can make a jump of a smooth loss, by arithmetic: shows
"""

import argparse

import numpy as np

from tinylm import backend
from tinylm.data import MarkovChain
from tinylm.train.experiments.compare import (
    ONLY_RUNS,
    OPPOSITE,
    SHOWS,
    Claim,
    mean_and_range,
    weakest,
)
from tinylm.train.experiments.picture import Picture, add_plot
from tinylm.train.scaling.broken import slope_above_floor
from tinylm.train.scaling.double_descent import expected_risk, measured_risk
from tinylm.train.scaling.fits import fit_law
from tinylm.train.scaling.fits_bent import broken_law
from tinylm.train.scaling.laws import power_law
from tinylm.train.scaling.sharp import all_tokens_right

STATES, SIZES = 24, 4 ** np.arange(10)
EXAMPLES = 40
FEATURES = (5, 10, 20, 30, 38, 40, 42, 50, 60, 80, 120, 240)
NOISE = 0.3
# (1) needs all three: |d log loss / d log pairs| at both ends below a quarter of the steepest
# one, and the entropy found to 5 % in the mean, by the logarithm of found over true.
FLAT_FIRST = Claim("flat while there is too little to beat a guess", "2.2.4", larger=False)
FLAT_LAST = Claim("flat again near the irreducible error", "2.2.4", larger=False)
FLOOR = Claim("the law with one corner finds the irreducible error", "2.2.4", larger=False)
# (2) needs both ends. Logarithms of median errors: 3 times as high is log 3 more.
PEAK = Claim("the error peaks where features are as many as examples", "2.2.4", least=np.log(3))
# (3) is arithmetic: it shows what the metric adds to any smooth improvement, not that every ability
# is of that kind.
JUMP = "a metric can make a jump of a smooth loss"


def counting_losses(chain, sizes, seed):
    """Exact expected loss of pair counts, with one added to each, on new text of a chain.

    sizes    (n,) numbers of pairs counted
    returns  n losses: sum_i pi_i sum_j P_ij (-log q_ij), with q the normalized counts
    """
    ids = chain.sample(max(sizes) + 1, seed)
    P = chain.transition
    pi = chain.stationary()
    losses = []
    for size in sizes:
        counts = np.ones(P.shape)
        np.add.at(counts, (ids[:size], ids[1 : size + 1]), 1)
        log_q = np.log(counts / counts.sum(1, keepdims=True))
        losses.append(-float(np.sum(pi[:, None] * P * log_q)))
    return losses


def three_phases(seeds):
    """Part 1. Prints the curve and the fit; returns the Verdict on the phases, losses, floor."""
    chain = MarkovChain.random(STATES)
    floor = chain.entropy_rate()
    losses = np.array([counting_losses(chain, SIZES, seed) for seed in seeds])  # (seeds, sizes)
    print(
        f"1. counts of pairs of {STATES} symbols: guess log {STATES} = {np.log(STATES):.3f}, "
        f"entropy {floor:.4f}"
    )
    print(f"{'pairs':>9}{'loss':>26}{'local slope of the loss':>26}")
    # SIZES grow fourfold, so d log loss / d log size between neighbors: (seeds, sizes - 1)
    local = np.diff(np.log(losses), axis=1) / np.log(4)
    cells = ["", *(mean_and_range(column) for column in local.T)]
    for size, loss, cell in zip(SIZES, losses.T, cells):
        print(f"{size:>9}{mean_and_range(loss):>26}{cell:>26}")
    early = [fit_law(broken_law(1), SIZES[:-2], row[:-2], np.inf) for row in losses]
    found = [fit.numbers["floor"] for fit in early]
    far = [slope_above_floor(SIZES[-1], fit.numbers["c0"], fit.numbers["breaks"]) for fit in early]
    # Above its floor the loss of counts falls as 1 / pairs.
    print(
        "the law with one corner, fitted without the last two rows: irreducible error "
        f"{mean_and_range(found)}, true {floor:.3f};\n"
        f"slope above it {mean_and_range(far, '.2f')}, of counts -1"
    )
    steep = np.abs(local)
    steepest = steep.max(axis=1)
    error = np.abs(np.log(np.array(found) / floor))
    verdicts = [
        FLAT_FIRST.judge(steep[:, 0], steepest / 4),
        FLAT_LAST.judge(steep[:, -1], steepest / 4),
        FLOOR.judge(error, np.log(1.05)),
    ]
    return weakest(verdicts), losses, floor


def double_descent(seeds):
    """Part 2. Prints errors by number of features; returns the Verdict on the peak, and medians."""
    weights = np.full(FEATURES[-1], FEATURES[-1] ** -0.5)
    print(f"\n2. least squares on {EXAMPLES} examples, median error of {20 * len(seeds)} draws")
    print(f"{'features':>9}{'median':>10}{'mean':>12}{'expected mean':>15}")
    logs = {}
    for p in FEATURES:
        # (seeds, 20). Medians: near the peak the mean is that of a few huge draws.
        drawn = np.array(
            [
                [
                    measured_risk(EXAMPLES, p, weights, NOISE, 1000 * seed + i, 100)
                    for i in range(20)
                ]
                for seed in seeds
            ]
        )
        logs[p] = np.log(np.median(drawn, axis=1))
        expected = expected_risk(EXAMPLES, p, weights, NOISE)
        print(f"{p:>9}{np.median(drawn):>10.3f}{drawn.mean():>12.3f}{expected:>15.3f}")
    ends = logs[FEATURES[0]], logs[FEATURES[-1]]
    verdict = weakest([PEAK.judge(logs[EXAMPLES], end) for end in ends])
    return verdict, np.exp(np.transpose(list(logs.values())))


def sharp_metrics():
    """Part 3. Returns whether the loss is an exact power law and the exact match jumps, a word; and
    what plot() draws.
    """
    sizes, ks = 10.0 ** np.arange(5, 14), (1, 5, 20, 50)
    # 2 nats a token at 1e5 parameters: made up, and as smooth as can be
    loss = power_law(sizes, 2 * 1e5**0.25, -0.25)
    p = np.exp(-loss)  # of one token; k tokens are right with p^k
    print("\n3. a token's loss that is an exact power law of parameters, and answers of k tokens")
    print(f"{'parameters':>12}{'loss':>9}" + "".join(f"{f'all {k} right':>15}" for k in ks))
    for n, one, each in zip(sizes, loss, p):
        print(f"{n:>12.0e}{one:>9.3f}" + "".join(f"{all_tokens_right(each, k):>15.4f}" for k in ks))
    # A straight line of log loss over log size, and yet 20 tokens go from never to mostly right.
    straight = np.ptp(np.diff(np.log(loss))) < 1e-9
    jumps = all_tokens_right(p[3], 20) < 0.001 and all_tokens_right(p[-1], 20) > 0.5
    drawn = sizes, {f"all {k} right": [all_tokens_right(one, k) for one in p] for k in ks}
    if straight and jumps:
        return SHOWS, drawn
    return OPPOSITE, drawn


def plot(path, losses, floor, risks, metrics):
    """Save the three curves as a picture. metrics: (sizes, {answers of k tokens: share right})."""
    logs = {"xscale": "log", "yscale": "log"}
    with Picture(path, columns=3, size=(4.6, 3.4)) as picture:
        panel = picture.panel("three phases", "pairs counted", "loss (nats)", **logs)
        panel.curve("counts", SIZES, losses)
        panel.level("entropy rate", floor)
        title = "double descent"
        panel = picture.panel(title, "features", f"error on {EXAMPLES} examples, median", **logs)
        panel.curve("least squares", FEATURES, risks)
        panel = picture.panel("a metric that jumps", "parameters", "share right", xscale="log")
        for name, values in metrics[1].items():
            panel.curve(name, metrics[0], values)


def main(argv=None):
    """Print the three parts and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=("cpu",))
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    seeds = range(options.seed, options.seed + 5)
    if options.quick:
        seeds = seeds[:2]
        print(ONLY_RUNS)
    phases, losses, floor = three_phases(seeds)
    peak, risks = double_descent(seeds)
    jump, metrics = sharp_metrics()
    print(f"\nthree phases, the weakest of the comparisons (section 2.2.4): {phases}")
    print(f"{PEAK.text}, logarithms, at both ends: {peak}")
    print(f"{JUMP}, by arithmetic: {jump}")
    if options.plot:
        plot(options.plot, losses, floor, risks, metrics)


if __name__ == "__main__":
    main()
