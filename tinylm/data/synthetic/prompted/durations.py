"""How long did it take? Two dates in a text, and their difference   (book section 3.2.2, the query
of least-to-most prompting).

The question needs two sub-questions, when it began and when it ended; the text has another number,
which is not needed. Read next: multi_hop.py.
"""

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, generator, pick
from tinylm.data.synthetic.templates import first_slots, needed_slots
from tinylm.errors import DataError

EVENTS = ("environmental study", "building project", "trade agreement", "research program",
          "language survey", "space mission", "museum exhibition", "peace treaty")  # fmt: skip
FORMS = (
    "The {event} lasted from {start:d} to {end:d} and cost {number:d} million dollars.",
    "In {start:d}, with a staff of {number:d}, the {event} began; it ended in {end:d}.",
    "By {end:d}, when the {event} ended, {number:d} people had taken part since {start:d}.",
)
_QUESTION = "How long was the duration of the {event}?"
_SUB_QUESTIONS = ("When did the {event} start?", "When did the {event} end?")


def duration_items(count: int, seed: int = 0, longest: int = 30) -> list[Item]:
    """Texts with a first and a last year, 1 to `longest` years later: list of Item."""
    at_least("longest", longest, 1)
    rng, items = generator(seed, "durations"), []
    for _ in range(count):
        event, start = pick(EVENTS, rng), int(rng.integers(1900, 2000))
        end = start + int(rng.integers(1, longest + 1))
        number = int(rng.integers(2, 100))
        text = pick(FORMS, rng).format(event=event, start=start, end=end, number=number)
        question = _QUESTION.format(event=event)
        solved = sub_problems(question, text)
        rationale = " ".join(answer for _, answer in solved)
        rationale += f" {end}-{start}=<<{end}-{start}={end - start}>>{end - start}."
        items.append(
            Item(
                question,
                years(start, end),
                context=text,
                rationale=rationale,
                task="durations",
            )
        )
    return items


def years(start: int, end: int) -> str:
    """The time from one year to another: "5 years". DataError if it does not go forward."""
    if end <= start:
        raise DataError(f"from {start} to {end} is no duration: the end must come later")
    if end - start == 1:
        return "1 year"
    return f"{end - start} years"


def _found(question, context):
    event = needed_slots(_QUESTION, question)["event"]
    _, found = first_slots(FORMS, context)
    if found["event"] != event:
        raise DataError(f"the text is about the {found['event']}, not about the {event}")
    return found


def sub_problems(question: str, context: str) -> list[tuple[str, str]]:
    """The two sub-questions with their answers as sentences: list of (question, answer)."""
    found = _found(question, context)
    event, start, end = found["event"], found["start"], found["end"]
    answers = f"The {event} started in {start}.", f"The {event} ended in {end}."
    return [(ask.format(event=event), answer) for ask, answer in zip(_SUB_QUESTIONS, answers)]


def solve_duration(item: Item) -> str:
    """The answer, from the question and its context. DataError for a text of another form."""
    found = _found(item.question, item.context)
    return years(found["start"], found["end"])
