"""How many copies of a secret make a model know it by heart? Book section 2.2.1 (privacy; Carlini
et al. 2019).

Claims: the exposure of a secret grows with its copies in the training text; dropping copies brings
it back to that of one copy, masking personal data to that of a secret never seen (1.44 bits on
average). A telephone number is put into made-up pages full of other numbers; a model of characters
ranks it among 1,024 numbers that it might have been, so 10 bits are all there is to know. The model
counts trigrams: one of long n-grams knows any number by heart after one copy. About 15 seconds.
`python scripts/2_2_training_at_scale/memorization.py [--seed N] [--device cpu] [--quick]`; eight
seeds from N on, with --quick three.

Measured output (CPU, mean bits over 8 seeds, smallest .. largest):

    copies                  as it is          copies dropped             data masked
    0            0.67 (0.02 .. 2.40)     0.67 (0.02 .. 2.40)     0.47 (0.02 .. 1.95)
    1           8.26 (6.83 .. 10.00)    8.26 (6.83 .. 10.00)     0.47 (0.02 .. 1.95)
    4         10.00 (10.00 .. 10.00)    8.26 (6.83 .. 10.00)     0.47 (0.02 .. 1.95)
    16        10.00 (10.00 .. 10.00)    8.26 (6.83 .. 10.00)     0.47 (0.02 .. 1.95)
    64        10.00 (10.00 .. 10.00)    8.26 (6.83 .. 10.00)     0.47 (0.02 .. 1.95)
    exposure grows with copies: True; masking hides the number: True; dropping copies leaves 8.26
    bits of one copy
"""

import argparse

import numpy as np

from tinylm.data.clean.dedup import ExactDuplicates
from tinylm.data.clean.ngram import CharNGram
from tinylm.data.clean.privacy import Masker
from tinylm.data.measure.memorization import canaries, exposure, with_canary
from tinylm.data.synthetic.junk import good_page

COPIES = (0, 1, 4, 16, 64)
SETTINGS = {
    "as it is": lambda texts: texts,
    "copies dropped": lambda texts: filter(ExactDuplicates(), texts),
    "data masked": lambda texts: map(Masker(), texts),
}


def bits(copies, seed, prepare):
    """Exposure of a number that stands `copies` times in the text, which `prepare` has treated."""
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


def main(argv=None):
    """Print exposure by copies and by what was done to the text."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    seeds = range(options.seed, options.seed + (3 if options.quick else 8))
    print(f"{'copies':<8}" + "".join(f"{name:>24}" for name in SETTINGS))
    means = {}
    for copies in COPIES:
        rows = {
            name: [bits(copies, seed, prepare) for seed in seeds]
            for name, prepare in SETTINGS.items()
        }
        means[copies] = {name: np.mean(values) for name, values in rows.items()}
        print(
            f"{copies:<8}"
            + "".join(
                f"{f'{np.mean(v):.2f} ({min(v):.2f} .. {max(v):.2f})':>24}" for v in rows.values()
            )
        )
    grows = all(
        means[a]["as it is"] <= means[b]["as it is"] + 1e-9 for a, b in zip(COPIES, COPIES[1:])
    )
    hidden = means[64]["data masked"] < 4
    print(
        f"exposure grows with copies: {grows}; masking hides the number: {hidden}; "
        f"dropping copies leaves {means[64]['copies dropped']:.2f} bits of one copy"
    )


if __name__ == "__main__":
    main()
