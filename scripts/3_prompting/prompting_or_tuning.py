"""Prompting or fine-tuning: with how many classes, how many labels, and which size of model?

Book sections 3.1.4.1 and 3.4. Texts are six made-up words about one of 64 topics, so Bayes' rule
gives the best accuracy that any reader can have. A GPT and an encoder (masked LM) are pre-trained
on the same documents, in which texts have the name of their topic behind them, common topics more
often than rare ones. Claims: (1) a prompt, whose answer is the most probable label, gets worse the
more classes there are; an encoder with a classifier, fine-tuned on labeled texts, is better at 64
classes, and its lead grows with the classes; (2) the same encoder scores the names in a blank
without any label better than its fine-tuned head does with one label a class, and worse than with
many; (3) larger GPTs are prompted better, fine-tuning helps the smallest, and helps it more than
the largest. A classifier has labels of all its classes, a prompt room for three demonstrations;
beside both, a classifier on an encoder that has read nothing. Five seeds, each with its own topics,
documents and models; all sides of a seed label the same texts. About 4 minutes on one core. `python
scripts/3_prompting/prompting_or_tuning.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is two
seeds of 20 steps. Read next: topics_to_read.py, tinylm/prompt/tasks/classification.py,
tinylm/finetune/tasks/classify.py.

Measured output (one core of a busy machine):

    accuracy by classes, mean +- sd over seeds; heads by labeled texts a class,
    fresh: 32 a class and an encoder that was not pre-trained
             chance         best    zero-shot       3-shot      head, 8     head, 32        fresh
          2    0.50 1.00 +- 0.00 0.96 +- 0.04 0.84 +- 0.14 0.96 +- 0.03 0.97 +- 0.01 0.98 +- 0.01
          4    0.25 0.99 +- 0.01 0.90 +- 0.03 0.82 +- 0.05 0.93 +- 0.02 0.97 +- 0.01 0.97 +- 0.01
          8    0.12 0.99 +- 0.00 0.78 +- 0.05 0.68 +- 0.04 0.92 +- 0.02 0.96 +- 0.01 0.97 +- 0.01
         16    0.06 0.98 +- 0.01 0.68 +- 0.06 0.59 +- 0.06 0.83 +- 0.05 0.88 +- 0.05 0.95 +- 0.02
         32    0.03 0.98 +- 0.02 0.59 +- 0.05 0.51 +- 0.07 0.58 +- 0.09 0.81 +- 0.05 0.93 +- 0.03
         64    0.02 0.98 +- 0.02 0.49 +- 0.03 0.43 +- 0.07 0.27 +- 0.04 0.67 +- 0.06 0.84 +- 0.03
        with 8 a class the head's mean is above the better prompt's at: [4, 8, 16]
        with 32 a class the head's mean is above the better prompt's at: [2, 4, 8, 16, 32, 64]
    accuracy of 16 classes, one encoder, by labeled texts a class
        cloze, 0   0.37 +- 0.07
        head, 1    0.49 +- 0.05
        head, 2    0.65 +- 0.05
        head, 4    0.79 +- 0.05
        head, 8    0.83 +- 0.05
        head, 16   0.86 +- 0.06
        head, 32   0.88 +- 0.05
    accuracy of 16 classes, by the size of the GPT; tuned on 8 labeled texts a class
        width  layers  parameters    zero-shot       3-shot     tuned, 8
            8       1       2,864 0.07 +- 0.02 0.06 +- 0.01 0.17 +- 0.04
           16       1       7,264 0.17 +- 0.06 0.11 +- 0.04 0.46 +- 0.08
           32       2      33,024 0.42 +- 0.06 0.28 +- 0.03 0.81 +- 0.03
           64       2     115,200 0.68 +- 0.06 0.59 +- 0.06 0.91 +- 0.03
    5 seeds; 247 s of one core
    a prompt loses 0.1 or more from 2 classes to 64, zero-shot and 3-shot (section 3.1.4.1): +0.408
      [+0.229, +0.587], 5 seeds: shows
    at 64 classes a head with 32 a class is better than either prompt (section 3.1.4.1): +0.18
      [+0.0772, +0.283], 5 seeds: shows
    its lead over the better prompt grows from 2 classes to 64 (section 3.1.4.1): +0.165 [+0.0302,
      +0.3], 5 seeds: shows
    without labels, a cloze is better than a head with one a class (section 3.4): -0.12 [-0.156,
      -0.0838], 5 seeds: shows the opposite
    a head with 32 a class is better than the cloze (section 3.4): +0.506 [+0.415, +0.597], 5 seeds:
      shows
    prompted: the largest GPT is better than the smallest (section 3.4): +0.618 [+0.523, +0.713], 5
      seeds: shows
    fine-tuning helps the smallest GPT (section 3.4): +0.1 [+0.0309, +0.169], 5 seeds: shows
    it helps the smallest more than the largest (section 3.4): -0.128 [-0.278, +0.0221], 5 seeds:
      too small to tell; 0.15 could have been seen

A prompt answers with what pre-training taught it of a label, so it loses half of its accuracy from
2 classes to 64, and three demonstrations, which cannot show the labels, only do harm. A head learns
the labels from the data: with 32 texts a class it is ahead everywhere, by 0.2 from 8 classes on.
With 8 a class the lines cross twice: it is level at 2, ahead from 4 to 16, and behind the prompt at
32 and 64, where so few texts are not enough. The encoder that read nothing makes the best heads of
all: what decides a topic are its words, and masked LM of this length does not help to use them. A
cloze needs no label, but here one labeled text a class is worth more; in a trial with 600 steps
(seed 100) the cloze had 0.59 and such a head, tuned at a rate of 1e-3, 0.42, so that verdict is one
of little pre-training. In the same trial prompts had 0.77 at 64 classes. Every size of GPT gains by
fine-tuning, the smallest 0.1; the largest gains come at the sizes between, since the smallest can
learn little in any way. That it helps the smallest more than the largest is too small to tell.
"""

import copy
import sys
import time

import numpy as np
from small_runs import command_line
from topics_to_read import BATCH, LABELS, TEXTS, WIDTH, World

from tinylm.data.synthetic.topics import ABOUT, END
from tinylm.finetune import evaluate, fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.prompt import TextModel
from tinylm.prompt.in_context.calibration import label_probabilities
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.tasks.masked_cloze import BLANK, MaskedCloze, classify_by_mask
from tinylm.prompt.template import PromptTemplate
from tinylm.train.experiments.compare import Claim, mean_and_sd, weakest

STEPS = 250  # of pre-training
SIZES = {8: 1, 16: 1, 32: 2, 64: 2}  # width of a GPT: its layers
CLASSES = 2, 4, 8, 16, 32, 64
SOME = 16  # classes where labels or sizes are compared
FEW, OWN = 8, 32  # labeled texts a class where classes are compared; of sizes, FEW
# Rates by a trial of 1e-3 and 5e-3 for heads: 5e-3 was 0.2 to 0.3 better.
HEAD_RATE, TUNING_RATE = 5e-3, 2e-3
LEAST_STEPS, EPOCHS = 60, 2
SHOTS = TEXTS - 1  # as many as a document has room for
# "zuko bami .. about dalo . ribe tumo .. about": the form of the documents
PROMPT = FewShotPrompt(
    question_name="",
    answer_name="",
    between=f" {ABOUT} ",
    separator=f" {END} ",
)
CLOZE = PromptTemplate(f"{{*text*}} {ABOUT} {BLANK} {END}")
# The rules, written before the run: accuracies of each seed, paired.
FALLS = Claim(
    "a prompt loses 0.1 or more from 2 classes to 64",
    "3.1.4.1",
    least=0.1,
)
HEAD = Claim(
    f"at 64 classes a head with {OWN} a class is better than either prompt", "3.1.4.1", least=0.02
)
LEAD = Claim(
    "its lead over the better prompt grows from 2 classes to 64",
    "3.1.4.1",
)
FREE = Claim(
    "without labels, a cloze is better than a head with one a class",
    "3.4",
    least=0.02,
)
MANY = Claim(
    f"a head with {LABELS[-1]} a class is better than the cloze",
    "3.4",
    least=0.02,
)
SIZE = Claim(
    "prompted: the largest GPT is better than the smallest",
    "3.4",
    least=0.1,
)
HELPS = Claim(
    "fine-tuning helps the smallest GPT",
    "3.4",
    least=0.02,
)
MORE = Claim(
    "it helps the smallest more than the largest",
    "3.4",
)


def tuning(examples, rate):
    """How a model is fine-tuned on so many examples: options of fit()."""
    # Few examples are read more than EPOCHS times: at least so many updates are needed.
    steps = max(LEAST_STEPS, EPOCHS * len(examples) // BATCH)
    return {"steps": steps, "batch_size": BATCH, "learning_rate": rate}


def prompted(world, model, items, demonstrations=()):
    """Accuracy of the most probable label after a prompt."""
    lm = TextModel.of(model.eval(), world.tokenizer, batch_size=64)
    options = items[0].options
    p = label_probabilities(lm, items, options, demonstrations, PROMPT)  # (n, K)
    chosen = [options[i] for i in p.argmax(axis=1)]
    return float(np.mean([label == one.answer for label, one in zip(chosen, items)]))


def by_cloze(world, encoder, items):
    """Accuracy of the most probable label in the blank."""
    cloze = MaskedCloze(encoder.eval(), world.tokenizer.encode, world.special)
    # A label is put into words by its own name, the one that documents have.
    names = {label: (label,) for label in items[0].options}
    right = []
    for item in items:
        answer = classify_by_mask(cloze, item, CLOZE, names)
        right.append(answer.value == item.answer)
    return float(np.mean(right))


def by_head(world, encoder, labeled, items):
    """Accuracy of a copy of the encoder with a classifier, fine-tuned on labeled texts."""
    labels = items[0].options
    model = Classifier(copy.deepcopy(encoder), len(labels), "mean", world.seed)
    task = Classification(EncoderInput(world.special, world.tokenizer), labels)
    train = [(one.question, one.answer) for one in labeled]
    test = [(one.question, one.answer) for one in items]
    options = tuning(train, HEAD_RATE)
    fit(model, task, train, seed=world.seed, **options)
    return evaluate(model, task, test)["accuracy"]


def tuned(world, model, labeled):
    """A copy of a GPT, fine-tuned to continue the prompts of labeled texts with their labels."""
    model = copy.deepcopy(model)
    encode = world.tokenizer.encode
    # The loss is on the label alone, in the form that the test has.
    examples = []
    for one in labeled:
        context = encode(PROMPT.query(one))
        target = encode(PROMPT.continuation(one, one.answer))
        examples.append(encode_sft(context, target))
    options = tuning(examples, TUNING_RATE)
    fit(model, InstructionTuning(), examples, seed=world.seed, **options)
    return model


def by_classes(world, gpt, encoder):
    """Accuracies for each number of classes: {K: (best, zero-shot, few-shot, heads by labels)}."""
    found, fresh = {}, world.encoder(fresh=True)
    for count in CLASSES:
        rows = []
        for piece in range(1 + (count < SOME)):  # two sets of few labels, which take little time
            labels = world.labels(count, piece)
            items = world.tested(labels)
            few, own = world.labeled(labels, FEW), world.labeled(labels, OWN)
            shown = world.topics.items(SHOTS, labels, seed=world.seed + 3000)
            # Bayes' rule, with the true vocabulary of every topic: no reader is better.
            ideal = [world.topics.best(one.question, labels) for one in items]
            best = np.mean([label == one.answer for label, one in zip(ideal, items)])
            rows.append(
                (
                    best,
                    prompted(world, gpt, items),
                    prompted(world, gpt, items, shown),
                    by_head(world, encoder, few, items),
                    by_head(world, encoder, own, items),
                    by_head(world, fresh, own, items),
                )
            )
        found[count] = np.mean(rows, axis=0)
    return found


def by_labels(world, encoder):
    """Accuracy of the cloze, and of heads by labeled texts a class: (1 + len(LABELS),)."""
    labels = world.labels(SOME)
    items = world.tested(labels)
    heads = []
    for each in LABELS:
        labeled = world.labeled(labels, each)
        heads.append(by_head(world, encoder, labeled, items))
    return np.array([by_cloze(world, encoder, items), *heads])


def by_size(world, gpts):
    """Accuracies of GPTs without and with fine-tuning: {width: (zero-shot, few-shot, tuned)}."""
    labels = world.labels(SOME)
    items, labeled = world.tested(labels), world.labeled(labels, FEW)
    shown = world.topics.items(SHOTS, labels, seed=world.seed + 3000)
    found = {}
    for width, gpt in gpts.items():
        zero_shot = prompted(world, gpt, items)
        few_shot = prompted(world, gpt, items, shown)
        # The fine-tuned copy gets the prompt without demonstrations, as in its training.
        after = prompted(world, tuned(world, gpt, labeled), items)
        found[width] = np.array([zero_shot, few_shot, after])
    return found


def run(seed, steps, device):
    """All accuracies of one seed, and the parameters of the GPTs."""
    world = World(seed, steps, device)
    # The GPT of the encoder's width is one of the sizes, so it is trained once.
    gpts = {width: world.gpt(width, layers) for width, layers in SIZES.items()}
    encoder = world.encoder()
    return {
        "classes": by_classes(world, gpts[WIDTH], encoder),
        "labels": by_labels(world, encoder),
        "sizes": by_size(world, gpts),
        "parameters": {width: gpt.count_parameters() for width, gpt in gpts.items()},
    }


def columns(runs, part, keys):
    """The measurements of a part, (seeds, keys, columns)."""
    rows = [[r[part][key] for key in keys] for r in runs]
    return np.array(rows)


def show(runs):
    """Print the tables, mean and standard deviation over seeds."""

    def cells(values):
        return "".join(f"{mean_and_sd(column, '.2f'):>13}" for column in values.T)

    print("accuracy by classes, mean +- sd over seeds; heads by labeled texts a class,")
    print(f"fresh: {OWN} a class and an encoder that was not pre-trained")
    heads = f"head, {FEW}", f"head, {OWN}", "fresh"
    titles = "best", "zero-shot", f"{SHOTS}-shot", *heads
    print(f"    {'':>3}{'chance':>8}" + "".join(f"{title:>13}" for title in titles))
    classes = columns(runs, "classes", CLASSES)
    for i, count in enumerate(CLASSES):
        row = cells(classes[:, i])
        print(f"    {count:>3}{1 / count:>8.2f}{row}")
    better = classes[:, :, 1:3].max(axis=2)  # (seeds, K)
    for column, each in ((3, FEW), (4, OWN)):
        lead = (classes[:, :, column] - better).mean(axis=0)  # (K,)
        ahead = [count for count, x in zip(CLASSES, lead) if x > 0]
        print(f"    with {each} a class the head's mean is above the better prompt's at: {ahead}")
    print(f"accuracy of {SOME} classes, one encoder, by labeled texts a class")
    labels = columns(runs, "labels", range(1 + len(LABELS)))
    names = ["cloze, 0", *(f"head, {each}" for each in LABELS)]
    for i, name in enumerate(names):
        print(f"    {name:<10}{mean_and_sd(labels[:, i], '.2f'):>13}")
    print(
        f"accuracy of {SOME} classes, by the size of the GPT; tuned on {FEW} labeled texts a class"
    )
    names = "zero-shot", f"{SHOTS}-shot", f"tuned, {FEW}"
    titles = "".join(f"{name:>13}" for name in names)
    print(f"    {'width':>5}{'layers':>8}{'parameters':>12}{titles}")
    sizes = columns(runs, "sizes", SIZES)
    for i, (width, layers) in enumerate(SIZES.items()):
        count = runs[0]["parameters"][width]  # the same of every seed
        row = cells(sizes[:, i])
        print(f"    {width:>5}{layers:>8}{count:>12,}{row}")


def verdicts(runs):
    """Print the verdict of every claim."""
    classes = columns(runs, "classes", CLASSES)  # (seeds, K, 6)
    falls = []
    for column in (1, 2):  # zero-shot and few-shot; the weaker verdict is that of both
        accuracy = classes[:, :, column]
        falls.append(FALLS.judge(accuracy[:, 0], accuracy[:, -1]))
    print(f"{FALLS.text}, zero-shot and {SHOTS}-shot (section 3.1.4.1): {weakest(falls)}")
    better = classes[:, :, 1:3].max(axis=2)  # (seeds, K)
    head = classes[:, :, 4]  # with OWN labeled texts a class
    print(HEAD.line(head[:, -1], better[:, -1]))
    lead = head - better
    print(LEAD.line(lead[:, -1], lead[:, 0]))
    labels = columns(runs, "labels", range(1 + len(LABELS)))
    print(FREE.line(labels[:, 0], labels[:, 1]))
    print(MANY.line(labels[:, -1], labels[:, 0]))
    sizes = columns(runs, "sizes", SIZES)  # (seeds, sizes, 3)
    better = sizes[:, :, :2].max(axis=2)
    print(SIZE.line(better[:, -1], better[:, 0]))
    # Against the better prompt of each seed, so the choice of it favours prompts.
    gains = sizes[:, :, 2] - better
    print(HELPS.line(gains[:, 0], 0.0))
    print(MORE.line(gains[:, 0], gains[:, -1]))


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    args, seeds = command_line(argv, __doc__, "two seeds, 20 steps")
    began = time.process_time()
    steps = STEPS
    if args.quick:
        steps = 20
    runs = []
    for seed in seeds:
        runs.append(run(seed, steps, args.device))
        print(f"seed {seed}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
