"""Fine-tuning soon knows its examples by heart: what does early stopping save? Book section 1.4.

Claims: the gap between training and held-out accuracy is the larger the fewer the labels and the
longer the training; stopping when held-out accuracy no longer rises gives at least the accuracy of
training to the end, in less time. A small encoder, from random weights, is trained on 50, 200 and
800 labels for 20 epochs; after every epoch 200 held-out examples are measured, and at the end, and
at the epoch that early stopping would have chosen (patience 3), a third set. Five seeds. About 3
minutes on one core; --quick half of one. `python scripts/1_pretraining/overfitting.py [--data
FOLDER] [--seed N] [--device D] [--quick]`. The folder (or TINYLM_DATA) has sentiment/*.txt
(sentence, tab, 0 or 1); without it, made-up reviews.

Measured output with three files of real reviews (mean +- standard deviation over 5 seeds):

     labels    learnt  held out             gap   test, at the end    test, stopped   epochs
         50     1.000     0.535  0.465 +- 0.022     0.556 +- 0.026   0.554 +- 0.024      7.0
            held out by epoch: 0.52 0.56 0.55 0.52 0.55 0.54 0.54 0.54 0.54 0.53
        200     0.997     0.627  0.370 +- 0.029     0.617 +- 0.011   0.613 +- 0.012      8.4
            held out by epoch: 0.51 0.60 0.61 0.59 0.62 0.60 0.63 0.60 0.62 0.63
        800     0.995     0.648  0.347 +- 0.043     0.671 +- 0.013   0.659 +- 0.043      7.6
            held out by epoch: 0.56 0.63 0.64 0.66 0.66 0.65 0.65 0.63 0.65 0.64
    the gap is wider with 50 labels than with 800: 0.118 +- 0.063; the claim shows
    50 labels: early stopping changes the test accuracy by -0.002 +- 0.021
    200 labels: early stopping changes the test accuracy by -0.004 +- 0.014
    800 labels: early stopping changes the test accuracy by -0.011 +- 0.034

The first claim shows: all is learnt by heart with 50 labels or 800, and held-out accuracy is not.
Of the second only the time shows: held-out accuracy does not fall here after its best, it stays, so
stopping saves 12 of 20 epochs and gains no accuracy.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from tinylm.backend import Random
from tinylm.data.read.labeled import read_labeled
from tinylm.data.synthetic.reviews import made_up_reviews
from tinylm.finetune import evaluate, fit
from tinylm.finetune.early_stopping import EarlyStopping
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.models.encoder.encoder import Encoder, EncoderConfig
from tinylm.tokenizers.wordpiece_train import train_wordpiece

SIZES, HELD_OUT, TEST = (50, 200, 800), 200, 800


def load(folder):
    """Labeled examples."""
    files = sorted(Path(folder).glob("sentiment/*.txt")) if folder else []
    if files:
        return [example for path in files for example in read_labeled(path)]
    return made_up_reviews(3000)


def run(examples, tokenizer, n, epochs, patience, seed, device):
    """Accuracies by epoch on what is learnt and what is held out; of the test set at the end and
    where stopped; that epoch.
    """
    order = [examples[i] for i in Random(seed, "split").permutation(len(examples))]
    held_out = order[:HELD_OUT]
    test = order[HELD_OUT : HELD_OUT + TEST]
    train = order[HELD_OUT + TEST :][:n]
    encoder = Encoder(
        EncoderConfig(
            tokenizer.vocab_size,
            24,
            1,
            2,
            32,
            d_hidden=64,
            segments=0,
            pooler=False,
            head=None,
            norm_placement="pre",
        ),
        seed,
    )
    model = Classifier(encoder, 2, "mean", seed).to(device)
    task = Classification(EncoderInput.of(tokenizer, 24))

    def accuracy(part):
        return evaluate(model, task, part)["accuracy"]

    stopping, learnt, chosen = EarlyStopping(model, lambda: accuracy(held_out), patience), [], []

    def after_epoch(epoch, losses):
        learnt.append(accuracy(train))
        if (
            stopping(epoch, losses) and not chosen
        ):  # it would stop here: note what it would keep, and go on
            chosen.append((epoch, {name: value.copy() for name, value in stopping.kept.items()}))

    fit(
        model,
        task,
        train,
        epochs=epochs,
        batch_size=min(16, n // 4),
        learning_rate=5e-3,
        seed=seed,
        after_epoch=after_epoch,
    )
    at_end = accuracy(test)
    epoch, kept = chosen[0] if chosen else (epochs, stopping.kept)
    model.load_state_dict(kept)
    return np.array(learnt), np.array(stopping.history), at_end, accuracy(test), epoch


def main(argv=None):
    """Measure by number of labels and seed, print, and say what shows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    epochs, seeds = (8, 2) if options.quick else (20, 5)
    examples = load(options.data)
    tokenizer = train_wordpiece([text for text, _ in examples], 2000)
    print(
        f"{'labels':>7}{'learnt':>10}{'held out':>10}{'gap':>16}{'test, at the end':>19}{'test, stopped':>17}{'epochs':>9}"
    )
    gaps, gains = {}, {}
    for n in SIZES[:2] if options.quick else SIZES:
        runs = [
            run(examples, tokenizer, n, epochs, 3, seed, options.device)
            for seed in range(options.seed, options.seed + seeds)
        ]
        learnt, held = (np.array([r[k][-1] for r in runs]) for k in (0, 1))
        at_end, stopped, at = (np.array([r[k] for r in runs]) for k in (2, 3, 4))
        gaps[n], gains[n] = learnt - held, stopped - at_end
        print(
            f"{n:>7}{learnt.mean():>10.3f}{held.mean():>10.3f}{spread(gaps[n]):>16}{spread(at_end):>19}{spread(stopped):>17}"
            f"{at.mean():>9.1f}",
            flush=True,
        )
        curve = np.mean([r[1] for r in runs], axis=0)
        print(
            "        held out by epoch: "
            + " ".join(f"{x:.2f}" for x in curve[:: max(1, epochs // 10)]),
            flush=True,
        )
    few, many = min(gaps), max(gaps)
    wider = gaps[few] - gaps[many]
    print(f"the gap is wider with {few} labels than with {many}: {spread(wider)}; {says(wider)}")
    for n, gain in gains.items():
        print(
            f"{n} labels: early stopping changes the test accuracy by {spread(gain)}"
            + (" (more than twice the standard error)" if abs(gain.mean()) > error(gain) else "")
        )


def error(x):
    """Twice the standard error of a mean."""
    return 2 * x.std(ddof=1) / np.sqrt(len(x))


def spread(x):
    """Mean and standard deviation over seeds."""
    return f"{x.mean():.3f} +- {x.std(ddof=1):.3f}"


def says(x):
    """Whether a difference shows."""
    return "the claim " + ("shows" if x.mean() > error(x) else "does not show")


if __name__ == "__main__":
    main()
