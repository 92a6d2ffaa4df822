"""Self-refinement: predict, get feedback, refine; the last two again and again   (book section
3.2.3; Madaan et al. 2024).

    y_0 = Predict(x)      f_t = Feedback(x, y_t)      y_{t+1} = Refine(x, y_t, f_t)

No weight changes, and one model may take all three parts. Refinement may also break what was right
(markov.py), so when it stops matters as much as how it goes on. Read next: aspects.py, refinement
without feedback.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.in_context.few_shot import answer_of
from tinylm.prompt.in_context.fitted import fit_context
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.refine.feedback import STOP, Feedback, model_feedback, without_names

PREDICT = PromptTemplate('Generate a response to the question: "{*question*}"')
REFINE = PromptTemplate(
    "Question: {*question*}\n"
    "Response: {*response*}\n"
    "Feedback: {*feedback*}\n"
    "Now refine the response based on the feedback provided.\n"
    "Refined response:"
)
STOPS = {
    "feedback": "the feedback wants no further refinement",
    "unchanged": "a refinement returned the draft that it was given, a fixed point",
    "score": "the feedback's score fell: the draft before is the result",
}


@dataclass(frozen=True)
class Step:
    """A draft, and the feedback on it; None if there was none any more."""

    draft: str
    feedback: Feedback | None = None


@dataclass(frozen=True)
class Refinement:
    """The course of a refinement.

    result   the draft that it ended with; None if a refinement was empty
    steps    list of Step, in order
    stopped  a key of STOPS; "count" (max_iter refinements), or "empty" (an empty refinement)
    """

    result: str | None
    steps: list
    stopped: str


def refinement(
    draft: str,
    feedback: Callable,
    refine: Callable,
    max_iter: int = 3,
    stops: tuple[str, ...] = ("feedback", "unchanged"),
) -> Refinement:
    """Feedback and refinement by turns.

    draft     y_0, str
    feedback  function of the draft y_t and of t -> Feedback
    refine    function of y_t, its Feedback and t -> y_{t+1}
    max_iter  refinements at most; 0: the first draft is the result, and nothing is called
    stops     keys of STOPS, the rules in effect. "score" costs one more feedback than the others:
              the last draft needs its score too
    returns   Refinement
    raises    ConfigError for a rule that there is not, max_iter below 0, or the rule "score" with
              feedback that has none
    """
    unknown = [name for name in stops if name not in STOPS]
    if unknown:
        raise ConfigError(f"refinement: no rule {unknown[0]!r}; there are {', '.join(STOPS)}")
    if max_iter < 0:
        raise ConfigError(f"refinement: max_iter must be 0 or more, not {max_iter}")
    steps, before = [], None
    for t in itertools.count():
        last = t == max_iter  # y_t is the last draft: nothing refines it any more
        if max_iter == 0 or (last and "score" not in stops):
            return Refinement(draft, [*steps, Step(draft)], "count")
        # f_t = Feedback(x, y_t)
        found = feedback(draft, t)
        steps.append(Step(draft, found))
        if "score" in stops:
            if found.score is None:
                raise ConfigError('refinement: the rule "score" needs feedback with a score')
            # y_t is worse than y_{t-1}: that one is the best so far, as no score fell before.
            if before is not None and found.score < before.score:
                return Refinement(steps[-2].draft, steps, "score")
        if "feedback" in stops and found.enough:
            return Refinement(draft, steps, "feedback")
        if last:
            return Refinement(draft, steps, "count")
        # y_{t+1} = Refine(x, y_t, f_t)
        refined = refine(draft, found, t)
        if not refined:
            return Refinement(None, [*steps, Step(refined)], "empty")
        # With the most probable tokens a fixed point repeats forever: same draft, same feedback.
        if "unchanged" in stops and refined == draft:
            return Refinement(draft, [*steps, Step(refined)], "unchanged")
        draft, before = refined, found


def respond(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
    **sampling: Any,
) -> Answer:
    """The prediction: a response to a question, in the form of the book's example: Answer.

    demonstrations  Items with answers, shown before in the same form: as many as have room
    """

    def write(kept):
        shown = ["".join(PREDICT.pair(answer_of(demo), question=demo.question)) for demo in kept]
        return "\n\n".join([*shown, PREDICT.format(question=item.question)])

    fitted = fit_context(lm, write, demonstrations, max_tokens)
    another = "\n" + PREDICT.text.partition(":")[0]  # a model that continues texts asks on
    options = {"seed": seed, "max_tokens": max_tokens, **sampling}
    reply = lm.complete(fitted.text, stop=(another, *STOP), **options)
    text = reply.text.strip()
    return Answer(lm.parsed("draft", text or None), text, fitted.details)


def self_refine(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
    predict: Callable = respond,
    feedback: Callable | None = None,
    max_iter: int = 3,
    stops: tuple[str, ...] = ("feedback", "unchanged"),
    read: Callable = str.strip,
    template: PromptTemplate = REFINE,
    **sampling: Any,
) -> Answer:
    """Predict, then refine with feedback   (book section 3.2.3; Madaan et al. 2024)

    lm        TextLM
    item      Item;  demonstrations: for the prediction
    predict   a method whose answer's text is the first draft
    feedback  a source of feedback.py; model_feedback() unless given
    max_iter  0: the answer is that of `predict`
    stops     as in refinement()
    read      function: text of the last draft -> value, or None
    template  PromptTemplate of the refinement, with the slots question, response and feedback
    sampling  options of all calls, such as a temperature
    returns   Answer; details: drafts, feedback (texts) and stopped, as in Refinement, and the
              demonstrations that the prediction dropped
    """
    check_counts("self_refine", least=0, max_iter=max_iter)
    if feedback is None:
        feedback = model_feedback()
    options = {"max_tokens": max_tokens, **sampling}
    first = predict(lm, item, demonstrations, seed=seed, **options)
    if first.value is None:
        return _refined(first, Refinement(None, [], "empty"), read)

    # Each call has a seed of its own: seed for y_0, then two an iteration.
    def evaluate(draft, t):
        return feedback(lm, item, draft, seed=seed + 2 * t + 1, **options)

    def refine(draft, found, t):
        prompt = template.format(question=item.question, response=draft, feedback=found.text)
        reply = lm.complete(prompt, stop=STOP, seed=seed + 2 * t + 2, **options)
        names = ["Refined response", "Response"]
        return lm.parsed("draft", without_names(reply.text, names))

    course = refinement(first.text.strip(), evaluate, refine, max_iter, stops)
    return _refined(first, course, read)


def _refined(first, course, read):
    """The Answer of a prediction and its Refinement; an empty prediction has one without steps."""
    value, text = None, course.result
    if text is None:  # an empty prediction, or an empty refinement
        text = next((step.draft for step in reversed(course.steps)), first.text)
    elif text == first.text.strip():
        value = first.value  # an unchanged draft keeps its method's own reading
    else:
        value = read(text) or None
    details = {
        "drafts": [step.draft for step in course.steps],
        "feedback": [step.feedback.text for step in course.steps if step.feedback],
        "stopped": course.stopped,
        "dropped": first.details.get("dropped", ()),
    }
    return Answer(value, text, details)
