"""Weights of 8 and 4 bits: what they save in memory, cost in time, and lose in accuracy.

Book section 2.3.1 ("8-bit or 16-bit fixed-point" makes memory and throughput better). Shown: bytes,
milliseconds and error of W x for a W of 1536 x 576, the shape of a feed-forward layer of SmolLM2,
kept as float32, in blocks of 8 and of 4 bits, and in fixed point with 8 bits throughout. 40
different matrices are multiplied in turn, so that they come from memory, as when a model decodes.
Time is of this machine's NumPy with one thread; the memory holds anywhere. About 10 seconds.
`python scripts/2_3_long_sequences/quantized_weights.py [--seed N] [--device cpu] [--quick] [--plot
FILE]`; --quick is 8 matrices and 3 rounds.

Measured output (AMD EPYC, Zen 5, BLAS kernels for AVX2, an idle machine, one thread):

                 bytes/weight     ms  lowest highest  relative error
    float32             4.000   0.15    0.14    0.15         1.6e-07
    Q8_0                1.125   0.12    0.12    0.13         5.3e-03
    Q4_0                0.625   0.16    0.16    0.17         8.6e-02
    Q4_1                0.750   0.17    0.16    0.17         7.8e-02
    8 bits, rows        1.007   0.12    0.11    0.12         7.5e-03
    int8 x int8         1.007   0.13    0.13    0.14         1.1e-02
    8 bits, rows: 4.0 times less memory, 0.8 times the time
      saves time (section 2.3.1), ms: +0.0319 [+0.0305, +0.0333], 15 seeds: shows
    Q8_0: 3.6 times less memory, 0.8 times the time
      saves time (section 2.3.1), ms: +0.0239 [+0.0222, +0.0255], 15 seeds: shows
    Q4_1: 5.3 times less memory, 1.1 times the time
      saves time (section 2.3.1), ms: -0.0185 [-0.0201, -0.0168], 15 seeds: shows the opposite
"""

import argparse
import os
import time

# before NumPy is loaded; the conversions use one thread too
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402

from tinylm.models.low_bit.fixedpoint import fixed_linear, to_fixed  # noqa: E402
from tinylm.models.low_bit.quantized import QuantizedMatrix  # noqa: E402
from tinylm.train.experiments.compare import Claim  # noqa: E402
from tinylm.train.experiments.picture import Picture, add_plot  # noqa: E402

R, D = 1536, 576
# Milliseconds of a product, a round each; rounds of one way are not those of another (Welch).
SAVES = Claim("saves time", "2.3.1", larger=False)


def milliseconds(products, x, rounds):
    """Milliseconds a product, of each of `rounds` rounds after one that warms up."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        for product in products:
            product(x)
        times.append((time.perf_counter() - start) / len(products) * 1e3)
    return times[1:]


def ways(matrices):
    """{name: (bytes a weight, [function x -> W x])}."""
    made = {"float32": (4, [matrix.__matmul__ for matrix in matrices])}
    for kind in ("Q8_0", "Q4_0", "Q4_1"):
        kept = [QuantizedMatrix.from_array(matrix, kind) for matrix in matrices]
        made[kind] = kept[0].nbytes / (R * D), [matrix.matvec for matrix in kept]
    kept = [QuantizedMatrix.from_rows(matrix) for matrix in matrices]
    # a scale for each row instead of each block
    made["8 bits, rows"] = kept[0].nbytes / (R * D), [matrix.matvec for matrix in kept]
    fixed = [to_fixed(matrix.T, axis=0) for matrix in matrices]
    made["int8 x int8"] = (
        1 + 4 / D,
        [
            lambda x, codes=codes, scale=scale: fixed_linear(x[None], codes, scale)[0]
            for codes, scale in fixed
        ],
    )
    return made


def plot(path, results, spent):
    """Save time and error against memory as a picture."""
    with Picture(path, columns=2) as picture:
        time_panel = picture.panel("time of W x", "bytes a weight", "ms")
        for name, (nbytes, _, _) in results.items():
            time_panel.points(name, [nbytes], np.reshape(spent[name], (-1, 1)))
        panel = picture.panel("error of W x", "bytes a weight", "relative error", yscale="log")
        for name, (nbytes, _, error) in results.items():
            panel.points(name, [nbytes], [error])


def main(seed=0, quick=False, picture=""):
    """Print the table and the verdicts; returns name -> (bytes a weight, ms, relative error)."""
    rng = np.random.default_rng(seed)
    count = 40
    rounds = 15
    if quick:
        count, rounds = 8, 3
    matrices = [rng.standard_normal((R, D), dtype=np.float32) for _ in range(count)]
    x = rng.standard_normal(D, dtype=np.float32)
    exact = [matrix.astype(np.float64) @ x for matrix in matrices]
    print(
        f"{'':12} {'bytes/weight':>12} {'ms':>6} {'lowest':>7} {'highest':>7} "
        f"{'relative error':>15}"
    )
    results, spent = {}, {}
    for name, (nbytes, products) in ways(matrices).items():
        times = spent[name] = milliseconds(products, x, rounds)
        # |W x - exact| / |exact|
        errors = [
            np.linalg.norm(product(x) - y) / np.linalg.norm(y)
            for product, y in zip(products, exact)
        ]
        middle = float(np.median(times))
        error = float(np.mean(errors))
        results[name] = nbytes, middle, error
        print(
            f"{name:12} {nbytes:12.3f} {middle:6.2f} {min(times):7.2f} {max(times):7.2f} "
            f"{error:15.1e}"
        )
    full = results["float32"]
    for name in ("8 bits, rows", "Q8_0", "Q4_1"):
        nbytes, time_taken, _ = results[name]
        print(
            f"{name}: {full[0] / nbytes:.1f} times less memory, "
            f"{time_taken / full[1]:.1f} times the time"
        )
        verdict = SAVES.judge(spent[name], spent["float32"], paired=False)
        print(f"  {SAVES.text} (section {SAVES.section}), ms: {verdict}")
    if picture:
        plot(picture, results, spent)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device", choices=["cpu"], default="cpu", help="blocks are multiplied by NumPy alone"
    )
    parser.add_argument("--quick", action="store_true", help="8 matrices, 3 rounds")
    add_plot(parser)
    options = parser.parse_args()
    main(options.seed, options.quick, options.plot)
