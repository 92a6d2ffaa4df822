"""Marks and text kept apart, so that what a user writes cannot pass for a turn.

A template gives a list of pieces. A Mark becomes one special token; any other str is text and
becomes ordinary tokens, whatever it says. Read next: builtin.py.
"""

import re

import numpy as np

from tinylm.data.read.messages import ROLES, joined_parts
from tinylm.errors import DataError


class Mark(str):
    """A piece of the text that stands for a special token; a plain str is text."""


def encode_whole(tokenizer, pieces, name):
    """As encode_pieces, of a whole conversation: the tokenizer's own ids for the text where every
    special token in it is a mark."""
    text, runs = "".join(pieces), merged(pieces)
    found = cut(text, tuple(tokenizer.special))
    if found == runs and [*map(type, found)] == [*map(type, runs)]:
        return tokenizer.encode(text, allow_special=True)
    return encode_pieces(tokenizer, runs, name)


def encode_pieces(tokenizer, pieces, name, before=()):
    """The token ids of marks and texts, those that the tokenizer gives the whole text.

    name     of the template, for the error
    before   pieces of the conversation that are encoded already
    returns  (T,) int32
    raises   DataError if the tokenizer lacks a mark
    """
    flags = {token.content: token for token in getattr(tokenizer, "added", ())}
    runs, ids, at = merged(pieces), [], sum(map(len, before))
    last = merged(before)[-2:] or [Mark()]
    if last[-1].isspace() and getattr(flags.get(last[0]), "rstrip", False):
        last = last[:1]  # of that text nothing was left by the mark
    for left, piece, right in zip([last[-1], *runs], runs, [*runs[1:], Mark()]):
        at += len(piece)
        if isinstance(piece, Mark):
            ids.append([_id(tokenizer, piece, name)])
            continue
        start = at - len(piece)
        if isinstance(left, Mark) and getattr(flags.get(left), "rstrip", False):
            start += len(piece) - len(piece.lstrip())  # the mark takes the white space behind it
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
    """The ids of a text that goes on after another, cut from it: nothing is put before it.

    Some tokenizers put a space before each text. What follows the ids of a text before it, if
    these stay as they are, is free of that.
    """

    def encoded(some, start):
        return tokenizer.encode_plain(some, start).tolist()

    if encoded("\na", 1) != encoded("\n", 1) + encoded("a", 1):
        for context in (left, "\n", "."):
            start = max(at - len(context), 0)
            known, whole = encoded(context, start), encoded(context + text, start)
            if whole[: len(known)] == known:
                return whole[len(known) :]
    return encoded(text, at)


def _id(tokenizer, mark, name):
    if mark not in tokenizer.special:
        has = ", ".join(list(tokenizer.special)[:8])
        raise DataError(
            f"chat: the template {name!r} needs the special token {str(mark)!r}, and "
            f"the tokenizer has {has}; it is the template of another model"
        )
    return tokenizer.special[mark]


def merged(pieces):
    """Pieces with neighboring texts made one, and empty ones left out: they are split and merged
    as one text."""
    runs = []
    for piece in pieces:
        if runs and not isinstance(piece, Mark) and not isinstance(runs[-1], Mark):
            runs[-1] += piece
        elif piece:
            runs.append(piece)
    return runs


def cut(text, special):
    """A text as marks, where the name of a special token stands, and what is between them."""
    if not special:
        if text:
            return [text]
        return []
    longest_first = sorted(special, key=len, reverse=True)
    parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
    pieces = [Mark(part) if i % 2 else part for i, part in enumerate(parts)]
    return [piece for piece in pieces if piece]


def plain_messages(messages):
    """Messages as plain data: a copy, in which keys that hold null are left out.

    raises  DataError for what is no list of mappings, or holds values that JSON has no form for
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


def plain(value, where):
    """A copy of plain data: texts, numbers, null, lists and mappings with texts as keys."""
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (list, tuple)):
        return [plain(item, where) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {str.__str__(key): plain(item, where) for key, item in value.items()}
    raise DataError(
        f"chat: {where} holds a {type(value).__name__}; texts, numbers, null, lists "
        "and objects can be written"
    )


def content_text(message, where="a message"):
    """The text of a message whose content is a text or a list of text parts; DataError for other
    contents."""
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
