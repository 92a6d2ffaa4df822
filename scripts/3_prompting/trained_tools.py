"""A small GPT that was trained to call a calculator, against the same model without it.

Book section 3.2.5 (fine-tuning for tool use; Toolformer, Schick et al. 2023). A problem is a sum or
a difference of two numbers of equally many digits, "4408+7257=". A base model learns those of one
digit. Copies of it are then fine-tuned on one to four digits, the first three of them on equally
many tokens:

    no tool       problems with their results, "4408+7257=11665."
    tool          the result is replaced by {tool: calculator, expression: 4408+7257}; the call is
                  run in mid-generation, and no loss is on results
    results too   the same, with loss on results
    reader        problems with their results, half of them below a line "{tool: ..} -> 11665"; with
                  it Toolformer's filter scores calls, right ones and those of other problems

Two layers of width 64, five seeds. `python scripts/3_prompting/trained_tools.py [--seed N]
[--device cpu|gpu] [--quick]`; --quick is two seeds and a tenth of the tokens. Read next:
prompt/tools/annotated.py, prompt/tools/toolformer.py.
"""

import argparse
import sys
import time

import numpy as np

from tinylm import backend
from tinylm.data.read.items import Item
from tinylm.finetune import fit
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models import GPT, GPTConfig
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.tools import Tools, calculator, complete_with_tools, encode_calls
from tinylm.prompt.tools.annotated import annotate_arithmetic, with_calls, with_results
from tinylm.prompt.tools.toolformer import score_calls
from tinylm.tokenizers import BPETokenizer
from tinylm.train.compare import ONLY_RUNS, Claim, mean_and_range

HEAD, LARGE = 1, 4  # digits of the numbers that the base model adds, and the most in fine-tuning
TESTED = (1, 2, 3, 4, 5)  # five digits were never seen
BASE_TOKENS, TOKENS, BATCH, RATE = 60_000, 210_000, 16, 5e-3
READER = 2  # times TOKENS for the model of the filter, which is compared with none
ASKED, SCORED = 30, 40  # problems of each length; solutions on which calls are scored
TAUS = (0.0, 0.5, 1.0, 2.0)  # nats; Toolformer's tau_f is 0.5 to 1
TOOLS = Tools({"calculator": calculator})
# The words of a call are tokens, and so is every digit and sign.
TOKENIZER = BPETokenizer.train(
    ["{tool: calculator, expression: 1} -> "] * 9, 300, special=("<|end|>",), pattern="gpt2-digits"
)
END = TOKENIZER.special["<|end|>"]
KINDS = ("no tool", "tool", "results too")
# The rules, written before the run. Scores are shares, one a seed.
TOOL = Claim("four digits: tool > no tool", "3.2.5", least=0.1, limit=1.0)
PRICE = Claim("one digit: the tool costs at most 0.05", "3.2.5", least=-0.05)
MASK = Claim("sampled replies: no loss on results > loss on them", "3.2.5", least=0.05, limit=1.0)
CALLED = Claim("sampled replies: the former call more often", "3.2.5", least=0.05, limit=1.0)
USEFUL = Claim("tau 1, four digits: right calls kept > other calls", "3.2.5", least=0.5, limit=1.0)
NEEDED = Claim("tau 1: right calls kept, four digits > one digit", "3.2.5", least=0.1, limit=1.0)


def problem(digits, rng):
    """A sum or a difference of two numbers with so many digits: an Item with its solution."""
    a, b = (int(n) for n in rng.integers(10 ** (digits - 1), 10**digits, 2))
    sign, result = "+", a + b
    if rng.integers(2):
        a, b = max(a, b), min(a, b)  # no result is below 0
        sign, result = "-", a - b
    return Item(f"{a}{sign}{b}=", str(result), rationale=f"{a}{sign}{b}={result}.")


def solution(item):
    """What follows the question, with the call: list of str and Called."""
    first, *rest = annotate_arithmetic(item.rationale)
    return [first.removeprefix(item.question), *rest]


def with_tool(item, result_loss=False):
    """The rows of a problem with its call: list of Encoded."""
    return encode_calls(TOKENIZER, item.question, solution(item), end=END, result_loss=result_loss)


def plain(item, before=""):
    """The row of a problem without a call, with a text before it: [Encoded]."""
    return encode_calls(TOKENIZER, before + item.question, [with_results(solution(item))], end=END)


def below_a_line(item, rng):
    """The row of a problem without a call, in half of all cases below its call with the result."""
    if rng.integers(2):
        return plain(item)
    call = solution(item)[1]
    return plain(item, f"{call.call} -> {call.result}\n")


def lessons(tokens, largest, rows, rng):
    """New problems of 1 to `largest` digits until their rows have so many tokens.

    rows     function from an Item to a list of Encoded
    returns  (list of Encoded, number of problems)
    """
    found, used, problems = [], 0, 0
    while used < tokens:
        new = rows(problem(int(rng.integers(1, largest + 1)), rng))
        found += new
        used += sum(map(len, new))
        problems += 1
    return found, problems


def tune(model, rows, seed):
    """Train a model on rows, each once."""
    fit(
        model,
        InstructionTuning(),
        rows,
        steps=-(-len(rows) // BATCH),
        batch_size=BATCH,
        learning_rate=RATE,
        weight_decay=0.0,
        seed=seed,
    )


def asked(lm, items, seed, temperature=0):
    """(share of right answers, calls a problem) of replies in which calls are run."""
    right, calls = [], []
    for i, item in enumerate(items):
        options = {"max_tokens": 40, "max_calls": 2, "seed": seed + i, "temperature": temperature}
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
        calls = [(one.call, one.result) for one in (solution(item)[1], solution(other)[1])]
        scored = score_calls(lm, item.rationale, len(item.question), calls)
        rows.append([one.gain for one in scored])
    return np.array(rows)


def run(seed, share, device):
    """All measurements of one seed: {name: value}."""
    found, rng = {}, np.random.default_rng([seed, 0])
    config = GPTConfig(TOKENIZER.vocab_size, 96, 2, 4, 64, norm="rms", bias=False, tied=False)
    base = GPT(config, seed)
    base.tokens.weight.data *= 10  # as in chain_of_thought.py: smaller ones learn more slowly
    base = base.to(device)
    tune(base, lessons(BASE_TOKENS * share, HEAD, plain, rng)[0], seed)
    rows = {
        "no tool": plain,
        "tool": with_tool,
        "results too": lambda item: with_tool(item, result_loss=True),
        "reader": lambda item: below_a_line(item, rng),
    }
    models = {}
    for name, make in rows.items():
        model = GPT(config, seed).to(device)
        model.load_state_dict(base.state_dict())
        tokens = TOKENS * share
        if name == "reader":
            tokens *= READER
        examples, found["problems", name] = lessons(tokens, LARGE, make, rng)
        tune(model, examples, seed)
        models[name] = TextModel.of(model.eval(), TOKENIZER, ends=(END,))
        print(f"seed {seed}: {name} trained", file=sys.stderr)
    models["base"] = TextModel.of(base.eval(), TOKENIZER, ends=(END,))
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
    counts = {name: np.mean([r["problems", name] for r in runs]) for name in (*KINDS, "reader")}
    print("problems in the tokens: " + ", ".join(f"{v:.0f} {k}" for k, v in counts.items()))
    example = problem(LARGE, np.random.default_rng(0))
    print(f"    {example.question}{with_calls(solution(example))}")
    print("right, by digits of the numbers")
    print(f"    {'':>6}" + "".join(f"{name:>20}" for name in ("base", *KINDS)))
    for digits in TESTED:
        cells = [[r[name, digits][0] for r in runs] for name in ("base", *KINDS)]
        print(f"    {digits:>6}" + "".join(f"{mean_and_range(c, '.2f'):>20}" for c in cells))
    titles = [f"{name}, {what}" for name in KINDS[1:] for what in ("right", "calls")]
    print("the same, sampled at temperature 1, and calls a problem")
    print(f"    {'':>6}" + "".join(f"{title:>20}" for title in titles))
    for digits in TESTED:
        cells = [
            [r[name, digits, "sampled"][k] for r in runs] for name in KINDS[1:] for k in (0, 1)
        ]
        print(f"    {digits:>6}" + "".join(f"{mean_and_range(c, '.2f'):>20}" for c in cells))
    print("Toolformer's filter: gain of a call in nats, and the share of calls kept")
    titles = ["gain", *(f"tau {tau:g}" for tau in TAUS)]
    print(f"    {'digits':>6}{'call':>8}" + "".join(f"{title:>23}" for title in titles))
    for digits in range(1, LARGE + 1):
        for column, name in enumerate(("right", "other")):
            values = np.array([r["gains", digits][:, column] for r in runs])
            cells = [values.mean(axis=1), *((values >= tau).mean(axis=1) for tau in TAUS)]
            row = "".join(f"{mean_and_range(c, '.2f'):>23}" for c in cells)
            print(f"    {digits:>6}{name:>8}{row}")


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
        sides = [
            np.mean([[r[name, d, "sampled"][k] for r in runs] for d in range(1, LARGE + 1)], axis=0)
            for name in KINDS[1:]
        ]
        print(claim.line(*sides))
    print(USEFUL.line(kept(LARGE, 0), kept(LARGE, 1)))
    print(NEEDED.line(kept(LARGE, 0), kept(HEAD, 0)))


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, few tokens")
    args = parser.parse_args(argv)
    backend.blas_threads(1)
    began = time.process_time()
    seeds, share = range(args.seed, args.seed + 5), 1.0
    if args.quick:
        seeds, share = seeds[:2], 0.1
        print(ONLY_RUNS)
    runs = [run(seed, share, args.device) for seed in seeds]
    print(f"{BASE_TOKENS * share:.0f} tokens for the base model, {TOKENS * share:.0f} for a copy")
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
