"""What a prompting method returns: the answer that was read from a reply, and the reply.

A method is a function method(lm, item, demonstrations=(), ..) -> Answer of a model with the text
protocol (protocol/text_lm.py) and a question (data/read/items.py). Reading the answer may fail,
and a failure is no guess: the value is then None. Read next: protocol/text_lm.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinylm.errors import ConfigError, DataError


@dataclass(frozen=True)
class Answer:
    """The answer of a method to one question.

    value    str as it is compared with the gold answer, or None: the reply had none that could be
             read
    text     the reply that the value was read from; where several replies are combined, one that
             gives the value, or the last if none does
    details  more that a method found: {"votes": Counter, "steps": list, ..}
    """

    value: str | None
    text: str = ""
    details: dict = field(default_factory=dict)


def check_counts(method: str, least: int = 1, **counts: int) -> None:
    """Raise ConfigError for an option of a method that counts something and is below `least`.

    method  its name;  counts  name of the option: its value
    """
    for name, count in counts.items():
        if count < least:
            raise ConfigError(f"{method}: {name}={count} must be {least} or more")


def answer_or_error(method: Callable, *arguments: Any, **options: Any) -> DataError | Answer:
    """The Answer of a method, or the DataError that it raises.

    For methods that answer many questions in one call: one that is too long does not end the
    others.
    """
    try:
        return method(*arguments, **options)
    except DataError as error:
        return error


def with_report(answers: Sequence, report: dict[str, Any]) -> Any:
    """The same answers; the first that is no DataError has the report of the call in its details.

    answers  list of Answer or DataError;  report  {name: text or number}
    """
    for answer in answers:
        if not isinstance(answer, DataError):
            answer.details["report"] = report
            break
    return answers
