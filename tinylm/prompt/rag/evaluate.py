"""What retrieval adds, when a refusal is right, and whether the model follows the text or its
memory   (book section 3.2.5).

Three contexts bound each other: closed book is what the model remembers, oracle what it reads when
the right text is there, and retrieved lies between. A counterfactual text states an altered fact:
an answer from the text then differs from one from memory. Refusals are a decision at a threshold,
so they have precision, recall, and a curve of accuracy over coverage (El-Yaniv & Wiener 2010). Read
next: training_data.py.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.backend import ArrayLike, Random
from tinylm.data.read.items import Item
from tinylm.errors import DataError, ShapeError
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.prompt.answer import Answer
from tinylm.prompt.evaluation.judge import contains_answer, is_right
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.rag.answer import answer_from, retrieval_answer
from tinylm.prompt.rag.citations import share_of
from tinylm.prompt.rag.prompt import NO_ANSWER, RagPrompt, texts_of

if TYPE_CHECKING:
    from tinylm.prompt.protocol.scripted import ScriptedLM


CLOSED_BOOK = RagPrompt("Your task is to answer the following question.", refuse=False)
FOLLOWED = "context", "memory", "refused", "neither"


def right_or_refused(answer: Answer, item: Item) -> bool:
    """True if an Answer is right by the rule of all methods, or if it is a refusal, and rightly."""
    if item.answer is None:
        raise DataError(f"the question {item.question!r:.60} has no gold answer to compare with")
    # A refusal is right where there is no answer, and nowhere else.
    if NO_ANSWER in (answer.value, item.answer):
        return answer.value == item.answer
    return is_right(answer.value, item)


def closed_book(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    form: RagPrompt = CLOSED_BOOK,
    **options: Any,
) -> Answer:
    """The answer from memory: the question without any text. Arguments as answer_from."""
    bare = [replace(one, context="") for one in demonstrations]
    return answer_from(lm, item, [], bare, form=form, **options)


def three_contexts(
    lm: TextLM,
    items: Sequence[Item],
    retriever: InvertedIndex,
    k: int = 3,
    oracle: Callable = texts_of,
    demonstrations: Sequence[Item] = (),
    **options: Any,
) -> dict[str, float]:
    """Accuracy from memory, with the right texts, and with retrieved ones.

    items    list of Item with answers
    oracle   function from an Item to the texts that answer it; its context
    options  of answer_from
    returns  {"closed book", "oracle", "retrieved": accuracy; "recall": share of the items with an
             oracle text of which one was retrieved}
    """
    if not items:
        raise DataError("three_contexts: no item to answer")
    right, found = Counter(), []
    for item in items:
        texts = oracle(item)
        answers = {
            "closed book": closed_book(lm, item, demonstrations, **options),
            "oracle": answer_from(lm, item, texts, demonstrations, **options),
            "retrieved": retrieval_answer(
                lm, item, demonstrations, retriever=retriever, k=k, **options
            ),
        }
        right.update({name: right_or_refused(answer, item) for name, answer in answers.items()})
        # recall@k: one of the right texts is among the k
        if texts:
            numbers = [number for number, _ in answers["retrieved"].details["retrieved"]]
            found.append(any(retriever.documents[i] in texts for i in numbers))
    shares = {name: right[name] / len(items) for name in ("closed book", "oracle", "retrieved")}
    return shares | {"recall": share_of(sum(found), len(found))}


def four_ways(
    base: "ScriptedLM",
    tuned: "ScriptedLM",
    items: Sequence[Item],
    retriever: InvertedIndex,
    k: int = 3,
    **options: Any,
) -> dict[str, float]:
    """Accuracy of a model and of the same model fine-tuned, each from memory and with RAG.

    base, tuned  TextLM
    returns      {"closed book", "RAG", "fine-tuned", "RAG + fine-tuned": accuracy}
    """
    table = {}
    for lm, plain, with_texts in (
        (base, "closed book", "RAG"),
        (tuned, "fine-tuned", "RAG + fine-tuned"),
    ):
        shares = three_contexts(lm, items, retriever, k, **options)
        table[plain], table[with_texts] = shares["closed book"], shares["retrieved"]
    return table


def refusals(answers: Sequence[Answer], items: Sequence[Item]) -> dict[str, float]:
    """How well a method knows what it cannot answer.

    answers  list of Answer
    items    their Items; the gold answer of an unanswerable question is NO_ANSWER
    returns  dict: "precision" of the refusals that are right, "recall" of the unanswerable
             questions that are refused, "coverage" of the questions that are answered, "accuracy"
             of the answerable questions that are answered rightly. nan for a share of nothing
    """
    refused = np.array([answer.value == NO_ANSWER for answer in answers], bool)
    unanswerable = np.array([item.answer == NO_ANSWER for item in items], bool)
    right = np.array(
        [right_or_refused(a, item) for a, item in zip(answers, items, strict=True)], bool
    )
    # precision = both / refused,  recall = both / unanswerable
    both = int((refused & unanswerable).sum())
    return {
        "precision": share_of(both, refused.sum()),
        "recall": share_of(both, unanswerable.sum()),
        "coverage": share_of((~refused).sum(), len(refused)),
        "accuracy": share_of((right & ~unanswerable).sum(), (~unanswerable).sum()),
    }


def coverage_curve(
    scores: Sequence[float], right: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracy over coverage, when questions below a threshold are refused.

    scores   (N,) such as the score of the best text, or the mean log-probability of the answer
    right    (N,) bool: the answer would be right
    returns  (thresholds, coverage, accuracy), each (n,): with the threshold t, the questions with a
             score >= t are answered; from the highest score down
    """
    scores, right = np.asarray(scores, np.float64), np.asarray(right, bool)
    if scores.ndim != 1 or scores.shape != right.shape or not len(scores):
        raise ShapeError(
            f"coverage_curve: scores {scores.shape} and right {right.shape} must be (N,), N > 0"
        )
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    answered = np.arange(1, len(scores) + 1)
    # (1/n) sum of right over the n highest scores
    accuracy = np.cumsum(right[order]) / answered
    # Equal scores are answered together or not at all: the curve has a point after the last.
    last = np.append(scores[1:] != scores[:-1], True)
    return scores[last], answered[last] / len(scores), accuracy[last]


def best_threshold(
    scores: Sequence[float], right: Sequence[bool], accuracy: float
) -> tuple[float, ...] | None:
    """The threshold that answers most questions with at least this accuracy.

    returns  (threshold, coverage, accuracy), or None if no threshold reaches it
    """
    points = [p for p in zip(*coverage_curve(scores, right)) if p[2] >= accuracy]
    if not points:
        return None
    return tuple(map(float, points[-1]))  # coverage grows along the curve


def coverage_threshold(scores: Sequence[float], coverage: float) -> float:
    """The threshold that answers the share of the questions that is nearest to `coverage`.

    scores   (N,)
    returns  float; of two shares that are as near the larger one is taken
    raises   DataError for a coverage outside 0 to 1
    """
    if not 0 <= coverage <= 1:
        raise DataError(f"coverage_threshold: coverage {coverage} must be from 0 to 1")
    thresholds, shares, _ = coverage_curve(scores, np.zeros(len(scores), bool))
    # No question at all can be answered too: above the highest score.
    thresholds = np.append(np.inf, thresholds)
    distances = np.abs(np.append(0.0, shares) - coverage)
    nearest = np.flatnonzero(distances == distances.min())
    return float(thresholds[nearest[-1]])


def above(scores: Sequence[float], right: Sequence[bool], threshold: float) -> tuple[float, float]:
    """(coverage, accuracy of what is answered) with a threshold that is given.

    It may have been chosen on other questions, as it has to be where its accuracy is reported. The
    accuracy is nan if nothing is answered.
    """
    scores, right = np.asarray(scores, np.float64), np.asarray(right, bool)
    answered = scores >= threshold
    return float(answered.mean()), share_of(right[answered].sum(), answered.sum())


def counterfactual(text: str, answer: str, other: str) -> str:
    """A text in which an answer has been replaced by another.

    raises   DataError if the answer is not in the text, or the other one already is
    """
    if answer not in text or other in text.replace(answer, ""):
        raise DataError(
            f"counterfactual: {answer!r} must be in the text and {other!r} must not: {text!r:.80}"
        )
    return text.replace(answer, other)


def followed(answer: Answer, context: str, memory: str) -> str:
    """What an answer follows when the text states `context` and the world is `memory`.

    returns  one of FOLLOWED; "neither" also for an answer that names both, or cannot be read
    """
    if answer.value == NO_ANSWER:
        return "refused"
    from_context = contains_answer(answer.value, context)
    from_memory = contains_answer(answer.value, memory)
    # It names both or none: evidence for neither.
    if from_context == from_memory:
        return "neither"
    if from_context:
        return "context"
    return "memory"


def context_reliance(
    answers: Sequence[Answer], contexts: Sequence[str], memories: Sequence[str]
) -> dict[str, float]:
    """Shares of the answers that follow the text, the memory, neither, or refuse: they sum to 1.

    answers  list of Answer;  contexts, memories  what the text states and what is true, for each
    returns  {one of FOLLOWED: share}
    """
    kinds = Counter(followed(*each) for each in zip(answers, contexts, memories, strict=True))
    return {kind: share_of(kinds[kind], len(answers)) for kind in FOLLOWED}


def order_sensitivity(
    lm: TextLM, item: Item, texts: Sequence[str], shuffles: int = 4, seed: int = 0, **options: Any
) -> float:
    """The share of shuffled orders of the texts whose answer differs from that of the given order.

    An answer should depend on what the texts state and not on where they stand; a model that reads
    the first or the last best (Liu et al. 2024) does not pass.

    shuffles  number of orders; they follow from the seed
    options   of answer_from
    """
    if shuffles < 1:
        raise DataError(f"order_sensitivity: {shuffles} orders; it needs 1 or more")
    rng = Random(seed, "order of texts")
    given = answer_from(lm, item, texts, **options).value
    different = 0
    for _ in range(shuffles):
        # It may be the given order again, which then counts as no difference.
        shuffled = [texts[i] for i in rng.permutation(len(texts))]
        different += answer_from(lm, item, shuffled, **options).value != given
    return different / shuffles
