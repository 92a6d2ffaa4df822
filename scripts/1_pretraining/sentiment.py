"""Is pre-training worth it, with how many labels, and which kind? Book sections 1.1, 1.2, 1.4.1.

Claims: a model pre-trained on unlabeled text needs fewer labels than one that starts from random
weights, the more so the longer it has read; masked language modeling (BERT) suits classification
better than causal (GPT); replaced-token detection (ELECTRA) gets more out of the same compute than
masked LM; for encoder-decoders, spans behind sentinels (T5) more than reconstructing a text with
masked tokens (denoise). All are transformers of four layers of width 128 (pretrained_kinds.py) and
read the same text in the same order; at each rung of a ladder all have cost as many floating-point
operations, counted, as so many steps of BERT. Then they are fine-tuned on 10, 30 and 100 % of the
labels, and so is one of each kind that has read nothing, all alike: 450 steps of 16 reviews, the
mean of the states, and the better of two rates, chosen for each kind and start on seeds of its own
(1000, 1001) with 30 % of the labels, a fifth of which was kept back. Beside them: naive Bayes on
bags of words, and, where its package is installed, a linear layer on the frozen vectors of a
published encoder of 22 million parameters (all-MiniLM-L6-v2).

Rules, written before the run. Five seeds of labels, new weights and order; a run of BERT and GPT
takes the pre-training of seed 0, 1 or 2, the others' that of seed 0. Claims are judged at the last
rung, paired by seed, with each share of the labels, at a level at which all three intervals hold.

    python scripts/1_pretraining/sentiment.py --data FOLDER --out cells.jsonl --keep WEIGHTS
        [--plot FILE]

FOLDER (or TINYLM_DATA) has sentiment/*.txt (sentence, tab, 0 or 1) and, to be read without labels,
corpus/ and bitext/ as pretrained_kinds.py says; without it, made-up reviews. What stands in --out
is not computed again, pre-training only if its weights stand in --keep as well; a pre-training that
was stopped begins anew. --kinds BERT,T5 computes some of it, so that two processes can share the
work. About 400 minutes of one core (estimated); --quick one.

Not measured yet with this design.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from pretrained_kinds import KINDS, SIZE, WORDS, B, T, fresh, pretrain, read_text, step_cost

from tinylm import backend
from tinylm.cli.look import charplot
from tinylm.data.read.labeled import share_of
from tinylm.errors import MissingExtra
from tinylm.finetune import evaluate, fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.finetune.tasks.probe import Probe, VectorClassification
from tinylm.models.published.sentence_encoder import load_sentence_encoder
from tinylm.pretrain.early.naive_bayes import naive_bayes
from tinylm.train import checkpoint
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_sd, together
from tinylm.train.experiments.picture import Picture, add_plot

LADDER = (500, 2000, 8000, 32000)  # steps of BERT
SHARES, CHOOSE_ON = (0.1, 0.3, 1.0), 0.3
SEEDS, CHOICE_SEEDS, TWICE = 5, (1000, 1001), ("BERT", "GPT")  # pre-trained more than once
PRETRAININGS = 3
STEPS, READ = 450, 32  # of fine-tuning; tokens of a review
RATES = (3e-4, 1e-3)
# Accuracies, paired by the seed of labels, new weights and order.
PRETRAINING = Claim("pre-training helps", "1.1", limit=1.0)
LONGER = Claim("so does reading longer", "1.1", limit=1.0)
KIND = Claim("suits classification better", "1.2", limit=1.0)
PUBLISHED = Claim("the published encoder beats the best of these", "1.4.1", limit=1.0)


class Experiment:
    """What is computed, once: pre-training, the choice of rates, fine-tuning.

    options  of main();  text  of read_text()
    """

    def __init__(self, options, text):
        self.options, self.text = options, text
        self.cells = Cells(options.out)
        self.cost = {name: step_cost(KINDS[name], text.rows) for name in {"BERT", *options.kinds}}

    def stops(self, name):
        """Steps of a kind at each rung: equal operations."""
        ratio = self.cost["BERT"] / self.cost[name]
        return [max(1, round(steps * ratio)) for steps in self.options.ladder]

    def reading(self, name, run):
        """The seed of the pre-training that a run of fine-tuning starts from."""
        return run % PRETRAININGS if name in TWICE else 0

    def pretrained(self, name, seed):
        """Pre-train a kind, unless it stands: a cell and the weights for each rung."""
        stops, losses = self.stops(name), []
        key = {"what": "pre-training", "kind": name, "seed": seed, "rows": B, "tokens": T}
        key["text"] = self.text.name
        wanted = [key | {"steps": steps} for steps in stops]
        folders = [self.folder(name, seed, steps) for steps in stops]
        if all(cell in self.cells for cell in wanted) and all(path.exists() for path in folders):
            return
        began = last = time.perf_counter()
        for (steps, train, held_out, model), folder, cell in zip(
            pretrain(
                KINDS[name], self.text, stops, seed, self.options.device, progress(name, seed)
            ),
            folders,
            wanted,
        ):
            if not folder.exists():
                checkpoint.save(folder, {"weights": model.state_dict()}, {"steps": steps})
            losses.append({"train": train, "held out": held_out})
            now = time.perf_counter()
            found = losses[-1] | {"minutes": round((now - began) / 60, 2)}
            self.cells(cell, lambda found=found: found, seconds=now - last)
            last = now
            print(f"  {name}, seed {seed}, {steps} steps: held out {held_out:.3f}", flush=True)

    def folder(self, name, seed, steps):
        """Where the weights are."""
        return Path(self.options.keep) / self.text.name / f"{name}-{seed}-{steps}"

    def tuned(self, name, steps, reading, share, run, rate, held_out=None):
        """Accuracy of a kind fine-tuned from the weights after so many steps; 0: random ones.

        held_out  None: on the test reviews. Else a share of the labels, which is not learnt from
        """
        cell = {
            "text": self.text.name,
            "what": "fine-tuning",
            "kind": name,
            "steps": steps,
            "reading": reading,
        }
        cell |= {"labels": share, "seed": run, "rate": rate, "tuning": self.options.steps}
        if held_out:
            cell["held out"] = held_out

        def compute():
            # labels are drawn anew by each seed
            train, test = share_of(self.text.train, share, run)[0], self.text.test
            if held_out:
                test, train = share_of(train, held_out, run)
            return {"accuracy": self._tune(name, steps, reading, train, test, run, rate)}

        return self.cells(cell, compute)["accuracy"]

    def _tune(self, name, steps, reading, train, test, run, rate):
        kind = KINDS[name]
        # other weights than those that were pre-trained
        model = fresh(kind, run + 1)
        if steps:
            kept = checkpoint.load(self.folder(name, reading, steps))
            model.load_state_dict(kept.arrays["weights"])
        model = Classifier(kind.part(model), 2, "mean", run).to(self.options.device)
        task = Classification(EncoderInput(kind.special, self.text.tokenizer, READ))
        # weights, order and labels by the same seed
        settings = {"steps": self.options.steps, "batch_size": 16, "learning_rate": rate}
        fit(model, task, train, seed=run, **settings)
        return evaluate(model, task, test)["accuracy"]

    def rate(self, name, steps):
        """The better rate of a kind and start, by labels that were kept back."""
        if len(self.options.rates) == 1:
            return self.options.rates[0]
        means = {}
        for rate in self.options.rates:
            found = [
                self.tuned(name, steps, self.reading(name, run), CHOOSE_ON, run, rate, 0.2)
                for run in CHOICE_SEEDS
            ]
            means[rate] = np.mean(found)
        return max(means, key=means.get)

    def scores(self, name):
        """{steps: accuracies (shares, runs)} of a kind, 0 steps among them."""
        runs = self.options.runs
        for seed in sorted({self.reading(name, run) for run in (*runs, *CHOICE_SEEDS)}):
            self.pretrained(name, seed)
        found = {}
        for steps in (0, *self.stops(name)):
            rate = self.rate(name, steps)
            found[steps] = np.array(
                [
                    [
                        self.tuned(
                            name, steps, self.reading(name, run) if steps else 0, share, run, rate
                        )
                        for run in runs
                    ]
                    for share in SHARES
                ]
            )
            how = f"{steps} steps" if steps else "from scratch"
            row(f"{name}, {how}, rate {rate:g}", found[steps])
        return found


def progress(name, seed):
    """A function that says how a pre-training goes on, each 1,000 steps."""

    def say(step, loss):
        if step % 1000 == 0:
            print(f"    {name}, seed {seed}, step {step}: {loss:.3f}", flush=True)

    return say


def row(name, scores):
    """Print a row of the table: scores (shares, runs)."""
    print(f"{name:34}" + "".join(f"{mean_and_sd(row):>18}" for row in scores), flush=True)


def bag_of_words(tokenizer, train, test):
    """Accuracy of naive Bayes on the pieces of the texts."""
    train, test = (
        [(tokenizer.encode(text), label) for text, label in part] for part in (train, test)
    )
    answers = naive_bayes(WORDS, 2)(train)([ids for ids, _ in test]).argmax(axis=1)
    return float(np.mean(answers == [label for _, label in test]))


class FrozenVectors:
    """Vectors of a published encoder, each text's computed once, and a linear layer trained on some
    of them.
    """

    def __init__(self, texts):
        encode = load_sentence_encoder("minilm")
        # sorted, so that the rows of a batch are of like length and little is padding
        order = sorted(set(texts), key=len)
        # (32, D) a batch, with D of the published encoder
        parts = [encode(order[i : i + 32]) for i in range(0, len(order), 32)]
        self.vectors = dict(zip(order, np.concatenate(parts)))

    def accuracy(self, train, test, seed):
        """Of the layer trained on the first examples, on the second."""
        train, test = (
            [(self.vectors[text], label) for text, label in part] for part in (train, test)
        )
        probe = Probe(len(train[0][0]), 2, seed=seed)
        task = VectorClassification()
        fit(probe, task, train, steps=400, batch_size=64, learning_rate=0.05, seed=seed)
        return evaluate(probe, task, test)["accuracy"]


def others(experiment):
    """Accuracies of what is not one of the kinds: {name: (shares, runs)}."""
    text, cells = experiment.text, experiment.cells
    ways = {"bag of words": lambda train, run: bag_of_words(text.tokenizer, train, text.test)}
    vectors = []  # made when the first cell needs it
    try:
        if experiment.options.quick:
            raise MissingExtra("not with --quick")

        def published(train, run):
            if not vectors:
                vectors.append(FrozenVectors([x for x, _ in text.train + text.test]))
            return vectors[0].accuracy(train, text.test, run)

        load_sentence_encoder("minilm")
        ways["published encoder"] = published
    except MissingExtra as missing:
        print(f"  no published encoder: {missing}")
    found = {}
    for name, way in ways.items():

        def accuracy(share, run, name=name, way=way):
            train = share_of(text.train, share, run)[0]
            cell = {"text": text.name, "what": name, "labels": share, "seed": run}
            return cells(cell, lambda: {"accuracy": way(train, run)})["accuracy"]

        runs = experiment.options.runs
        found[name] = np.array([[accuracy(share, run) for run in runs] for share in SHARES])
        row(name, found[name])
    return found


def verdicts(found, beside):
    """Print the verdicts. found: {kind: {steps: (shares, runs)}}; beside: of others()."""
    last = {}
    for name, scores in found.items():
        first, *_, final = (steps for steps in scores if steps)
        last[name] = scores[final]
        print(f"{PRETRAINING.text} {name}, {final} steps")
        judge(PRETRAINING, scores[final], scores[0])
        print(f"  {LONGER.text}: {final} steps against {first}")
        judge(LONGER, scores[final], scores[first])
    for one, other in (("BERT", "GPT"), ("ELECTRA", "BERT"), ("T5", "denoise")):
        if one in last and other in last:
            print(f"{one} {KIND.text} than {other}")
            judge(KIND, last[one], last[other])
    if "published encoder" in beside:
        # the best in each seed, which favors these
        print(PUBLISHED.text)
        judge(PUBLISHED, beside["published encoder"], np.max(list(last.values()), axis=0))


def judge(claim, claimed, other):
    """Print the verdict with each share of the labels. claimed, other: (shares, runs)."""
    for each, share, a, b in zip(together([claim] * len(SHARES)), SHARES, claimed, other):
        print(f"  {share:.0%} labels: {each.judge(a, b)}")


def picture(found, beside, ladder):
    """Print accuracy over steps of BERT's cost, for all labels."""
    curves = []
    for name, scores in found.items():
        steps = [np.log10(each) for each in ladder]
        curves.append((name, steps, [scores[each][-1].mean() for each in scores if each]))
    bag = beside["bag of words"][-1].mean()
    curves.append(("bag of words", steps, [bag] * len(steps)))
    labels = "accuracy with all labels", "log10 of steps of BERT, equal operations"
    print("\n" + "\n".join(charplot.lines(curves, 90, 16, *labels)))


def plot(path, found, beside, ladder):
    """Save accuracy over pre-training, a panel for each share of the labels."""
    with Picture(path, columns=len(SHARES), size=(4.6, 3.8)) as picture:
        for i, share in enumerate(SHARES):
            x, y = "steps of BERT, equal operations", "accuracy"
            panel = picture.panel(f"{share:.0%} of the labels", x, y, xscale="log", xticks=ladder)
            for name, scores in found.items():
                panel.curve(name, ladder, np.transpose([scores[k][i] for k in scores if k]))
            for name, scores in beside.items():
                panel.level(name, scores[i].mean())


def command_line(argv):
    """The options of main()."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--out", type=Path, help="file of finished cells; none: in memory")
    parser.add_argument("--keep", help="folder of the pre-trained weights; none: a temporary one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    add_plot(parser)
    options = parser.parse_args(argv)
    options.kinds = options.kinds.split(",")
    options.ladder, options.steps, options.rates = LADDER, STEPS, RATES
    options.runs = range(options.seed, options.seed + SEEDS)
    if options.quick:
        print(ONLY_RUNS)
        options.ladder, options.steps, options.rates = (5, 20), 10, RATES[:1]
        options.runs, options.kinds = options.runs[:2], options.kinds[:2]
    backend.blas_threads(1)
    return options


def main(argv=None):
    """Pre-train, fine-tune on every share and seed, print table, picture and verdicts."""
    options = command_line(argv)
    with tempfile.TemporaryDirectory() as folder:
        options.keep = options.keep or folder
        text = read_text(options.data)
        print(
            f"{len(text.train)} labeled reviews, {len(text.test)} for testing; unlabeled text of "
            f"{text.rows.size:,} tokens; {SIZE['n_layer']} layers of width {SIZE['d_model']}"
        )
        experiment = Experiment(options, text)
        print(
            f"{'accuracy, mean +- sd':34}" + "".join(f"{share:>13.0%} labels" for share in SHARES)
        )
        beside = others(experiment)
        found = {name: experiment.scores(name) for name in options.kinds}
        picture(found, beside, options.ladder)
        if options.plot:
            plot(options.plot, found, beside, options.ladder)
        verdicts(found, beside)
        print(f"\n{experiment.cells.seconds() / 60:.0f} minutes of one core")


if __name__ == "__main__":
    main()
