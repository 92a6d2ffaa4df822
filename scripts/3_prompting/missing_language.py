"""A language that pre-training lacked: demonstrations against continued pre-training.

Book section 3.1.2 (learning in context depends on what the model knows: a language absent from
pre-training is learnt by more pre-training, not from a prompt). Three invented languages translate
"the cat sees the dog" word by word, in the same order, with words from one stock: every token of
the third is known, but not its meaning. A small GPT (two layers of width 64) is pre-trained on
texts of 17 translations, each text in one of the first two languages; no text names its language.
Then it is trained on as many texts of the third alone, or with a fifth or a half of old texts
instead (replay). A model without pre-training reads the same new texts. Tests are sentences that
were in no text, after 0, 4 and 16 demonstrations; "a reader" knows the rule and looks up the words
that were shown. Five seeds, about 2 minutes on one core. `python
scripts/3_prompting/missing_language.py [--seed N] [--device cpu|gpu] [--quick]`; --quick is two
seeds and a tenth of the texts. Read next: unseen_mappings.py, where a model does learn from its
prompt; prompt/in_context/shots.py; scripts/1_pretraining/forgetting.py.

Measured output (one core of a busy machine):

    289000 tokens of pre-training, 68000 after it
    old languages                       0 shots             4 shots            16 shots
        base                0.40 (0.12 .. 0.55) 0.80 (0.40 .. 1.00) 0.79 (0.40 .. 1.00)
        new alone           0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
        a fifth old         0.00 (0.00 .. 0.00) 0.78 (0.42 .. 1.00) 0.77 (0.33 .. 1.00)
        half old            0.09 (0.05 .. 0.17) 0.83 (0.45 .. 1.00) 0.85 (0.45 .. 1.00)
        no pre-training     0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
    missing language                    0 shots             4 shots            16 shots
        base                0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00) 0.00 (0.00 .. 0.00)
        new alone           0.88 (0.42 .. 1.00) 0.89 (0.42 .. 1.00) 0.89 (0.45 .. 1.00)
        a fifth old         0.83 (0.30 .. 1.00) 0.90 (0.65 .. 1.00) 0.89 (0.72 .. 1.00)
        half old            0.57 (0.15 .. 0.85) 0.80 (0.20 .. 1.00) 0.79 (0.33 .. 1.00)
        no pre-training     0.07 (0.00 .. 0.33) 0.08 (0.00 .. 0.38) 0.08 (0.00 .. 0.38)
        a reader            0.00 (0.00 .. 0.00) 0.15 (0.10 .. 0.20) 0.89 (0.78 .. 1.00)
    the base on the missing language, right in an old one
                            0.79 (0.45 .. 1.00) 0.66 (0.28 .. 1.00) 0.69 (0.28 .. 1.00)
    of the old translations that the base had right after 16 shots, forgotten
        new alone           1.00 (1.00 .. 1.00)
        a fifth old         0.15 (0.00 .. 0.44)
        half old            0.05 (0.00 .. 0.25)
    5 seeds; 127 s of one core
    old: 16 shots > none, as they show which language is meant (section 3.1.2): +0.39 [+0.25,
      +0.53], 5 seeds: shows
    missing: the base is right in at most 0.05 (section 3.1.2): +0 [+0, +0], 5 seeds: shows
    missing: a reader of the same shots > the base (section 3.1.2): +0.89 [+0.79, +0.99], 5 seeds:
      shows
    missing: more pre-training > the base (section 3.1.2): +0.89 [+0.585, +1.2], 5 seeds: shows
    missing: more pre-training > none before the same texts (section 3.1.2): +0.805 [+0.459, +1.15],
      5 seeds: shows
    old: the base > trained on new alone (section 3.1.2): +0.79 [+0.478, +1.1], 5 seeds: shows
    old: a fifth of old texts > new alone (section 3.1.2): +0.77 [+0.43, +1.11], 5 seeds: shows
    old: half old > a fifth (section 3.1.2): +0.08 [+0.00589, +0.154], 5 seeds: too small to tell;
      0.17 could have been seen
    missing: half old costs at most 0.1 against new alone (section 3.1.2): -0.1 [-0.222, +0.0222], 5
      seeds: too small to tell; 0.022 could have been seen

Demonstrations choose among what the model knows: 16 of them lead it from 0.40 to 0.79 in the old
languages, as they show which of the two is meant. Of the missing language they give nothing, though
they show nearly all of its words and a reader would be right in 0.89: two thirds of the answers are
right in an old language. A quarter as much more training as before gives the language, and only
with pre-training before it: the same texts alone give 0.08. Without old texts everything old is
forgotten, and 16 demonstrations do not bring it back; a fifth of them keeps 0.77, though without
demonstrations the model then answers in the new language alone. Whether a half is better than a
fifth, and costs less than 0.1 of the new language, is too small to tell. Base models differ (0.40
to 1.00 in the old languages): not all had finished learning. Settings were chosen on seed 100.
"""

import itertools
import sys
import time

import numpy as np
from small_runs import command_line, read_once, small_gpt

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import distinct, generator
from tinylm.data.synthetic.prompted.cipher import NOUNS, VERBS, WORDS, lexicon, translate
from tinylm.finetune.continual.rehearsal import with_rehearsal
from tinylm.finetune.instruct.conversations import Encoded
from tinylm.prompt import TextModel
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.shots import accuracy_by_shots, forgotten, table
from tinylm.tokenizers import WordTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

OLD, MISSING = ("first", "second"), "third"
SHOTS = (0, 4, 16)
MOST = SHOTS[-1]
BASE, MORE = 1700, 400  # texts of pre-training, and of what continues it
BATCH, RATE = 2, 3e-3  # batches of 16 had learnt nothing from as many texts
HELD_OUT, ASKED = 100, 40  # of the 800 sentences; questions of each test
REPLAY = {"new alone": 0.0, "a fifth old": 0.2, "half old": 0.5}  # shares of old texts
STOCK = WORDS[::105]  # 41 words for 18 meanings
# A text is "sentence = translation ; sentence = translation ; ..", and a prompt ends in "=".
FORM = FewShotPrompt(question_name="", answer_name="", between=" = ", separator=" ; ")
# One token a word: a translation cannot fail for the spelling of a word.
TOKENIZER = WordTokenizer([*NOUNS, *VERBS, "the", "=", ";", *STOCK])
BEGIN, END = (int(TOKENIZER.encode(mark)[0]) for mark in "=;")

# Written before the run; scores are shares of right translations, one a seed, after 16 shots.
FINDS = Claim("old: 16 shots > none, as they show which language is meant", "3.1.2", least=0.1)
ABSENT = Claim("missing: the base is right in at most 0.05", "3.1.2", larger=False, least=-0.05)
READER = Claim("missing: a reader of the same shots > the base", "3.1.2", least=0.1)
TRAINED = Claim("missing: more pre-training > the base", "3.1.2", least=0.5)
BUILT = Claim("missing: more pre-training > none before the same texts", "3.1.2", least=0.1)
FORGETS = Claim("old: the base > trained on new alone", "3.1.2", least=0.1)
FIFTH = Claim("old: a fifth of old texts > new alone", "3.1.2", least=0.1)
HALF = Claim("old: half old > a fifth", "3.1.2", least=0.1, limit=1.0)
PRICE = Claim("missing: half old costs at most 0.1 against new alone", "3.1.2", least=-0.1)


class Languages:
    """The languages of a seed, and the sentences for training and for tests."""

    def __init__(self, seed):
        self.seed = seed
        names = (*OLD, MISSING)
        # One small stock for all languages: they share words, with other meanings.
        self.words = {}
        for i, name in enumerate(names):
            self.words[name] = lexicon(10 * seed + i, STOCK)
        triples = itertools.product(NOUNS, VERBS, NOUNS)
        sentences = [f"the {subject} {verb} the {other}" for subject, verb, other in triples]
        # All of them in random order. Held-out sentences are in no text of any language, though
        # their words are.
        rng = generator(seed, "sentences")
        sentences = distinct(sentences, len(sentences), rng)
        self.held_out = sentences[:HELD_OUT]
        self.training = sentences[HELD_OUT:]

    def item(self, sentence, language):
        """A sentence with its translation; its task is the language."""
        return Item(sentence, translate(sentence, self.words[language]), task=language)

    def some(self, sentences, count, language, rng):
        """Items of `count` different ones of the sentences."""
        return [self.item(s, language) for s in distinct(sentences, count, rng)]

    def texts(self, languages, count, name):
        """Texts of 17 translations, the languages in turn: list of Encoded."""
        rng = generator(self.seed, name)
        found = []
        for i in range(count):
            language = languages[i % len(languages)]
            # As long as the longest prompt: MOST demonstrations and a question.
            items = self.some(self.training, MOST + 1, language, rng)
            found.append(encode(items))
        return found

    def tests(self):
        """{"old", "missing": (items, selector of demonstrations)}, as table() takes them."""
        rng = generator(self.seed, "tests")
        shown = {name: self.some(self.training, MOST, name, rng) for name in self.words}
        half = ASKED // len(OLD)
        # Both old languages have half of the questions each.
        old = [item for name in OLD for item in self.some(self.held_out, half, name, rng)]
        new = self.some(self.held_out, ASKED, MISSING, rng)

        def choose(item, k):
            # The demonstrations are in the language of the question.
            return shown[item.task][:k]

        return {"old": (old, choose), "missing": (new, choose)}


def encode(items):
    """A text of translations; what counts in the loss are the translations with their ends.

    The sentences are random, so nothing predicts them.
    """
    shown = [FORM.demonstration(item) for item in items]
    text = FORM.separator.join(shown) + FORM.separator
    ids = np.asarray(TOKENIZER.encode(text), np.int64)
    # A token is in a translation if more "=" than ";" stand before it.
    begun = np.cumsum(ids == BEGIN)
    ended = np.cumsum(ids == END)
    # Moved by one place: "=" itself is outside, the ";" that ends a translation is inside.
    inside = np.append(False, begun[:-1] > ended[:-1])  # (T,)
    return Encoded(ids, inside)


def new_model(seed):
    """A GPT with random weights."""
    context = 10 * (MOST + 1)  # tokens of a translation with its sentence and marks
    return small_gpt(TOKENIZER.vocab_size, context, seed, d_hidden=128, positions="rope")


def train(texts, seed, device, start=None):
    """A model trained on texts, each once; from the weights of `start` if it is given."""
    model = new_model(seed)
    if start is not None:
        model.load_state_dict(start.state_dict())
    return read_once(model.to(device), texts, BATCH, RATE, seed)


def models_of(languages, base, more, device):
    """{name: model} of a seed, and the tokens of pre-training and of what follows."""
    old = languages.texts(OLD, base, "old")
    new = languages.texts((MISSING,), more, "new")
    found = {"base": train(old, languages.seed, device)}
    for name, share in REPLAY.items():
        # As many texts in all: old ones take the place of new ones.
        kept = new[: round((1 - share) * more)]
        # The share s of the whole is s / (1 - s) old texts for each new one.
        ratio = share / (1 - share)
        texts = with_rehearsal(kept, old, ratio, languages.seed)
        found[name] = train(texts, languages.seed, device, found["base"])
    # The control: the same new texts, from random weights.
    found["no pre-training"] = train(new, languages.seed, device)
    tokens = sum(map(len, old)), sum(map(len, new))
    return found, tokens


def reader(items, choose):
    """The shares of items whose words have all been shown, at each of SHOTS."""
    shares = []
    for k in SHOTS:
        known = []
        for item in items:
            # The order of words is one rule, which the reader knows, so a sentence lacks nothing
            # once each of its words was in a demonstration.
            seen = {word for shown in choose(item, k) for word in shown.question.split()}
            known.append(set(item.question.split()) <= seen)
        shares.append(np.mean(known))
    return np.array(shares)


def run(seed, base, more, device):
    """All measurements of a seed.

    returns  {(model, test): (3,) accuracy at SHOTS; "forgotten", model: share; ..}, tokens
    """
    languages = Languages(seed)
    tests = languages.tests()
    models, tokens = models_of(languages, base, more, device)
    lms = {}
    for name, model in models.items():
        lms[name] = TextModel.of(model, TOKENIZER, ends=(END,))
    # A translation is subject, object and verb, and ";": four tokens, and two to spare.
    options = {"prompt": FORM, "max_tokens": 6}
    curves = table(lms, tests, SHOTS, **options)
    found = {
        (model, test): curve.accuracies
        for model, row in curves.items()
        for test, curve in row.items()
    }
    for name in REPLAY:
        # Of what the base had right, the share that is wrong now; the last is after MOST shots.
        lost = forgotten(curves["base"]["old"], curves[name]["old"])
        found["forgotten", name] = lost[-1]
    found["a reader", "missing"] = reader(*tests["missing"])

    def old_words(value, item):
        translations = [translate(item.question, languages.words[name]) for name in OLD]
        return value in translations

    # What the base gets wrong in the missing language may be right in one that it knows.
    items, choose = tests["missing"]
    curve = accuracy_by_shots(
        lms["base"],
        items,
        choose,
        SHOTS,
        right=old_words,
        **options,
    )
    found["as old"] = curve.accuracies
    print(f"seed {seed}: {time.process_time():.0f} s", file=sys.stderr)
    return found, tokens


def show(runs, tokens):
    """Print the table, mean (least .. most) over seeds."""

    def cells(rows):
        # (seeds, shots) -> one cell for each number of shots
        columns = np.transpose(rows)
        return "".join(f"{mean_and_range(column, '.2f'):>20}" for column in columns)

    print(f"{tokens[0]} tokens of pre-training, {tokens[1]} after it")
    for test in ("old", "missing"):
        title = f"{test} languages"
        if test == "missing":
            title = "missing language"
        print(f"{title:<23}" + "".join(f"{f'{k} shots':>20}" for k in SHOTS))
        for name in ("base", *REPLAY, "no pre-training", "a reader"):
            # The reader has a row in one table only.
            if (name, test) in runs[0]:
                rows = [r[name, test] for r in runs]
                print(f"    {name:<19}" + cells(rows))
    print("the base on the missing language, right in an old one")
    as_old = [r["as old"] for r in runs]
    print(f"    {'':<19}" + cells(as_old))
    print("of the old translations that the base had right after 16 shots, forgotten")
    for name in REPLAY:
        shares = [r["forgotten", name] for r in runs]
        lost = mean_and_range(shares, ".2f")
        print(f"    {name:<19}{lost:>20}")


def verdicts(runs):
    """Print the verdict of every claim."""

    def of(name, test, shots=MOST):
        return [r[name, test][SHOTS.index(shots)] for r in runs]

    # Scores are paired: in a run, all models have the same languages and the same questions.
    old, old_alone = of("base", "old"), of("new alone", "old")
    missing, alone = of("base", "missing"), of("new alone", "missing")
    # What a prompt gives, of languages that the base knows and of one that it does not.
    print(FINDS.line(old, of("base", "old", 0)))
    print(ABSENT.line(missing, 0.0))
    print(READER.line(of("a reader", "missing"), missing))
    # What more training gives, and whether it builds on the training before it.
    print(TRAINED.line(alone, missing))
    print(BUILT.line(alone, of("no pre-training", "missing")))
    # What it takes away, and what replay keeps.
    fifth, half = of("a fifth old", "old"), of("half old", "old")
    print(FORGETS.line(old, old_alone))
    print(FIFTH.line(fifth, old_alone))
    print(HALF.line(half, fifth))
    print(PRICE.line(of("half old", "missing"), alone))


def main(argv=None):
    """Train and test the models of every seed, print the table and the verdicts."""
    options, seeds = command_line(argv, __doc__, "two seeds, a tenth of the texts")
    base, more = BASE, MORE
    if options.quick:
        base, more = BASE // 10, MORE // 10
    runs = [run(seed, base, more, options.device) for seed in seeds]
    show([found for found, _ in runs], runs[0][1])
    print(f"{len(runs)} seeds; {time.process_time():.0f} s of one core")
    verdicts([found for found, _ in runs])


if __name__ == "__main__":
    main()
