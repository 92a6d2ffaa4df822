"""A number hidden in a long text: which models still find it when the text is longer than in
training?

Book section 2.3.6 (Mohtashami & Jaggi 2023; Chen et al. 2023): pass-key retrieval and the needle in
a haystack, and with them the claims of section 2.3.5 on positions. Transformers of two layers learn
to give back a key of two digits from texts of 16 to 64 tokens, hay of random words, depths drawn
evenly; then they are tested on texts of up to 512. Two prompts: the hay of training, and one
sentence over and over, as published. Each cell is 12 texts at each of 3 depths, right only if both
digits are; "no key" is the same question with the needle taken out, so that an answer known
beforehand would show. All schemes read the same texts from one seed. RoPE is scaled when reading,
by length / 64; `learned` reads rows past 64 that training never touched. Eight seeds of 1,000
steps. (After 300 steps of three seeds sinusoidal positions had not learned the task, and half of
the cells were too small to tell.)

`python scripts/2_3_long_sequences/pass_key.py [--seed N] [--device cpu|gpu] [--quick] [--schemes
a,b] [--out FILE] [--plot FILE]`: finished cells are kept in FILE and not computed again. About 10
minutes on one core; --quick is two seeds of rope and alibi. Read next: copy_memory.py.

Measured output:

    texts of 16 to 64 tokens in training, of one seed the same ones; 8 seeds; 10 minutes of one core
    keys found; mean over depths (least .. most over seeds and the 2 hays); chance 0.01
    tokens                          64                 128                 256                 512
    learned        1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 0.99 (0.94 .. 1.00)
    sinusoidal     0.97 (0.86 .. 1.00) 0.92 (0.72 .. 1.00) 0.83 (0.53 .. 1.00) 0.68 (0.19 .. 0.94)
    t5             1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 0.99 (0.97 .. 1.00) 0.99 (0.94 .. 1.00)
    alibi          1.00 (1.00 .. 1.00) 0.99 (0.94 .. 1.00) 0.94 (0.69 .. 1.00) 0.82 (0.56 .. 0.94)
    rope           1.00 (1.00 .. 1.00) 0.91 (0.72 .. 1.00) 0.55 (0.28 .. 0.81) 0.14 (0.03 .. 0.25)
    rope, linear   1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 0.99 (0.94 .. 1.00)
    rope, ntk      1.00 (1.00 .. 1.00) 0.96 (0.81 .. 1.00) 0.88 (0.64 .. 0.97) 0.79 (0.53 .. 0.94)
    rope, yarn     1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00)
    without a key: at most 0.02 of the answers are right
    keys found at 512 tokens, by depth (0: at the beginning) and hay
                              random words            one sentence
    depth                0     0.4     0.8       0     0.4     0.8
    learned           1.00    0.99    0.99    1.00    0.99    0.99
    sinusoidal        0.68    0.70    0.68    0.68    0.69    0.68
    t5                0.99    0.97    1.00    0.99    0.97    1.00
    alibi             0.65    0.80    1.00    0.64    0.81    1.00
    rope              0.12    0.18    0.10    0.14    0.18    0.09
    rope, linear      0.99    1.00    0.98    0.99    1.00    0.98
    rope, ntk         0.72    0.77    0.90    0.71    0.77    0.90
    rope, yarn        1.00    1.00    1.00    1.00    1.00    1.00
    nine of ten keys are found (section 2.3.6), by tokens
        learned: shows at 64, 128, 256, 512
        sinusoidal: shows at 64
            128: +0.0236 [-0.0622, +0.109], 8 seeds: too small to tell; 0.086 could have been seen
            256: -0.0701 [-0.212, +0.0716], 8 seeds: too small to tell; 0.14 could have been seen
            512: -0.216 [-0.442, +0.0102], 8 seeds: too small to tell; 0.23 could have been seen
        t5: shows at 64, 128, 256, 512
        alibi: shows at 64, 128
            256: +0.0375 [-0.0474, +0.122], 8 seeds: too small to tell; 0.085 could have been seen
            512: -0.084 [-0.189, +0.0205], 8 seeds: too small to tell; 0.1 could have been seen
        rope: shows at 64
            128: +0.00972 [-0.0635, +0.0829], 8 seeds: too small to tell; 0.073 could have been seen
            256: -0.362 [-0.483, -0.241], 8 seeds: shows the opposite
            512: -0.765 [-0.836, -0.693], 8 seeds: shows the opposite
        rope, linear: shows at 64, 128, 256, 512
        rope, ntk: shows at 64, 128
            256: -0.0215 [-0.11, +0.0671], 8 seeds: too small to tell; 0.089 could have been seen
            512: -0.105 [-0.225, +0.0154], 8 seeds: too small to tell; 0.12 could have been seen
        rope, yarn: shows at 64, 128, 256, 512

So learned positions, whose rows past 64 are as they were drawn, and T5's buckets find 99 of 100
keys in texts eight times as long as any in training, ALiBi those that lie near, and RoPE one in
seven unless it is scaled: by YaRN it finds all, linearly 99 of 100, by NTK-aware scaling eight in
ten. That rows which never learned anything do no harm suggests how little this task asks of
positions: which tokens follow each other, not where they stand.
"""

import argparse
import hashlib
from dataclasses import replace
from functools import partial

import numpy as np

import tinylm as tl
from tinylm import backend
from tinylm.data.synthetic.long_tasks import (
    WORDS,
    pass_key,
    random_hay,
    sentence_hay,
    without_needle,
)
from tinylm.errors import DataError
from tinylm.generate.measure.long_context import answers_right
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.optim.schedule import cosine
from tinylm.pretrain import IGNORE, Batch, CausalLM
from tinylm.train import train_step
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, SHOWS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

DIGITS, KINDS = 2, 8  # digits of the key; different words of hay
V = WORDS + KINDS
TRAINED = 64
LENGTHS = (64, 128, 256, 512)
DEPTHS, ROWS = (0.0, 0.4, 0.8), 12  # ROWS: texts at each depth
HAYS = {"random words": random_hay, "one sentence": sentence_hay}
STEPS, BATCH, RATE, SEEDS = 1_000, 32, 4e-3, 8
SCHEMES = "learned", "sinusoidal", "t5", "alibi", "rope"
# Share of keys found in random words, mean over depths, against nine of ten; one claim for each
# scheme and length.
FOUND = Claim("nine of ten keys are found", "2.3.6")
ROPE = {"rope, linear": "linear", "rope, ntk": "ntk", "rope, yarn": "yarn"}


def texts(rows, length, depth, seed, hay=random_hay):
    """(rows, length) ids: hay with a key at `depth`, and the question for it at the end.

    depth  0 (beginning) to 1, or None for one drawn for each row
    """
    # needle and question are DIGITS + 1 tokens each: a mark and the digits
    n = length - 2 * (DIGITS + 1)
    if depth is None:
        place = tl.Random(seed, "depth").integers(0, n + 1, (rows,))
    else:
        place = round(depth * n)
    return pass_key(hay(rows, n, KINDS, seed), place, DIGITS, seed)


def build(positions, seed, device):
    """A GPT of two layers whose tables, if it has any, reach to the longest length."""
    # Embeddings as large as the waves that are added to them, as in Vaswani et al.
    scale = {"sinusoidal": 50.0}.get(positions, 1.0)
    config = GPTConfig(
        V,
        max(LENGTHS),
        2,
        4,
        48,
        norm="rms",
        positions=positions,
        bias=False,
        tied=False,
        embedding_scale=scale,
    )
    return GPT(config, seed).to(device)


def train(model, seed, steps, device, note):
    """Train on texts of 16 to 64 tokens; only the digits of the answer are in the loss."""
    rng, objective = tl.Random(seed, "lengths"), CausalLM()
    optimizer = AdamW(model.named_parameters(), weight_decay=0.0)
    for step in range(steps):
        # one length for all texts of a batch
        ids = texts(BATCH, int(rng.integers(16, TRAINED + 1)), None, seed * 1_000_003 + step)
        note(ids)
        targets = ids[:, 1:].copy()
        targets[:, :-DIGITS] = IGNORE
        train_step(
            model,
            objective,
            optimizer,
            Batch(ids[:, :-1], targets).to(device),
            0,
            BATCH,
            RATE * cosine(step, steps, warmup=40),
            clip=1.0,
        )
    return model


def scaled(model, name, length):
    """The same weights under a RoPE scaling; up to the trained length nothing changes."""
    settings = {"name": name, "factor": max(1.0, length / TRAINED)}
    if name == "yarn":
        settings["trained"] = TRAINED
    new = GPT(replace(model.config, rope_scaling=settings), 0)
    new.load_state_dict(model.state_dict())
    return new.to(model.parameters()[0].device)


def accuracies(model, rows, scaling=None):
    """Shares of keys found (hays, lengths, depths), and that of the control without a key."""
    # seeds of the texts to test are beyond those of training
    found = np.zeros((len(HAYS), len(LENGTHS), len(DEPTHS)))
    control = []
    for j, length in enumerate(LENGTHS):
        lm = model
        if scaling is not None:
            lm = scaled(model, scaling, length)
        for i, hay in enumerate(HAYS.values()):
            for k, depth in enumerate(DEPTHS):
                ids = texts(rows, length, depth, 10**9 + k, hay)
                found[i, j, k] = answers_right(lm, ids, DIGITS).mean()
        # the last texts again, their needle replaced by hay
        control.append(answers_right(lm, without_needle(ids, DIGITS), DIGITS).mean())
    return found.tolist(), float(np.mean(control))


def show(results):
    """Print accuracy by length over seeds and hays, by depth at the longest length, and the
    verdicts.
    """
    print(
        f"keys found; mean over depths (least .. most over seeds and the {len(HAYS)} hays); "
        f"chance {10.0**-DIGITS:g}"
    )
    print(f"{'tokens':<14}" + "".join(f"{n:>20}" for n in LENGTHS))
    for name, runs in results.items():
        grids = np.array([grid for grid, _ in runs])  # (seeds, hays, lengths, depths)
        cells = [mean_and_range(grids[:, :, j].mean(-1), ".2f") for j in range(len(LENGTHS))]
        print(f"{name:<14}" + "".join(f"{cell:>20}" for cell in cells))
    control = max(control for runs in results.values() for _, control in runs)
    print(f"without a key: at most {control:.2f} of the answers are right")
    print(f"keys found at {LENGTHS[-1]} tokens, by depth (0: at the beginning) and hay")
    print(f"{'':<14}" + "".join(f"{hay:>{8 * len(DEPTHS)}}" for hay in HAYS))
    print(f"{'depth':<14}" + "".join(f"{d:>8g}" for d in DEPTHS) * len(HAYS))
    for name, runs in results.items():
        # mean over seeds at the longest length
        grid = np.mean([grid[:, -1] for grid, _ in runs], axis=0)  # (hays, depths)
        print(f"{name:<14}" + "".join(f"{a:>8.2f}" for a in grid.ravel()))
    print(f"{FOUND.text} (section {FOUND.section}), by tokens")
    for name, runs in results.items():
        # (seeds, lengths), random words
        grids = np.array([grid for grid, _ in runs])[:, 0].mean(-1)
        verdicts = [FOUND.judge(column, 0.9) for column in grids.T]
        shows = [str(n) for n, verdict in zip(LENGTHS, verdicts) if verdict.word == SHOWS]
        print(f"    {name}: shows at {', '.join(shows) or 'no length'}")
        for n, verdict in zip(LENGTHS, verdicts):
            if verdict.word != SHOWS:
                print(f"        {n}: {verdict}")


def measured(scheme, seed, steps, device):
    """{reading: (shares found (hays, lengths, depths), share without a key)} of one model."""
    digest = hashlib.sha256()  # of all that it read, so that others can be compared with it
    model = train(build(scheme, seed, device), seed, steps, device, digest.update)
    readings = {scheme: None}
    if scheme == "rope":
        readings |= ROPE
    found = {name: accuracies(model, ROWS, way) for name, way in readings.items()}
    return {"right": found, "read": digest.hexdigest()}


def plot(path, results):
    """Save keys found by length, and by depth at the longest, as a picture."""
    grids = {name: np.array([grid for grid, _ in runs]) for name, runs in results.items()}
    with Picture(path, columns=2, size=(5, 4)) as picture:
        scales = {"xscale": "log", "xticks": LENGTHS}
        panel = picture.panel("by length", "tokens of the text", "share of keys found", **scales)
        panel.mark("trained", TRAINED)
        for name, grid in grids.items():
            panel.curve(name, LENGTHS, grid.mean(-1).reshape(-1, len(LENGTHS)))
        panel = picture.panel(f"at {LENGTHS[-1]} tokens", "depth of the key (0: at the beginning)")
        panel.matrix(
            [grid[:, :, -1].mean((0, 1)) for grid in grids.values()],
            "share of keys found",
            list(grids),
            [f"{depth:g}" for depth in DEPTHS],
            ".2f",
        )


def main(argv=None):
    """Train every scheme from every seed, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, two schemes, few steps")
    parser.add_argument("--schemes", help="comma-separated, of GPTConfig's positions")
    parser.add_argument("--out", metavar="FILE", help="keep finished cells there, and go on")
    add_plot(parser)
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    seeds, steps, schemes = range(options.seed, options.seed + SEEDS), STEPS, SCHEMES
    if options.quick:
        seeds, steps, schemes = seeds[:2], 200, ("rope", "alibi")
        print(ONLY_RUNS)
    if options.schemes:
        schemes = options.schemes.split(",")
    cells, results = Cells(options.out), {}
    for seed in seeds:
        read = set()
        for scheme in schemes:
            cell = {"scheme": scheme, "seed": seed, "steps": steps, "batch": BATCH, "rate": RATE}
            cell |= {"texts": ROWS, "lengths": LENGTHS}
            one = cells(cell, partial(measured, scheme, seed, steps, options.device))
            read.add(one["read"])
            for name, (grid, control) in one["right"].items():
                results.setdefault(name, []).append((np.array(grid), control))
        if len(read) > 1:
            raise DataError(f"the models of seed {seed} did not read the same tokens")
    print(
        f"texts of 16 to {TRAINED} tokens in training, of one seed the same ones; "
        f"{len(seeds)} seeds; {cells.seconds() / 60:.0f} minutes of one core"
    )
    show(results)
    if options.plot:
        plot(options.plot, results)


if __name__ == "__main__":
    main()
