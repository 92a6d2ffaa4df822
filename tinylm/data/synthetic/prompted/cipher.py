"""Translation into an invented language with another order of words, and drafts with known errors
(book section 3.2.3; Li et al. 2023, deliberate then generate).

    the red cat sees the dog  ->  cat-word red-word dog-word sees-word

The verb goes to the end, adjectives behind their nouns, articles are dropped, and every other word
has one translation. A draft of a translation has an error of one type, which the exact translation
reveals: a word left out, a wrong word, or two neighbors exchanged. Read next: agreement.py.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np

from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator, pick
from tinylm.data.synthetic.templates import needed_slots
from tinylm.errors import ConfigError, DataError

NOUNS = "cat dog bird horse child woman farmer teacher doctor king".split()
ADJECTIVES = "red old small happy quiet young tall kind".split()
VERBS = "sees hears finds follows helps calls likes paints".split()
ERRORS = ("omission", "substitution", "order")
NONE = "no error"
_QUESTION = "Translate the sentence: {sentence}"
_KINDS = {word: kind for kind, words in enumerate((NOUNS, ADJECTIVES, VERBS)) for word in words}


_SYLLABLES = ["".join(pair) for pair in product("bdfklmnprstvz", "aeiou")]
WORDS = tuple("".join(pair) for pair in product(_SYLLABLES, _SYLLABLES))


def lexicon(seed: int = 0, stock: tuple[str, ...] = WORDS) -> dict[str, str]:
    """The words of an invented language: {English word: word of the language}, all different.

    stock   words that they are drawn from; those of two syllables if not given. Languages that
            share a small stock have the same words with other meanings
    raises  ConfigError for a stock of fewer words than there are to translate
    """
    if len(stock) < len(_KINDS):
        raise ConfigError(f"lexicon: {len(stock)} words for {len(_KINDS)} meanings: give more")
    order = Random(seed, "cipher").permutation(len(stock))
    return {word: stock[i] for word, i in zip(_KINDS, order)}


LEXICON = lexicon()
_ENGLISH = {word: english for english, word in LEXICON.items()}


def translate(sentence: str, words: dict[str, str] = LEXICON) -> str:
    """The translation of "the [adjective] noun verb the [adjective] noun".

    words   of the language, as lexicon() gives them
    raises  DataError for a sentence of another form
    """
    english = sentence.split()
    verbs = [i for i, word in enumerate(english) if word in VERBS]
    if len(verbs) != 1:
        raise DataError(f"a sentence needs one verb of {', '.join(VERBS)}: {sentence!r:.80}")
    at = verbs[0]
    # Subject, object, verb.
    order = [*_noun_first(english[:at]), *_noun_first(english[at + 1 :]), english[at]]
    return " ".join(words[word] for word in order)


def _noun_first(phrase):
    """[noun, adjective] or [noun] of "the adjective noun", "the noun"."""
    article, *words = phrase or [""]
    kinds = [_KINDS.get(word) for word in words]
    # Kinds are 0 for a noun and 1 for an adjective.
    if article != "the" or kinds not in ([0], [1, 0]):
        raise DataError(f"{' '.join(phrase)!r} is no noun of the toy grammar with its article")
    return words[::-1]


def random_sentence(rng: np.random.Generator) -> str:
    """A random English sentence; each noun has an adjective with probability 1/2."""
    words = []
    for part in (NOUNS, VERBS, NOUNS):
        if part is NOUNS:
            words.append("the")
            if rng.random() < 0.5:
                words.append(pick(ADJECTIVES, rng))
        words.append(pick(part, rng))
    return " ".join(words)


def with_error(translation: str, kind: str, rng: np.random.Generator) -> str:
    """A translation with one error.

    kind     "omission" of a word, "substitution" by another word of its part of speech, or "order":
             two neighbors are exchanged
    raises   ConfigError for another kind; DataError if no two neighbors differ
    """
    words = translation.split()
    at = int(rng.integers(0, len(words)))
    if kind == "omission":
        del words[at]
    elif kind == "substitution":
        part = (NOUNS, ADJECTIVES, VERBS)[_KINDS[_ENGLISH[words[at]]]]
        words[at] = pick([LEXICON[w] for w in part if LEXICON[w] != words[at]], rng)
    elif kind == "order":
        places = [i for i in range(len(words) - 1) if words[i] != words[i + 1]]
        if not places:
            raise DataError(f"no two neighbors differ in {translation!r}")
        at = pick(places, rng)
        words[at], words[at + 1] = words[at + 1], words[at]
    else:
        raise ConfigError(f"with_error: kind {kind!r} is none of {', '.join(ERRORS)}")
    return " ".join(words)


def error_type(sentence: str, draft: str) -> str:
    """The error of a draft: one of ERRORS, NONE, or "incorrect translation" for any other."""
    words, right = draft.split(), translate(sentence).split()
    if words == right:
        return NONE
    if Counter(words) == Counter(right):
        return "order"
    if any(words == right[:i] + right[i + 1 :] for i in range(len(right))):
        return "omission"
    if len(words) == len(right) and sum(a != b for a, b in zip(words, right)) == 1:
        return "substitution"
    return "incorrect translation"


def cipher_items(count: int, seed: int = 0) -> list[Item]:
    """Sentences to translate; the worked solution is the lexicon of their words: list of Item."""
    rng, items = generator(seed, "cipher"), []
    for _ in range(count):
        sentence = random_sentence(rng)
        words = [word for word in sentence.split() if word in LEXICON]
        rationale = " ".join(f'"{word}" is "{LEXICON[word]}".' for word in dict.fromkeys(words))
        question = _QUESTION.format(sentence=sentence)
        items.append(Item(question, translate(sentence), (), "", rationale, "cipher"))
    return items


def draft_items(count: int, seed: int = 0, kinds: Sequence[str] = (*ERRORS, NONE)) -> list[Item]:
    """Sentences with a draft of their translation as context; the worked solution names the error,
    the answer is the correct translation: list of Item.

    kinds  of the errors, drawn with equal chance
    """
    if not kinds or not set(kinds) <= {*ERRORS, NONE}:
        raise ConfigError(f"draft_items: kinds {kinds} must be some of {(*ERRORS, NONE)}")
    rng, items = generator(seed, "drafts"), []
    while len(items) < count:
        sentence, kind = random_sentence(rng), pick(kinds, rng)
        draft = translate(sentence)
        if kind != NONE:
            draft = with_error(draft, kind, rng)
        items.append(
            Item(
                _QUESTION.format(sentence=sentence),
                translate(sentence),
                context=draft,
                rationale=kind,
                task="drafts",
            )
        )
    return items


def solve_cipher(item: Item) -> str:
    """The translation, from the question alone; a draft in the context is not read."""
    return translate(needed_slots(_QUESTION, item.question)["sentence"])
