"""SCAN's splits: direct translation against least-to-most prompting by the same weights.

Book section 3.2.2 (Lake & Baroni 2018; Zhou et al. 2023). A small GPT translates commands into
actions, "jump opposite left and walk thrice" into LTURN LTURN JUMP WALK WALK WALK. It is trained on
one of three training sets, and tested on the commands that the set lacks:

    simple      a random fifth of all commands
    length      commands of 24 to 48 actions; those of up to 22 were trained. Four fifths of them
                have a phrase such as "run around left thrice", which has 24 actions, so that no
                trained command has it; they are tested apart
    add jump    commands with "jump"; it was trained alone, as a tenth of the set

Three ways to translate are trained, on commands of the set alone; 0.4, 0.2 and 0.4 of the tokens
are for them, as the first needs many commands and the third has long prompts:

    direct          the actions
    expression      an expression that the program expands, ("TURN LEFT" * 2 + "JUMP") * 3
    least-to-most   the same expressions, first of the commands inside the command, which a rule
                    lists, then of the command; each with those before it in the prompt

The second way has the third one's notation without its steps, so the difference of the two is what
the steps add. Right is the exact sequence. Three layers of width 64, five seeds of each split,
about 19 minutes on one core. `python scripts/3_prompting/scan_lengths.py [--seed N] [--device
cpu|gpu] [--plot FILE] [--quick]`; --plot saves a picture (matplotlib), --quick is two seeds and a
tenth of the tokens. Read next: prompt/decompose/scan.py; three_ways.py, for other tasks.

Measured output (one core):

                                                       right  calls  tokens
    simple, direct                       0.66 (0.60 .. 0.80)    1.0      22
    simple, expression                   0.87 (0.73 .. 0.93)    1.0      48
    simple, least-to-most                0.81 (0.53 .. 0.97)    5.0     475
    length, old phrases, direct          0.02 (0.00 .. 0.10)    1.0      33
    length, old phrases, expression      0.59 (0.40 .. 0.93)    1.0      57
    length, old phrases, least-to-most   0.31 (0.10 .. 0.63)    6.3     738
    length, a new one, direct            0.00 (0.00 .. 0.00)    1.0      31
    length, a new one, expression        0.09 (0.00 .. 0.20)    1.0      54
    length, a new one, least-to-most     0.07 (0.00 .. 0.23)    6.0     658
    add jump, direct                     0.00 (0.00 .. 0.00)    1.0      25
    add jump, expression                 0.00 (0.00 .. 0.00)    1.0      49
    add jump, least-to-most              0.00 (0.00 .. 0.00)    5.3     495
    5 seeds; 1207 s of one core
    direct: commands like those trained > longer ones (section 3.2.2): +0.64 [+0.518, +0.762], 5
      seeds: shows
    longer, of old phrases: least-to-most > direct (section 3.2.2): +0.293 [+0.00748, +0.579], 5
      seeds: too small to tell; 0.39 could have been seen
    longer, of old phrases: expressions > direct (section 3.2.2): +0.573 [+0.279, +0.868], 5 seeds:
      shows
    longer, of old phrases: least-to-most > the same notation without steps (section 3.2.2): -0.28
      [-0.419, -0.141], 5 seeds: shows the opposite
    longer, with a new phrase: least-to-most > direct (section 3.2.2): +0.0733 [-0.0487, +0.195], 5
      seeds: too small to tell; 0.22 could have been seen
    commands like those trained: least-to-most costs at most 0.1 (section 3.2.2): +0.147 [-0.101,
      +0.394], 5 seeds: too small to tell; 0.15 could have been seen
    add jump: least-to-most > direct (section 3.2.2): +0 [+0, +0], 5 seeds: too small to tell; 0.1
      could have been seen

Direct translation falls from 0.66 on commands like those trained to 0.02 on longer ones. What helps
is the notation: an expression, which the program expands, has no more parts for a longer command of
old phrases, and is right for 0.59. The steps add nothing here: with the same notation after the
commands inside, 0.31 is right, less than without them (shows the opposite), since the prompts are
ten times as long and the model read fewer of them; it is also worse within the trained length. In
the paper the large model reads its few examples in both ways, and there the steps are what its
notation needs.

A phrase that no trained command has is translated by none of the ways, and a verb that was trained
alone by none: the rules of these weights hold for the words that they were trained with. Seeds
differ much (0.10 to 0.63), so differences below 0.3 could not be seen for longer commands.
"""

import string
import sys
import time
from dataclasses import replace

import numpy as np
from small_runs import main_of, read_once, small_gpt

from tinylm.data.synthetic.draws import distinct, generator
from tinylm.data.synthetic.prompted.scan import (
    LONGEST,
    add_jump_split,
    commands,
    interpret,
    length_split,
    scan_item,
    simple_split,
)
from tinylm.finetune.instruct.conversations import Encoded, encode_sft, pack
from tinylm.prompt import TextModel
from tinylm.prompt.decompose.scan import (
    scan_least_to_most,
    sub_commands,
    translation,
    translation_prompt,
)
from tinylm.prompt.in_context.few_shot import FewShotPrompt, zero_shot
from tinylm.tokenizers import UnigramTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range
from tinylm.train.experiments.picture import Picture

SPLITS = {"simple": simple_split, "length": length_split, "add jump": add_jump_split}
# On seed 100, 600,000 tokens and ALiBi did not learn direct translation at all; a million at a rate
# of 5e-3 made 0.60 of the short commands right, these settings 0.85.
TOKENS, ROW, BATCH, RATE = 1_500_000, 260, 2, 7e-3
SHORT = 22  # actions at most, in the training of the length split
TESTED = 30  # commands of each kind
END = "<|end|>"
# "jump twice -> JUMP JUMP": training gives the arrow its meaning.
FORM = FewShotPrompt(question_name="", answer_name="", between=" -> ", separator="\n")

# Written before the run, NOTATION after a pilot with seed 100; scores are shares of exact
# translations, one a seed.
FALLS = Claim("direct: commands like those trained > longer ones", "3.2.2", least=0.1)
LONGER = Claim("longer, of old phrases: least-to-most > direct", "3.2.2", least=0.1, limit=1.0)
NOTATION = Claim("longer, of old phrases: expressions > direct", "3.2.2", least=0.1, limit=1.0)
STEPS = Claim(
    "longer, of old phrases: least-to-most > the same notation without steps",
    "3.2.2",
    least=0.1,
    limit=1.0,
)
PHRASE = Claim("longer, with a new phrase: least-to-most > direct", "3.2.2", least=0.1, limit=1.0)
KNOWN = Claim(
    "commands like those trained: least-to-most costs at most 0.1", "3.2.2", least=-0.1, floor=0.0
)
JUMP = Claim("add jump: least-to-most > direct", "3.2.2", least=0.1, limit=1.0)


def question(command):
    """The Item of a command, whose question is the command alone."""
    return replace(scan_item(command), question=command)


def itself(command):
    """No commands inside: the command is translated at once."""
    return [command]


# No demonstrations: training has shown the form.
CHAIN = {"translated": (), "max_tokens": 80}
WAYS = {
    "direct": (zero_shot, {"prompt": FORM, "max_tokens": LONGEST + 2}),
    "expression": (scan_least_to_most, {"split": itself, **CHAIN}),
    "least-to-most": (scan_least_to_most, {"split": sub_commands, **CHAIN}),
}


# Training.


def direct_row(words, command):
    """A command with its actions: Encoded."""
    item = question(command)
    reply = words.encode(f" {item.answer}")
    return encode_sft(words.encode(FORM.query(item)), [*reply, words.special[END]])


def chain_row(words, command, split):
    """The last prompt of least-to-most with its reply, and loss on all replies in it: Encoded."""
    ids, learnt, pairs, text = [], [], [], ""
    for part in [*(one for one in split(command) if one != command), command]:
        # Every prompt begins with the one before and its reply, so one row holds them all.
        prompt, reply = translation_prompt(part, pairs, ()), f" {translation(part)}"
        for new, loss in ((prompt[len(text) :], False), (reply, True)):
            tokens = words.encode(new).tolist()
            ids += tokens
            learnt += [loss] * len(tokens)
        text = prompt + reply
        pairs.append((part, translation(part)))
    return Encoded(np.array([*ids, words.special[END]]), np.array([*learnt, True]))


# way: its rows, and their share of the tokens: about 19,000, 4,000 and 2,500 commands
ROWS = {
    "direct": (direct_row, 0.4),
    "expression": (lambda words, command: chain_row(words, command, itself), 0.2),
    "least-to-most": (lambda words, command: chain_row(words, command, sub_commands), 0.4),
}


def tokenizer():
    """Every word of both notations is a token."""
    texts = []
    for command in commands()[::7]:
        item = question(command)
        texts += [FORM.demonstration(item), translation_prompt(command), translation(command)]
    return UnigramTokenizer.of_words(texts, string.ascii_letters, [END])


def lessons(words, known, tokens, seed):
    """Rows of drawn commands of all ways: list of Encoded."""
    rng, found = generator(seed, "lessons"), []
    for row, share in ROWS.values():
        used = 0
        while used < share * tokens:
            found.append(row(words, known[int(rng.integers(len(known)))]))
            used += len(found[-1])
    return found


def trained_model(words, known, tokens, seed, device):
    """A TextModel that has read so many tokens about the commands that are known."""
    model = small_gpt(
        words.vocab_size, 640, seed, n_layer=3, d_hidden=128, head_width=16, positions="rope"
    )
    rows = pack(lessons(words, known, tokens, seed), ROW)
    read_once(model.to(device), rows, BATCH, RATE, seed)
    return TextModel.of(model, words, ends=(words.special[END],))


# The measurements.


def asked(lm, way, tested):
    """(share of exact translations, calls, tokens of a command) of a way on commands."""
    method, options = WAYS[way]
    right, before = [], lm.account.copy()
    for command in tested:
        item = question(command)
        # The judge of all methods accepts an answer in a longer one; here all must be equal.
        right.append(method(lm, item, **options).value == item.answer)
    spent = lm.account.since(before)
    return np.mean(right), spent.calls / len(tested), spent.tokens / len(tested)


def new_phrase(command):
    """True for a command with a phrase of more actions than any that the length split trains."""
    parts = command.replace(" after ", " and ").split(" and ")
    return any(len(interpret(part)) > SHORT for part in parts)


def tests(split, unseen):
    """The commands of a split that are tested: {name: list of str}."""
    if split != "length":
        return {split: unseen}
    found = {"length, old phrases": [], "length, a new one": []}
    for command in unseen:
        if new_phrase(command):
            found["length, a new one"].append(command)
        else:
            found["length, old phrases"].append(command)
    return found


def run(words, seed, tokens, count, device):
    """All measurements of one seed: {(split, way): figures of asked()}."""
    found = {}
    for split, make in SPLITS.items():
        known, unseen = make()
        lm = trained_model(words, known, tokens, seed, device)
        for name, choices in tests(split, unseen).items():
            tested = distinct(choices, count, generator(seed, "tested"))
            for way in WAYS:
                found[name, way] = asked(lm, way, tested)
                line = f"seed {seed}, {name}, {way}: {found[name, way][0]:.2f}"
                print(f"{line}, {time.process_time():.0f} s", file=sys.stderr, flush=True)
    return found


def show(runs):
    """Print exact translations, mean (least .. most) over seeds, and the cost of a command."""
    print(f"{'':<34}{'right':>22}{'calls':>7}{'tokens':>8}")
    for name, way in runs[0]:
        right, calls, tokens = np.transpose([r[name, way] for r in runs])
        row = f"{f'{name}, {way}':<34}{mean_and_range(right, '.2f'):>22}"
        print(f"{row}{calls.mean():>7.1f}{tokens.mean():>8.0f}")


def verdicts(runs):
    """Print the verdict of every claim."""

    def right(split, way):
        return [r[split, way][0] for r in runs]

    old, new = "length, old phrases", "length, a new one"
    print(FALLS.line(right("simple", "direct"), right(old, "direct")))
    print(LONGER.line(right(old, "least-to-most"), right(old, "direct")))
    print(NOTATION.line(right(old, "expression"), right(old, "direct")))
    print(STEPS.line(right(old, "least-to-most"), right(old, "expression")))
    print(PHRASE.line(right(new, "least-to-most"), right(new, "direct")))
    print(KNOWN.line(right("simple", "least-to-most"), right("simple", "direct")))
    print(JUMP.line(right("add jump", "least-to-most"), right("add jump", "direct")))


def plot(path, runs):
    """Exact translations of each kind of commands, by every way."""
    with Picture(path, rows=2, columns=2, size=(4.4, 2.2)) as picture:
        for kind in dict.fromkeys(name for name, _ in runs[0]):
            panel = picture.panel(kind, "share of exact translations")
            panel.bars({way: [r[kind, way][0] for r in runs] for way in WAYS}, ".2f")
            panel.axes.set_xlim(0, 1.15)


main = main_of(__doc__, tokenizer, run, show, verdicts, (TOKENS, TESTED), quick=5, plot=plot)

if __name__ == "__main__":
    main()
