"""Trained short, tested long: how schemes of positions cope with texts longer than any in training.

Book section 2.3.5 (Fig. 2.9; eqs. 2.74-2.104): positions that training never met must be
extrapolated, or the long text interpolated into the trained range. Small transformers of two layers
read stretches of 64 characters of Python's documentation, all schemes the same ones from one seed,
and then held-out text of 64 to 512 characters at a time. Two perplexities. Of the last 32
characters of each stretch, with more or less text before them: every column scores the same
characters, so columns differ by the context alone, and the first column is that of a window of 64.
Of all characters, the stretch cut into pieces that are read one without the other: there the first
characters of a piece have next to no context, so longer pieces look better than they are. Past its
table `learned` reads rows that training never touched: they are as they were drawn (std 0.02);
there is no weight decay. RoPE is scaled when reading, not in training, by length / 64. About 4
minutes on one core. `python scripts/2_3_long_sequences/length_generalization.py [--seed N]
[--device cpu|gpu] [--quick] [--schemes a,b]`; --quick is two seeds, fewer steps and four schemes.
Read next: extend_context.py, what training at the new length adds.

Measured output (the intervals are computed from mean, least and most of its three seeds):

    every scheme read the same 780000 characters, 64 at a time; 3 seed(s); 195 s of one core
    perplexity of the same 1024 characters, by how many are read up to them
        read at a time                           64                    128                    256                    512
        none                    9.38 (9.33 .. 9.45)    9.84 (9.76 .. 9.94)   9.98 (9.87 .. 10.15) 10.19 (10.10 .. 10.29)
        learned                 9.34 (9.05 .. 9.60) 10.46 (10.23 .. 10.62) 10.55 (10.37 .. 10.65)
                                10.80 (10.53 .. 11.02)
        sinusoidal           10.09 (10.00 .. 10.21) 10.52 (10.44 .. 10.58) 10.75 (10.62 .. 10.82)
                             10.98 (10.87 .. 11.11)
        t5                      8.84 (8.83 .. 8.87)    9.55 (9.53 .. 9.56)    9.91 (9.86 .. 9.97) 10.19 (10.12 .. 10.26)
        alibi                   7.38 (7.33 .. 7.41)    7.41 (7.39 .. 7.44)    7.42 (7.39 .. 7.46)    7.43 (7.40 .. 7.49)
        kerple_log              7.34 (7.18 .. 7.57)    7.41 (7.24 .. 7.65)    7.48 (7.27 .. 7.74)    7.53 (7.30 .. 7.79)
        rope                    6.71 (6.68 .. 6.74)    7.14 (7.11 .. 7.18)   9.75 (9.34 .. 10.33) 11.15 (10.46 .. 11.92)
        rope, linear            6.71 (6.68 .. 6.74)    8.64 (8.46 .. 8.90) 11.49 (11.05 .. 11.87) 13.64 (13.24 .. 13.84)
        rope, ntk               6.71 (6.68 .. 6.74)    7.01 (6.93 .. 7.12)    7.69 (7.53 .. 7.81) 11.38 (10.75 .. 11.92)
        rope, yarn              6.71 (6.68 .. 6.74)    7.90 (7.82 .. 8.06)   9.73 (9.48 .. 10.07) 11.45 (11.02 .. 11.72)
    perplexity of all 16384 characters, in pieces
        read at a time                           64                    128                    256                    512
        none                 10.73 (10.68 .. 10.79) 10.94 (10.92 .. 10.98) 11.16 (11.13 .. 11.17)
                             11.33 (11.32 .. 11.34)
        learned              10.84 (10.68 .. 10.97) 11.31 (11.19 .. 11.43) 11.57 (11.48 .. 11.69)
                             11.82 (11.73 .. 11.95)
        sinusoidal           11.64 (11.55 .. 11.75) 11.79 (11.76 .. 11.84) 11.95 (11.92 .. 11.97)
                             12.16 (12.10 .. 12.23)
        t5                   10.29 (10.23 .. 10.35) 10.63 (10.56 .. 10.72) 10.97 (10.94 .. 11.03)
                             11.30 (11.23 .. 11.37)
        alibi                   8.83 (8.74 .. 8.91)    8.79 (8.70 .. 8.88)    8.78 (8.69 .. 8.87)    8.77 (8.69 .. 8.87)
        kerple_log              8.71 (8.51 .. 8.94)    8.71 (8.50 .. 8.95)    8.73 (8.50 .. 8.97)    8.77 (8.52 .. 9.01)
        rope                    8.01 (7.96 .. 8.04)    8.12 (8.06 .. 8.17)    9.33 (9.23 .. 9.50) 10.85 (10.67 .. 11.19)
        rope, linear            8.01 (7.96 .. 8.04) 10.16 (10.00 .. 10.38) 13.09 (12.54 .. 13.73)
                                15.09 (14.39 .. 15.48)
        rope, ntk               8.01 (7.96 .. 8.04)    8.10 (8.02 .. 8.16)    8.44 (8.36 .. 8.53)   9.77 (9.57 .. 10.10)
        rope, yarn              8.01 (7.96 .. 8.04)    9.35 (9.26 .. 9.45) 11.22 (10.92 .. 11.47) 13.02 (12.67 .. 13.29)
    the same targets, read with 512 characters instead of 64, nats
        none: reading more context helps: -0.0834 [-0.115, -0.0515], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.0834 [-0.115, -0.0515], 3 seeds: shows
              the opposite
        learned: reading more context helps: -0.145 [-0.162, -0.128], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.145 [-0.162, -0.128], 3 seeds: shows
              the opposite
        sinusoidal: reading more context helps: -0.0842 [-0.131, -0.0378], 3 seeds: shows the
          opposite
            reading more context costs at most 0.02 nats: -0.0842 [-0.131, -0.0378], 3 seeds: shows
              the opposite
        t5: reading more context helps: -0.141 [-0.161, -0.122], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.141 [-0.161, -0.122], 3 seeds: shows
              the opposite
        alibi: reading more context helps: -0.00795 [-0.0252, +0.00933], 3 seeds: too small to
          tell; 0.017 could have been seen
            reading more context costs at most 0.02 nats: -0.00795 [-0.0252, +0.00933], 3 seeds:
              too small to tell; -0.0027 could have been seen
        kerple_log: reading more context helps: -0.0266 [-0.0488, -0.00441], 3 seeds: shows the
          opposite
            reading more context costs at most 0.02 nats: -0.0266 [-0.0488, -0.00441], 3 seeds: too
              small to tell; 0.0022 could have been seen
        rope: reading more context helps: -0.507 [-0.661, -0.352], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.507 [-0.661, -0.352], 3 seeds: shows
              the opposite
        rope, linear: reading more context helps: -0.71 [-0.764, -0.655], 3 seeds: shows the
          opposite
            reading more context costs at most 0.02 nats: -0.71 [-0.764, -0.655], 3 seeds: shows
              the opposite
        rope, ntk: reading more context helps: -0.528 [-0.652, -0.404], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.528 [-0.652, -0.404], 3 seeds: shows
              the opposite
        rope, yarn: reading more context helps: -0.535 [-0.607, -0.463], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.535 [-0.607, -0.463], 3 seeds: shows
              the opposite

On the same targets no scheme got better by reading more. ALiBi alone lost less than 0.02 nats in
the mean, and that it does so just fails to show: a window of the trained length does as well or
better. Kerple-log loses 3 %; no positions, tables, waves and buckets lose 9 to 16 %. RoPE is the
best by far within the trained length and, scaled or not, among the worst at eight times it.
Interpolation (linear) without fine-tuning was worse than doing nothing in every seed, ntk and yarn
in some: text of characters lives on near neighbors, whose angles it presses together. The larger
base (ntk) does help up to four times the length. What is not shown: 250 steps are few, so schemes
that start out local (ALiBi, Kerple) or tell exact distances (RoPE) had a head start over what must
be learned, and the levels compare the speed of learning; it is one text and one size of model; and
next characters hardly need what stood 64 characters before.
"""

import argparse
import time
from dataclasses import replace
from functools import partial

import numpy as np

import tinylm as tl
from tinylm.data import python_documentation, split_text, without_repeats
from tinylm.generate.measure.long_context import chunk_losses, last_losses
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.optim.schedule import cosine
from tinylm.pretrain import CausalLM
from tinylm.train import train_step
from tinylm.train.compare import ONLY_RUNS, Claim, EqualReading, mean_and_range

TRAINED = 64
LENGTHS = (64, 128, 256, 512)
LAST = 32
BATCH, STEPS, RATE = 16, 250, 4e-3
SCHEMES = "none", "learned", "sinusoidal", "t5", "alibi", "kerple_log", "rope"
MORE = "offset", "kerple_power", "sandwich", "fire"
# Losses of the same last characters, in nats, paired by seed. A fiftieth of a nat, 2 % of the
# perplexity, is no price that matters.
GAINS = Claim("reading more context helps", "2.3.5", larger=False)
SAME = Claim("reading more context costs at most 0.02 nats", "2.3.5", larger=False, least=-0.02)
SCALED = Claim("better than rope alone", "2.3.5", larger=False)
ROPE = {"rope, linear": "linear", "rope, ntk": "ntk", "rope, yarn": "yarn"}
# Of the same size as the waves added to them, as Vaswani et al. scale them; other schemes take
# GPT-2's small start.
SCALE = {"sinusoidal": 50.0}


def characters():
    """(training ids, held-out ids, V) of Python's documentation; characters seen fewer than 20
    times are one.
    """
    ids = np.array([ord(c) for c in without_repeats(python_documentation())])
    kept, counts = np.unique(ids, return_counts=True)
    # rarer ones become one symbol, the last
    kept = kept[counts >= 20]
    ids = np.where(np.isin(ids, kept), np.searchsorted(kept, ids), len(kept))
    return *split_text(ids, 0.1), len(kept) + 1


def build(positions, V, seed, device):
    """A GPT of two layers whose tables, if it has any, reach to the longest length."""
    config = GPTConfig(
        V,
        max(LENGTHS),
        2,
        4,
        64,
        norm="rms",
        positions=positions,
        bias=False,
        embedding_scale=SCALE.get(positions, 1.0),
    )
    return GPT(config, seed).to(device)


def train(model, text, steps, seed, device, note, length=TRAINED, rows=BATCH, rate=RATE):
    """Train on random stretches of `length`, drawn from the seed alone; `note` gets every batch.

    No weight decay: rows of a table that training never visits stay exactly as they were drawn.
    """
    rng = tl.Random(seed, "stretches")
    objective = CausalLM()
    optimizer = AdamW(model.named_parameters(), weight_decay=0.0)
    for step in range(steps):
        # (rows, 1) + (length + 1,) -> (rows, length + 1)
        ids = text[rng.integers(0, len(text) - length, (rows,))[:, None] + np.arange(length + 1)]
        note(ids)
        batch = objective.make_batch(ids).to(device)
        train_step(
            model,
            objective,
            optimizer,
            batch,
            0,
            rows,
            rate * cosine(step, steps, warmup=min(20, steps // 5)),
            clip=1.0,
        )
    return model


def scaled(model, name, factor):
    """The same weights under another RoPE scaling, for reading text `factor` times as long."""
    scaling = {"name": name, "factor": factor}
    if name == "yarn":
        scaling["trained"] = TRAINED
    if name == "none":
        scaling = None
    new = GPT(replace(model.config, rope_scaling=scaling), 0)
    new.load_state_dict(model.state_dict())
    return new.to(model.parameters()[0].device)


def losses_by_length(model, texts, scaling=None):
    """(mean loss of the last targets, of all targets) for each length: two lists."""
    last, every = [], []
    for length in LENGTHS:
        lm = model
        if scaling is not None:
            lm = scaled(model, scaling, length / TRAINED)
        # the same LAST targets, after `length` - LAST characters of context
        last.append(last_losses(lm, texts, LAST, length).mean())
        every.append(chunk_losses(lm, texts, length).mean())
    return last, every


def table(title, found, lengths):
    """Print mean perplexity with the least and the most over seeds, a row for each scheme."""
    print(title)
    print(f"{'':<14}" + "".join(f"{n:>20}" for n in lengths))
    for name, losses in found.items():
        # (seeds, lengths) -> a cell for each length
        cells = [mean_and_range(np.exp(column), ".1f") for column in np.array(losses).T]
        print(f"{name:<14}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def verdicts(found):
    """Print the verdicts, by the loss of the last targets at the longest length.

    found  name -> losses (seeds, lengths)
    """
    print(f"the same targets, read with {LENGTHS[-1]} characters instead of {TRAINED}, nats")
    for name, losses in found.items():
        short, *_, long = np.array(losses).T
        print(f"    {name}: {GAINS.text}: {GAINS.judge(long, short)}")
        print(f"        {SAME.text}: {SAME.judge(long, short)}")
    if "rope" in found:
        plain = np.array(found["rope"])[:, -1]
        for name in ROPE:
            verdict = SCALED.judge(np.array(found[name])[:, -1], plain)
            print(f"{name} {SCALED.text} at {LENGTHS[-1]}: {verdict}")


def main(argv=None):
    """Train every scheme from every seed, print both tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, few steps, four schemes")
    parser.add_argument("--schemes", help=f"comma-separated; also {', '.join(MORE)}")
    args = parser.parse_args(argv)
    seeds = range(args.seed, args.seed + 3)
    steps = STEPS
    stretches = 32
    schemes = SCHEMES
    if args.quick:
        seeds = seeds[:2]
        steps = 100
        stretches = 16
        schemes = ("learned", "t5", "alibi", "rope")
        print(ONLY_RUNS)
    if args.schemes:
        schemes = args.schemes.split(",")
    text, held_out, V = characters()
    longest = max(LENGTHS)
    # (stretches, longest + 1): they do not overlap
    texts = held_out[np.arange(stretches)[:, None] * longest + np.arange(longest + 1)]
    last = {}
    every = {}
    reading = EqualReading()
    began = time.process_time()
    for scheme in schemes:
        for seed in seeds:
            model = build(scheme, V, seed, args.device)
            note = partial(reading.read, scheme, seed)
            train(model, text, steps, seed, args.device, note)
            readings = {scheme: None}
            if scheme == "rope":
                readings |= ROPE
            for name, scaling in readings.items():
                for found, losses in zip((last, every), losses_by_length(model, texts, scaling)):
                    found.setdefault(name, []).append(losses)
    print(
        f"every scheme read the same {reading.check()} characters, {TRAINED} at a time; "
        f"{len(seeds)} seeds; {time.process_time() - began:.0f} s of one core"
    )
    title = f"perplexity of the same {stretches * LAST} characters, by how many are read up to them"
    table(title, last, LENGTHS)
    table(f"perplexity of all {stretches * longest} characters, in pieces", every, LENGTHS)
    verdicts(last)


if __name__ == "__main__":
    main()
