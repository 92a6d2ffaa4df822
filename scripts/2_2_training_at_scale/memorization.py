"""How many copies of a secret make a model learn it by heart? Book section 2.2.1 (privacy; Carlini
et al. 2019).

Claims: the exposure of a secret grows with its copies in the training text; dropping copies brings
it back to that of one copy, masking personal data to that of a secret never seen (1.44 bits on
average). A telephone number is put into made-up pages full of other numbers; a model of characters
ranks it among 1,024 numbers that it might have been, so 10 bits are the most there is. The model
counts trigrams: one of long n-grams learns any number by heart from one copy. About 15 seconds.
`python scripts/2_2_training_at_scale/memorization.py [--seed N] [--device cpu] [--quick] [--plot
FILE]`; eight seeds from N on, with --quick three.

Measured output (CPU, mean bits over 8 seeds, smallest .. largest):

    copies                  as it is          copies dropped             data masked
    0            0.67 (0.02 .. 2.40)     0.67 (0.02 .. 2.40)     0.47 (0.02 .. 1.95)
    1           8.26 (6.83 .. 10.00)    8.26 (6.83 .. 10.00)     0.47 (0.02 .. 1.95)
    4         10.00 (10.00 .. 10.00)    8.26 (6.83 .. 10.00)     0.47 (0.02 .. 1.95)
    16        10.00 (10.00 .. 10.00)    8.26 (6.83 .. 10.00)     0.47 (0.02 .. 1.95)
    64        10.00 (10.00 .. 10.00)    8.26 (6.83 .. 10.00)     0.47 (0.02 .. 1.95)
    exposure grows with copies, 0 to 1: +7.59 [+7.01, +8.17], 8 seeds: shows
    exposure grows with copies, 1 to 4: +1.74 [+0.757, +2.72], 8 seeds: shows
    exposure grows with copies, 4 to 16: +0 [+0, +0], 8 seeds: cannot show by design
    exposure grows with copies, 16 to 64: +0 [+0, +0], 8 seeds: cannot show by design
    dropping copies leaves at most that of one copy (section 2.2.1): +0 [+0, +0], 8 seeds: shows
    masking leaves that of a secret never seen (section 2.2.1): +0.969 [+0.313, +1.62], 8 seeds:
      shows

From four copies on the number is the most probable of all: more copies cannot raise its exposure.
"""

import argparse

import numpy as np

from tinylm.data.clean.dedup import ExactDuplicates
from tinylm.data.clean.ngram import CharNGram
from tinylm.data.clean.privacy import Masker
from tinylm.data.measure.memorization import canaries, exposure, with_canary
from tinylm.data.synthetic.junk import good_page
from tinylm.train.experiments.compare import Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

COPIES = (0, 1, 4, 16, 64)
# Bits of exposure, paired by seed: the same pages and numbers. log2 1024 = 10 bits are the most
# there can be. A secret never seen has rank r of n with equal chance: log2(n / r) is 1.44 bits on
# average (1 / ln 2). Half a bit more is no exposure that matters.
GROWS = Claim("exposure grows with copies", "2.2.1", limit=10.0)
DROPPED = Claim(
    "dropping copies leaves at most that of one copy", "2.2.1", larger=False, least=-0.5
)
MASKED = Claim("masking leaves that of a secret never seen", "2.2.1", larger=False, least=-0.5)
NEVER_SEEN = 1 / np.log(2)
SETTINGS = {
    "as it is": lambda texts: texts,
    "copies dropped": lambda texts: filter(ExactDuplicates(), texts),
    "data masked": lambda texts: map(Masker(), texts),
}


def bits(copies, seed, prepare):
    """Exposure of a number that is in the text `copies` times, before `prepare` cleans the text."""
    rng = np.random.default_rng(seed)
    secrets = canaries(1024, "Call me at 555-{}.", digits=7, seed=seed)
    # The digits of many other numbers hide those of one: every trigram of digits stands there about
    # six times.
    pages = [
        f"{good_page(rng, 1)} Lots {' '.join(map(str, rng.integers(10**6, 10**7, 20)))}."
        for _ in range(60)
    ]
    model = CharNGram(prepare(with_canary(pages, secrets[0], copies, seed)), order=3)
    return exposure(lambda text: -model.log_probability(text), secrets[0], secrets[1:])


def plot(path, found):
    """Save exposure over copies as a picture."""
    with Picture(path, size=(6, 3.8)) as picture:
        x, y = "copies in the text", "exposure (bits)"
        settings = {"xscale": "symlog", "xticks": COPIES}
        panel = picture.panel("a secret number in a training text", x, y, **settings)
        for name in SETTINGS:
            panel.curve(name, COPIES, np.transpose([found[name, copies] for copies in COPIES]))
        panel.level("never seen", NEVER_SEEN)


def main(argv=None):
    """Print exposure by copies and by what was done to the text, and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    seeds = range(options.seed, options.seed + 8)
    if options.quick:
        seeds = seeds[:3]
    print(f"{'copies':<8}" + "".join(f"{name:>24}" for name in SETTINGS))
    found = {}
    for copies in COPIES:
        for name, prepare in SETTINGS.items():
            found[name, copies] = [bits(copies, seed, prepare) for seed in seeds]
        cells = "".join(f"{mean_and_range(found[name, copies], '.2f'):>24}" for name in SETTINGS)
        print(f"{copies:<8}{cells}")
    for a, b in zip(COPIES, COPIES[1:]):
        verdict = GROWS.judge(found["as it is", b], found["as it is", a])
        print(f"{GROWS.text}, {a} to {b}: {verdict}")
    most = COPIES[-1]
    print(DROPPED.line(found["copies dropped", most], found["as it is", 1]))
    print(MASKED.line(found["data masked", most], NEVER_SEEN))
    if options.plot:
        plot(options.plot, found)


if __name__ == "__main__":
    main()
