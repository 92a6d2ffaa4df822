"""GrIPS: a prompt is edited phrase by phrase (Prasad et al. 2023; book section 3.3.1).

    delete a phrase,  swap two,  paraphrase one,  add one that was deleted before

No gradient and no model that writes is needed: a few edited candidates are scored, and the best
replaces the prompt if it is better. A result need not be fluent, and often works all the same. The
paper finds phrases with a parser; here a phrase ends at punctuation and before a function word.
Read first: estimate.py, paraphrase.py. Read next: feedback.py.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.errors import ConfigError
from tinylm.prompt.optimize.estimate import Found, PromptEvaluator

OPERATORS = "delete", "swap", "paraphrase", "add"
FUNCTION_WORDS = frozenset(
    """a an the this that these those its their of in on at by for from with without into onto to as
    about than and or but if whether when while which who""".split()
)


def phrase_parts(text: str) -> list[str]:
    """The phrases of a text with the white space before them: their concatenation is the text."""
    parts, before = [], "."  # so that the first word begins a phrase
    for word in re.findall(r"\s*\S+|\s+$", text):
        bare = word.strip().casefold()
        starts = bare in FUNCTION_WORDS and before not in FUNCTION_WORDS
        if bare and (starts or before[-1] in ".,;:!?"):
            parts.append("")
        if not parts:  # the text is white space
            parts.append("")
        parts[-1] += word
        before = bare or before
    return parts


def phrases(text: str) -> list[str]:
    """The phrases of a text, words with one space between them: list of str.

    "Translate the following text into French." -> Translate | the following text | into French.
    """
    return [phrase for part in phrase_parts(text) if (phrase := " ".join(part.split()))]


@dataclass(frozen=True)
class Edited:
    """A prompt as phrases, and those that were deleted on the way to it.

    phrases, deleted  tuples of str
    """

    phrases: tuple
    deleted: tuple = ()

    @property
    def text(self) -> str:
        """The prompt."""
        return " ".join(self.phrases)

    # One edit each. `at`, `other`: numbers of phrases.

    def delete(self, at: int) -> "Edited":
        """Without a phrase: one edit away."""
        rest = self.phrases[:at] + self.phrases[at + 1 :]
        return Edited(rest, (*self.deleted, self.phrases[at]))

    def swap(self, at: int, other: int) -> "Edited":
        """With two phrases in each other's place: two substitutions away at most."""
        parts = list(self.phrases)
        parts[at], parts[other] = parts[other], parts[at]
        return Edited(tuple(parts), self.deleted)

    def paraphrase(self, at: int, phrase: str) -> "Edited":
        """With another phrase: one edit away at most."""
        return Edited((*self.phrases[:at], phrase, *self.phrases[at + 1 :]), self.deleted)

    def add(self, at: int, which: int) -> "Edited":
        """With a deleted phrase before phrase `at`: one edit away."""
        parts = (*self.phrases[:at], self.deleted[which], *self.phrases[at:])
        return Edited(parts, self.deleted[:which] + self.deleted[which + 1 :])


def possible(edited: Edited, operators: tuple[str, ...], paraphrase: Callable | None) -> list[str]:
    """The operators that a prompt allows, in their order: it keeps a phrase, and adds deleted ones.

    raises  ConfigError for an operator that does not exist
    """
    n = len(edited.phrases)
    allowed = {
        "delete": n > 1,
        "swap": n > 1,
        "paraphrase": n > 0 and paraphrase is not None,
        "add": bool(edited.deleted),
    }
    for operator in operators:
        if operator not in allowed:
            raise ConfigError(f"no edit {operator!r}; there are {', '.join(OPERATORS)}")
    return [operator for operator in operators if allowed[operator]]


def random_edit(
    edited: Edited,
    rng: np.random.Generator,
    operators: tuple[str, ...] = OPERATORS,
    paraphrase: Callable | None = None,
) -> Edited:
    """A prompt after one edit, whose operator and places are drawn uniformly.

    paraphrase  function(phrase, rng) -> phrase
    returns     Edited; the same one where no operator is possible
    """
    allowed = possible(edited, operators, paraphrase)
    if not allowed:
        return edited
    operator, n = allowed[rng.integers(len(allowed))], len(edited.phrases)
    if operator == "swap":
        return edited.swap(*(int(i) for i in rng.choice(n, size=2, replace=False)))
    if operator == "add":
        return edited.add(int(rng.integers(n + 1)), int(rng.integers(len(edited.deleted))))
    at = int(rng.integers(n))
    if operator == "delete":
        return edited.delete(at)
    return edited.paraphrase(at, paraphrase(edited.phrases[at], rng))


def grips(
    evaluate: PromptEvaluator,
    prompt: str,
    paraphrase: Callable | None = None,
    operators: tuple[str, ...] = OPERATORS,
    candidates: int = 5,
    edits: int = 1,
    rounds: int = 10,
    patience: int = 2,
    held: Sequence[int] = (),
    seed: int = 0,
) -> Found:
    """Climb from a prompt over its edits: Found.

    evaluate    PromptEvaluator, whose budget also ends the climb
    paraphrase  function(phrase, rng) -> phrase, such as Lexicon().paraphrase; None: no such edit
    operators   of OPERATORS
    candidates  edited prompts in a round
    edits       of each candidate
    rounds      at most
    patience    rounds in a row without a better prompt that end the climb
    held        held-out examples, on which the winner is scored
    """
    rng, base = np.random.default_rng(seed), Edited(tuple(phrases(prompt)))
    possible(base, operators, paraphrase)  # raises for an unknown one, before anything is spent
    with evaluate.search():
        score, failures = evaluate([prompt])[0], 0
        for _ in range(rounds):
            edited = [base] * candidates
            for _ in range(edits):
                edited = [random_edit(one, rng, operators, paraphrase) for one in edited]
            scores = evaluate([one.text for one in edited])
            best = scores.argmax()
            failures += 1
            if scores[best] > score:
                base, score, failures = edited[best], scores[best], 0
            if failures == patience:
                break
    return evaluate.found(held)
