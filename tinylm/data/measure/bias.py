"""Gender bias: measured on a model, and reduced in its data.

A corpus in which nurses are always women makes a model predict so (book section 2.2.1). The probe
compares the probabilities of both continuations of one sentence. Counterfactual augmentation (Zhao
et al. 2018; Lu et al. 2020) adds every document once more with the gendered words swapped, so that
both genders are equally frequent in every context. Word lists have no grammar: "her" may be "him"
or "his", and the swap always uses one. Read next: mix/mixture.py.
"""

from collections.abc import Callable, Iterator, Sequence

from tinylm.writing import composed, replaced

# fmt: off
PAIRS = (
    ("he", "she"), ("him", "her"), ("himself", "herself"), ("man", "woman"), ("men", "women"),
    ("boy", "girl"), ("boys", "girls"), ("father", "mother"), ("son", "daughter"),
    ("brother", "sister"), ("husband", "wife"), ("mr", "ms"), ("sir", "madam"),
    ("king", "queen"), ("uncle", "aunt"),
)
# fmt: on


def log_odds(log_probability: Callable, template: str, first: str, second: str) -> float:
    """log P(template with first) - log P(template with second) in nats; 0 means no preference.

    log_probability  function text -> number, `CharNGram.log_probability` or a language model's
    template         str with one "{}", such as "The nurse believes that {}"
    """
    return log_probability(template.format(first)) - log_probability(template.format(second))


class Swap:
    """A change of texts: each word of a pair becomes the other, keeping "he", "He" and "HE" apart.

    pairs  of words in lower case. Each word must be in one pair only, so that swapping twice
           restores the text
    """

    def __init__(self, pairs: Sequence[tuple[str, str]] = PAIRS) -> None:
        self.other = {composed(a): b for pair in pairs for a, b in (pair, pair[::-1])}

    def __call__(self, text: str) -> str:
        return replaced(text, self.other, self._swapped)

    def _swapped(self, word):
        other = self.other.get(word.lower())
        if other is None:
            return None
        if word.isupper() and len(word) > 1:  # one capital letter is "He", not "HE"
            return other.upper()
        if word[0].isupper():
            return other.capitalize()
        return other


def balanced(documents: Sequence[str], swap: Swap | None = None) -> Iterator[str]:
    """Counterfactual augmentation: every document, then its swapped copy if that differs.

    yields  str
    """
    swap = swap or Swap()
    for text in documents:
        yield text
        if (other := swap(text)) != text:
            yield other
