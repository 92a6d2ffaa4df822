"""Long question, long answer, or both: a small model trained on short ones of each kind, tested on
longer ones.

Book section 2.3 distinguishes three kinds of long problems: a long context with a short answer, as
a summary; a short one with a long answer, as a story from keywords; both long, as a translation.
Each is a task here whose answers are known (data/synthetic/long_kinds.py). A transformer of two
layers with ALiBi is trained for 500 steps on texts of at most 8 words and tested at 8, 16 and 32.
It is no claim of the book that longer is worse; this measures whether it is. About 55 seconds on
one core. `python scripts/2_3_long_sequences/long_kinds.py [--seed N] [--device cpu|gpu] [--quick]
[--plot FILE]`; --quick is two seeds and few steps. Read next: length_generalization.py.

Measured output:

    share of the answer's tokens right: mean (least .. most over seeds); chance 0.12
        trained to length 8                    1 x (8)              2 x (16)              4 x (32)
        summarize                  0.57 (0.52 .. 0.66)   0.39 (0.32 .. 0.45)   0.28 (0.21 .. 0.33)
        expand                     0.93 (0.91 .. 0.96)   0.86 (0.84 .. 0.90)   0.76 (0.74 .. 0.81)
        translate                  0.71 (0.67 .. 0.78)   0.40 (0.38 .. 0.45)   0.24 (0.22 .. 0.27)
    3 seeds; 54 s of one core
    summarize is worse at the longest than at the trained length (section 2.3): +0.294 [+0.188,
      +0.401], 3 seeds: shows
    expand is worse at the longest than at the trained length (section 2.3): +0.162 [+0.126,
      +0.197], 3 seeds: shows
    translate is worse at the longest than at the trained length (section 2.3): +0.465 [+0.366,
      +0.565], 3 seeds: shows

All three fall with the length. The kinds do not compare with one another: the words of a repeated
pattern come again, so later answers are easier, and 500 steps do not solve summaries even at the
trained length.
"""

import argparse
import time

import numpy as np

import tinylm as tl
from tinylm import backend
from tinylm.backend import to_cpu, to_device
from tinylm.data.synthetic.long_kinds import KINDS
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW
from tinylm.optim.schedule import cosine
from tinylm.pretrain import IGNORE, Batch, CausalLM
from tinylm.train import train_step
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

WORDS = 8
SHORT = 8
GROWTH = (1, 2, 4)
STEPS, BATCH, RATE = 500, 32, 6e-3
# Share of the answer's tokens right; the same models at both lengths, so paired.
WORSE = Claim("is worse at the longest than at the trained length", "2.3")
# Sizes of each kind at length n: n words of which 2 are marked; 4 words written n / 4 times; n
# words.
SIZES = {
    "summarize": lambda n: (n, 2),
    "expand": lambda n: (4, n // 4),
    "translate": lambda n: (n,),
}


def batch(kind, length, rows, seed):
    """Inputs and targets; only the answer is in the loss."""
    ids, answers = KINDS[kind](rows, *SIZES[kind](length), words=WORDS, seed=seed)
    targets = ids[:, 1:].copy()
    targets[:, :-answers] = IGNORE
    return Batch(ids[:, :-1], targets)


def train(kind, seed, steps, device):
    """A small GPT trained on texts of 4 to SHORT words; ALiBi, so that no position is new later."""
    # ids: two marks and the words
    model = GPT(
        GPTConfig(WORDS + 2, 1024, 2, 4, 64, norm="rms", positions="alibi", bias=False), seed
    ).to(device)
    optimizer = AdamW(model.named_parameters(), weight_decay=0.0)
    objective = CausalLM()
    rng = np.random.default_rng(seed)
    for step in range(steps):
        # 4 words are written length / 4 times: a multiple of 4
        if kind == "expand":
            length = 4 * int(rng.integers(1, SHORT // 4 + 1))
        else:
            length = int(rng.integers(4, SHORT + 1))
        train_step(
            model,
            objective,
            optimizer,
            batch(kind, length, BATCH, seed * 1_000_003 + step).to(device),
            0,
            BATCH,
            RATE * cosine(step, steps, warmup=20),
            clip=1.0,
        )
    return model


def accuracy(model, kind, length, device):
    """Share of the answers' tokens right in 128 new texts, each after the true ones before it."""
    new = batch(kind, length, 128, 10**9)
    with tl.no_grad():
        guess = to_cpu(model(to_device(new.inputs, device)).data).argmax(-1)
    return (guess == new.targets)[new.targets != IGNORE].mean()


def plot(path, found):
    """Save accuracy over the length of the text as a picture. found: {kind: (lengths, seeds)}."""
    with Picture(path, size=(6, 4)) as picture:
        lengths = [n * SHORT for n in GROWTH]
        settings = {"xscale": "log", "xticks": lengths}
        y = "share of the answer's tokens right"
        panel = picture.panel(f"trained to length {SHORT}", "tokens", y, **settings)
        for kind, rows in found.items():
            panel.curve(kind, lengths, np.transpose(rows))
        panel.level("chance", 1 / WORDS)


def main(argv=None):
    """Train and test every kind from every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, few steps")
    add_plot(parser)
    args = parser.parse_args(argv)
    backend.blas_threads(1)
    seeds, steps = range(args.seed, args.seed + 3), STEPS
    if args.quick:
        seeds, steps = seeds[:2], 100
        print(ONLY_RUNS)
    began, verdicts, drawn = time.process_time(), [], {}
    print(
        "share of the answer's tokens right: mean (least .. most over seeds); "
        f"chance {1 / WORDS:.2f}"
    )
    print(
        f"    {'trained to length ' + str(SHORT):<24}"
        + "".join(f"{f'{n} x ({n * SHORT})':>22}" for n in GROWTH)
    )
    for kind in KINDS:
        # the models of a kind are tested at every length
        models = [train(kind, seed, steps, args.device) for seed in seeds]
        # (lengths, seeds)
        found = [
            [accuracy(model, kind, n * SHORT, args.device) for model in models] for n in GROWTH
        ]
        drawn[kind] = found
        verdicts.append(f"{kind} {WORSE.line(found[0], found[-1])}")
        cells = "".join(f"{mean_and_range(row, '.2f'):>22}" for row in found)
        print(f"    {kind:<24}{cells}", flush=True)
    print(f"{len(seeds)} seeds; {time.process_time() - began:.0f} s of one core")
    print("\n".join(verdicts))
    if args.plot:
        plot(args.plot, drawn)


if __name__ == "__main__":
    main()
