"""How far back does a model remember word for word? Passages said twice, of growing length.

MARK_HEADER
"""
import argparse
import time
from functools import partial

import numpy as np
from length_generalization import characters

import tinylm as tl
from tinylm.data.long_tasks import repeated_passages
from tinylm.generate.long_context import EqualReading, forgetting_curve, report
from tinylm.models import GPT, GPTConfig
from tinylm.models.recurrent import RecurrentConfig, RecurrentLM
from tinylm.optim import AdamW
from tinylm.optim.schedule import cosine
from tinylm.pretrain import CausalLM
from tinylm.train import train_step

TRAINED, LENGTHS, WINDOW = 32, (8, 16, 32, 64, 128), 17     # of a passage; a repeated text is twice as long
STEPS, BATCH, PASSAGES = 300, 32, 32


def attention(V, seed, **changes):
    """A transformer of two layers."""
    settings = {"norm": "rms", "positions": "rope", "bias": False, "tied": False, **changes}
    return GPT(GPTConfig(V, 2 * max(LENGTHS), 2, 4, 48, **settings), seed)


MODELS = {
    "attention, rope": (attention, 4e-3),
    "attention, window": (lambda V, seed: attention(V, seed, attention="window", window=WINDOW), 4e-3),
    "LSTM": (lambda V, seed: RecurrentLM(RecurrentConfig(V, 80, 1, "lstm"), seed), 5e-3),
}
REACH = 2 * (WINDOW - 1)                                    # tokens back that two layers of the window carry anything


def train(model, rate, text, steps, seed, device, note):
    """Half of every batch are passages said twice, of 4 to 32 characters; the other half the same after others."""
    rng, objective = tl.Random(seed, "lengths"), CausalLM()
    optimizer = AdamW(model.to(device).named_parameters(), weight_decay=0.0)
    for step in range(steps):
        pair = repeated_passages(text, BATCH // 2, int(rng.integers(4, TRAINED + 1)), seed * 1_000_003 + step)
        ids = np.concatenate(pair)
        note(ids)
        train_step(model, objective, optimizer, objective.make_batch(ids).to(device), 0, BATCH,
                   rate * cosine(step, steps, warmup=20), clip=1.0)
    return model


def main(argv=None):
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="one seed, two models, few steps")
    args = parser.parse_args(argv)
    seeds, steps = range(args.seed, args.seed + (1 if args.quick else 3)), 100 if args.quick else STEPS
    text, held_out, V = characters()
    began, reading, memory = time.process_time(), EqualReading(), {}
    print("accuracy on a passage said before / said for the first time; their difference (least .. most over seeds)")
    print(f"    {'passage':<20}" + "".join(f"{n:>30}" for n in LENGTHS))
    for name in ["attention, rope", "LSTM"] if args.quick else MODELS:
        make, rate = MODELS[name]
        curves = []
        for seed in seeds:
            model = train(make(V, seed), rate, text, steps, seed, args.device, partial(reading.read, name, seed))
            curves.append([forgetting_curve(model, *repeated_passages(held_out, PASSAGES, n, 10**9)) for n in LENGTHS])
        curves = np.array(curves)                                                       # (seeds, lengths, 2)
        memory[name] = curves[:, :, 0] - curves[:, :, 1]
        cells = []
        for (copied, known), difference in zip(curves.mean(0), memory[name].T):
            mean, least, most = report(difference, args.quick)
            cells.append(f"{copied:.2f}/{known:.2f} {mean:.2f} ({least:.2f} .. {most:.2f})".rjust(30))
        print(f"    {name:<20}" + "".join(cells), flush=True)
    print(f"each read the same {reading.check()} characters a seed, in passages of 4 to {TRAINED}; {len(seeds)} seed(s); "
          f"{time.process_time() - began:.0f} s of one core")
    for name, found in memory.items():
        falls = "falls" if (found[:, 0] > found[:, -1]).all() else "does not fall in every run"
        kept = [n for n, least in zip(LENGTHS, found.min(0)) if least > 0.1]
        print(f"    {name}: from {LENGTHS[0]} to {LENGTHS[-1]} the curve {falls}; above 0.1 in every run at {kept or 'no length'}")


if __name__ == "__main__":
    main()
