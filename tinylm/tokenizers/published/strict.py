"""Objects of JSON of which every field must be read: a field left over raises DataError.

A field that is skipped makes a tokenizer that cuts text differently from its file, without any
error. Read next: pipeline.py.
"""

from collections.abc import Callable, Collection
from typing import Any

from tinylm.errors import DataError
from tinylm.fields import of_type, show

_NEEDED = object()  # the default of a field without a default: None is a value


class Described:
    """One object of a description: every method takes a field out, `close` refuses the rest.

    value   the parsed JSON
    name    of the object within the file, dotted, for messages
    """

    def __init__(self, value: dict[str, Any], name: str) -> None:
        self.name = name
        if not isinstance(value, dict):
            raise DataError(f"{name} is {show(value)}; it must be an object {{...}}")
        self.left = dict(value)  # the fields that nothing has read yet
        self.given = frozenset(value)
        self.kind = None

    def __contains__(self, field: str) -> bool:
        return field in self.left

    def wrong(self, field: str, value: int | str, what: str) -> DataError:
        """The error for a field that is not what it must be."""
        return DataError(f"{self.name}.{field} is {show(value)}; it must be {what}")

    def take(self, field: str, kinds: Any, default: Any = _NEEDED) -> Any:
        """The value of a field of one of some types; `default` where the file has no such field."""
        if field not in self.left:
            if default is _NEEDED:
                raise DataError(f"{self.name}.{field} is missing")
            return default
        value = self.left.pop(field)
        # `kinds` may be a union, such as bool | None, which has no __name__.
        if not of_type(value, kinds):
            raise self.wrong(field, value, f"of type {getattr(kinds, '__name__', kinds)}")
        return value

    def raw(self, field: str, default: Any = None) -> Any:
        """The value of a field of any type; the caller checks it."""
        return self.left.pop(field, default)

    def one_of(self, field: str, values: Collection[str], default: Any = _NEEDED) -> str:
        """A text that must be one of `values`."""
        value = self.take(field, str, default)
        if value is not default and value not in values:
            raise self.wrong(field, value, f"one of {', '.join(values)}")
        return value

    def character(self, field: str, default: Any = _NEEDED) -> str:
        """A text of one character."""
        value = self.take(field, str, default)
        if len(value) != 1:
            raise self.wrong(field, value, "one character")
        return value

    def only(self, field: str, *values: float | str | None) -> None:
        """A field that may only have one of `values`; a missing field means the first of them."""
        value = self.left.pop(field, values[0])
        # Types are compared too: False == 0 and 1.0 == 1.
        if not any(type(value) is type(one) and value == one for one in values):
            raise self.wrong(
                field, value, f"{' or '.join(map(repr, values))}: others are not read here"
            )

    def parts(self, field: str) -> list[tuple[dict, str]]:
        """A list of objects: [(object, its name for messages)]; their builders check them."""
        value = self.left.pop(field, None)
        if not isinstance(value, list):
            raise self.wrong(field, value, "a list of objects")
        return [(one, f"{self.name}.{field}[{i}]") for i, one in enumerate(value)]

    def close(self) -> None:
        """Refuse the fields that nothing has read."""
        for field, value in self.left.items():
            raise DataError(
                f"{self.name}.{field} is {show(value)}; no field of that name is read here"
            )


def built(value: dict[str, Any], name: str, kinds: dict[str, Callable], **context: Any) -> Any:
    """The component of an object with a type: what the builder of that type returns.

    value    object with a field "type"
    kinds    {type: function (Described, **context)}
    raises   DataError naming a type that is not among them, or a field that is not read
    """
    described = Described(value, name)
    kind = described.take("type", str)
    if kind not in kinds:
        raise described.wrong("type", kind, f"one of {', '.join(kinds)}")
    described.kind = kind
    made = kinds[kind](described, **context)
    described.close()  # the builder has taken its fields; others are refused
    return made
