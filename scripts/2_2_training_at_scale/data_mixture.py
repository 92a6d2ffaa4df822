"""A small language beside a large one: what temperature sampling gives and takes; book section
2.2.1.

Claim: performance in a language depends on its share of the training text, and raising the
temperature of the mixture helps the small one at a cost to the large one. Two made-up languages:
the grammar of tinylm.data.synthetic.junk, and the same with all letters moved on by 13, so that
they share an alphabet and no word. Of 97 parts in 100 against 3, a model of characters (5-grams)
reads 40 pages drawn at temperature T, and pays for pages it has not read. A few seconds. `python
scripts/2_2_training_at_scale/data_mixture.py [--seed N] [--device cpu] [--quick]`; five seeds from
N on, with --quick two.

Measured output (CPU, mean over 5 seeds, smallest .. largest):

        T  share of small      bits, large language      bits, small language
      1.0           0.015    0.828 (0.774 .. 0.882)   6.324 (3.438 .. 10.144)
      2.0           0.145    0.846 (0.795 .. 0.902)    1.543 (1.483 .. 1.726)
      5.0           0.340    0.917 (0.817 .. 1.081)    1.164 (0.952 .. 1.310)
      inf           0.460    0.948 (0.855 .. 1.104)    1.042 (0.915 .. 1.201)
    the small language gains with every step of T, the large one pays: the claim shows
"""

import argparse
import itertools
import math

import numpy as np

from tinylm.data.clean.ngram import CharNGram
from tinylm.data.mix.mixture import MixtureSampler
from tinylm.data.synthetic.junk import good_page

SIZES, PAGES, TEMPERATURES = (97, 3), 40, (1.0, 2.0, 5.0, math.inf)


def moved(text):
    """Every letter replaced by the one 13 places on: a language of its own with the same
    statistics.
    """
    return "".join(
        chr((ord(c) - 97 + 13) % 26 + 97)
        if c.islower()
        else chr((ord(c) - 65 + 13) % 26 + 65)
        if c.isupper()
        else c
        for c in text
    )


def costs(temperature, seed):
    """(share of pages of the small language, bits per character of the large, of the small) after
    training.
    """
    rng = np.random.default_rng(seed)
    makers = [
        lambda: (good_page(rng, 2) for _ in itertools.count()),
        lambda: (moved(good_page(rng, 2)) for _ in itertools.count()),
    ]
    sampler = MixtureSampler(SIZES, temperature, seed)
    drawn = list(itertools.islice(sampler.mix(makers), PAGES))
    model = CharNGram(text for _, text in drawn)
    test = "\n".join(good_page(np.random.default_rng(1000 + seed), 2) for _ in range(4))
    return (
        np.mean([source for source, _ in drawn]),
        model.bits_per_character(test),
        model.bits_per_character(moved(test)),
    )


def main(argv=None):
    """Print costs by temperature."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    seeds = range(options.seed, options.seed + (2 if options.quick else 5))
    print(
        f"{'T':>5} {'share of small':>15} {'bits, large language':>25} {'bits, small language':>25}"
    )
    means = []
    for temperature in TEMPERATURES:
        rows = np.array([costs(temperature, seed) for seed in seeds])
        cells = [
            f"{column.mean():.3f} ({column.min():.3f} .. {column.max():.3f})"
            for column in rows.T[1:]
        ]
        print(f"{temperature:>5} {rows[:, 0].mean():>15.3f} {cells[0]:>25} {cells[1]:>25}")
        means.append(rows.mean(0))
    small, large = [row[2] for row in means], [row[1] for row in means]
    shows = small == sorted(small, reverse=True) and large[-1] > large[0]
    print(
        f"the small language gains with every step of T, the large one pays: the claim {'shows' if shows else 'does not show'}"
    )


if __name__ == "__main__":
    main()
