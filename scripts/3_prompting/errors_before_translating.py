"""Deliberate, then generate: does a model translate better that names a draft's error first?

Book section 3.2.3; Li et al. 2023. English sentences are translated into an invented language:
other words, another order. A draft has a word left out, a wrong word, two neighbors exchanged, or
no error. A third of the words are rare in training, and every tested sentence has one of them: so
the model knows the task, but not all words, and a draft may show what it does not know. One small
GPT learns four prompts of the library, as many tokens of each:

    translate     the source alone, after no demonstration or one
    refine        source and draft: "Please refine the translation .."
    deliberate    source and draft: "Please first detect the error type ..", the type, the text
    negative      as deliberate, but the draft is a random sentence's translation, and the error
                  type stands there already: "Incorrect Translation"

So "refine" is the ablation without the line of the error, by the same weights. That the line is
used shows where another type is filled in for the model. Drafts are made by the generator, or are
the model's own. "negative" is compared with "translate" after one demonstration, which has as many
tokens. A translation is right if it is the exact one; no tested sentence was trained. Two layers of
width 64, five seeds, about 10 minutes on one core. `python
scripts/3_prompting/errors_before_translating.py [--seed N] [--device cpu|gpu] [--quick]`; --quick
is two seeds and a tenth of the tokens. Read next: prompt/refine/deliberate.py.

Measured output (one core):

    right                                                     tokens of a question
        the draft itself                0.26 (0.24 .. 0.29)           0
        translate                       0.85 (0.73 .. 0.95)          26
        translate, one demonstration    0.81 (0.67 .. 0.93)          53
        negative                        0.86 (0.71 .. 0.93)          47
        refine                          0.82 (0.67 .. 0.90)          49
        deliberate                      0.88 (0.72 .. 0.94)          46
        deliberate, wrong type given    0.86 (0.69 .. 0.94)          46
        own draft itself                0.85 (0.73 .. 0.95)           0
        own draft, refine               0.83 (0.68 .. 0.93)          49
        own draft, deliberate           0.88 (0.72 .. 0.95)          46
    the error type is named right
        omission                        0.94 (0.83 .. 1.00)
        substitution                    0.70 (0.61 .. 0.79)
        order                           0.43 (0.25 .. 0.78)
        no error                        0.10 (0.00 .. 0.40)
        all                             0.55 (0.48 .. 0.67)
        one guess                       0.28 (0.27 .. 0.29)
        own drafts                      0.16 (0.02 .. 0.48)
    5 seeds; 467 s of one core
    the named error type is right more often than one guess (section 3.2.3): +0.263 [+0.17, +0.356],
      5 seeds: too small to tell; 0.29 could have been seen
    drafts: right after the error line > without that line (section 3.2.3): +0.0567 [-0.0174,
      +0.131], 5 seeds: too small to tell; 0.074 could have been seen
    drafts: a wrong error type filled in costs the translation more than 0.05 (section 3.2.3):
      +0.0107 [+0.00123, +0.0201], 5 seeds: too small to tell; 0.059 could have been seen
    drafts: right with a draft, deliberated > without one (section 3.2.3): +0.0253 [-0.0314,
      +0.0821], 5 seeds: too small to tell; 0.057 could have been seen
    own drafts: right after deliberation > before (section 3.2.3): +0.0347 [-0.0217, +0.0911], 5
      seeds: too small to tell; 0.056 could have been seen
    own drafts: right after the error line > without that line (section 3.2.3): +0.0527 [-0.0146,
      +0.12], 5 seeds: too small to tell; 0.067 could have been seen
    no draft: after a random wrong one > after a demonstration, as many tokens (section 3.2.3):
      +0.05 [+0.0116, +0.0884], 5 seeds: shows

What shows: a random wrong draft, marked as one, helps more than a demonstration of as many tokens,
by 0.05. All else is too small to tell, with effects of 0.06 to 0.08 that could have been seen. The
line of the error raises the share of right translations by 0.05 on drafts of the generator and on
own drafts in the mean, but one of five seeds does without it. The type that is named is right for
0.55, twice as often as one guess, and 0.94 of omissions are found; yet it is hardly used: a wrong
type filled in costs 0.01. So if deliberation helps here, it is not by knowing the error.

An ability to see that a draft has no error was not learnt (0.10), and own drafts, of which 0.85 are
right, still lose nothing.
"""

import string
import sys
from dataclasses import replace

import numpy as np
from small_runs import main_of, read_once, small_gpt

from tinylm.data.synthetic.draws import distinct, generator, pick
from tinylm.data.synthetic.prompted.cipher import (
    ADJECTIVES,
    ERRORS,
    NONE,
    NOUNS,
    VERBS,
    draft_items,
    error_type,
)
from tinylm.finetune.instruct.conversations import encode_sft, pack
from tinylm.prompt import TextModel
from tinylm.prompt.answer import Answer
from tinylm.prompt.evaluation.together import answer_together
from tinylm.prompt.refine.aspects import TRANSLATE, refine_aspects, refinement_prompt, translate
from tinylm.prompt.refine.deliberate import (
    ERROR,
    WRONG,
    deliberate,
    deliberate_negative,
    deliberation_prompt,
    read_deliberation,
    wrong_draft,
)
from tinylm.tokenizers import UnigramTokenizer
from tinylm.train.experiments.compare import Claim, mean_and_range

NAMES = {"source": "English", "target": "Toy"}
LANGUAGES = tuple(NAMES.values())
KINDS = (*ERRORS, NONE)
# Every third word of each part of speech. Of the sentences with one, training keeps so many.
RARE = {word for words in (NOUNS, ADJECTIVES, VERBS) for word in words[::3]}
KEPT = 0.004
WAYS = "translate", "refine", "deliberate", "negative"
TOKENS, ROW, BATCH, RATE = 2_200_000, 128, 4, 5e-3
ASKED, CORPUS = 300, 200  # tested sentences, and texts that wrong drafts are drawn from
LONGEST = 12  # tokens: a translation has five words at most, a type two
END = "<|end|>"
OPTIONS = NAMES | {"max_tokens": LONGEST}
# Written before the run; scores are shares of the tested sentences, one a seed.
TYPE = Claim("the named error type is right more often than one guess", "3.2.3", least=0.2)
LINE = Claim("drafts: right after the error line > without that line", "3.2.3", limit=1.0)
READ = Claim(
    "drafts: a wrong error type filled in costs the translation more than 0.05",
    "3.2.3",
    least=0.05,
)
DRAFT = Claim("drafts: right with a draft, deliberated > without one", "3.2.3", limit=1.0)
OWN = Claim("own drafts: right after deliberation > before", "3.2.3", limit=1.0)
OWN_LINE = Claim("own drafts: right after the error line > without that line", "3.2.3", limit=1.0)
NEGATIVE = Claim(
    "no draft: after a random wrong one > after a demonstration, as many tokens",
    "3.2.3",
    limit=1.0,
)


def drafts(count, seed):
    """Sentences as questions, each with a draft in its context: list of Item."""
    return [
        replace(item, question=item.question.partition(": ")[2])
        for item in draft_items(count, seed, KINDS)
    ]


def has_rare(item):
    """Whether a sentence has a word that is rare in training."""
    return not RARE.isdisjoint(item.question.split())


# Training: every row is a prompt of the library and the reply to it.


def to_translate(item, rng, corpus):
    """(prompt, reply), after no demonstration or one."""
    shown = ""
    if rng.random() < 0.5:
        demo = pick(corpus, rng)
        shown = f"{TRANSLATE.format(text=demo.question, **NAMES)} {demo.answer}\n\n"
    return shown + TRANSLATE.format(text=item.question, **NAMES), f" {item.answer}"


def to_refine(item, rng, corpus):
    """(prompt, reply) without a line of the error."""
    prompt = refinement_prompt(item.question, item.context, languages=LANGUAGES)
    return prompt, f" {item.answer}"


def to_deliberate(item, rng, corpus):
    """(prompt, reply) with the type of the draft's error."""
    prompt = deliberation_prompt(item.question, item.context, LANGUAGES)
    return f"{prompt}\n{ERROR}", f" {item.rationale}\n{item.answer}"


def to_negate(item, rng, corpus):
    """(prompt, reply) with a random draft that is known to be wrong."""
    draft = wrong_draft([other.answer for other in corpus], item.answer, rng)
    prompt = deliberation_prompt(item.question, draft, LANGUAGES)
    return f"{prompt}\n{ERROR} {WRONG}", f"\n{item.answer}"


WRITERS = dict(zip(WAYS, (to_translate, to_refine, to_deliberate, to_negate)))


def tokenizer():
    """Every word of the four prompts is a token."""
    rng, items = generator(0, "words"), drafts(500, 0)
    texts = ["".join(write(item, rng, items)) for item in items for write in WRITERS.values()]
    return UnigramTokenizer.of_words(texts, string.ascii_letters, [END])


def sentences(rng):
    """Sentences with drafts, without end; few of them have a rare word."""
    while True:
        for item in drafts(1000, int(rng.integers(1 << 40))):
            if not has_rare(item) or rng.random() < KEPT:
                yield item


def lessons(words, tokens, seed):
    """Rows of all four ways, as many tokens of each: (list of Encoded, the sentences in them)."""
    rng, found = generator(seed, "lessons"), []
    items = sentences(rng)
    # for demonstrations and wrong drafts
    corpus = [next(items) for _ in range(CORPUS)]
    seen = {item.question for item in corpus}
    for write in WRITERS.values():
        used = 0
        while used < tokens / len(WRITERS):
            item = next(items)
            seen.add(item.question)
            prompt, reply = write(item, rng, corpus)
            ids = [*words.encode(reply), words.special[END]]
            found.append(encode_sft(words.encode(prompt), ids))
            used += len(found[-1])
    return found, seen


def trained_model(words, tokens, seed, device):
    """(TextModel that has read so many tokens, the sentences in them)."""
    rows, seen = lessons(words, tokens, seed)
    model = small_gpt(words.vocab_size, 256, seed, d_hidden=128, positions="rope")
    read_once(model.to(device), pack(rows, ROW), BATCH, RATE, seed)
    return TextModel.of(model, words, ends=(words.special[END],)), seen


# The methods, each (lm, item, demonstrations, seed=) -> Answer.


def plain(lm, item, demonstrations=(), *, seed=0):
    """The source alone."""
    return translate(lm, item, demonstrations, seed=seed, **OPTIONS)


def refined(lm, item, demonstrations=(), *, seed=0):
    """The draft in the item's context, refined without naming its error."""
    return refine_aspects(lm, item, seed=seed, draft=item.context, **OPTIONS)


def deliberated(lm, item, demonstrations=(), *, seed=0):
    """The type of the draft's error, then the refined text."""
    return deliberate(lm, item, seed=seed, draft=item.context, **OPTIONS)


def misled(lm, item, demonstrations=(), *, seed=0):
    """As deliberated, with a wrong error type in the place of the model's own."""
    other = pick([kind for kind in KINDS if kind != item.rationale], generator(seed, "other"))
    prompt = deliberation_prompt(item.question, item.context, LANGUAGES) + "\n"
    reply = lm.complete(prompt, begin=f"{ERROR} {other}", max_tokens=LONGEST)
    return Answer(reply.text.strip() or None, reply.text)


# The measurements.


def measured(lm, method, items, demonstrations=(), seed=0):
    """(records, share of exact translations, tokens of a question)."""
    records = answer_together(lm, method, items, demonstrations, seed=seed)
    # is_right() would accept a translation with more words around it.
    right = [record.value == item.answer for record, item in zip(records, items)]
    return records, np.mean(right), np.mean([record.tokens for record in records])


def named_right(records, items):
    """The share of error types that the model named as they are."""
    named = [read_deliberation(record.text)[0] for record in records]
    return np.mean([name == item.rationale for name, item in zip(named, items)])


def with_own_drafts(items, records):
    """Items whose drafts are the model's translations, and the types of their errors."""
    found = []
    for item, record in zip(items, records):
        draft = record.value or ""
        if draft:
            kind = error_type(item.question, draft)
            found.append(replace(item, context=draft, rationale=kind))
    return found


def run(words, seed, tokens, count, device):
    """All measurements of one seed: {name: share or (share, tokens)}."""
    lm, seen = trained_model(words, tokens, seed, device)
    drawn = drafts(4 * count, seed + 2000)
    fresh = [item for item in drawn if has_rare(item) and item.question not in seen]
    # equal sentences count once
    items = list({item.question: item for item in fresh}.values())[:count]
    corpus = [item for item in drafts(CORPUS, seed + 3000) if not has_rare(item)]
    texts = [other.answer for other in corpus]
    demo = distinct(corpus, 1, generator(seed, "demonstration"))

    def negative(lm, item, demonstrations=(), *, seed=0):
        return deliberate_negative(lm, item, seed=seed, corpus=texts, **OPTIONS)

    found = {}

    def measure(name, method, items, demonstrations=()):
        records, *found[name] = measured(lm, method, items, demonstrations, seed)
        print(f"seed {seed}, {name}: {found[name][0]:.2f}", file=sys.stderr, flush=True)
        return records

    found["the draft itself"] = np.mean([item.context == item.answer for item in items]), 0
    own = with_own_drafts(items, measure("translate", plain, items))
    measure("translate, one demonstration", plain, items, demo)
    measure("negative", negative, items)
    measure("refine", refined, items)
    records = measure("deliberate", deliberated, items)
    measure("deliberate, wrong type given", misled, items)
    found["named"] = {kind: None for kind in KINDS}
    for kind in KINDS:
        pairs = [(r, i) for r, i in zip(records, items) if i.rationale == kind]
        found["named"][kind] = named_right(*zip(*pairs))
    found["named"]["all"] = named_right(records, items)
    counts = [sum(item.rationale == kind for item in items) for kind in KINDS]
    found["named"]["one guess"] = max(counts) / len(items)
    found["own draft itself"] = np.mean([item.context == item.answer for item in own]), 0
    measure("own draft, refine", refined, own)
    found["named"]["own drafts"] = named_right(
        measure("own draft, deliberate", deliberated, own), own
    )
    return found


def show(runs):
    """Print the tables, mean (least .. most) over seeds."""
    print(f"{'right':<36}{'':>18}{'tokens of a question':>24}")
    for name in runs[0]:
        if name != "named":
            right, tokens = np.transpose([r[name] for r in runs])
            print(f"    {name:<32}{mean_and_range(right, '.2f'):>18}{tokens.mean():>12.0f}")
    print("the error type is named right")
    for kind in runs[0]["named"]:
        shares = [r["named"][kind] for r in runs]
        print(f"    {kind:<32}{mean_and_range(shares, '.2f'):>18}")


def verdicts(runs):
    """Print the verdict of every claim."""

    def of(name):
        return [r[name][0] for r in runs]

    def named(name):
        return [r["named"][name] for r in runs]

    print(TYPE.line(named("all"), named("one guess")))
    print(LINE.line(of("deliberate"), of("refine")))
    print(READ.line(of("deliberate"), of("deliberate, wrong type given")))
    print(DRAFT.line(of("deliberate"), of("translate")))
    print(OWN.line(of("own draft, deliberate"), of("own draft itself")))
    print(OWN_LINE.line(of("own draft, deliberate"), of("own draft, refine")))
    print(NEGATIVE.line(of("negative"), of("translate, one demonstration")))


main = main_of(__doc__, tokenizer, run, show, verdicts, (TOKENS, ASKED), quick=40)

if __name__ == "__main__":
    main()
