"""Figure 2.6: memories of fixed size side by side, what each holds, and how much of it can be found
again.

Claim of the book (section 2.3.3): a window, an average, a recurrent state and compressed memories
keep a fixed number of keys and values however long the text is, and forget in exchange. First the
content of each at every step of a stream whose i-th key is the number i; then recall: 64 pairs of a
random key and one of 16 symbols go in, every key is the query once at the end, and the answer is
the symbol with the most weight. A full cache answers all; chance is 6 %. A few seconds. `python
scripts/2_3_long_sequences/fixed_size_memory.py [--seed N] [--device cpu|gpu] [--quick] [--plot
FILE]`; --quick is 2 seeds, not 10. Read next: attention_cost.py.

Measured output:

    1. Keys held after key i has come (values likewise); averages round to 0.1
       i                       size           stored  1               3               5
         11
       window of 4             4 x 2          8       0 1             0 1 2 3         2 3 4 5
         8 9 10 11
       moving average of 4     1 x 2          8       0.5             1.5             3.5
         9.5
       cumulative average      1 x 2          2       0.5             1.5             2.5
         5.5
       average, alpha 1/2      1 x 2          2       0.5             2.1             4.0
         10.0
       GRU, untrained          1 x 2          2       0.3             0.5             0.5
         0.6
       segments of 2, two      4 x 2          8       0 1             0 1 2 3         2 3 4 5
         8 9 10 11
       first 1, window 3       4 x 2          8       0 1             0 1 2 3         0 3 4 5
         0 9 10 11
       compressed 2 | recent 4 2 x 2 + 4 x 2  12      0 1             0 1 2 3         0.5 2 3 4 5
         4.5 6.5 8 9 10 11

    2. Share of 64 pairs found again, by how many tokens ago they came; 10 seeds
       lag                             stored     0-3     4-7    8-15   16-31   32-63     all  least
         .. most by seed
       full cache                        3072    1.00    1.00    1.00    1.00    1.00    1.00  1.00
         .. 1.00
       window of 8                        384    1.00    1.00    0.07    0.09    0.06    0.19  0.16
         .. 0.22
       first 4, window 4                  384    1.00    0.05    0.06    0.08    0.16    0.17  0.12
         .. 0.20
       segments of 4, two                 384    1.00    1.00    0.07    0.09    0.06    0.19  0.16
         .. 0.22
       compressed 4 by 4 | recent 4       384    1.00    0.12    0.23    0.09    0.05    0.15  0.11
         .. 0.19
       compressed 15 by 4 | recent 4      912    1.00    0.15    0.21    0.14    0.17    0.22  0.19
         .. 0.28
       moving average of 8                384    0.28    0.25    0.03    0.06    0.07    0.09  0.05
         .. 0.12
       cumulative average                  48    0.15    0.10    0.15    0.13    0.11    0.12  0.09
         .. 0.14
       linear, elu + 1                    544    0.15    0.12    0.19    0.16    0.13    0.15  0.09
         .. 0.22
       linear, identity                   544    0.78    0.75    0.80    0.80    0.82    0.80  0.72
         .. 0.89
       the full cache finds 100%; best of the fixed ones: linear, identity, 80%
       a memory smaller than the cache forgets, every one of 9 (section 2.3.3): +0.197 [+0.163,
         +0.23], 10 seeds: shows
"""

import argparse

import numpy as np

import tinylm as tl
from tinylm import backend
from tinylm.backend import Random
from tinylm.nn.attention.linear_attention import elu_features, linear_attention_recurrent
from tinylm.nn.memory import fixed_size as m
from tinylm.nn.memory.segments import compressive, pool_by_mean
from tinylm.nn.recurrence.recurrent import GRUCell
from tinylm.train.experiments.compare import Claim, weakest
from tinylm.train.experiments.picture import Picture, add_plot

TOKENS, WIDTH, SYMBOLS = 64, 32, 16
SHARPNESS = 40.0  # of a query of its own key: e^(40/sqrt 32) over a foreign one
# Share of the pairs found, paired by stream; it needs every one of the smaller memories.
FORGETS = Claim("a memory smaller than the cache forgets", "2.3.3", larger=False)
LAGS = (0, 4, 8, 16, 32, 64)


def panels(device):
    """Name -> (memory, tokens taken in at once, size in the notation of figure 2.6)."""
    cell = GRUCell(2, 2, Random(0, device=device), dtype=np.float64)
    return {
        "window of 4": (m.window(4), 1, "4 x 2"),
        "moving average of 4": (m.moving_average(4), 1, "1 x 2"),
        "cumulative average": (m.cumulative_average(), 1, "1 x 2"),
        "average, alpha 1/2": (m.exponential_average(0.5), 1, "1 x 2"),
        "GRU, untrained": (m.recurrent(cell), 1, "1 x 2"),
        "segments of 2, two": (m.fifo(4), 2, "4 x 2"),
        "first 1, window 3": (m.first_and_window(1, 3), 1, "4 x 2"),
        "compressed 2 | recent 4": (compressive(4, 2, pool_by_mean(2)), 2, "2 x 2 + 4 x 2"),
    }


def figure(device, steps=12):
    """Print the keys held after some steps of a stream whose i-th key is i."""
    # (B, H, T, K) = (1, 1, steps, 1): key i is the number i
    x = tl.Tensor(np.arange(steps, dtype=np.float64).reshape(1, 1, steps, 1), device=device)
    print("1. Keys held after key i has come (values likewise); averages round to 0.1")
    shown = (1, 3, 5, 11)
    print(f"   {'i':<24}{'size':<15}{'stored':<8}" + "".join(f"{i:<16}" for i in shown).rstrip())
    for name, (memory, n, size) in panels(device).items():
        state, cells = None, []
        for start in range(0, steps, n):
            state = memory.update(x[:, :, start : start + n], x[:, :, start : start + n], state)
            if start + n - 1 in shown:
                keys = memory.read(state)[0].numpy().ravel()
                cells.append(" ".join(short(key) for key in keys))
        print(
            f"   {name:<24}{size:<15}{m.stored_numbers(state):<8}"
            + "".join(f"{cell:<16}" for cell in cells).rstrip()
        )


def short(number):
    """A whole number as it is, another with one decimal."""
    if abs(number - round(number)) < 1e-9:
        return f"{number:.3g}"
    return f"{number:.1f}"


def recall_memories(device):
    """Name -> (memory, tokens at once) for the recall."""
    return {
        "full cache": (m.full(), 1),
        "window of 8": (m.window(8), 1),
        "first 4, window 4": (m.first_and_window(4, 4), 1),
        "segments of 4, two": (m.fifo(8), 4),
        "compressed 4 by 4 | recent 4": (compressive(4, 4, pool_by_mean(4)), 4),
        "compressed 15 by 4 | recent 4": (compressive(4, 15, pool_by_mean(4)), 4),
        "moving average of 8": (m.moving_average(8), 1),
        "cumulative average": (m.cumulative_average(), 1),
    }


def recall(seed, device):
    """One stream: name -> (numbers stored, right answers (TOKENS,) by lag)."""
    rng = np.random.default_rng(seed)
    # random directions in 32 dimensions are nearly orthogonal
    keys = rng.normal(size=(TOKENS, WIDTH))
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    # unit keys: a query of its own key scores SHARPNESS, of another about 0
    symbols = rng.integers(0, SYMBOLS, TOKENS)
    k, v = (tl.Tensor(x[None, None], device=device) for x in (keys, np.eye(SYMBOLS)[symbols]))
    q, found = k * SHARPNESS, {}

    def score(answers):
        right = np.argmax(answers.numpy()[0, 0], axis=-1) == symbols
        return right[::-1]  # the newest first: lag 0, 1, ...

    for name, (memory, n) in recall_memories(device).items():
        state = None
        for start in range(0, TOKENS, n):
            state = memory.update(k[:, :, start : start + n], v[:, :, start : start + n], state)
        found[name] = m.stored_numbers(state), score(tl.attention(q, *memory.read(state)))
    for name, features in (("linear, elu + 1", elu_features), ("linear, identity", lambda x: x)):
        # S = sum_i phi(k_i) (v_i, 1)^T; a query reads phi(q)^T S
        _, state = linear_attention_recurrent(features(k), features(k), v)
        # the state is (K, J + 1): a column of weights' sums comes last
        found[name] = state.size, score((features(q) @ state)[..., :-1])
    return found


def show(runs):
    """Print recall by lag, that of the whole with its spread over seeds, and the verdict."""
    print(
        f"\n2. Share of {TOKENS} pairs found again, by how many tokens ago they came; "
        f"{len(runs)} seeds"
    )
    spans = list(zip(LAGS, LAGS[1:]))
    print(
        f"   {'lag':<31}{'stored':>7}"
        + "".join(f"{f'{a}-{b - 1}':>8}" for a, b in spans)
        + f"{'all':>8}  least .. most by seed"
    )
    for name in runs[0]:
        # a span of lags is the mean over its tokens and seeds
        right = np.array([run[name][1] for run in runs])  # (seeds, TOKENS)
        every = right.mean(1)
        print(
            f"   {name:<31}{runs[0][name][0]:>7}"
            + "".join(f"{right[:, a:b].mean():>8.2f}" for a, b in spans)
            + f"{every.mean():>8.2f}  {every.min():.2f} .. {every.max():.2f}"
        )
    kept = {name: [run[name][1].mean() for run in runs] for name in runs[0]}
    full = kept.pop("full cache")
    best = max(kept, key=lambda name: np.mean(kept[name]))
    print(
        f"   the full cache finds {np.mean(full):.0%}; best of the fixed ones: {best}, "
        f"{np.mean(kept[best]):.0%}"
    )
    every = weakest([FORGETS.judge(found, full) for found in kept.values()])
    print(f"   {FORGETS.text}, every one of {len(kept)} (section {FORGETS.section}): {every}")


def plot(path, runs):
    """Save what is found again over the lag as a picture."""
    spans = list(zip(LAGS, LAGS[1:]))
    names = [f"{a}-{b - 1}" for a, b in spans]
    with Picture(path, size=(6, 4)) as picture:
        panel = picture.panel("pairs found again", "tokens ago", "share", xticks=range(len(spans)))
        panel.axes.set_xticks(range(len(spans)), names)
        for name in runs[0]:
            right = np.array([run[name][1] for run in runs])  # (seeds, TOKENS)
            values = [[row[a:b].mean() for a, b in spans] for row in right]
            panel.curve(name, range(len(spans)), values)


def main():
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="2 seeds instead of 10")
    add_plot(parser)
    args = parser.parse_args()
    backend.blas_threads(1)
    seeds = range(args.seed, args.seed + 10)
    if args.quick:
        seeds = seeds[:2]
    figure(args.device)
    runs = [recall(seed, args.device) for seed in seeds]
    show(runs)
    if args.plot:
        plot(args.plot, runs)


if __name__ == "__main__":
    main()
