"""Fine-tuning soon learns its examples by heart: what does early stopping save? Book section 1.4.

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
         50     1.000     0.555  0.445 +- 0.024     0.549 +- 0.030   0.549 +- 0.022      7.6
            held out by epoch: 0.52 0.56 0.55 0.52 0.55 0.54 0.56 0.55 0.56 0.56
        200     0.998     0.617  0.381 +- 0.038     0.613 +- 0.018   0.607 +- 0.007      7.8
            held out by epoch: 0.51 0.60 0.61 0.59 0.60 0.61 0.61 0.61 0.61 0.61
        800     0.997     0.658  0.339 +- 0.014     0.673 +- 0.016   0.638 +- 0.038      7.8
            held out by epoch: 0.56 0.60 0.65 0.67 0.65 0.65 0.65 0.66 0.66 0.67
    the gap is wider with the fewest labels than with the most (section 1.4): +0.106 [+0.0786,
      +0.133], 5 seeds: shows
    with 50 labels
      the gap is wider at the end than after a quarter of the epochs (section 1.4): +0.015 [-0.0278,
        +0.0578], 5 seeds: too small to tell; 0.043 could have been seen
      stopping early costs at most 0.01 of accuracy (section 1.4): +0.00075 [-0.0381, +0.0396], 5
        seeds: too small to tell; 0.029 could have been seen
      stopping early saves epochs (section 1.4): +12.4 [+9.16, +15.6], 5 seeds: shows
    with 200 labels
      the gap is wider at the end than after a quarter of the epochs (section 1.4): +0.061 [+0.014,
        +0.108], 5 seeds: shows
      stopping early costs at most 0.01 of accuracy (section 1.4): -0.00525 [-0.0197, +0.00916], 5
        seeds: too small to tell; 0.0044 could have been seen
      stopping early saves epochs (section 1.4): +12.2 [+10.2, +14.2], 5 seeds: shows
    with 800 labels
      the gap is wider at the end than after a quarter of the epochs (section 1.4): +0.111 [+0.0529,
        +0.168], 5 seeds: shows
      stopping early costs at most 0.01 of accuracy (section 1.4): -0.0345 [-0.076, +0.00704], 5
        seeds: too small to tell; 0.032 could have been seen
      stopping early saves epochs (section 1.4): +12.2 [+8.43, +16], 5 seeds: shows

The first claim shows for the labels: all is learnt by heart with 50 or 800, and held-out accuracy
is lower the fewer there are. That the gap grows with training shows with 200 and 800 labels; with
50 all is learnt after a quarter of the time. Of the second claim only the time shows, 12 of 20
epochs saved: held-out accuracy does not fall here after its best, so there is little to gain, and a
loss of some points with 800 labels cannot be excluded.
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
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_sd

# Numbers of labels to learn from; held out to stop by; test set, used once per run.
SIZES = (50, 200, 800)
HELD_OUT = 200
TEST = 800
# Accuracies are paired: all runs of a seed share its split. A point of accuracy may be lost.
FEWER = Claim("the gap is wider with the fewest labels than with the most", "1.4")
LONGER = Claim("the gap is wider at the end than after a quarter of the epochs", "1.4")
KEPT = Claim("stopping early costs at most 0.01 of accuracy", "1.4", least=-0.01)
SOONER = Claim("stopping early saves epochs", "1.4", larger=False)


def load(folder):
    """Labeled examples: (text, label) pairs of the folder, or made up."""
    files = sorted(Path(folder).glob("sentiment/*.txt")) if folder else []
    if files:
        return [example for path in files for example in read_labeled(path)]
    return made_up_reviews(3000)


def run(examples, tokenizer, n, epochs, patience, seed, device):
    """One training run, measured after every epoch.

    returns  accuracies on the training part and on the held-out part, (epochs,) each; test accuracy
             at the end; test accuracy at the epoch where early stopping would stop; that epoch
    """
    order = [examples[i] for i in Random(seed, "split").permutation(len(examples))]
    held_out = order[:HELD_OUT]
    test = order[HELD_OUT : HELD_OUT + TEST]
    # The first n of one order: the 50 labels are among the 200, and those among the 800.
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

    stopping = EarlyStopping(model, lambda: accuracy(held_out), patience)
    learnt, chosen = [], []

    def after_epoch(epoch, losses):
        learnt.append(accuracy(train))
        # Early stopping would end here: note the weights it would keep, and train on.
        if stopping(epoch, losses) and not chosen:
            chosen.append((epoch, {name: value.copy() for name, value in stopping.kept.items()}))

    fit(
        model,
        task,
        train,
        epochs=epochs,
        # at least four updates an epoch with 50 labels
        batch_size=min(16, n // 4),
        learning_rate=5e-3,
        seed=seed,
        after_epoch=after_epoch,
    )
    at_end = accuracy(test)
    # A run that never stops keeps its best epoch, and saves nothing.
    epoch, kept = (chosen or [(epochs, stopping.kept)])[0]
    model.load_state_dict(kept)
    return np.array(learnt), np.array(stopping.history), at_end, accuracy(test), epoch


def main(argv=None):
    """Measure by number of labels and seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    epochs = 20
    seeds = 5
    sizes = SIZES
    if options.quick:
        epochs = 8
        seeds = 2
        sizes = SIZES[:2]
        print(ONLY_RUNS)
    examples = load(options.data)
    # The tokenizer sees the texts of all parts, without labels.
    tokenizer = train_wordpiece([text for text, _ in examples], 2000)
    print(
        f"{'labels':>7}{'learnt':>10}{'held out':>10}{'gap':>16}"
        f"{'test, at the end':>19}{'test, stopped':>17}{'epochs':>9}"
    )
    gaps = {}
    early_gaps = {}
    results = {}
    for n in sizes:
        runs = [
            run(examples, tokenizer, n, epochs, 3, seed, options.device)
            for seed in range(options.seed, options.seed + seeds)
        ]
        learnt, held = (np.array([r[k] for r in runs]) for k in (0, 1))  # (seeds, epochs) each
        at_end, stopped, at = (np.array([r[k] for r in runs]) for k in (2, 3, 4))  # (seeds,) each
        gaps[n] = (learnt - held)[:, -1]
        early_gaps[n] = (learnt - held)[:, epochs // 4 - 1]
        results[n] = at_end, stopped, at
        print(
            f"{n:>7}{learnt[:, -1].mean():>10.3f}{held[:, -1].mean():>10.3f}"
            f"{mean_and_sd(gaps[n]):>16}{mean_and_sd(at_end):>19}{mean_and_sd(stopped):>17}"
            f"{at.mean():>9.1f}",
            flush=True,
        )
        curve = held.mean(axis=0)
        print(
            "        held out by epoch: "
            + " ".join(f"{x:.2f}" for x in curve[:: max(1, epochs // 10)]),
            flush=True,
        )
    print(FEWER.line(gaps[min(sizes)], gaps[max(sizes)]))
    for n, (at_end, stopped, at) in results.items():
        print(f"with {n} labels")
        print(f"  {LONGER.line(gaps[n], early_gaps[n])}")
        print(f"  {KEPT.line(stopped, at_end)}")
        print(f"  {SOONER.line(at, epochs)}")


if __name__ == "__main__":
    main()
