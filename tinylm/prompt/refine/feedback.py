"""Where feedback on a draft comes from: a person, an oracle, a score, the model itself   (book
section 3.2.3; Fernandes et al. 2023, Pan et al. 2024).

    f_t = Feedback(x, y_t)

All sources are functions source(lm, item, draft, **options) -> Feedback, with options of
TextLM.complete. Only the text of the feedback goes into the next prompt, so that one source can
take the place of another. Read next: self_refine.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinylm.finetune.instruct.prompt_template import PromptTemplate

# The book's prompt for feedback, with the fields of what it is about.
FEEDBACK = PromptTemplate(
    "You will be given a question and its response. Evaluate the accuracy and depth of this "
    "response, and identify any factual inaccuracies or areas needing further explanation.\n"
    "Question: {*question*}\n"
    "Response: {*response*}\n"
    "Feedback:"
)
ENOUGH = "Nothing needs to be changed."
FEEDBACK_OR_ENOUGH = PromptTemplate(
    FEEDBACK.text.replace("\nQuestion", f' If the response is good, write "{ENOUGH}"\nQuestion', 1)
)
# A model that continues texts would go on with another field.
STOP = "\nQuestion:", "\nResponse:", "\nFeedback:"


@dataclass(frozen=True)
class Feedback:
    """What is said of a draft.

    text    str, for the prompt of the refinement
    score   a number, larger for better drafts, from a source that has one
    enough  True: the source wants no further refinement
    """

    text: str
    score: float | None = None
    enough: bool = False


def without_names(text: str, names: Sequence[str]) -> str:
    """A reply without white space at its ends, and without a field's name at its beginning.

    A chat model often repeats the name with which the prompt ended: "Feedback: It is good."
    """
    text = text.strip()
    for name in names:
        text = text.removeprefix(f"{name}:").lstrip()
    return text


def model_feedback(template: PromptTemplate = FEEDBACK_OR_ENOUGH, enough: str = ENOUGH) -> Callable:
    """Feedback that the model writes itself, or another: a source.

    template  PromptTemplate with the slots question and response
    enough    a reply with this phrase in it, whatever the case of letters, ends the refinement
    """

    def source(lm, item, draft, **options):
        prompt = template.format(question=item.question, response=draft)
        reply = lm.complete(prompt, stop=STOP, **options)
        text = lm.parsed("feedback", without_names(reply.text, ["Feedback"]))
        # Models put the phrase into a sentence of their own, so it may stand anywhere.
        return Feedback(text, enough=enough.casefold() in text.casefold())

    return source


def outside_feedback(judge: Callable) -> Callable:
    """Feedback from outside the model, a person or an oracle: a source.

    judge  function (item, draft) -> text of what should be changed; "" for nothing
    """

    def source(lm, item, draft, **options):
        text = judge(item, draft)
        return Feedback(text, enough=not text)  # nothing to change

    return source


def score_feedback(
    score: Callable, text: str = "The quality of this response is {:.2f}."
) -> Callable:
    """A score in words, such as that of a reward model: a source.

    score  function (question, draft) -> number, larger for better
    text   with one field of str.format for the number
    """

    def source(lm, item, draft, **options):
        # The model reads the number in words; the rule "score" compares the number itself.
        value = float(score(item.question, draft))
        return Feedback(text.format(value), score=value)

    return source
