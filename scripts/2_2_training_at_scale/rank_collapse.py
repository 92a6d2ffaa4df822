"""Does the feed-forward keep self-attention from collapsing, as book section 2.2.2 has it? Measured
on four stacks.

Claim of the book (after Dong et al. 2021): stacked self-attention makes all rows of its output
alike, the matrix loses rank, and the feed-forward sub-layer prevents it. Each stack below starts
from random rows X (16, 32) and, without norm and mask, applies layers of fresh random weights;
shown is the share of X that differs between rows, res(X) = ||X - mean row|| / ||X||: 1 is no
likeness, 0 is rank one. The feed-forward's weights are scaled by a gain. About a second. `python
scripts/2_2_training_at_scale/rank_collapse.py [--seed N] [--device cpu|gpu] [--quick] [--plot
FILE]`; --quick is 2 seeds instead of 10. Read next: norm_placement.py.

Measured output (medians over 10 seeds, with the least and the most):

    res(X) after layer                           1           2           4           8   least and
      most at the last
    attention                              7.3e-01     3.0e-02     2.5e-16     2.1e-16   1.7e-16 ..
      2.8e-16
    attention, skip                        9.5e-01     9.2e-01     7.8e-01     3.9e-01   2.3e-01 ..
      6.5e-01
    attention, feed-forward x1             6.3e-01     8.6e-03     3.1e-16     2.3e-16   1.8e-16 ..
      2.7e-16
    attention, feed-forward x4             6.3e-01     1.2e-01     2.7e-06     2.8e-16   2.4e-16 ..
      3.5e-16
    attention, feed-forward x16            6.3e-01     4.5e-01     1.1e-01     2.7e-16   2.0e-16 ..
      3.5e-16
    attention, skip, feed-forward x1       9.0e-01     8.2e-01     6.6e-01     3.5e-01   1.5e-01 ..
      7.3e-01
    attention, skip, feed-forward x4       8.1e-01     6.8e-01     4.6e-01     1.9e-01   1.1e-01 ..
      3.9e-01
    attention, skip, feed-forward x16      8.0e-01     6.8e-01     4.3e-01     1.9e-01   1.1e-01 ..
      3.7e-01
    verdicts on log10 of res(X) at the last layer
    attention alone collapses to rounding (section 2.2.2): +3.68 [+3.64, +3.73], 10 seeds: shows
    a feed-forward x1 without skip keeps a hundredth of X (section 2.2.2): -13.7 [-13.7, -13.6], 10
      seeds: shows the opposite
    a feed-forward x4 without skip keeps a hundredth of X (section 2.2.2): -13.6 [-13.6, -13.5], 10
      seeds: shows the opposite
    a feed-forward x16 without skip keeps a hundredth of X (section 2.2.2): -13.6 [-13.6, -13.5], 10
      seeds: shows the opposite
    a skip without feed-forward keeps a hundredth of X (section 2.2.2): +1.6 [+1.5, +1.69], 10
      seeds: shows

A larger gain delays the collapse (also by sharpening the attention), it does not prevent it.
"""

import argparse

import numpy as np

import tinylm as tl
from tinylm.train.experiments.compare import Claim
from tinylm.train.experiments.picture import Picture, add_plot

ROWS = 16
D = 32
F = 128
LAYERS = 8
SHOWN = (1, 2, 4, 8)
GAINS = (1.0, 4.0, 16.0)
FLOOR = 1e-12  # float64 rounding of the mean row; below it all is zero
KEPT = 0.01
# log10 of res(X) after the last layer, against a known bound.
COLLAPSES = Claim("attention alone collapses to rounding", "2.2.2", larger=False)
KEEPS = Claim("keeps a hundredth of X", "2.2.2")


def residual(x):
    """||X - 1 mean(X)|| / ||X||, Frobenius norms: how unlike the rows still are."""
    x = x.numpy()
    return float(np.linalg.norm(x - x.mean(0)) / np.linalg.norm(x))


def stack(seed, skip, feed_forward, gain, device):
    """res(X) after each of LAYERS layers of fresh random weights.

    skip          y + x in place of y, for both sub-layers
    feed_forward  a second sub-layer, relu(x W1) W2, with W1 scaled by `gain`
    """
    rng = np.random.default_rng(seed)

    def draw(rows, columns, scale=1.0):
        return tl.Tensor(rng.normal(size=(rows, columns)) * scale / rows**0.5, device=device)

    x, found = draw(ROWS, D, ROWS**0.5), []
    for _ in range(LAYERS):
        wq, wk, wv = (draw(D, D) for _ in range(3))
        # one head, no mask: (ROWS, D) -> (1, 1, ROWS, D)
        q, k, v = ((x @ w).reshape(1, 1, ROWS, D) for w in (wq, wk, wv))
        y = tl.attention(q, k, v).reshape(ROWS, D)
        x = x + y if skip else y
        # drawn in every kind of stack, so that all have the same attention
        w1, w2 = draw(D, F, gain), draw(F, D)
        if feed_forward:
            y = tl.relu(x @ w1) @ w2
            x = x + y if skip else y
        found.append(residual(x))
    return found


def measure(seeds, device):
    """One row of the table for each stack: name, and the residuals (seeds, LAYERS)."""
    kinds = [("attention", False, False, 1.0), ("attention, skip", True, False, 1.0)]
    kinds += [(f"attention, feed-forward x{gain:g}", False, True, gain) for gain in GAINS]
    kinds += [(f"attention, skip, feed-forward x{gain:g}", True, True, gain) for gain in GAINS]
    return [
        (name, np.array([stack(seed, *what, device) for seed in seeds])) for name, *what in kinds
    ]


def show(table):
    """Print the table and the verdicts."""
    print(
        f"{'res(X) after layer':34}"
        + "".join(f"{n:>12}" for n in SHOWN)
        + "   least and most at the last"
    )
    for name, values in table:
        # (LAYERS,): the spread is over orders of magnitude, so medians
        middle = np.median(values, axis=0)
        print(
            f"{name:34}"
            + "".join(f"{middle[n - 1]:12.1e}" for n in SHOWN)
            + f"   {values[:, -1].min():.1e} .. {values[:, -1].max():.1e}"
        )
    last = {name: np.log10(values[:, -1]) for name, values in table}
    print("verdicts on log10 of res(X) at the last layer")
    print(COLLAPSES.line(last["attention"], np.log10(FLOOR)))
    for gain in GAINS:
        name = f"attention, feed-forward x{gain:g}"
        print(f"a feed-forward x{gain:g} without skip {KEEPS.line(last[name], np.log10(KEPT))}")
    print(f"a skip without feed-forward {KEEPS.line(last['attention, skip'], np.log10(KEPT))}")


def plot(path, table):
    """Save what is left of the differences between rows, layer by layer, as a picture."""
    with Picture(path, size=(6.6, 4.2)) as picture:
        scales = {"xscale": "log", "yscale": "log", "xticks": SHOWN}
        panel = picture.panel("how unlike the rows still are", "layer", "res(X)", **scales)
        for name, values in table:
            panel.curve(name, np.arange(1, LAYERS + 1), values)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="2 seeds instead of 10")
    add_plot(parser)
    args = parser.parse_args()
    seeds = range(args.seed, args.seed + 10)
    if args.quick:
        seeds = seeds[:2]
    table = measure(seeds, args.device)
    show(table)
    if args.plot:
        plot(args.plot, table)


if __name__ == "__main__":
    main()
