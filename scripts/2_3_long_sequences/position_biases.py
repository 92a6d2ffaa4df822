"""How distance enters attention: the biases of Figure 2.11 and Table 2.4, RoPE's periods, and what
decays.

Section 2.3.5. Shown here: the matrices of T5 and ALiBi; every bias of the table against the offset;
how long each pair of RoPE takes for one turn, before and after scaling; the claim that RoPE's
scores fall with distance, measured on random queries; and Figure 2.9, where a table, a curve and a
rescaled input meet numbers beyond those they have seen. Takes a second. `python
scripts/2_3_long_sequences/position_biases.py [--seed N] [--device cpu|gpu] [--plot FILE] [--quick]`
(always quick).

Measured output (seed 0, CPU; only stops 4 and 5 draw random numbers: over seeds 0-2 the errors of
stop 5 are 5.9-7.4 extrapolated and 0.056-0.060 interpolated):

    1. Figure 2.11: (a) T5, n_b = 3, dist_max = 5: u_b with b =            (b) ALiBi: -beta times
          0                                           0
          1 0          --                             1 0          ..
          2 1 0        **--                           2 1 0        --..
          2 2 1 0      ****--                         3 2 1 0      ++--..
          3 2 2 1 0    @@****--                       4 3 2 1 0    ##++--..
          3 3 2 2 1 0  @@@@****--                     5 4 3 2 1 0  @@##++--..

    2. Table 2.4: bias by offset (Sandwich less its value at 0; T5 learns a number for each bucket)
       offset                                0        1        4       16       64      256     1024
       T5 (32 buckets to 128): bucket        0        1        4       16       26       31       31
       ALiBi, beta = 1/16                0.000   -0.062   -0.250   -1.000   -4.000  -16.000  -64.000
       KERPLE power, 1, 0.5              0.000   -1.000   -2.000   -4.000   -8.000  -16.000  -32.000
       KERPLE log, 1, 1                  0.000   -0.693   -1.609   -2.833   -4.174   -5.549   -6.932
       Sandwich, 64                      0.000   -0.623   -6.412  -10.670  -17.486  -19.643  -23.579
       FIRE's argument at i = 1024       0.000    0.100    0.232    0.409    0.602    0.800    1.000

    3. Periods of RoPE in positions, head width 8, base 10000, and stretched for 4 times 2048
      positions
       pair                     1           2           3           4
       as trained           6.283      62.832     628.319    6283.185
       linear              4.000x      4.000x      4.000x      4.000x
       NTK                 1.000x      1.587x      2.520x      4.000x
       YaRN                1.000x      1.000x      3.282x      4.000x   cos, sin x 1.1386
       of 64 pairs at head width 128, 23 never finish a turn within 2048 positions

    4. RoPE, q = k random, width 64: score by distance over its value at distance 0, 5 seeds of 200
      vectors
       distance            0      1      2      4      8     16     32     64    128    256   1024
       mean            1.000  0.966  0.885  0.748  0.706  0.608  0.615  0.437  0.286  0.351  0.264
       +- by vector    0.000  0.016  0.053  0.096  0.096  0.120  0.103  0.115  0.131  0.125  0.112
       +- by seed      0.000  0.001  0.003  0.005  0.004  0.007  0.006  0.010  0.007  0.004  0.005
       RoPE's scores are lower at distance 1024 than at 8 (section 2.3.5): +0.442 [+0.436, +0.448],
         5 seeds: shows
       the expected score is the mean of the cosines: 0.58 over distances 0-63 and 0.13 over
         1024-2047, but
       49% of single steps away raise it: a tendency, not the law of a bias

    5. Figure 2.9: sin(i/3) learned at i = 1 .. 10 (error, largest over the range)
       (a) table         seen 1-10: 0.000   new 11-20: no entry for 10 of 20
       (b) extrapolated  seen 1-10: 0.046   new 11-20: 7.164
       (c) interpolated  new 1-20 read as 0.5 .. 10: 0.060, at half the resolution
"""

import argparse

import numpy as np

from tinylm import Tensor, backend
from tinylm.nn.position.bias import (
    AlibiBias,
    alibi_slopes,
    fire_argument,
    kerple_log,
    kerple_power,
    sandwich,
)
from tinylm.nn.position.rotary import rotary_frequencies
from tinylm.nn.position.rotary_forms import rotary_elementwise, rotary_periods
from tinylm.nn.position.rotary_scaling import interpolate_positions, interpolated, ntk, yarn
from tinylm.nn.position.t5_buckets import book_bucket
from tinylm.train.experiments.compare import Claim
from tinylm.train.experiments.picture import Picture, add_plot

SHADES = " .:-=+*#%@"
# Mean score over 200 vectors, paired by seed. "Fall with distance" is judged between two distances;
# that single steps raise the score is exact.
FALLS = Claim("RoPE's scores are lower at distance 1024 than at 8", "2.3.5", larger=False)


def on_cpu(x):
    """The values of a Tensor or an array, as a NumPy array."""
    if isinstance(x, Tensor):
        return x.numpy()
    return backend.to_cpu(x)


def figure_2_11(device):
    """(a) T5's buckets with n_b = 3, dist_max = 5; (b) ALiBi with beta = 1: darker is further."""
    i = backend.to_device(np.arange(6), device)
    buckets = on_cpu(book_bucket(i[:, None] - i[None, :], last=3, max_distance=5))
    slopes = -on_cpu(AlibiBias(1, slopes=[1.0])(i, i))[0].astype(int)
    head = "1. Figure 2.11: (a) T5, n_b = 3, dist_max = 5: u_b with b ="
    print(head + " " * 12 + "(b) ALiBi: -beta times")
    for row in range(6):
        cells = [" ".join(str(v) for v in m[row, : row + 1]).ljust(12) for m in (buckets, slopes)]
        # the largest entry of a matrix is the darkest shade
        shade = [
            "".join(SHADES[v * 9 // m.max()] * 2 for v in m[row, : row + 1]).ljust(12)
            for m in (buckets, np.tril(slopes))
        ]
        print(f"      {cells[0]} {shade[0]}                   {cells[1]} {shade[1]}")
    return buckets, slopes


def table_2_4(device):
    """Print every bias against the offset i - j, with the parameters in the names."""
    n = np.array([0, 1, 4, 16, 64, 256, 1024])
    there = backend.to_device(n, device)
    last = backend.to_device(np.array([1024]), device)
    # log(i - j + 1) / log(max(512, i) + 1): c = 1 and a threshold of 512
    f = on_cpu(fire_argument(last, last - there, 1.0, 512))[0, 0]
    rows = {
        "T5 (32 buckets to 128): bucket": on_cpu(book_bucket(there, 31, 128)),
        "ALiBi, beta = 1/16": -alibi_slopes(8)[3] * n,
        "KERPLE power, 1, 0.5": on_cpu(kerple_power(there.astype(np.float64), 1.0, 0.5)),
        "KERPLE log, 1, 1": on_cpu(kerple_log(there.astype(np.float64), 1.0, 1.0)),
        "Sandwich, 64": on_cpu(sandwich(there, 64)) - 32,
        "FIRE's argument at i = 1024": f,
    }
    print(
        "\n2. Table 2.4: bias by offset (Sandwich less its value at 0; "
        "T5 learns a number for each bucket)"
    )
    print(f"   {'offset':<30}" + "".join(f"{k:>9}" for k in n))
    for name, values in rows.items():
        form = {"i": "9d"}.get(values.dtype.kind, "9.3f")
        print(f"   {name:<30}" + "".join(f"{v + 0:{form}}" for v in values))  # + 0: not -0.000
    return n, rows


def periods():
    """Print the periods T_k = 2 pi / theta_k of eight channels, plain and scaled four times."""
    print(
        "\n3. Periods of RoPE in positions, head width 8, base 10000, "
        "and stretched for 4 times 2048 positions"
    )
    width, trained = 8, 2048
    plain = rotary_periods(rotary_frequencies(width))
    print(f"   {'pair':<14}" + "".join(f"{k:>12}" for k in range(1, width // 2 + 1)))
    print(f"   {'as trained':<14}" + "".join(f"{t:>12.3f}" for t in plain))
    schemes = {
        "linear": interpolated(width, factor=4.0),
        "NTK": ntk(width, factor=4.0),
        "YaRN": yarn(width, factor=4.0, trained=trained),
    }
    for name, (frequencies, magnitude) in schemes.items():
        ratios = "".join(f"{t:>11.3f}x" for t in rotary_periods(frequencies) / plain)
        # YaRN also raises all scores by its temperature
        factor = ""
        if magnitude != 1:
            factor = f"   cos, sin x {magnitude:.4f}"
        print(f"   {name:<14}{ratios}{factor}")
    unfinished = (rotary_periods(rotary_frequencies(128)) > trained).sum()
    print(
        f"   of 64 pairs at head width 128, {unfinished} never finish a turn "
        f"within {trained} positions"
    )


def decay(seed):
    """Print scores of a vector with itself at a distance, five seeds, and whether they fall."""
    n = np.array([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 1024])
    width = 64
    theta, rows = rotary_frequencies(width), []
    for s in range(seed, seed + 5):
        # <R(0) x, R(n) x> / <x, x> of 200 random vectors
        x = np.random.default_rng(s).normal(size=(200, width))
        turned = rotary_elementwise(np.repeat(x[:, None], len(n), axis=1), n, theta)  # (200, n, K)
        rows.append((turned @ x[:, :, None])[..., 0] / (x**2).sum(-1)[:, None])
    rows = np.array(rows)  # (5, 200, n)
    by_seed = rows.mean(1)  # (5, n)
    print(
        "\n4. RoPE, q = k random, width 64: score by distance over its value at distance 0, "
        "5 seeds of 200 vectors"
    )
    print(f"   {'distance':<14}" + "".join(f"{v:>7d}" for v in n))
    for name, values in (
        ("mean", by_seed.mean(0)),
        ("+- by vector", rows.std(1).mean(0)),
        ("+- by seed", by_seed.std(0)),
    ):
        print(f"   {name:<14}" + "".join(f"{v:>7.3f}" for v in values))
    at = n.tolist().index
    print(f"   {FALLS.line(by_seed[:, at(1024)], by_seed[:, at(8)])}")
    # E <x, R(n) x> / <x, x> is the mean of cos(n theta_k) over the pairs k
    exact = np.cos(np.arange(2048)[:, None] * theta).mean(-1)
    near = exact[:64].mean()
    far = exact[1024:].mean()
    rising = np.mean(np.diff(exact) > 0)
    print(
        f"   the expected score is the mean of the cosines: {near:.2f} over distances 0-63 and "
        f"{far:.2f} over 1024-2047, but\n"
        f"   {rising:.0%} of single steps away raise it: a tendency, not the law of a bias"
    )


def figure_2_9(seed):
    """Learned at positions 1 .. 10, used at 1 .. 20: a table, a fitted cubic, and the cubic with
    positions halved.
    """

    # what a later layer makes of a position
    def target(i):
        return np.sin(i / 3)

    rng = np.random.default_rng(seed)
    seen = np.arange(1, 11)
    new = np.arange(1, 21)
    # a little noise: a fit through exact points would hide what a cubic does outside
    cubic = np.polynomial.Polynomial.fit(seen, target(seen) + 0.02 * rng.normal(size=10), 3)
    table = dict(zip(seen, target(seen)))
    print("\n5. Figure 2.9: sin(i/3) learned at i = 1 .. 10 (error, largest over the range)")
    missing = sum(i not in table for i in new)
    print(f"   (a) table         seen 1-10: 0.000   new 11-20: no entry for {missing} of 20")
    within = np.abs(cubic(seen) - target(seen)).max()
    beyond = np.abs(cubic(new[10:]) - target(new[10:])).max()
    print(f"   (b) extrapolated  seen 1-10: {within:.3f}   new 11-20: {beyond:.3f}")
    # 20 positions pressed into the range of 10
    pressed = interpolate_positions(new, 10, 20)
    error = np.abs(cubic(pressed) - target(pressed)).max()
    print(
        f"   (c) interpolated  new 1-20 read as {pressed.min():g} .. {pressed.max():g}: {error:.3f}, "
        "at half the resolution"
    )


def plot(path, buckets, slopes, table):
    """Save the matrices and the curves as a picture."""
    with Picture(path, columns=3) as picture:
        for matrix, title, unit in (
            (buckets, "T5 buckets (Fig. 2.11a)", "bucket"),
            (slopes, "ALiBi distance (Fig. 2.11b)", "distance (tokens)"),
        ):
            panel = picture.panel(title, "key j", "query i")
            panel.matrix(np.where(np.tri(len(matrix)), matrix, np.nan), unit)
        n, rows = table
        settings = {"xscale": "symlog", "xticks": (0, 1, 8, 64, 512)}
        panel = picture.panel("bias by offset (Table 2.4)", "i - j (tokens)", "bias", **settings)
        for name in [name for name in rows if not name.startswith(("T5", "FIRE"))]:
            panel.curve(name, n, np.where(np.array(rows[name]) < -40, np.nan, rows[name]))


def main():
    """Print all five."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    add_plot(parser, "the matrices and curves")
    parser.add_argument(
        "--quick", action="store_true", help="changes nothing: this is always quick"
    )
    args = parser.parse_args()
    matrices = figure_2_11(args.device)
    table = table_2_4(args.device)
    periods()
    decay(args.seed)
    figure_2_9(args.seed)
    if args.plot:
        plot(args.plot, *matrices, table)


if __name__ == "__main__":
    main()
