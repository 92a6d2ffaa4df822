"""Instruction tuning: from a model that continues texts to one that follows instructions; book
sections 2.1.3 and 3.3.

Claims: (1) tuned on more kinds of tasks, a model does better on tasks that are not among them, with
abilities it has from pre-training (zero-shot generalization); (2) few samples are enough if they
are good, and a judge can find them in a noisy pool (curated_samples.py); (3) the loss is taken on
answers alone; (4) a model can be tuned to understand "Translate!" in place of a long instruction,
which saves tokens, at a risk for other wordings. A GPT of 110 thousand parameters is pre-trained on
statements about animals, birds, fish and trees ("the color of the owl is green ."), then tuned on k
kinds of questions (an aspect of a kind), and tested on names for which it was never tuned: in the
words of the tuning, in others, on pairs of aspect and kind that it was not tuned on, and on an
aspect that no question was about. Chance is 0.12 for a model that knows the aspect.

Each way of tuning (answers alone, all tokens, from random weights) has the best of the same
learning rates, on four seeds that are not used below; batch and steps are those that --sweep chose.
`python scripts/2_1_language_models/instruction_tuning.py [--seed N] [--device cpu|gpu] [--out FILE]
[--quick] [--sweep]`; finished cells are kept in FILE and not computed again. About 15 minutes on
one core; ten seeds, mean (lowest .. highest); --quick is 2 seeds and half of the steps of tuning;
--sweep searches learning rate, batch size and steps instead. Read next: curated_samples.py,
tuned_parts.py, seed_tasks.py.

Measured output: Not measured yet with this design.
"""

import argparse
import itertools
from functools import cached_property, partial

import numpy as np
from curated_samples import curated

from tinylm import backend
from tinylm.backend import Random
from tinylm.data.mix.instruction_mixture import mix_datasets, some_tasks
from tinylm.data.synthetic.told_facts import (
    FORMS,
    FRAMES,
    KNOWN,
    NEW_ASPECT,
    NEW_PAIR,
    TEST,
    World,
    vocabulary,
)
from tinylm.finetune import evaluate, fit
from tinylm.finetune.instruct.conversations import MARKS, ROLES, encode_samples
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.instruct.templates import tokens_saved
from tinylm.finetune.search import grid_search
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain import CausalLM
from tinylm.tokenizers import WordTokenizer
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range, weakest

# Ten, since what is learnt of questions differs much from one pre-training to the next.
SEEDS = 10
STEPS = 800  # of pre-training, at a rate of 6e-3
RATES = 5e-4, 1e-3, 2e-3, 4e-3  # tried for each way of tuning
TUNING = range(1001, 1005)  # the seeds on which rates are chosen
# name: how Lab.tuned() is called
WAYS = {
    "answers": {},
    "all tokens": {"whole": True},
    "from random": {"pretrained": False},
}
GROUPS = "as tuned", "new phrasing", "new pair", "new aspect"
# Accuracies, paired: every model of a seed has the same world, pre-training and questions. A gain
# of less than 0.03 is a few questions of 120.
MORE_KINDS = Claim("more kinds of tasks, better on new pairs", "2.1.3", least=0.03, limit=1.0)
NEW = Claim("a new aspect is answered more often than by", "2.1.3", least=0.1, limit=1.0)
AFTER = Claim("tuning afterwards beats instructions in the pre-training", "2.1.3", limit=1.0)
GOOD = Claim("180 good samples beat 2880 of which half are wrong", "2.1.3", least=0.03, limit=1.0)
ANSWERS = Claim("loss on answers alone beats loss on all tokens", "2.1.3", least=0.03, limit=1.0)
WORD = Claim("a word does as well as a long instruction", "3.3", least=-0.03, floor=0.0)
OWN_FORM = Claim("other forms are understood less than that of the tuning", "3.3", least=0.03)


class Lab:
    """A pre-trained model of one seed, with its world of facts, and ways to tune and test it.

    share  of the usual steps of tuning;  rates  {way of WAYS: its learning rate}
    cells  Cells: a model is pre-trained when the first of them has to be computed
    """

    def __init__(self, seed, device, share, cells, rates):
        self.seed = seed
        self.device = device
        self.words = WordTokenizer(vocabulary(), MARKS)
        self.share, self.cells, self.rates = share, cells, rates
        self.world, rng = World(seed), Random(seed, "stories")
        # (<= 33,) ids: statements about the names of this world
        self.stories = [self.words.encode(self.world.story(rng))[:33] for _ in range(8000)]
        test = Random(seed, "test")
        self.tests = {
            group: self.world.instructions(tasks, 120, test, names=TEST)
            for group, tasks in (("new pair", NEW_PAIR), ("new aspect", NEW_ASPECT))
        }

    @cached_property
    def pretrained(self):
        """(weights from which every tuning starts, loss of the last steps)."""
        model = self.new(self.seed)
        options = {"batch_size": 32, "learning_rate": 6e-3, "seed": self.seed}
        losses = fit(model, CausalLM(), self.stories, steps=STEPS, **options)
        state = {name: value.copy() for name, value in model.state_dict().items()}
        return state, float(losses[-20:].mean())

    def cell(self, name, run):
        """What run() finds: {name: list of numbers}, or what stands in the file."""
        cell = {"row": name, "seed": self.seed, "steps": STEPS, "share": self.share}
        return self.cells(cell | {"rates": self.rates}, run)

    def row(self, name, run):
        """A row of a table: the numbers that run() returns."""
        return self.cell(name, lambda: {"scores": run()})["scores"]

    def new(self, seed):
        """A GPT with new weights."""
        config = GPTConfig(
            self.words.vocab_size, 40, 2, 4, 64, norm="rms", positions="rope", bias=False
        )
        return GPT(config, seed).to(self.device)

    def encoded(self, samples):
        """Samples as examples."""
        return encode_samples(self.words, ROLES, samples)[0]

    def task(self, whole=False):
        """The task of tuning."""
        return InstructionTuning(whole, self.words, self.words.special["<|end|>"], max_tokens=5)

    def tuned(self, samples, whole=False, pretrained=True, rate=None):
        """The model after tuning on samples, for as many steps whatever their number.

        whole       the loss is taken on all tokens, not on answers alone
        pretrained  start from the pre-trained weights
        rate        the learning rate; that of this way of tuning if None
        """
        way = "all tokens" if whole else "answers"
        if not pretrained:
            way = "from random"
        # other weights than those of pre-training, for the rows without it
        model = self.new(self.seed + 100)
        if pretrained:
            model.load_state_dict(self.pretrained[0])
        if samples:
            fit(
                model,
                self.task(whole),
                self.encoded(samples),
                steps=int(150 * self.share),
                batch_size=32,
                learning_rate=rate or self.rates[way],
                seed=self.seed,
            )
        return model

    def taught_in_pretraining(self, samples):
        """The model of one training on stories and instructions mixed.

        It sees as many tokens as pre-training and tuning see one after the other.
        """
        asked = np.concatenate([one.ids for one in self.encoded(samples)])
        asked = list(asked[: len(asked) // 33 * 33].reshape(-1, 33))  # rows as long as the stories
        # as many tokens as 150 steps of short samples; with 800 steps 6 % are instructions
        steps, share = STEPS + 52, 52 / (STEPS + 52)
        mixed = mix_datasets(self.stories, asked, share, self.seed)
        rows = list(itertools.islice(mixed, steps * 32))
        model = self.new(self.seed)
        fit(model, CausalLM(), rows, steps=steps, batch_size=32, learning_rate=6e-3, seed=self.seed)
        return model

    def accuracy(self, model, samples):
        """Share of answers that are right in every token."""
        return evaluate(model, self.task(), self.encoded(samples))["accuracy"]

    def scores(self, model, tasks):
        """Accuracy on each of GROUPS, `tasks` being those of the tuning."""
        # the same questions for every model of a seed
        rng = Random(self.seed, "seen")
        # as tuned: frames of the tuning; new phrasing: frames it never saw
        seen = {
            "as tuned": self.world.instructions(tasks, 120, rng, names=TEST),
            "new phrasing": self.world.instructions(tasks, 120, rng, FRAMES[3:], (2,), names=TEST),
        }
        return [self.accuracy(model, {**seen, **self.tests}[group]) for group in GROUPS]

    def understands(self, model):
        """Accuracy on questions in each of FORMS."""
        scores = []
        for form in FORMS.values():
            rng = Random(self.seed, "forms")
            questions = self.world.instructions(KNOWN, 120, rng, (form,), names=TEST)
            scores.append(self.accuracy(model, questions))
        return scores

    def some(self, count):
        """`count` of the tasks to be tuned on; those of a smaller count are among them."""
        # one sample of each task, to draw names of tasks from
        every = self.world.instructions(KNOWN, len(KNOWN), Random(0, "any"))
        names = {sample.task for sample in some_tasks(every, count, self.seed)}
        return [task for task in KNOWN if " ".join(task) in names]

    def samples(self, tasks, count, **more):
        """`count` samples to be tuned on."""
        return self.world.instructions(tasks, count, Random(self.seed, "tune"), **more)


def table(title, rows, columns):
    """Print rows {label: list over seeds of lists}; returns label -> array (columns, seeds)."""
    print(f"\n{title:<16}" + "".join(f"{column:>20}" for column in columns))
    scores = {}
    for label, found in rows.items():
        scores[label] = np.array(found).T
        cells = "".join(f"{mean_and_range(row, '.2f'):>20}" for row in scores[label])
        print(f"{label:<16}{cells}", flush=True)
    return scores


def rows_of(labs, settings):
    """Rows of a table, {label: list over seeds}.

    settings  {label: function of a Lab -> numbers}
    """
    return {
        label: [lab.row(label, partial(run, lab)) for lab in labs]
        for label, run in settings.items()
    }


def of_tasks(count):
    """Scores of a Lab's model after tuning on so many tasks."""

    def run(lab):
        tasks = lab.some(count)
        return lab.scores(lab.tuned(lab.samples(tasks, 720)), tasks)

    return run


def of_samples(count, noise=0, **options):
    """Scores after tuning on so many samples of all tasks; options as of Lab.tuned()."""
    return lambda lab: lab.scores(
        lab.tuned(lab.samples(KNOWN, count, noise=noise), **options), KNOWN
    )


def tasks_and_data(labs):
    """Claims 1 to 3."""
    settings = {"0 tasks": lambda lab: lab.scores(lab.tuned([]), KNOWN)}
    settings |= {f"{count} tasks": of_tasks(count) for count in (1, 2, 4, 9, 18)}
    # the same tuning from random weights
    settings["18, from random"] = of_samples(720, pretrained=False)
    # one training instead of two
    settings["18, mixed in"] = lambda lab: lab.scores(
        lab.taught_in_pretraining(lab.samples(KNOWN, 720)), KNOWN
    )
    first = table("720 samples", rows_of(labs, settings), GROUPS)
    settings = {f"{count} samples": of_samples(count) for count in (36, 180, 720, 2880)}
    # half of the answers replaced by wrong ones
    settings["2880, half wrong"] = of_samples(2880, noise=0.5)
    settings |= {f"{count}, loss on all": of_samples(count, whole=True) for count in (36, 180, 720)}
    second = table("18 tasks", rows_of(labs, settings), GROUPS)
    judge_tasks(first)
    judge_data(second)


def judge_tasks(scores):
    """Print the verdicts on kinds of tasks. scores: label -> (groups, seeds)."""
    pair = GROUPS.index("new pair")
    aspect = GROUPS.index("new aspect")
    few, some, many = (scores[f"{count} tasks"] for count in (1, 4, 18))
    steps = [MORE_KINDS.judge(b[pair], a[pair]) for a, b in ((few, some), (some, many))]
    print(f"  {MORE_KINDS.text}, 1 to 4 and 4 to 18: {weakest(steps)}")
    for other in ("0 tasks", "18, from random"):
        print(f"  {NEW.text} {other}: {NEW.judge(many[aspect], scores[other][aspect])}")
    for group, a, b in zip(GROUPS, many, scores["18, mixed in"]):
        print(f"  {AFTER.text}, {group}: {AFTER.judge(a, b)}")


def judge_data(scores):
    """Print the verdicts on samples and loss. scores: label -> (groups, seeds)."""
    pair = GROUPS.index("new pair")
    noisy = scores["2880, half wrong"]
    print(f"  {GOOD.line(scores['180 samples'][pair], noisy[pair])}")
    for count in (36, 180, 720):
        # the mean over the four groups: one number for each seed
        a, b = (scores[f"{count}{loss}"].mean(0) for loss in (" samples", ", loss on all"))
        print(f"  {ANSWERS.text}, {count} samples: {ANSWERS.judge(a, b)}")


def in_form(lab, count, form):
    """How a model understands each form after tuning on samples in one of them."""
    return lab.understands(lab.tuned(lab.samples(KNOWN, count, frames=(FORMS[form],))))


def instruction_forms(labs):
    """Claim 4: tuned on long, short or one-word instructions, tested on all three."""
    forms = list(FORMS)
    for count in (60, 720):
        rows = {
            form: [lab.row(f"{count} {form}", partial(in_form, lab, count, form)) for lab in labs]
            for form in forms
        }
        title = f"tuned with {count} samples in the form"
        heads = [f"asked {f}" for f in forms]
        scores = table(title, rows, heads)
        # (forms, seeds): each form tested with itself, and with the mean of the two others
        own = np.array([scores[form][i] for i, form in enumerate(forms)])
        others = np.array([np.delete(scores[form], i, 0).mean(0) for i, form in enumerate(forms)])
        verdict = WORD.judge(own[forms.index("word")], own[forms.index("long")])
        print(f"  {count} samples: {WORD.text}, once tuned: {verdict}")
        print(f"  {count} samples: {OWN_FORM.text}: {OWN_FORM.judge(own.mean(0), others.mean(0))}")
    # an instruction with its slots filled, as the model reads it
    words = labs[0].words
    slots = {"k": "animal", "a": "color", "e": ""}
    for form in ("short", "word"):
        # the same question in both forms
        saved, share = tokens_saved(
            words, FORMS["long"].format(**slots), FORMS[form].format(**slots), 1000
        )
        print(f"  {form}: {saved} tokens less for 1000 questions, {share:.0%} of the instruction")


def sweep(lab):
    """Print the held-out accuracy of learning rates, batch sizes and steps of tuning."""
    grid = {"learning_rate": (2e-4, 5e-4, 1e-3, 2e-3), "batch_size": (8, 32), "steps": (50, 150)}
    held = lab.world.instructions(KNOWN, 120, Random(lab.seed, "sweep"), names=TEST)
    # questions like those of "as tuned", so the choice favors that group
    train = lab.encoded(lab.samples(KNOWN, 720))
    held = lab.encoded(held)
    for row in grid_search(lambda: lab.tuned([]), lab.task(), train, held, grid, seeds=(0, 1)):
        print("  ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)


def best_rates(device, share, cells):
    """{way: the best of RATES}, mean accuracy over all groups with 180 and 720 samples."""
    labs, best = [Lab(seed, device, share, cells, {}) for seed in TUNING], {}
    for way, options in WAYS.items():
        scores = []
        for rate in RATES:
            runs = {
                f"{way}, {count} samples, rate {rate:g}": of_samples(count, rate=rate, **options)
                for count in (180, 720)
            }
            scores.append(np.mean(list(rows_of(labs, runs).values())))
        best[way] = RATES[int(np.argmax(scores))]
        print(
            f"{way:<16}" + "".join(f"{x:>8g}: {y:.2f}" for x, y in zip(RATES, scores)), flush=True
        )
    return best


def main(argv=None):
    """Print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", metavar="FILE", help="keep finished cells there, and go on")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    options = parser.parse_args(argv)
    backend.blas_threads(1)
    seeds, share, cells = SEEDS, 1.0, Cells(options.out)
    if options.quick:
        seeds, share = 2, 0.5
        rates = dict.fromkeys(WAYS, 2e-3)
        print(ONLY_RUNS)
    if options.sweep:
        sweep(Lab(options.seed, options.device, share, cells, {}))
        return
    if not options.quick:
        rates = best_rates(options.device, share, cells)
    labs = [
        Lab(seed, options.device, share, cells, rates)
        for seed in range(options.seed, options.seed + seeds)
    ]
    losses = [lab.row("loss", lambda lab=lab: [lab.pretrained[1]])[0] for lab in labs]
    print(
        f"pre-trained: {labs[0].new(0).count_parameters()} parameters, "
        f"{labs[0].words.vocab_size} words, loss " + ", ".join(f"{loss:.3f}" for loss in losses)
    )
    tasks_and_data(labs)
    curated(labs, table, GROUPS)
    instruction_forms(labs)
    print(f"{len(labs)} seeds; {cells.seconds() / 60:.0f} minutes of one core")


if __name__ == "__main__":
    main()
