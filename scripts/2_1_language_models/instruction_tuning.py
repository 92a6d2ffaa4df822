"""Instruction tuning: from a model that continues texts to one that follows instructions; book
sections 2.1.3 and 3.3.

Claims: (1) tuned on more kinds of tasks, a model does better on tasks that are not among them, with
abilities it has from pre-training (zero-shot generalization); (2) few samples are enough if they
are good, and a judge can find them in a noisy pool (curated_samples.py); (3) the loss is taken on
answers alone; (4) a model can be tuned to understand "Translate!" in place of a long instruction,
which saves tokens, at a risk for other wordings. A GPT of 110 thousand parameters is pre-trained on
statements about animals, birds, fish and trees ("the color of the owl is green ."), then tuned on k
kinds of questions (an aspect of a kind), and tested on names for which it was never tuned: in the
words of the tuning, in others, on pairs of aspect and kind that it was not tuned on, and on an
aspect that no question was about. Chance is 0.12 for a model that knows the aspect.

Each way of tuning (answers alone, all tokens, from random weights) has the best of the same
learning rates, on four seeds that are not used below; batch and steps are those that --sweep chose.
`python scripts/2_1_language_models/instruction_tuning.py [--seed N] [--device cpu|gpu] [--out FILE]
[--quick] [--sweep]`; finished cells are kept in FILE and not computed again. About 15 minutes on
one core; ten seeds, mean (lowest .. highest); --quick is 2 seeds and half of the steps of tuning;
--sweep searches learning rate, batch size and steps instead. Read next: curated_samples.py,
tuned_parts.py, seed_tasks.py.

Measured output: Not measured yet with this design.
"""

import argparse
from functools import partial

import numpy as np
from curated_samples import curated
from instruction_forms import instruction_forms
from instruction_lab import GROUPS, WAYS, Lab

from tinylm import backend
from tinylm.backend import Random
from tinylm.data.synthetic.told_facts import (
    KNOWN,
    TEST,
)
from tinylm.finetune.search import grid_search
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range, weakest

# Ten, since what is learnt of questions differs much from one pre-training to the next.
SEEDS = 10
RATES = 5e-4, 1e-3, 2e-3, 4e-3  # tried for each way of tuning
TUNING = range(1001, 1005)  # the seeds on which rates are chosen
# Accuracies, paired: every model of a seed has the same world, pre-training and questions. A gain
# of less than 0.03 is a few questions of 120.
MORE_KINDS = Claim("more kinds of tasks, better on new pairs", "2.1.3", least=0.03, limit=1.0)
NEW = Claim("a new aspect is answered more often than by", "2.1.3", least=0.1, limit=1.0)
AFTER = Claim("tuning afterwards beats instructions in the pre-training", "2.1.3", limit=1.0)
GOOD = Claim("180 good samples beat 2880 of which half are wrong", "2.1.3", least=0.03, limit=1.0)
ANSWERS = Claim("loss on answers alone beats loss on all tokens", "2.1.3", least=0.03, limit=1.0)


def table(title, rows, columns):
    """Print rows {label: list over seeds of lists}; returns label -> array (columns, seeds)."""
    print(f"\n{title:<16}" + "".join(f"{column:>20}" for column in columns))
    scores = {}
    for label, found in rows.items():
        scores[label] = np.array(found).T
        cells = "".join(f"{mean_and_range(row, '.2f'):>20}" for row in scores[label])
        print(f"{label:<16}{cells}", flush=True)
    return scores


def rows_of(labs, settings):
    """Rows of a table, {label: list over seeds}.

    settings  {label: function of a Lab -> numbers}
    """
    return {
        label: [lab.row(label, partial(run, lab)) for lab in labs]
        for label, run in settings.items()
    }


def of_tasks(count):
    """Scores of a Lab's model after tuning on so many tasks."""

    def run(lab):
        tasks = lab.some(count)
        return lab.scores(lab.tuned(lab.samples(tasks, 720)), tasks)

    return run


def of_samples(count, noise=0, **options):
    """Scores after tuning on so many samples of all tasks; options as of Lab.tuned()."""
    return lambda lab: lab.scores(
        lab.tuned(lab.samples(KNOWN, count, noise=noise), **options), KNOWN
    )


def tasks_and_data(labs):
    """Claims 1 to 3."""
    settings = {"0 tasks": lambda lab: lab.scores(lab.tuned([]), KNOWN)}
    settings |= {f"{count} tasks": of_tasks(count) for count in (1, 2, 4, 9, 18)}
    # the same tuning from random weights
    settings["18, from random"] = of_samples(720, pretrained=False)
    # one training instead of two
    settings["18, mixed in"] = lambda lab: lab.scores(
        lab.taught_in_pretraining(lab.samples(KNOWN, 720)), KNOWN
    )
    first = table("720 samples", rows_of(labs, settings), GROUPS)
    settings = {f"{count} samples": of_samples(count) for count in (36, 180, 720, 2880)}
    # half of the answers replaced by wrong ones
    settings["2880, half wrong"] = of_samples(2880, noise=0.5)
    settings |= {f"{count}, loss on all": of_samples(count, whole=True) for count in (36, 180, 720)}
    second = table("18 tasks", rows_of(labs, settings), GROUPS)
    judge_tasks(first)
    judge_data(second)


def judge_tasks(scores):
    """Print the verdicts on kinds of tasks. scores: label -> (groups, seeds)."""
    pair = GROUPS.index("new pair")
    aspect = GROUPS.index("new aspect")
    few, some, many = (scores[f"{count} tasks"] for count in (1, 4, 18))
    steps = [MORE_KINDS.judge(b[pair], a[pair]) for a, b in ((few, some), (some, many))]
    print(f"  {MORE_KINDS.text}, 1 to 4 and 4 to 18: {weakest(steps)}")
    for other in ("0 tasks", "18, from random"):
        print(f"  {NEW.text} {other}: {NEW.judge(many[aspect], scores[other][aspect])}")
    for group, a, b in zip(GROUPS, many, scores["18, mixed in"]):
        print(f"  {AFTER.text}, {group}: {AFTER.judge(a, b)}")


def judge_data(scores):
    """Print the verdicts on samples and loss. scores: label -> (groups, seeds)."""
    pair = GROUPS.index("new pair")
    noisy = scores["2880, half wrong"]
    print(f"  {GOOD.line(scores['180 samples'][pair], noisy[pair])}")
    for count in (36, 180, 720):
        # the mean over the four groups: one number for each seed
        a, b = (scores[f"{count}{loss}"].mean(0) for loss in (" samples", ", loss on all"))
        print(f"  {ANSWERS.text}, {count} samples: {ANSWERS.judge(a, b)}")


def sweep(lab):
    """Print the held-out accuracy of learning rates, batch sizes and steps of tuning."""
    grid = {"learning_rate": (2e-4, 5e-4, 1e-3, 2e-3), "batch_size": (8, 32), "steps": (50, 150)}
    held = lab.world.instructions(KNOWN, 120, Random(lab.seed, "sweep"), names=TEST)
    # questions like those of "as tuned", so the choice favors that group
    train = lab.encoded(lab.samples(KNOWN, 720))
    held = lab.encoded(held)
    for row in grid_search(lambda: lab.tuned([]), lab.task(), train, held, grid, seeds=(0, 1)):
        print("  ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)


def best_rates(device, share, cells):
    """{way: the best of RATES}, mean accuracy over all groups with 180 and 720 samples."""
    labs, best = [Lab(seed, device, share, cells, {}) for seed in TUNING], {}
    for way, options in WAYS.items():
        scores = []
        for rate in RATES:
            runs = {
                f"{way}, {count} samples, rate {rate:g}": of_samples(count, rate=rate, **options)
                for count in (180, 720)
            }
            scores.append(np.mean(list(rows_of(labs, runs).values())))
        best[way] = RATES[int(np.argmax(scores))]
        print(
            f"{way:<16}" + "".join(f"{x:>8g}: {y:.2f}" for x, y in zip(RATES, scores)), flush=True
        )
    return best


def main(argv=None):
    """Print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", metavar="FILE", help="keep finished cells there, and go on")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    seeds, share, cells = SEEDS, 1.0, Cells(options.out)
    if options.quick:
        seeds, share = 2, 0.5
        rates = dict.fromkeys(WAYS, 2e-3)
        print(ONLY_RUNS)
    if options.sweep:
        sweep(Lab(options.seed, options.device, share, cells, {}))
        return
    if not options.quick:
        rates = best_rates(options.device, share, cells)
    labs = [
        Lab(seed, options.device, share, cells, rates)
        for seed in range(options.seed, options.seed + seeds)
    ]
    losses = [lab.row("loss", lambda lab=lab: [lab.pretrained[1]])[0] for lab in labs]
    print(
        f"pre-trained: {labs[0].new(0).count_parameters()} parameters, "
        f"{labs[0].words.vocab_size} words, loss " + ", ".join(f"{loss:.3f}" for loss in losses)
    )
    tasks_and_data(labs)
    curated(labs, table, GROUPS)
    instruction_forms(labs, table)
    print(f"{len(labs)} seeds; {cells.seconds() / 60:.0f} minutes of one core")


if __name__ == "__main__":
    main()
