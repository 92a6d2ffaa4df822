"""Task, model and methods of samples_and_verifiers.py: chains of sums that are learnt by half.

A question is a start below 10 with two sums or differences, "9+5-4"; the reply is a chain,
"> 9+5=14. 14-4=10. #### 10". A GPT of two layers and width 64 reads 150,000 tokens of chains, and
then rounds of 120,000 tokens of a mixture: chains, feedback on drafts that the model sampled before
(the number of the first wrong step, or "ok"), and revised chains after a draft and its feedback
(Welleck et al. 2023). After four rounds or more it is stopped as soon as 0.4 of new chains are
right, before it has learnt all sums. Book section 3.2.3. Read next: samples_and_verifiers.py.
"""

import sys

import numpy as np
from small_runs import read_once, small_gpt

from tinylm.data.read.items import Item
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt import TextModel
from tinylm.prompt.ensemble.outputs import best_of_n
from tinylm.prompt.ensemble.self_consistency import self_consistency
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.reasoning.chain_of_thought import zero_shot_cot
from tinylm.prompt.reasoning.conclusion import first_number, split_conclusion
from tinylm.prompt.refine import model_feedback, outside_feedback, self_refine
from tinylm.tokenizers import CharTokenizer

STEPS, START, OPERAND = 2, 10, 6  # sums of a question; exclusive bounds of the numbers
CHAINS, MIXTURE = 150_000, 120_000  # tokens: of chains alone, and of each round of the mixture
BATCH, RATE = 16, 5e-3
ROUNDS, ENOUGH = (4, 6), 0.4  # of the mixture, least and most; chains that are right
# A chain has at most 26 characters, and so tokens; 40 leave room for a draft with a step too many.
TRIGGER, LONGEST, OK = ">", 40, "ok"
FORM = FewShotPrompt(
    question_name="", answer_name="", between=" = ", separator="\n", conclusion="#### {}"
)
FEEDBACK = PromptTemplate("{*question*} = > {*response*} ?")
# The revision begins behind a second ">", so that one text holds draft, feedback and revision.
REFINE = PromptTemplate("{*question*} = > {*response*} ? {*feedback*} >")
TOKENIZER = CharTokenizer("0123456789+-=.#>?ok \n")
END = int(TOKENIZER.encode("\n")[0])  # a line is a whole exchange
RIVALS = 4  # samples of a vote that reads and writes as many tokens as one refinement
CHAIN = {
    "prompt": FORM,
    "trigger": TRIGGER,
    "max_tokens": LONGEST,
    "temperature": 1.0,
}


def question(rng):
    """A question with its chain: Item."""
    value = int(rng.integers(START))
    text, worked = str(value), []
    for _ in range(STEPS):
        sign = "+-"[rng.integers(2)]
        operand = int(rng.integers(1, OPERAND))
        if operand > value:
            sign = "+"  # nothing goes below 0
        result = value + operand
        if sign == "-":
            result = value - operand
        text += f"{sign}{operand}"
        worked.append(f"{value}{sign}{operand}={result}.")
        value = result
    steps = " ".join(worked)
    return Item(text, str(value), rationale=f"{TRIGGER} {steps}")


def chain_of(item):
    """The right reply: "9+5=14. 14-4=10. #### 10"."""
    steps = item.rationale.removeprefix(TRIGGER).strip()
    return f"{steps} {FORM.conclusion.format(item.answer)}"


def first_wrong(item, draft):
    """The number of the first step that is not as in the right chain, or "" for the right one."""
    wanted, written = chain_of(item).split(), draft.split()
    # Words are compared: a step is one, and so are the mark "####" and the result behind it.
    for k, word in enumerate(wanted):
        if written[k : k + 1] != [word]:  # a slice, since the draft may be too short
            return str(k + 1)
    if len(written) > len(wanted):
        return str(len(wanted) + 1)
    return ""


def value_of(text):
    """The answer of a draft, or None."""
    _, conclusion = split_conclusion(text)
    return conclusion and first_number(conclusion)


# Training.


def row(context, target):
    # The loss is on the target alone; its line end teaches the model where to stop.
    return encode_sft(TOKENIZER.encode(context), TOKENIZER.encode(f" {target}\n"))


def chains(tokens, rng):
    """New questions with their chains until they have so many tokens: list of Encoded."""
    found, used = [], 0
    while used < tokens:
        item = question(rng)
        found.append(row(FORM.query(item), f"{TRIGGER} {chain_of(item)}"))
        used += len(found[-1])
    return found


def written(lm, items, seed=0):
    """A chain that the model samples for each item: list of str."""
    prompts = [FORM.query(item) for item in items]
    # At temperature 1, as in the test: feedback is learnt on the errors that it will meet there.
    options = {"max_tokens": LONGEST, "temperature": 1.0, "seed": seed}
    replies = lm.complete_batch(prompts, begin=f" {TRIGGER}", **options)
    return [reply.text.strip() for reply in replies]


def mixture(lm, tokens, rng, seed):
    """Chains, feedback on drafts that the model samples, and revised drafts: list of Encoded."""
    found, used = [], 0
    while used < tokens:
        items = [question(rng) for _ in range(lm.batch_size)]
        for item, response in zip(items, written(lm, items, seed + used)):
            # The right chain is known in training, so labels of feedback cost nothing.
            feedback = first_wrong(item, response) or OK
            slots = {"question": item.question, "response": response}
            found.append(row(FEEDBACK.format(**slots), feedback))
            found.append(row(REFINE.format(feedback=feedback, **slots), chain_of(item)))
            found += chains(1, rng)  # one row more, which goes on teaching the sums
            used += sum(map(len, found[-3:]))
    return found


def train(seed, device):
    """A model that writes chains, gives feedback and revises: (TextModel, rounds)."""
    rng = np.random.default_rng([seed, 0])
    model = small_gpt(TOKENIZER.vocab_size, 160, seed).to(device)
    read_once(model, chains(CHAINS, rng), BATCH, RATE, seed)
    print(f"seed {seed}: chains learnt", file=sys.stderr)
    lm = TextModel.of(model.eval(), TOKENIZER, ends=(END,), batch_size=128)
    # Feedback and revision need some rounds, and the model is to go on making errors.
    for done in range(1, ROUNDS[1] + 1):
        rows = mixture(lm, MIXTURE, rng, seed + done)
        read_once(model, rows, BATCH, RATE, seed + done)
        lm.weights_changed()
        # New questions, so that the share is no measure of what was memorized.
        items = [question(rng) for _ in range(lm.batch_size)]
        drafts = written(lm, items)
        right = np.mean([is_right(value_of(text), i) for i, text in zip(items, drafts)])
        print(f"seed {seed}: {done} rounds, {right:.2f} right", file=sys.stderr)
        if done >= ROUNDS[0] and right >= ENOUGH:
            break
    return lm, done


# The methods that are compared: each makes one Answer of an Item.


def draft(lm, item, demonstrations=(), *, seed=0, **options):
    """The first draft, a sampled chain."""
    # Options of self_refine win over those of CHAIN: the right operand of | does.
    merged = CHAIN | options
    return zero_shot_cot(lm, item, seed=seed, **merged)


def refined(lm, item, demonstrations=(), *, seed=0, feedback=None, iterations=1):
    """Drafts that are refined with the model's own feedback, or another."""
    # y_0 = Predict(x), f_t = Feedback(x, y_t), y_(t+1) = Refine(x, y_t, f_t).
    return self_refine(
        lm,
        item,
        seed=seed,
        max_tokens=LONGEST,
        predict=draft,
        feedback=feedback or model_feedback(FEEDBACK, OK),
        max_iter=iterations,
        stops=(),
        read=lambda text: value_of(text) or "",
        template=REFINE,
        temperature=1.0,
    )


def by_oracle(lm, item, demonstrations=(), *, seed=0):
    """One refinement with the feedback of an oracle."""

    def judged(item, draft):
        return first_wrong(item, draft) or OK

    judge = outside_feedback(judged)
    return refined(lm, item, seed=seed, feedback=judge)


def best_of_2(lm, item, demonstrations=(), *, seed=0):
    """The more probable of two chains."""
    return best_of_n(lm, item, n=2, seed=seed, extract=None, **CHAIN)


def best_of_2_judged(lm, item, demonstrations=(), *, seed=0):
    """That of two chains for which the model's own feedback is "ok" with more probability."""

    def score(question, text):
        context = FEEDBACK.format(question=question, response=text.strip())
        # log Pr("ok" | question, chain), the sum over its characters: no text is sampled.
        scored = lm.score(context, [f" {OK}"])
        return scored.sums[0]

    return best_of_n(
        lm,
        item,
        n=2,
        seed=seed,
        extract=None,
        score=score,
        **CHAIN,
    )


def voted(lm, item, demonstrations=(), *, seed=0):
    """A vote."""
    return self_consistency(
        lm,
        item,
        samples=RIVALS,
        seed=seed,
        extract=None,
        **CHAIN,
    )
