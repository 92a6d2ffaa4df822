r"""Added tokens: texts that are one token whatever the model would make of them.

Special ones ("<|endoftext|>") stand for what is not text and are found only with `allow_special`.
Others ("<think>", runs of spaces) are found in any text. Those with `normalized` are searched in
the normalized text, and their content is normalized too. Of several that begin at one place the
longest is taken. Read next: pipeline.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import regex

from tinylm.errors import DataError
from tinylm.tokenizers.published.models import MOST_IDS
from tinylm.tokenizers.published.strict import Described
from tinylm.tokenizers.stream import special_pattern

_WORD_BEFORE, _WORD_AFTER = regex.compile(r"(?r)\w"), regex.compile(r"\w")
_SPACE_BEFORE, _SPACE_AFTER = regex.compile(r"(?r)\s*"), regex.compile(r"\s*")


@dataclass(frozen=True)
class AddedToken:
    """One added token.

    content      its text
    id           its number
    special      stands for what is not text
    single_word  only where no letter or digit stands beside it
    lstrip       takes the white space before it
    rstrip       takes the white space behind it
    normalized   is searched in the normalized text
    """

    content: str
    id: int
    special: bool = False
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True

    @classmethod
    def read(
        cls,
        value: dict[str, int | str],
        name: str,
        number: int | None = None,
        special: bool = False,
    ) -> "AddedToken":
        """The token of an object of JSON.

        name     of the object in its file, for messages
        number   its id; None: the object has a field "id", as in tokenizer.json
        special  what a missing field "special" means
        """
        given = Described(value, name)
        given.only("__type", "AddedToken")
        if number is None:
            number = given.take("id", int)
        if not 0 <= number < MOST_IDS:
            raise given.wrong("id", number, f"a whole number from 0 to {MOST_IDS - 1}")
        content, special = given.take("content", str), given.take("special", bool, special)
        flags = {
            name: given.take(name, bool, False) for name in ("single_word", "lstrip", "rstrip")
        }
        # Special tokens are searched in the text as it comes, unless the file has it otherwise.
        normalized = given.take("normalized", bool, not special)
        given.close()
        return cls(content, number, special, **flags, normalized=normalized)


class Finder:
    """Cuts a text at added tokens.

    tokens     list of AddedToken
    normalize  function str -> str that their contents go through
    """

    def __init__(self, tokens: Sequence[AddedToken], normalize: Callable | None = None) -> None:
        self._of = {}  # {content: token}
        # Normalizing may make two contents equal: special tokens come first and stay.
        for token in sorted(tokens, key=lambda token: not token.special):
            content = token.content
            if normalize:
                content = normalize(content)
            if content:
                self._of.setdefault(content, token)
        self._pattern = special_pattern(self._of)

    def cut(self, text: str, special: bool) -> list[tuple[int, int, AddedToken | None]]:
        """A text cut at the added tokens in it.

        special  whether special tokens are found
        returns  list of (start, stop, AddedToken or None)
        """
        if self._pattern is None or not text:
            return [(0, len(text), None)]
        parts: list[tuple[int, int, AddedToken | None]] = []
        at = 0
        for match in self._pattern.finditer(text):
            token = self._of[match.group()]
            start, stop = match.span()
            # Not a token here: its text stays in the part around it.
            if token.special and not special or token.single_word and _in_word(text, start, stop):
                continue
            # White space beside it goes with the token, but none that the token before has taken.
            if token.lstrip:
                start = max(_SPACE_BEFORE.match(text, 0, start).start(), at)
            if token.rstrip:
                stop = _SPACE_AFTER.match(text, stop).end()
            if at < start:
                parts.append((at, start, None))
            parts.append((start, stop, token))
            at = stop
        if at < len(text):
            return [*parts, (at, len(text), None)]
        return parts


def _in_word(text, start, stop):
    """Whether a letter or digit stands right before or after text[start:stop]."""
    before = start > 0 and _WORD_BEFORE.match(text, 0, start)
    return bool(before or _WORD_AFTER.match(text, stop))


def read_added(
    value: Sequence[dict[str, int | str]] | None, ids: dict[str, int], name: str = "added_tokens"
) -> list[AddedToken]:
    """The added tokens of tokenizer.json.

    value  list of objects, or null
    ids    {token: id} of the model
    raises DataError if a token has another id in the model, or an id is given twice
    """
    if value is not None and not isinstance(value, list):
        raise DataError(f"{name} is {value!r:.60}; it must be a list of objects")
    tokens = {}
    taken = {i: token for token, i in ids.items()}  # the ids in use
    for i, one in enumerate(value or []):
        token = AddedToken.read(one, f"{name}[{i}]")
        if not token.content:
            raise DataError(f"{name}[{i}].content is empty")
        if token.id != ids.get(token.content, token.id):
            raise DataError(
                f"{name}[{i}].id is {token.id}, and {token.content!r} has the id "
                f"{ids[token.content]} in the model"
            )
        if taken.setdefault(token.id, token.content) != token.content:
            raise DataError(
                f"{name}[{i}].id is {token.id}, which is also that of {taken[token.id]!r}"
            )
        tokens[token.content] = token
    return list(tokens.values())
