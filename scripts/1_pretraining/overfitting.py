"""Fine-tuning soon learns its examples by heart: what does early stopping save? Book section 1.4.

Claims: the gap between training and held-out accuracy is the larger the fewer the labels and the
longer the training; stopping when a held-out measure no longer improves loses at most 0.02 of
accuracy, lowers the loss, and saves time; where labels are wrong it gains accuracy. A small
encoder, from random weights, is trained on 50, 200 and 800 labels, and on 800 of which a fifth are
wrong, for 20 epochs; the learning rate falls to 0 at the end of these, so a run that is stopped is
measured at a high rate, as it is in practice. After every epoch 600 held-out examples give accuracy
and loss; early stopping (patience 3) is tried by either, and what it would have kept is measured on
1,600 examples that nothing was chosen by. Over-fitting has two faces: the loss, which counts how
sure wrong answers are, and the accuracy, which does not.

Forty seeds; every verdict is that of all forty, and beside it stand the words that the first twenty
and the last twenty would have had: a sentence holds on a second run if both have the same. Splits
of different seeds share examples, of which there are 3,000. In a trial of ten other seeds,
differences of accuracy between stopped and whole runs spread by 0.01 to 0.05; with forty seeds a
mean difference of 0.005 to 0.015 can be seen. About 6 minutes on a core of its own; --quick is a
few seconds. `python scripts/1_pretraining/overfitting.py [--data FOLDER] [--seed N] [--device D]
[--quick] [--out FILE] [--plot FILE]`: cells that stand in FILE are not computed again. The folder
(or TINYLM_DATA) has sentiment/*.txt (sentence, tab, 0 or 1; 3,000 in all); without it, made-up
reviews.

Measured output with three files of real reviews:

     labels  wrong  learnt  gap to held out test, at the end      by accuracy          by loss
         50    0.0   1.000   0.455 +- 0.025   0.545 +- 0.016   0.540 +- 0.021   0.513 +- 0.016
                                       nats             2.93             1.44             0.70
                                     epochs               20              8.2              4.5
            held out by epoch: 0.50 0.53 0.55 0.54 0.54 0.55 0.55 0.54 0.54 0.54
            its nats by epoch: 0.70 0.89 1.47 1.94 2.29 2.53 2.67 2.81 2.88 2.91
        200    0.0   0.998   0.387 +- 0.027   0.605 +- 0.016   0.595 +- 0.019   0.539 +- 0.036
                                       nats             2.88             1.22             0.69
                                     epochs               20              8.3              4.5
            held out by epoch: 0.51 0.58 0.59 0.60 0.60 0.60 0.61 0.61 0.61 0.61
            its nats by epoch: 0.70 0.90 1.10 1.45 1.78 2.16 2.37 2.57 2.74 2.81
        800    0.0   0.998   0.327 +- 0.020   0.667 +- 0.012   0.669 +- 0.016   0.631 +- 0.036
                                       nats             2.88             0.94             0.65
                                     epochs               20              9.6              5.3
            held out by epoch: 0.57 0.63 0.66 0.67 0.67 0.67 0.67 0.67 0.67 0.67
            its nats by epoch: 0.68 0.72 0.80 0.98 1.23 1.51 1.85 2.20 2.59 2.83
        800    0.2   0.992   0.390 +- 0.028   0.601 +- 0.016   0.614 +- 0.019   0.583 +- 0.040
                                       nats             2.59             0.82             0.68
                                     epochs               20              8.2              5.7
            held out by epoch: 0.51 0.59 0.61 0.61 0.61 0.61 0.60 0.60 0.60 0.60
            its nats by epoch: 0.69 0.70 0.78 0.95 1.14 1.42 1.75 2.07 2.36 2.55
    the gap is wider with the fewest labels than with the most (section 1.4): +0.128 [+0.116,
      +0.139], 40 seeds: shows (either half: shows)
    with 50 labels, 0% of them wrong
      the gap is wider at the end than after a quarter of the epochs (section 1.4): +0.0273
        [+0.0126, +0.0419], 40 seeds: shows (either half: shows)
      stopping by accuracy costs at most 0.02 of accuracy (section 1.4): -0.00548 [-0.0115,
        +0.000518], 40 seeds: shows (either half: shows)
      stopping by accuracy gains accuracy (section 1.4): -0.00548 [-0.0115, +0.000518], 40 seeds:
        too small to tell; 0.006 could have been seen (either half: too small to tell)
      stopping by accuracy saves epochs (section 1.4): +11.8 [+11.1, +12.6], 40 seeds: shows (either
        half: shows)
      stopping by loss lowers the loss on new examples (section 1.4): +2.23 [+2.12, +2.34], 40
        seeds: shows (either half: shows)
      stopping by loss costs at most 0.02 of accuracy (section 1.4): -0.0323 [-0.0394, -0.0252], 40
        seeds: shows the opposite (either half: shows the opposite)
    with 200 labels, 0% of them wrong
      the gap is wider at the end than after a quarter of the epochs (section 1.4): +0.055 [+0.0433,
        +0.0666], 40 seeds: shows (either half: shows)
      stopping by accuracy costs at most 0.02 of accuracy (section 1.4): -0.00927 [-0.0152,
        -0.00331], 40 seeds: shows (first half: shows; second half: too small to tell)
      stopping by accuracy gains accuracy (section 1.4): -0.00927 [-0.0152, -0.00331], 40 seeds:
        shows the opposite (first half: too small to tell; second half: shows the opposite)
      stopping by accuracy saves epochs (section 1.4): +11.7 [+10.6, +12.7], 40 seeds: shows (either
        half: shows)
      stopping by loss lowers the loss on new examples (section 1.4): +2.19 [+1.98, +2.39], 40
        seeds: shows (either half: shows)
      stopping by loss costs at most 0.02 of accuracy (section 1.4): -0.0655 [-0.0772, -0.0538], 40
        seeds: shows the opposite (either half: shows the opposite)
    with 800 labels, 0% of them wrong
      the gap is wider at the end than after a quarter of the epochs (section 1.4): +0.105 [+0.0943,
        +0.115], 40 seeds: shows (either half: shows)
      stopping by accuracy costs at most 0.02 of accuracy (section 1.4): +0.00192 [-0.00287,
        +0.00671], 40 seeds: shows (either half: shows)
      stopping by accuracy gains accuracy (section 1.4): +0.00192 [-0.00287, +0.00671], 40 seeds:
        too small to tell; 0.0048 could have been seen (first half: shows; second half: too small to
        tell)
      stopping by accuracy saves epochs (section 1.4): +10.4 [+9.63, +11.2], 40 seeds: shows (either
        half: shows)
      stopping by loss lowers the loss on new examples (section 1.4): +2.23 [+2.02, +2.44], 40
        seeds: shows (either half: shows)
      stopping by loss costs at most 0.02 of accuracy (section 1.4): -0.0364 [-0.0483, -0.0244], 40
        seeds: shows the opposite (either half: too small to tell)
    with 800 labels, 20% of them wrong
      the gap is wider at the end than after a quarter of the epochs (section 1.4): +0.168 [+0.154,
        +0.182], 40 seeds: shows (either half: shows)
      stopping by accuracy costs at most 0.02 of accuracy (section 1.4): +0.0123 [+0.00753, +0.017],
        40 seeds: shows (either half: shows)
      stopping by accuracy gains accuracy (section 1.4): +0.0123 [+0.00753, +0.017], 40 seeds: shows
        (either half: shows)
      stopping by accuracy saves epochs (section 1.4): +11.8 [+11.1, +12.4], 40 seeds: shows (either
        half: shows)
      stopping by loss lowers the loss on new examples (section 1.4): +1.92 [+1.67, +2.17], 40
        seeds: shows (either half: shows)
      stopping by loss costs at most 0.02 of accuracy (section 1.4): -0.0187 [-0.0314, -0.00606], 40
        seeds: too small to tell; -0.0073 could have been seen (either half: too small to tell)

One core of an AMD EPYC, 15 minutes beside other work. The gap between training and held-out
examples is the wider the fewer the labels, and grows with the epochs: both show. Stopping by
accuracy saves ten to twelve of twenty epochs and costs less than 0.02 everywhere; it gains 0.012
where a fifth of the labels are wrong, nothing to see with 800 right ones, and loses 0.009 with 200.
Stopping by the loss makes answers far less sure of themselves (2.9 nats on new examples become
0.7), yet costs 0.03 to 0.07 of accuracy where labels are right: accuracy still rises when the loss
has long turned. On this task, then, training to the end is no harm to accuracy unless labels are
wrong. One sentence would not have held on a second run of twenty seeds as it stands: that stopping
by accuracy gains something with 800 right labels shows in the first half only.
"""

import argparse
import os
from functools import partial
from pathlib import Path

import numpy as np

from tinylm import no_grad
from tinylm.backend import Random
from tinylm.data.read.labeled import read_labeled
from tinylm.data.synthetic.reviews import made_up_reviews
from tinylm.finetune import fit
from tinylm.finetune.early_stopping import EarlyStopping
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.models.encoder.encoder import Encoder, EncoderConfig
from tinylm.nn import evaluating
from tinylm.tokenizers.wordpiece_train import train_wordpiece
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_sd
from tinylm.train.experiments.picture import Picture, add_plot

# (labels to learn from, share of them that are wrong)
SETTINGS = (50, 0.0), (200, 0.0), (800, 0.0), (800, 0.2)
HELD_OUT, TEST = 600, 1_600
EPOCHS, PATIENCE, SEEDS = 20, 3, 40
# Scores are paired: all runs of a seed share its split. Two points of accuracy may be lost.
FEWER = Claim("the gap is wider with the fewest labels than with the most", "1.4")
LONGER = Claim("the gap is wider at the end than after a quarter of the epochs", "1.4")
KEPT = Claim("stopping by accuracy costs at most 0.02 of accuracy", "1.4", least=-0.02)
GAINED = Claim("stopping by accuracy gains accuracy", "1.4")
SOONER = Claim("stopping by accuracy saves epochs", "1.4", larger=False)
SURE = Claim("stopping by loss lowers the loss on new examples", "1.4", larger=False)
PRICE = Claim("stopping by loss costs at most 0.02 of accuracy", "1.4", least=-0.02)


def load(folder):
    """Labeled examples: (text, label) pairs of the folder, or made up."""
    files = sorted(Path(folder).glob("sentiment/*.txt")) if folder else []
    if files:
        return [example for path in files for example in read_labeled(path)]
    return made_up_reviews(3000)


def parts(examples, n, wrong, seed):
    """(to learn from, held out, to test) of one seed."""
    rng = Random(seed, "split")
    order = [examples[i] for i in rng.permutation(len(examples))]
    # The first n of one order: the 50 labels are among the 200, and those among the 800.
    train = order[HELD_OUT + TEST :][:n]
    # the first of them get the other label: any, as the order is random
    train = [(text, 1 - label) for text, label in train[: round(wrong * n)]] + train[
        round(wrong * n) :
    ]
    return train, order[:HELD_OUT], order[HELD_OUT : HELD_OUT + TEST]


def new_model(tokenizer, seed):
    """A small encoder with a classifier on the mean of its states, from random weights."""
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
    return Classifier(encoder, 2, "mean", seed)


def measure(model, task, examples, rows=200):
    """(accuracy, mean of -log Pr(label | text) in nats)."""
    right, nats = 0, 0.0
    device = model.parameters()[0].device
    with evaluating(model), no_grad():
        for start in range(0, len(examples), rows):
            batch = task.make_batch(examples[start : start + rows]).to(device)
            loss, _ = task.loss(model, batch)
            nats += loss.item() * len(batch)
            answers = task.predict(model, batch)
            right += sum(a == label for a, (_, label) in zip(answers, examples[start:]))
    return right / len(examples), nats / len(examples)


def run(examples, tokenizer, n, wrong, epochs, seed, device):
    """One training run, measured after every epoch.

    returns  accuracies on the training part, accuracies and losses held out, a number each epoch;
             [accuracy, loss] on the test part at the end; [epoch at which early stopping ends,
             accuracy, loss] of what it keeps, by accuracy and by loss
    """
    train, held_out, test = parts(examples, n, wrong, seed)
    model = new_model(tokenizer, seed).to(device)
    task = Classification(EncoderInput.of(tokenizer, 24))
    learnt, held, nats = [], [], []
    ways = {
        "by_accuracy": EarlyStopping(model, lambda: held[-1], PATIENCE),
        "by_loss": EarlyStopping(model, lambda: -nats[-1], PATIENCE),
    }
    chosen = {}

    def after_epoch(epoch, losses):
        learnt.append(measure(model, task, train)[0])
        for values, value in zip((held, nats), measure(model, task, held_out)):
            values.append(value)
        for way, stopping in ways.items():
            # Early stopping would end here: note the weights it would keep, and train on.
            if stopping(epoch, losses) and way not in chosen:
                chosen[way] = epoch, stopping.kept

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
    found = {"learnt": learnt, "held_out": held, "nats": nats, "end": measure(model, task, test)}
    for way, stopping in ways.items():
        # A run that never stops keeps its best epoch, and saves nothing.
        epoch, kept = chosen.get(way, (epochs, stopping.kept))
        model.load_state_dict(kept)
        found[way] = [epoch, *measure(model, task, test)]
    return found


def row(runs):
    """What the runs of one setting found, by name: an array with a row each seed."""
    return {key: np.array([found[key] for found in runs]) for key in runs[0]}


def show(setting, found):
    """Print the row of one setting in the table, and its curves."""
    n, wrong = setting
    gap = (found["learnt"] - found["held_out"])[:, -1]
    print(
        f"{n:>7}{wrong:>7.1f}{found['learnt'][:, -1].mean():>8.3f}{mean_and_sd(gap):>17}"
        f"{mean_and_sd(found['end'][:, 0]):>17}{mean_and_sd(found['by_accuracy'][:, 1]):>17}"
        f"{mean_and_sd(found['by_loss'][:, 1]):>17}"
    )
    stops = [found[way][:, 0].mean() for way in ("by_accuracy", "by_loss")]
    nats = [found["end"][:, 1].mean(), *(found[way][:, 2].mean() for way in list(found)[-2:])]
    print(
        f"{'nats':>39}{nats[0]:>17.2f}{nats[1]:>17.2f}{nats[2]:>17.2f}\n"
        f"{'epochs':>39}{found['learnt'].shape[1]:>17}{stops[0]:>17.1f}{stops[1]:>17.1f}"
    )
    for name, key in (("held out", "held_out"), ("its nats", "nats")):
        curve = found[key].mean(0)
        print(
            f"        {name} by epoch: " + " ".join(f"{x:.2f}" for x in curve[:: len(curve) // 8]),
            flush=True,
        )


def judged(claim, claimed, other):
    """The verdict of all seeds, and the words that each half of them would have had."""
    claimed, other = np.asarray(claimed), np.broadcast_to(other, np.shape(claimed))
    half = len(claimed) // 2
    line = claim.line(claimed, other)
    if half < 2:
        return line
    words = [claim.judge(claimed[at], other[at]).word for at in (slice(half), slice(half, None))]
    if words[0] == words[1]:
        return f"{line} (either half: {words[0]})"
    return f"{line} (first half: {words[0]}; second half: {words[1]})"


def verdicts(results, epochs):
    """Print the verdicts.

    results  (labels, share wrong) -> what row() returns
    """
    gaps = {key: found["learnt"] - found["held_out"] for key, found in results.items()}
    clean = [setting for setting in results if not setting[1]]
    print(judged(FEWER, gaps[clean[0]][:, -1], gaps[clean[-1]][:, -1]))
    for setting, found in results.items():
        print(f"with {setting[0]} labels, {setting[1]:.0%} of them wrong")
        end, gap = found["end"], gaps[setting]
        epoch, accuracy, _ = found["by_accuracy"].T
        _, accuracy_by_loss, nats_by_loss = found["by_loss"].T
        for claim, claimed, other in (
            (LONGER, gap[:, -1], gap[:, epochs // 4 - 1]),
            (KEPT, accuracy, end[:, 0]),
            (GAINED, accuracy, end[:, 0]),
            (SOONER, epoch, epochs),
            (SURE, nats_by_loss, end[:, 1]),
            (PRICE, accuracy_by_loss, end[:, 0]),
        ):
            print(f"  {judged(claim, claimed, other)}")


def plot(path, results):
    """Save the curves of every setting as a picture: accuracies, and nats of held-out labels."""
    with Picture(path, rows=2, columns=len(results), size=(3.9, 3)) as picture:
        for keys, y in ((("learnt", "held_out"), "accuracy"), (("nats",), "held-out loss (nats)")):
            for (n, wrong), found in results.items():
                title = f"{n} labels" + f", {wrong:.0%} wrong" * bool(wrong)
                panel = picture.panel(title, "epoch", y)
                for key in keys:
                    values = found[key]
                    panel.curve(key.replace("_", " "), np.arange(1, values.shape[1] + 1), values)


def main(argv=None):
    """Measure by number of labels and seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", metavar="FILE", help="keep finished runs there, and go on")
    add_plot(parser)
    options = parser.parse_args(argv)
    epochs, seeds, settings = EPOCHS, SEEDS, SETTINGS
    if options.quick:
        epochs, seeds, settings = 8, 2, SETTINGS[:2]
        print(ONLY_RUNS)
    examples = load(options.data)
    # The tokenizer sees the texts of all parts, without labels.
    tokenizer = train_wordpiece([text for text, _ in examples], 2000)
    # Texts become tokens once, not once an epoch.
    encoded = [(tokenizer.encode(text), label) for text, label in examples]
    cells = Cells(options.out)
    results = {setting: [] for setting in settings}
    for seed in range(options.seed, options.seed + seeds):
        for n, wrong in settings:
            cell = {"labels": n, "wrong": wrong, "seed": seed, "epochs": epochs}
            cell |= {"held_out": HELD_OUT, "test": TEST, "tokens": sum(len(t) for t, _ in encoded)}
            work = partial(run, encoded, tokenizer, n, wrong, epochs, seed, options.device)
            results[n, wrong].append(cells(cell, work))
    print(
        f"{'labels':>7}{'wrong':>7}{'learnt':>8}{'gap to held out':>17}{'test, at the end':>17}"
        f"{'by accuracy':>17}{'by loss':>17}"
    )
    results = {setting: row(runs) for setting, runs in results.items()}
    for setting, found in results.items():
        show(setting, found)
    verdicts(results, epochs)
    if options.plot:
        plot(options.plot, results)


if __name__ == "__main__":
    main()
