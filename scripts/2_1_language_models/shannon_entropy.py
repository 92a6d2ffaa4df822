"""How predictable is the next letter? Shannon's experiment (1951) by counting; book section 2.1,
opening.

Claim: the more letters before it are known, the better the next one is predicted. Shown on Python's
documentation with 27 symbols (a to z and the space): the entropies F_n of the text itself, read in
a circle, which cannot rise with n; then the cost per letter of n-gram models on held-out text,
which can. F_n of a finite text falls towards 0 for large n, where a context occurs only once, so it
is no estimate of English; the held-out numbers are. About 5 seconds. `python
scripts/2_1_language_models/shannon_entropy.py [--seed N] [--device cpu] [--quick] [--plot FILE]`;
the seed picks the tenth that is held out, of five; --quick takes a fifth of the text. Counting is
done on the CPU. Read next: early_models.py.

Measured output:

    F_n of 305407 letters, bits per letter (circular counts, no smoothing)
        n              0       1       2       3       4       5       6
        here       4.755   4.099   3.326   2.454   1.717   1.321   1.077
        Shannon     4.76    4.03    3.32    3.10       -       -       -
        F_n never rises: shows
    held out: bits per letter, mean of 5 tenths of the text (largest - smallest)
        order                    1            2            3            4            5            6
        add_k         4.099 (0.04) 3.360 (0.12) 2.587 (0.32) 2.103 (0.37) 2.125 (0.39) 2.440 (0.42)
        interpolated  4.181 (0.02) 3.480 (0.08) 2.681 (0.25) 2.032 (0.32) 1.728 (0.39) 1.677 (0.47)
        absolute      4.099 (0.04) 3.362 (0.13) 2.582 (0.38) 1.996 (0.51) 1.799 (0.58) 1.827 (0.68)
        kneser_ney    4.099 (0.04) 3.362 (0.13) 2.571 (0.36) 1.951 (0.43) 1.688 (0.41) 1.631 (0.44)
    add_k, one letter more of context costs fewer bits, at every order: -0.316 [-0.336, -0.295], 5
      seeds: shows the opposite
      shows the opposite at order 5, 6
    interpolated, one letter more of context costs fewer bits, at every order: +0.0513 [+0.0108,
      +0.0918], 5 seeds: shows
    absolute, one letter more of context costs fewer bits, at every order: -0.028 [-0.0726,
      +0.0166], 5 seeds: too small to tell; 0.045 could have been seen
    kneser_ney, one letter more of context costs fewer bits, at every order: +0.0574 [+0.0429,
      +0.0719], 5 seeds: shows

A long context costs more where its counts are few and little is left for what was not counted:
add-k from order 5 on; absolute discounting rises at order 6 in the mean, too small to tell.
"""

import argparse
import re

import numpy as np

from tinylm.backend import Random
from tinylm.data import python_documentation, without_repeats
from tinylm.models.early.ngram import NGramLM, conditional_entropy
from tinylm.train.experiments.compare import OPPOSITE, SHOWS, Claim, weakest
from tinylm.train.experiments.picture import Picture, add_plot

ORDERS = (1, 2, 3, 4, 5, 6)
SMOOTHINGS = ("add_k", "interpolated", "absolute", "kneser_ney")
SHANNON = {0: 4.76, 1: 4.03, 2: 3.32, 3: 3.1}  # his table for English with 27 symbols
# Bits per letter, paired by the tenth that is held out. The claim needs every order to gain.
LONGER = Claim("one letter more of context costs fewer bits", "2.1", larger=False)
TENTHS = 5


def letters(text):
    """Lower-case letters as 1 .. 26, everything between two letters as one space, 0."""
    text = re.sub("[^a-z]+", " ", text.lower())
    # ASCII % 32: a = 97 -> 1, .., z = 122 -> 26, space = 32 -> 0
    return np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) % 32


def held_out(tokens, tenth):
    """(training parts, held-out part): one tenth of the text is cut out."""
    start, stop = (len(tokens) * i // 10 for i in (tenth, tenth + 1))
    # two parts, unless the tenth is the first or the last
    return [part for part in (tokens[:start], tokens[stop:]) if len(part)], tokens[start:stop]


def plot(path, F, found):
    """Save entropies and held-out bits over the context as a picture."""
    with Picture(path, size=(6, 4)) as picture:
        panel = picture.panel("one letter more of context", "letters, n", "bits per letter")
        panel.curve("F_n, this text", (0, *ORDERS), F)
        panel.curve("F_n, Shannon's table", list(SHANNON), list(SHANNON.values()))
        for smoothing, bits in found.items():
            panel.curve(f"held out, {smoothing.replace('_', ' ')}", ORDERS, bits.T)


def main(argv=None):
    """Print the two tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    tokens = letters(without_repeats(python_documentation()))
    if options.quick:
        tokens = tokens[: len(tokens) // 5]

    # F_n = H(x_n | x_1 .. x_{n-1}), of counts in a circle: exact, and F_n <= F_{n-1} by theory
    F = [conditional_entropy(tokens, n, 27) for n in (0, *ORDERS)]
    print(f"F_n of {len(tokens)} letters, bits per letter (circular counts, no smoothing)")
    print("    n       " + "".join(f"{n:>8}" for n in (0, *ORDERS)))
    print("    here    " + "".join(f"{f:>8.3f}" for f in F))
    printed = {n: f"{bits:.2f}" for n, bits in SHANNON.items()}
    print("    Shannon " + "".join(f"{printed.get(n, '-'):>8}" for n in (0, *ORDERS)))
    never_rises = all(b <= a + 1e-9 for a, b in zip(F, F[1:]))
    print(f"    F_n never rises: {SHOWS if never_rises else OPPOSITE}")

    tenths = Random(options.seed, "tenths").permutation(10)[:TENTHS].tolist()
    print(f"held out: bits per letter, mean of {TENTHS} tenths of the text (largest - smallest)")
    print("    order        " + "".join(f"{n:>13}" for n in ORDERS))
    lines, found = [], {}
    for smoothing in SMOOTHINGS:
        bits = np.empty((len(ORDERS), len(tenths)))
        for j, tenth in enumerate(tenths):
            train, test = held_out(tokens, tenth)
            for i, n in enumerate(ORDERS):
                bits[i, j] = -NGramLM(n, 27, smoothing).fit(*train).logprob(test).mean() / np.log(2)
        print(
            f"    {smoothing:<13}"
            + "".join(f"{row.mean():>6.3f} ({np.ptp(row):.2f})" for row in bits)
        )
        found[smoothing] = bits
        # (orders - 1) verdicts: order n against n - 1, on the same tenths
        steps = [LONGER.judge(b, a) for a, b in zip(bits, bits[1:])]
        harm = [str(n) for n, step in zip(ORDERS[1:], steps) if step.word == OPPOSITE]
        lines.append(f"{smoothing}, {LONGER.text}, at every order: {weakest(steps)}")
        if harm:
            lines.append(f"  shows the opposite at order {', '.join(harm)}")
    print("\n".join(lines))
    if options.plot:
        plot(options.plot, F, found)


if __name__ == "__main__":
    main()
