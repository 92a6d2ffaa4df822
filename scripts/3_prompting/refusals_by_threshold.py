"""When to refuse: the model's own "No answer!" against thresholds chosen on other worlds.

Book section 3.2.5 (refusals; selective answers, El-Yaniv & Wiener 2010). A small GPT reads texts
about towns as in trained_rag.py, tuned among distractors; a quarter of the prompts of its tuning
lack the right text and have the answer "No answer!". Here a third of the documents are missing and
BM25 misses others, so about half of the prompts lack it. Each question about a new town, whose
facts the documents alone have, gets its most probable value; five rules decide whether that is
given or refused:

    own      the reply is "No answer!"
    margin   log Pr(value) - log Pr("No answer!"); the own refusals are those below about 0
    value    log Pr(value)
    among    log Pr(value) among the possible values alone, without "No answer!"
    text     the score of the best text by BM25: no model is needed

Each score has two thresholds, both chosen on six worlds: one that answers as many questions as the
model itself, and the one that answers most of those of which 0.8 of the answers are right. Six
other worlds are the test, 32 questions each. Three layers of width 64, 300 worlds of tuning, five
seeds, about 4 minutes on one core. `python scripts/3_prompting/refusals_by_threshold.py
[--seed N] [--device cpu|gpu] [--quick]`; --quick is two seeds and a tenth of the worlds. Read next:
prompt/rag/evaluate.py, prompt/rag/coverage.py.

Measured output (one core):

    0.50 (0.47 .. 0.53) of the prompts lack the right text
    refusals, and the answers that are given; equal: as many as own (if not in all seeds: in how
      many)
                               precision              recall            coverage            accuracy
      own            0.83 (0.78 .. 0.88) 0.61 (0.48 .. 0.75) 0.63 (0.54 .. 0.71) 0.69 (0.65 .. 0.74)
      margin, equal  0.81 (0.76 .. 0.87) 0.64 (0.49 .. 0.77) 0.61 (0.53 .. 0.70) 0.70 (0.66 .. 0.75)
      value, equal   0.81 (0.74 .. 0.87) 0.63 (0.48 .. 0.75) 0.61 (0.54 .. 0.70) 0.71 (0.65 .. 0.75)
      among, equal   0.73 (0.63 .. 0.80) 0.53 (0.41 .. 0.67) 0.64 (0.54 .. 0.69) 0.68 (0.61 .. 0.75)
      text, equal    0.75 (0.69 .. 0.84) 0.52 (0.38 .. 0.59) 0.65 (0.59 .. 0.78) 0.60 (0.53 .. 0.67)
      margin, 0.8    0.66 (0.52 .. 0.82) 0.90 (0.68 .. 1.00) 0.30 (0.06 .. 0.59) 0.86 (0.67 .. 1.00)
      value, 0.8     0.69 (0.56 .. 0.83) 0.88 (0.66 .. 0.99) 0.34 (0.13 .. 0.60) 0.84 (0.68 .. 0.96)
      among, 0.8     0.62 (0.53 .. 0.74) 0.84 (0.67 .. 0.96) 0.31 (0.10 .. 0.49) 0.80 (0.67 .. 0.86)
      text, 0.8 in 3 0.54 (0.47 .. 0.62) 0.96 (0.88 .. 1.00) 0.10 (0.01 .. 0.24) 0.64 (0.50 .. 0.83)
    accuracy of the answers over the share that is answered
                                     0.2                 0.4                 0.6                 0.8
      margin         0.89 (0.84 .. 0.95) 0.81 (0.70 .. 0.88) 0.70 (0.67 .. 0.75) 0.61 (0.56 .. 0.68)
      value          0.91 (0.86 .. 0.97) 0.81 (0.73 .. 0.88) 0.71 (0.67 .. 0.76) 0.61 (0.56 .. 0.68)
      among          0.82 (0.79 .. 0.86) 0.80 (0.78 .. 0.84) 0.69 (0.63 .. 0.75) 0.60 (0.56 .. 0.66)
      text           0.54 (0.37 .. 0.70) 0.61 (0.53 .. 0.71) 0.60 (0.52 .. 0.66) 0.58 (0.51 .. 0.65)
    5 seeds; 226 s of one core
    as many answered as by own refusals: answers right by log Pr(value) > own (section 3.2.5):
      +0.0119 [-0.00237, +0.0261], 5 seeds: too small to tell; 0.044 could have been seen
    as many answered: by log Pr(value) > by the score of the best text (section 3.2.5): +0.102
      [+0.0166, +0.187], 5 seeds: too small to tell; 0.12 could have been seen
    chosen for 0.8 right, by log Pr(value): answers right > own (section 3.2.5): +0.149 [+0.025,
      +0.272], 5 seeds: too small to tell; 0.17 could have been seen
    and on other worlds 0.8 are right, within 0.1 (section 3.2.5): +0.0427 [-0.0879, +0.173], 5
      seeds: shows

A model that answers half of these questions rightly can know which: of the fifth that it is surest
of 0.9 are right. Its own refusals are near the margin of 0 and nearly as good as any threshold at
the same coverage; a threshold is a choice of coverage, and one chosen on six worlds for 0.8 right
answers gives 0.84 on six others (0.68 to 0.96), for a third of the questions instead of 0.63. That
these answers are right more often than the own ones (0.84 against 0.69) is just too small to tell
with five seeds, as is what the reader's own probability gains over the score of the retriever,
which hardly tells right from wrong: all texts are about the same kinds of facts.
"""

import sys
import time
from dataclasses import dataclass, replace

import numpy as np
from small_runs import command_line
from towns_to_read import FORM, NEW, TEXTS, Data, train, withheld

from tinylm.data.synthetic.prompted.retrieval_qa import ASPECTS
from tinylm.prompt.answer import Answer
from tinylm.prompt.rag import NO_ANSWER, retrieval_answer
from tinylm.prompt.rag.evaluate import (
    above,
    best_threshold,
    coverage_curve,
    coverage_threshold,
    refusals,
)
from tinylm.train.experiments.compare import Claim, mean_and_range

BASE, TUNED = 40, 300  # worlds of training; fewer, or two layers, read among distractors too badly
BATCHES, LAYERS = 8, 3
CHOSEN, TESTED = 6, 6  # worlds of 32 questions: to choose thresholds on, and to test them
REMOVED = 1 / 3  # of the documents
TARGET = 0.8  # of the answers are to be right
SCORES = "margin", "value", "among", "text"
MEASURES = "precision", "recall", "coverage", "accuracy"
COVERAGES = 0.2, 0.4, 0.6, 0.8

# Written before the run; scores are shares, one a seed.
EQUAL = Claim(
    "as many answered as by own refusals: answers right by log Pr(value) > own", "3.2.5", least=0.03
)
READER = Claim(
    "as many answered: by log Pr(value) > by the score of the best text", "3.2.5", least=0.03
)
MORE = Claim(
    f"chosen for {TARGET} right, by log Pr(value): answers right > own", "3.2.5", least=0.05
)
HOLDS = Claim(f"and on other worlds {TARGET} are right, within 0.1", "3.2.5", least=-0.1)


# The questions, and what each of them scores.


@dataclass
class Asked:
    """The questions of some worlds.

    items   Items; the answer of one whose text is not in the prompt is "No answer!"
    values  the most probable value of each, list of str
    right   (N,) bool: it is the fact, read or guessed
    own     (N,) bool: the model does not refuse
    scores  {one of SCORES: (N,)}
    """

    items: list
    values: list
    right: np.ndarray
    own: np.ndarray
    scores: dict


def possible(item):
    """The values that a question may have: tuple of str."""
    return next(tuple(values) for values, _ in ASPECTS.values() if item.answer in values)


def ask(lm, data, numbers):
    """Asked, of worlds."""
    items, values, right, own, rows = [], [], [], [], []
    for number in numbers:
        index, questions = withheld(data, number, REMOVED)
        for item in questions:
            if not any(town in item.question for town in NEW):
                continue
            # The same prompt twice: the reply, and the values as options.
            options = {"retriever": index, "k": TEXTS, "form": FORM}
            reply = retrieval_answer(lm, item, max_tokens=6, **options)
            known = possible(item)
            scored = retrieval_answer(lm, replace(item, options=(*known, NO_ANSWER)), **options)
            *of_values, of_refusal = scored.details["scores"].sums
            best = int(np.argmax(of_values))
            values.append(known[best])
            right.append(known[best] == item.answer)
            own.append(reply.value != NO_ANSWER)
            rows.append(
                (
                    of_values[best] - of_refusal,
                    of_values[best],
                    of_values[best] - np.logaddexp.reduce(of_values),
                    reply.details["retrieved"][0][1],
                )
            )
            if item.context not in reply.details["texts"]:
                item = replace(item, answer=NO_ANSWER)
            items.append(item)
    scores = dict(zip(SCORES, np.transpose(rows)))
    return Asked(items, values, np.array(right), np.array(own), scores)


def judged(asked, answered):
    """The figures of a rule: precision and recall of its refusals, coverage, and the accuracy of
    what is answered.

    answered  (N,) bool
    """
    answers = []
    for value, given in zip(asked.values, answered):
        if not given:
            value = NO_ANSWER
        answers.append(Answer(value))
    found = refusals(answers, asked.items)
    _, found["accuracy"] = above(answered, asked.right, 1)
    return found


# The measurements.


def run(seed, share, device):
    """All measurements of a seed."""
    data = Data(seed)
    worlds, tuned = round(BASE * share), round(TUNED * share)
    models, _ = train(
        data,
        worlds,
        tuned,
        device,
        names=("base", "distractors"),
        batch=BATCHES,
        layers=LAYERS,
    )
    lm, first = models["distractors"], 1 + worlds + tuned
    before = ask(lm, data, range(first, first + CHOSEN))
    tests = ask(lm, data, range(first + CHOSEN, first + CHOSEN + TESTED))
    found = {
        "missing": np.mean([item.answer == NO_ANSWER for item in tests.items]),
        "own": judged(tests, tests.own),
    }
    for name in SCORES:
        scores = tests.scores[name]
        # Chosen on other questions than those that they are judged by.
        equal = coverage_threshold(before.scores[name], before.own.mean())
        found["as many", name] = judged(tests, scores >= equal)
        best = best_threshold(before.scores[name], before.right, TARGET)
        if best is not None:
            found["target", name] = judged(tests, scores >= best[0])
        _, coverage, accuracy = coverage_curve(scores, tests.right)
        found["curve", name] = np.interp(COVERAGES, coverage, accuracy)
    print(f"seed {seed}: {time.process_time():.0f} s", file=sys.stderr)
    return found


def show(runs):
    """Print the tables, mean (least .. most) over seeds."""

    def cells(rows):
        columns = [[row[name] for row in rows] for name in MEASURES]
        return "".join(f"{mean_and_range(values, '.2f'):>20}" for values in columns).rstrip()

    missing = mean_and_range([r["missing"] for r in runs], ".2f")
    print(f"{missing} of the prompts lack the right text")
    print(
        "refusals, and the answers that are given; equal: as many as own (if not in all seeds: in "
        "how many)"
    )
    print(f"{'':<16}" + "".join(f"{name:>20}" for name in MEASURES))
    print(f"  {'own':<14}{cells([r['own'] for r in runs])}")
    for name in SCORES:
        print(f"  {f'{name}, equal':<14}{cells([r['as many', name] for r in runs])}")
    for name in SCORES:
        rows = [r["target", name] for r in runs if ("target", name) in r]
        # No threshold reaches it in some seeds.
        if rows:
            seeds = ""
            if len(rows) < len(runs):
                seeds = f" in {len(rows)}"
            print(f"  {f'{name}, {TARGET}{seeds}':<14}{cells(rows)}")
    print("accuracy of the answers over the share that is answered")
    print(f"{'':<16}" + "".join(f"{share:>20}" for share in COVERAGES))
    for name in SCORES:
        curves = np.transpose([r["curve", name] for r in runs])  # (coverages, seeds)
        print(f"  {name:<14}" + "".join(f"{mean_and_range(row, '.2f'):>20}" for row in curves))


def verdicts(runs):
    """Print the verdict of every claim."""
    own = [r["own"]["accuracy"] for r in runs]
    as_many = {name: [r["as many", name]["accuracy"] for r in runs] for name in SCORES}
    print(EQUAL.line(as_many["value"], own))
    print(READER.line(as_many["value"], as_many["text"]))
    reached = [r for r in runs if ("target", "value") in r]
    if len(reached) < 2:
        print(f"{MORE.text}: {len(reached)} of {len(runs)} seeds have such a threshold")
        return
    target = [r["target", "value"]["accuracy"] for r in reached]
    print(MORE.line(target, [r["own"]["accuracy"] for r in reached]))
    print(HOLDS.line(target, TARGET))


def main(argv=None):
    """Train and test the model of every seed, print the tables and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two seeds, a tenth of the worlds")
    share = 1.0
    if options.quick:
        share = 0.1
    runs = [run(seed, share, options.device) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time():.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
