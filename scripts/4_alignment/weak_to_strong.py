"""Can a weak model teach a strong one what it does not know itself?

Book section 4.2.5, eqs. 4.10 and 4.11; Burns et al. 2023. Texts are twelve made-up words about one
of 16 topics; eight of these, drawn by the seed, are class 1. The strong model (2 layers, width 64)
has read 32,000 texts without labels, the weak one (1 layer, width 16) 6,400, and learnt the classes
from 200 labeled texts. Then the weak model labels 2,000 more, and the strong one is fine-tuned on
these labels: PGR, the performance gap recovered, is 0 for the weak model's accuracy and 1 for the
ceiling, the strong model tuned on the true labels. Beside that: eight epochs instead of two; the
confidence loss, with a weight of 0.75 that rises over the first fifth of the steps; and a model of
the strong one's size that has read nothing.

Claims: (1) the strong model does better than its teacher; (2) and worse than on true labels; (3)
longer training recovers less, since the student learns the teacher's errors too; (4) the confidence
loss recovers more, trained for eight epochs, and (5) for two; (6) what the student adds is what it
has read. Five seeds, of topics, texts, models and order; sizes, rate and epochs were chosen with
seed 100. About 3 minutes on one core. `python scripts/4_alignment/weak_to_strong.py [--seed N]
[--device cpu|gpu] [--quick] [--plot FILE]`; --quick is two seeds and few steps. Read next:
tinylm/align/weak_to_strong/confidence.py.

Measured output (one core of a busy machine):

    mean +- sd of 5 seeds; the best reader has 0.988
                                                    accuracy               PGR   errors repeated
        weak model                            0.862 +- 0.021
        strong, weak labels                   0.949 +- 0.006    0.821 +- 0.046    0.26
        strong, confidence loss               0.885 +- 0.042    0.131 +- 0.563    0.31
        strong, weak labels, 8 epochs         0.897 +- 0.015    0.330 +- 0.053    0.57
        strong, confidence loss, 8 epochs     0.922 +- 0.008    0.559 +- 0.035    0.41
        has read nothing, weak labels         0.880 +- 0.012    0.156 +- 0.069    0.58
        strong, true labels (ceiling)         0.969 +- 0.005
    148 s
    a strong model does better than its weak teacher: PGR above 0 (section 4.2.5): +0.821 [+0.764,
      +0.878], 5 seeds: shows
    and worse than on true labels: PGR below 1 (section 4.2.5): +0.179 [+0.122, +0.236], 5 seeds:
      shows
    8 epochs recover less than 2 (section 4.2.5): +0.491 [+0.409, +0.573], 5 seeds: shows
    the confidence loss recovers more, 8 epochs (section 4.2.5): +0.229 [+0.146, +0.313], 5 seeds:
      shows
    the confidence loss recovers more, 2 epochs (section 4.2.5): -0.69 [-1.4, +0.0238], 5 seeds: too
      small to tell; 0.81 could have been seen
    a student that has read nothing recovers less (section 4.2.5): +0.665 [+0.546, +0.784], 5 seeds:
      shows

A strong model that is tuned for two epochs on labels of which one in seven is wrong recovers four
fifths of the gap, and repeats a quarter of its teacher's errors; a model of its size that has read
nothing learns the errors, so what is added was known before. Trained on, the strong model learns
them too: after eight epochs a third is left. Then the confidence loss helps, as the paper found for
models that fit weak labels too well; at two epochs it makes a model sure of answers that it has not
formed yet: all five seeds lose by it, two fall below their teacher, and the spread is too large for
a verdict. To stop early recovers more than the loss does.
"""

import copy
import sys
import time

import numpy as np

from tinylm.align.weak_to_strong import ConfidentTask, imitation, pgr, rising, weak_to_strong
from tinylm.backend import Random
from tinylm.data.synthetic.topics import make_topics
from tinylm.finetune import fit
from tinylm.finetune.fitting import answers
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.models import GPT, GPTConfig
from tinylm.nn.linear import fit_to_width
from tinylm.pretrain import CausalLM
from tinylm.pretrain.special import Special
from tinylm.tokenizers import WordTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_sd
from tinylm.train.experiments.picture import Picture
from tinylm.train.experiments.script import command_line

TOPICS, OWN, SHARE, WORDS = 16, 12, 0.5, 12  # WORDS: of a text; the best reader has 0.98 right
READ, READ_WEAK = 32_000, 6_400  # texts without labels
LABELED, TAUGHT, TESTED = 200, 2_000, 2_000  # for the weak model, for the strong one, for testing
BATCH, RATE, WEAK_STEPS = 32, 5e-4, 300
SHORT, LONG = 2, 8  # epochs of the strong model; Burns et al. have two
WEIGHT, RISES = 0.75, 0.2  # of the confidence loss, and the share of the steps over which it rises
WEAK, NAIVE, TRUE = "weak model", "strong, weak labels", "strong, true labels (ceiling)"
SURE, UNREAD = "strong, confidence loss", "has read nothing, weak labels"
LONG_NAIVE, LONG_SURE = (f"{name}, {LONG} epochs" for name in (NAIVE, SURE))
ORDER = WEAK, NAIVE, SURE, LONG_NAIVE, LONG_SURE, UNREAD, TRUE

# Written before the run. PGR of a seed, paired; a tenth of the gap matters.
BETTER = Claim("a strong model does better than its weak teacher: PGR above 0", "4.2.5", least=0.1)
WORSE = Claim("and worse than on true labels: PGR below 1", "4.2.5", larger=False)
ERRORS = Claim(f"{LONG} epochs recover less than {SHORT}", "4.2.5", larger=False, least=0.1)
MENDS = Claim(f"the confidence loss recovers more, {LONG} epochs", "4.2.5", least=0.1)
HELPS = Claim(f"the confidence loss recovers more, {SHORT} epochs", "4.2.5", least=0.1)
KNOWS = Claim("a student that has read nothing recovers less", "4.2.5", larger=False, least=0.1)


class World:
    """Topics and their classes, texts, and the models that read them."""

    def __init__(self, seed, device, quick):
        self.seed, self.device, self.quick = seed, device, quick
        self.topics = make_topics(TOPICS, own=OWN, share=SHARE, seed=seed)
        self.tokenizer = WordTokenizer(self.topics.words)
        order = Random(seed, "classes").permutation(TOPICS)
        self.positive = {self.topics.names[i] for i in order[: TOPICS // 2]}
        self.task = Classification(EncoderInput(Special(self.tokenizer.vocab_size)))

    def texts(self, count, part):
        """Texts of a part of the data: (list of str, (n, WORDS) ids, (n,) classes)."""
        items = self.topics.items(count, length=WORDS, seed=10 * self.seed + part)
        texts = [item.question for item in items]
        ids = np.array([self.tokenizer.encode(text) for text in texts], np.int64)
        return texts, ids, np.array([item.answer in self.positive for item in items], np.int64)

    def best(self, texts):
        """The classes that Bayes' rule gives: (n,)."""
        positive = np.array([name in self.positive for name in self.topics.names])
        return np.array([self.topics.posterior(text)[positive].sum() > 0.5 for text in texts])

    def model(self, width, layers, heads, read):
        """A GPT that has read so many texts; those of a smaller model are the first of them."""
        shape = (self.tokenizer.vocab_size, WORDS, layers, heads, width)
        config = GPTConfig(*shape, positions="rope", norm="rms", bias=False)
        model = fit_to_width(GPT(config, self.seed), width).to(self.device)
        if read:
            _, rows, _ = self.texts(READ // (1 + 9 * self.quick), 0)
            steps = min(read, len(rows)) // BATCH
            options = {"batch_size": BATCH, "learning_rate": 4e-3, "weight_decay": 0.0}
            fit(model, CausalLM(), rows, steps=steps, seed=self.seed, **options)
        return model

    def learn(self, base, ids, labels, steps, rate=RATE, weight=0.0):
        """A classifier that begins at `base`, tuned on labels: function ids -> classes."""
        model = Classifier(copy.deepcopy(base), 2, pool="last", seed=self.seed)
        task = ConfidentTask(self.task, rising(weight, max(1, round(RISES * steps))))
        examples = list(zip(ids, np.asarray(labels).tolist()))
        options = {"batch_size": BATCH, "learning_rate": rate, "weight_decay": 0.0}
        fit(
            model,
            task,
            examples,
            steps=steps,
            seed=self.seed,
            after_step=task.after_step,
            **options,
        )
        return lambda ids: np.array(answers(model, self.task, [(row, None) for row in ids]))


def run(world):
    """All models of a seed: ({name: accuracy}, {name: share of the teacher's errors repeated})."""
    _, few, few_classes = world.texts(LABELED, 1)
    _, ids, classes = world.texts(TAUGHT, 2)
    texts, test, gold = world.texts(TESTED, 3)
    short, long = (epochs * len(ids) // BATCH for epochs in (SHORT, LONG))
    if world.quick:
        short, long = short // 10, long // 10
    weak = world.learn(world.model(16, 1, 2, READ_WEAK), few, few_classes, WEAK_STEPS, 3e-3)
    strong = world.model(64, 2, 4, READ)
    labels, given = weak(ids), weak(test)
    # Eqs. 4.10 and 4.11: weak labels against true ones, tuned alike.
    naive = weak_to_strong(
        weak, lambda x, y: world.learn(strong, x, y, short), ids, classes, test, gold
    )
    found = {
        LONG_NAIVE: world.learn(strong, ids, labels, long),
        SURE: world.learn(strong, ids, labels, short, weight=WEIGHT),
        LONG_SURE: world.learn(strong, ids, labels, long, weight=WEIGHT),
        # Nothing is there to be kept, so its rate is that of the weak model.
        UNREAD: world.learn(world.model(64, 2, 4, 0), ids, labels, short, 3e-3),
    }
    right = {WEAK: naive.weak, NAIVE: naive.strong, TRUE: naive.ceiling}
    repeated = {NAIVE: naive.imitation.repeated}
    for name, student in found.items():
        learnt = student(test)
        right[name] = float((learnt == gold).mean())
        repeated[name] = imitation(given, learnt, gold).repeated
    right["best"] = float((world.best(texts) == gold).mean())
    return right, repeated


class Runs:
    """What all seeds gave."""

    def __init__(self, found):
        self.found = found

    def __len__(self):
        return len(self.found)

    def accuracy(self, name):
        """(seeds,) accuracies of a model."""
        return np.array([right[name] for right, _ in self.found])

    def repeated(self, name):
        """(seeds,) shares of the weak model's errors that a student makes too."""
        return np.array([repeated[name] for _, repeated in self.found])

    def recovered(self, name):
        """(seeds,) performance gaps recovered."""
        return np.array([pgr(right[WEAK], right[name], right[TRUE]) for right, _ in self.found])


def table(runs):
    """Accuracy, gap recovered and errors repeated of every model, means over seeds."""
    print(
        f"mean +- sd of {len(runs)} seeds; the best reader has {runs.accuracy('best').mean():.3f}"
    )
    print(f"    {'':<36}{'accuracy':>16}{'PGR':>18}   errors repeated")
    for name in ORDER:
        line = f"    {name:<36}{mean_and_sd(runs.accuracy(name)):>16}"
        if name not in (WEAK, TRUE):
            line += f"{mean_and_sd(runs.recovered(name)):>18}{runs.repeated(name).mean():>8.2f}"
        print(line)


def plot(path, runs):
    """Save accuracies, and the weak model's errors that students repeat, as a picture."""
    with Picture(path, columns=2, size=(5.2, 3.6)) as picture:
        panel = picture.panel("right", "accuracy")
        panel.bars({name: runs.accuracy(name) for name in ORDER}, ".3f", zero=False)
        panel = picture.panel("errors of the weak model that are repeated", "share")
        panel.bars({name: runs.repeated(name) for name in ORDER if name not in (WEAK, TRUE)})


def main(argv=None):
    quick = "two seeds, and few steps"
    options, seeds = command_line(argv, __doc__, quick, plot=True)
    started, found = time.process_time(), []
    for seed in seeds:
        found.append(run(World(seed, options.device, options.quick)))
        accuracies = ", ".join(f"{name} {value:.3f}" for name, value in found[-1][0].items())
        print(f"seed {seed}: {accuracies}", file=sys.stderr, flush=True)
    runs = Runs(found)
    table(runs)
    print(f"{time.process_time() - started:.0f} s")
    naive = runs.recovered(NAIVE)
    print(BETTER.line(naive, 0.0))
    print(WORSE.line(naive, 1.0))
    print(ERRORS.line(runs.recovered(LONG_NAIVE), naive))
    print(MENDS.line(runs.recovered(LONG_SURE), runs.recovered(LONG_NAIVE)))
    print(HELPS.line(runs.recovered(SURE), naive))
    print(KNOWS.line(runs.recovered(UNREAD), naive))
    if options.plot:
        plot(options.plot, runs)


if __name__ == "__main__":
    main()
