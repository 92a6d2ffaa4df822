"""Trained on short texts, then adapted to long ones: what a few steps at the new length add to
scaling RoPE alone.

Book section 2.3.6: pre-train on short texts, then adapt to long ones; some ability to read on comes
by itself, but tuning on longer sequences is often more effective. The RoPE model of
length_generalization.py (250 steps on stretches of 64 characters, three seeds) is read at 256,
unscaled, with interpolated positions and with a larger base (ntk); as it was, after 40 more steps
with that scaling on stretches of 64, and after 40 on stretches of 256. Every adaptation reads as
many characters, from the same weights; the scored characters, the last 32 of 64 stretches, are the
same in every row. About 1 minute on one core. `python scripts/2_3_long_sequences/extend_context.py
[--seed N] [--device cpu|gpu] [--quick]`; --quick is two seeds after fewer steps.

Measured output:

    perplexity of the same 2048 characters (least .. most over seeds); 3 seeds, 122880 characters of
      adaptation, 59 s of one core
        before, reading 64                                 7.33 (7.28 .. 7.37)
        unscaled, as it was, reading 256                10.97 (10.61 .. 11.50)
        unscaled, 40 steps at 64, reading 256           11.25 (10.81 .. 11.75)
        unscaled, 40 steps at 256, reading 256             7.85 (7.77 .. 7.89)
        interpolated, as it was, reading 256            12.44 (11.98 .. 12.93)
        interpolated, 40 steps at 64, reading 256          9.00 (8.79 .. 9.16)
        interpolated, 40 steps at 256, reading 256         8.98 (8.83 .. 9.06)
        ntk, as it was, reading 256                        8.40 (8.15 .. 8.55)
        ntk, 40 steps at 64, reading 256                   8.35 (8.08 .. 8.49)
        ntk, 40 steps at 256, reading 256                  7.51 (7.47 .. 7.54)
    unscaled: adapting at the new length is better than not, and than at the old: +0.334 [+0.207,
      +0.462], 3 seeds: shows
    interpolated: adapting at the new length is better than not, and than at the old: +0.00225
      [-0.017, +0.0215], 3 seeds: too small to tell; 0.019 could have been seen
    ntk: adapting at the new length is better than not, and than at the old: +0.105 [+0.047,
      +0.163], 3 seeds: shows

The claim shows for the plain and the larger base: 40 steps at the new length take back most of the
loss, and the larger base needs least. For interpolation it is too small to tell: steps at the old
length help as much, since what must be learned there is that neighbors are a quarter as far apart.
What did not show: a gain from the longer context; nothing at 256 beats reading 64. Characters of
this text hardly need more, and the model is small.
"""

import argparse
import time

import numpy as np
from length_generalization import BATCH, LAST, STEPS, TRAINED, build, characters, scaled, train

from tinylm.generate.measure.long_context import last_losses
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, EqualReading, mean_and_range, weakest

LONG, MORE, RATE = 256, 40, 1e-3  # the new length; steps of adaptation and their rate
SCALINGS = {"unscaled": "none", "interpolated": "linear", "ntk": "ntk"}
# Losses of the same characters, paired by seed: all ways start from its weights. It needs both
# comparisons, to no adaptation and to one at the old length.
ADAPTS = Claim("adapting at the new length is better than not, and than at the old", "2.3.6", False)
WAYS = "as it was", f"{MORE} steps at {TRAINED}", f"{MORE} steps at {LONG}"


def main(argv=None):
    """Train, adapt and measure from every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, few steps")
    args = parser.parse_args(argv)
    seeds, steps = range(args.seed, args.seed + 3), STEPS
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


if __name__ == "__main__":
    main()
