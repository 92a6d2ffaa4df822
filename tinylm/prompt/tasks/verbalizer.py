"""Labels by the words that stand for them   (book sections 1.1.2.2 and 3.1.4.1).

    {*text*} I'm ____        happy, glad, satisfied -> positive      sad, annoyed -> negative

The label is never written: the probability of a label is that of all its words after the prompt,

    Pr(label | x) = sum over w in words(label) of Pr(w | x),

and the words of another label count for that. Schick & Schuetze 2021 call the pair of template and
verbalizer a pattern. Read next: masked_cloze.py, the same with an encoder.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.answer import Answer
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.library import LIBRARY

if TYPE_CHECKING:
    from tinylm.prompt.protocol.completion import Scores


# The book's three words for "positive", and as many for the other label.
FEELINGS = {
    "positive": ("happy", "glad", "satisfied"),
    "negative": ("sad", "angry", "disappointed"),
}


def label_masses(
    scores: "Scores", verbalizer: dict[str, tuple[str, ...]], normalization: str = "sum"
) -> dict[str, float]:
    """The probability mass of each label's words.

    scores       Scores of all words, in the order of `words_of(verbalizer)`
    verbalizer   {label: words}
    returns      {label: log of the sum of its words' probabilities}; of scores that are normalized
                 in another way, the log of the sum of their exponentials
    """
    # log sum_w exp(score of w), label after label
    terms, masses, start = scores.by(normalization), {}, 0
    for label, words in verbalizer.items():
        masses[label] = float(np.logaddexp.reduce(terms[start : start + len(words)]))
        start += len(words)
    return masses


def words_of(verbalizer: dict[str, tuple[str, ...]]) -> list[str]:
    """All words, label after label. ConfigError for a label without words, or a word twice."""
    words = [word for group in verbalizer.values() for word in group]
    if not words or not all(verbalizer.values()) or len(set(words)) < len(words):
        raise ConfigError(
            f"verbalizer: each label needs words of its own, got {dict(verbalizer)!r:.100}"
        )
    return words


def classify_by_verbalizer(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    template: PromptTemplate = LIBRARY["polarity.feeling"],
    verbalizer: dict[str, tuple[str, ...]] = FEELINGS,
    normalization: str = "sum",
    seed: int = 0,
    max_tokens: int = 0,
) -> Answer:
    """Classify a text by the words that may complete it.

    lm             TextLM
    template       PromptTemplate with the slot "text"
    verbalizer     {label: words}
    normalization  of a word's score, as in Scores.by
    demonstrations, seed, max_tokens  are not used: one prompt is scored
    returns        Answer; details: "scores" of the words and "masses" of the labels (natural
                   logarithms)
    """
    words = words_of(verbalizer)
    # All words in one call: the prompt is read once.
    scores = lm.score(template.format(text=item.question), [f" {word}" for word in words])
    masses = label_masses(scores, verbalizer, normalization)
    value = lm.parsed("label", max(masses, key=masses.get))
    return Answer(value, words[scores.best(normalization)], {"scores": scores, "masses": masses})
