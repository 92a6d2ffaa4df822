"""A number hidden in a long text, asked for at the end: who still finds it when the text is longer than in training?

MARK_HEADER
"""
import argparse
import time
from dataclasses import replace
from functools import partial

import numpy as np

import tinylm as tl
from tinylm.data.long_tasks import WORDS, pass_key, random_hay, sentence_hay, without_needle
from tinylm.generate.long_context import EqualReading, answers_right, report
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.optim.schedule import cosine
from tinylm.pretrain import IGNORE, Batch, CausalLM
from tinylm.train import train_step

DIGITS, KINDS = 2, 8                                        # digits of the key; different words of hay
V, TRAINED, LENGTHS = WORDS + KINDS, 64, (64, 128, 256, 512)
DEPTHS = 0.0, 0.4, 0.8
HAYS = {"random words": random_hay, "one sentence": sentence_hay}
STEPS, BATCH, RATE = 300, 32, 4e-3
SCHEMES = "learned", "sinusoidal", "t5", "alibi", "rope"
ROPE = {"rope, interpolated": "linear", "rope, ntk": "ntk", "rope, yarn": "yarn"}


def texts(rows, length, depth, seed, hay=random_hay):
    """(rows, length) ids that ask for a key at `depth`: 0 to 1, or None for a depth drawn for each row."""
    n = length - 2 * (DIGITS + 1)
    place = tl.Random(seed, "depth").integers(0, n + 1, (rows,)) if depth is None else round(depth * n)
    return pass_key(hay(rows, n, KINDS, seed), place, DIGITS, seed)


def build(positions, seed, device):
    """A GPT of two layers; waves and embeddings of the same size where waves are added (as in Vaswani et al.)."""
    return GPT(GPTConfig(V, max(LENGTHS), 2, 4, 48, norm="rms", positions=positions, bias=False, tied=False,
                         embedding_scale=50.0 if positions == "sinusoidal" else 1.0), seed).to(device)


def train(model, seed, steps, device, note):
    """Texts of 16 to 64 tokens with random words as hay; only the key in the answer counts."""
    rng, objective = tl.Random(seed, "lengths"), CausalLM()
    optimizer = AdamW(model.named_parameters(), weight_decay=0.0)
    for step in range(steps):
        ids = texts(BATCH, int(rng.integers(16, TRAINED + 1)), None, seed * 1_000_003 + step)
        note(ids)
        targets = ids[:, 1:].copy()
        targets[:, :-DIGITS] = IGNORE
        train_step(model, objective, optimizer, Batch(ids[:, :-1], targets).to(device), 0, BATCH,
                   RATE * cosine(step, steps, warmup=40), clip=1.0)
    return model


def scaled(model, name, length):
    """The same weights under a RoPE scaling; up to the trained length nothing changes."""
    settings = {"name": name, "factor": max(1.0, length / TRAINED), **({"trained": TRAINED} if name == "yarn" else {})}
    new = GPT(replace(model.config, rope_scaling=settings), 0)
    new.load_state_dict(model.state_dict())
    return new.to(model.parameters()[0].device)


def accuracies(model, rows, scaling=None):
    """(hays, lengths, depths) shares of keys found, and the share of the control, where there is no key to find."""
    found, control = np.zeros((len(HAYS), len(LENGTHS), len(DEPTHS))), []
    for j, length in enumerate(LENGTHS):
        lm = model if scaling is None else scaled(model, scaling, length)
        for i, hay in enumerate(HAYS.values()):
            for k, depth in enumerate(DEPTHS):
                ids = texts(rows, length, depth, 10**9 + k, hay)
                found[i, j, k] = answers_right(lm, ids, DIGITS).mean()
        control.append(answers_right(lm, without_needle(ids, DIGITS), DIGITS).mean())
    return found, np.mean(control)


def show(results, single):
    """Print accuracy by length over seeds and hays, by depth at the longest length, and what of the claim showed."""
    print(f"keys found; mean over depths (least .. most over seeds and the {len(HAYS)} hays); chance {10.0 ** -DIGITS:g}")
    print(f"    {'tokens':<20}" + "".join(f"{n:>20}" for n in LENGTHS) + f"{'no key':>8}")
    for name, runs in results.items():
        grids = np.array([grid for grid, _ in runs])                                    # (seeds, hays, lengths, depths)
        cells = [report(grids[:, :, j].mean(-1), single) for j in range(len(LENGTHS))]
        print(f"    {name:<20}" + "".join(f"{m:.2f} ({a:.2f} .. {b:.2f})".rjust(20) for m, a, b in cells)
              + f"{np.mean([control for _, control in runs]):>8.2f}")
    print(f"keys found at {LENGTHS[-1]} tokens, by depth (0: at the beginning) and hay")
    print(f"    {'':<20}" + "".join(f"{hay:>{8 * len(DEPTHS)}}" for hay in HAYS))
    print(f"    {'depth':<20}" + "".join(f"{d:>8g}" for d in DEPTHS) * len(HAYS))
    for name, runs in results.items():
        grid = np.mean([grid[:, -1] for grid, _ in runs], axis=0)                       # (hays, depths)
        print(f"    {name:<20}" + "".join(f"{a:>8.2f}" for a in grid.ravel()))
    at = LENGTHS.index(TRAINED)
    for name, runs in results.items():
        grids = np.array([grid for grid, _ in runs])[:, 0].mean(-1)                     # (seeds, lengths), random words
        learned = "learned" if grids[:, at].min() > 0.9 else "not learned in every run"
        kept = [n for j, n in enumerate(LENGTHS) if grids[:, j].min() > 0.9]
        print(f"    {name}: the task was {learned}; nine of ten keys found in every run at {kept or 'no length'}")


def main(argv=None):
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="one seed, two schemes")
    parser.add_argument("--schemes", help="comma-separated, of GPTConfig's positions")
    args = parser.parse_args(argv)
    seeds = range(args.seed, args.seed + (1 if args.quick else 3))
    schemes = args.schemes.split(",") if args.schemes else ("rope", "alibi") if args.quick else SCHEMES
    results, reading, began = {}, EqualReading(), time.process_time()
    for scheme in schemes:
        for seed in seeds:
            model = train(build(scheme, seed, args.device), seed, STEPS, args.device,
                          partial(reading.read, scheme, seed))
            for name, scaling in {scheme: None, **(ROPE if scheme == "rope" else {})}.items():
                results.setdefault(name, []).append(accuracies(model, 12, scaling))
    print(f"each read the same {reading.check()} tokens, in texts of 16 to {TRAINED}; {len(seeds)} seed(s); "
          f"{time.process_time() - began:.0f} s of one core")
    show(results, args.quick)


if __name__ == "__main__":
    main()
