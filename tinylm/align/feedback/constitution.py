"""Constitutional revision: a model corrects its own answers by written principles   (Bai et al.
2022, section 3).

    y_0 = answer(x);   for each principle:  critique of y_t,  y_{t+1} = revision of y_t

The last revision is an answer for supervised fine-tuning, and y_T against y_0 is a preference that
no person has labeled. It is self-refinement (prompt/refine/self_refine.py) whose feedback follows a
principle. The principles here are examples in our own words. Read first: ai_feedback.py.
"""

from dataclasses import dataclass
from typing import Any

from tinylm.data.read.instructions import Instruction
from tinylm.data.read.preferences import Preference
from tinylm.errors import ConfigError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.refine.feedback import Feedback, without_names
from tinylm.prompt.refine.self_refine import refinement


@dataclass(frozen=True)
class Principle:
    """What an answer should be.

    name      one word
    critique  what is asked of an answer, for the critique
    revision  what the revision is to do
    """

    name: str
    critique: str
    revision: str


CONSTITUTION = (
    Principle(
        "harmless",
        "Point out anything in the response that could help someone to do harm.",
        "Rewrite the response without anything harmful, and say briefly why you leave it out.",
    ),
    Principle(
        "honest",
        "Point out claims in the response that are false, or surer than what is known.",
        "Rewrite the response so that it only states what is known, and says what is not.",
    ),
    Principle(
        "helpful",
        "Point out what in the request the response does not address.",
        "Rewrite the response so that it addresses the whole request, politely and briefly.",
    ),
)
CRITIQUE = PromptTemplate(
    "Request: {*request*}\nResponse: {*response*}\nCritique request: {*critique*}\nCritique:"
)
REVISION = PromptTemplate(
    "Request: {*request*}\nResponse: {*response*}\nCritique request: {*critique*}\n"
    "Critique: {*found*}\nRevision request: {*revision*}\nRevision:"
)
STOP = "\nRequest:", "\nResponse:", "\nCritique", "\nRevision"


@dataclass(frozen=True)
class Revisions:
    """The course of an answer.

    request    x;  drafts: y_0 .. y_T;  critiques: one before each revision
    """

    request: str
    drafts: tuple
    critiques: tuple

    def sample(self) -> Instruction:
        """The last draft as a sample for supervised fine-tuning: Instruction."""
        return Instruction(self.request, self.drafts[-1])

    def preference(self) -> Preference:
        """The last draft preferred to the first: Preference, or None if nothing was changed."""
        if self.drafts[-1] == self.drafts[0]:
            return None
        return Preference(self.request, self.drafts[-1], self.drafts[0])


def revise(
    lm: TextLM,
    request: str,
    draft: str,
    principles: tuple[Principle, ...] = CONSTITUTION,
    *,
    seed: int = 0,
    max_tokens: int = 256,
    **sampling: Any,
) -> Revisions:
    """A draft, criticized and revised once for each principle, in order.

    lm          TextLM
    principles  list of Principle
    sampling    options of TextLM.complete
    returns     Revisions; an empty revision ends it, and the draft before is the last
    raises      ConfigError without a principle
    """
    principles = list(principles)
    if not principles:
        raise ConfigError("revise: a revision needs at least one principle")

    # Each call has a seed of its own: two a principle.
    def criticize(y, t):
        prompt = CRITIQUE.format(request=request, response=y, critique=principles[t].critique)
        reply = lm.complete(prompt, stop=STOP, seed=seed + 2 * t, max_tokens=max_tokens, **sampling)
        return Feedback(lm.parsed("critique", without_names(reply.text, ["Critique"])))

    def rewrite(y, critique, t):
        one = principles[t]
        prompt = REVISION.format(
            request=request,
            response=y,
            critique=one.critique,
            found=critique.text,
            revision=one.revision,
        )
        options = {"seed": seed + 2 * t + 1, "max_tokens": max_tokens, **sampling}
        reply = lm.complete(prompt, stop=STOP, **options)
        return lm.parsed("revision", without_names(reply.text, ["Revision"]))

    # No rule ends it early: a principle that finds nothing leaves the draft, and the next follows.
    course = refinement(draft, criticize, rewrite, max_iter=len(principles), stops=())
    steps = [step for step in course.steps if step.draft]
    return Revisions(
        request,
        tuple(step.draft for step in steps),
        tuple(step.feedback.text for step in steps if step.feedback),
    )
