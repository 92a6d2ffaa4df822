"""The task and the model of samples_and_verifiers.py: chains of sums that are learnt by half.

A question is a start below 10 with two sums or differences, "9+5-4"; the reply is a chain,
"> 9+5=14. 14-4=10. #### 10". A GPT of two layers and width 64 reads 150,000 tokens of chains, and
then rounds of 120,000 tokens of a mixture: chains, feedback on drafts that the model sampled before
(the number of the first wrong step, or "ok"), and revised chains after a draft and its feedback
(Welleck et al. 2023). After four rounds or more it is stopped as soon as 0.4 of new chains are
right, before it has learnt all sums. Book section 3.2.3. Read next: samples_and_verifiers.py.
"""

import sys

import numpy as np

from tinylm.data.read.items import Item
from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.models import GPT, GPTConfig
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.judge import is_right
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.reasoning.conclusion import first_number, split_conclusion
from tinylm.tokenizers import CharTokenizer

STEPS, START, OPERAND = 2, 10, 6
CHAINS, MIXTURE, BATCH, RATE = 150_000, 120_000, 16, 5e-3
ROUNDS, ENOUGH = (4, 6), 0.4  # of the mixture, least and most; chains that are right
TRIGGER, LONGEST, OK = ">", 40, "ok"
FORM = FewShotPrompt(
    question_name="", answer_name="", between=" = ", separator="\n", conclusion="#### {}"
)
FEEDBACK = PromptTemplate("{*question*} = > {*response*} ?")
REFINE = PromptTemplate("{*question*} = > {*response*} ? {*feedback*} >")
TOKENIZER = CharTokenizer("0123456789+-=.#>?ok \n")
END = int(TOKENIZER.encode("\n")[0])


def question(rng):
    """A question with its chain: Item."""
    value = int(rng.integers(START))
    text, worked = str(value), []
    for _ in range(STEPS):
        sign, operand = "+-"[rng.integers(2)], int(rng.integers(1, OPERAND))
        if operand > value:
            sign = "+"  # nothing goes below 0
        result = value + operand
        if sign == "-":
            result = value - operand
        text += f"{sign}{operand}"
        worked.append(f"{value}{sign}{operand}={result}.")
        value = result
    return Item(text, str(value), rationale=f"{TRIGGER} {' '.join(worked)}")


def chain_of(item):
    """The right reply: "9+5=14. 14-4=10. #### 10"."""
    return f"{item.rationale.removeprefix(TRIGGER).strip()} {FORM.conclusion.format(item.answer)}"


def first_wrong(item, draft):
    """The number of the first step that is not as in the right chain, or "" for the right one."""
    wanted, written = chain_of(item).split(), draft.split()
    for k, word in enumerate(wanted):
        if written[k : k + 1] != [word]:
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
    options = {"max_tokens": LONGEST, "temperature": 1.0, "seed": seed}
    replies = lm.complete_batch(prompts, begin=f" {TRIGGER}", **options)
    return [reply.text.strip() for reply in replies]


def mixture(lm, tokens, rng, seed):
    """Chains, feedback on drafts that the model samples, and revised drafts: list of Encoded."""
    found, used = [], 0
    while used < tokens:
        items = [question(rng) for _ in range(lm.batch_size)]
        for item, response in zip(items, written(lm, items, seed + used)):
            feedback = first_wrong(item, response) or OK
            slots = {"question": item.question, "response": response}
            found.append(row(FEEDBACK.format(**slots), feedback))
            found.append(row(REFINE.format(feedback=feedback, **slots), chain_of(item)))
            found += chains(1, rng)
            used += sum(map(len, found[-3:]))
    return found


def tune(model, rows, rate, seed):
    """Train a model on rows, each once."""
    fit(
        model,
        InstructionTuning(),
        rows,
        steps=-(-len(rows) // BATCH),
        batch_size=BATCH,
        learning_rate=rate,
        weight_decay=0.0,
        seed=seed,
    )


def train(seed, device):
    """A model that writes chains, gives feedback and revises: (TextModel, rounds)."""
    rng = np.random.default_rng([seed, 0])
    config = GPTConfig(TOKENIZER.vocab_size, 160, 2, 4, 64, norm="rms", bias=False, tied=False)
    model = GPT(config, seed)
    model.tokens.weight.data *= 10  # as in chain_of_thought.py: smaller ones learn more slowly
    model = model.to(device)
    tune(model, chains(CHAINS, rng), RATE, seed)
    print(f"seed {seed}: chains learnt", file=sys.stderr)
    lm = TextModel.of(model.eval(), TOKENIZER, ends=(END,), batch_size=128)
    # Feedback and revision need some rounds, and the model is to go on making errors.
    for done in range(1, ROUNDS[1] + 1):
        tune(model, mixture(lm, MIXTURE, rng, seed + done), RATE, seed + done)
        lm.weights_changed()
        items = [question(rng) for _ in range(lm.batch_size)]
        right = np.mean([is_right(value_of(text), i) for i, text in zip(items, written(lm, items))])
        print(f"seed {seed}: {done} rounds, {right:.2f} right", file=sys.stderr)
        if done >= ROUNDS[0] and right >= ENOUGH:
            break
    return lm, done
