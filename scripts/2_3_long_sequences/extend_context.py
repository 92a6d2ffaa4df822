"""Trained on short texts, then adapted to long ones: what a few steps at the new length add to
scaling RoPE alone.

Book section 2.3.6: pre-train on short texts, then adapt to long ones; some ability to read on comes
by itself, but tuning on longer sequences is often more effective. The RoPE model of
length_generalization.py (2,000 steps on stretches of 64 characters, five seeds) is read at 256,
unscaled, with interpolated positions and with a larger base (ntk); as it was, after 40 more steps
with that scaling on stretches of 64, and after 40 on stretches of 256. Every adaptation reads as
many characters, from the same weights; the scored characters, the last 32 of 64 stretches, are the
same in every row. About 3 minutes on one core. `python scripts/2_3_long_sequences/extend_context.py
[--seed N] [--device cpu|gpu] [--quick] [--plot FILE]`; --quick is two seeds after fewer steps.

Measured output:

    perplexity of the same 2048 characters (least .. most over seeds); 5 seeds, 204800 characters of
      adaptation, 166 s of one core
        before, reading 64                                 3.97 (3.89 .. 4.16)
        unscaled, as it was, reading 256                39.93 (31.89 .. 53.58)
        unscaled, 40 steps at 64, reading 256           39.95 (34.12 .. 53.04)
        unscaled, 40 steps at 256, reading 256           10.37 (9.01 .. 11.13)
        interpolated, as it was, reading 256            28.19 (25.74 .. 31.88)
        interpolated, 40 steps at 64, reading 256          8.16 (7.80 .. 8.40)
        interpolated, 40 steps at 256, reading 256         8.28 (7.89 .. 8.53)
        ntk, as it was, reading 256                     14.83 (12.37 .. 18.54)
        ntk, 40 steps at 64, reading 256                14.91 (11.91 .. 18.03)
        ntk, 40 steps at 256, reading 256                  5.58 (5.08 .. 6.38)
    unscaled: adapting at the new length is better than not, and than at the old: +1.34 [+1.11,
      +1.56], 5 seeds: shows
    interpolated: adapting at the new length is better than not, and than at the old: -0.015
      [-0.0284, -0.0017], 5 seeds: shows the opposite
    ntk: adapting at the new length is better than not, and than at the old: +0.973 [+0.752, +1.19],
      5 seeds: shows

So forty steps at the new length are worth .97 to 1.34 nats where positions are unscaled or
NTK-aware, and best of all with the latter, 5.6 where a window of 64 has 4.0. Interpolated positions
need the steps as well, but not the length: at 64 they do as well, where the same distances have
their new angles too.
"""

import argparse
import time

import numpy as np
from length_generalization import (
    BATCH,
    LAST,
    SEEDS,
    STEPS,
    TRAINED,
    build,
    characters,
    scaled,
    train,
)

from tinylm.generate.measure.long_context import last_losses
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, EqualReading, mean_and_range, weakest
from tinylm.train.experiments.picture import Picture, add_plot

LONG, MORE, RATE = 256, 40, 1e-3  # the new length; steps of adaptation and their rate
SCALINGS = {"unscaled": "none", "interpolated": "linear", "ntk": "ntk"}
# Losses of the same characters, paired by seed: all ways start from its weights. It needs both
# comparisons, to no adaptation and to one at the old length.
ADAPTS = Claim("adapting at the new length is better than not, and than at the old", "2.3.6", False)
WAYS = "as it was", f"{MORE} steps at {TRAINED}", f"{MORE} steps at {LONG}"


def plot(path, found):
    """Save the perplexity of every way to adapt as a picture."""
    with Picture(path, size=(6, 4.2)) as picture:
        panel = picture.panel(f"reading {LONG} characters", "perplexity of the same characters")
        ways = {name: {way: np.exp(found[name, way]) for way in WAYS} for name in SCALINGS}
        panel.bars(
            {f"before, reading {TRAINED}": np.exp(found["before", f"read {TRAINED}"])} | ways
        )


def main(argv=None):
    """Train, adapt and measure from every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, few steps")
    add_plot(parser)
    args = parser.parse_args(argv)
    seeds, steps = range(args.seed, args.seed + SEEDS), STEPS
    if args.quick:
        seeds, steps = seeds[:2], 100
        print(ONLY_RUNS)
    text, held_out, V = characters()
    # (64, LONG + 1): every way is scored on the last characters of these
    texts = held_out[np.arange(64)[:, None] * LONG + np.arange(LONG + 1)]
    found = {}
    equal = EqualReading()
    began = time.process_time()
    for seed in seeds:
        # one model a seed; every way starts from a copy of it
        base = train(
            build("rope", V, seed, args.device), text, steps, seed, args.device, lambda ids: None
        )
        found.setdefault(("before", f"read {TRAINED}"), []).append(
            last_losses(base, texts, LAST, TRAINED).mean()
        )
        for name, scaling in SCALINGS.items():
            for way, length in zip(WAYS, (None, TRAINED, LONG)):
                model = scaled(base, scaling, LONG / TRAINED)  # the same weights each time
                if length:
                    # As many characters at either length: longer texts come fewer at a time.
                    rows, read = BATCH * TRAINED // length, []
                    train(
                        model,
                        text,
                        MORE,
                        10**6 + seed,
                        args.device,
                        read.append,
                        length,
                        rows,
                        RATE,
                    )
                    targets = sum(ids[:, 1:].size for ids in read)
                    equal.read(name + way, seed, np.zeros(targets))  # as many, not the same ones
                found.setdefault((name, way), []).append(
                    last_losses(model, texts, LAST, LONG).mean()
                )
    print(
        f"perplexity of the same {texts.shape[0] * LAST} characters (least .. most over seeds); "
        f"{len(seeds)} seeds, {equal.check()} characters of adaptation, "
        f"{time.process_time() - began:.0f} s of one core"
    )
    for (name, way), losses in found.items():
        if name == "before":
            what = f"{name}, reading {TRAINED}"
        else:
            what = f"{name}, {way}, reading {LONG}"
        print(f"    {what:<46}{mean_and_range(np.exp(losses), '.2f'):>24}")
    for name in SCALINGS:
        before, short, long = (found[name, way] for way in WAYS)
        both = weakest([ADAPTS.judge(long, before), ADAPTS.judge(long, short)])
        print(f"{name}: {ADAPTS.text}: {both}")
    if args.plot:
        plot(args.plot, found)


if __name__ == "__main__":
    main()
