"""A small language beside a large one: what temperature sampling gives and takes; book section
2.2.1.

Claim: performance in a language depends on its share of the training text, and raising the
temperature of the mixture helps the small one at a cost to the large one. Two made-up languages:
the grammar of tinylm.data.synthetic.junk, and the same with all letters moved on by 13, so that
they share an alphabet and no word. Of 97 parts in 100 against 3, a model of characters (5-grams)
reads 40 pages drawn at temperature T, and is measured on pages it has not read. A few seconds.
`python scripts/2_2_training_at_scale/data_mixture.py [--seed N] [--device cpu] [--quick] [--plot
FILE]`; ten seeds from N on, with --quick three.

Measured output (CPU, mean over 10 seeds, smallest .. largest):

        T  share of small      bits, large language      bits, small language
      1.0           0.015    0.829 (0.774 .. 0.882)   6.735 (2.462 .. 10.144)
      2.0           0.120    0.846 (0.795 .. 0.902)    2.133 (0.998 .. 4.445)
      5.0           0.320    0.898 (0.817 .. 1.081)    1.149 (0.882 .. 1.497)
      inf           0.460    0.938 (0.855 .. 1.104)    1.004 (0.872 .. 1.201)
    a higher temperature helps the small language, at every step: +0.144 [+0.0517, +0.237], 10
      seeds: shows
    the highest temperature costs the large language (section 2.2.1): +0.109 [+0.067, +0.151], 10
      seeds: shows
"""

import argparse
import codecs
import itertools
import math

import numpy as np

from tinylm.data.clean.ngram import CharNGram
from tinylm.data.mix.mixture import MixtureSampler
from tinylm.data.synthetic.junk import good_page
from tinylm.train.experiments.compare import Claim, mean_and_range, weakest
from tinylm.train.experiments.picture import Picture, add_plot

SIZES = (97, 3)
PAGES = 40
TEMPERATURES = (1.0, 2.0, 5.0, math.inf)
# Bits per character, paired by seed: the same held-out pages. The first needs every step of T.
SMALL = Claim("a higher temperature helps the small language", "2.2.1", larger=False)
LARGE = Claim("the highest temperature costs the large language", "2.2.1")


def moved(text):
    """Every letter replaced by the one 13 places on: other words, the same statistics."""
    return codecs.encode(text, "rot13")


def costs(temperature, seed):
    """One training run.

    returns  share of pages of the small language; bits per character of the large one, of the small
    """
    rng = np.random.default_rng(seed)
    # a page is made only when it is drawn
    makers = [
        lambda: (good_page(rng, 2) for _ in itertools.count()),
        lambda: (moved(good_page(rng, 2)) for _ in itertools.count()),
    ]
    # p_i ~ size_i^(1 / T): T = 1 is the natural share, T = inf as much of each
    sampler = MixtureSampler(SIZES, temperature, seed)
    drawn = list(itertools.islice(sampler.mix(makers), PAGES))
    model = CharNGram(text for _, text in drawn)
    # the same pages in both languages, from a seed that no training text has
    test = "\n".join(good_page(np.random.default_rng(1000 + seed), 2) for _ in range(4))
    return (
        np.mean([source for source, _ in drawn]),
        model.bits_per_character(test),
        model.bits_per_character(moved(test)),
    )


def plot(path, large, small):
    """Save the cost of both languages over the temperature as a picture."""
    with Picture(path, size=(6, 3.8)) as picture:
        places = range(len(TEMPERATURES))
        title = "held-out text of two languages"
        x = "temperature of the mixture"
        panel = picture.panel(title, x, "bits per character", xticks=places)
        panel.axes.set_xticks(places, [f"{t:g}" for t in TEMPERATURES])
        panel.curve("large language", places, np.transpose(large))
        panel.curve("small language", places, np.transpose(small))


def main(argv=None):
    """Print costs by temperature and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    seeds = range(options.seed, options.seed + 10)
    if options.quick:
        seeds = seeds[:3]
    print(
        f"{'T':>5} {'share of small':>15} {'bits, large language':>25} {'bits, small language':>25}"
    )
    large, small = [], []
    for temperature in TEMPERATURES:
        rows = np.array([costs(temperature, seed) for seed in seeds])
        share, of_large, of_small = rows.T  # (seeds,) each
        cells = f"{mean_and_range(of_large):>25} {mean_and_range(of_small):>25}"
        print(f"{temperature:>5} {share.mean():>15.3f} {cells}")
        large.append(of_large)
        small.append(of_small)
    steps = [SMALL.judge(hot, cold) for cold, hot in zip(small, small[1:])]
    print(f"{SMALL.text}, at every step: {weakest(steps)}")
    print(LARGE.line(large[-1], large[0]))
    if options.plot:
        plot(options.plot, large, small)


if __name__ == "__main__":
    main()
