"""Fine-tuning on one task after the other makes a model forget the first; what helps? Book section
1.4.

Claims: accuracy on an old task falls while the model learns new ones (catastrophic forgetting);
mixing in some of the old data, replaying a small memory, and holding on to the old parameters
(elastic weight consolidation) prevent it. A small encoder, pretrained by masked LM, learns three
tasks in turn, with a head for each; R[i, j] is the accuracy on task j after task i. Forgotten: R[j,
j] - R[2, j], the mean over the first two tasks. Every remedy is tried at one or two strengths, and
its price is seen in what is learnt (the diagonal). About 5 minutes on one core; --quick under one.
`python scripts/1_pretraining/forgetting.py [--data FOLDER] [--seed N] [--device D] [--quick]`. The
folder (or TINYLM_DATA) has sentiment/uci_*.txt (sentence, tab, 0 or 1); the tasks are then the
opinion on products, which of three sites a sentence is from, and the opinion on films. Without it,
made-up reviews: how many things, of which kind, is one negated.

Measured output on made-up reviews (mean +- standard deviation over 3 seeds):

                                   learnt number       learnt kind   learnt negation         forgotten    all in the end
    plain                           1.000 +-0.000      0.766 +-0.083      0.958 +-0.018      0.466 +-0.043      0.597 +-0.022
      R of plain fine-tuning, mean over seeds: 1.00 0.32 0.55; 0.44 0.77 0.50; 0.42 0.41 0.96
    a fifth of the rate             0.976 +-0.010      0.662 +-0.017      0.782 +-0.069      0.262 +-0.057      0.632 +-0.023
    gradual unfreezing              0.976 +-0.023      0.658 +-0.017      0.802 +-0.085      0.235 +-0.040      0.655 +-0.011
    rehearsal, 1 old in 10          1.000 +-0.000      0.726 +-0.084      0.887 +-0.035      0.282 +-0.052      0.683 +-0.040
    rehearsal, 1 old per new        1.000 +-0.000      0.646 +-0.032      0.683 +-0.009      0.018 +-0.007      0.764 +-0.004
    replay of 60                    1.000 +-0.000      0.657 +-0.020      0.787 +-0.062      0.162 +-0.024      0.706 +-0.012
    replay of 60, imitated          1.000 +-0.000      0.636 +-0.017      0.720 +-0.059      0.061 +-0.033      0.744 +-0.021
    L2 to start, 0.1                1.000 +-0.000      0.666 +-0.004      0.889 +-0.037      0.305 +-0.069      0.648 +-0.033
    EWC, 100                        1.000 +-0.000      0.761 +-0.082      0.958 +-0.044      0.323 +-0.039      0.691 +-0.014
    EWC, 10000                      1.000 +-0.000      0.780 +-0.112      0.633 +-0.035      0.251 +-0.046      0.637 +-0.070
    LoRA after the first            1.000 +-0.000      0.622 +-0.007      0.669 +-0.040      0.089 +-0.086      0.704 +-0.050
    encoder frozen after it         1.000 +-0.000      0.634 +-0.016      0.644 +-0.031      0.000 +-0.000      0.760 +-0.014
    plain fine-tuning forgets 0.466: the claim shows
    a fifth of the rate        forgets +0.204 less *; in the end +0.035 *
    gradual unfreezing         forgets +0.231 less *; in the end +0.058 *
    rehearsal, 1 old in 10     forgets +0.184 less *; in the end +0.086 *
    rehearsal, 1 old per new   forgets +0.448 less *; in the end +0.167 *
    replay of 60               forgets +0.304 less *; in the end +0.109 *
    replay of 60, imitated     forgets +0.405 less *; in the end +0.147 *
    L2 to start, 0.1           forgets +0.161 less *; in the end +0.051 *
    EWC, 100                   forgets +0.143 less *; in the end +0.094 *
    EWC, 10000                 forgets +0.216 less *; in the end +0.040
    LoRA after the first       forgets +0.377 less *; in the end +0.107 *
    encoder frozen after it    forgets +0.466 less *; in the end +0.163 *
    * more than twice the standard error over seeds

All remedies keep some of the old; the more of it, the less of the new is learnt in as many updates.
Best in the end are as many old examples as new ones and an encoder that learns no more; sixty kept
examples whose logits are imitated come near. EWC at 100 alone costs nothing of the new, and still
forgets two thirds of what plain fine-tuning does. On three files of real reviews, 500 labels a
task, this small model learns little (products 0.66) and forgets 0.045 +- 0.042: there it does not
show.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from tinylm.backend import Random
from tinylm.data.read.labeled import read_labeled
from tinylm.data.synthetic.reviews import made_up_reviews
from tinylm.finetune import evaluate, fit
from tinylm.finetune.continual.anchors import Anchor, Penalized, true_fisher
from tinylm.finetune.continual.forgetting import accuracy_matrix, forgetting
from tinylm.finetune.continual.many_tasks import ManyHeads, ManyTasks, items, use_heads, with_logits
from tinylm.finetune.continual.rehearsal import Reservoir, with_rehearsal
from tinylm.finetune.freezing import freeze, stages, trainable
from tinylm.finetune.inputs import EncoderInput, special_of
from tinylm.finetune.peft.lora import lora
from tinylm.models.encoder.encoder import Encoder, EncoderConfig, without_head
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.tokenizers.wordpiece_train import train_wordpiece
from tinylm.train.compare import ONLY_RUNS, Claim, mean_and_sd

SIZE = {"n_layer": 2, "n_head": 2, "d_model": 32, "d_hidden": 64, "context": 24, "dropout": 0.1}
THINGS = (
    {
        "phone",
        "battery",
        "screen",
        "charger",
        "case",
        "camera",
        "price",
        "headset",
        "cable",
        "keyboard",
        "speaker",
    },
    {"movie", "actor", "plot", "story", "music", "ending", "scene"},
)
RATE, BATCH = 5e-3, 16
# Runs are paired: every way learns the same tasks from the same encoder in the same order.
FORGETS = Claim("plain fine-tuning forgets", "1.4")
LESS = Claim("forgets less than plain fine-tuning", "1.4", larger=False)
BETTER = Claim("is better on all tasks in the end", "1.4")


def kind_of_thing(text):
    """0: a device, 1: a film, 2: a meal, by the first thing that is named."""
    words = text.lower().rstrip(".").split()
    return next((k for word in words for k, names in enumerate(THINGS) if word in names), 2)


def how_many(text):
    """How many remarks a made-up review has beyond the first."""
    return text.count(" and ") + text.count(" but ")


def load(folder, seed, n):
    """The three tasks and the texts for pre-training.

    n        examples to train on in each task; as many, or what is left, are for testing
    returns  [(name, classes, train, test)], [text]
    """
    files = []
    if folder:
        files = [
            Path(folder) / "sentiment" / f"uci_{name}_labelled.txt"
            for name in ("amazon_cells", "imdb", "yelp")
        ]
    if files and all(file.is_file() for file in files):
        products, films, meals = map(read_labeled, files)
        sites = [
            (text, site) for site, part in enumerate((products, films, meals)) for text, _ in part
        ]
        tasks = [("products", 2, products), ("site", 3, sites), ("films", 2, films)]
        texts = [text for text, _ in sites]
    else:
        # No review is in two tasks, except that the last n of the second are the first of the third.
        reviews = made_up_reviews(5 * n, 0)
        parts = reviews[: 2 * n], reviews[2 * n : 4 * n], reviews[-2 * n :]
        tasks = [
            ("number", 3, [(text, how_many(text)) for text, _ in parts[0]]),
            ("kind", 3, [(text, kind_of_thing(text)) for text, _ in parts[1]]),
            ("negation", 2, [(text, int(" not " in text)) for text, _ in parts[2]]),
        ]
        texts = [text for text, _ in reviews]
    shuffled = [
        (name, classes, [part[i] for i in Random(seed, name).permutation(len(part))])
        for name, classes, part in tasks
    ]
    return [(name, classes, part[:n], part[n : 2 * n]) for name, classes, part in shuffled], texts


def pretrained(texts, tokenizer, options):
    """Parameters of an encoder after masked LM on all the texts."""
    special = special_of(tokenizer)
    stream = np.concatenate([np.append(tokenizer.encode(text), special.sep) for text in texts])
    # (n, 23): text after text, cut anywhere; [CLS] comes in front of each row
    rows = stream[: len(stream) // 23 * 23].reshape(-1, 23)
    model = new_encoder(tokenizer, options)
    losses = fit(
        model,
        MaskedLM(special),
        rows,
        steps=50 if options.quick else 400,
        batch_size=16,
        learning_rate=5e-3,
    )
    print(
        f"masked LM on {stream.size:,} tokens: loss {losses[:10].mean():.2f} -> {losses[-50:].mean():.2f}",
        flush=True,
    )
    return model.state_dict()


def new_encoder(tokenizer, options, state=None):
    """A BERT without segments and pooler."""
    model = Encoder(
        EncoderConfig(tokenizer.vocab_size, segments=0, pooler=False, norm_placement="pre", **SIZE),
        options.seed,
    )
    if state is not None:
        model.load_state_dict(state)
    return model.to(options.device)


class Learner:
    """A model that learns tasks in turn by one way, a function (learner, task number, items).

    epochs   of plain fine-tuning
    seed     of heads and order
    """

    def __init__(self, encoder, tasks, reader, epochs, seed):
        self.model = ManyHeads(
            without_head(encoder), [classes for _, classes, _, _ in tasks], "mean", seed
        )
        self.task = ManyTasks.of(reader, len(tasks))
        self.tasks = tasks
        self.epochs = epochs
        self.seed = seed
        # what the ways keep of old tasks: a sample, penalties, or all examples
        self.memory, self.anchors, self.old = Reservoir(60, seed), [], []

    def train(self, i, examples, task=None, heads=None, rate=RATE, epochs=None):
        """Fine-tune what is not frozen, with as many updates as the new examples alone would give."""
        steps = round((epochs or self.epochs) * len(self.tasks[i][2]) / BATCH)
        use_heads(self.model, range(i + 1) if heads is None else heads)
        fit(
            self.model,
            task or self.task,
            examples,
            steps=steps,
            batch_size=BATCH,
            learning_rate=rate,
            seed=self.seed + i,
        )

    def matrix(self, way):
        """R of learning all tasks in turn."""
        return accuracy_matrix(
            self.tasks,
            lambda i, task: way(self, i, items(i, task[2])),
            lambda j, task: evaluate(self.model, self.task, items(j, task[3]))["accuracy"],
        )


def plain(learner, i, new, rate=RATE):
    """Nothing against forgetting but, perhaps, a lower rate."""
    learner.train(i, new, heads=[i], rate=rate)


def rehearse(learner, i, new, ratio):
    """Mixes in `ratio` old examples for each new one; all old ones are kept."""
    learner.train(i, with_rehearsal(new, learner.old, ratio if i else 0, learner.seed))
    learner.old += new


def replay(learner, i, new, imitate):
    """Sixty examples kept, one for every two new ones; with imitation, their logits too."""
    task = ManyTasks(learner.task.tasks, imitate)
    learner.train(i, with_rehearsal(new, learner.memory.items, 0.5 if i else 0, learner.seed), task)
    learner.memory.extend(with_logits(learner.model, task, new) if imitate else new)


def anchor(learner, i, new, strength, fisher):
    """A penalty on the encoder for moving away from the parameters after each old task.

    With fisher, EWC: loss + strength / 2 sum_i F_i (theta_i - theta*_i)^2 for every old task;
    without, F = 1 and only the last task's end is an anchor.
    """
    learner.train(i, new, Penalized(learner.task, *learner.anchors), heads=[i])
    parameters, model, importance = trainable(learner.model.encoder), learner.model, None
    if fisher:

        def logits(example):
            batch = learner.task.make_batch([example]).to(parameters["tokens.weight"].device)
            return model(batch.inputs, batch.which, **batch.options)[0][2]

        importance = true_fisher(model, logits, parameters, new[:100])
        learner.anchors.append(Anchor(parameters, strength, importance))
    else:
        learner.anchors[:] = [Anchor(parameters, strength)]


def frozen_after_first(learner, i, new):
    """The encoder learns the first task only; then heads alone."""
    if i == 0:
        learner.train(i, new, heads=[i])
        return
    freeze(learner.model.encoder)
    # a head alone is a linear model: it needs a higher rate
    learner.train(i, new, heads=[i], rate=2e-2)


def gradual(learner, i, new):
    """Head first, then one block more at a time, for a fourth of the epochs each."""
    # From the input upwards; stages() unfreezes from the end of the list.
    groups = [
        ["encoder.tokens.*", "encoder.positions.*"],
        ["encoder.blocks.0.*"],
        ["encoder.blocks.1.*", "encoder.norm.*"],
        [f"classifiers.{i}.out.*"],
    ]
    for _ in stages(learner.model, groups):
        learner.train(i, new, heads=[i], epochs=learner.epochs / len(groups))


def low_rank(learner, i, new):
    """The first task in full; from then on only LoRA of rank 2 and the heads."""
    if i == 1:
        lora(learner.model.encoder, r=2, alpha=4)
    learner.train(i, new, heads=[i])


WAYS = {
    "plain": plain,
    "a fifth of the rate": lambda *a: plain(*a, RATE / 5),
    "gradual unfreezing": gradual,
    "rehearsal, 1 old in 10": lambda *a: rehearse(*a, 0.1),
    "rehearsal, 1 old per new": lambda *a: rehearse(*a, 1.0),
    "replay of 60": lambda *a: replay(*a, 0.0),
    "replay of 60, imitated": lambda *a: replay(*a, 1.5),
    "L2 to start, 0.1": lambda *a: anchor(*a, 0.1, False),
    "EWC, 100": lambda *a: anchor(*a, 1e2, True),
    "EWC, 10000": lambda *a: anchor(*a, 1e4, True),
    "LoRA after the first": low_rank,
    "encoder frozen after it": frozen_after_first,
}


def main(argv=None):
    """Pre-train, run every way with every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    n, epochs, seeds = 300, 8, 3
    if options.data:
        n = 500
    if options.quick:
        n, epochs, seeds = 100, 1, 2
        print(ONLY_RUNS)
    tasks, texts = load(options.data, options.seed, n)
    tokenizer = train_wordpiece(texts, 2000)
    state = pretrained(texts, tokenizer, options)
    reader = EncoderInput.of(tokenizer, SIZE["context"])
    print(
        f"{'':26}"
        + "".join(f"{'learnt ' + name:>18}" for name, *_ in tasks)
        + f"{'forgotten':>18}{'all in the end':>18}"
    )
    found = {}
    for name, way in WAYS.items():
        runs = []
        for seed in range(options.seed, options.seed + seeds):
            parts = load(options.data, seed, n)[0]
            encoder = new_encoder(tokenizer, options, state)
            runs.append(Learner(encoder, parts, reader, epochs, seed).matrix(way))
        R = np.array(runs)  # (seeds, tasks, tasks)
        columns = [
            # R[j, j]: each task as soon as it is learnt
            *R.diagonal(axis1=1, axis2=2).T,
            np.array([forgetting(r).mean() for r in R]),
            # the last row: all tasks in the end
            R[:, -1].mean(axis=1),
        ]
        found[name] = columns
        print(f"{name:26}" + "".join(f"{mean_and_sd(c):>18}" for c in columns), flush=True)
        if name == "plain":
            print(
                "  R of plain fine-tuning, mean over seeds: "
                + "; ".join(" ".join(f"{x:.2f}" for x in row) for row in R.mean(0))
            )
    judge(found)


def judge(found):
    """Print the verdicts. Every remedy is judged on its own; the header tells how many there are.

    found  dict way -> list of columns (seeds,), the last two: forgotten, all tasks in the end
    """
    *_, lost, end = found.pop("plain")
    print(FORGETS.line(lost, 0.0))
    print(f"{LESS.text}, and {BETTER.text}:")
    for name, (*_, forgotten, all_tasks) in found.items():
        print(f"  {name}")
        print(f"    forgotten:  {LESS.judge(forgotten, lost)}")
        print(f"    in the end: {BETTER.judge(all_tasks, end)}")


if __name__ == "__main__":
    main()
