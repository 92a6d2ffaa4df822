"""How close is an answer to the reference? Exact match, token F1, ROUGE-L   (book section 2.3.6).

Summaries and answers to questions on long documents are scored against a text that a person wrote.
All three measure words in common, not truth: a right answer in other words scores 0, and a fluent
wrong one may score high. They take sequences of anything that can be compared, words or token ids;
`answer_words` makes words of a text as the SQuAD evaluation does (Rajpurkar et al. 2016). ROUGE-L:
Lin 2004. Read next: train/evaluation.py, loss and perplexity.
"""

import string
from collections import Counter

import regex

from tinylm.data.clean.words import comparable, words_of

_OTHER_MARKS = regex.compile(r"\p{P}+")
ARTICLES = "a", "an", "the"


def answer_words(text):
    """The words of an answer in lower case, without ASCII punctuation and without a, an, the
    (Rajpurkar et al. 2016).

    In scripts without spaces each letter is a word and no mark counts, as in MLQA (Lewis et al.
    2020).
    """
    kept = comparable(text).translate(str.maketrans("", "", string.punctuation))
    found = (_OTHER_MARKS.sub("", word) for word in words_of(kept))
    return [word for word in found if word and word not in ARTICLES]


def exact_match(candidate, reference):
    """1.0 if the two sequences are the same, else 0.0."""
    return float(list(candidate) == list(reference))


def harmonic_mean(common, candidate, reference):
    """F1 of counts: the harmonic mean of precision common / candidate and recall common /
    reference.

    returns  2 common / (candidate + reference), the same number; 1.0 if both are empty
    """
    if candidate + reference:
        return 2 * common / (candidate + reference)
    return 1.0


def token_f1(candidate, reference):
    """F1 of the tokens in common, each as often as it is in both, wherever it stands (Rajpurkar et
    al. 2016).

    candidate, reference  sequences of hashable tokens
    returns               0 .. 1; of two empty answers 1, of one empty 0
    """
    common = sum((Counter(candidate) & Counter(reference)).values())
    return harmonic_mean(common, len(candidate), len(reference))


def longest_common_subsequence(a, b):
    """Length of the longest sequence that is left of both when tokens are struck out. O(len(a)
    len(b)) time, O(len(b)) memory.

    With c(i, j) for the first i and j tokens: c(i, j) = c(i-1, j-1) + 1 if a_i = b_j, else
    max(c(i-1, j), c(i, j-1)).
    """
    row = [0] * (len(b) + 1)
    for x in a:
        before, row = row, [0]
        for j, y in enumerate(b):
            row.append(before[j] + 1 if x == y else max(before[j + 1], row[j]))
    return row[-1]


def rouge_l(candidate, reference):
    """F1 of the longest common subsequence: words in common that are also in the same order   (Lin
    2004, with beta = 1).

    candidate, reference  sequences, each one summary as a whole (not the variant that goes sentence
                          by sentence)
    returns               0 .. 1; never more than token_f1
    """
    return harmonic_mean(
        longest_common_subsequence(candidate, reference), len(candidate), len(reference)
    )


def best_over_references(metric, candidate, references):
    """The score against the reference that fits best, where several people wrote one."""
    return max(metric(candidate, reference) for reference in references)
