"""What a prompting method returns: the answer that was read from a reply, and the reply.

A method is a function method(lm, item, demonstrations=(), ..) -> Answer of a model with the text
protocol (protocol/text_lm.py) and a question (data/read/items.py). Reading the answer may fail,
and a failure is no guess: the value is then None. Read next: protocol/text_lm.py.
"""

from dataclasses import dataclass, field

from tinylm.errors import ConfigError


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


def check_counts(method, least=1, **counts):
    """Raise ConfigError for an option of a method that counts something and is below `least`.

    method  its name;  counts  name of the option: its value
    """
    for name, count in counts.items():
        if count < least:
            raise ConfigError(f"{method}: {name}={count} must be {least} or more")
