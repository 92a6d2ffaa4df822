"""What text to learn from: many domains or one, and not one's own; book section 2.2.1.

Claims: with as much text, a model that has read more domains does better on all of them together; a
model that learns from the output of its predecessor loses what is rare, generation by generation.
First: 5-grams of characters read 60,000 characters of 1 to 4 domains (Python's documentation, its
source code, made-up reviews, made-up pages) in equal parts and are measured on a mixture of all
four; the mean is over all choices of that many domains. Second: tables of words, each counted from
n draws of the one before, against the decay that theory gives, and with a tenth of real text mixed
in. About half a minute. `python scripts/2_2_training_at_scale/data_diversity.py [--seed N]
[--device cpu] [--quick] [--plot FILE]`; five seeds from N on, with --quick two.

Measured output (CPU, mean over 5 seeds, smallest .. largest):

    domains read   bits per character of all four
               1           5.672 (5.561 .. 5.886)
               2           3.578 (3.410 .. 3.840)
               3           2.590 (2.369 .. 2.895)
               4           1.979 (1.754 .. 2.312)
    a further domain helps on all together, every one: +0.611 [+0.586, +0.636], 5 seeds: shows

    generation    variety, own text     theory   a tenth of it real
             0               0.9908     0.9908               0.9908
            25               0.9799     0.9785               0.9880
            50               0.9677     0.9663               0.9883
           100               0.9471     0.9424               0.9878
           200               0.9108     0.8965               0.9880
    different words at the end: 19 of own text alone, 465 with a tenth of it real
    own text alone loses variety (section 2.2.1): +0.0799 [+0.0436, +0.116], 5 seeds: shows
    own text alone loses at least half of the words, logarithms: +3.2 [+2.89, +3.52], 5 seeds: shows
"""

import argparse
import inspect
import itertools
from collections import Counter

import numpy as np

from tinylm.data.clean.ngram import CharNGram
from tinylm.data.measure.collapse import expected_variety, generations, variety
from tinylm.data.read.text import python_documentation, without_repeats
from tinylm.data.synthetic.junk import good_page
from tinylm.data.synthetic.reviews import made_up_reviews
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range, weakest
from tinylm.train.experiments.picture import Picture, add_plot

# Characters to read and to be measured on; generations, words drawn in each.
READ, MEASURED, ROUNDS, DRAWS = 60_000, 4_000, 200, 2000
# Bits per character, paired by seed: the same parts of the domains. It needs every further domain.
DOMAINS = Claim("a further domain helps on all together", "2.2.1", larger=False)
VARIETY = Claim("own text alone loses variety", "2.2.1", larger=False)
# "Loses what is rare": fewer than half of the words that a tenth of real text preserves.
RARE = Claim(
    "own text alone loses at least half of the words", "2.2.1", larger=False, least=np.log(2)
)


def domains(seed):
    """Name -> (text to learn from, text to be measured on), which do not overlap."""
    rng = np.random.default_rng(seed)
    whole = {
        "documentation": without_repeats(python_documentation()),
        # source of two modules of the standard library, long enough for READ + MEASURED
        "code": "".join(inspect.getsource(module) for module in (argparse, inspect)),
        "reviews": " ".join(text for text, _ in made_up_reviews(2000, seed)),
        "pages": "\n\n".join(good_page(rng) for _ in range(120)),
    }
    parts = {}
    for name, text in whole.items():
        start = int(rng.integers(0, max(1, len(text) - READ - MEASURED)))
        middle = start + MEASURED
        parts[name] = text[middle : middle + READ], text[start:middle]
    return parts


def diversity(seed):
    """Bits per character on the mixture, by how many domains were read: {1: mean, .., 4}."""
    parts, found = domains(seed), {}
    for k in range(1, len(parts) + 1):
        costs = []
        # every choice of k domains, READ / k characters of each
        for chosen in itertools.combinations(parts, k):
            model = CharNGram([parts[name][0][: READ // k] for name in chosen])
            costs.append(np.mean([model.bits_per_character(test) for _, test in parts.values()]))
        found[k] = np.mean(costs)
    return found


def collapse(seed):
    """Tables of words, each counted from DRAWS draws of the one before.

    returns  variety by generation (ROUNDS + 1,) of own text alone, of own text with a tenth of real
             text; different words left at the end of both; expected variety of own text alone
    """
    words = without_repeats(python_documentation()).lower().split()
    counts = np.array(list(Counter(words).values()), float)
    p = counts / counts.sum()
    rng = np.random.default_rng(seed)
    own, mixed = (generations(p, DRAWS, ROUNDS, rng, real) for real in (0.0, 0.1))
    left = [int((rows[-1] > 0).sum()) for rows in (own, mixed)]
    return variety(own), variety(mixed), left, expected_variety(p, DRAWS, ROUNDS)


def plot(path, columns, runs):
    """Save both tables as a picture. columns: {domains: bits (seeds,)}; runs: of collapse()."""
    with Picture(path, columns=2) as picture:
        domains = list(columns)
        x, y = "domains read", "bits per character of all four"
        panel = picture.panel("one model of several domains", x, y, xticks=domains)
        panel.curve("four domains", domains, np.transpose(list(columns.values())))
        panel = picture.panel("text learnt from own text", "generation", "variety of words")
        for i, name in ((0, "own text"), (1, "a tenth of it real"), (3, "own text, theory")):
            values = np.array([run[i] for run in runs])
            panel.curve(name, range(values.shape[1]), values)


def main(argv=None):
    """Print both tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    seeds = range(options.seed, options.seed + 5)
    if options.quick:
        seeds = seeds[:2]
        print(ONLY_RUNS)
    rows = [diversity(seed) for seed in seeds]
    columns = {k: np.array([row[k] for row in rows]) for k in rows[0]}
    print(f"{'domains read':>12} {'bits per character of all four':>32}")
    for k, column in columns.items():
        print(f"{k:>12} {mean_and_range(column):>32}")
    steps = [DOMAINS.judge(columns[k + 1], columns[k]) for k in range(1, len(columns))]
    print(f"{DOMAINS.text}, every one: {weakest(steps)}\n")
    runs = [collapse(seed) for seed in seeds]
    print(f"{'generation':>10} {'variety, own text':>20} {'theory':>10} {'a tenth of it real':>20}")
    for g in (0, ROUNDS // 8, ROUNDS // 4, ROUNDS // 2, ROUNDS):
        own, mixed = (np.mean([run[i][g] for run in runs]) for i in (0, 1))
        print(f"{g:>10} {own:>20.4f} {runs[0][3][g]:>10.4f} {mixed:>20.4f}")
    left = np.array([run[2] for run in runs])  # (seeds, 2)
    print(
        f"different words at the end: {left[:, 0].mean():.0f} of own text alone, "
        f"{left[:, 1].mean():.0f} with a tenth of it real"
    )
    own = np.array([run[0] for run in runs])  # (seeds, ROUNDS + 1)
    print(VARIETY.line(own[:, -1], own[:, 0]))
    own_words, mixed_words = np.log(left).T
    print(f"{RARE.text}, logarithms: {RARE.judge(own_words, mixed_words)}")
    if options.plot:
        plot(options.plot, columns, runs)


if __name__ == "__main__":
    main()
