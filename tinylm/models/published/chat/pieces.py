"""Marks and text kept apart, so that the text of a user cannot pass for a turn.

A template returns a list of pieces. A Mark becomes one special token; any other str is text and
becomes ordinary tokens, even if it spells a special token. Read next: builtin.py.
"""

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.data.read.messages import ROLES, joined_parts
from tinylm.errors import DataError

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


class Mark(str):
    """A piece of the text that stands for a special token; a plain str is text."""


def encode_whole(tokenizer: "Tokenizer", pieces: Sequence, name: str) -> np.ndarray:
    """The token ids of a whole conversation; as `encode_pieces`, with a shorter way."""
    # If every special token in the joined text is a mark, nothing is forged, and the tokenizer may
    # read the text in one go.
    text, runs = "".join(pieces), merged(pieces)
    found = cut(text, tuple(tokenizer.special))
    if found == runs and [*map(type, found)] == [*map(type, runs)]:  # Mark == str compares texts
        return tokenizer.encode(text, allow_special=True)
    return encode_pieces(tokenizer, runs, name)


def encode_pieces(
    tokenizer: "Tokenizer", pieces: Sequence, name: str, before: Sequence = ()
) -> np.ndarray:
    """The token ids of marks and texts: those of the whole text, but for forged special tokens.

    name     of the template, for the error
    before   pieces of the conversation that are encoded already
    returns  (T,) int32
    raises   DataError if the tokenizer lacks a mark
    """
    flags = {token.content: token for token in getattr(tokenizer, "added", ())}
    # at: where the piece ends in the whole text; some tokenizers treat the beginning differently.
    runs, ids, at = merged(pieces), [], sum(map(len, before))
    last = merged(before)[-2:] or [Mark()]
    if last[-1].isspace() and getattr(flags.get(last[0]), "rstrip", False):
        last = last[:1]  # the mark has taken all of that text
    # Every piece with its neighbors; the ends count as marks.
    for left, piece, right in zip([last[-1], *runs], runs, [*runs[1:], Mark()]):
        at += len(piece)
        if isinstance(piece, Mark):
            ids.append([_id(tokenizer, piece, name)])
            continue
        start = at - len(piece)
        if isinstance(left, Mark) and getattr(flags.get(left), "rstrip", False):
            # rstrip: the mark takes the white space behind it; lstrip, below, that before it.
            start += len(piece) - len(piece.lstrip())
            piece = piece.lstrip()
        if getattr(flags.get(right), "lstrip", False):
            piece = piece.rstrip()
        if piece and not isinstance(left, Mark):
            ids.append(_continued(tokenizer, left, piece, start))
        elif piece:
            ids.append(tokenizer.encode_plain(piece, start))
    if ids:
        return np.concatenate(ids, dtype=np.int32)
    return np.zeros(0, np.int32)


def _continued(tokenizer, left, text, at):
    """The ids of a text that continues another, without the space that some tokenizers put first.

    Both are encoded together; if the ids of the first are unchanged, the rest is the second's.
    """

    def encoded(some, start):
        return tokenizer.encode_plain(some, start).tolist()

    # Does this tokenizer put anything before a text?
    if encoded("\na", 1) != encoded("\n", 1) + encoded("a", 1):
        for context in (left, "\n", "."):
            start = max(at - len(context), 0)
            known, whole = encoded(context, start), encoded(context + text, start)
            if whole[: len(known)] == known:
                return whole[len(known) :]
    return encoded(text, at)


def _id(tokenizer, mark, name):
    """The id of a mark."""
    if mark not in tokenizer.special:
        has = ", ".join(list(tokenizer.special)[:8])
        raise DataError(
            f"chat: the template {name!r} needs the special token {str(mark)!r}, and "
            f"the tokenizer has {has}; it is the template of another model"
        )
    return tokenizer.special[mark]


def merged(pieces: Sequence) -> list:
    """Pieces with neighboring texts joined, as a tokenizer reads them, and empty ones left out."""
    runs = []
    for piece in pieces:
        if runs and not isinstance(piece, Mark) and not isinstance(runs[-1], Mark):
            runs[-1] += piece
        elif piece:
            runs.append(piece)
    return runs


def cut(text: str, special: Collection[str] | None) -> list:
    """A text as a list of marks, for the names of special tokens, and the texts between them."""
    if not special:
        return [text] * bool(text)
    longest_first = sorted(special, key=len, reverse=True)
    # A group in the pattern: re.split returns text, name, text, name, ..., text.
    parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    parts[1::2] = map(Mark, parts[1::2])
    return [piece for piece in parts if piece]


def plain_messages(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A copy of messages as plain data, without keys whose value is None.

    raises  DataError for anything but a list of mappings with a role, of values that JSON can hold
    """
    if not isinstance(messages, (list, tuple)):
        raise DataError(f"chat: messages are a list of objects, not {messages!r:.80}")
    found = []
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise DataError(f"chat: message {i} must be an object with a role, not {message!r:.80}")
        kept = {key: value for key, value in message.items() if value is not None}
        found.append(plain(kept, f"message {i}"))
    return found


def plain(value: Any, where: str) -> Any:
    """A copy of plain data: texts, numbers, null, lists and mappings with texts as keys."""
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, str):  # a Mark, or another subclass: a plain str
        return str.__str__(value)
    if isinstance(value, (list, tuple)):
        return [plain(item, where) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {str.__str__(key): plain(item, where) for key, item in value.items()}
    raise DataError(
        f"chat: {where} holds a {type(value).__name__}; texts, numbers, null, lists "
        "and objects can be written"
    )


def content_text(message: dict[str, str], where: str = "a message") -> str:
    """The text of a message whose content is a text or a list of text parts; else DataError."""
    return joined_parts(message.get("content"), f"chat: {where}")


__all__ = [
    "ROLES",
    "Mark",
    "content_text",
    "cut",
    "encode_pieces",
    "encode_whole",
    "merged",
    "plain",
    "plain_messages",
]
