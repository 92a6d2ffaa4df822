"""How good are the answers of a task? Accuracy, correlations, and F1 of entities   (book section
1.4).

The book names the tasks, not the measures; these are the ones that the tasks are usually given:
accuracy, Matthews correlation for classes of unequal size (CoLA), Pearson's and Spearman's for
scores (STS-B), F1 of whole entities for tags (CoNLL-2003). What compares texts word by word is in
data/measure/answers.py. Read next: tasks/classify.py.
"""

import numpy as np

from tinylm.data.measure.answers import (
    answer_words,
    best_over_references,
    exact_match,
    harmonic_mean,
    token_f1,
)
from tinylm.errors import ShapeError


def _same_length(answers, gold, operation):
    answers, gold = list(answers), list(gold)
    if len(answers) != len(gold) or not gold:
        raise ShapeError(
            f"{operation}: {len(answers)} answers for {len(gold)} examples: give one each, at least one"
        )
    return answers, gold


def accuracy(answers, gold):
    """The share of answers that are right. ShapeError if there is not one for each."""
    answers, gold = _same_length(answers, gold, "accuracy")
    return sum(a == b for a, b in zip(answers, gold)) / len(gold)


def confusion(answers, gold):
    """How often each class was taken for which: (K, K) integers, rows the truth, columns the
    answers, classes sorted.
    """
    answers, gold = _same_length(answers, gold, "confusion")
    place = {label: i for i, label in enumerate(sorted({*answers, *gold}))}
    table = np.zeros((len(place), len(place)), np.int64)
    for a, b in zip(answers, gold):
        table[place[b], place[a]] += 1
    return table


def matthews(answers, gold):
    """The correlation of answers and truth as classes   (Matthews 1975; for more than two classes
    Gorodkin 2004).

    returns  1 if all is right, -1 if of two classes each is taken for the other; 0 for guessing,
             and where the answers or the truth know one class only
    """
    table = confusion(answers, gold).astype(np.float64)
    n, right, said, true = table.sum(), np.trace(table), table.sum(axis=0), table.sum(axis=1)
    spread = (n * n - said @ said) * (n * n - true @ true)
    if spread:
        return float((right * n - said @ true) / np.sqrt(spread))
    return 0.0


def f1(answers, gold, positive=1):
    """F1 of one class: the harmonic mean of precision and recall. 1 if neither answers nor truth
    have it.
    """
    answers, gold = _same_length(answers, gold, "f1")
    both = sum(a == b == positive for a, b in zip(answers, gold))
    return harmonic_mean(both, answers.count(positive), gold.count(positive))


def pearson(x, y):
    """The linear correlation of two sequences of numbers; 0 if one does not vary. ShapeError unless
    of one length.
    """
    x, y = (np.array(v, np.float64) for v in _same_length(x, y, "pearson"))
    if not (
        np.ptp(x) and np.ptp(y)
    ):  # the mean of equal numbers need not be that number, to the bit
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1, 1))


def ranks(x):
    """The places of numbers in their order, from 0; equal numbers share the mean of their places:
    (n,) -> (n,).
    """
    x = np.asarray(x, np.float64)
    _, group, count = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count + 1) / 2)[group]


def spearman(x, y):
    """The correlation of ranks: 1 if the order is the same, whatever the distances."""
    x, y = _same_length(x, y, "spearman")
    return pearson(ranks(x), ranks(y))


def entity_f1(found, gold):
    """F1 over entities: one counts as found if its type, its first and its last word are right
    (Tjong Kim Sang 2002).

    found, gold  one list of (type, start, stop) per sentence, as tagging.bio_decode gives
    returns      {"precision", "recall", "f1"}; each 1.0 where there is nothing to find and nothing
                 was found
    """
    found, gold = _same_length(found, gold, "entity_f1")
    right = sum(len(set(a) & set(b)) for a, b in zip(found, gold))
    said, true = (sum(len(set(s)) for s in spans) for spans in (found, gold))
    either = float(not said and not true)
    return {
        "precision": right / said if said else either,
        "recall": right / true if true else either,
        "f1": harmonic_mean(right, said, true),
    }


def answer_scores(answers, references):
    """Exact match and token F1 of texts against the reference that fits best   (Rajpurkar et al.
    2016).

    answers     list of str
    references  list of str, or of lists of them where several are right
    returns     {"exact", "f1"}, means between 0 and 1
    """
    answers, references = _same_length(answers, references, "answer_scores")
    words = [
        (answer_words(a), [answer_words(r) for r in ([refs] if isinstance(refs, str) else refs)])
        for a, refs in zip(answers, references)
    ]
    return {
        name: sum(best_over_references(metric, a, refs) for a, refs in words) / len(words)
        for name, metric in (("exact", exact_match), ("f1", token_f1))
    }
