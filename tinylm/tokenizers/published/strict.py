"""Objects of JSON of which every field must be read: what is left over is refused by name.

A field that is passed over is a tokenizer that cuts otherwise than its file says, and no error
shows it. Read next: pipeline.py.
"""

from tinylm.errors import DataError
from tinylm.fields import of_type, show

_NEEDED = object()


class Described:
    """One object of a description.

    value   what the JSON gave
    name    of the object within the file, dotted
    """

    def __init__(self, value, name):
        self.name = name
        if not isinstance(value, dict):
            raise DataError(f"{name} is {show(value)}; it must be an object {{...}}")
        self.left, self.given = dict(value), frozenset(value)
        self.kind = None

    def __contains__(self, field):
        return field in self.left

    def wrong(self, field, value, what):
        """The error for a field that is not what it must be."""
        return DataError(f"{self.name}.{field} is {show(value)}; it must be {what}")

    def take(self, field, kinds, default=_NEEDED):
        """The value of a field of one of some types; `default` where the file has no such field."""
        if field not in self.left:
            if default is _NEEDED:
                raise DataError(f"{self.name}.{field} is missing")
            return default
        value = self.left.pop(field)
        if not of_type(value, kinds):
            raise self.wrong(field, value, f"of type {getattr(kinds, '__name__', kinds)}")
        return value

    def raw(self, field, default=None):
        """The value of a field, whatever it is."""
        return self.left.pop(field, default)

    def one_of(self, field, values, default=_NEEDED):
        """A text that must be one of some."""
        value = self.take(field, str, default)
        if value is not default and value not in values:
            raise self.wrong(field, value, f"one of {', '.join(values)}")
        return value

    def character(self, field, default=_NEEDED):
        """A text of one character."""
        value = self.take(field, str, default)
        if len(value) != 1:
            raise self.wrong(field, value, "one character")
        return value

    def only(self, field, *values):
        """A field of which one value alone is read here; the first is meant where it is missing."""
        value = self.left.pop(field, values[0])
        if not any(type(value) is type(one) and value == one for one in values):
            raise self.wrong(
                field, value, f"{' or '.join(map(repr, values))}: others are not read here"
            )

    def parts(self, field):
        """A list of objects, each with its name."""
        value = self.left.pop(field, None)
        if not isinstance(value, list):
            raise self.wrong(field, value, "a list of objects")
        return [(one, f"{self.name}.{field}[{i}]") for i, one in enumerate(value)]

    def close(self):
        """Refuse the fields that nothing has read."""
        for field, value in self.left.items():
            raise DataError(
                f"{self.name}.{field} is {show(value)}; no field of that name is read here"
            )


def built(value, name, kinds, **context):
    """What the builder of an object's type makes of it.

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
    described.close()
    return made
