"""What attention costs as the sequence grows: operations, time and memory, and how much is cached
(sections 2.3.1-2.3.4).

Claim of the book: dense attention takes time that grows with the square of the length, sparse and
linear attention with the length itself (section 2.3.2), and the sizes of what is kept are those of
Figs. 2.5 to 2.8. Operations are counted in the matrix products that run; times are one head of
width 32 in float32, forward and backward, on one thread, median of the repeats with the least and
the most; memory is what one forward and backward allocates at its peak. About half a minute.
`python scripts/2_3_long_sequences/attention_cost.py [--seed N] [--device cpu|gpu] [--quick] [--plot
FILE]`; --quick stops at 512. Read next: fixed_size_memory.py.

Measured output (Xeon with AVX-512, an idle machine, one thread):

    1. Operations in matrix products, millions, one head of width 32, and the exponent of their
      growth
       tokens                        256      512     1024     2048     4096   exponent  book
       dense                        8.39    33.55   134.22   536.87  2147.48      2.000     2
       dense in tiles of 128        6.29    20.97    75.50   285.21  1107.30      1.957     2
       window 64, gathered          2.10     4.19     8.39    16.78    33.55      1.000     1
       window 64, in blocks         4.19     8.39    16.78    33.55    67.11      1.000     1
       linear, as a matrix          8.52    34.08   136.31   545.26  2181.04      2.000     2
       linear, chunks of 64         3.21     6.42    12.85    25.69    51.38      1.000     1

    2. Time of forward and backward, ms, median of 5 (least .. most at the longest); exponent of the
      upper half
       tokens                        256      512     1024     2048     4096   exponent   spread
       dense                        0.82     2.12     8.27    34.54   153.81       2.12   152.0 .. 157.2
       dense in tiles of 128        1.18     2.54     7.68    25.80    96.00       1.82   93.4 .. 96.6
       window 64, gathered          9.89    19.08    42.92    94.44   198.95       1.11   192.9 .. 363.8
       window 64, in blocks         1.44     1.66     2.30     3.41     6.32       0.72   5.9 .. 6.7
       linear, as a matrix          2.61     5.49    15.60    47.49   177.89       1.75   174.4 .. 181.0
       linear, chunks of 64         2.24     2.94     4.43     7.58    14.35       0.85   14.3 .. 14.5
       dense: time grows with the square of the length, exponent above 1.5: +0.611 [+0.581, +0.641],
         5 seeds: shows
       dense in tiles of 128: time grows with the square of the length, exponent above 1.5: +0.302
         [+0.242, +0.361], 5 seeds: shows
       window 64, gathered: time grows with the length, exponent below 1.5: +0.312 [+0.063, +0.561],
         5 seeds: shows
       window 64, gathered: faster than dense at the longest, logarithms: -0.376 [-0.698, -0.0532],
         5 seeds: shows the opposite
       window 64, in blocks: time grows with the length, exponent below 1.5: +0.772 [+0.73, +0.814],
         5 seeds: shows
       window 64, in blocks: faster than dense at the longest, logarithms: +3.19 [+3.12, +3.27], 5
         seeds: shows
       linear, as a matrix: time grows with the square of the length, exponent above 1.5: +0.25
         [+0.243, +0.258], 5 seeds: shows
       linear, chunks of 64: time grows with the length, exponent below 1.5: +0.66 [+0.634, +0.687],
         5 seeds: shows
       linear, chunks of 64: faster than dense at the longest, logarithms: +2.37 [+2.35, +2.39], 5
         seeds: shows

    3. Memory of forward and backward at its peak, KiB
       tokens                        256      512     1024     2048     4096   exponent
       dense                         744     2474     9006    34358   134214       1.97
       dense in tiles of 128         509      703     1092     1869     3423       0.87
       window 64, gathered         12712    25416    50824   101640   203272       1.00
       window 64, in blocks          789     1527     3003     5955    11859       0.99
       linear, as a matrix          1487     5138    18966    72734   284718       1.97
       linear, chunks of 64          872     1712     3390     6747    13461       1.00

    4. Fig. 2.5: numbers kept and read for the output at position i: width 8, window 4, 8 features,
      RNN state 16
       i                                         0        3       15      255
       (a) standard: kept = read                16       64      256     4096
       (b) sparse: kept                         16       64      256     4096
       (b) sparse: read                         16       64       64       64
       (c) linear: kept = read                  72       72       72       72
       (d) recurrent: kept = read               16       16       16       16
       Fig. 2.7(a), window 4, 4 found           16       64      128      128

    5. Fig. 2.8: what a cache holds, 2 L G K m numbers
                                              2 layers, 4 heads of 8, 16 tokens     32 layers, 32 heads of 128, 4096 tokens, fp16
       multi-head                                                 2,048 numbers                               2,147,483,648 bytes
       multi-head, window m/4                                       512 numbers                                 536,870,912 bytes
       grouped-query, 2 | 8 groups                                1,024 numbers                                 536,870,912 bytes
       multi-query                                                  512 numbers                                  67,108,864 bytes
       keys shared by pairs of layers                             1,024 numbers                               1,073,741,824 bytes
"""

import argparse
import time
import tracemalloc

import numpy as np

import tinylm as tl
from tinylm import backend
from tinylm.autograd.engine.profile import count_operations
from tinylm.generate import cache_bytes
from tinylm.nn.attention.linear_attention import (
    elu_features,
    linear_attention_chunked,
    linear_attention_matrix,
)
from tinylm.nn.attention.patterns import window_index
from tinylm.nn.attention.sparse import sparse_attention, window_attention
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, slopes
from tinylm.train.experiments.picture import Picture, add_plot

K, WIDTH, TILE, CHUNK = 32, 64, 128, 64
# Exponents of time over length in the upper half of the lengths, a repeat each: 1.5 is halfway
# between the length and its square. Speed at the longest, logarithms of ms, repeat against repeat.
SQUARE = Claim("time grows with the square of the length, exponent above 1.5", "2.3.2")
LINEAR = Claim("time grows with the length, exponent below 1.5", "2.3.2", larger=False)
FASTER = Claim("faster than dense at the longest", "2.3.2", larger=False)


def gathered(q, k, v):
    """The window by index lists."""
    return sparse_attention(q, k, v, *window_index(q.shape[2], width=WIDTH, like=q.data))


def linear(form, **options):
    """A form of linear attention with elu + 1, its output alone."""

    def run(q, k, v):
        y = form(elu_features(q), elu_features(k), v, **options)
        if isinstance(y, tuple):
            return y[0]
        return y

    return run


KINDS = {  # name: function, exponent in the book
    "dense": (lambda q, k, v: tl.attention(q, k, v, causal=True), 2),
    f"dense in tiles of {TILE}": (
        lambda q, k, v: tl.tiled_attention(q, k, v, causal=True, block_q=TILE, block_k=TILE),
        2,
    ),
    f"window {WIDTH}, gathered": (gathered, 1),
    f"window {WIDTH}, in blocks": (lambda q, k, v: window_attention(q, k, v, WIDTH), 1),
    "linear, as a matrix": (linear(linear_attention_matrix), 2),
    f"linear, chunks of {CHUNK}": (linear(linear_attention_chunked, chunk=CHUNK), 1),
}


def inputs(tokens, seed, device):
    """Random queries, keys and values of one head."""
    # (B, H, T, K) = (1, 1, tokens, K)
    rng = np.random.default_rng(seed)
    return [
        tl.Tensor(
            rng.normal(size=(1, 1, tokens, K)).astype(np.float32), requires_grad=True, device=device
        )
        for _ in range(3)
    ]


def operations(function, tokens):
    """Multiplications and additions in the matrix products of one forward pass, as executed."""
    # independent of the values, so seed 0 and the CPU
    with count_operations() as counts:
        function(*inputs(tokens, 0, "cpu"))
    # the forward pass alone
    return counts.matmul_flops()


def once(function, tokens, seed, device):
    """Seconds of one forward and backward pass."""
    # random inputs are made before the clock starts
    x = inputs(tokens, seed, device)
    start = time.perf_counter()
    with tl.first_order_only():
        y = function(*x)
        y.backward(np.ones_like(y.data))
    backend.to_cpu(x[0].grad.data)  # waits for the device
    return time.perf_counter() - start


def peak(function, tokens):
    """Bytes allocated at most in one forward and backward pass."""
    x = inputs(tokens, 0, "cpu")
    # NumPy reports its allocations to tracemalloc
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    with tl.first_order_only():
        y = function(*x)
        y.backward(np.ones_like(y.data))
    most = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return most


def exponent(lengths, values):
    """The slope of log(value) over log(length)."""
    return float(slopes(np.log(lengths), np.log([values]))[0])


def measure(lengths, repeats, seed, device):
    """Print the three tables: operations, times, bytes; returns {title: (unit, {kind: values})}."""
    counts, memory = {}, {}
    print(
        f"1. Operations in matrix products, millions, one head of width {K}, "
        "and the exponent of their growth"
    )
    print(
        f"   {'tokens':<24}" + "".join(f"{n:>9}" for n in lengths) + f"{'exponent':>11}{'book':>6}"
    )
    for name, (function, book) in KINDS.items():
        counted = [operations(function, n) for n in lengths]
        counts[name] = np.array(counted) / 1e6
        print(
            f"   {name:<24}"
            + "".join(f"{c / 1e6:9.2f}" for c in counted)
            + f"{exponent(lengths[-2:], counted[-2:]):11.3f}{book:>6}"
        )
    times = times_of_each(lengths, repeats, seed, device)
    found = {"matrix products": ("millions of operations", counts)}
    found["forward and backward"] = "ms", times
    if device == "cpu":
        print("\n3. Memory of forward and backward at its peak, KiB")
        print(f"   {'tokens':<24}" + "".join(f"{n:>9}" for n in lengths) + f"{'exponent':>11}")
        for name, (function, _) in KINDS.items():
            most = [peak(function, n) for n in lengths]
            memory[name] = np.array(most) / 1024
            print(
                f"   {name:<24}"
                + "".join(f"{m / 1024:9.0f}" for m in most)
                + f"{exponent(lengths[-2:], most[-2:]):11.2f}"
            )
        found["memory at its peak"] = "KiB", memory
    return found


def times_of_each(lengths, repeats, seed, device):
    """Print the table of times and the verdicts; returns {kind: ms (repeats, lengths)}."""
    print(
        f"\n2. Time of forward and backward, ms, median of {repeats} "
        "(least .. most at the longest); exponent of the upper half"
    )
    print(f"   {'tokens':<24}" + "".join(f"{n:>9}" for n in lengths) + f"{'exponent':>11}   spread")
    upper, found = len(lengths) // 2, {}
    for name, (function, _) in KINDS.items():
        for n in lengths:
            once(function, n, seed, device)  # first calls load and allocate
        # (repeats, lengths), ms
        times = found[name] = 1e3 * np.array(
            [[once(function, n, seed + r, device) for n in lengths] for r in range(repeats)]
        )
        growth = slopes(np.log(lengths[upper:]), np.log(times[:, upper:]))
        # medians: one slow repeat on a shared machine must not count
        middle = np.median(times, axis=0)
        print(
            f"   {name:<24}" + "".join(f"{t:9.2f}" for t in middle) + f"{np.median(growth):11.2f}"
            f"   {times[:, -1].min():.1f} .. {times[:, -1].max():.1f}"
        )
    for name, (_, book) in KINDS.items():
        growth = slopes(np.log(lengths[upper:]), np.log(found[name][:, upper:]))
        claim = {1: LINEAR, 2: SQUARE}[book]
        print(f"   {name}: {claim.text}: {claim.judge(growth, 1.5)}")
        if book == 1:
            ours, dense = (np.log(found[kind][:, -1]) for kind in (name, "dense"))
            print(f"   {name}: {FASTER.text}, logarithms: {FASTER.judge(ours, dense)}")
    return found


def plot(path, lengths, found):
    """Save operations, times and memory over the length as a picture."""
    with Picture(path, columns=len(found), size=(4.6, 3.6)) as picture:
        for title, (unit, kinds) in found.items():
            scales = {"xscale": "log", "yscale": "log", "xticks": lengths}
            panel = picture.panel(title, "tokens", unit, **scales)
            for name, values in kinds.items():
                panel.curve(name, lengths, values)


def caches():
    """Print the numbers kept: Fig. 2.5 by position, Fig. 2.7 for a store, Fig. 2.8 by sharing."""
    d = 8
    feature = 8
    state = 16
    print(
        f"\n4. Fig. 2.5: numbers kept and read for the output at position i: "
        f"width {d}, window 4, {feature} features, RNN state {state}"
    )
    print(f"   {'i':<34}" + "".join(f"{i:>9}" for i in (0, 3, 15, 255)))
    # a key and a value of d numbers for each position; the state has a sum of features besides
    rows = {
        "(a) standard: kept = read": lambda i: 2 * (i + 1) * d,
        "(b) sparse: kept": lambda i: 2 * (i + 1) * d,
        "(b) sparse: read": lambda i: 2 * min(i + 1, 4) * d,
        "(c) linear: kept = read": lambda i: feature * (d + 1),
        "(d) recurrent: kept = read": lambda i: state,
        "Fig. 2.7(a), window 4, 4 found": lambda i: 2 * (min(i + 1, 4) + min(max(i - 3, 0), 4)) * d,
    }
    for name, numbers in rows.items():
        print(f"   {name:<34}" + "".join(f"{numbers(i):>9}" for i in (0, 3, 15, 255)))
    print("\n5. Fig. 2.8: what a cache holds, 2 L G K m numbers")
    print(
        f"   {'':<36}{'2 layers, 4 heads of 8, 16 tokens':>36}"
        f"{'32 layers, 32 heads of 128, 4096 tokens, fp16':>50}"
    )
    # name: layers that share keys, kind of heads, share of the tokens kept
    kinds = {
        "multi-head": (1, 1, 1),
        "multi-head, window m/4": (1, 1, 4),
        "grouped-query, 2 | 8 groups": (1, "g", 1),
        "multi-query": (1, "1", 1),
        "keys shared by pairs of layers": (2, 1, 1),
    }
    for name, (layers, heads, window) in kinds.items():
        # layers that share keep one cache; grouped heads keep one a group
        small = cache_bytes(2 // layers, 1, {"g": 2, "1": 1}.get(heads, 4), 8, 16 // window, 1)
        large = cache_bytes(
            32 // layers, 1, {"g": 8, "1": 1}.get(heads, 32), 128, 4096 // window, 2
        )
        print(f"   {name:<36}{small:>28,} numbers{large:>44,} bytes")


def main():
    """Print all five tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="lengths up to 512, 2 repeats")
    add_plot(parser)
    args = parser.parse_args()
    lengths, repeats = (256, 512, 1024, 2048, 4096), 5
    if args.quick:
        lengths, repeats = (128, 256, 512), 2
        print(ONLY_RUNS)
    backend.blas_threads(1)
    found = measure(lengths, repeats, args.seed, args.device)
    caches()
    if args.plot:
        plot(args.plot, lengths, found)


if __name__ == "__main__":
    main()
