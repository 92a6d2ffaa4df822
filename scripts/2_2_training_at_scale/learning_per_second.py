"""What each choice of a training run is worth in the same wall time: a ladder from a plain run to
the one that `tinylm train` makes.

Claim (book section 2.2.2: architecture, batches, schedules and initialization decide what a
training reaches): at equal seconds on the same cores, each rung below has fewer bits per byte of
held-out text than the rung above it. A rung adds one choice to all those before; each is an option
of `tinylm train` that one can switch off, and the last rung is the default run. The bar beside them
is what the best n-grams of characters reach by counting, orders 3 to 9.

Rules, written before the run. Every rung trains for as many seconds on the same workers: a rung
whose steps take longer makes fewer of them. How many follows from short runs of each rung that are
timed first; the time that its training then took is shown. A rung is judged against the one before
it by the paired difference over seeds (an interval of 95 %), and the last one against the bar by at
least 0.05 bits. No choice was made by these seeds; the validation text is the one by which choices
were made. Nothing else may run on the machine meanwhile.

    python scripts/2_2_training_at_scale/learning_per_second.py --out ladder.jsonl

takes rungs x seeds x (75 + 4) seconds and a minute for the timing: half an hour. Runs that stand in
the file are not made again. `--quick` trains two rungs for 3 seconds, which proves that it runs.
Read next: nanogpt_record.py.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tinylm.data import python_documentation, split_text, without_repeats
from tinylm.models.early.ngram import best_by_counting
from tinylm.train.compare import ONLY_RUNS, Claim, mean_and_range

SECONDS, SEEDS, FIRST_SEED, WORKERS = 75.0, 3, 101, 2
# Each adds options to those of all rungs before it.
RUNGS = (
    (
        "plain",
        "--vocab-size 512 --context 64 --short-context 0 --batch-size 16 --positions learned "
        "--init gpt2 --schedule cosine --min-lr 4e-4 --dropout 0",
    ),
    ("vocabulary of 1,024", "--vocab-size 1024"),
    ("initial spread by width", "--init width"),
    ("rate falls to 0 in a line", "--schedule linear --min-lr 0"),
    ("batch of 8 rows", "--batch-size 8"),
    ("dropout", "--dropout 0.1"),
    ("rope; rows of 64, then of 256", "--positions rope --context 256 --short-context 64"),
)
SHORT = 0.8  # of the steps have short rows, where there are two lengths
LOWER = Claim("fewer bits per byte than the rung before", "2.2.2", larger=False)
BEATS = Claim("the last rung beats the best n-grams clearly", "2.2.2", larger=False, least=0.05)


def options_of(rung):
    """{option: value} of a rung: its own take the place of those of the rungs before it."""
    found = {}
    for _, text in RUNGS[: rung + 1]:
        words = text.split()
        found |= dict(zip(words[::2], words[1::2]))
    return found


def train(options, steps, seed, workers):
    """Train once, in processes of its own.

    returns  (seconds of each step, bits per byte of the validation text at the end)
    """
    words = [word for pair in options.items() for word in pair]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tinylm", "train", *words, "--out", f"{folder}/run"]
        command += ["--steps", str(steps), "--seed", str(seed), "--workers", str(workers)]
        command += ["--eval-every", "0", "--checkpoint-every", "0", "--no-ngrams"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        events = [json.loads(line) for line in Path(folder, "run", "log.jsonl").open()]
    seconds = [e["seconds"] for e in events if e["event"] == "step"]
    return seconds, [e["bits_per_byte"] for e in events if e["event"] == "validation"][-1]


def steps_for(options, seconds, workers, warm=8, timed=40):
    """How many steps take so many seconds: a few are timed, of each length of rows."""
    lengths = {options["--context"]: 1.0}
    if options["--short-context"] != "0":
        lengths = {options["--short-context"]: SHORT, options["--context"]: 1 - SHORT}
    step = 0.0
    for context, share in lengths.items():
        own = options | {"--context": context, "--short-context": "0"}
        found, _ = train(own, warm + timed, 0, workers)
        step += share * statistics.fmean(found[warm:])  # the first ones are slower
    return max(1, round(seconds / step))


def measured(path, rungs, seeds, seconds, workers):
    """Train every rung from every seed; returns {(rung, seed): line}. Lines go to the file `path`
    as they are found, and those that are there already are taken from it.
    """
    found = {}
    if path.exists():
        for line in map(json.loads, path.open()):
            found[line["rung"], line["seed"]] = line
    steps = {}
    for seed in seeds:  # one seed of all rungs after the other: a machine that warms up is fair
        for rung in rungs:
            options = options_of(rung)
            key = {"options": options, "seconds": seconds, "workers": workers}
            if (old := found.get((rung, seed))) is not None:
                if {name: old[name] for name in key} != key:
                    raise SystemExit(f"{path}: rung {rung} was run otherwise: give another --out")
                continue
            if rung not in steps:
                steps[rung] = steps_for(options, seconds, workers)
            began = time.perf_counter()
            each, bits = train(options, steps[rung], seed, workers)
            line = {"rung": rung, "seed": seed, "name": RUNGS[rung][0], **key}
            line |= {"steps": len(each), "trained": sum(each), "bits": bits}
            line["whole"] = time.perf_counter() - began
            found[rung, seed] = line
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(
                f"  {line['name']}, seed {seed}: {bits:.4f} ({line['trained']:.1f} s)", flush=True
            )
    return found


def show(found, rungs, seeds):
    """Print the table, the verdicts and the bar."""
    bits = {rung: [found[rung, seed]["bits"] for seed in seeds] for rung in rungs}
    print(f"\n{'':34}{'steps':>7}{'seconds':>9}   bits per byte")
    for rung in rungs:
        lines = [found[rung, seed] for seed in seeds]
        took = statistics.fmean(line["trained"] for line in lines)
        name = ("+ " if rung else "") + RUNGS[rung][0]
        print(f"{name:<34}{lines[0]['steps']:>7}{took:>9.1f}   {mean_and_range(bits[rung])}")
    for before, rung in zip(rungs, rungs[1:]):
        print(f"    {RUNGS[rung][0]}: {LOWER.judge(bits[rung], bits[before])}")
    train_text, held_out = split_text(without_repeats(python_documentation()), 0.1)
    bar, order = best_by_counting(train_text, held_out)
    print(f"the bar, Kneser-Ney {order}-grams of characters: {bar:.3f}")
    print(BEATS.line(bits[rungs[-1]], bar))


def main(argv=None):
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, help="file of JSON lines; none: a temporary one")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each training")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="the first of them")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument(
        "--device", default="cpu", choices=("cpu",), help="the cores of this machine"
    )
    parser.add_argument("--quick", action="store_true", help="two rungs, two seeds, three seconds")
    args = parser.parse_args(argv)
    rungs, seeds = list(range(len(RUNGS))), list(range(args.seed, args.seed + args.seeds))
    if args.quick:
        rungs, seeds, args.seconds = [0, len(RUNGS) - 1], seeds[:2], 3.0
        print(ONLY_RUNS)
    with tempfile.TemporaryDirectory() as folder:
        path = args.out or Path(folder, "ladder.jsonl")
        show(measured(path, rungs, seeds, args.seconds, args.workers), rungs, seeds)


if __name__ == "__main__":
    main()
