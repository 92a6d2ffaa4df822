"""Scores of a task's answers: accuracy, correlations, and F1 of entities   (book section 1.4).

The book names the tasks, not the measures; these are the usual ones of the benchmarks:
accuracy, Matthews correlation for classes of unequal size (CoLA), Pearson's and Spearman's for
scores (STS-B), F1 of whole entities for tags (CoNLL-2003). Scores that compare texts word by word
are in data/measure/answers.py. Read next: tasks/classify.py.
"""

from collections.abc import Sequence

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.data.measure.answers import (
    answer_words,
    best_over_references,
    exact_match,
    harmonic_mean,
    token_f1,
)
from tinylm.errors import DataError, ShapeError


def _same_length(answers, gold, operation):
    answers, gold = list(answers), list(gold)
    if len(answers) != len(gold) or not gold:
        raise ShapeError(
            f"{operation}: {len(answers)} answers for {len(gold)} examples: "
            "give one each, at least one"
        )
    return answers, gold


def accuracy(answers: Sequence, gold: Sequence) -> float:
    """The share of answers that are right. ShapeError if there is not one for each."""
    answers, gold = _same_length(answers, gold, "accuracy")
    return sum(a == b for a, b in zip(answers, gold)) / len(gold)


def confusion(answers: Sequence, gold: Sequence) -> np.ndarray:
    """The confusion matrix (K, K) of counts: rows the true class, columns the answer.

    The K classes are all that occur in answers or gold, sorted.
    """
    answers, gold = _same_length(answers, gold, "confusion")
    number = {label: i for i, label in enumerate(sorted({*answers, *gold}))}
    table = np.zeros((len(number), len(number)), np.int64)
    for a, b in zip(answers, gold):
        table[number[b], number[a]] += 1
    return table


def matthews(answers: Sequence, gold: Sequence) -> float:
    """Correlation of the predicted and the true class   (Matthews 1975; for K > 2 Gorodkin 2004).

        mcc = (n c - sum_k p_k t_k) / sqrt((n^2 - sum_k p_k^2) (n^2 - sum_k t_k^2))

    with n examples, c right ones, p_k predicted as k and t_k of class k.

    returns  1 if all are right, -1 if two classes are exchanged; 0 for guessing, and where the
             answers or the truth are all of one class
    """
    table = confusion(answers, gold).astype(np.float64)
    n, right = table.sum(), np.trace(table)
    predicted, true = table.sum(axis=0), table.sum(axis=1)  # (K,) each
    spread = (n * n - predicted @ predicted) * (n * n - true @ true)
    if spread == 0:
        return 0.0
    return float((right * n - predicted @ true) / np.sqrt(spread))


def f1(answers: Sequence, gold: Sequence, positive: int = 1) -> float:
    """F1 of one class, the harmonic mean of precision and recall; 1 if it never occurs."""
    answers, gold = _same_length(answers, gold, "f1")
    # true positives; 2 both / (answered positive + truly positive)
    both = sum(a == b == positive for a, b in zip(answers, gold))
    return harmonic_mean(both, answers.count(positive), gold.count(positive))


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Linear correlation cov(x, y) / (std(x) std(y)) of two sequences; 0 if one is constant.

    raises  ShapeError if they differ in length
    """
    x, y = _same_length(x, y, "pearson")
    x, y = np.array(x, np.float64), np.array(y, np.float64)
    # Range and not variance: the mean of equal numbers may differ from them in the last bit.
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    correlation = x @ y / (np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.clip(correlation, -1, 1))


def ranks(x: Sequence[float]) -> np.ndarray:
    """Ranks from 0; equal numbers share the mean of theirs: (n,) -> (n,)."""
    x = np.asarray(x, np.float64)
    _, group, count = np.unique(x, return_inverse=True, return_counts=True)
    # A group of c equal numbers has ranks end - c .. end - 1, whose mean is end - (c + 1) / 2.
    end = np.cumsum(count)
    return (end - (count + 1) / 2)[group]


def auc(scores: Sequence[float], positive: Sequence[int]) -> float:
    """Probability that a positive example scores above a negative one, equal scores count half.

    The area under the curve of true against false positives (Hanley and McNeil 1982).

    scores   (n,);  positive  (n,) bool, with one of each kind at least
    raises   DataError for examples of one kind alone
    """
    scores, positive = _same_length(scores, positive, "auc")
    positive = np.array(positive, bool)
    P, N = int(positive.sum()), int((~positive).sum())
    if not P or not N:
        raise DataError(f"auc: {P} positive and {N} negative examples; one of each is needed")
    # A positive's rank counts all below it; those of positives among themselves are P (P-1) / 2.
    below = ranks(scores)[positive].sum() - P * (P - 1) / 2
    return float(below / (P * N))


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson correlation of the ranks: 1 if the order is the same, whatever the distances."""
    x, y = _same_length(x, y, "spearman")
    return pearson(ranks(x), ranks(y))


def entity_f1(found: Sequence[list[tuple]], gold: Sequence) -> dict[str, float]:
    """F1 over entities: one counts as found if its type, its first and its last word are right
    (Tjong Kim Sang 2002).

    found, gold  one list of (type, start, stop) per sentence, as bio.bio_decode gives
    returns      {"precision", "recall", "f1"}; each 1.0 where there is nothing to find and nothing
                 was found
    """
    found, gold = _same_length(found, gold, "entity_f1")
    # micro-averaged: entities of all sentences are counted together
    right = sum(len(set(a) & set(b)) for a, b in zip(found, gold))
    predicted = sum(len(set(spans)) for spans in found)
    true = sum(len(set(spans)) for spans in gold)
    precision = recall = float(predicted == true == 0)  # where the denominator is 0
    if predicted:
        precision = right / predicted
    if true:
        recall = right / true
    f1 = harmonic_mean(right, predicted, true)
    return {"precision": precision, "recall": recall, "f1": f1}


def answer_scores(answers: Sequence, references: Sequence[str]) -> dict[str, float]:
    """Exact match and token F1 of texts against the reference that fits best   (Rajpurkar et al.
    2016).

    answers     list of str
    references  list of str, or of lists of them where several are right
    returns     {"exact", "f1"}, means between 0 and 1
    """
    answers, references = _same_length(answers, references, "answer_scores")
    totals = {"exact": 0.0, "f1": 0.0}
    for answer, right in zip(answers, references):
        if isinstance(right, str):
            right = [right]
        words, right_words = answer_words(answer), [answer_words(text) for text in right]
        totals["exact"] += best_over_references(exact_match, words, right_words)
        totals["f1"] += best_over_references(token_f1, words, right_words)
    return {name: total / len(answers) for name, total in totals.items()}
