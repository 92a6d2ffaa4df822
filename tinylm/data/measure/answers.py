"""How close is an answer to the reference? Exact match, token F1, ROUGE-L   (book section 2.3.6).

Summaries and answers to questions on long documents are scored against a text that a person wrote.
All three measure words in common, not truth: a correct answer in other words scores 0, and a fluent
wrong one may score high. They take sequences of words, token ids or anything else that can be
compared; `answer_words` splits a text as the SQuAD evaluation does (Rajpurkar et al. 2016).
ROUGE-L: Lin 2004. Read next: train/evaluation.py, loss and perplexity.
"""

import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import regex

from tinylm.data.clean.words import comparable, words_of

_OTHER_MARKS = regex.compile(r"\p{P}+")
ARTICLES = "a", "an", "the"


def answer_words(text: str) -> list[str]:
    """The words of an answer in lower case, without punctuation and without a, an, the   (Rajpurkar
    et al. 2016)

    In scripts without spaces each letter is a word, as in MLQA (Lewis et al. 2020).
    """
    # ASCII punctuation inside words is deleted ("don't" -> "dont"), other marks at their ends too.
    kept = comparable(text).translate(str.maketrans("", "", string.punctuation))
    found = (_OTHER_MARKS.sub("", word) for word in words_of(kept))
    return [word for word in found if word and word not in ARTICLES]


def exact_match(candidate: str | Sequence[Any], reference: str | Sequence[Any]) -> float:
    """1.0 if the two sequences are the same, else 0.0."""
    return float(list(candidate) == list(reference))


def harmonic_mean(common: int, candidate: int, reference: int) -> float:
    """F1 of counts: the harmonic mean of precision and recall.

    common, candidate, reference  numbers of tokens in common, in the candidate, in the reference
    returns                       0 .. 1; 1.0 if both are empty
    """
    # p = common / candidate, r = common / reference:  2 p r / (p + r) = 2 common / (c + r).
    if candidate + reference:
        return 2 * common / (candidate + reference)
    return 1.0


def token_f1(candidate: str | Sequence[Any], reference: str | Sequence[Any]) -> float:
    """F1 of the tokens in common, whatever their order   (Rajpurkar et al. 2016)

    candidate, reference  sequences of hashable tokens
    returns               0 .. 1; of two empty answers 1, of one empty 0
    """
    # & of Counters keeps the smaller count: a token counts as often as it is in both.
    common = sum((Counter(candidate) & Counter(reference)).values())
    return harmonic_mean(common, len(candidate), len(reference))


def longest_common_subsequence(a: str | Sequence[Any], b: str | Sequence[Any]) -> int:
    """Length of the longest common subsequence, in O(len(a) len(b)) time and O(len(b)) memory.

    With c(i, j) for the first i and j tokens: c(i, j) = c(i-1, j-1) + 1 if a_i = b_j, else
    max(c(i-1, j), c(i, j-1)).
    """
    row = [0] * (len(b) + 1)  # c(0, j)
    for x in a:
        before, row = row, [0]  # c(i-1, .), and c(i, 0)
        for j, y in enumerate(b):
            if x == y:
                row.append(before[j] + 1)
            else:
                row.append(max(before[j + 1], row[j]))
    return row[-1]


def rouge_l(candidate: str | Sequence[Any], reference: str | Sequence[Any]) -> float:
    """F1 of the longest common subsequence: words in the same order   (Lin 2004, beta = 1)

    candidate, reference  sequences, each one whole summary (not the variant by sentences)
    returns               0 .. 1; never more than token_f1
    """
    common = longest_common_subsequence(candidate, reference)
    return harmonic_mean(common, len(candidate), len(reference))


def best_over_references(metric: Callable, candidate: Any, references: Sequence) -> float:
    """The largest score over several references."""
    return max(metric(candidate, reference) for reference in references)


def edit_distance(a: str | Sequence[Any], b: str | Sequence[Any]) -> int:
    """The fewest insertions, deletions and replacements that turn a into b   (Levenshtein 1966)

    a, b  sequences of anything that can be compared, such as words or the characters of a str
    """
    # d(i, j) for the first i and j: the last ones are replaced (or equal), deleted or inserted.
    row = list(range(len(b) + 1))  # d(0, j) = j insertions
    for i, x in enumerate(a, 1):
        before, row = row, [i]  # d(i, 0) = i deletions
        for j, y in enumerate(b, 1):
            replaced = before[j - 1] + (x != y)
            row.append(min(replaced, before[j] + 1, row[j - 1] + 1))
    return row[-1]
