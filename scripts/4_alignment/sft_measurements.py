"""What supervised fine-tuning adds to a pre-trained model, what it costs, and how little it needs.

Book sections 4.2, 4.2.1, 4.2.3 and 4.2.4. A GPT of 110 thousand parameters is pre-trained on
statements about animals, birds, fish and trees ("the color of the owl is green ."), and tuned on
questions about the first half of the names; questions about the other half are the test. A task is
an aspect of a kind. Measured from one pre-training:

    the base model     it goes on instead of answering: replies that are one value and an end
    forgetting         one task, 720 samples: the rise of the loss of old statements, in nats a
                       token, plainly and with each remedy (an anchor at the start, a fifth of the
                       rate, statements replayed, the best epoch on held-out answers)
    more tasks         720 samples of 1, 4 or 18 tasks, asked pairs of aspect and kind that none had
    one domain         tuned on one task, asked others (one task, here and above: each of three, and
                       the mean is taken, since one has six names, which can be learnt by heart)
    answers alone      18 tasks, without their questions
    superficial        how many of the tuned model's tokens are the base model's best; 36 samples
                       after pre-training against 720 without

and from a second one, of as many statements about the 18 tuned tasks alone: broad and narrow
pre-training with broad and narrow tuning, asked the other pairs. Chance is 0.12 for a model that
knows the aspect. Ten seeds. `python
scripts/4_alignment/sft_measurements.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is two
seeds and a tenth of all steps. Read next: tinylm/align/supervised/mitigations.py,
tinylm/align/selection/superficial.py.
"""

import copy
import sys
import time

import numpy as np

from tinylm.align.selection.superficial import measure_shift
from tinylm.align.supervised.mitigations import tune
from tinylm.align.supervised.response_only import plain_text, response_only
from tinylm.backend import Random
from tinylm.data.synthetic.draws import pick
from tinylm.data.synthetic.told_facts import (
    ASPECTS,
    KNOWN,
    NEW_PAIR,
    STATEMENTS,
    TEST,
    World,
    vocabulary,
)
from tinylm.finetune import evaluate, fit
from tinylm.finetune.instruct.conversations import MARKS, ROLES, encode_samples
from tinylm.finetune.instruct.instructions import InstructionTuning, answer_loss
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain import CausalLM
from tinylm.tokenizers import WordTokenizer
from tinylm.train.compare import Claim, mean_and_range
from tinylm.train.script import command_line

WORDS = WordTokenizer(vocabulary(), MARKS)
END = WORDS.special["<|end|>"]
TASK = InstructionTuning(False, WORDS, END, max_tokens=5)
TEXTS, STEPS, SAMPLES, TUNING, ASKED = 8000, 800, 720, 150, 120
ONES = KNOWN[::6]  # the tasks of narrow tunings; one alone would depend on six facts of it
FEW, EPOCHS = 36, 6
SEEDS = 10  # what is learnt of questions differs much from one pre-training to the next
VALUES = {value for values, _ in ASPECTS.values() for value in values.split()}
RATE = 1e-3  # of 2e-4, 5e-4 and 1e-3 on seeds 101 and 103

# Written before the run. Accuracies and losses, one a seed, paired.
ANSWERS = Claim("tuned: more replies are one value than of the base model", "4.2", least=0.5)
FORGETS = Claim("one task: the loss of old statements rises by more than 0.1", "4.2.1", least=0.1)
REPLAY = Claim("replay: less is forgotten than plainly", "4.2.1", larger=False)
ANCHOR = Claim("anchor: less is forgotten than plainly", "4.2.1", larger=False)
SLOW = Claim("a fifth of the rate: less is forgotten than plainly", "4.2.1", larger=False)
TASKS = Claim("18 tasks over 1, as many samples: more right on new pairs", "4.2.4", least=0.03)
DOMAIN = Claim(
    "tuned on one task: more right on the other 17 than the base model", "4.2.4", least=0.03
)
ALONE = Claim("answers alone: more right than the base model", "4.2.3", least=0.03)
QUESTIONS = Claim("questions and answers over answers alone", "4.2.3", least=0.03)
SAMPLE = Claim(f"{FEW} samples after pre-training over {SAMPLES} without it", "4.2.3", least=0.03)
BROAD = Claim("broad pre-training over narrow, broad tuning: new pairs", "4.2.4", least=0.03)
BROAD_TUNING = Claim(
    "broad tuning over narrow, narrow pre-training: new pairs", "4.2.4", least=0.03
)


def new_model(seed):
    """A GPT with new weights."""
    config = GPTConfig(WORDS.vocab_size, 40, 2, 4, 64, norm="rms", positions="rope", bias=False)
    return GPT(config, seed)


def stories(world, seed, narrow, count):
    """Texts of statements, at most 33 tokens each; narrow: about the tuned tasks alone."""
    rng = Random(seed, "stories")
    if not narrow:
        return [WORDS.encode(world.story(rng))[:33] for _ in range(count)]
    texts = []
    for _ in range(count):
        said = [world.text(pick(STATEMENTS, rng), pick(KNOWN, rng), rng)[0] for _ in range(7)]
        texts.append(WORDS.encode(" ".join(said))[:33])
    return texts


def pretrained(world, seed, narrow, share):
    """A model that has read the stories."""
    texts = stories(world, seed, narrow, TEXTS)
    model = new_model(seed)
    given = {"steps": max(1, int(share * STEPS)), "batch_size": 32, "learning_rate": 6e-3}
    fit(model, CausalLM(), texts, seed=seed, **given)
    return model


class Tuning:
    """The tunings of one seed: questions, and models that begin as a copy of another."""

    def __init__(self, world, seed, share):
        self.world, self.seed = world, seed
        self.steps = max(1, int(share * TUNING))

    def samples(self, tasks, count=SAMPLES):
        """Questions about names of the tuning, encoded."""
        asked = self.world.instructions(tasks, count, Random(self.seed, "tune"))
        return encode_samples(WORDS, ROLES, asked)[0]

    def tuned(self, model, examples):
        """A copy of the model, tuned."""
        found = copy.deepcopy(model)
        given = {"steps": self.steps, "batch_size": 32, "learning_rate": RATE}
        fit(found, TASK, examples, seed=self.seed, **given)
        return found

    def right(self, model, tasks):
        """Share of right answers to questions about names of the test."""
        rng = Random(self.seed, "test")
        asked = self.world.instructions(tasks, ASKED, rng, names=TEST)
        return evaluate(model, TASK, encode_samples(WORDS, ROLES, asked)[0])["accuracy"]

    def in_form(self, model):
        """Share of replies that are one value and the end."""
        rng = Random(self.seed, "test")
        asked = self.world.instructions(KNOWN, ASKED, rng, names=TEST)
        examples = encode_samples(WORDS, ROLES, asked)[0]
        replies = TASK.predict(model, TASK.make_batch(examples))
        # A reply that goes on has up to five words.
        return sum(reply.strip() in VALUES for reply in replies) / len(replies)


def forgetting(base, tuning, old, share, task):
    """{remedy: (rise of the loss of old statements, share right on the tuned task)}."""
    examples, held = tuning.samples([task]), tuning.samples([task], 900)[SAMPLES:]
    replayed = [plain_text(ids) for ids in old[:SAMPLES]]
    measured = [plain_text(ids) for ids in old[SAMPLES:]]
    epochs = max(1, round(EPOCHS * share))
    plain = {"epochs": epochs, "batch_size": 32, "learning_rate": RATE, "task": TASK}
    remedies = {
        "plainly": {},
        "anchor": {"anchor": 1.0},
        "a fifth of the rate": {"learning_rate": RATE / 5},
        "replay": {"replay": 1.0},
        "best epoch": {"held_out": held, "patience": 1},
    }
    found = {}
    for name, remedy in remedies.items():
        model = copy.deepcopy(base)
        # Statements for replay are others than those that measure what is forgotten.
        texts = {"old": replayed if "replay" in remedy else measured}
        before = answer_loss(model, TASK, measured)[0]
        tune(model, examples, seed=tuning.seed, **(plain | texts | remedy))
        rise = answer_loss(model, TASK, measured)[0] - before
        found[name] = rise, tuning.right(model, [task])
    return found


def mean_right(tuning, models, tasks):
    """Mean over models, each asked its own list of tasks."""
    return float(np.mean([tuning.right(model, asked) for model, asked in zip(models, tasks)]))


def mean_of(tables):
    """Mean of tables {name: tuple of numbers}, number by number."""
    return {name: tuple(np.mean([one[name] for one in tables], axis=0)) for name in tables[0]}


def run(seed, share, device):
    """All measurements of one seed: {name: number or tuple}."""
    world = World(seed)
    tuning = Tuning(world, seed, share)
    broad, narrow = (pretrained(world, seed, one, share).to(device) for one in (False, True))
    many = tuning.samples(KNOWN)
    tuned = tuning.tuned(broad, many)
    single = [tuning.tuned(broad, tuning.samples([task])) for task in ONES]
    single_narrow = [tuning.tuned(narrow, tuning.samples([task])) for task in ONES]
    some = tuning.tuned(broad, tuning.samples(KNOWN[::5]))
    begin = int(many[0].ids[0])
    alone = tuning.tuned(broad, [response_only(one, begin) for one in many])
    little = tuning.tuned(broad, tuning.samples(KNOWN, FEW))
    scratch = tuning.tuned(new_model(seed + 100).to(device), many)
    others = [[task for task in KNOWN if task != one] for one in ONES]
    shift = measure_shift(broad, tuned, TASK.make_batch(many[:ASKED]))
    old = stories(world, seed + 10**6, False, 2 * SAMPLES)
    found = {
        "in form, base": tuning.in_form(broad),
        "in form, tuned": tuning.in_form(tuned),
        "right, base": tuning.right(broad, KNOWN),
        "right, tuned": tuning.right(tuned, KNOWN),
        "right, answers alone": tuning.right(alone, KNOWN),
        "right, few samples": tuning.right(little, KNOWN),
        "right, no pre-training": tuning.right(scratch, KNOWN),
        "others, base": mean_right(tuning, [broad] * len(ONES), others),
        "others, one task": mean_right(tuning, single, others),
        "that task, one task": mean_right(tuning, single, [[one] for one in ONES]),
        "new pairs, 1 task": mean_right(tuning, single, [NEW_PAIR] * len(ONES)),
        "new pairs, 4 tasks": tuning.right(some, NEW_PAIR),
        "new pairs, 18 tasks": tuning.right(tuned, NEW_PAIR),
        "narrow, 1 task": mean_right(tuning, single_narrow, [NEW_PAIR] * len(ONES)),
        "narrow, 18 tasks": tuning.right(tuning.tuned(narrow, many), NEW_PAIR),
        "unshifted tokens": shift.shares()["unshifted"],
        "KL, first token": shift.kl_by_position()[0],
        "KL, second token": shift.kl_by_position()[1],
        "forgetting": mean_of([forgetting(broad, tuning, old, share, task) for task in ONES]),
    }
    print(f"seed {seed}: {found['right, tuned']:.2f} right", file=sys.stderr, flush=True)
    return found


def show(runs):
    """Print the tables: mean (least .. most) over seeds."""
    for name in runs[0]:
        if name != "forgetting":
            print(f"    {name:<24}{mean_and_range([r[name] for r in runs], '.2f')}")
    print("one task, loss of old statements: rise; right on the task")
    for name in runs[0]["forgetting"]:
        rise, right = zip(*(r["forgetting"][name] for r in runs))
        cells = f"{mean_and_range(rise, '.2f'):<24}{mean_and_range(right, '.2f')}"
        print(f"    {name:<24}{cells}")


def verdicts(runs):
    """Print the verdict of every claim."""

    def of(name):
        return [r[name] for r in runs]

    def rise(name):
        return [r["forgetting"][name][0] for r in runs]

    print(ANSWERS.line(of("in form, tuned"), of("in form, base")))
    print(FORGETS.line(rise("plainly"), 0.0))
    for claim, name in ((REPLAY, "replay"), (ANCHOR, "anchor"), (SLOW, "a fifth of the rate")):
        print(claim.line(rise(name), rise("plainly")))
    print(TASKS.line(of("new pairs, 18 tasks"), of("new pairs, 1 task")))
    print(DOMAIN.line(of("others, one task"), of("others, base")))
    print(ALONE.line(of("right, answers alone"), of("right, base")))
    print(QUESTIONS.line(of("right, tuned"), of("right, answers alone")))
    print(SAMPLE.line(of("right, few samples"), of("right, no pre-training")))
    print(BROAD.line(of("new pairs, 18 tasks"), of("narrow, 18 tasks")))
    print(BROAD_TUNING.line(of("narrow, 18 tasks"), of("narrow, 1 task")))


def main(argv=None):
    """Measure every seed, print the tables and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two seeds, a tenth of all steps", count=SEEDS)
    share = 1.0
    if options.quick:
        share = 0.1
    runs = [run(seed, share, options.device) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time():.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
