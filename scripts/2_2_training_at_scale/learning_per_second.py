"""What each choice of a training run is worth in the same wall time: a ladder from a plain run to
the one that `tinylm train` makes.

Claim (book section 2.2.2: architecture, batches, schedules and initialization decide what a
training reaches): at equal seconds on the same cores, each rung below has fewer bits per byte of
held-out text than the rung above it. A rung adds one choice to all those before, the last one two;
each is an option of `tinylm train` that one can switch off, and the last rung is the default run.
The bar beside them is what the best n-grams of characters reach by counting, orders 3 to 9.

Rules, written before the run. Every rung trains for as many seconds on the same workers: a rung
whose steps take longer makes fewer of them. How many follows from short runs of each rung that are
timed first; the time that its training then took is shown. A rung is judged against the one before
it by the paired difference over seeds (an interval of 95 %), and the last one against the bar by at
least 0.05 bits. No choice was made by these seeds; the validation text is the one by which choices
were made. Dropout and decay come first: the text is small, and without them all that learns faster
overfits sooner (seen in three runs of seed 101). Nothing else may run on the machine meanwhile.

    python scripts/2_2_training_at_scale/learning_per_second.py --out ladder.jsonl

takes rungs x seeds x (75 + 4) seconds and a minute for the timing: half an hour. Runs that stand in
the file are not made again (results/learning_per_second.jsonl has those below). `--beside` adds, to
the same file, what was built and did not win (each against the last rung; twelve minutes more).
`--plot FILE` draws it. `--quick` trains two rungs for 3 seconds, which proves that it runs. Read
next: nanogpt_record.py.

Measured (two idle cores of an AMD EPYC, OpenBLAS with its kernels for AVX-512; mean, least and most
over seeds 201 to 203):

                                        steps  seconds   bits per byte
    plain                                3030     75.0   2.078 (2.059 .. 2.094)
    dropout                              2622     75.4   1.803 (1.796 .. 1.808)
    weight decay                         2828     80.7   1.778 (1.774 .. 1.780)
    vocabulary of 1,024                  2460     74.4   1.792 (1.773 .. 1.802)
    initial spread by width              2540     79.2   1.781 (1.776 .. 1.785)
    rate falls to 0 in a line            2430     73.7   1.766 (1.764 .. 1.767)
    batch of 8 rows                      4426     77.0   1.765 (1.751 .. 1.780)
    rope; rows of 64, then of 256        2483     77.3   1.684 (1.677 .. 1.695)

    dropout: +0.276 [+0.217, +0.334], 3 seeds: shows
    weight decay: +0.0252 [+0.00743, +0.0431], 3 seeds: shows
    vocabulary of 1,024: -0.0143 [-0.0585, +0.0299], 3 seeds: too small to tell; 0.044 could have
      been seen
    initial spread by width: +0.0106 [-0.0366, +0.0577], 3 seeds: too small to tell; 0.047 could
      have been seen
    rate falls to 0 in a line: +0.015 [+0.00734, +0.0227], 3 seeds: shows
    batch of 8 rows: +0.000934 [-0.0376, +0.0394], 3 seeds: too small to tell; 0.038 could have
      been seen
    rope; rows of 64, then of 256: +0.081 [+0.067, +0.095], 3 seeds: shows

    beside them, each against the last rung:
    Muon                                 1876     76.9   1.663 (1.656 .. 1.668)
    mean of the weights                  2550     79.6   1.676 (1.664 .. 1.691)
    RMS norm, SwiGLU, no bias            2549     77.9   1.705 (1.692 .. 1.715)
    Muon: +0.0216 [-0.00173, +0.0449], 3 seeds: too small to tell; 0.023 could have been seen
    mean of the weights: +0.00872 [-0.00238, +0.0198], 3 seeds: too small to tell; 0.011 could have
      been seen
    RMS norm, SwiGLU, no bias: -0.0206 [-0.0582, +0.017], 3 seeds: too small to tell; 0.038 could
      have been seen

    the bar, Kneser-Ney 9-grams of characters: 1.781
    the last rung beats the best n-grams clearly (section 2.2.2): +0.0965 [+0.0732, +0.12], 3 seeds:
      shows

The small text decides: without dropout it is learnt by heart. Next come positions, and the tokens
that a prediction can see. The timing of short runs is right to 8 % here: "weight decay" had the
longest trainings, 80.7 s. Other processes ran for at most three seconds at a time meanwhile. With
the 2,500 steps of `tinylm train` the last rung is the default run. Muon was ahead with every seed;
it is not the default since layouts that cut matrices refuse it.
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
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

SECONDS, SEEDS, FIRST_SEED, WORKERS = 75.0, 3, 201, 2
# Each adds options to those of all rungs before it.
RUNGS = (
    (
        "plain",
        "--vocab-size 512 --context 64 --short-context 0 --batch-size 16 --positions learned "
        "--init gpt2 --schedule cosine --min-lr 4e-4 --dropout 0 --weight-decay 0.1",
    ),
    ("dropout", "--dropout 0.1"),
    ("weight decay", "--weight-decay 0.4"),
    ("vocabulary of 1,024", "--vocab-size 1024"),
    ("initial spread by width", "--init width"),
    ("rate falls to 0 in a line", "--schedule linear --min-lr 0"),
    ("batch of 8 rows", "--batch-size 8"),
    ("rope; rows of 64, then of 256", "--positions rope --context 256 --short-context 64"),
)
# Each adds options to those of the last rung: what was built and did not win.
BESIDE = (
    ("Muon", "--optimizer muon"),
    ("mean of the weights", "--average 0.995"),
    ("RMS norm, SwiGLU, no bias", "--norm rms --activation swiglu --d-hidden 344 --bias false"),
)
SHORT = 0.8  # of the steps have short rows, where there are two lengths
LOWER = Claim("fewer bits per byte than the rung before", "2.2.2", larger=False)
BEATS = Claim("the last rung beats the best n-grams clearly", "2.2.2", larger=False, least=0.05)


def cumulative(rungs):
    """{name: {option: value}} of rungs: each takes over the options of those before it."""
    found, options = {}, {}
    for name, text in rungs:
        words = text.split()
        options = options | dict(zip(words[::2], words[1::2]))
        found[name] = options
    return found


def train(options, steps, seed, workers):
    """Train once, in processes of its own.

    returns  (seconds of each step, the last validation as the log has it)
    """
    words = [word for pair in options.items() for word in pair]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tinylm", "train", *words, "--out", f"{folder}/run"]
        command += ["--steps", str(steps), "--seed", str(seed), "--workers", str(workers)]
        command += ["--eval-every", "0", "--checkpoint-every", "0", "--no-ngrams"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        events = [
            json.loads(line) for line in Path(folder, "run", "log.jsonl").open(encoding="utf-8")
        ]
    seconds = [e["seconds"] for e in events if e["event"] == "step"]
    return seconds, [e for e in events if e["event"] == "validation"][-1]


def steps_for(options, seconds, workers, warm=8, timed=100):
    """How many steps take so many seconds: a few are timed, of each length of rows."""
    lengths = {options["--context"]: 1.0}
    if options["--short-context"] != "0":
        lengths = {options["--short-context"]: SHORT, options["--context"]: 1 - SHORT}
    step = 0.0
    for context, share in lengths.items():
        own = options | {"--context": context, "--short-context": "0"}
        found, _ = train(own, warm + timed, 0, workers)
        # The first ones are slower; a median is not that of a moment's other work.
        step += share * statistics.median(found[warm:])
    return max(1, round(seconds / step))


def measured(args, rungs, score, files=None):
    """Train every rung from every seed, unless the file args.out has it already.

    args     of command_line;  rungs  {name: options};  score  key of a validation: what counts
    files    options that name files, of every rung; their places are not written down
    returns  {(name, seed): line}, as they stand in the file
    """
    found, steps, files = {}, {}, files or {}
    if args.out.exists():
        for line in map(json.loads, args.out.open()):
            found[line["name"], line["seed"]] = line
    for seed in args.seeds:  # all rungs in turn, so that a machine that slows down is fair
        for name, options in rungs.items():
            key = {"options": options, "asked": args.seconds, "workers": args.workers}
            if (old := found.get((name, seed))) is not None:
                if any(old[word] != value for word, value in key.items()):
                    raise SystemExit(f"{args.out}: {name!r} was run otherwise: give another --out")
                continue
            if name not in steps:
                steps[name] = steps_for(options | files, args.seconds, args.workers)
            began = time.perf_counter()
            each, validation = train(options | files, steps[name], seed, args.workers)
            line = {"name": name, "seed": seed, **key, "steps": len(each), "trained": sum(each)}
            line |= {"score": validation[score], "whole": time.perf_counter() - began}
            found[name, seed] = line
            with args.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"  {name}, seed {seed}: {line['score']:.4f} ({sum(each):.1f} s)", flush=True)
    return found


def show(found, rungs, seeds, unit, claim, beside=()):
    """Print the table, and the verdict of each rung against the one before it; of those beside, the
    last ones, against the rung before all of them.

    returns  {name: scores of all seeds}
    """
    scores = {name: [found[name, seed]["score"] for seed in seeds] for name in rungs}
    print(f"\n{'':34}{'steps':>7}{'seconds':>9}   {unit}")
    for name in rungs:
        lines = [found[name, seed] for seed in seeds]
        steps = statistics.fmean(line["steps"] for line in lines)
        took = statistics.fmean(line["trained"] for line in lines)
        print(f"{name:<34}{steps:>7.0f}{took:>9.1f}   {mean_and_range(scores[name])}")
    before = None
    for name in rungs:
        if before is not None:
            print(f"    {name}: {claim.judge(scores[name], scores[before])}")
        if name not in beside:
            before = name
    return scores


def plot(path, scores, unit, level=None):
    """Save the scores of every rung as a picture. level: (name, value) of a bar to beat."""
    with Picture(path, size=(6.4, 0.6 + 0.32 * len(scores))) as picture:
        panel = picture.panel("held-out loss at equal seconds", unit)
        panel.bars(scores, ".3f", zero=False)
        if level:
            panel.mark(*level)


def command_line(argv, about, seconds, quick_rungs, **own):
    """The options of both scripts, and `own`, those of one: {name: arguments of add_argument}.

    returns  args: args.seeds are the seeds, args.rungs the rungs that --quick keeps, or None
    """
    parser = argparse.ArgumentParser(description=about.split("\n\n")[0])
    parser.add_argument("--out", type=Path, help="file of JSON lines; none: a temporary one")
    parser.add_argument("--seconds", type=float, default=seconds, help="of each training")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="the first of them")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--device", default="cpu", choices=("cpu",), help="these cores")
    parser.add_argument("--quick", action="store_true", help="two rungs, two seeds, 3 seconds")
    for name, arguments in own.items():
        parser.add_argument(f"--{name}", **arguments)
    add_plot(parser)
    args = parser.parse_args(argv)
    args.seeds = list(range(args.seed, args.seed + args.seeds))
    args.rungs = None
    if args.quick:
        args.seeds, args.seconds, args.rungs = args.seeds[:2], 3.0, quick_rungs
        print(ONLY_RUNS)
    return args


def main(argv=None):
    """Train what is missing, and print table, verdicts and bar."""
    rungs = cumulative(RUNGS)
    names = list(rungs)
    also = {"action": "store_true", "help": "also what did not win: 12 minutes"}
    args = command_line(argv, __doc__, SECONDS, [names[0], names[-1]], beside=also)
    last = rungs[names[-1]]
    rungs = {name: rungs[name] for name in args.rungs or names}
    beside = {}
    if args.beside:
        beside = {name: last | cumulative([(name, text)])[name] for name, text in BESIDE}
    with tempfile.TemporaryDirectory() as folder:
        args.out = args.out or Path(folder, "ladder.jsonl")
        found = measured(args, rungs | beside, "bits_per_byte")
    scores = show(found, rungs | beside, args.seeds, "bits per byte", LOWER, beside)
    train_text, held_out = split_text(without_repeats(python_documentation()), 0.1)
    bar, order = best_by_counting(train_text, held_out)
    print(f"the bar, Kneser-Ney {order}-grams of characters: {bar:.3f}")
    print(BEATS.line(scores[names[-1]], bar))
    if args.plot:
        plot(args.plot, scores, "bits per byte", (f"{order}-grams", bar))


if __name__ == "__main__":
    main()
