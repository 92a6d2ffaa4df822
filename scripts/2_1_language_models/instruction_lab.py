"""The model, the world and the questions of instruction_tuning.py and its companions.

A GPT of 110 thousand parameters is pre-trained on statements about a small world of facts, tuned on
questions about them, and asked about names for which it was never tuned. Book section 2.1.3. Read
next: instruction_tuning.py.
"""

import itertools
from functools import cached_property

import numpy as np

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
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain import CausalLM
from tinylm.tokenizers import WordTokenizer

STEPS = 800  # of pre-training, at a rate of 6e-3
# name: how Lab.tuned() is called
WAYS = {
    "answers": {},
    "all tokens": {"whole": True},
    "from random": {"pretrained": False},
}
GROUPS = "as tuned", "new phrasing", "new pair", "new aspect"


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
