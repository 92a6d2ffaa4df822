"""A corrector that is trained on what the generator does wrong   (book section 3.2.3; Welleck et
al. 2023, self-correction).

    pool of x     samples y of the generator, each with its value v(y): right or wrong, a reward
    pairs         (y, y') with v(y') > v(y)
    weight        p(y' | x, y) ~ exp(alpha (v(y') - v(y)) + beta s(y, y'))      s their similarity
    corrector     trained on log Pr(y' | x, y); what it writes goes into the pool, and again

A corrector may be smaller than the generator, and is trained on drafts like those that it will
read. At equal samples its rival is the better of two drafts. Read first:
prompt/refine/self_refine.py, refinement without training.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.models.published.chat.builtin import ChatTemplate
from tinylm.prompt.answer import Answer
from tinylm.prompt.ensemble.combine import edit_similarity
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.refine.feedback import Feedback
from tinylm.prompt.refine.self_refine import refinement, respond

CORRECT = PromptTemplate("Question: {*question*}\nDraft: {*draft*}\nCorrected: _____")


@dataclass(frozen=True)
class Hypothesis:
    """An output of a question with its value; larger is better."""

    text: str
    value: float


@dataclass(frozen=True)
class Correction:
    """A worse and a better output of one question."""

    item: object
    worse: Hypothesis
    better: Hypothesis

    @property
    def gain(self) -> float:
        """v(y') - v(y), above 0."""
        return self.better.value - self.worse.value


class CorrectionPool:
    """Outputs of questions and their values: each text once.

    value   function (item, text) -> number, larger for better
    least   a pair must gain more than this
    """

    def __init__(self, value: Callable, least: float = 0.0) -> None:
        self.value, self.least = value, least
        self._items, self._texts = {}, defaultdict(dict)  # question -> {text: Hypothesis}

    def add(self, item: Item, texts: Sequence[str]) -> int:
        """Put outputs of a question into the pool; returns how many of them are new."""
        held, before = self._texts[item.question], len(self._texts[item.question])
        self._items[item.question] = item
        for text in texts:
            if text not in held:
                held[text] = Hypothesis(text, float(self.value(item, text)))
        return len(held) - before

    def hypotheses(self, item: Item) -> list[Hypothesis]:
        """The outputs of a question, in the order in which they came: list of Hypothesis."""
        return list(self._texts[item.question].values())

    def pairs(self) -> list[Correction]:
        """All value-improving pairs: list of Correction, question by question."""
        found = []
        for question, item in self._items.items():
            held = list(self._texts[question].values())
            for worse in held:
                for better in held:
                    if better.value - worse.value > self.least:
                        found.append(Correction(item, worse, better))
        return found


def pair_weights(
    pairs: Sequence[Correction],
    alpha: float = 1.0,
    beta: float = 1.0,
    similarity: Callable = edit_similarity,
) -> np.ndarray:
    """Pr(y' | x, y) among the better outputs of each worse one   (Welleck et al. 2023)

    pairs       list of Correction
    alpha       preference for a large gain;  beta  for a small change
    similarity  function of two texts
    returns     (n,) float64; the weights of the pairs with the same question and draft sum to 1
    """
    scores = np.array(
        [alpha * p.gain + beta * similarity(p.worse.text, p.better.text) for p in pairs]
    )
    camps = defaultdict(list)
    for i, pair in enumerate(pairs):
        camps[pair.item.question, pair.worse.text].append(i)
    weights = np.empty(len(pairs))
    for rows in camps.values():
        exps = np.exp(scores[rows] - scores[rows].max())
        weights[rows] = exps / exps.sum()
    return weights


def draw_pairs(
    pairs: Sequence[Correction], count: int, rng: np.random.Generator, **options: Any
) -> list[Correction]:
    """Pairs to train on: a draft uniformly, then its better output by its weight.

    count    how many, drawn with replacement
    rng      numpy Generator
    options  of pair_weights
    returns  list of Correction
    raises   ConfigError without a pair: every sample was as good as the others
    """
    if not pairs:
        raise ConfigError(
            "draw_pairs: no output of a question is better than another: draw more samples, or "
            "at a higher temperature"
        )
    weights = pair_weights(pairs, **options)
    # The weights of a draft sum to 1, so drawing pairs by them draws drafts uniformly.
    chosen = rng.choice(len(pairs), size=count, p=weights / weights.sum())
    return [pairs[i] for i in chosen]


def correction_texts(pair: Correction, template: PromptTemplate = CORRECT) -> tuple[str, ...]:
    """(prompt, answer) of a Correction: what the corrector reads, and what it must write."""
    return template.pair(pair.better.text, question=pair.item.question, draft=pair.worse.text)


def corrected(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
    corrector: Any = None,
    predict: Callable = respond,
    rounds: int = 1,
    read: Callable = str.strip,
    template: ChatTemplate = CORRECT,
    **sampling: Any,
) -> Any:
    """A draft of the generator, corrected by the corrector: a method of tinylm.prompt.

    lm         TextLM, the generator
    corrector  TextLM; None: lm itself
    predict    a method whose answer's text is the draft
    rounds     corrections; a draft that comes back unchanged ends them. 0: the draft
    read       function: text of the last draft -> value, or None
    template   PromptTemplate with the slots question and draft, as in training
    returns    Answer; details: drafts, and stopped as in Refinement
    """
    corrector = corrector or lm
    options = {"max_tokens": max_tokens, **sampling}
    first = predict(lm, item, demonstrations, seed=seed, **options)
    if first.value is None:
        return Answer(None, first.text, {"drafts": [], "stopped": "empty"})

    def no_feedback(draft, t):
        return Feedback("")  # the corrector has learnt what to look for

    def refine(draft, found, t):
        prompt = template.format(question=item.question, draft=draft)
        reply = corrector.complete(prompt, stop="\n", seed=seed + t + 1, **options)
        return corrector.parsed("draft", reply.text.strip())

    course = refinement(first.text.strip(), no_feedback, refine, rounds, ("unchanged",))
    value, text = first.value, course.result
    if text is None:
        value, text = None, ""
    elif text != first.text.strip():
        value = read(text) or None
    drafts = [step.draft for step in course.steps]
    return Answer(value, text, {"drafts": drafts, "stopped": course.stopped})
