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
there is no weight decay. RoPE is scaled when reading, not in training, by length / 64.

Five seeds of 2,000 steps. (After 250 steps, where this script stopped before, schemes that start
out local or tell exact distances had a head start over what must be learned.) Next characters of
this text hardly need what stood 64 characters before: in a trial, a passage that came again was no
cheaper the second time. So reading more can cost much here and gain little; a text whose answer
lies far back is that of pass_key.py.

`python scripts/2_3_long_sequences/length_generalization.py [--seed N] [--device cpu|gpu] [--quick]
[--schemes a,b] [--out FILE] [--plot FILE]`: finished cells are kept in FILE and not computed again.
About 15 minutes on one core (31 beside other work); --quick is two seeds, fewer steps and four
schemes. Read next: extend_context.py, what training at the new length adds.

Measured output:

    every model read the same 2048000 characters, 64 at a time; 5 seeds; 31 minutes of one core
    perplexity of the same 2048 characters, by how many are read up to them
                                    64                 128                 256                 512
    none              7.5 (7.3 .. 7.6)    8.5 (8.3 .. 8.8)    9.3 (9.0 .. 9.6)   9.7 (9.3 .. 10.1)
    learned           4.1 (4.1 .. 4.2) 34.6 (28.4 .. 39.5) 35.9 (29.3 .. 40.6) 34.0 (26.6 .. 41.9)
    sinusoidal        6.1 (6.0 .. 6.3) 12.5 (11.3 .. 13.8) 12.8 (11.2 .. 14.0) 12.8 (11.1 .. 14.1)
    t5                3.8 (3.7 .. 3.9)    8.5 (7.9 .. 9.7) 18.8 (15.6 .. 22.6) 24.2 (19.3 .. 27.9)
    alibi             4.4 (4.3 .. 4.5)    4.5 (4.4 .. 4.5)    4.5 (4.4 .. 4.6)    4.5 (4.4 .. 4.6)
    kerple_log        3.9 (3.8 .. 4.0)    3.9 (3.8 .. 4.0)    3.9 (3.8 .. 4.0)    3.9 (3.8 .. 4.1)
    rope              3.8 (3.7 .. 3.9)    8.5 (7.8 .. 9.6) 36.7 (26.0 .. 51.4) 43.2 (29.9 .. 67.4)
    rope, linear      3.8 (3.7 .. 3.9) 11.5 (10.7 .. 12.9) 21.9 (20.0 .. 23.7) 30.0 (25.1 .. 32.7)
    rope, ntk         3.8 (3.7 .. 3.9)    4.5 (4.3 .. 4.9) 13.1 (10.3 .. 17.4) 39.4 (30.2 .. 56.1)
    rope, yarn        3.8 (3.7 .. 3.9)    8.3 (7.9 .. 9.2) 15.9 (14.6 .. 17.8) 22.3 (20.6 .. 24.2)
    perplexity of all 32768 characters, in pieces
                                    64                 128                 256                 512
    none              7.5 (7.5 .. 7.6)    8.2 (8.1 .. 8.3)    8.9 (8.8 .. 9.1)    9.5 (9.3 .. 9.8)
    learned           4.3 (4.3 .. 4.3) 11.9 (10.9 .. 12.4) 21.2 (17.8 .. 23.5) 27.0 (22.1 .. 31.1)
    sinusoidal        6.5 (6.4 .. 6.6)    8.9 (8.7 .. 9.1) 10.9 (10.3 .. 11.4) 12.1 (11.5 .. 12.8)
    t5                4.0 (4.0 .. 4.1)    5.3 (5.2 .. 5.5)   9.6 (8.8 .. 10.6) 15.6 (13.5 .. 17.7)
    alibi             4.5 (4.5 .. 4.5)    4.5 (4.5 .. 4.5)    4.5 (4.5 .. 4.5)    4.5 (4.5 .. 4.5)
    kerple_log        4.1 (4.1 .. 4.1)    4.0 (4.0 .. 4.0)    4.0 (3.9 .. 4.0)    4.0 (3.9 .. 4.0)
    rope              4.0 (4.0 .. 4.1)    4.9 (4.8 .. 5.1) 12.0 (10.6 .. 14.0) 22.6 (18.6 .. 28.9)
    rope, linear      4.0 (4.0 .. 4.1) 12.4 (11.5 .. 13.8) 23.4 (21.2 .. 25.5) 30.9 (26.9 .. 34.6)
    rope, ntk         4.0 (4.0 .. 4.1)    4.2 (4.1 .. 4.2)    5.9 (5.6 .. 6.3) 10.8 (10.1 .. 11.9)
    rope, yarn        4.0 (4.0 .. 4.1)    8.8 (8.4 .. 9.4) 17.2 (15.6 .. 19.2) 24.2 (21.6 .. 26.7)
    the same targets, read with 512 characters instead of 64, nats
        none: reading more context helps: -0.256 [-0.312, -0.201], 5 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.256 [-0.312, -0.201], 5 seeds: shows
              the opposite
        learned: reading more context helps: -2.09 [-2.31, -1.88], 5 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -2.09 [-2.31, -1.88], 5 seeds: shows the
              opposite
        sinusoidal: reading more context helps: -0.734 [-0.846, -0.622], 5 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.734 [-0.846, -0.622], 5 seeds: shows
              the opposite
        t5: reading more context helps: -1.84 [-2.08, -1.61], 5 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -1.84 [-2.08, -1.61], 5 seeds: shows the
              opposite
        alibi: reading more context helps: -0.0258 [-0.0311, -0.0205], 5 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -0.0258 [-0.0311, -0.0205], 5 seeds: shows
              the opposite
        kerple_log: reading more context helps: -0.0109 [-0.0265, +0.0047], 5 seeds: too small to
          tell; 0.016 could have been seen
            reading more context costs at most 0.02 nats: -0.0109 [-0.0265, +0.0047], 5 seeds: too
              small to tell; -0.0044 could have been seen
        rope: reading more context helps: -2.38 [-2.78, -1.99], 5 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -2.38 [-2.78, -1.99], 5 seeds: shows the
              opposite
        rope, linear: reading more context helps: -2.06 [-2.17, -1.94], 5 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -2.06 [-2.17, -1.94], 5 seeds: shows the
              opposite
        rope, ntk: reading more context helps: -2.31 [-2.6, -2.02], 5 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -2.31 [-2.6, -2.02], 5 seeds: shows the
              opposite
        rope, yarn: reading more context helps: -1.76 [-1.84, -1.69], 5 seeds: shows the opposite
            reading more context costs at most 0.02 nats: -1.76 [-1.84, -1.69], 5 seeds: shows the
              opposite
    rope, linear better than rope alone at 512: +0.328 [+0.0273, +0.63], 5 seeds: shows
    rope, ntk better than rope alone at 512: +0.0739 [-0.0346, +0.182], 5 seeds: too small to tell;
      0.11 could have been seen
    rope, yarn better than rope alone at 512: +0.62 [+0.297, +0.942], 5 seeds: shows

So no scheme gains by reading further back than it was trained to; the biases that fall with the
distance, ALiBi and KERPLE, lose next to nothing (.03 and .01 nats), no positions .26, and all
others, with RoPE in any scaling without tuning, 1.8 to 2.4, sinusoidal ones .7. Of RoPE's scalings
YaRN (.62 nats) and the linear one (.33) are better than none at eight times the length; the
NTK-aware one is best of them at twice the length and no better at eight times.
"""

import argparse
import hashlib
from dataclasses import replace
from functools import partial

import numpy as np

import tinylm as tl
from tinylm import backend
from tinylm.data import frequent_characters, python_documentation, split_text, without_repeats
from tinylm.errors import DataError
from tinylm.generate.measure.long_context import chunk_losses, last_losses
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.optim.schedule import cosine
from tinylm.pretrain import CausalLM
from tinylm.train import train_step
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

TRAINED = 64
LENGTHS = (64, 128, 256, 512)
LAST = 32
BATCH, STEPS, RATE, SEEDS = 16, 2_000, 4e-3, 5
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


def measured(scheme, seed, steps, data, device):
    """{reading: [losses of the last targets by length, losses of all]} of one model.

    data  (training ids, texts to read, V)
    """
    text, texts, V = data
    digest = hashlib.sha256()  # of all that it read, so that others can be compared with it
    model = train(build(scheme, V, seed, device), text, steps, seed, device, digest.update)
    readings = {scheme: None}
    if scheme == "rope":
        readings |= ROPE
    found = {name: losses_by_length(model, texts, way) for name, way in readings.items()}
    return {"losses": found, "read": digest.hexdigest()}


def plot(path, last, every):
    """Save perplexity over the characters read as a picture."""
    with Picture(path, columns=2, size=(5, 4)) as picture:
        for title, found in ((f"of the same last {LAST}", last), ("of all, in pieces", every)):
            scales = {"xscale": "log", "yscale": "log", "xticks": LENGTHS}
            panel = picture.panel(title, "characters that are read", "perplexity", **scales)
            panel.mark("trained", TRAINED)
            for name, losses in found.items():
                panel.curve(name, LENGTHS, np.exp(losses))


def main(argv=None):
    """Train every scheme from every seed, print both tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, few steps, four schemes")
    parser.add_argument("--schemes", help=f"comma-separated; also {', '.join(MORE)}")
    parser.add_argument("--out", metavar="FILE", help="keep finished cells there, and go on")
    add_plot(parser)
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    seeds, steps, stretches = range(options.seed, options.seed + SEEDS), STEPS, 64
    schemes = SCHEMES
    if options.quick:
        seeds, steps, stretches = seeds[:2], 100, 16
        schemes = ("learned", "t5", "alibi", "rope")
        print(ONLY_RUNS)
    if options.schemes:
        schemes = options.schemes.split(",")
    text, held_out, V = characters()
    longest = max(LENGTHS)
    # (stretches, longest + 1): they do not overlap
    texts = held_out[np.arange(stretches)[:, None] * longest + np.arange(longest + 1)]
    cells, last, every = Cells(options.out), {}, {}
    for seed in seeds:
        read = set()
        for scheme in schemes:
            cell = {"scheme": scheme, "seed": seed, "steps": steps, "stretches": stretches}
            cell |= {"characters": len(text), "kinds": V, "rate": RATE, "batch": BATCH}
            data = text, texts, V
            one = cells(cell, partial(measured, scheme, seed, steps, data, options.device))
            read.add(one["read"])
            for name, pair in one["losses"].items():
                for found, losses in zip((last, every), pair):
                    found.setdefault(name, []).append(losses)
        if len(read) > 1:
            raise DataError(f"the models of seed {seed} did not read the same characters")
    print(
        f"every model read the same {steps * BATCH * TRAINED} characters, {TRAINED} at a time; "
        f"{len(seeds)} seeds; {cells.seconds() / 60:.0f} minutes of one core"
    )
    title = f"perplexity of the same {stretches * LAST} characters, by how many are read up to them"
    table(title, last, LENGTHS)
    table(f"perplexity of all {stretches * longest} characters, in pieces", every, LENGTHS)
    verdicts(last)
    if options.plot:
        plot(options.plot, last, every)


if __name__ == "__main__":
    main()
