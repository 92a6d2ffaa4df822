"""A small GPT that was trained to call a calculator, against the same model without it.

Book section 3.2.5 (fine-tuning for tool use; Toolformer, Schick et al. 2023). A problem is a sum or
a difference of two numbers of equally many digits, "4408+7257=". A base model learns those of one
digit. Copies of it are then fine-tuned on one to four digits, the first three of them on equally
many tokens:

    no tool       problems with their results, "4408+7257=11665."
    tool          the result is replaced by {tool: calculator, expression: 4408+7257}; the call is
                  run in mid-generation, and no loss is on results
    results too   the same, with loss on results
    reader        problems with their results, first all, then half of them below a line
                  "{tool: ..} -> 11665"; with it Toolformer's filter scores calls, right ones and
                  those of other problems

The filter can show something only if its model copies results from the line. With lines above half
of the problems from the beginning, 600,000 tokens did not teach that (pilot, seed 100). Two
layers of width 64, five seeds, about 9 minutes on one core. `python
scripts/3_prompting/trained_tools.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is two seeds
and a tenth of the tokens. Read next: prompt/tools/annotated.py, prompt/tools/toolformer.py.

Measured output (one core):

    60000 tokens for the base model, 600000 for a copy, 900000 for the reader
    problems in the tokens: 51218 no tool, 17754 tool, 17788 results too, 33524 reader
        8655-6732={tool: calculator, expression: 8655-6732}.
    right, by digits of the numbers
                              base             no tool                tool         results too
             1 0.96 (0.87 .. 1.00) 0.99 (0.97 .. 1.00) 1.00 (1.00 .. 1.00) 0.85 (0.63 .. 0.97)
             2 0.02 (0.00 .. 0.03) 0.06 (0.00 .. 0.13) 1.00 (1.00 .. 1.00) 0.77 (0.57 .. 0.93)
             3 0.00 (0.00 .. 0.00) 0.01 (0.00 .. 0.03) 0.90 (0.50 .. 1.00) 0.53 (0.00 .. 1.00)
             4 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.80 (0.00 .. 1.00) 0.57 (0.00 .. 0.97)
             5 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
    the same, sampled at temperature 1, and calls a problem
                       tool, right         tool, calls  results too, right  results too, calls
             1 1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 0.65 (0.43 .. 0.90) 0.47 (0.40 .. 0.53)
             2 1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 0.45 (0.17 .. 0.53) 0.51 (0.50 .. 0.53)
             3 0.89 (0.47 .. 1.00) 1.00 (1.00 .. 1.00) 0.30 (0.00 .. 0.50) 0.50 (0.47 .. 0.53)
             4 0.80 (0.00 .. 1.00) 1.00 (1.00 .. 1.00) 0.33 (0.00 .. 0.47) 0.51 (0.50 .. 0.53)
             5 0.00 (0.00 .. 0.00) 0.52 (0.00 .. 1.00) 0.00 (0.00 .. 0.00) 0.21 (0.03 .. 0.50)
    Toolformer's filter: gain of a call in nats, and the share of calls kept
            call                   gain               tau 0             tau 0.5               tau 1
         1 right    0.47 (0.41 .. 0.55) 1.00 (1.00 .. 1.00) 0.41 (0.25 .. 0.65) 0.02 (0.00 .. 0.05)
         1 other -4.55 (-5.37 .. -3.68) 0.03 (0.00 .. 0.07) 0.01 (0.00 .. 0.03) 0.00 (0.00 .. 0.00)
         2 right    1.11 (0.96 .. 1.20) 0.99 (0.95 .. 1.00) 0.98 (0.90 .. 1.00) 0.72 (0.57 .. 0.93)
         2 other -5.88 (-6.50 .. -4.74) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
         3 right    1.53 (1.32 .. 1.64) 1.00 (1.00 .. 1.00) 1.00 (1.00 .. 1.00) 0.94 (0.75 .. 1.00)
         3 other -6.63 (-7.11 .. -6.16) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
         4 right    1.62 (1.42 .. 1.81) 0.99 (0.97 .. 1.00) 0.99 (0.97 .. 1.00) 0.88 (0.78 .. 1.00)
         4 other -5.46 (-5.92 .. -4.24) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
    5 seeds; 533 s of one core
    four digits: tool > no tool (section 3.2.5): +0.8 [+0.245, +1.36], 5 seeds: shows
    one digit: the tool costs at most 0.05 (section 3.2.5): +0.00667 [-0.0118, +0.0252], 5 seeds:
      shows
    sampled replies: no loss on results > loss on them (section 3.2.5): +0.493 [+0.386, +0.6], 5
      seeds: shows
    sampled replies: the former call more often (section 3.2.5): +0.5 [+0.481, +0.519], 5 seeds:
      shows
    tau 1, four digits: right calls kept > other calls (section 3.2.5): +0.875 [+0.77, +0.98], 5
      seeds: shows
    tau 1: right calls kept, four digits > one digit (section 3.2.5): +0.86 [+0.743, +0.977], 5
      seeds: shows

The model with the tool calls it on all trained lengths, and by it adds numbers of four digits,
which no model adds alone; in one of five seeds it did not learn to copy so many digits (0.00), in
the others it is right in every case. Copying ends with the trained lengths: five digits are never
right. With loss on results the same text is followed by the call in one row and by the result in
another: half of the sampled replies leave out the call, and most of these are wrong beyond one
digit. Toolformer's filter keeps calls where the model needs them: at tau 1 nearly nine of ten right
calls for four digits, hardly any for one digit, which it can add, and no call of another problem.
An earlier run with 210,000 tokens a copy taught copying in some seeds only, and its reader, trained
on half of its problems below a line from the beginning, gained less than half a nat by a right
call. Sizes were chosen on seeds 100 to 102.
"""

import sys
import time

import numpy as np
from small_runs import command_line, read_once, small_gpt

from tinylm.data.read.items import Item
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.tools import Tools, calculator, complete_with_tools, encode_calls
from tinylm.prompt.tools.annotated import annotate_arithmetic, with_calls, with_results
from tinylm.prompt.tools.toolformer import score_calls
from tinylm.tokenizers import BPETokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

HEAD, LARGE = 1, 4  # digits of the numbers that the base model adds, and the most in fine-tuning
TESTED = (1, 2, 3, 4, 5)  # five digits were never seen
BASE_TOKENS, TOKENS, BATCH, RATE = 60_000, 600_000, 16, 5e-3
# Tokens of the model of the filter, which is compared with none: all problems below a line, and
# then half of them.
LINES, HALF = 500_000, 400_000
ASKED, SCORED = 30, 40  # problems of each length; solutions on which calls are scored
# Nats; Toolformer's tau_f is 0.5 to 1. A guess of a digit costs log 10 = 2.3 nats, and a call gains
# no more than the loss without it: 1 is within reach of results that the model cannot work out.
TAUS = (0.0, 0.5, 1.0)
TOOLS = Tools({"calculator": calculator})
# The words of a call are tokens, and so is every digit and sign.
TOKENIZER = BPETokenizer.train(
    ["{tool: calculator, expression: 1} -> "] * 9,
    300,
    special=("<|end|>",),
    pattern="gpt2-digits",
)
END = TOKENIZER.special["<|end|>"]
KINDS = ("no tool", "tool", "results too")
# The rules, written before the run. Scores are shares, one a seed.
# 0.1 of 30 problems are three; a price may be paid, so its least is below 0.
TOOL = Claim("four digits: tool > no tool", "3.2.5", least=0.1, limit=1.0)
PRICE = Claim("one digit: the tool costs at most 0.05", "3.2.5", least=-0.05)
MASK = Claim(
    "sampled replies: no loss on results > loss on them",
    "3.2.5",
    least=0.05,
    limit=1.0,
)
CALLED = Claim(
    "sampled replies: the former call more often",
    "3.2.5",
    least=0.05,
    limit=1.0,
)
USEFUL = Claim(
    "tau 1, four digits: right calls kept > other calls",
    "3.2.5",
    least=0.5,
    limit=1.0,
)
NEEDED = Claim(
    "tau 1: right calls kept, four digits > one digit",
    "3.2.5",
    least=0.1,
    limit=1.0,
)


def problem(digits, rng):
    """A sum or a difference of two numbers with so many digits: an Item with its solution."""
    # From 10^(d - 1) to 10^d - 1: d digits without a leading zero; one digit is 1 to 9.
    drawn = rng.integers(10 ** (digits - 1), 10**digits, 2)
    a, b = (int(n) for n in drawn)
    sign, result = "+", a + b
    if rng.integers(2):
        a, b = max(a, b), min(a, b)  # no result is below 0
        sign, result = "-", a - b
    question = f"{a}{sign}{b}="
    return Item(question, str(result), rationale=f"{question}{result}.")


def solution(item):
    """What follows the question, with the call: list of str and Called."""
    first, *rest = annotate_arithmetic(item.rationale)
    return [first.removeprefix(item.question), *rest]


def with_tool(item, result_loss=False):
    """The rows of a problem with its call: list of Encoded."""
    # Two rows: the text up to the call, and the text with the call's result in its place. At the
    # test it is the same: the result replaces the call, and the model reads on from there.
    return encode_calls(
        TOKENIZER,
        item.question,
        solution(item),
        end=END,
        result_loss=result_loss,
    )


def plain(item, before=""):
    """The row of a problem without a call, with a text before it: [Encoded]."""
    text = with_results(solution(item))
    return encode_calls(TOKENIZER, before + item.question, [text], end=END)


def below_a_line(item):
    """The row of a problem without a call, below its call with the result."""
    # The filter puts calls before the text, so its model has to know how to read them there.
    call = solution(item)[1]
    return plain(item, f"{call.call} -> {call.result}\n")


def half_below_a_line(rng):
    """function from an Item to its row, in half of all cases below a line."""

    def row(item):
        # The loss without a call is the other side of the filter's difference, so the model has to
        # know problems without a line too.
        if rng.integers(2):
            return plain(item)
        return below_a_line(item)

    return row


def lessons(tokens, largest, rows, rng):
    """New problems of 1 to `largest` digits until their rows have so many tokens.

    rows     function from an Item to a list of Encoded
    returns  (list of Encoded, number of problems)
    """
    found, used, problems = [], 0, 0
    while used < tokens:
        digits = int(rng.integers(1, largest + 1))
        new = rows(problem(digits, rng))
        found += new
        used += sum(map(len, new))
        problems += 1
    return found, problems


def asked(lm, items, seed, temperature=0):
    """(share of right answers, calls a problem) of replies in which calls are run."""
    right, calls = [], []
    for i, item in enumerate(items):
        # A solution needs one call, and a second one is allowed. Digits and signs are tokens, so 40
        # are enough for the call with its result.
        options = {
            "max_tokens": 40,
            "max_calls": 2,
            "seed": seed + i,
            "temperature": temperature,
        }
        reply = complete_with_tools(lm, item.question, TOOLS, **options)
        right.append(is_right(reply.text, item))
        calls.append(len(reply.calls))
    return np.mean(right), np.mean(calls)


def gains(lm, digits, rng):
    """The gains of calls before results: (SCORED, 2), the right call and one of another problem,
    in nats.
    """
    rows = []
    for _ in range(SCORED):
        item, other = problem(digits, rng), problem(digits, rng)
        called = solution(item)[1], solution(other)[1]
        calls = [(one.call, one.result) for one in called]
        # The position is that of the result, right behind the "=": what follows is scored.
        scored = score_calls(lm, item.rationale, len(item.question), calls)
        rows.append([one.gain for one in scored])
    return np.array(rows)


def run(seed, share, device):
    """All measurements of one seed: {name: value}."""
    found, rng = {}, np.random.default_rng([seed, 0])
    base = small_gpt(TOKENIZER.vocab_size, 96, seed).to(device)
    examples, _ = lessons(BASE_TOKENS * share, HEAD, plain, rng)
    read_once(base, examples, BATCH, RATE, seed)
    # name: what it reads, one after the other, as (tokens, rows of a problem)
    reading = {
        "no tool": [(TOKENS, plain)],
        "tool": [(TOKENS, with_tool)],
        "results too": [(TOKENS, lambda item: with_tool(item, result_loss=True))],
        "reader": [(LINES, below_a_line), (HALF, half_below_a_line(rng))],
    }
    models = {}
    for name, parts in reading.items():
        model = small_gpt(TOKENIZER.vocab_size, 96, seed).to(device)
        model.load_state_dict(base.state_dict())  # all copies start from the same weights
        found["problems", name] = 0
        for tokens, make in parts:
            examples, problems = lessons(tokens * share, LARGE, make, rng)
            read_once(model, examples, BATCH, RATE, seed)
            found["problems", name] += problems
        models[name] = TextModel.of(model.eval(), TOKENIZER, ends=(END,))
        print(f"seed {seed}: {name} trained", file=sys.stderr)
    models["base"] = TextModel.of(base.eval(), TOKENIZER, ends=(END,))
    # A stream of its own, so that problems of the test do not depend on the amount of training.
    rng = np.random.default_rng([seed, 1])
    count = max(5, round(ASKED * share))
    for digits in TESTED:
        items = [problem(digits, rng) for _ in range(count)]
        for name in ("base", *KINDS):
            found[name, digits] = asked(models[name], items, seed)
        for name in KINDS[1:]:
            found[name, digits, "sampled"] = asked(models[name], items, seed, temperature=1)
    for digits in range(1, LARGE + 1):
        found["gains", digits] = gains(models["reader"], digits, rng)
    return found


def show(runs):
    """Print the tables, mean (least .. most) over seeds."""

    def joined(columns):
        return "".join(f"{mean_and_range(values, '.2f'):>20}" for values in columns)

    counts = {name: np.mean([r["problems", name] for r in runs]) for name in (*KINDS, "reader")}
    listed = ", ".join(f"{v:.0f} {k}" for k, v in counts.items())
    print(f"problems in the tokens: {listed}")
    example = problem(LARGE, np.random.default_rng(0))
    print(f"    {example.question}{with_calls(solution(example))}")
    print("right, by digits of the numbers")
    titles = "".join(f"{name:>20}" for name in ("base", *KINDS))
    print(f"    {'':>6}{titles}")
    for digits in TESTED:
        cells = [[r[name, digits][0] for r in runs] for name in ("base", *KINDS)]
        print(f"    {digits:>6}{joined(cells)}")
    titles = [f"{name}, {what}" for name in KINDS[1:] for what in ("right", "calls")]
    print("the same, sampled at temperature 1, and calls a problem")
    print(f"    {'':>6}" + "".join(f"{title:>20}" for title in titles))
    for digits in TESTED:
        cells = []
        for name in KINDS[1:]:
            pairs = [r[name, digits, "sampled"] for r in runs]
            right, calls = zip(*pairs)  # one of each a seed
            cells += [right, calls]
        print(f"    {digits:>6}{joined(cells)}")
    print("Toolformer's filter: gain of a call in nats, and the share of calls kept")
    titles = "".join(f"{f'tau {tau:g}':>20}" for tau in TAUS)
    print(f"    {'':>2}{'call':>6}{'gain':>23}{titles}")
    for digits in range(1, LARGE + 1):
        for column, name in enumerate(("right", "other")):
            values = np.array([r["gains", digits][:, column] for r in runs])
            # (seeds, SCORED) -> shares of calls with a gain of tau or more, one a seed
            kept = [(values >= tau).mean(axis=1) for tau in TAUS]
            row = joined(kept)
            gain = mean_and_range(values.mean(axis=1), ".2f")
            print(f"    {digits:>2}{name:>6}{gain:>23}{row}")


def verdicts(runs):
    """Print the verdict of every claim."""

    def right(name, digits):
        return np.array([r[name, digits][0] for r in runs])

    def kept(digits, column):
        return [(r["gains", digits][:, column] >= 1).mean() for r in runs]

    print(TOOL.line(right("tool", LARGE), right("no tool", LARGE)))
    print(PRICE.line(right("tool", HEAD), right("no tool", HEAD)))
    for claim, k in ((MASK, 0), (CALLED, 1)):
        # over all trained lengths, (2 models, seeds)
        sides = []
        for name in KINDS[1:]:
            rows = [[r[name, d, "sampled"][k] for r in runs] for d in range(1, LARGE + 1)]
            sides.append(np.mean(rows, axis=0))
        print(claim.line(*sides))
    print(USEFUL.line(kept(LARGE, 0), kept(LARGE, 1)))
    print(NEEDED.line(kept(LARGE, 0), kept(HEAD, 0)))


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    args, seeds = command_line(argv, __doc__, "two seeds, few tokens")
    began = time.process_time()
    share = 1.0
    if args.quick:
        share = 0.1
    runs = [run(seed, share, args.device) for seed in seeds]
    counts = [f"{tokens * share:.0f}" for tokens in (BASE_TOKENS, TOKENS, LINES + HALF)]
    print("{} tokens for the base model, {} for a copy, {} for the reader".format(*counts))
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
