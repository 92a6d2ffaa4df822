"""Programs in the training text against text alone, and problems in words. An illustration only.

Book section 2.2.1: code in the training data is held to improve reasoning, chain of thought with
it. Here a problem in words moves a lift up and down between ten floors, twice; a program computes
the same with += and -=, and a comment after each line holds the value. Three models of two layers
and width 64 read 400,000 tokens each in random order. Two fifths are problems in words, the same
for all, every second one with its steps. The rest is facts about people, towns and rivers, with
which nothing is computed; or most of it is traced programs; or, as a control, the same programs
with random values in their comments: equally long, with the same words equally often, but nothing
follows from them. All are asked the same new problems, for the answer alone and with steps. These
programs compute just what the problems need, and are no code of the web: a gain only means that
what is learnt in code can be used in words. Five seeds, about 4 minutes on one core. `python
scripts/3_prompting/code_in_training.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is two
seeds and a tenth of the tokens. Read next: tinylm/data/synthetic/prompted/programs.py.

Measured output (one core of a busy machine):

    what is read                  tokens a text  bits of a token
        facts                              42.6             5.32
        programs                           27.0             4.47
        random values                      27.0             4.47
    right answers to new problems in words
                                          text alone         with programs         random values
        answer alone             0.22 (0.12 .. 0.35)   0.26 (0.05 .. 0.38)   0.21 (0.12 .. 0.30)
        with steps               0.17 (0.07 .. 0.25)   0.74 (0.42 .. 1.00)   0.28 (0.15 .. 0.42)
        the best guess from the last move alone is right 0.23 of the time
        nats, new facts                        1.077                 1.203                 1.199
        tokens read                           400053                400055                400055
    5 seeds; 231 s of one core
    answer alone: programs > text alone (section 2.2.1): +0.035 [-0.0996, +0.17], 5 seeds: cannot
      show by design
    answer alone: right values > random ones (section 2.2.1): +0.04 [-0.0467, +0.127], 5 seeds:
      cannot show by design
    with steps: programs > text alone (section 2.2.1): +0.57 [+0.235, +0.905], 5 seeds: shows
    with steps: right values > random ones (section 2.2.1): +0.465 [+0.21, +0.72], 5 seeds: shows
    with steps: random values gain at most 0.05 over text alone (section 2.2.1): -0.105 [-0.29,
      +0.0805], 5 seeds: too small to tell; 0.14 could have been seen
    a sixth of the facts costs at most 0.05 nats a token of new ones (section 2.2.1): -0.125
      [-0.139, -0.112], 5 seeds: shows the opposite

With steps, programs help much: 0.74 against 0.17, and a guess is right 0.23 of the time. Programs
with random values are far from that, so most of the gain comes from what the comments compute, and
what is learnt of "+=" serves "up". Whether the form alone helps a little cannot be told. Answers
alone are at a guess for all three models, so nothing can be said of them. The price is that facts,
of which a sixth is left, are predicted worse. The setting was chosen on seed 100 and after two
runs that were stopped: one of problems of one to three moves between six floors (three tenths of
450,000 tokens, seed 0: 0.36 with programs, 0.28 alone, 0.18 random), one with a fifth of problems
(320,000 tokens, seed 10: 0.03 with programs, 0.10 alone). In a pilot of 600,000 tokens programs
came to 1.00 and text alone to 0.53: longer reading narrows the gap.
"""

import string
import sys
import time
from dataclasses import replace

import numpy as np
from small_runs import command_line, read_once, small_gpt

from tinylm.autograd import no_grad
from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.prompted.multi_hop import multi_hop_items
from tinylm.data.synthetic.prompted.programs import lift_items, program_items, traced
from tinylm.finetune.instruct.conversations import encode_sft, pack
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.prompt import TextModel
from tinylm.prompt.evaluation.runner import answer_items
from tinylm.prompt.in_context.few_shot import FewShotPrompt, zero_shot
from tinylm.prompt.reasoning.chain_of_thought import TRIGGERS, zero_shot_cot
from tinylm.tokenizers import UnigramTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

TOP = 9  # the highest floor: 90 moves from one to another
MOVES = 2  # of problems and programs
ASKED = 40  # new problems
TOKENS, ROW, BATCH, RATE = 400_000, 128, 3, 4e-3
PROBLEMS = 0.4  # of the tokens
# What else is read, in shares of the tokens.
TEXTS = {
    "text alone": {"facts": 0.6},
    "with programs": {"facts": 0.1, "programs": 0.5},
    "random values": {"facts": 0.1, "random values": 0.5},
}
# The possible answers, among which a model without steps chooses the most probable one.
FLOORS = tuple(str(floor) for floor in range(TOP + 1))
WAYS = {"answer alone": zero_shot, "with steps": zero_shot_cot}
FORM, END = FewShotPrompt(), "<|endoftext|>"
# Pre-training: every token counts in the loss, the questions too.
TASK = InstructionTuning(whole=True)

# Shares of right answers to new problems, one a seed; 0.1 is four problems of 40.
AT_CHANCE = 0.3  # the best guess from the last move alone is right 0.23 of the time
GAINS = {
    way: Claim(f"{way}: programs > text alone", "2.2.1", least=0.1, limit=1.0, floor=AT_CHANCE)
    for way in WAYS
}
VALUES = {
    way: Claim(f"{way}: right values > random ones", "2.2.1", least=0.1, limit=1.0, floor=AT_CHANCE)
    for way in WAYS
}
# The same texts with nothing to learn from them: no gain beyond two problems of 40.
FORM_ALONE = Claim(
    "with steps: random values gain at most 0.05 over text alone",
    "2.2.1",
    larger=False,
    least=-0.05,
)
PRICE = Claim(
    "a sixth of the facts costs at most 0.05 nats a token of new ones",
    "2.2.1",
    larger=False,
    least=-0.05,
)


# The texts.


def facts(count, seed):
    """Passages of six facts; every 20 of them are about a world of their own."""
    passages = []
    # ceil(count / 20) worlds; 1000 seeds apart, so that no two calls share one.
    for world in range(-(-count // 20)):
        items = multi_hop_items(20, seed=1000 * seed + world, people=8)
        passages += [item.context for item in items]
    return passages


def programs(count, seed):
    """Traced programs."""
    return [item.rationale for item in program_items(count, seed, MOVES, TOP)]


def random_values(count, seed):
    """The same programs with random values in their comments."""
    rng, found = generator(seed, "values"), []
    for item in program_items(count, seed, MOVES, TOP):
        # The program follows the first line of the question, which is in words.
        text = item.question.partition("\n")[2]
        # Uniform on the floors and independent of the program: the comments carry no information.
        values = rng.integers(TOP + 1, size=MOVES).tolist()
        found.append(traced(text, values))
    return found


def problems(count, seed):
    """Problems in words, every second one with its steps."""
    items, texts = lift_items(count, seed, MOVES, TOP), []
    for i, item in enumerate(items):
        if i % 2:
            text = f"{FORM.query(item)} {TRIGGERS[0]} {item.rationale} The answer is {item.answer}."
        else:
            text = FORM.demonstration(item)
        texts.append(text)
    return texts


KINDS = {
    "facts": facts, "programs": programs, "random values": random_values, "problems": problems
}  # fmt: skip


def tokenizer():
    """Every word of the texts is a token."""
    # The vocabulary comes from all kinds at once, so that all three models share it.
    texts = [text for make in KINDS.values() for text in make(1000, 0)]
    return UnigramTokenizer.of_words(texts, string.ascii_letters, [END])


def lessons(words, kind, tokens, seed):
    """Texts of a kind until they have so many tokens: list of Encoded."""
    end = [words.special[END]]
    found, used, drawn = [], 0, 0
    while used < tokens:
        drawn += 1
        # 100 texts at a time, each hundred from a seed of its own.
        for text in KINDS[kind](100, 1000 * seed + drawn):
            if used >= tokens:
                break
            # The mark begins a text, as the context of its first word, and ends it.
            example = encode_sft(end, [*words.encode(text), *end])
            found.append(example)
            used += len(example)
    return found


def entropy(examples):
    """Bits a token if tokens were drawn one by one: how varied the words of a text are."""
    # H = - sum over tokens of p log2 p; the first id of a text is the mark, which nothing predicts.
    ids = np.concatenate([one.ids[1:] for one in examples])
    counts = np.bincount(ids)
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum())


def guess(items):
    """The share of right answers of the best guess from the last move alone."""
    answers = {}
    for item in items:
        last = item.question.rpartition("goes")[2]
        answers.setdefault(last, []).append(item.answer)
    # For each last move, the commonest answer: sum over moves of max_a n(move, a), over n.
    best = [max(map(found.count, set(found))) for found in answers.values()]
    return sum(best) / len(items)


# Training and measuring.


def trained(words, examples, seed, device):
    """A model that has read the examples once."""
    model = small_gpt(words.vocab_size, 160, seed)
    # Several texts share a row of up to ROW inputs; attention does not cross from one to another.
    rows = pack(examples, ROW)
    return read_once(model.to(device), rows, BATCH, RATE, seed, TASK)


def loss_of(model, examples):
    """Nats a token of texts."""
    batch = TASK.make_batch(examples)
    with no_grad():
        return TASK.loss(model, batch)[1]["loss"]


def run(words, seed, tokens, count, device):
    """All measurements of one seed: {(model, what): number}."""
    found = {}
    # Seed 0 of the texts is that of the vocabulary.
    # 2 seed + 1 is for training and 2 seed + 2 for tests: no seed of the script shares either.
    shared = lessons(words, "problems", round(PROBLEMS * tokens), 2 * seed + 1)
    new = lessons(words, "facts", 5000, 2 * seed + 2)
    found["world", "guess"] = guess(lift_items(5000, 0, MOVES, TOP))
    asked = lift_items(count, 2 * seed + 2, MOVES, TOP)
    for name, shares in TEXTS.items():
        examples = list(shared)
        for kind, share in shares.items():
            texts = lessons(words, kind, round(share * tokens), 2 * seed + 1)
            lengths = [len(text) for text in texts]
            found[kind, "tokens"] = np.mean(lengths)
            found[kind, "entropy"] = entropy(texts)
            examples += texts
        found[name, "read"] = sum(map(len, examples))
        model = trained(words, examples, seed, device)
        found[name, "facts"] = loss_of(model, new)
        end = words.special[END]
        lm = TextModel.of(model, words, begin=(end,), ends=(end,))
        for way, method in WAYS.items():
            items = asked
            if method is zero_shot:  # the most probable floor, and no steps
                items = [replace(item, options=FLOORS) for item in items]
            records = answer_items(lm, method, items, seed=seed)
            found[name, way] = np.mean([record.right for record in records])
        print(f"seed {seed}, {name}: {found[name, 'with steps']:.2f}", file=sys.stderr, flush=True)
    return found


def column(runs, *key):
    """A number of every seed."""
    return [r[key] for r in runs]


def show(runs):
    """Print the tables, mean (least .. most) over seeds."""
    print("what is read                  tokens a text  bits of a token")
    # Every kind once, in the order of TEXTS.
    kinds = dict.fromkeys(kind for shares in TEXTS.values() for kind in shares)
    for kind in kinds:
        size = np.mean(column(runs, kind, "tokens"))
        bits = np.mean(column(runs, kind, "entropy"))
        print(f"    {kind:<25}{size:>14.1f}{bits:>17.2f}")
    print("right answers to new problems in words")
    print(f"    {'':<22}" + "".join(f"{name:>22}" for name in TEXTS))
    for way in WAYS:
        cells = [mean_and_range(column(runs, name, way), ".2f") for name in TEXTS]
        print(f"    {way:<22}" + "".join(f"{cell:>22}" for cell in cells))
    best = np.mean(column(runs, "world", "guess"))
    print(f"    the best guess from the last move alone is right {best:.2f} of the time")
    rows = (("facts", "nats, new facts", ".3f"), ("read", "tokens read", ".0f"))
    for what, label, form in rows:
        cells = [f"{np.mean(column(runs, name, what)):{form}}" for name in TEXTS]
        print(f"    {label:<22}" + "".join(f"{cell:>22}" for cell in cells))


def verdicts(runs):
    """Print the verdict of every claim."""
    alone, code, control = TEXTS
    # Models of one seed read the same problems and answer the same tests, so scores are paired.
    for way in WAYS:
        scores = [column(runs, name, way) for name in (alone, code, control)]
        print(GAINS[way].line(scores[1], scores[0]))
        print(VALUES[way].line(scores[1], scores[2]))
    # `scores` are those of the last way, with steps.
    print(FORM_ALONE.line(scores[2], scores[0]))
    price, facts_alone = (column(runs, name, "facts") for name in (code, alone))
    print(PRICE.line(price, facts_alone))


def main(argv=None):
    """Train and measure every seed, print the tables and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two seeds, few tokens", first=20)
    began = time.process_time()
    tokens, count = TOKENS, ASKED
    if options.quick:
        tokens, count = TOKENS // 10, 10
    words = tokenizer()
    runs = [run(words, seed, tokens, count, options.device) for seed in seeds]
    show(runs)
    print(f"{len(runs)} seeds; {time.process_time() - began:.0f} s of one core")
    verdicts(runs)


if __name__ == "__main__":
    main()
