"""Answers with their steps against answers alone, from small GPTs trained on equally many tokens.

Book sections 3.2.1 (chain of thought, and how errors go on in it), 3.2.2 (least-to-most prompting)
and 3.2.4 (self-consistency). A question is a chain of sums and products modulo 5, "2+4*3+1", whose
operations are done from left to right; a digit is a token. One model learns the answer alone,
"2+4*3+1 = 4", another "2+4*3+1 = > 2+4=1. 1*3=3. 3+1=4. #### 4", where ">" stands for "Let's think
step by step.". Both have two layers of width 64 and read 750,000 tokens of chains of one to four
steps, each example once; answers are shorter, so the first model reads three times as many
examples. ">" is trained: nothing emerges here. A copy of the second model, taken after two thirds
of its training, still makes errors, on which self-consistency is judged. Five seeds, about 6
minutes on one core. `python scripts/3_prompting/chain_of_thought.py [--seed N] [--device cpu|gpu]
[--quick]`; --quick is two seeds and a tenth of the tokens. Read next:
prompt/reasoning/chain_of_thought.py.

Measured output:

    750000 training tokens: 68135 answers, or 21121 with steps
    right, by steps of the chain
                             direct      chain of thought  the commonest answer
            1   0.80 (0.59 .. 1.00)   1.00 (1.00 .. 1.00)   0.28 (0.25 .. 0.30)
            2   0.43 (0.37 .. 0.54)   1.00 (1.00 .. 1.00)   0.27 (0.24 .. 0.31)
            3   0.37 (0.31 .. 0.41)   1.00 (1.00 .. 1.00)   0.32 (0.25 .. 0.39)
            4   0.35 (0.31 .. 0.41)   0.98 (0.91 .. 1.00)   0.33 (0.26 .. 0.42)
    beyond the trained steps: right, and tokens of a question
                   chain of thought tokens    a vote of 5 chains tokens         least-to-most tokens
            5   0.27 (0.21 .. 0.37)     46   0.27 (0.20 .. 0.37)    230   1.00 (1.00 .. 1.00)    110
            6   0.22 (0.17 .. 0.26)     48   0.22 (0.18 .. 0.25)    240   1.00 (1.00 .. 1.00)    132
            8   0.20 (0.15 .. 0.24)     44   0.20 (0.15 .. 0.26)    220   1.00 (1.00 .. 1.00)    176
    answers flipped by an error in step t of four, and the law
            1   0.74 (0.66 .. 0.78)    0.73
            2   0.81 (0.72 .. 0.84)    0.81
            3   0.89 (0.85 .. 0.95)    0.90
            4   1.00 (1.00 .. 1.00)    1.00
    the early copy, four steps: right
        one greedy chain                0.75 (0.38 .. 0.98)
        one sampled chain               0.73 (0.42 .. 0.96)
        a vote of 9                     0.75 (0.40 .. 0.98)
        law, each question's answers    0.76 (0.45 .. 0.97)
        binomial law, mean accuracy     0.81 (0.31 .. 1.00)
    5 seeds; 367 s of one core
    four steps: chain of thought > direct (section 3.2.1): +0.632 [+0.558, +0.706], 5 seeds: shows
    the gap at four steps > the gap at one (section 3.2.1): +0.432 [+0.218, +0.646], 5 seeds: shows
    an error in the last step flips more answers than one in the first (section 3.2.1): +0.26
      [+0.197, +0.323], 5 seeds: shows
    flips are as the law within 0.05 (section 3.2.1): -0.0285 [-0.0488, -0.00827], 5 seeds: shows
    a vote of 9 > one greedy chain (section 3.2.4): -0.004 [-0.0312, +0.0232], 5 seeds: too small to
      tell; 0.027 could have been seen
    votes are as the law of each question's answers within 0.05 (section 3.2.4): -0.0225 [-0.0436,
      -0.00142], 5 seeds: shows
    votes are as the binomial law of the mean accuracy within 0.05 (section 3.2.4): -0.0955 [-0.168,
      -0.0227], 5 seeds: too small to tell; 0.023 could have been seen
    eight steps: least-to-most > a vote of 5 chains (section 3.2.2): +0.796 [+0.737, +0.855], 5
      seeds: shows

With steps, the model is right at every trained length; answers alone fall nearly to the commonest
answer from three steps on. An error goes on as the law says: the mean distance is 0.03, of which
chance in 100 questions makes 0.02. Votes gain nothing over one greedy chain. The binomial law takes
all questions for equally hard and is 0.10 off; the law of each question's own answers is 0.02 off,
so a vote repeats what most samples of its question agree on, right or wrong. Chains in one run
never saw the positions of a fifth step and fail there; one step a prompt has only trained lengths.
The list of steps is made by a rule, not by the model, and the direct answers come from a model of
their own.

The task and the settings were chosen on other seeds, the budget after a first run: seeds 0 to 3,
600,000 tokens, 150 questions, the same rules. One of its four models with steps had not finished
learning (0.45 right at four steps). There chain of thought (+0.51), later errors (+0.35) and
least-to-most (+0.67) showed too; that the gap grows (+0.22 [-0.25, +0.69]), the laws and the votes
were too small to tell.
"""

import argparse
import time

import numpy as np

from tinylm import backend
from tinylm.data.read.items import Item
from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models import GPT, GPTConfig
from tinylm.prompt import TextModel
from tinylm.prompt.answer import Answer
from tinylm.prompt.decompose.plan import decompose, up_front
from tinylm.prompt.ensemble.self_consistency import majority_law, self_consistency, vote_law
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.evaluation.runner import answer_items
from tinylm.prompt.in_context.few_shot import FewShotPrompt, zero_shot
from tinylm.prompt.reasoning.chain_of_thought import zero_shot_cot
from tinylm.prompt.reasoning.error_injection import flip_rates
from tinylm.tokenizers import CharTokenizer
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

VALUES = 5  # arithmetic modulo 5: of the products only that with 0 forgets what came before
TRAINED, BEYOND = (1, 2, 3, 4), (5, 6, 8)  # steps of a chain
TOKENS, BATCH, RATE = 750_000, 16, 5e-3
EARLY = 2 / 3  # of the training, where the copy that still makes errors is taken
ASKED = 100  # questions of each length
VOTES, RESERVED = 9, 16  # samples that vote, and others to measure the law by
RIVALS = 5  # chains that vote against one least-to-most run: at least as many tokens
TRIGGER, LONGEST = ">", 100
# "2+4*3 = 3" without steps, "2+4*3 = > 2+4=1. 1*3=3. #### 3" with them; a newline ends both.
FORM = FewShotPrompt(
    question_name="", answer_name="", between=" = ", separator="\n", conclusion="#### {}"
)
TOKENIZER = CharTokenizer("0123456789+*=.#> \n")
END = int(TOKENIZER.encode("\n")[0])
# The rules, written before both runs. Scores are shares of right answers, one a seed.
BETTER = Claim("four steps: chain of thought > direct", "3.2.1", least=0.1, limit=1.0)
GROWS = Claim("the gap at four steps > the gap at one", "3.2.1")
LATER = Claim("an error in the last step flips more answers than one in the first", "3.2.1")
AS_LAW = Claim("flips are as the law within 0.05", "3.2.1", larger=False, least=-0.05)
VOTE = Claim(f"a vote of {VOTES} > one greedy chain", "3.2.4", limit=1.0)
VOTE_LAW = Claim(
    "votes are as the law of each question's answers within 0.05",
    "3.2.4",
    larger=False,
    least=-0.05,
)
BINOMIAL = Claim(
    "votes are as the binomial law of the mean accuracy within 0.05",
    "3.2.4",
    larger=False,
    least=-0.05,
)
STEPWISE = Claim(
    f"eight steps: least-to-most > a vote of {RIVALS} chains", "3.2.2", least=0.1, limit=1.0
)


def chain(steps, rng):
    """A chain of so many steps with its worked solution: Item."""
    value = int(rng.integers(VALUES))
    question, worked = str(value), []
    for _ in range(steps):
        sign = "+*"[rng.integers(2)]
        operand = int(rng.integers(VALUES))
        # From left to right, without precedence: 2+4*3 is (2+4)*3.
        result = (value * operand) % VALUES
        if sign == "+":
            result = (value + operand) % VALUES
        question += f"{sign}{operand}"
        worked.append(f"{value}{sign}{operand}={result}.")
        value = result
    return Item(question, str(value), rationale=f"{TRIGGER} {' '.join(worked)}")


def lessons(tokens, rationale, rng):
    """New chains of the trained lengths until they have so many tokens: list of Encoded."""
    found, used = [], 0
    while used < tokens:
        item = chain(int(rng.choice(TRAINED)), rng)
        query, whole = FORM.query(item), FORM.demonstration(item, rationale) + "\n"
        # The query is masked in the loss: the operands are random, and nothing predicts them.
        reply = TOKENIZER.encode(whole[len(query) :])
        found.append(encode_sft(TOKENIZER.encode(query), reply))
        used += len(found[-1])
    return found


def train(tokens, rationale, seed, device):
    """A trained model, a copy of it at EARLY, and the number of its examples.

    returns  (TextModel, TextModel, int)
    """
    examples = lessons(tokens, rationale, np.random.default_rng([seed, 0]))
    # 160 positions are room for a query of eight steps, 20 tokens, and its reply of LONGEST.
    config = GPTConfig(TOKENIZER.vocab_size, 160, 2, 4, 64, norm="rms", bias=False, tied=False)
    model, early = GPT(config, seed), GPT(config, seed)
    # Embeddings ten times GPT-2's: with 0.02 two layers learn more slowly.
    model.tokens.weight.data *= 10
    model, early = model.to(device), early.to(device)
    # Each example is read once: steps = ceil(examples / BATCH).
    steps, done = -(-len(examples) // BATCH), 0

    def keep(step, seconds):
        nonlocal done
        done += 1
        if done == round(EARLY * steps):
            early.load_state_dict(model.state_dict())

    fit(
        model,
        InstructionTuning(),
        examples,
        steps=steps,
        batch_size=BATCH,
        learning_rate=RATE,
        weight_decay=0.0,
        seed=seed,
        after_step=keep,
    )
    texts = [TextModel.of(one.eval(), TOKENIZER, ends=(END,)) for one in (model, early)]
    return *texts, len(examples)


# The methods, each (lm, item, demonstrations, seed=) -> Answer.


def direct(lm, item, demonstrations=(), *, seed=0):
    """The answer alone."""
    return zero_shot(lm, item, prompt=FORM, seed=seed)


def stepwise(lm, item, demonstrations=(), *, seed=0):
    """Chain of thought in one run."""
    return zero_shot_cot(lm, item, prompt=FORM, trigger=TRIGGER, max_tokens=LONGEST, seed=seed)


def voted(lm, item, demonstrations=(), *, seed=0, samples=RIVALS):
    """A vote of sampled chains."""
    return self_consistency(
        lm,
        item,
        prompt=FORM,
        trigger=TRIGGER,
        extract=None,
        samples=samples,
        max_tokens=LONGEST,
        seed=seed,
    )


def least_to_most(lm, item, demonstrations=(), *, seed=0):
    """One step a prompt: a rule lists the steps, the model solves each with the answer before it.

    "2+4*3": p_1 = "2+4" -> a_1 = 1; p_2 = "*3", asked as "1*3" -> a_2 = 3, which is a_0
    """

    def parts(problem):
        # the first sub-problem has the first value too
        text = problem.question
        return [text[:3], *(text[i : i + 2] for i in range(3, len(text), 2))]

    def solve(part, problem, pairs):
        before = ""
        if pairs:
            before = pairs[-1][1] or ""  # an answer that could not be read is missing
        return stepwise(lm, Item(f"{before}{part}"), seed=seed).value

    plan = decompose(item, up_front(parts), solve, lambda problem, pairs: pairs[-1][1])
    return Answer(plan.answer, plan.answer or "", {"plan": plan})


# The measurements.


def asked(lm, method, items, seed):
    """(share of right answers, tokens a question) of a method."""
    records = list(answer_items(lm, method, items, seed=seed))
    return np.mean([r.right for r in records]), np.mean([r.tokens for r in records])


def wrong_result(step, rng):
    """The step with another result."""
    result = (int(step[-2]) + int(rng.integers(1, VALUES))) % VALUES
    return f"{step[:-2]}{result}."


def flip_law(after):
    """The probability that an error is still there after so many right steps.

    A sum keeps the difference of two values modulo a prime; a product loses it only if it is with
    0: half of the steps are products, one of VALUES of them with 0.
    """
    return (1 - 1 / (2 * VALUES)) ** after


def votes(lm, items, seed):
    """Shares of right answers of single chains and of votes, and what two laws predict of votes."""
    rows = []  # of each question: greedy, sample, vote, law
    for i, item in enumerate(items):
        greedy = stepwise(lm, item)
        ballot = voted(lm, item, seed=seed + 1000 * i, samples=VOTES)
        # Other samples than those that vote tell how probable each answer is.
        others = voted(lm, item, seed=seed + 1000 * i + 500, samples=RESERVED).details["answers"]
        shares = {str(a): others.count(a) / RESERVED for a in set(others)}
        law = vote_law(shares, VOTES)
        right = [is_right(answer.value, item) for answer in (greedy, ballot)]
        # An answer that no sample reached has the estimate 0.
        predicted = [of.get(item.answer, 0.0) for of in (shares, law)]
        rows.append((*right, *predicted))
    greedy, vote, sample, law = np.mean(rows, axis=0)
    return {
        "one greedy chain": greedy,
        "one sampled chain": sample,
        f"a vote of {VOTES}": vote,
        "law, each question's answers": law,
        "binomial law, mean accuracy": majority_law(sample, VOTES),
    }


def run(seed, tokens, count, device):
    """All measurements of one seed: {name: share or tokens}."""
    found = {}
    answers, _, found["examples", "direct"] = train(tokens, False, seed, device)
    steps, early, found["examples", "steps"] = train(tokens, True, seed, device)
    rng = np.random.default_rng([seed, 1])
    tests = {n: [chain(n, rng) for _ in range(count)] for n in (*TRAINED, *BEYOND)}
    for n in TRAINED:
        found["direct", n] = asked(answers, direct, tests[n], seed)
        # A constant guess is right as often as the commonest answer occurs.
        common = np.unique([item.answer for item in tests[n]], return_counts=True)[1]
        found["commonest", n] = common.max() / count
    for n, items in tests.items():
        found["steps", n] = asked(steps, stepwise, items, seed)
    for n in BEYOND:
        found["vote", n] = asked(steps, voted, tests[n], seed)
        found["least-to-most", n] = asked(steps, least_to_most, tests[n], seed)
    # Row t: step t gets another result, and the model goes on from there.
    longest = tests[TRAINED[-1]]
    table = flip_rates(
        steps, longest, change=wrong_result, prompt=FORM, seed=seed, max_tokens=LONGEST
    )
    found["flips"] = [row.rate for row in table]
    # Half of the questions, as each takes 1 + VOTES + RESERVED chains.
    found["votes"] = votes(early, longest[: count // 2], seed)
    return found


def show(runs):
    """Print the tables, mean (least .. most) over seeds."""

    def cell(values):
        return f"{mean_and_range(values, '.2f'):>22}"

    print("right, by steps of the chain")
    print(f"    {'':>5}{'direct':>22}{'chain of thought':>22}{'the commonest answer':>22}")
    for n in TRAINED:
        scores = [[r["direct", n][0], r["steps", n][0], r["commonest", n]] for r in runs]
        print(f"    {n:>5}" + "".join(cell(column) for column in np.transpose(scores)))
    print("beyond the trained steps: right, and tokens of a question")
    names = ("steps", "vote", "least-to-most")
    titles = "chain of thought", f"a vote of {RIVALS} chains", "least-to-most"
    print(f"    {'':>5}" + "".join(f"{title:>22}{'tokens':>7}" for title in titles))
    for n in BEYOND:
        row = f"    {n:>5}"
        for name in names:
            right, used = np.transpose([r[name, n] for r in runs])
            row += f"{cell(right)}{used.mean():>7.0f}"
        print(row)
    print("answers flipped by an error in step t of four, and the law")
    for t, rates in enumerate(np.transpose([r["flips"] for r in runs])):
        print(f"    {t + 1:>5}{cell(rates)}{flip_law(TRAINED[-1] - 1 - t):>8.2f}")
    print("the early copy, four steps: right")
    for name in runs[0]["votes"]:
        print(f"    {name:<29}{cell([r['votes'][name] for r in runs])}")


def verdicts(runs):
    """Print the verdict of every claim."""
    first, last, far = TRAINED[0], TRAINED[-1], BEYOND[-1]
    gaps = {n: [r["steps", n][0] - r["direct", n][0] for r in runs] for n in (first, last)}
    direct_last = [r["direct", last][0] for r in runs]
    steps_last = [r["steps", last][0] for r in runs]
    print(BETTER.line(steps_last, direct_last))
    print(GROWS.line(gaps[last], gaps[first]))
    flips = np.array([r["flips"] for r in runs])  # (seeds, steps)
    print(LATER.line(flips[:, -1], flips[:, 0]))
    # After step t, last - 1 - t right steps may still undo the error.
    law = [flip_law(last - 1 - t) for t in range(last)]
    print(AS_LAW.line(np.abs(flips - law).mean(axis=1), 0.0))
    ballots = {name: np.array([r["votes"][name] for r in runs]) for name in runs[0]["votes"]}
    greedy, _, vote, law, binomial = ballots.values()
    print(VOTE.line(vote, greedy))
    print(VOTE_LAW.line(np.abs(vote - law), 0.0))
    print(BINOMIAL.line(np.abs(vote - binomial), 0.0))
    stepped = [r["least-to-most", far][0] for r in runs]
    rivals = [r["vote", far][0] for r in runs]
    print(STEPWISE.line(stepped, rivals))


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # Seeds 0 to 3 were those of a first run, see above.
    parser.add_argument("--seed", type=int, default=4, help="the first of the seeds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="two seeds, few tokens")
    args = parser.parse_args(argv)
    backend.blas_threads(1)
    began = time.process_time()
    seeds, tokens, count = range(args.seed, args.seed + 5), TOKENS, ASKED
    if args.quick:
        seeds, tokens, count = seeds[:2], TOKENS // 10, 20
        print(ONLY_RUNS)
    runs = [run(seed, tokens, count, args.device) for seed in seeds]
    examples = [np.mean([r["examples", name] for r in runs]) for name in ("direct", "steps")]
    print(f"{tokens} training tokens: {examples[0]:.0f} answers, or {examples[1]:.0f} with steps")
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
