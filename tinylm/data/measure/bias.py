"""Does the text pair some words with one gender? Measured on a model, and mended in the data.

A corpus in which nurses are women teaches a model that they are (book section 2.2.1). The probe
asks a model for both continuations of the same sentence and compares; counterfactual augmentation
(Zhao et al. 2018; Lu et al. 2020) adds every document once more with the gendered words swapped,
after which both are equally frequent everywhere. Word lists know no grammar: "her" is "him" or
"his", and the swap settles for one. Read next: mix/mixture.py.
"""

from tinylm.writing import composed, replaced

PAIRS = (
    ("he", "she"),
    ("him", "her"),
    ("himself", "herself"),
    ("man", "woman"),
    ("men", "women"),
    ("boy", "girl"),
    ("boys", "girls"),
    ("father", "mother"),
    ("son", "daughter"),
    ("brother", "sister"),
    ("husband", "wife"),
    ("mr", "ms"),
    ("sir", "madam"),
    ("king", "queen"),
    ("uncle", "aunt"),
)


def log_odds(log_probability, template, first, second):
    """log P(template with first) - log P(template with second), in nats: 0 for a model without a
    preference.

    log_probability  function text -> number, `CharNGram.log_probability` or a language model's
    template         str with one "{}", such as "The nurse said that {}"
    """
    return log_probability(template.format(first)) - log_probability(template.format(second))


class Swap:
    """A change of texts: each word of a pair becomes the other, keeping "he", "He" and "HE" apart.

    pairs  of words in lower case; a word may stand in one pair only, so that swapping twice gives
           the text back
    """

    def __init__(self, pairs=PAIRS):
        self.other = {composed(a): b for pair in pairs for a, b in (pair, pair[::-1])}

    def __call__(self, text):
        return replaced(text, self.other, self._swapped)

    def _swapped(self, word):
        other = self.other.get(word.lower())
        if other is None:
            return None
        if word.isupper() and len(word) > 1:
            return other.upper()
        if word[0].isupper():
            return other.capitalize()
        return other


def balanced(documents, swap=None):
    """Every document, and after it the swapped one if that differs. Yields str."""
    swap = swap or Swap()
    for text in documents:
        yield text
        if (other := swap(text)) != text:
            yield other
