"""What text to learn from: many domains or one, and not one's own; book section 2.2.1.

Claims: with as much text, a model that has read more domains does better on all of them together; a
model that learns from the output of its predecessor loses what is rare, generation by generation.
First: 5-grams of characters read 60,000 characters of 1 to 4 domains (Python's documentation, its
source code, made-up reviews, made-up pages) in equal parts and pay for a mixture of all four; the
mean is over all choices of that many domains. Second: tables of words, each counted from n draws of
the one before, against the decay that theory gives, and with a tenth of real text mixed in. About
half a minute. `python scripts/2_2_training_at_scale/data_diversity.py [--seed N] [--device cpu]
[--quick]`; five seeds from N on, with --quick two.

Measured output (CPU, mean over 5 seeds, smallest .. largest):

    domains read   bits per character of all four
               1          5.672 (5.561 .. 5.886)
               2          3.578 (3.410 .. 3.840)
               3          2.590 (2.369 .. 2.895)
               4          1.979 (1.754 .. 2.312)
    every further domain helps on all together: the claim shows

    generation    variety, own text     theory   a tenth of it real
             0               0.9908     0.9908               0.9908
            25               0.9799     0.9785               0.9880
            50               0.9677     0.9663               0.9883
           100               0.9471     0.9424               0.9878
           200               0.9108     0.8965               0.9880
    different words at the end: 19 of own text alone, 465 with a tenth of it real: what is rare dies
    out
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

READ, ASKED, ROUNDS, DRAWS = 60_000, 4_000, 200, 2000


def domains(seed):
    """Name -> (text to learn, text to be asked), which do not overlap."""
    rng = np.random.default_rng(seed)
    whole = {
        "documentation": without_repeats(python_documentation()),
        "code": "".join(inspect.getsource(module) for module in (argparse, inspect)),
        "reviews": " ".join(text for text, _ in made_up_reviews(2000, seed)),
        "pages": "\n\n".join(good_page(rng) for _ in range(120)),
    }
    parts = {}
    for name, text in whole.items():
        start = int(rng.integers(0, max(1, len(text) - READ - ASKED)))
        parts[name] = text[start + ASKED : start + ASKED + READ], text[start : start + ASKED]
    return parts


def diversity(seed):
    """Bits per character on the mixture, by how many domains were read: {1: mean, .., 4}."""
    parts, found = domains(seed), {}
    for k in range(1, len(parts) + 1):
        costs = []
        for chosen in itertools.combinations(parts, k):
            model = CharNGram([parts[name][0][: READ // k] for name in chosen])
            costs.append(np.mean([model.bits_per_character(asked) for _, asked in parts.values()]))
        found[k] = np.mean(costs)
    return found


def collapse(seed):
    """Variety by generation, words left at the end: (own text alone), (with a tenth of real text),
    and what theory says.
    """
    counts = np.array(
        list(Counter(without_repeats(python_documentation()).lower().split()).values()), float
    )
    p, rng = counts / counts.sum(), np.random.default_rng(seed)
    own, mixed = (generations(p, DRAWS, ROUNDS, rng, real) for real in (0.0, 0.1))
    return (
        variety(own),
        variety(mixed),
        [int((rows[-1] > 0).sum()) for rows in (own, mixed)],
        expected_variety(p, DRAWS, ROUNDS),
    )


def main(argv=None):
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    seeds = range(options.seed, options.seed + (2 if options.quick else 5))
    rows = [diversity(seed) for seed in seeds]
    means = []
    print(f"{'domains read':>12} {'bits per character of all four':>32}")
    for k in rows[0]:
        column = np.array([row[k] for row in rows])
        means.append(column.mean())
        print(f"{k:>12} {column.mean():>14.3f} ({column.min():.3f} .. {column.max():.3f})")
    shows = means == sorted(means, reverse=True)
    print(
        f"every further domain helps on all together: the claim {'shows' if shows else 'does not show'}\n"
    )
    runs = [collapse(seed) for seed in seeds]
    print(f"{'generation':>10} {'variety, own text':>20} {'theory':>10} {'a tenth of it real':>20}")
    for g in (0, ROUNDS // 8, ROUNDS // 4, ROUNDS // 2, ROUNDS):
        own, mixed = (np.mean([run[i][g] for run in runs]) for i in (0, 1))
        print(f"{g:>10} {own:>20.4f} {runs[0][3][g]:>10.4f} {mixed:>20.4f}")
    left = np.mean([run[2] for run in runs], axis=0)
    print(
        f"different words at the end: {left[0]:.0f} of own text alone, {left[1]:.0f} with a tenth of it real: what is rare "
        f"{'dies out' if left[0] < left[1] / 2 else 'does not die out'}"
    )


if __name__ == "__main__":
    main()
