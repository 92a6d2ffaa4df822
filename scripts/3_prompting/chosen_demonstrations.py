"""Which demonstrations should a prompt show? Near, learnt, different, clustered, or any.

Book section 3.3.1. A question has two words in random order: one of 4 words of one of 6 kinds, and
a word without meaning. Which label a kind has differs from world to world, so it can only be read
off a demonstration of the same kind, perhaps with another of its words. A GPT of two layers has
read many worlds and knows which words are of one kind. In new worlds, with a pool of 72 labelled
questions each, demonstrations are chosen at random; the nearest by BM25, by a bag of words, and by
the model's own word vectors (KATE, Liu et al. 2022); different ones (maximal marginal relevance);
by a retriever that learns from the model's likelihoods in the pool (EPR, Rubin et al. 2022); and
one of each cluster, the same for all questions (Auto-CoT, Zhang et al. 2023, with given answers).
Claims: (1) the nearest by words beat random ones; (2) the learnt retriever beats the nearest by
words, and (3) so do the model's own vectors; (4) different ones beat the nearest, by the same
vectors; (5) one of each cluster beats as many at random; (6) exchanged answers take it all away.
Five seeds of three worlds and 100 questions each. `python
scripts/3_prompting/chosen_demonstrations.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is
two seeds, 40 steps and 10 questions. Read next: tinylm/prompt/in_context/learned_retriever.py.

Measured output (one core of a busy machine):

    accuracy with 3 demonstrations, chance 0.12, mean (least .. most)
        random                    0.26 (0.22 .. 0.36)
        nearest by BM25           0.65 (0.59 .. 0.73)
        nearest, bag of words     0.65 (0.58 .. 0.73)
        nearest, word vectors     0.67 (0.63 .. 0.73)
        different, word vectors   0.51 (0.45 .. 0.54)
        learnt retriever          0.81 (0.78 .. 0.86)
        learnt, exchanged         0.26 (0.16 .. 0.37)
        one of each cluster       0.24 (0.21 .. 0.34)
        as many at random         0.28 (0.22 .. 0.38)
        a perfect reader of random ones: 0.49 with 3, 0.71 with 6
    5 seeds; 297 s of one core
    the nearest by BM25 beat random ones (section 3.3.1): +0.389 [+0.27, +0.507], 5 seeds: shows
    the learnt retriever beats the nearest by BM25 (section 3.3.1): +0.162 [+0.134, +0.19], 5 seeds:
      shows
    the nearest by the model's vectors beat those by BM25 (section 3.3.1): +0.018 [-0.063, +0.099],
      5 seeds: too small to tell; 0.13 could have been seen
    different ones beat the nearest, by the model's vectors (section 3.3.1): -0.162 [-0.225,
      -0.0993], 5 seeds: shows the opposite
    one of each cluster beats as many at random (section 3.3.1): -0.0367 [-0.0699, -0.00343], 5
      seeds: shows the opposite
    exchanged answers cost 0.2 or more (section 3.3.1): +0.553 [+0.424, +0.683], 5 seeds: shows

Near demonstrations beat random ones by 0.39, and the retriever that learnt which ones help beats
the nearest by words by another 0.16: it has found out which word of a question counts, which no
distance between questions can know. The model's own vectors are no better than words (0.02).
Different demonstrations are worse than near ones, the opposite of (4): only one of them can be of
the question's kind. One of each cluster is worse than six at random, the opposite of (5): the
model, which is far from a perfect reader (0.26 of 0.49 with three random ones), makes little of a
demonstration of another word of the kind.

The settings were tried on seed 100 before the run.
"""

import sys
import time

import numpy as np
from small_runs import command_line, read_once, small_gpt

from tinylm.data.read.items import Item
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.prompt import TextModel
from tinylm.prompt.in_context.clusters import by_cluster
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.learned_retriever import learn_retriever
from tinylm.prompt.in_context.selection import (
    BagOfWords,
    Diverse,
    NearestByEmbedding,
    NearestByWords,
    random_demonstrations,
    text_of,
)
from tinylm.prompt.in_context.shots import exchanged_answers
from tinylm.tokenizers import WordTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

# Words of six kinds; the model gives them their meaning, as no other text has them.
KINDS = (
    "apple pear plum fig".split(),
    "cat horse goat mouse".split(),
    "red blue green pink".split(),
    "rain snow wind fog".split(),
    "bread soup rice cake".split(),
    "coat shirt shoe hat".split(),
)
# As many as there are words of kinds, so they are as rare, and BM25 cannot tell them apart.
FILLERS = """arm bay cup den eve fur gap hut ink jar key lid map net oak pen rug sea tie urn van web
yak zip""".split()
LABELS = tuple("alpha beta gamma delta epsilon zeta eta theta".split())
FORM = FewShotPrompt(question_name="", answer_name="", between=" → ", separator="\n")
SHOTS, POOL = 3, 72  # demonstrations of a prompt; 72: each word of a kind about three times
WORLDS, ASKED = 3, 100
# Each training text is a world of its own with up to seven questions before each answer.
STEPS, BATCH, RATE, LENGTH = 2000, 32, 3e-3, 8
WAYS = (
    "random",
    "nearest by BM25",
    "nearest, bag of words",
    "nearest, word vectors",
    "different, word vectors",
    "learnt retriever",
    "learnt, exchanged",
    "one of each cluster",
    "as many at random",
)
CHANCE = 1 / len(LABELS)
# Accuracies of each seed, paired: all ways have the same model, pools and questions. A model that
# has not learnt to read demonstrations is at chance whatever they are.
NEAR = Claim("the nearest by BM25 beat random ones", "3.3.1", least=0.05, limit=1.0, floor=0.2)
LEARNT = Claim(
    "the learnt retriever beats the nearest by BM25", "3.3.1", least=0.05, limit=1.0, floor=0.2
)
OWN = Claim(
    "the nearest by the model's vectors beat those by BM25",
    "3.3.1",
    least=0.05,
    limit=1.0,
    floor=0.2,
)
DIFFERENT = Claim(
    "different ones beat the nearest, by the model's vectors",
    "3.3.1",
    least=0.02,
    limit=1.0,
    floor=0.2,
)
CLUSTERS = Claim(
    "one of each cluster beats as many at random", "3.3.1", least=0.05, limit=1.0, floor=0.2
)
ANSWERS = Claim("exchanged answers cost 0.2 or more", "3.3.1", larger=False, least=0.2)


def world_items(count, rng):
    """Labelled questions of a new world: list of Item."""
    labels = rng.integers(len(LABELS), size=len(KINDS))  # kind -> label
    kinds = rng.integers(len(KINDS), size=count)
    words = rng.integers(4, size=count)
    fillers = rng.integers(len(FILLERS), size=count)
    turned = rng.integers(2, size=count)
    items = []
    for kind, word, filler, turn in zip(kinds, words, fillers, turned):
        pair = [KINDS[kind][word], FILLERS[filler]]
        if turn:
            pair = pair[::-1]
        items.append(Item(" ".join(pair), LABELS[labels[kind]], LABELS))
    return items


def vocabulary():
    """A tokenizer of all words."""
    words = [*(word for kind in KINDS for word in kind), *FILLERS, *LABELS]
    return WordTokenizer(["→", *words])


def reader(seed, steps, device):
    """A GPT that has learnt to read labels off demonstrations: TextModel."""
    tokenizer = vocabulary()
    rng = np.random.default_rng([seed, 0])
    labels = [int(tokenizer.encode(label)[0]) for label in LABELS]
    rows = []
    for _ in range(steps * BATCH):
        *shown, last = world_items(LENGTH, rng)
        text = FORM.prompt(last, shown) + FORM.continuation(last, last.answer)
        ids = np.asarray(tokenizer.encode(text), np.int64)
        # Every label is an answer after the questions before it: 0 to 7 demonstrations.
        rows.append(Encoded(ids, np.isin(ids, labels)))
    model = small_gpt(tokenizer.vocab_size, 64, seed, positions="rope").to(device)
    return TextModel.of(read_once(model, rows, BATCH, RATE, seed), tokenizer)


def word_vectors(lm):
    """An embedding of texts: the mean of the model's own vectors of their words."""
    table = np.asarray(lm.lm.model.tokens.weight.numpy(), np.float64)

    def embed(texts):
        return np.array([table[lm.tokenizer.encode(text)].mean(axis=0) for text in texts])

    return embed


def accuracy(lm, items, shown):
    """Share of right labels, each item after demonstrations of its own."""
    prompts = [FORM.prompt(item, demonstrations) for item, demonstrations in zip(items, shown)]
    endings = [FORM.continuation(items[0], label) for label in LABELS]
    scores = lm.score_batch(prompts, endings)
    return float(np.mean([one.best() == item.gold for one, item in zip(scores, items)]))


def chosen(lm, pool, seed):
    """The ways to choose from a pool: {name: selector(item, k)}."""
    own = word_vectors(lm)
    bag = BagOfWords([text_of(item) for item in pool])
    learnt = learn_retriever(lm, pool, bag, candidates=24, kept=3, seed=seed, prompt=FORM)
    return {
        "nearest by BM25": NearestByWords(pool),
        "nearest, bag of words": NearestByEmbedding(pool, bag),
        "nearest, word vectors": NearestByEmbedding(pool, own),
        "different, word vectors": Diverse(pool, own),
        "learnt retriever": learnt,
    }


def one_world(lm, asked, seed, number):
    """Accuracy of every way in a new world: dict."""
    items = world_items(POOL + asked, np.random.default_rng([seed, 1, number]))
    pool, items = items[:POOL], items[POOL:]
    numbers = range(len(items))

    def at_random(k):
        drawn = [1000 * number + i for i in numbers]
        return [random_demonstrations(pool, item, k, s) for item, s in zip(items, drawn)]

    found = {"random": accuracy(lm, items, at_random(SHOTS))}
    for name, select in chosen(lm, pool, seed).items():
        shown = [select(item, SHOTS) for item in items]
        found[name] = accuracy(lm, items, shown)
        if name == "learnt retriever":
            # The same demonstrations; in the pool each answer has gone to another question.
            turned = dict(zip(pool, exchanged_answers(pool, seed)))
            wrong = [[turned[demo] for demo in demonstrations] for demonstrations in shown]
            found["learnt, exchanged"] = accuracy(lm, items, wrong)
    # The question nearest to the center of each cluster; as many clusters as kinds.
    vectors = word_vectors(lm)([text_of(item) for item in pool])
    centers = [pool[members[0]] for members in by_cluster(vectors, len(KINDS), seed) if members]
    found["one of each cluster"] = accuracy(lm, items, [centers] * len(items))
    found["as many at random"] = accuracy(lm, items, at_random(len(centers)))
    return found


def covered(k):
    """Accuracy of a perfect reader of k random demonstrations: it knows the label or guesses."""
    known = 1 - (1 - 1 / len(KINDS)) ** k
    return known + (1 - known) * CHANCE


def main(argv=None):
    """Train and measure every seed, print the table and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two seeds, 40 steps, 10 questions")
    began = time.process_time()
    steps, asked = STEPS, ASKED
    if options.quick:
        steps, asked = 40, 10
    runs = []
    for seed in seeds:
        lm = reader(seed, steps, options.device)
        worlds = [one_world(lm, asked, seed, number) for number in range(WORLDS)]
        runs.append({name: np.mean([world[name] for world in worlds]) for name in worlds[0]})
        print(f"seed {seed}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    scores = {name: np.array([run[name] for run in runs]) for name in WAYS}
    print(f"accuracy with {SHOTS} demonstrations, chance {CHANCE:.2f}, mean (least .. most)")
    for name, values in scores.items():
        print(f"    {name:26}{mean_and_range(values, '.2f')}")
    print(
        f"    a perfect reader of random ones: {covered(SHOTS):.2f} with {SHOTS}, "
        f"{covered(len(KINDS)):.2f} with {len(KINDS)}"
    )
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    words, own = scores["nearest by BM25"], scores["nearest, word vectors"]
    print(NEAR.line(words, scores["random"]))
    print(LEARNT.line(scores["learnt retriever"], words))
    print(OWN.line(own, words))
    print(DIFFERENT.line(scores["different, word vectors"], own))
    print(CLUSTERS.line(scores["one of each cluster"], scores["as many at random"]))
    print(ANSWERS.line(scores["learnt, exchanged"], scores["learnt retriever"]))


if __name__ == "__main__":
    main()
