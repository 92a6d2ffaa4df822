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

Measured output:

    every scheme read the same 780000 characters, 64 at a time; 3 seeds; 128 s of one core
    perplexity of the same 1024 characters, by how many are read up to them
                                    64                 128                 256                 512
    none              9.4 (9.3 .. 9.5)    9.8 (9.8 .. 9.9)  10.0 (9.9 .. 10.2) 10.2 (10.1 .. 10.3)
    learned           9.3 (9.0 .. 9.6) 10.5 (10.2 .. 10.6) 10.5 (10.4 .. 10.6) 10.8 (10.5 .. 11.0)
    sinusoidal     10.1 (10.0 .. 10.2) 10.5 (10.4 .. 10.6) 10.7 (10.6 .. 10.8) 11.0 (10.9 .. 11.1)
    t5                8.8 (8.8 .. 8.9)    9.6 (9.5 .. 9.6)   9.9 (9.9 .. 10.0) 10.2 (10.1 .. 10.3)
    alibi             7.4 (7.3 .. 7.4)    7.4 (7.4 .. 7.4)    7.4 (7.4 .. 7.5)    7.4 (7.4 .. 7.5)
    kerple_log        7.3 (7.2 .. 7.6)    7.4 (7.2 .. 7.7)    7.5 (7.3 .. 7.7)    7.5 (7.3 .. 7.8)
    rope              6.7 (6.7 .. 6.7)    7.1 (7.1 .. 7.2)   9.7 (9.3 .. 10.3) 11.1 (10.5 .. 11.9)
    rope, linear      6.7 (6.7 .. 6.7)    8.6 (8.5 .. 8.9) 11.5 (11.1 .. 11.9) 13.6 (13.2 .. 13.8)
    rope, ntk         6.7 (6.7 .. 6.7)    7.0 (6.9 .. 7.1)    7.7 (7.5 .. 7.8) 11.4 (10.7 .. 11.9)
    rope, yarn        6.7 (6.7 .. 6.7)    7.9 (7.8 .. 8.1)   9.7 (9.5 .. 10.1) 11.5 (11.0 .. 11.7)
    perplexity of all 16384 characters, in pieces
                                    64                 128                 256                 512
    none           10.7 (10.7 .. 10.8) 10.9 (10.9 .. 11.0) 11.2 (11.1 .. 11.2) 11.3 (11.3 .. 11.3)
    learned        10.8 (10.7 .. 11.0) 11.3 (11.2 .. 11.4) 11.6 (11.5 .. 11.7) 11.8 (11.7 .. 11.9)
    sinusoidal     11.6 (11.5 .. 11.7) 11.8 (11.8 .. 11.8) 11.9 (11.9 .. 12.0) 12.2 (12.1 .. 12.2)
    t5             10.3 (10.2 .. 10.4) 10.6 (10.6 .. 10.7) 11.0 (10.9 .. 11.0) 11.3 (11.2 .. 11.4)
    alibi             8.8 (8.7 .. 8.9)    8.8 (8.7 .. 8.9)    8.8 (8.7 .. 8.9)    8.8 (8.7 .. 8.9)
    kerple_log        8.7 (8.5 .. 8.9)    8.7 (8.5 .. 8.9)    8.7 (8.5 .. 9.0)    8.8 (8.5 .. 9.0)
    rope              8.0 (8.0 .. 8.0)    8.1 (8.1 .. 8.2)    9.3 (9.2 .. 9.5) 10.8 (10.7 .. 11.2)
    rope, linear      8.0 (8.0 .. 8.0) 10.2 (10.0 .. 10.4) 13.1 (12.5 .. 13.7) 15.1 (14.4 .. 15.5)
    rope, ntk         8.0 (8.0 .. 8.0)    8.1 (8.0 .. 8.2)    8.4 (8.4 .. 8.5)   9.8 (9.6 .. 10.1)
    rope, yarn        8.0 (8.0 .. 8.0)    9.3 (9.3 .. 9.5) 11.2 (10.9 .. 11.5) 13.0 (12.7 .. 13.3)
    the same targets, read with 512 characters instead of 64, nats
        none: reading more context helps: -0.0829 [-0.116, -0.0503], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.0829 [-0.116, -0.0503], 3 seeds: shows
              the opposite
        learned: reading more context helps: -0.145 [-0.163, -0.128], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.145 [-0.163, -0.128], 3 seeds: shows
              the opposite
        sinusoidal: reading more context helps: -0.084 [-0.13, -0.0375], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.084 [-0.13, -0.0375], 3 seeds: shows
              the opposite
        t5: reading more context helps: -0.141 [-0.16, -0.122], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.141 [-0.16, -0.122], 3 seeds: shows the
              opposite
        alibi: reading more context helps: -0.00751 [-0.0246, +0.00955], 3 seeds: too small to tell;
          0.017 could have been seen
            reading more context costs at most 0.02 nats: -0.00751 [-0.0246, +0.00955], 3 seeds: too
              small to tell; -0.0029 could have been seen
        kerple_log: reading more context helps: -0.0265 [-0.0494, -0.00351], 3 seeds: shows the
          opposite
            reading more context costs at most 0.02 nats: -0.0265 [-0.0494, -0.00351], 3 seeds: too
              small to tell; 0.003 could have been seen
        rope: reading more context helps: -0.507 [-0.662, -0.352], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.507 [-0.662, -0.352], 3 seeds: shows
              the opposite
        rope, linear: reading more context helps: -0.71 [-0.764, -0.656], 3 seeds: shows the
          opposite
            reading more context costs at most 0.02 nats: -0.71 [-0.764, -0.656], 3 seeds: shows the
              opposite
        rope, ntk: reading more context helps: -0.528 [-0.653, -0.403], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.528 [-0.653, -0.403], 3 seeds: shows
              the opposite
        rope, yarn: reading more context helps: -0.535 [-0.608, -0.462], 3 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.535 [-0.608, -0.462], 3 seeds: shows
              the opposite
    rope, linear better than rope alone at 512: -0.203 [-0.371, -0.0346], 3 seeds: shows the
      opposite
    rope, ntk better than rope alone at 512: -0.0213 [-0.0696, +0.0269], 3 seeds: too small to tell;
      0.048 could have been seen
    rope, yarn better than rope alone at 512: -0.0281 [-0.194, +0.138], 3 seeds: too small to tell;
      0.17 could have been seen

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
from tinylm.data import frequent_characters, python_documentation, split_text, without_repeats
from tinylm.generate.measure.long_context import chunk_losses, last_losses
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.optim.schedule import cosine
from tinylm.pretrain import CausalLM
from tinylm.train import train_step
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, EqualReading, mean_and_range

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
    """(training ids, held-out ids, V) of Python's documentation."""
    ids, kept = frequent_characters(without_repeats(python_documentation()))
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
