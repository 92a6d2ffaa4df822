"""Do demonstrations help whose steps and answers the model wrote itself, mistakes included?

Book section 3.3.1 (Auto-CoT, Zhang et al. 2023). "apple alpha beta" has a word of one of six kinds
and two labels, of which one is that of its kind. Which, differs from world to world: alone, a
question can only be guessed. A GPT of two layers has read worlds of worked questions, "Steps: fruit
is beta. The answer is beta.", of which three of ten conclude the wrong label, as texts have
mistakes (these it did not learn to write). In new worlds Auto-CoT gets 48 questions without
answers, clusters them by the model's own vectors of their words, and lets the model work one of
each cluster zero-shot. Claims: (1) Auto-CoT beats zero-shot chain of thought, although half or more
of its demonstrations are wrong; (2) one of each cluster beats as many at random, all worked by the
model; (3) right demonstrations beat the model's own; (4) right ones whose answers are exchanged are
within 0.1 of them, as two questions of a kind have its label in common, whatever is concluded. Five
seeds of four worlds and 100 questions each. About 6 minutes on one core. `python
scripts/3_prompting/own_demonstrations.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is two
seeds, 40 steps and 10 questions. Read next: tinylm/prompt/in_context/clusters.py.

Measured output (one core of a busy machine):

    accuracy, a guess is 0.50, mean (least .. most) over seeds
        zero-shot                 0.49 (0.45 .. 0.54)
        Auto-CoT                  0.66 (0.61 .. 0.71)
        own, at random            0.62 (0.57 .. 0.68)
        right, of clusters        0.72 (0.71 .. 0.73)
        right, at random          0.69 (0.63 .. 0.73)
        exchanged, of clusters    0.72 (0.71 .. 0.74)
    the demonstrations
        own that are right        0.49 (0.38 .. 0.62)
        kinds of the clusters     4.75 (4.00 .. 5.25)
        kinds at random           4.20 (4.00 .. 4.50)
    5 seeds; 330 s of one core
    Auto-CoT beats zero-shot chain of thought (section 3.3.1): +0.167 [+0.0798, +0.253], 5 seeds:
      shows
    one of each cluster beats as many at random, worked by the model (section 3.3.1): +0.039
      [-0.0376, +0.116], 5 seeds: too small to tell; 0.11 could have been seen
    right demonstrations beat the model's own (section 3.3.1): +0.062 [+0.0196, +0.104], 5 seeds:
      too small to tell; 0.092 could have been seen
    exchanged answers are within 0.1 of right ones (section 3.3.1): +0.0035 [-0.00294, +0.00994], 5
      seeds: shows

Demonstrations that the model worked itself take it from a guess (0.49) to 0.66, although half of
them are wrong; right ones give 0.72, and that they are better (by 0.06) is too small to tell. Why
mistakes cost so little is in the last line: right demonstrations with exchanged answers are as good
as right ones. The model does not read what is concluded. It finds the label that two questions of a
kind have in common, so here the questions are what Auto-CoT gives, and the steps that name their
kinds; a task whose answers are not in its questions would be another matter (see
chosen_demonstrations.py, where exchanged answers take everything away). The clusters meet 4.75 of
the six kinds and chance 4.2, which leaves little room for the second claim: 0.04, and 0.11 could
have been seen.

The settings were tried on seed 100 before the run.
"""

import sys
import time
from dataclasses import replace

import numpy as np
from chosen_demonstrations import KINDS, LABELS
from small_runs import command_line, read_once, small_gpt

from tinylm.data.read.items import Item
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.in_context.clusters import auto_cot, by_cluster
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.selection import random_demonstrations, text_of
from tinylm.prompt.in_context.shots import exchanged_answers
from tinylm.prompt.reasoning.chain_of_thought import chain_of_thought, zero_shot_cot
from tinylm.tokenizers import WordTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

NAMES = "fruit animal color weather food clothes".split()  # of the kinds
END = "STOP"  # ends each worked question, in place of a blank line, which is no word
FORM = FewShotPrompt(separator=f" {END} ")
TRIGGER = "Steps:"  # a short one, as every question of a training text has it
SHOTS, POOL = len(KINDS), 48  # a demonstration for each kind; eight questions of each in the pool
WORLDS, ASKED = 4, 100
MISTAKES = 0.3  # of the worked questions in the training texts
STEPS, BATCH, RATE, LENGTH = 800, 16, 3e-3, 7  # each training text is a world of 7 questions
TOKENS = 16  # of a reply; its steps and answer have 12
WAYS = (
    "zero-shot",
    "Auto-CoT",
    "own, at random",
    "right, of clusters",
    "right, at random",
    "exchanged, of clusters",
)
# Accuracies of each seed, paired: all ways have the same model, pools and questions.
OWN = Claim("Auto-CoT beats zero-shot chain of thought", "3.3.1", least=0.05, limit=1.0)
CLUSTERS = Claim(
    "one of each cluster beats as many at random, worked by the model",
    "3.3.1",
    least=0.03,
    limit=1.0,
)
RIGHT = Claim("right demonstrations beat the model's own", "3.3.1", least=0.05, limit=1.0)
# A price that may be paid.
ANSWERS = Claim("exchanged answers are within 0.1 of right ones", "3.3.1", least=-0.1)


def world(count, rng):
    """Questions of a new world with their answers and steps: list of Item."""
    labels = rng.integers(len(LABELS), size=len(KINDS))  # kind -> label
    items = []
    for _ in range(count):
        kind, word = int(rng.integers(len(KINDS))), int(rng.integers(4))
        right = LABELS[labels[kind]]
        other = LABELS[(labels[kind] + rng.integers(1, len(LABELS))) % len(LABELS)]
        two = [right, other]
        if rng.integers(2):
            two = [other, right]
        word = KINDS[kind][word]
        items.append(Item(" ".join([word, *two]), right, rationale=steps(word, right)))
    return items


def steps(word, label):
    """The worked solution of a question."""
    (kind,) = [name for name, words in zip(NAMES, KINDS) if word in words]
    return f"{TRIGGER} {kind} is {label}."


def mistaken(item):
    """The item with the wrong one of its labels as its answer."""
    word, *two = item.question.split()
    (wrong,) = [label for label in two if label != item.answer]
    return replace(item, answer=wrong, rationale=steps(word, wrong))


def reader(seed, count, device):
    """A GPT that has read worlds of worked questions: TextModel."""
    texts = [FORM.demonstration(item, True) for item in world(400, np.random.default_rng(0))]
    tokenizer = WordTokenizer.from_text(" ".join([*texts, *LABELS, END]))
    rng = np.random.default_rng([seed, 0])
    rows = [worked(tokenizer, rng) for _ in range(count * BATCH)]
    model = small_gpt(tokenizer.vocab_size, 256, seed, positions="rope").to(device)
    (end,) = tokenizer.encode(END).tolist()
    return TextModel.of(read_once(model, rows, BATCH, RATE, seed), tokenizer, ends=(end,))


def worked(tokenizer, rng):
    """A training text: questions with their steps, of which the right ones are learnt: Encoded."""
    ids, learnt = [], []
    for item in world(LENGTH, rng):
        right = rng.random() >= MISTAKES
        if not right:
            item = mistaken(item)
        query = tokenizer.encode(FORM.query(item)).tolist()
        whole = tokenizer.encode(f"{FORM.demonstration(item, True)} {END}").tolist()
        ids += whole
        learnt += [right and i >= len(query) for i in range(len(whole))]
    return Encoded(np.array(ids), np.array(learnt))


def vectors(lm):
    """An embedding of questions: the model's own vector of the word that is asked about."""
    table = np.asarray(lm.lm.model.tokens.weight.numpy(), np.float64)

    def embed(texts):
        return table[[int(lm.tokenizer.encode(text)[0]) for text in texts]]

    return embed


def solve(lm, item, seed=0):
    """A question worked without demonstrations: Answer."""
    return zero_shot_cot(lm, item, trigger=TRIGGER, prompt=FORM, seed=seed, max_tokens=TOKENS)


def worked_by(lm, items):
    """Items with the answers and steps that the model gives them zero-shot."""
    found = []
    for item in items:
        # The whole pool is one cluster of one: what Auto-CoT does with a question.
        found += auto_cot(lm, [item], 1, vectors(lm), solve=solve, opening=TRIGGER)
    return found


def accuracy(lm, method, items, shown=(), **options):
    """Share of right answers after the same demonstrations for all."""
    options |= {"prompt": FORM, "max_tokens": TOKENS, "at_once": 50}
    records = answer_together(lm, method, items, shown, **options)
    return float(np.mean([record.right for record in records]))


def one_world(lm, asked, seed, number):
    """Accuracy of every way in a new world, and shares of right demonstrations: dict."""
    items = world(POOL + asked, np.random.default_rng([seed, 1, number]))
    pool, items = items[:POOL], items[POOL:]
    embed = vectors(lm)
    gold = {item.question: item for item in pool}
    own = auto_cot(lm, pool, SHOTS, embed, solve=solve, opening=TRIGGER, seed=seed)
    # The same questions as Auto-CoT's, with their right answers and steps.
    right = [gold[demo.question] for demo in own]
    drawn = random_demonstrations(pool, items[0], len(own), seed + 1000 * number)
    groups = by_cluster(embed([text_of(item) for item in pool]), SHOTS, seed)
    found = {
        "zero-shot": accuracy(lm, zero_shot_cot, items, trigger=TRIGGER),
        "Auto-CoT": accuracy(lm, chain_of_thought, items, own),
        "own, at random": accuracy(lm, chain_of_thought, items, worked_by(lm, drawn)),
        "right, of clusters": accuracy(lm, chain_of_thought, items, right),
        "right, at random": accuracy(lm, chain_of_thought, items, drawn),
        "exchanged, of clusters": accuracy(lm, chain_of_thought, items, exchanged(right, seed)),
    }
    found["own that are right"] = np.mean(
        [is_right(demo.answer, gold[demo.question]) for demo in own] or [0.0]
    )
    found["kinds of the clusters"] = len({kind_of(demo) for demo in own})
    found["kinds at random"] = len({kind_of(demo) for demo in drawn})
    found["clusters"] = sum(bool(members) for members in groups)
    return found


def kind_of(item):
    """The number of the kind that a question's word is of."""
    word = item.question.split()[0]
    return next(number for number, words in enumerate(KINDS) if word in words)


def exchanged(items, seed):
    """The items with each other's labels, steps included."""
    found = []
    if len(items) < 2:  # as of a model that has not learnt to work questions
        return items
    for item, other in zip(items, exchanged_answers(items, seed)):
        word = item.question.split()[0]
        found.append(replace(other, rationale=steps(word, other.answer)))
    return found


def main(argv=None):
    """Train and measure every seed, print the table and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two seeds, 40 steps, 10 questions")
    began = time.process_time()
    count, asked = STEPS, ASKED
    if options.quick:
        count, asked = 40, 10
    runs = []
    for seed in seeds:
        lm = reader(seed, count, options.device)
        worlds = [one_world(lm, asked, seed, number) for number in range(WORLDS)]
        runs.append({name: np.mean([one[name] for one in worlds]) for name in worlds[0]})
        print(f"seed {seed}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    scores = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    print("accuracy, a guess is 0.50, mean (least .. most) over seeds")
    for name in WAYS:
        print(f"    {name:26}{mean_and_range(scores[name], '.2f')}")
    print("the demonstrations")
    for name in ("own that are right", "kinds of the clusters", "kinds at random"):
        print(f"    {name:26}{mean_and_range(scores[name], '.2f')}")
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    print(OWN.line(scores["Auto-CoT"], scores["zero-shot"]))
    print(CLUSTERS.line(scores["Auto-CoT"], scores["own, at random"]))
    print(RIGHT.line(scores["right, of clusters"], scores["Auto-CoT"]))
    print(ANSWERS.line(scores["exchanged, of clusters"], scores["right, of clusters"]))


if __name__ == "__main__":
    main()
