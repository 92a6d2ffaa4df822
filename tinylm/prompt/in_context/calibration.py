"""Labels that a model prefers whatever the question is, and two ways to take that back   (book
section 3.1.4.1, after eq. 3.1).

Demonstrations move the answer: to the majority label, to the last one, to common words. Contextual
calibration measures the preference p_cf after inputs without content, and divides by it (Zhao et
al. 2021):

    q = W p / sum,      W = diag(p_cf)^-1,      p_cf the mean over "N/A", "" and "[MASK]"

so that an input without content has no preference. Batch calibration takes the mean prediction over
the questions at hand in place of p_cf (Zhou et al. 2024). Read next:
structured.py, implicit_bayes.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.in_context.fitted import fit_options
from tinylm.prompt.protocol.text_lm import TextLM

CONTENT_FREE = "N/A", "", "[MASK]"


@dataclass
class Blank:
    """An input without content in place of an Item, whose question cannot be empty."""

    question: str
    context: str = ""


def calibrated(probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Probabilities divided by a prior, as distributions again   (Zhao et al. 2021)

    probabilities  (..., K), each a distribution over labels
    prior          (K,) positive
    returns        (..., K) float64. The prior itself becomes uniform; a uniform prior changes
                   nothing. (The paper writes a softmax of W p; it has the same maximum)
    raises         DataError for a prior with a zero, or of another length
    """
    probabilities, prior = np.asarray(probabilities, float), np.asarray(prior, float)
    if prior.shape != probabilities.shape[-1:] or not (prior > 0).all():
        raise DataError(
            f"calibrated: the prior {prior} must be {probabilities.shape[-1]} positive numbers"
        )
    divided = probabilities / prior  # W p with W = diag(prior)^-1
    return divided / divided.sum(axis=-1, keepdims=True)


def content_free_prior(
    lm: TextLM,
    options: Any,
    demonstrations: Sequence[Item] = (),
    prompt: FewShotPrompt | None = None,
    inputs: Sequence[str] = CONTENT_FREE,
) -> np.ndarray:
    """p_cf: what a model predicts after demonstrations for inputs without content: (K,) float64.

    options  the K labels
    prompt   FewShotPrompt; None: "Q: .. A: .."
    inputs   texts without content; their distributions are averaged
    """
    blanks = [Blank(text) for text in inputs]
    # (inputs, K) -> (K,). Each input gives a distribution first, so that all count alike.
    return label_probabilities(lm, blanks, options, demonstrations, prompt).mean(axis=0)


def label_probabilities(
    lm: TextLM,
    items: Sequence,
    options: Any,
    demonstrations: Sequence[Item] = (),
    prompt: FewShotPrompt | None = None,
) -> np.ndarray:
    """Pr(label | prompt) among the labels alone, for each item: (n, K) float64."""
    prompt = prompt or FewShotPrompt()
    prompts = [prompt.prompt(item, demonstrations) for item in items]
    # Labels of several tokens: a sum of their log-probabilities, then a softmax over the labels.
    endings = [[prompt.continuation(item, option) for option in options] for item in items]
    return np.array([scores.probabilities() for scores in lm.score_batch(prompts, endings)])


def contextual_calibration(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    inputs: tuple[str, ...] = CONTENT_FREE,
    seed: int = 0,
    max_tokens: int = 0,
) -> Answer:
    """Answer a question with options by calibrated probabilities   (Zhao et al. 2021)

    seed, max_tokens  not used: nothing is drawn or generated
    returns           Answer; details: "probabilities", "calibrated" and "prior", (K,) each; "kept"
                      and "dropped" demonstrations: the prior is that after those that are kept
    raises            DataError for an item without options
    """
    _require_options([item])
    fitted = _fitted(lm, [item, *map(Blank, inputs)], item.options, demonstrations, prompt)
    probabilities = label_probabilities(lm, [item], item.options, fitted.kept, prompt)[0]
    prior = content_free_prior(lm, item.options, fitted.kept, prompt, inputs)
    return _answer(lm, item, probabilities, prior, fitted)


def batch_calibration(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    prompt: FewShotPrompt | None = None,
    seed: int = 0,
    max_tokens: int = 0,
) -> list:
    """Answer questions by probabilities divided by their mean over these questions   (Zhou et al.
    2024)

    items             with the same options. One question alone is its own mean: no label is then
                      more probable than another
    seed, max_tokens  not used: nothing is drawn or generated
    returns           list of Answers, details as of contextual_calibration(). In the place of a
                      question that alone is too long for the model, the DataError that says so; it
                      has no part in the mean
    raises            DataError for no items, or different options
    """
    items = list(items)
    _require_options(items)
    options = items[0].options
    if any(item.options != options for item in items):
        raise DataError("batch_calibration: all items must have the same options, in one order")
    found: list[Answer | DataError | None] = [None] * len(items)
    asked = []
    for number, item in enumerate(items):
        try:
            _fitted(lm, [item], options, (), prompt)
            asked.append(number)
        except DataError as error:
            found[number] = error
    if not asked:
        return found
    asked_items = [items[number] for number in asked]
    fitted = _fitted(lm, asked_items, options, demonstrations, prompt)
    probabilities = label_probabilities(lm, asked_items, options, fitted.kept, prompt)
    # Over many questions every label should be right as often as the others, or nearly; where the
    # labels are far from balanced, this prior takes away what is true.
    prior = probabilities.mean(axis=0)  # (n, K) -> (K,)
    for number, p in zip(asked, probabilities):
        found[number] = _answer(lm, items[number], p, prior, fitted)
    return found


def _fitted(lm, items, options, demonstrations, prompt):
    """Fitted of the item with the longest prompt: all have the same demonstrations."""
    prompt = prompt or FewShotPrompt()
    longest = max(items, key=lambda item: lm.length(prompt.prompt(item)))
    endings = [prompt.continuation(longest, option) for option in options]
    return fit_options(lm, lambda kept: prompt.prompt(longest, kept), demonstrations, endings)


def _answer(lm, item, probabilities, prior, fitted):
    fair = calibrated(probabilities, prior)
    value = lm.parsed("answer", item.options[int(fair.argmax())])
    details = {"probabilities": probabilities, "calibrated": fair, "prior": prior}
    return Answer(value, value, details | fitted.details)


def _require_options(items):
    if not items or not all(item.options for item in items):
        raise DataError("calibration needs items with options: their labels are compared")
