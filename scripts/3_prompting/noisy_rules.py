"""Task and models of ensembles.py: a rule is inferred from demonstrations, some of which are wrong.

A world has six rules, each a table from ten letters to numbers from 10 to 99. A text is of one
rule: "a>37", "k>52", .., a line for each letter, in random order. Of three lines one is wrong: its
number is that of another rule. The mark between letter and number is one of three (wordings of one
task), and a third of the texts is in another language, with other signs for letters and digits. A
GPT of two layers and width 64 that reads such texts learns the tables, and to infer the
rule, which Bayes' rule gives exactly: two sources of error, of which other demonstrations change
one and another model the other. Book section 3.2.4. Read next: ensembles.py.
"""

from dataclasses import dataclass

import numpy as np
from small_runs import read_once, small_gpt

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator
from tinylm.finetune.instruct.conversations import encode_sft
from tinylm.prompt import TextModel
from tinylm.prompt.ensemble.wrapped import Transformed
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.tokenizers import UnigramTokenizer

RULES, LETTERS, NOISE = 6, "abcdefghij", 1 / 3
NUMBERS = [str(n) for n in range(10, 100)]
MARKS = ">=:"
FORMS = tuple(
    FewShotPrompt(question_name="", answer_name="", between=mark, separator="\n") for mark in MARKS
)
LINE = 4  # tokens: a letter, a mark, a number, a line end
BATCH, RATE = 4, 3e-3


# The other language: a sign for each letter and each digit.
THERE = str.maketrans(LETTERS + "0123456789", "ABCDEFGHIJMNOPQRSTUV")
BACK = str.maketrans("ABCDEFGHIJMNOPQRSTUV", LETTERS + "0123456789")
FOREIGN = [n.translate(THERE) for n in NUMBERS]
# Letters, marks, numbers of both languages and the line end are a token each.
TOKENIZER = UnigramTokenizer.of_words(
    NUMBERS + FOREIGN, LETTERS + LETTERS.translate(THERE) + MARKS + "\n"
)
END = int(TOKENIZER.encode("\n")[0])


def there(text):
    """A text in the other language."""
    return text.translate(THERE)


def back(text):
    """A text of the other language in the first."""
    return text.translate(BACK)


def translated(form):
    """A prompt in the other language."""
    return Transformed(form, there, back)


def tables(seed):
    """The numbers of a world: (RULES, letters) integers. No two rules agree on a letter."""
    rng = generator(seed, "tables")
    columns = [rng.choice(np.arange(10, 100), RULES, replace=False) for _ in LETTERS]
    return np.array(columns).T


@dataclass(frozen=True)
class Question:
    """A letter whose number is wanted, and lines on the other letters, some of them wrong.

    item   Item; its options are the numbers of all rules, in their order
    rule   its number
    pool   Items, in random order
    """

    item: Item
    rule: int
    pool: tuple


def lines(world, rule, rng):
    """A line for each letter in random order, one of three wrong: list of Item."""
    found = []
    for x in rng.permutation(len(LETTERS)):
        shown = rule
        if rng.random() < NOISE:
            shown = (rule + int(rng.integers(1, RULES))) % RULES
        found.append(Item(LETTERS[x], str(world[shown, x])))
    return found


def question(world, rng):
    """A Question of a random rule."""
    rule = int(rng.integers(RULES))
    first, *pool = lines(world, rule, rng)
    options = tuple(str(number) for number in world[:, LETTERS.index(first.question)])
    return Question(Item(first.question, options[rule], options), rule, tuple(pool))


def more_lines(world, one, rng):
    """Other lines of the same rule, without the letter that is asked: tuple of Item."""
    found = lines(world, one.rule, rng)
    return tuple(item for item in found if item.question != one.item.question)


def texts(world, tokens, rng):
    """Texts until they have so many tokens: list of Encoded, all of whose tokens count."""
    found = []
    for _ in range(tokens // (LINE * len(LETTERS))):
        form = FORMS[rng.integers(len(FORMS))]
        shown = lines(world, int(rng.integers(RULES)), rng)
        text = form.separator.join(form.demonstration(item) for item in shown) + "\n"
        if rng.integers(3) == 0:
            text = there(text)
        found.append(encode_sft([END], TOKENIZER.encode(text)))
    return found


def read_more(lm, model, world, tokens, seed, member):
    """Train a model on so many new tokens."""
    rng = generator(seed, "texts", str(member))
    read_once(model, texts(world, tokens, rng), BATCH, RATE, 1000 * seed + member)
    lm.weights_changed()


def train(world, tokens, seed, member, device):
    """A model that has read so many tokens of a world: (TextModel, model)."""
    # Another member has other first weights and other texts of the same world.
    model = small_gpt(TOKENIZER.vocab_size, 64, 1000 * seed + member).to(device)
    # A text has no end: a line end is a stop string, and begins the next line of a demonstration.
    lm = TextModel.of(model, TOKENIZER, begin=(END,), batch_size=256)
    read_more(lm, model, world, tokens, seed, member)
    return lm, model


def posterior(world, demonstrations):
    """Pr(rule | demonstrations), by Bayes' rule: (RULES,)."""
    logs = np.zeros(RULES)
    for demo in demonstrations:
        right = world[:, LETTERS.index(demo.question)] == int(demo.answer)
        # Pr(line | rule): 1 - NOISE for the number of the rule, an equal part for those of others.
        logs += np.log(np.where(right, 1 - NOISE, NOISE / (RULES - 1)))
    shares = np.exp(logs - logs.max())
    return shares / shares.sum()
