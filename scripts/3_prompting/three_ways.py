"""Direct answers, chain of thought and decomposition by the same weights, at equal tokens.

Book sections 3.2.1 (fig. 3.1) and 3.2.2. One small GPT a seed learns three tasks: the last letters
of names, the brackets that close a sequence, and questions of several hops about a text. It reads
answers alone and answers with their steps, as many tokens of both, and nothing else: several runs
need no training of their own, as a rule splits a question into shorter ones of the same kind, and
the model answers these directly or with steps. A way that writes more is compared with a vote of
sampled direct answers that costs as many tokens. Then the questions become longer than all that
were trained; no token of their steps is new, as half of the steps of brackets are counted from a
later number than 0 in training. An exact solver of the parts is the limit. Two layers of width 64,
two million tokens, five seeds, about 14 minutes on one core. `python
scripts/3_prompting/three_ways.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is two seeds and
a tenth of the tokens. Read next: tinylm/prompt/decompose/shorter.py; chain_of_thought.py, where
each way has a model of its own.

Measured output (one core):

                                               right  calls  tokens        direct, as many tokens
    letters, 4, direct           0.98 (0.95 .. 1.00)    1.0      29
    letters, 4, one run          0.97 (0.90 .. 1.00)    1.0      93  3 votes  0.93 (0.86 .. 0.98)
    letters, 4, several runs     1.00 (1.00 .. 1.00)    2.0      50  2 votes  0.86 (0.78 .. 0.94)
    letters, 4, several, steps   1.00 (1.00 .. 1.00)    2.0     130  4 votes  0.94 (0.87 .. 0.99)
    letters, 4, several, exact   1.00 (1.00 .. 1.00)    0.0       0
    letters, 8, direct           0.00 (0.00 .. 0.00)    1.0      35
    letters, 8, one run          0.00 (0.00 .. 0.00)    1.0     106  3 votes  0.00 (0.00 .. 0.00)
    letters, 8, several runs     1.00 (1.00 .. 1.00)    4.0     100  3 votes  0.00 (0.00 .. 0.00)
    letters, 8, several, steps   1.00 (1.00 .. 1.00)    4.0     260  8 votes  0.00 (0.00 .. 0.00)
    letters, 8, several, exact   1.00 (1.00 .. 1.00)    0.0       0
    brackets, 5, direct          0.99 (0.98 .. 1.00)    1.0      30
    brackets, 5, one run         0.71 (0.51 .. 0.93)    1.0      88  3 votes  0.99 (0.97 .. 1.00)
    brackets, 5, several runs    1.00 (1.00 .. 1.00)    2.4      66  2 votes  0.98 (0.95 .. 0.99)
    brackets, 5, several, steps  0.90 (0.84 .. 0.93)    2.4     166  6 votes  0.99 (0.98 .. 1.00)
    brackets, 5, several, exact  1.00 (1.00 .. 1.00)    0.0       0
    brackets, 8, direct          0.86 (0.81 .. 0.92)    1.0      33
    brackets, 8, one run         0.06 (0.01 .. 0.12)    1.0     106  3 votes  0.83 (0.79 .. 0.89)
    brackets, 8, several runs    1.00 (1.00 .. 1.00)    4.0     111  3 votes  0.83 (0.79 .. 0.89)
    brackets, 8, several, steps  0.78 (0.71 .. 0.90)    4.0     285  9 votes  0.85 (0.80 .. 0.94)
    brackets, 8, several, exact  1.00 (1.00 .. 1.00)    0.0       0
    hops, 2, direct              0.68 (0.64 .. 0.71)    1.0      49
    hops, 2, one run             0.69 (0.65 .. 0.72)    1.0      73  1 votes  0.68 (0.64 .. 0.71)
    hops, 2, several runs        0.68 (0.64 .. 0.71)    2.0      90  2 votes  0.64 (0.55 .. 0.68)
    hops, 2, several, steps      0.69 (0.66 .. 0.72)    2.0     126  3 votes  0.66 (0.60 .. 0.71)
    hops, 2, several, exact      1.00 (1.00 .. 1.00)    0.0       0
    hops, 3, direct              0.57 (0.51 .. 0.63)    1.0      60
    hops, 3, one run             0.33 (0.17 .. 0.63)    1.0      83  1 votes  0.57 (0.51 .. 0.63)
    hops, 3, several runs        0.62 (0.56 .. 0.64)    3.0     156  3 votes  0.52 (0.45 .. 0.61)
    hops, 3, several, steps      0.63 (0.57 .. 0.66)    3.0     209  3 votes  0.52 (0.45 .. 0.61)
    hops, 3, several, exact      1.00 (1.00 .. 1.00)    0.0       0
    the account of 420 calls: 23213 tokens, 22793 of the logged prompts and replies and 420 ends of
      replies
    5 seeds; 813 s of one core
    letters, 4: one run > direct with as many tokens (section 3.2.2): +0.04 [+0.0137, +0.0663], 5
      seeds: cannot show by design
    letters, 4: several runs > direct with as many tokens (section 3.2.2): +0.144 [+0.0614, +0.227],
      5 seeds: too small to tell; 0.18 could have been seen
    letters, 8: several runs > direct with as many tokens (section 3.2.2): +1 [+1, +1], 5 seeds:
      shows
    letters, 8: several runs > one run (section 3.2.2): +1 [+1, +1], 5 seeds: shows
    brackets, 5: one run > direct with as many tokens (section 3.2.2): -0.274 [-0.475, -0.0727], 5
      seeds: shows the opposite
    brackets, 5: several runs > direct with as many tokens (section 3.2.2): +0.022 [+0.0016,
      +0.0424], 5 seeds: cannot show by design
    brackets, 8: several runs > direct with as many tokens (section 3.2.2): +0.172 [+0.117, +0.227],
      5 seeds: shows
    brackets, 8: several runs > one run (section 3.2.2): +0.942 [+0.89, +0.994], 5 seeds: shows
    hops, 2: one run > direct with as many tokens (section 3.2.2): +0.006 [-0.0148, +0.0268], 5
      seeds: too small to tell; 0.12 could have been seen
    hops, 2: several runs > direct with as many tokens (section 3.2.2): +0.042 [-0.00874, +0.0927],
      5 seeds: too small to tell; 0.15 could have been seen
    hops, 3: several runs > direct with as many tokens (section 3.2.2): +0.096 [+0.0172, +0.175], 5
      seeds: too small to tell; 0.18 could have been seen
    hops, 3: several runs > one run (section 3.2.2): +0.282 [+0.0656, +0.498], 5 seeds: too small to
      tell; 0.32 could have been seen

A model that answers questions of four words nearly always (0.98) and of eight words never answers
those of eight without an error in pieces of two, for as many tokens as its own chain in one run.
Brackets go the same way, also against a vote of direct answers (0.17 better); the difference for
hops is below what 100 questions and five seeds can tell, as one fact in a text is misread a third
of the time and more hops mean more such facts. So the third way needs no better model, only a plan:
a rule makes it here and joins the answers, and with exact parts it is exact at any length. Within
the trained length direct answers leave nothing to gain for letters and brackets, which the rule
calls "cannot show". Steps in one run gain nothing in any task: they cost accuracy for brackets,
though no number in them is new, and beyond the trained length they end wrong nearly always (letters
0.00, brackets 0.06); parts answered with steps are no better than parts answered directly. Votes
are mostly below the single most probable answer, since at temperature 1 these models often err.

A first run with half as many tokens, 20 questions a length, and no number above 5 in the steps of
brackets had letters of four at 0.79 and told less. The account is what was sent and received, and a
token for the end of every reply. Settings were chosen on seed 100, with an earlier form in which
the model wrote the plan too; its lists ended at about the trained length.
"""

import string
import sys
from dataclasses import replace

import numpy as np
from small_runs import main_of, read_once, small_gpt

from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.prompted.dyck import dyck_items, dyck_trace
from tinylm.data.synthetic.prompted.last_letters import last_letter_items
from tinylm.data.synthetic.prompted.multi_hop import multi_hop_items
from tinylm.finetune.instruct.conversations import encode_sft, pack
from tinylm.prompt import TextModel
from tinylm.prompt.decompose.equal_tokens import logged_tokens, three_ways
from tinylm.prompt.decompose.shorter import exact, in_parts
from tinylm.prompt.evaluation.runner import answer_items
from tinylm.prompt.in_context.few_shot import FewShotPrompt, zero_shot
from tinylm.prompt.reasoning.chain_of_thought import TRIGGERS, zero_shot_cot
from tinylm.tokenizers import UnigramTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

# Examples are packed into rows of ROW tokens, so a step reads 600 tokens.
TOKENS, ROW, BATCH, RATE = 2_000_000, 150, 4, 5e-3
ASKED = 100  # questions of each task and length
LENGTHS, BEYOND = (2, 3, 4, 5), 8  # brackets: the trained lengths, and one beyond
END, FORM, LONGEST = "<|endoftext|>", FewShotPrompt(), 128


def letters(count, seed, n, rng=None):
    """Names of n words."""
    return last_letter_items(count, seed, words=n)


def brackets(count, seed, n, rng=None):
    """Sequences of n brackets of three kinds, at most three of them open; in training, for which
    there is a generator, half of their steps are counted from 1, 2 or 3.
    """
    made = dyck_items(count, seed, length=n, depth=3, kinds=3)
    if rng is None:
        return made
    # Steps of eight brackets have numbers up to 8. Those of five, the longest in training, have
    # them too if they begin at 3, so that new lengths bring no new tokens. Half of them begin at 0:
    # that stays the most probable beginning, so the most probable reply does begin there.
    found = []
    for item in made:
        symbols = item.question.partition("Input: ")[2]
        first = 0
        if rng.integers(2):
            first = int(rng.integers(1, BEYOND - LENGTHS[-1] + 1))
        found.append(replace(item, rationale=dyck_trace(symbols, first)))
    return found


def hops(count, seed, n, rng=None):
    """Questions of n hops, each about a world of its own, of n + 2 sentences; in training, for
    which there is a generator, also of fewer, from which reading is learnt sooner.
    """
    found = []
    for i in range(count):
        others = 2
        if rng is not None:
            others = int(rng.integers(3))
        # One item a call: items of one call would share their world, and so their facts.
        made = multi_hop_items(
            1,
            1000 * seed + i,
            hops=n,
            people=4,
            distractors=others,
        )
        found += made
    return found


# name: items, the trained lengths, one beyond, share of the tokens
TASKS = {
    "letters": (letters, (1, 2, 3, 4), 8, 0.3),
    "brackets": (brackets, LENGTHS, BEYOND, 0.25),
    "hops": (hops, (1, 2), 3, 0.45),
}
# The last three split a question by the same rule, and differ in how the parts are answered.
WAYS = {
    "direct": zero_shot,
    "one run": zero_shot_cot,
    "several runs": in_parts,
    "several, steps": in_parts,
    "several, exact": in_parts,
}
OPTIONS = {
    "one run": {"max_tokens": LONGEST},
    "several, steps": {"solve": zero_shot_cot, "max_tokens": LONGEST},
    "several, exact": {"solve": exact},
}

# The claims, of each task; 0.1 is ten questions of 100. "As many tokens" is a vote.
CLAIMS = {}
for name, (_, known, longer, _) in TASKS.items():
    for n, way in ((known[-1], "one run"), (known[-1], "several runs"), (longer, "several runs")):
        text = f"{name}, {n}: {way} > direct with as many tokens"
        CLAIMS[name, n, way] = Claim(text, "3.2.2", least=0.1, limit=1.0)
    text = f"{name}, {longer}: several runs > one run"
    CLAIMS[name, longer, "one run"] = Claim(text, "3.2.2", least=0.1, limit=1.0)


# Training.


def answer_alone(item):
    """(prompt, reply) without steps."""
    return FORM.query(item), f" {item.answer}"


def with_steps(item):
    """(prompt, reply) with steps, after the sentence of zero-shot chain of thought."""
    prompt = f"{FORM.query(item)} {TRIGGERS[0]}"
    return prompt, f" {item.rationale} The answer is {item.answer}."


def tokenizer():
    """Every word of questions and steps is a token; letters spell the answers."""
    found = [" The answer is ."]
    for make, trained, *_ in TASKS.values():
        for item in make(400, 0, trained[-1]):
            # without the letters of a name that are put together, which would become one token:
            # answers are to be spelled
            steps = item.rationale.replace(f'"{item.answer}"', '""')
            found += [with_steps(item)[0], steps]
    return UnigramTokenizer.of_words(found, string.ascii_lowercase + string.digits, [END])


def lessons(words, task, form, tokens, seed):
    """New questions of the trained lengths, until they have so many tokens: list of Encoded."""
    make, trained, *_ = TASKS[task]
    rng, found, used = generator(seed, task, form.__name__), [], 0
    end = words.special[END]
    while used < tokens:
        for n in trained:
            for item in make(20, int(rng.integers(1 << 40)), n, rng):
                prompt, reply = form(item)
                # The loss is on the reply and its end alone.
                target = [*words.encode(reply), end]
                found.append(encode_sft(words.encode(prompt), target))
                used += len(found[-1])
    return found


def trained_model(words, tokens, seed, device):
    """A TextModel that has read so many tokens."""
    examples = []
    for task, (*_, share) in TASKS.items():
        # Half of the tokens, not of the examples: one with its steps is longer.
        for form in (answer_alone, with_steps):
            examples += lessons(words, task, form, share * tokens / 2, seed)
    # ALiBi: nothing but distances changes in longer questions.
    model = small_gpt(words.vocab_size, 512, seed, d_hidden=64, head_width=32, positions="alibi")
    read_once(model.to(device), pack(examples, ROW), BATCH, RATE, seed)
    return TextModel.of(model, words, ends=(words.special[END],))


# The measurements.


def audit(lm, items):
    """(tokens of the account, tokens of the logged texts, calls) of all ways together."""
    before = lm.account.copy()
    # Two counts of the same calls: what the model added up as it ran, and what the texts have.
    with lm.tracing() as trace:
        for way, method in WAYS.items():
            list(answer_items(lm, method, items, **OPTIONS.get(way, {})))
    spent = lm.account.since(before)
    return spent.tokens, logged_tokens(lm, trace), spent.calls


def run(words, seed, tokens, count, device):
    """All measurements of one seed: {(task, length, way): Row}, and the counts of audit()."""
    lm, found = trained_model(words, tokens, seed, device), {}
    for task, (make, trained, beyond, _) in TASKS.items():
        for n in (trained[-1], beyond):
            # another stream of items than in training
            items = make(count, (1 << 41) + seed, n)
            # Votes among samples of the model's own distribution, at temperature 1.
            rows = three_ways(lm, items, ways=WAYS, options=OPTIONS, seed=seed, temperature=1.0)
            for row in rows:
                found[task, n, row.name] = row
                line = f"{task}, {n}, {row.name}: {row.summary.accuracy:.2f}"
                print(f"seed {seed}, {line}", file=sys.stderr, flush=True)
        found[task, "account"] = audit(lm, items[:3])
    return found


def mean_of(rows, what):
    """The mean of a figure of summaries over seeds."""
    return np.mean([getattr(row.summary, what) for row in rows])


def right(runs, *key):
    """Shares of right answers, one a seed."""
    return [r[key].summary.accuracy for r in runs]


def voted(runs, *key):
    """The same of direct answers with as many tokens."""
    return [r[key].plain.accuracy for r in runs]


def show(runs):
    """Print right answers, mean (least .. most) over seeds, and the cost of a question."""

    def cell(values):
        return f"{mean_and_range(values, '.2f'):>21}"

    title = f"{'':<27}{'right':>21}{'calls':>7}{'tokens':>8}{'direct, as many tokens':>30}"
    print(title)
    for task, (_, trained, beyond, _) in TASKS.items():
        for n in (trained[-1], beyond):
            for way in WAYS:
                key = task, n, way
                rows = [r[key] for r in runs]
                line = f"{f'{task}, {n}, {way}':<27}{cell(right(runs, *key))}"
                line += f"{mean_of(rows, 'calls'):>7.1f}{mean_of(rows, 'tokens'):>8.0f}"
                # Direct answers are the rival, and the exact solver spends no tokens.
                if way not in ("direct", "several, exact"):
                    votes = f"{np.mean([row.samples for row in rows]):.0f} votes"
                    line += f"{votes:>9}{cell(voted(runs, *key))}"
                print(line)
    account, logged, calls = np.sum([r[task, "account"] for r in runs for task in TASKS], axis=0)
    print(
        f"the account of {calls} calls: {account} tokens, {logged} of the logged prompts and "
        f"replies and {account - logged} ends of replies"
    )


def verdicts(runs):
    """Print the verdict of every claim, task by task."""
    for (task, n, way), claim in CLAIMS.items():
        # Beyond the trained length the key "one run" is that of the claim against one run.
        if n == TASKS[task][2] and way == "one run":
            print(claim.line(right(runs, task, n, "several runs"), right(runs, task, n, way)))
        else:
            print(claim.line(right(runs, task, n, way), voted(runs, task, n, way)))


main = main_of(__doc__, tokenizer, run, show, verdicts, (TOKENS, ASKED), quick=3)

if __name__ == "__main__":
    main()
