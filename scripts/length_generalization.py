"""Trained short, tested long: what ways to tell positions make of texts longer than any in training.

MARK_HEADER
"""
import argparse
import time
from dataclasses import replace
from functools import partial

import numpy as np

import tinylm as tl
from tinylm.data import python_documentation, split_text, without_repeats
from tinylm.generate.long_context import EqualReading, chunk_losses, last_losses, report
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.optim.schedule import cosine
from tinylm.pretrain import CausalLM
from tinylm.train import train_step

TRAINED, LENGTHS, LAST = 64, (64, 128, 256, 512), 32
BATCH, STEPS, RATE = 16, 250, 4e-3
SCHEMES = "none", "learned", "sinusoidal", "t5", "alibi", "kerple_log", "rope"
MORE = "offset", "kerple_power", "sandwich", "fire"
ROPE = {"rope, interpolated": "linear", "rope, ntk": "ntk", "rope, yarn": "yarn"}
# Of the same size as the waves added to them, as Vaswani et al. scale them; other schemes take GPT-2's small start.
SCALE = {"sinusoidal": 50.0}


def characters():
    """(training ids, held-out ids, V) of Python's documentation; characters seen fewer than 20 times are one."""
    ids = np.array([ord(c) for c in without_repeats(python_documentation())])
    kept, counts = np.unique(ids, return_counts=True)
    kept = kept[counts >= 20]
    ids = np.where(np.isin(ids, kept), np.searchsorted(kept, ids), len(kept))
    return *split_text(ids, 0.1), len(kept) + 1


def build(positions, V, seed, device):
    """A GPT of two layers whose tables, if it has any, reach to the longest length."""
    config = GPTConfig(V, max(LENGTHS), 2, 4, 64, norm="rms", positions=positions, bias=False,
                       embedding_scale=SCALE.get(positions, 1.0))
    return GPT(config, seed).to(device)


def train(model, text, steps, seed, device, note, length=TRAINED, rows=BATCH, rate=RATE):
    """Train on random stretches of `length`, which seed alone decides; every batch is shown to `note`.

    No weight decay: rows of a table that training never visits stay exactly as they were drawn.
    """
    rng, objective = tl.Random(seed, "stretches"), CausalLM()
    optimizer = AdamW(model.named_parameters(), weight_decay=0.0)
    for step in range(steps):
        ids = text[rng.integers(0, len(text) - length, (rows,))[:, None] + np.arange(length + 1)]
        note(ids)
        batch = objective.make_batch(ids).to(device)
        train_step(model, objective, optimizer, batch, 0, rows, rate * cosine(step, steps, warmup=min(20, steps // 5)), clip=1.0)
    return model


def scaled(model, name, factor):
    """The same weights under another RoPE scaling, the way a longer text would be read with them."""
    settings = {"linear": {}, "ntk": {}, "yarn": {"trained": TRAINED}, "none": {}}[name]
    new = GPT(replace(model.config, rope_scaling={"name": name, "factor": factor, **settings} if name != "none" else None), 0)
    new.load_state_dict(model.state_dict())
    return new.to(model.parameters()[0].device)


def losses_by_length(model, texts, scaling=None):
    """(mean loss of the last targets, of all targets) for each length: two lists."""
    last, every = [], []
    for length in LENGTHS:
        lm = model if scaling is None else scaled(model, scaling, length / TRAINED)
        last.append(last_losses(lm, texts, LAST, length).mean())
        every.append(chunk_losses(lm, texts, length).mean())
    return last, every


def table(title, found, lengths, single):
    """Print mean perplexity with the least and the most over seeds, a row for each scheme."""
    print(title)
    print(f"    {'read at a time':<20}" + "".join(f"{n:>24}" for n in lengths))
    for name, losses in found.items():                      # (seeds, lengths)
        cells = [report(np.exp(column), single) for column in np.array(losses).T]
        print(f"    {name:<20}" + "".join(f"{m:>9.2f} ({a:.2f} .. {b:.2f})".rjust(24) for m, a, b in cells), flush=True)


def verdicts(found):
    """Say what of section 2.3.5 showed, by the loss of the last targets at the longest length against the trained one."""
    print(f"the same targets, read with {LENGTHS[-1]} characters instead of {TRAINED}: perplexity is")
    for name, losses in found.items():
        ratio = np.exp(np.array(losses)[:, -1] - np.array(losses)[:, 0])
        word = "better" if ratio.max() < 1 else "worse" if ratio.min() > 1 else "the same within the spread"
        print(f"    {name:<20} times {ratio.mean():.3f} ({ratio.min():.3f} .. {ratio.max():.3f}): {word}")
    if "rope" in found:
        plain = np.array(found["rope"])[:, -1]
        for name in ROPE:
            gain = plain - np.array(found[name])[:, -1]
            print(f"    {name} better than rope alone at {LENGTHS[-1]}: "
                  + ("yes" if gain.min() > 0 else "no" if gain.max() < 0 else "not in every seed"))


def main(argv=None):
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="one seed, few steps, four schemes")
    parser.add_argument("--schemes", help=f"comma-separated; also {', '.join(MORE)}")
    args = parser.parse_args(argv)
    seeds = range(args.seed, args.seed + (1 if args.quick else 3))
    steps, stretches = (100, 16) if args.quick else (STEPS, 32)
    schemes = args.schemes.split(",") if args.schemes else ("learned", "t5", "alibi", "rope") if args.quick else SCHEMES
    text, held_out, V = characters()
    longest = max(LENGTHS)
    texts = held_out[np.arange(stretches)[:, None] * longest + np.arange(longest + 1)]
    last, every, reading = {}, {}, EqualReading()
    began = time.process_time()
    for scheme in schemes:
        for seed in seeds:
            model = train(build(scheme, V, seed, args.device), text, steps, seed, args.device,
                          partial(reading.read, scheme, seed))
            for name, scaling in {scheme: None, **(ROPE if scheme == "rope" else {})}.items():
                for found, losses in zip((last, every), losses_by_length(model, texts, scaling)):
                    found.setdefault(name, []).append(losses)
    print(f"every scheme read the same {reading.check()} characters a seed, {TRAINED} at a time; {len(seeds)} seed(s); "
          f"{time.process_time() - began:.0f} s of one core")
    table(f"perplexity of the same {stretches * LAST} characters, by how many are read up to them", last, LENGTHS, args.quick)
    table(f"perplexity of all {stretches * longest} characters, in pieces", every, LENGTHS, args.quick)
    verdicts(last)


if __name__ == "__main__":
    main()
