"""New prompts of the same meaning   (book section 3.3.1).

Three paraphrasers: a lexicon, whose result means the same by construction; a translation into
another language and back (Jiang et al. 2020); and a model that writes new prompts for the same
task. Each is an Expand(C, f) of ape.py. Read next: ape.py, edits.py.
"""

import collections
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.errors import ConfigError
from tinylm.prompt.optimize.proposals import SAMPLING, propose, read_list
from tinylm.prompt.optimize.space import PromptSpace
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import reply_stops

# Words of instructions that can replace each other.
SYNONYMS = (
    ("following", "given"),
    ("choose", "select", "pick"),
    ("decide", "determine"),
    ("correct", "right"),
    ("question", "query"),
    ("text", "passage"),
    ("write", "compose"),
    ("summarize", "condense"),
    ("translate", "render"),
)


class Lexicon:
    """Groups of words or phrases that may replace each other.

    groups  sequences of phrases, in lower case
    raises  ConfigError for a word that occurs twice. So a paraphrase never forms another phrase
            with the words around it, and paraphrases of paraphrases are paraphrases
    """

    def __init__(self, groups: Sequence[tuple[str, ...]] = SYNONYMS) -> None:
        words = collections.Counter(
            word for group in groups for phrase in group for word in phrase.casefold().split()
        )
        twice = [word for word, count in words.items() if count > 1]
        if twice:
            raise ConfigError(f"Lexicon: a word must belong to one phrase, and {twice} do not")
        self._group = {phrase.casefold(): group for group in groups for phrase in group}
        # r"(?!)" matches nothing: for a lexicon without words
        phrases = "|".join(map(re.escape, self._group)) or "(?!)"
        self._pattern = re.compile(rf"\b(?:{phrases})\b", re.IGNORECASE)

    def space(self, text: str) -> PromptSpace:
        """All paraphrases of a text, itself included, as a PromptSpace: a slot is a phrase."""
        slots, end = [], 0  # by turns: what stands between phrases, and a phrase
        for found in self._pattern.finditer(text):
            slots.append([text[end : found.start()]])
            group, end = self._group[found[0].casefold()], found.end()
            options = [_capitalized(phrase, found[0]) for phrase in group]
            # the text's own spelling first
            slots.append([found[0]] + [o for o in options if o.casefold() != found[0].casefold()])
        return PromptSpace(*slots, [text[end:]])

    def paraphrases(self, text: str) -> list[str]:
        """All paraphrases of a text but itself: list of str."""
        return [prompt for prompt in self.space(text) if prompt != text]

    def paraphrase(self, text: str, rng: np.random.Generator) -> str:
        """A paraphrase, drawn uniformly; the text itself if it has none."""
        others = self.paraphrases(text)
        if not others:
            return text
        return others[rng.integers(len(others))]

    def canonical(self, text: str) -> str:
        """The text with the first phrase of each group: the same for all paraphrases of a text."""

        def first(found):
            return self._group[found[0].casefold()][0]

        return self._pattern.sub(first, text.casefold())


def _capitalized(phrase, like):
    """The phrase, with a capital letter if another begins with one."""
    if like[0].isupper():
        return phrase[0].upper() + phrase[1:]
    return phrase


def round_trip(text: str, there: Callable, back: Callable, count: int | None = None) -> list[str]:
    """Paraphrases by translation into another language and back   (Jiang et al. 2020)

        score(t) = max over translations z of  log Pr(z | text) + log Pr(t | z)

    there, back  function(text) -> list of (translation, its log-probability)
    count        how many; None: all
    returns      list of str, the most probable first, without the text itself
    """
    scores = {}
    for middle, first in there(text):  # Pr(z | text), then Pr(t | z) of every z
        for new, second in back(middle):
            scores[new] = max(scores.get(new, float("-inf")), first + second)
    scores.pop(text, None)
    return sorted(scores, key=scores.get, reverse=True)[:count]


def lm_translator(
    lm: TextLM,
    source: str,
    target: str,
    count: int = 4,
    seed: int = 0,
    max_tokens: int = 128,
    **sampling: Any,
) -> Callable:
    """A translation for round_trip(): a function(text) -> `count` samples of a model.

    source, target  names of languages
    """
    stop = reply_stops(lm, ("\n\n",))  # a chat translates every paragraph
    options = {"max_tokens": max_tokens, "stop": stop, **SAMPLING, **sampling}

    def translate(text):
        request = f"Translate the following text from {source} to {target}.\n{text}\n"
        replies = lm.sample(request, count, seed, begin=f"{target}:", **options)
        return [(lm.parsed("translation", reply.text.strip()), reply.logprob) for reply in replies]

    return translate


PARAPHRASE = (
    "Below is a prompt for an LLM. Please provide some new prompts to perform the same task.\n"
    "Input: {}\n"
)


def lm_paraphrases(
    lm: TextLM, prompt: str, count: int = 4, seed: int = 0, max_tokens: int = 256, **options: Any
) -> list[str]:
    """New prompts for the same task, written by a model: list of at most `count` str.

    options  of propose()
    """

    def read(reply):
        return [new for new in read_list(reply) if new != prompt]

    options = {"begin": "1.", "per_reply": count, "read": read, **options}
    request = PARAPHRASE.format(prompt)
    return propose(lm, request, count, seed=seed, max_tokens=max_tokens, **options)
