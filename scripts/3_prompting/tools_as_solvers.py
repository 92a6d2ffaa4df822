"""A calculator inside the chain, and tools as solvers of sub-problems, each on and off.

Book sections 3.1.4.5 (footnote 4: the calculator overrides the model at "=") and 3.2.2 (S_i may be
a tool). Both compare one model with itself, on the same questions.

Chains: "> <<7+2=9>>. <<9-4=5>>. #### 5". A small GPT has learnt to copy numbers, and to add them
only by half. Alone, an answer needs every step right: with a share e of wrong steps, (1 - e)^n. The
calculator leaves the errors of the expressions, e': (1 - e')^n. Both are measured on single steps
after right ones, and compared with whole chains.

Parts: "dozen, score, week: how many in all?", or which day it is in so many days, or how many the
two least are. A rule asks one question after another, with the last answers in its words: "How many
is dozen?", which the model answers, as no tool knows it, "[calculator] 12 + 20", "[sort] 12, 20,
7", "[date] Friday + 32". These go to tools (`route`) or, with the tools off, to the model too,
which has learnt them; the last answer is that of the question. Half of these rows have other
numbers for the words, so that answers are copied. 0.7 of the tokens are of parts, and 0.3 of direct
answers.

Two layers of width 64, five seeds, about 3 minutes on one core. `python
scripts/3_prompting/tools_as_solvers.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is two
seeds and a tenth of the tokens. Read next: prompt/reasoning/calculator_loop.py,
prompt/decompose/solvers.py; trained_tools.py, where the model writes the calls itself.

Measured output (one core of a busy machine):

    chains: steps                  alone      alone, its law          calculator calculator, its law
           1         0.93 (0.80 .. 1.00) 0.64 (0.59 .. 0.69) 1.00 (1.00 .. 1.00) 0.97 (0.93 .. 1.00)
           2         0.75 (0.57 .. 0.87) 0.42 (0.35 .. 0.48) 1.00 (1.00 .. 1.00) 0.94 (0.86 .. 1.00)
           4         0.41 (0.37 .. 0.50) 0.18 (0.12 .. 0.23) 0.89 (0.73 .. 1.00) 0.89 (0.73 .. 1.00)
    parts: measures                                      right  tokens     sum     day   least
        2, direct                          0.71 (0.67 .. 0.77)      16    0.98    0.20    0.94
        2, parts, with tools               1.00 (1.00 .. 1.00)      78    1.00    1.00    1.00
        2, parts, tools off                0.71 (0.67 .. 0.77)     195    0.98    0.20    0.94
        3, direct                          0.43 (0.30 .. 0.53)      18    0.26    0.12    0.90
        3, parts, with tools               0.99 (0.97 .. 1.00)     158    1.00    0.98    1.00
        3, parts, tools off                0.38 (0.30 .. 0.50)     369    0.24    0.12    0.78
    5 seeds; 167 s of one core
    chains of four steps: calculator > the model alone (section 3.1.4.5): +0.487 [+0.298, +0.675], 5
      seeds: shows
    what the calculator adds grows from one step to four (section 3.1.4.5): +0.413 [+0.262, +0.564],
      5 seeds: shows
    alone, four steps are (1 - e)^4 within 0.1 (section 3.1.4.5): -0.23 [-0.332, -0.128], 5 seeds:
      shows the opposite
    with the calculator they are (1 - e')^4 within 0.1 (section 3.1.4.5): -0.000496 [-0.00134,
      +0.000347], 5 seeds: shows
    three measures: tools on > off, same parts (section 3.2.2): +0.613 [+0.518, +0.709], 5 seeds:
      shows
    three measures: parts with tools > direct (section 3.2.2): +0.567 [+0.461, +0.672], 5 seeds:
      shows
    three measures: parts, tools off > direct (section 3.2.2): -0.0467 [-0.0939, +0.000524], 5
      seeds: too small to tell; 0.047 could have been seen
    what tools add grows from two measures to three (section 3.2.2): +0.32 [+0.208, +0.432], 5
      seeds: shows

The calculator raises chains of four steps from 0.41 to 0.89, and the more the longer the chain.
What is left are expressions that were not copied, and their law is met within 0.001. The law of the
model alone is not: it predicts 0.18. Its e is the mean over the steps of chains of four, and a
question of one step is right for 0.93 and not for 1 - e = 0.64, so a step's errors are not one rate
for all chains; whether they gather in some questions was not measured.

Tools take three measures from 0.38 to 0.99 at the same sub-problems, and at fewer than half of the
tokens, as a tool costs none. Parts alone gain nothing over a direct answer (0.43): what lacks is
the sums and the days, not the plan, which a rule makes here. That the model itself could ask for
the parts was tried on seed 100 and not learnt with 800,000 tokens.
"""

import string
import sys
from dataclasses import replace

import numpy as np
from small_runs import main_of, read_once, small_gpt

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import distinct, generator, pick
from tinylm.finetune.instruct.conversations import Encoded, encode_sft
from tinylm.prompt import TextModel
from tinylm.prompt.answer import Answer
from tinylm.prompt.decompose.least_to_most import Solver, solving_prompt
from tinylm.prompt.decompose.plan import decompose
from tinylm.prompt.decompose.solvers import TOOLS, route
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.in_context.few_shot import FewShotPrompt, zero_shot
from tinylm.prompt.reasoning.chain_of_thought import zero_shot_cot
from tinylm.prompt.reasoning.error_injection import chain_accuracy
from tinylm.tokenizers import CharTokenizer, UnigramTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

# Chains.
STEPS, TOP = (1, 2, 4), 10  # steps of a question; all numbers are below 10
# Tokens: with 150,000 copying was not learnt, and with 300,000 a step is right for 0.92 (seed 100).
CHAINS = 260_000
CHAIN_FORM = FewShotPrompt(
    question_name="", answer_name="", between=" = ", separator="\n", conclusion="#### {}"
)
CHARACTERS = CharTokenizer("0123456789+-=.#<> \n")
LINE_END = int(CHARACTERS.encode("\n")[0])
TRIGGER, LONGEST = ">", 90
# Plans.
# Words that stand for numbers: no tool knows them.
MEASURES = dict(
    pair=2, trio=3, hand=5, week=7, decade=10, dozen=12, fortnight=14, score=20, month=30, minute=60
)  # fmt: skip
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
TRAINED = 2, 3  # measures in a question
MOST = 60  # the largest number that a word stands for
TOKENS, BATCH, RATE = 400_000, 4, 3e-3
ASKED = 30  # questions of each number of steps or names
END = "<|end|>"
NAME = 5  # tokens of a line break and "SUB-PROB2"
DIRECT = FewShotPrompt(instruction="", question_name="", answer_name="A", separator="\n")
KINDS = "sum", "day", "least"
WAYS = "direct", "parts, with tools", "parts, tools off"
# Written before the run; scores are shares of the questions, one a seed.
ON = Claim("chains of four steps: calculator > the model alone", "3.1.4.5", least=0.1, limit=1.0)
GROWS = Claim("what the calculator adds grows from one step to four", "3.1.4.5")
ALONE = Claim("alone, four steps are (1 - e)^4 within 0.1", "3.1.4.5", larger=False, least=-0.1)
COPIES = Claim(
    "with the calculator they are (1 - e')^4 within 0.1", "3.1.4.5", larger=False, least=-0.1
)
TOOLED = Claim("three measures: tools on > off, same parts", "3.2.2", least=0.1, limit=1.0)
PLANNED = Claim("three measures: parts with tools > direct", "3.2.2", least=0.1, limit=1.0)
ALONE_TOO = Claim("three measures: parts, tools off > direct", "3.2.2", limit=1.0)
DEEPER = Claim("what tools add grows from two measures to three", "3.2.2")


# Chains with and without the calculator.


def chain(steps, rng):
    """Sums and differences of numbers of one digit, with annotated steps: Item."""
    value = int(rng.integers(TOP))
    question, worked = str(value), []
    for _ in range(steps):
        # every step whose result has one digit, with the same probability
        results = {f"+{other}": value + other for other in range(1, TOP - value)}
        results |= {f"-{other}": value - other for other in range(1, value + 1)}
        step = pick(list(results), rng)
        question += step
        worked.append(f"<<{value}{step}={results[step]}>>.")
        value = results[step]
    return Item(question, str(value), rationale=f"{TRIGGER} {' '.join(worked)}")


def chain_model(seed, tokens, device):
    """A TextModel of chains that has learnt their sums by half."""
    rng, rows, used = generator(seed, "chains"), [], 0
    while used < tokens:
        item = chain(int(rng.choice(STEPS)), rng)
        query, whole = CHAIN_FORM.query(item), CHAIN_FORM.demonstration(item, True) + "\n"
        reply = CHARACTERS.encode(whole[len(query) :])
        rows.append(encode_sft(CHARACTERS.encode(query), reply))
        used += len(rows[-1])
    model = small_gpt(CHARACTERS.vocab_size, 160, seed).to(device)
    read_once(model, rows, BATCH, RATE, seed)
    return TextModel.of(model, CHARACTERS, ends=(LINE_END,))


def step_errors(lm, items):
    """(share of wrong steps, share of wrong expressions), each step after right ones."""
    wrong, copied = [], []
    for item in items:
        steps = item.rationale.split()[1:]
        for i, step in enumerate(steps):
            begin = " " + " ".join([TRIGGER, *steps[:i]])
            reply = lm.complete(CHAIN_FORM.query(item), begin=begin, stop=">>", max_tokens=16)
            written, right = reply.text.strip(), step.removesuffix(">>.")
            wrong.append(written != right)
            copied.append(written.partition("=")[0] != right.partition("=")[0])
    return np.mean(wrong), np.mean(copied)


def chains(lm, count, seed):
    """{("alone" or "calculator", steps): share right; (.., "law", steps): its law}."""
    rng, found = generator(seed, "tested chains"), {}
    tests = {n: [chain(n, rng) for _ in range(count)] for n in STEPS}
    errors = step_errors(lm, tests[STEPS[-1]])
    for n, items in tests.items():
        for name, on, error in zip(("alone", "calculator"), (False, True), errors):
            options = {"trigger": TRIGGER, "calculator": on, "max_tokens": LONGEST}
            answers = [zero_shot_cot(lm, item, prompt=CHAIN_FORM, **options) for item in items]
            found[name, n] = np.mean([is_right(a.value, i) for a, i in zip(answers, items)])
            found[name, "law", n] = chain_accuracy(error, n)
    return found


# Plans, whose typed sub-problems go to tools or to the model.


def problem(count, kind, rng):
    """A question about so many measures, with its answer: Item."""
    words = ", ".join(distinct(list(MEASURES), count, rng))
    ends = {
        "sum": "how many in all?",
        "day": f"which day in so many days from {DAYS[rng.integers(7)]}?",
        "least": "how many are the two least?",
    }
    item = Item(f"{words}: {ends[kind]}")
    return replace(item, answer=exact_plan(item)[-1][1])


def next_step(item, pairs):
    """G_i of a rule: the next question, or None."""
    listed, _, end = item.question.partition(": ")
    words = listed.split(", ")
    values = [answer for question, answer in pairs if question.startswith("How")]
    tools = [(question, answer) for question, answer in pairs if question.startswith("[")]
    least = "least" in end
    # Sums grow by one number at a time, each asked for when it is needed.
    if len(values) < len(words) and (least or len(values) < 2 + len(tools)):
        return f"How many is {words[len(values)]}?"
    if least and len(tools) < 2:
        if not tools:
            return f"[sort] {', '.join(values)}"
        # a model may write a list that is too short
        first, second = [*tools[0][1].split(", "), "", ""][:2]
        return f"[calculator] {first} + {second}"
    if not least and len(tools) < len(words) - 1:
        before = values[0]
        if tools:
            before = tools[-1][1]
        return f"[calculator] {before} + {values[len(tools) + 1]}"
    if "day" in end and not tools[-1][0].startswith("[date]"):
        return f"[date] {end.split()[-1].strip('?')} + {tools[-1][1]}"
    return None


def exact_plan(item, measures=MEASURES):
    """The (sub-problem, answer) pairs of the rule, with exact solvers; measures: {word: int}."""

    def read(question, whole, pairs):
        return str(measures[question.removesuffix("?").split()[-1]])

    return decompose(item, next_step, route(TOOLS, read), lambda whole, pairs: None, 32).pairs


def asked_in_turn(words, item, pairs, measured):
    """The last solving prompt with its reply, and loss on all replies and their ends: Encoded.

    measured  False: no loss on what the words stand for, since it is not so
    """
    ids, learnt, text = [], [], ""
    for i, (question, answer) in enumerate(pairs):
        # Every prompt begins with the one before and its reply, so one row holds them all.
        prompt = solving_prompt(item, pairs[:i], question)
        given = words.encode(prompt[len(text) :]).tolist()
        reply = words.encode(f" {answer}").tolist()
        ids += given + reply
        # The name of the next field ends a reply, so it is learnt too: "SUB-PROB2".
        learnt += [0 < i and k < NAME for k in range(len(given))]
        learnt += [measured or not question.startswith("How")] * len(reply)
        text = f"{prompt} {answer}"
    return Encoded(np.array([*ids, words.special[END]]), np.array([*learnt, True]))


def row_of(words, way, item, rng):
    """A row of training of one way: Encoded."""
    if way == "direct":
        reply = [*words.encode(f" {item.answer}"), words.special[END]]
        return encode_sft(words.encode(DIRECT.query(item)), reply)
    measures = MEASURES
    if rng.random() < 0.5:
        # Other numbers for the words: an answer has to be copied, and not to be known.
        measures = {word: int(rng.integers(1, MOST + 1)) for word in MEASURES}
    return asked_in_turn(words, item, exact_plan(item, measures), measures is MEASURES)


# Shares of the tokens: of direct answers, and of the answers to sub-problems.
SHARES = {"direct": 0.3, "solve": 0.7}


def drawn(names, rng):
    """A question of any kind about so many people: Item."""
    return problem(int(rng.choice(names)), KINDS[rng.integers(len(KINDS))], rng)


def tokenizer():
    """Every word of the prompts and replies is a token, and every number."""
    rng, texts = generator(0, "words"), [f" {n}" for n in range(180)]
    for _ in range(300):
        item = drawn(TRAINED, rng)
        pairs = exact_plan(item)
        texts += [DIRECT.query(item), solving_prompt(item, pairs), f" {item.answer}"]
    return UnigramTokenizer.of_words(texts, string.ascii_letters + string.digits, [END])


def plan_model(words, seed, tokens, device):
    """A TextModel that has learnt direct answers, plans, and the answers to sub-problems."""
    rng, rows = generator(seed, "plans"), []
    for way, part in SHARES.items():
        used = 0
        while used < part * tokens:
            rows.append(row_of(words, way, drawn(TRAINED, rng), rng))
            used += len(rows[-1])
    model = small_gpt(words.vocab_size, 384, seed).to(device)
    read_once(model, rows, BATCH, RATE, seed)
    return TextModel.of(model, words, ends=(words.special[END],))


# The ways to answer, each (lm, item, demonstrations, seed=) -> Answer.


def directly(lm, item, demonstrations=(), *, seed=0):
    """The answer alone."""
    return zero_shot(lm, item, prompt=DIRECT, seed=seed, max_tokens=4)


def in_parts(lm, item, demonstrations=(), *, seed=0, tools=TOOLS):
    """The sub-problems of the rule, one after another: those that name a tool go to it."""
    solver = Solver(lm, item, seed=seed, max_tokens=12)
    solve = route(tools, solver.solve)
    # S_0 is the last answer.
    plan = decompose(
        item, next_step, lambda *given: solve(*given).strip(), lambda whole, pairs: pairs[-1][1]
    )
    return Answer(plan.answer, plan.answer, {"pairs": plan.pairs})


def without_tools(lm, item, demonstrations=(), *, seed=0):
    """The same; the model itself solves what is for a tool."""
    return in_parts(lm, item, seed=seed, tools={})


METHODS = dict(zip(WAYS, (directly, in_parts, without_tools)))


def plans(lm, count, seed):
    """{(way, names): (share right, tokens of a question, {kind: share right})}."""
    found = {}
    for names in TRAINED:
        rng = generator(seed, f"tested plans {names}")
        items = [problem(names, KINDS[i % len(KINDS)], rng) for i in range(count)]
        for way, method in METHODS.items():
            records = answer_together(lm, method, items, seed=seed)
            right = np.array([r.value == item.answer for r, item in zip(records, items)])
            kinds = {kind: right[k :: len(KINDS)].mean() for k, kind in enumerate(KINDS)}
            found[way, names] = right.mean(), np.mean([r.tokens for r in records]), kinds
            print(f"seed {seed}, {names} measures, {way}: {right.mean():.2f}", file=sys.stderr)
    return found


def run(words, seed, tokens, count, device):
    """All measurements of one seed: (those of chains, those of plans)."""
    of_chains = chains(chain_model(seed, tokens * CHAINS // TOKENS, device), count, seed)
    lm = plan_model(words, seed, tokens, device)
    return of_chains, plans(lm, count, seed)


def show(runs):
    """Print the tables, mean (least .. most) over seeds."""
    titles = [f"{name}{law}" for name in ("alone", "calculator") for law in ("", ", its law")]
    print(f"{'chains: steps':<16}" + "".join(f"{title:>20}" for title in titles))
    for n in STEPS:
        cells = []
        for name in ("alone", "calculator"):
            for key in ((name, n), (name, "law", n)):
                cells.append(mean_and_range([r[key] for r, _ in runs], ".2f"))
        print(f"{n:>8}{'':<8}" + "".join(f"{cell:>20}" for cell in cells))
    print(f"{'parts: measures':<36}{'right':>22}{'tokens':>8}" + "".join(f"{k:>8}" for k in KINDS))
    for names in TRAINED:
        for way in WAYS:
            rows = [r[way, names] for _, r in runs]
            right = mean_and_range([row[0] for row in rows], ".2f")
            kinds = [np.mean([row[2][kind] for row in rows]) for kind in KINDS]
            title, cost = f"{names}, {way}", np.mean([row[1] for row in rows])
            cells = "".join(f"{kind:>8.2f}" for kind in kinds)
            print(f"    {title:<32}{right:>22}{cost:>8.0f}{cells}")


def verdicts(runs):
    """Print the verdict of every claim."""

    def of(*key):
        return np.array([r[key] for r, _ in runs])

    def right(way, names):
        return [r[way, names][0] for _, r in runs]

    direct, tools, off = WAYS
    print(ON.line(of("calculator", 4), of("alone", 4)))
    gains = [of("calculator", n) - of("alone", n) for n in (4, 1)]
    print(GROWS.line(*gains))
    for claim, name in ((ALONE, "alone"), (COPIES, "calculator")):
        print(claim.line(np.abs(of(name, 4) - of(name, "law", 4)), 0.0))
    print(TOOLED.line(right(tools, 3), right(off, 3)))
    print(PLANNED.line(right(tools, 3), right(direct, 3)))
    print(ALONE_TOO.line(right(off, 3), right(direct, 3)))
    gains = [np.array(right(tools, n)) - right(off, n) for n in (3, 2)]
    print(DEEPER.line(*gains))


main = main_of(__doc__, tokenizer, run, show, verdicts, (TOKENS, ASKED), quick=6)

if __name__ == "__main__":
    main()
