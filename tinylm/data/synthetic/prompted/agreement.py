"""Agreement of subject and verb: repair a sentence with the wrong form   (book section 3.1.1, the
grammar correction of its demonstrations).

    She don't like going to the park.  ->  She doesn't like going to the park.
    The keys near the door is lost.    ->  The keys near the door are lost.

The verb agrees with the head of its subject, not with the nearest noun, and after "There" with the
noun that follows. Read next: polarity.py.
"""

import numpy as np

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator, pick
from tinylm.data.synthetic.templates import needed_slots
from tinylm.errors import ConfigError, DataError

PRONOUNS = {"he": "singular", "she": "singular", "it": "singular",
            "we": "plural", "you": "plural", "they": "plural"}  # fmt: skip
# singular: plural
NOUNS = {"key": "keys", "dog": "dogs", "teacher": "teachers", "friend": "friends", "book": "books",
         "child": "children", "box": "boxes", "reason": "reasons"}  # fmt: skip
VERBS = {"doesn't": "don't", "isn't": "aren't", "hasn't": "haven't", "is": "are", "was": "were",
         "has": "have"}  # fmt: skip
_AFTER = {
    "doesn't": ("like going to the park", "know the way"),
    "isn't": ("here today", "lost"),
    "hasn't": ("been here before", "changed at all"),
    "is": ("near the door", "lost"),
    "was": ("here yesterday", "too heavy"),
    "has": ("changed a lot", "been here before"),
}
_NUMBER = {
    **{noun: "singular" for noun in NOUNS},
    **{noun: "plural" for noun in NOUNS.values()},
    **PRONOUNS,
}
_PLACES = ("near", "behind", "with")
_QUESTION = "Correct the sentence: {sentence}"
FORMS = ("pronoun", "noun", "attractor", "there")


def _form(verb, number):
    """The form of a verb, given as its singular."""
    if number == "singular":
        return verb
    return VERBS[verb]


def _noun(number, rng):
    noun = pick(list(NOUNS), rng)
    if number == "singular":
        return noun
    return NOUNS[noun]


def random_sentence(form: str, number: str, rng: np.random.Generator) -> tuple[str, str, str]:
    """(words before the verb, the verb's singular, words after it) of a correct sentence.

    form  "pronoun", "noun"; "attractor": a noun of the other number stands before the verb;
          "there": the subject follows the verb
    """
    other = {"singular": "plural", "plural": "singular"}[number]
    if form == "there":
        amount = {"singular": "one", "plural": "many"}[number]
        after = pick(["to celebrate", "at home", "on the table"], rng)
        return "There", pick(["is", "was"], rng), f"{amount} {_noun(number, rng)} {after}"
    verb = pick(list(VERBS), rng)
    if form == "pronoun":
        words = pick([word for word in PRONOUNS if PRONOUNS[word] == number], rng).capitalize()
    elif form == "noun":
        words = f"The {_noun(number, rng)}"
    elif form == "attractor":
        words = f"The {_noun(number, rng)} {pick(_PLACES, rng)} the {_noun(other, rng)}"
    else:
        raise ConfigError(f"agreement: the form {form!r} is none of {', '.join(FORMS)}")
    return words, verb, pick(_AFTER[verb], rng)


def repaired(sentence: str) -> str:
    """The sentence with the verb in the form that its subject needs.

    The subject is the first word with a number, which after "There" stands behind the verb.

    raises  DataError for a sentence without a known verb or subject
    """
    words = sentence.removesuffix(".").split()
    singular = {form: verb for verb, plural in VERBS.items() for form in (verb, plural)}
    verbs = [i for i, word in enumerate(words) if word in singular]
    numbers = [_NUMBER[word.lower()] for word in words if word.lower() in _NUMBER]
    if not verbs or not numbers:
        raise DataError(f"no verb or no subject that is known in {sentence!r:.80}")
    at = verbs[0]
    words[at] = _form(singular[words[at]], numbers[0])
    return " ".join(words) + "."


def agreement_items(
    count: int, seed: int = 0, forms: tuple[str, ...] = FORMS, wrong: float = 1.0
) -> list[Item]:
    """Sentences whose verb has the wrong form: list of Item.

    forms  of the sentences, drawn with equal chance
    wrong  the share of sentences with an error; the others are correct and stay as they are
    """
    if not forms or not set(forms) <= set(FORMS) or not 0 <= wrong <= 1:
        raise ConfigError(
            f"agreement_items: forms {forms}, wrong {wrong}: give some of {FORMS}, and a share"
        )
    rng, items = generator(seed, "agreement"), []
    for _ in range(count):
        number = pick(["singular", "plural"], rng)
        before, verb, after = random_sentence(pick(forms, rng), number, rng)
        written = number
        if rng.random() < wrong:
            written = {"singular": "plural", "plural": "singular"}[number]
        right = f"{before} {_form(verb, number)} {after}."
        sentence = f"{before} {_form(verb, written)} {after}."
        rationale = f"The subject is {number}."
        question = _QUESTION.format(sentence=sentence)
        items.append(Item(question, right, rationale=rationale, task="agreement"))
    return items


def solve_agreement(item: Item) -> str:
    """The answer, from the question alone. Raises as `repaired`."""
    return repaired(needed_slots(_QUESTION, item.question)["sentence"])
