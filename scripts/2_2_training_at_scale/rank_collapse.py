"""Does the feed-forward keep self-attention from collapsing? Book section 2.2.2 says so; measured
here, four stacks.

Claim of the book (after Dong et al. 2021): stacked self-attention makes all rows of its output
alike, the matrix loses rank, and the feed-forward sub-layer prevents it. Each stack below starts
from random rows X (16, 32) and, without norm and mask, applies layers of fresh random weights;
shown is the share of X that differs between rows, res(X) = ||X - mean row|| / ||X||: 1 is no
likeness, 0 is rank one. The feed-forward's weights are scaled by a gain. About a second. `python
scripts/2_2_training_at_scale/rank_collapse.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is
2 seeds instead of 10. Read next: norm_placement.py.

Measured output (medians over 10 seeds, with the least and the most):

    res(X) after layer                           1           2           4           8   least and most at the last
    attention                              7.3e-01     3.0e-02     2.4e-16     2.2e-16   1.8e-16 .. 3.1e-16
    attention, skip                        9.5e-01     9.2e-01     7.8e-01     3.9e-01   2.3e-01 .. 6.5e-01
    attention, feed-forward x1             6.3e-01     8.6e-03     3.2e-16     2.3e-16   1.2e-16 .. 2.8e-16
    attention, feed-forward x4             6.3e-01     1.2e-01     2.7e-06     3.0e-16   2.6e-16 .. 3.4e-16
    attention, feed-forward x16            6.3e-01     4.5e-01     1.1e-01     2.6e-16   1.6e-16 .. 3.4e-16
    attention, skip, feed-forward x1       9.0e-01     8.2e-01     6.6e-01     3.5e-01   1.5e-01 .. 7.3e-01
    attention, skip, feed-forward x4       8.1e-01     6.8e-01     4.6e-01     1.9e-01   1.1e-01 .. 3.9e-01
    attention, skip, feed-forward x16      8.0e-01     6.8e-01     4.3e-01     1.9e-01   1.1e-01 .. 3.7e-01
    attention alone collapses in every seed: True
    a feed-forward x1 without skip keeps a hundredth of X in 0 of 10 seeds
    a feed-forward x4 without skip keeps a hundredth of X in 0 of 10 seeds
    a feed-forward x16 without skip keeps a hundredth of X in 0 of 10 seeds
    a skip without feed-forward does in 10 of 10 seeds
    the book's claim for the feed-forward does not show here; the skip connection's part does

A larger gain delays the collapse (also by sharpening the attention), it does not prevent it.
"""

import argparse

import numpy as np

import tinylm as tl

ROWS, D, F, LAYERS, SHOWN = 16, 32, 128, 8, (1, 2, 4, 8)
GAINS = (1.0, 4.0, 16.0)
FLOOR = 1e-12  # float64 rounding of the mean row; below it all is zero


def residual(x):
    """||X - 1 mean(X)|| / ||X||, Frobenius norms: how unlike the rows still are."""
    x = x.numpy()
    return float(np.linalg.norm(x - x.mean(0)) / np.linalg.norm(x))


def stack(seed, skip, feed_forward, gain, device):
    """res(X) after each of LAYERS layers: attention, then feed-forward if asked, each with a skip
    if asked.
    """
    rng = np.random.default_rng(seed)

    def draw(rows, columns, scale=1.0):
        return tl.Tensor(rng.normal(size=(rows, columns)) * scale / rows**0.5, device=device)

    x, found = draw(ROWS, D, ROWS**0.5), []
    for _ in range(LAYERS):
        wq, wk, wv = (draw(D, D) for _ in range(3))
        q, k, v = (x.reshape(1, ROWS, D) @ w for w in (wq, wk, wv))
        y = tl.attention(*(part.reshape(1, 1, ROWS, D) for part in (q, k, v))).reshape(
            ROWS, D
        )  # one head, no mask
        x = x + y if skip else y
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
    """Print the table and say what it shows."""
    print(
        f"{'res(X) after layer':34}"
        + "".join(f"{n:>12}" for n in SHOWN)
        + "   least and most at the last"
    )
    for name, values in table:
        middle = np.median(values, axis=0)
        print(
            f"{name:34}"
            + "".join(f"{middle[n - 1]:12.1e}" for n in SHOWN)
            + f"   {values[:, -1].min():.1e} .. {values[:, -1].max():.1e}"
        )
    last, seeds = {name: values[:, -1] for name, values in table}, len(table[0][1])
    print(f"attention alone collapses in every seed: {bool((last['attention'] < FLOOR).all())}")
    for gain in GAINS:
        kept = int((last[f"attention, feed-forward x{gain:g}"] > 0.01).sum())
        print(
            f"a feed-forward x{gain:g} without skip keeps a hundredth of X in {kept} of {seeds} seeds"
        )
    kept = int((last["attention, skip"] > 0.01).sum())
    print(f"a skip without feed-forward does in {kept} of {seeds} seeds")
    saved = any((last[f"attention, feed-forward x{gain:g}"] > 0.01).any() for gain in GAINS)
    print(
        "the book's claim for the feed-forward "
        + ("shows at some gains" if saved else "does not show here")
        + "; the skip connection's part "
        + ("does" if kept == seeds else "does not show either")
    )


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="2 seeds instead of 10")
    args = parser.parse_args()
    show(measure(range(args.seed, args.seed + (2 if args.quick else 10)), args.device))


if __name__ == "__main__":
    main()
