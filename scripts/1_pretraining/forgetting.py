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

    masked LM on 22,035 tokens: loss 5.98 -> 3.78
                              number            kind        negation       forgotten      in the end
    plain             0.996 +- 0.005  0.742 +- 0.060  0.936 +- 0.044  0.444 +- 0.033  0.595 +- 0.011
      R of plain fine-tuning, mean over seeds: 1.00 0.28 0.56; 0.53 0.74 0.50; 0.44 0.41 0.94
    a fifth of rate   0.964 +- 0.030  0.652 +- 0.013  0.776 +- 0.049  0.240 +- 0.071  0.637 +- 0.019
    unfreezing        0.972 +- 0.025  0.653 +- 0.010  0.707 +- 0.078  0.237 +- 0.068  0.620 +- 0.052
    rehearsal, 1:10   0.996 +- 0.005  0.732 +- 0.057  0.930 +- 0.042  0.293 +- 0.062  0.691 +- 0.026
    rehearsal, 1:1    0.996 +- 0.005  0.640 +- 0.023  0.703 +- 0.003 -0.008 +- 0.026  0.785 +- 0.026
    replay of 60      0.996 +- 0.005  0.662 +- 0.032  0.820 +- 0.104  0.170 +- 0.039  0.713 +- 0.018
    imitated replay   0.996 +- 0.005  0.620 +- 0.019  0.690 +- 0.062  0.062 +- 0.024  0.727 +- 0.022
    L2, 0.1           0.996 +- 0.005  0.676 +- 0.008  0.938 +- 0.052  0.316 +- 0.077  0.659 +- 0.035
    EWC, 100          0.996 +- 0.005  0.697 +- 0.015  0.914 +- 0.082  0.375 +- 0.088  0.619 +- 0.029
    EWC, 10000        0.996 +- 0.005  0.680 +- 0.060  0.631 +- 0.026  0.169 +- 0.019  0.656 +- 0.010
    LoRA later        0.996 +- 0.005  0.614 +- 0.004  0.669 +- 0.004  0.217 +- 0.116  0.615 +- 0.074
    frozen later      0.996 +- 0.005  0.626 +- 0.015  0.642 +- 0.020  0.000 +- 0.000  0.754 +- 0.005
    plain fine-tuning forgets (section 1.4): +0.444 [+0.363, +0.526], 3 seeds: shows
    forgets less than plain fine-tuning, and is better on all tasks in the end:
      a fifth of rate
        forgotten:  +0.204 [-0.0535, +0.462], 3 seeds: too small to tell; 0.26 could have been seen
        in the end: +0.0426 [-0.0309, +0.116], 3 seeds: too small to tell; 0.074 could have been
          seen
      unfreezing
        forgotten:  +0.208 [+0.0998, +0.316], 3 seeds: shows
        in the end: +0.0248 [-0.0885, +0.138], 3 seeds: too small to tell; 0.11 could have been seen
      rehearsal, 1:10
        forgotten:  +0.152 [-0.0625, +0.366], 3 seeds: too small to tell; 0.21 could have been seen
        in the end: +0.0959 [+0.0346, +0.157], 3 seeds: shows
      rehearsal, 1:1
        forgotten:  +0.452 [+0.421, +0.484], 3 seeds: shows
        in the end: +0.19 [+0.151, +0.229], 3 seeds: shows
      replay of 60
        forgotten:  +0.274 [+0.104, +0.445], 3 seeds: shows
        in the end: +0.118 [+0.0734, +0.162], 3 seeds: shows
      imitated replay
        forgotten:  +0.382 [+0.262, +0.502], 3 seeds: shows
        in the end: +0.132 [+0.0713, +0.193], 3 seeds: shows
      L2, 0.1
        forgotten:  +0.129 [-0.0747, +0.332], 3 seeds: too small to tell; 0.2 could have been seen
        in the end: +0.0644 [-0.034, +0.163], 3 seeds: too small to tell; 0.098 could have been seen
      EWC, 100
        forgotten:  +0.0694 [-0.226, +0.365], 3 seeds: too small to tell; 0.3 could have been seen
        in the end: +0.0241 [-0.0716, +0.12], 3 seeds: too small to tell; 0.096 could have been seen
      EWC, 10000
        forgotten:  +0.275 [+0.147, +0.403], 3 seeds: shows
        in the end: +0.0611 [+0.00867, +0.114], 3 seeds: shows
      LoRA later
        forgotten:  +0.227 [-0.0984, +0.553], 3 seeds: too small to tell; 0.33 could have been seen
        in the end: +0.02 [-0.186, +0.226], 3 seeds: too small to tell; 0.21 could have been seen
      frozen later
        forgotten:  +0.444 [+0.363, +0.526], 3 seeds: shows
        in the end: +0.16 [+0.141, +0.178], 3 seeds: shows

The columns: what is learnt of each task, what is forgotten of the first two, all three in the end.
Rehearsal of one old example for each new one, replay, EWC at 10000, gradual unfreezing and an
encoder frozen after the first task forget less; the others do in the mean, and three seeds are too
few to see it. The more of the old is kept, the less of the new is learnt in as many updates. Best
in the end are as many old examples as new ones and the frozen encoder; sixty kept examples,
imitated or not, come next. On three files of real reviews, 500 labels a task, an earlier run learnt
little (products 0.66) and forgot 0.045 [-0.06, +0.15]: too small to tell.
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
from tinylm.finetune.continual.forgetting import accuracy_matrix, final_accuracy, forgetting
from tinylm.finetune.continual.many_tasks import ManyHeads, ManyTasks, items, use_heads, with_logits
from tinylm.finetune.continual.rehearsal import Reservoir, with_rehearsal
from tinylm.finetune.freezing import freeze, stages, trainable
from tinylm.finetune.inputs import EncoderInput, special_of
from tinylm.finetune.peft.lora import lora
from tinylm.models.encoder.encoder import Encoder, EncoderConfig, without_head
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.tokenizers.wordpiece_train import train_wordpiece
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_sd

SIZE = {"n_layer": 2, "n_head": 2, "d_model": 32, "d_hidden": 64, "context": 24, "dropout": 0.1}
# names that made-up reviews use: devices, films; all others are meals
THINGS = (
    set("phone battery screen charger case camera price headset cable keyboard speaker".split()),
    set("movie actor plot story music ending scene".split()),
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
        # The last n reviews of the second task are the first n of the third.
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
    # one long stream, [SEP] after each text
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
        f"masked LM on {stream.size:,} tokens: "
        f"loss {losses[:10].mean():.2f} -> {losses[-50:].mean():.2f}",
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
        self.memory = Reservoir(60, seed)
        self.anchors = []
        self.old = []

    def train(self, i, examples, task=None, heads=None, rate=RATE, epochs=None):
        """Fine-tune what is not frozen, for as many updates as the new examples alone give."""
        steps = round((epochs or self.epochs) * len(self.tasks[i][2]) / BATCH)
        # By default the heads of all tasks so far; weight decay must not shrink the others.
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
            # learn task i, then measure all tasks: row i of R
            lambda i, task: way(self, i, items(i, task[2])),
            lambda j, task: evaluate(self.model, self.task, items(j, task[3]))["accuracy"],
        )


def plain(learner, i, new, rate=RATE):
    """Nothing against forgetting but, perhaps, a lower rate."""
    learner.train(i, new, heads=[i], rate=rate)


def rehearse(learner, i, new, ratio):
    """Mixes in `ratio` old examples for each new one; all old ones are kept."""
    learner.train(i, with_rehearsal(new, learner.old, ratio if i else 0, learner.seed))
    # the next task mixes in what this one brought
    learner.old += new


def replay(learner, i, new, imitate):
    """Sixty examples kept, one for every two new ones; with imitation, their logits too."""
    task = ManyTasks(learner.task.tasks, imitate)
    learner.train(i, with_rehearsal(new, learner.memory.items, 0.5 if i else 0, learner.seed), task)
    # Logits are those of the model at the end of the task: to be imitated later.
    learner.memory.extend(with_logits(learner.model, task, new) if imitate else new)


def anchor(learner, i, new, strength, fisher):
    """A penalty on the encoder for moving away from the parameters after each old task.

    With fisher, EWC: loss + strength / 2 sum_i F_i (theta_i - theta*_i)^2 for every old task;
    without, F = 1 and only the last task's end is an anchor.
    """
    learner.train(i, new, Penalized(learner.task, *learner.anchors), heads=[i])
    # only the encoder is anchored: each task has a head of its own
    parameters = trainable(learner.model.encoder)
    model = learner.model
    importance = None
    if fisher:
        # F_i = E_x sum_y p(y | x) (d log p(y | x) / d theta_i)^2, at the end of the task
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
    # from the second task on: the low-rank matrices are the same for all later tasks
    if i == 1:
        lora(learner.model.encoder, r=2, alpha=4)
    learner.train(i, new, heads=[i])


WAYS = {
    "plain": plain,
    "a fifth of rate": lambda *a: plain(*a, RATE / 5),
    "unfreezing": gradual,
    "rehearsal, 1:10": lambda *a: rehearse(*a, 0.1),
    "rehearsal, 1:1": lambda *a: rehearse(*a, 1.0),
    "replay of 60": lambda *a: replay(*a, 0.0),
    "imitated replay": lambda *a: replay(*a, 1.5),
    "L2, 0.1": lambda *a: anchor(*a, 0.1, False),
    "EWC, 100": lambda *a: anchor(*a, 1e2, True),
    "EWC, 10000": lambda *a: anchor(*a, 1e4, True),
    "LoRA later": low_rank,
    "frozen later": frozen_after_first,
}


def main(argv=None):
    """Pre-train, run every way with every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    n = 300
    epochs = 8
    seeds = 3
    if options.data:
        n = 500
    if options.quick:
        n = 100
        epochs = 1
        seeds = 2
        print(ONLY_RUNS)
    tasks, texts = load(options.data, options.seed, n)
    tokenizer = train_wordpiece(texts, 2000)
    state = pretrained(texts, tokenizer, options)
    reader = EncoderInput.of(tokenizer, SIZE["context"])
    print(
        f"{'':16}"
        + "".join(f"{name:>16}" for name, *_ in tasks)
        + f"{'forgotten':>16}{'in the end':>16}"
    )
    found = {}
    for name, way in WAYS.items():
        runs = []
        for seed in range(options.seed, options.seed + seeds):
            # the seed decides which examples, in which order, and the heads' weights
            parts = load(options.data, seed, n)[0]
            encoder = new_encoder(tokenizer, options, state)
            runs.append(Learner(encoder, parts, reader, epochs, seed).matrix(way))
        R = np.array(runs)  # (seeds, tasks, tasks)
        columns = [
            # R[j, j]: each task as soon as it is learnt
            *R.diagonal(axis1=1, axis2=2).T,
            np.array([forgetting(r).mean() for r in R]),
            # the last row: all tasks in the end
            np.array([final_accuracy(r) for r in R]),
        ]
        found[name] = columns
        print(f"{name:16}" + "".join(f"{mean_and_sd(c):>16}" for c in columns), flush=True)
        if name == "plain":
            print(
                "  R of plain fine-tuning, mean over seeds: "
                + "; ".join(" ".join(f"{x:.2f}" for x in row) for row in R.mean(0))
            )
    judge(found)


def judge(found):
    """Print the verdicts. Every remedy is judged on its own, and there are eleven.

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
