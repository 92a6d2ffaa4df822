"""Adaptive inference: fewer tokens. Book section 1.3.3 (Goyal et al. 2020; Kim & Cho 2021).

Claims: tokens can be dropped between the layers of an encoder at a small loss of accuracy; by the
attention that they receive better than at random; and better if the model was trained with some
missing (LengthDrop). With `--data` (or TINYLM_DATA) the task is real: from which of the 16 longest
books of the Bible is a verse? Few words of a verse tell, and accuracy is far from 1. Without it,
made-up reviews in which "not" and "but" turn the meaning; accuracy is near 1, and nothing can show.
Tokens go after the attention of a layer, so the first state has read all of them once before any
is dropped, and what it needs of single words it may have by then: in a trial with verses a ratio of
0.4, which leaves 13, 6, 3 and 1 of 32 tokens, cost 0.01 to 0.02, whichever tokens stayed. So ratios
go down to 0.1, where the reader sees whether later layers need the others at all. The learning
rate of each way of training is the best of the same three, on a seed that is not used below and
examples that are not tested.

`python scripts/1_pretraining/dropped_tokens.py [--data FOLDER] [--seed N] [--device cpu] [--out
FILE] [--quick] [--plot FILE]`; the folder has bitext/bible_en_es.tsv.gz (place, English, Spanish);
finished cells are kept in FILE and not computed again. 5 seeds, about 15 minutes on one core (31
beside other work); --quick is 2 seeds and few examples. Read first: adaptive_inference.py.

Measured output:

    13248 examples of 16 classes for training, 2839 for choosing, 2841 for testing
    all tokens     0.001: 0.496   0.002: 0.484   0.004: 0.471
    LengthDrop     0.001: 0.504   0.002: 0.474   0.004: 0.461

    trained with all tokens
     ratio  work                by attention                   at random
       1.0  1.00      0.476 (0.465 .. 0.495)      0.476 (0.465 .. 0.495)
       0.8  0.65      0.475 (0.467 .. 0.490)      0.476 (0.467 .. 0.493)
       0.6  0.41      0.474 (0.467 .. 0.489)      0.474 (0.461 .. 0.494)
       0.4  0.26      0.471 (0.455 .. 0.486)      0.470 (0.463 .. 0.483)
       0.2  0.18      0.455 (0.433 .. 0.481)      0.448 (0.429 .. 0.465)
       0.1  0.15      0.437 (0.413 .. 0.459)      0.427 (0.405 .. 0.445)

    trained with LengthDrop
     ratio  work                by attention                   at random
       1.0  1.00      0.481 (0.462 .. 0.506)      0.481 (0.462 .. 0.506)
       0.8  0.65      0.480 (0.462 .. 0.502)      0.481 (0.463 .. 0.504)
       0.6  0.41      0.480 (0.465 .. 0.501)      0.480 (0.459 .. 0.504)
       0.4  0.26      0.478 (0.460 .. 0.499)      0.474 (0.449 .. 0.494)
       0.2  0.18      0.463 (0.442 .. 0.489)      0.458 (0.432 .. 0.484)
       0.1  0.15      0.441 (0.414 .. 0.476)      0.438 (0.410 .. 0.470)
    trained with all tokens, a ratio of 0.6 costs at most 0.01 of accuracy: -0.00155 [-0.00526,
      +0.00217], 5 seeds: shows
    trained with LengthDrop, a ratio of 0.6 costs at most 0.01 of accuracy: -0.000986 [-0.00518,
      +0.00321], 5 seeds: shows
    mean over the ratios below 1
      trained with all tokens, attention drops tokens better than chance: +0.00358 [+0.000619,
        +0.00653], 5 seeds: shows
      trained with LengthDrop, attention drops tokens better than chance: +0.00249 [-0.0027,
        +0.00768], 5 seeds: too small to tell; 0.0052 could have been seen
      training with LengthDrop helps when tokens are dropped (section 1.3.3): +0.00583 [-0.0114,
        +0.0231], 5 seeds: too small to tell; 0.017 could have been seen
    5 seeds; 31 minutes of one core

So on this task tokens are cheap: a ratio of .6, with .41 of the work, costs nothing, and even at
.1, with .15 of the work, .04 of accuracy are lost. By attention they go .004 better than at random,
too little to matter but seen; what LengthDrop gains (.006) is left open by five seeds.
"""

import argparse
import os
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from tinylm import backend
from tinylm.data.read.labeled import read_columns, share_of
from tinylm.data.synthetic.reviews import made_up_reviews
from tinylm.finetune import evaluate, fit
from tinylm.finetune.compress import length_adaptive
from tinylm.finetune.compress.length_adaptive import LengthAdaptive, constant_ratio, flops
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.models.encoder.encoder import Encoder, EncoderConfig
from tinylm.pretrain.special import Special
from tinylm.tokenizers.words import words_and_punctuation
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range
from tinylm.train.experiments.picture import Picture, add_plot

LAYERS, HEADS, T, D, B, EPOCHS, BOOKS = 4, 4, 32, 48, 32, 4, 16
OFTEN = 3  # a word that is rarer in the training texts has the last number
RATES = 1e-3, 2e-3, 4e-3
SEEDS, TUNING = 5, 1001  # the seed on which rates are chosen
RATIOS = 1.0, 0.8, 0.6, 0.4, 0.2, 0.1
# name: how much LengthDrop removes at most from layer to layer in training
TRAININGS = {"all tokens": 0.0, "LengthDrop": 0.3}
# Accuracies, paired: one model on the same examples, or two of one seed.
LITTLE = Claim("a ratio of 0.6 costs at most 0.01 of accuracy", "1.3.3", least=-0.01)
ATTENTION = Claim("attention drops tokens better than chance", "1.3.3", limit=1.0)
LENGTH_DROP = Claim("training with LengthDrop helps when tokens are dropped", "1.3.3", limit=1.0)


def verses(folder):
    """Verses with the number of their book, if it is one of the longest: list of (str, int)."""
    pairs = read_columns(Path(folder, "bitext", "bible_en_es.tsv.gz"), 0, 1)
    # "Song of Solomon 1:1" -> "Song of Solomon"
    pairs = [(text, place.rpartition(" ")[0]) for place, text in pairs]
    books = [book for book, _ in Counter(book for _, book in pairs).most_common(BOOKS)]
    return [(text, books.index(book)) for text, book in pairs if book in books]


class Bench:
    """Examples for training, choosing and testing, and a fresh encoder for each seed."""

    def __init__(self, folder, few=None):
        labeled = verses(folder) if folder else made_up_reviews(3000)
        if few:
            labeled, _ = share_of(labeled, few / len(labeled))
        self.train, rest = share_of(labeled, 0.7)
        self.chosen, self.test = share_of(rest, 0.5)
        self.classes = 1 + max(label for _, label in labeled)
        counts = Counter(w for text, _ in self.train for w in self.words(text))
        words = sorted(word for word, count in counts.items() if count >= OFTEN)
        special = Special.after(len(words) + 1, sentinels=0)
        ids = {word: i for i, word in enumerate(words)}
        self.task = Classification(EncoderInput(special, None, T))
        self.vocab = special.vocab_size
        for name in ("train", "chosen", "test"):
            # texts become lists of numbers once, before any training
            part = [
                ([ids.get(w, len(words)) for w in self.words(text)], label)
                for text, label in getattr(self, name)
            ]
            # rows of a batch are about equally long
            setattr(self, name, sorted(part, key=lambda example: len(example[0])))

    @staticmethod
    def words(text):
        """The words of a text in small letters."""
        return [word.lower() for word in words_and_punctuation(text)]

    def trained(self, training, rate, seed):
        """A small BERT without pooler and segments, trained in one of the two ways."""
        config = EncoderConfig(
            self.vocab,
            T,
            LAYERS,
            HEADS,
            D,
            segments=0,
            pooler=False,
            head=None,
            norm_placement="pre",
            norm_eps=1e-5,
            dropout=0.1,
        )
        encoder = LengthAdaptive(Encoder(config, seed), TRAININGS[training])
        model = Classifier(encoder, self.classes, seed=seed)
        options = {"epochs": EPOCHS, "batch_size": B, "learning_rate": rate, "seed": seed}
        fit(model, self.task, self.train, **options)
        return model


def tried(bench, training, rate):
    """Mean accuracy over the ratios on the examples for choosing, tokens dropped by attention."""
    model = bench.trained(training, rate, TUNING)
    return {"accuracy": float(np.mean([at(bench, model, r, bench.chosen) for r in RATIOS]))}


def at(bench, model, ratio, examples):
    """Accuracy if from layer to layer the share `ratio` of the tokens is left."""
    model.encoder.lengths = partial(constant_ratio, layers=LAYERS, ratio=ratio)
    return evaluate(model, bench.task, examples)["accuracy"]


def measured(bench, training, rate, seed):
    """{"by attention", "at random": accuracy at each ratio}, the random choice that of the seed."""
    model = bench.trained(training, rate, seed)
    found = {"by attention": [at(bench, model, ratio, bench.test) for ratio in RATIOS]}
    chance = np.random.default_rng(seed)

    # the same interface as by attention received: which tokens to keep
    def at_random(received, keep, mask):
        return length_adaptive.most_significant(chance.random(received.shape), keep, mask)

    model.encoder.choose = at_random
    found["at random"] = [at(bench, model, ratio, bench.test) for ratio in RATIOS]
    return found


def show(bench, found):
    """Print the tables and the verdicts.

    found  training -> what measured() returns, of each seed
    """
    right = {
        (training, way): np.array([each[way] for each in runs])  # (seeds, ratios)
        for training, runs in found.items()
        for way in runs[0]
    }
    config = EncoderConfig(bench.vocab, T, LAYERS, HEADS, D)
    for training in TRAININGS:
        print(f"\ntrained with {training}")
        print(f"{'ratio':>6}{'work':>6}{'by attention':>28}{'at random':>28}")
        for i, ratio in enumerate(RATIOS):
            # the work of the blocks for a row as long as the limit
            work = flops(config, T, constant_ratio(T, LAYERS, ratio)) / flops(config, T)
            pair = [right[training, way][:, i] for way in ("by attention", "at random")]
            row = "".join(f"{mean_and_range(values):>28}" for values in pair)
            print(f"{ratio:>6}{work:>6.2f}{row}")
    for training in TRAININGS:
        values = right[training, "by attention"]
        some = LITTLE.judge(values[:, RATIOS.index(0.6)], values[:, 0])
        print(f"trained with {training}, {LITTLE.text}: {some}")
    print("mean over the ratios below 1")
    means = {key: values[:, 1:].mean(1) for key, values in right.items()}
    for training in TRAININGS:
        verdict = ATTENTION.judge(*(means[training, way] for way in ("by attention", "at random")))
        print(f"  trained with {training}, {ATTENTION.text}: {verdict}")
    both = [means[training, "by attention"] for training in ("LengthDrop", "all tokens")]
    print(f"  {LENGTH_DROP.line(*both)}")


def plot(path, found):
    """Save accuracy over the tokens that are kept, a panel for each training."""
    with Picture(path, columns=len(TRAININGS)) as picture:
        for training in TRAININGS:
            x = "share of the tokens that a layer hands on"
            panel = picture.panel(f"trained with {training}", x, "accuracy")
            for way in found[training][0]:
                panel.curve(way, RATIOS, [each[way] for each in found[training]])


def main(argv=None):
    """Choose the rates, train for every seed, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
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
    seeds, rates, few = range(options.seed, options.seed + SEEDS), RATES, None
    if options.quick:
        seeds, rates, few = seeds[:2], RATES[1:2], 400
        print(ONLY_RUNS)
    bench, cells = Bench(options.data, few), Cells(options.out)
    print(
        f"{len(bench.train)} examples of {bench.classes} classes for training, "
        f"{len(bench.chosen)} for choosing, {len(bench.test)} for testing"
    )
    sizes = {"examples": len(bench.train), "classes": bench.classes, "epochs": EPOCHS, "width": D}
    found = {}
    for training in TRAININGS:
        scores = []
        for rate in rates:
            cell = {"choose": training, "rate": rate, "seed": TUNING} | sizes
            scores.append(cells(cell, partial(tried, bench, training, rate))["accuracy"])
        best = rates[int(np.argmax(scores))]
        row = "".join(f"{rate:>8g}: {score:.3f}" for rate, score in zip(rates, scores))
        print(f"{training:12}{row}", flush=True)
        found[training] = [
            cells(
                {"training": training, "rate": best, "seed": seed} | sizes,
                partial(measured, bench, training, best, seed),
            )
            for seed in seeds
        ]
    show(bench, found)
    if options.plot:
        plot(options.plot, found)
    print(f"{len(seeds)} seeds; {cells.seconds() / 60:.0f} minutes of one core")


if __name__ == "__main__":
    main()
