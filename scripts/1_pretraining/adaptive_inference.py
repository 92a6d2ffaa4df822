"""Adaptive inference: less depth for inputs that are easy. Book section 1.3.3.

Claims: a model that answers after every layer can stop early at little loss, better than by always
stopping at its mean depth, and better than a model of half the depth trained for itself; what
leaves early is what is easy: it is right more often, and the middle of a word takes fewer layers
than its beginning. A GPT of 6 layers learns characters of English text, all layers together, each
through the model's last norm and output. The task is the next character after 32 of unseen text: a
task without ceiling, of which deep layers do more than shallow ones (sentences of sentiment, which
this script had before, were solved by the first layer, and nothing was left to choose). A threshold
of the entropy is chosen on one half of the unseen text and reported on the other (calibration). The
learning rate of each of the two models is the best of the same three, on a seed that is not used
below.

`python scripts/1_pretraining/adaptive_inference.py [--data FILE_OR_FOLDER] [--seed N] [--device
cpu] [--out FILE] [--quick] [--plot FILE]`; without --data Python's language reference; finished
cells are kept in FILE and not computed again. 5 seeds, about 20 minutes on one core; --quick is 2
seeds and a few steps. Read next: dropped_tokens.py, which leaves out tokens instead of layers.

Measured output:

    with exits                   0.002: 0.607   0.004: 0.623   0.008: 0.631
    3 layers, trained alone      0.002: 0.609   0.004: 0.618   0.008: 0.627
    the next character                 mean depth   accuracy
    always after layer 1                     1.00   0.555 (0.548 .. 0.567)
    always after layer 2                     2.00   0.622 (0.618 .. 0.626)
    always after layer 3                     3.00   0.652 (0.642 .. 0.656)
    always after layer 4                     4.00   0.661 (0.658 .. 0.662)
    always after layer 5                     5.00   0.664 (0.662 .. 0.665)
    always after layer 6                     6.00   0.666 (0.662 .. 0.668)
    entropy below 0.02                       5.95   0.666 (0.662 .. 0.668)
    entropy below 0.1                        5.69   0.666 (0.662 .. 0.668)
    entropy below 0.3                        4.97   0.666 (0.662 .. 0.668)
    entropy below 1.0                        3.79   0.661 (0.658 .. 0.663)
    confidence above 0.5                     2.66   0.640 (0.634 .. 0.648)
    confidence above 0.9                     4.61   0.665 (0.662 .. 0.667)
    confidence above 0.99                    5.77   0.666 (0.662 .. 0.668)
    unchanged for 1                          2.38   0.643 (0.639 .. 0.646)
    unchanged for 2                          3.58   0.662 (0.659 .. 0.663)
    calibrated to lose 0.005                 3.97   0.663 (0.661 .. 0.666)
    3 layers, trained alone                  3.00   0.664 (0.663 .. 0.667)
    calibrated to lose 0.005: 0.700 (0.658 .. 0.732) of the products
      right at full depth: 0.928 (0.911 .. 0.946) of what leaves in the first half
                           0.441 (0.415 .. 0.470) of the others
      layers of first letters: 5.96 (5.94 .. 5.98)
             of other letters: 4.05 (3.77 .. 4.33)
    early exit costs at most 0.01 of accuracy (section 1.3.3): -0.00294 [-0.00618, +0.000302], 5
      seeds: shows
    early exit saves at least a tenth of the products (section 1.3.3): +0.3 [+0.259, +0.34], 5
      seeds: shows
    early exit beats stopping everywhere at its mean depth (section 1.3.3): +0.00223 [+0.00063,
      +0.00382], 5 seeds: shows
    early exit beats a model of half the depth (section 1.3.3): -0.00168 [-0.00351, +0.000158], 5
      seeds: too small to tell; 0.0018 could have been seen
    what leaves in the first half is easier by 0.1 of accuracy (section 1.3.3): +0.487 [+0.472,
      +0.502], 5 seeds: shows
    the first letter of a word takes half a layer more than others (section 1.3.3): +1.91 [+1.65,
      +2.17], 5 seeds: shows
    5 seeds; 23 minutes of one core

One core of an AMD EPYC, 23 minutes beside other work. Exits that were calibrated on other text
leave out 30 % of the products at a price of 0.003; what leaves in the first half is right 93 times
of 100, what stays 44 times; first letters of words take nearly all six layers, the others four. It
beats stopping everywhere at the same mean depth, by 0.002: shows, but small, as four layers are
nearly as good as six here. Against a model of three layers trained for itself nothing is gained
(too small to tell, and leaning the other way): that model alone reaches 0.664, where the third of
six exits has 0.652, as all exits share the weights. Both models took the highest of the three
rates.
"""

import argparse
from functools import partial

import numpy as np

from tinylm import backend
from tinylm.autograd import no_grad
from tinylm.autograd.engine.profile import count_operations
from tinylm.data import python_documentation, read_text, split_text, without_repeats
from tinylm.finetune import fit
from tinylm.finetune.compress.early_exit import (
    calibrate,
    confidence_above,
    entropy_below,
    exit_layers,
    trade_off,
    unchanged_for,
)
from tinylm.finetune.compress.token_exit import TokenExit, TokenExitTask
from tinylm.machine import keep_freed_memory
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain import CausalLM
from tinylm.tokenizers import CharTokenizer
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

T, B, D, LAYERS, HEADS, STEPS = 32, 32, 64, 6, 4, 1500
RATES = 2e-3, 4e-3, 8e-3
SEEDS, TUNING = 5, 1001  # the seed on which rates are chosen
STRIDE = 3  # characters from one window of unseen text to the next
ALLOWED = 0.005  # of accuracy, that the threshold may lose on the text for choosing
CALIBRATED = f"calibrated to lose {ALLOWED}"
EXITS, HALF = "with exits", f"{LAYERS // 2} layers, trained alone"
# Paired by seed: one model on the same text, or two of one seed. Twice what calibration allows is
# no loss that matters.
EXIT = Claim("early exit costs at most 0.01 of accuracy", "1.3.3", least=-0.01)
WORK = Claim("early exit saves at least a tenth of the products", "1.3.3", larger=False, least=0.1)
FIXED = Claim("early exit beats stopping everywhere at its mean depth", "1.3.3")
ALONE = Claim("early exit beats a model of half the depth", "1.3.3")
EASY = Claim("what leaves in the first half is easier by 0.1 of accuracy", "1.3.3", least=0.1)
WORDS = Claim("the first letter of a word takes half a layer more than others", "1.3.3", least=0.5)


class Bench:
    """Text to train on, unseen text to choose and to test on, and new models."""

    def __init__(self, text, steps):
        training, unseen = split_text(text, 0.1)
        tokenizer = CharTokenizer.from_text(text)
        self.vocab, self.steps = tokenizer.vocab_size, steps
        self.letters = np.array(
            [tokenizer.decode([i]).isalpha() for i in range(tokenizer.vocab_size)]
        )
        # (n, T + 1): windows that overlap; the last character is the one to be predicted
        self.rows = _windows(tokenizer.encode(training), 7)
        unseen = tokenizer.encode(unseen)
        half = len(unseen) // 2
        self.chosen, self.test = _windows(unseen[:half], STRIDE), _windows(unseen[half:], STRIDE)

    def new(self, layers, seed):
        """A fresh GPT that answers after every layer."""
        config = GPTConfig(self.vocab, T, layers, HEADS, D, positions="rope")
        return TokenExit(GPT(config, seed))

    def trained(self, kind, rate, seed):
        """The model with exits, or one of half the depth in which only the last layer answers."""
        layers, weights = LAYERS, None
        if kind == HALF:
            layers = LAYERS // 2
            weights = (*[0] * (layers - 1), 1)
        model, task = self.new(layers, seed), TokenExitTask(CausalLM(), weights)
        options = {"batch_size": B, "learning_rate": rate, "seed": seed}
        fit(model, task, self.rows, steps=self.steps, **options)
        return model


def _windows(ids, step):
    return np.lib.stride_tricks.sliding_window_view(np.asarray(ids), T + 1)[::step]


def answers(model, rows):
    """Logits of all layers for the last character of each window, (L, N, V)."""
    parts = []
    with no_grad():
        for part in np.array_split(rows, max(1, len(rows) // 256)):
            states = model.eval().layers(part[:, :-1])
            parts.append([model.model.logits(h[:, -1:]).numpy()[:, 0] for h in states])
    return np.concatenate(parts, axis=1)


def accuracy(bench, kind, rate, seed):
    """Accuracy of a model's last layer on the text for choosing, and on that for testing."""
    model = bench.trained(kind, rate, seed)
    return {
        name: float((answers(model, rows)[-1].argmax(-1) == rows[:, -1]).mean())
        for name, rows in (("chosen", bench.chosen), ("test", bench.test))
    }


def exits(bench, rate, seed):
    """What a model with exits does on the text for testing.

    returns  {"rules": {name: [mean depth, accuracy]}, "work": share of the products; "easy",
             "hard": accuracy at full depth of what leaves in the first half and of the others;
             "first", "others": mean depth of first letters of words and of other letters}
    """
    model = bench.trained(EXITS, rate, seed)
    logits, targets = answers(model, bench.test), bench.test[:, -1]
    found = {
        f"always after layer {layer + 1}": [layer + 1.0, float((one.argmax(-1) == targets).mean())]
        for layer, one in enumerate(logits)
    }
    stops = {f"entropy below {h}": entropy_below(h) for h in (0.02, 0.1, 0.3, 1.0)}
    stops |= {f"confidence above {p}": confidence_above(p) for p in (0.5, 0.9, 0.99)}
    # the prediction has not changed for n exits
    stops |= {f"unchanged for {n}": unchanged_for(n) for n in (1, 2)}
    fine = {h: entropy_below(h) for h in [0, *np.geomspace(1e-3, 4, 60).tolist()]}
    best, _, _ = calibrate(answers(model, bench.chosen), bench.chosen[:, -1], fine, ALLOWED)
    stops[CALIBRATED] = fine[best]
    found |= {name: values for name, *values in trade_off(logits, targets, stops)}
    depth, right = exit_layers(logits, fine[best]), logits[-1].argmax(-1) == targets
    early = depth <= LAYERS // 2
    letter = bench.letters[targets]
    first = letter & ~bench.letters[bench.test[:, -2]]  # the character before is no letter
    groups = {"easy": right[early], "hard": right[~early]}
    groups |= {"first": depth[first], "others": depth[letter & ~first]}
    work = [_products(model, bench.test[:512, :-1], stop) for stop in (fine[best], fine[0])]
    found = {"rules": found, "work": work[0] / work[1]}
    # a group may be empty after few steps; then it has the mean of all
    whole = {"easy": right, "hard": right, "first": depth, "others": depth}
    means = {
        name: float((values if len(values) else whole[name]).mean())
        for name, values in groups.items()
    }
    return found | means


def _products(model, ids, stop):
    """The operations in matrix products for one next token of each row."""
    with count_operations() as counts:
        model.infer(ids, stop)
    return counts.matmul_flops()


def show(found, alone):
    """Print the table and the verdicts.

    found  what exits() returns, of each seed;  alone (seeds,) accuracies of half the depth
    """
    print(f"{'the next character':34}{'mean depth':>11}   accuracy")
    names = found[0]["rules"]
    depths, right = (
        {name: np.array([each["rules"][name][i] for each in found]) for name in names}
        for i in (0, 1)
    )
    for name in names:
        print(f"{name:34}{depths[name].mean():>11.2f}   {mean_and_range(right[name])}")
    print(f"{HALF:34}{LAYERS / 2:>11.2f}   {mean_and_range(alone)}")
    layers = np.arange(1, LAYERS + 1)
    # (seeds, layers)
    fixed = np.stack([right[f"always after layer {layer}"] for layer in layers], axis=1)
    # Accuracy at a mean depth between two layers lies on the line between theirs.
    same = np.array([np.interp(d, layers, row) for d, row in zip(depths[CALIBRATED], fixed)])
    values = {
        name: np.array([each[name] for each in found]) for name in found[0] if name != "rules"
    }
    print(f"{CALIBRATED}: {mean_and_range(values['work'])} of the products")
    print(
        f"  right at full depth: {mean_and_range(values['easy'])} of what leaves in the first half"
    )
    print(f"                       {mean_and_range(values['hard'])} of the others")
    print(f"  layers of first letters: {mean_and_range(values['first'], '.2f')}")
    print(f"         of other letters: {mean_and_range(values['others'], '.2f')}")
    print(EXIT.line(right[CALIBRATED], fixed[:, -1]))
    print(WORK.line(values["work"], 1.0))
    print(FIXED.line(right[CALIBRATED], same))
    print(ALONE.line(right[CALIBRATED], alone))
    print(EASY.line(values["easy"], values["hard"]))
    print(WORDS.line(values["first"], values["others"]))


def best_rate(cells, bench, kind, rates, sizes):
    """The rate that is best on the text for choosing, by a seed of its own."""
    scores = []
    for rate in rates:
        cell = {"choose": kind, "rate": rate, "seed": TUNING} | sizes
        scores.append(cells(cell, partial(accuracy, bench, kind, rate, TUNING))["chosen"])
    tried = "".join(f"{rate:>8g}: {score:.3f}" for rate, score in zip(rates, scores))
    print(f"{kind:26}{tried}", flush=True)
    return rates[int(np.argmax(scores))]


def plot(path, found, alone):
    """Save accuracy over the mean depth of every rule as a picture."""
    with Picture(path, size=(6, 4)) as picture:
        panel = picture.panel("the next character", "mean depth (layers)", "accuracy")
        families = {}  # a rule by what it looks at, and the numbers at which it was tried
        for name in found[0]["rules"]:
            family = name if name == CALIBRATED else name.rsplit(" ", 1)[0]
            families.setdefault(family, []).append(name)
        for family, names in families.items():
            # (seeds, names, 2): mean depths and accuracies
            values = np.array([[each["rules"][name] for name in names] for each in found])
            depths = values[..., 0].mean(0)
            order = np.argsort(depths)
            draw = panel.points if len(names) == 1 else panel.curve
            draw(family, depths[order], values[:, order, 1])
        panel.points(HALF, [LAYERS / 2], np.reshape(alone, (-1, 1)))


def main(argv=None):
    """Choose the rates, train for every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device",
        default="cpu",
        choices=("cpu",),
        help="models this small are not faster elsewhere",
    )
    parser.add_argument("--out", metavar="FILE", help="keep finished cells there, and go on")
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    keep_freed_memory()
    if options.data:
        text = "\n\n".join(read_text(options.data))
    else:
        text = without_repeats(python_documentation())
    seeds, rates = range(options.seed, options.seed + SEEDS), RATES
    bench, cells = Bench(text, STEPS), Cells(options.out)
    if options.quick:
        seeds, rates, bench.steps = seeds[:2], RATES[1:2], 20
        bench.test, bench.chosen = bench.test[:256], bench.chosen[:256]
        print(ONLY_RUNS)
    sizes = {"steps": bench.steps, "layers": LAYERS, "windows": len(bench.test)}
    sizes["characters"] = len(text)
    rate, half = (best_rate(cells, bench, kind, rates, sizes) for kind in (EXITS, HALF))
    found, alone = [], []
    for seed in seeds:
        cell = {"kind": EXITS, "rate": rate, "seed": seed} | sizes
        found.append(cells(cell, partial(exits, bench, rate, seed)))
        cell = {"kind": HALF, "rate": half, "seed": seed} | sizes
        alone.append(cells(cell, partial(accuracy, bench, HALF, half, seed))["test"])
    show(found, np.array(alone))
    if options.plot:
        plot(options.plot, found, alone)
    print(f"{len(seeds)} seeds; {cells.seconds() / 60:.0f} minutes of one core")


if __name__ == "__main__":
    main()
