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


def encode_pieces(tokenizer, pieces, name, at=0):
    """The token ids of marks and texts, those that the tokenizer gives the whole text.

    name     of the template, for the error
    at       characters of the conversation before the first piece
    returns  (T,) int32
    raises   DataError if the tokenizer lacks a mark
    """
    ids, flags = [], {token.content: token for token in getattr(tokenizer, "added", ())}
    runs = merged(pieces)
    for i, piece in enumerate(runs):
        at += len(piece)
        if isinstance(piece, Mark):
            ids.append([_id(tokenizer, piece, name)])
            continue
        start = at - len(piece)
        if i and getattr(flags.get(runs[i - 1]), "rstrip", False):
            start += len(piece) - len(piece.lstrip())    # the mark takes the white space behind it
            piece = piece.lstrip()
        if i + 1 < len(runs) and getattr(flags.get(runs[i + 1]), "lstrip", False):
            piece = piece.rstrip()
        if piece:
            ids.append(tokenizer.encode_plain(piece, start))
    return np.concatenate(ids, dtype=np.int32) if ids else np.zeros(0, np.int32)


def _id(tokenizer, mark, name):
    if mark not in tokenizer.special:
        has = ", ".join(list(tokenizer.special)[:8])
        raise DataError(f"chat: the template {name!r} needs the special token {str(mark)!r}, and "
                        f"the tokenizer has {has}; it is the template of another model")
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
        return [text] if text else []
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
    raise DataError(f"chat: {where} holds a {type(value).__name__}; texts, numbers, null, lists "
                    "and objects can be written")


def content_text(message, where="a message"):
    """The text of a message whose content is a text or a list of text parts; DataError for other
    contents."""
    return joined_parts(message.get("content"), f"chat: {where}")


__all__ = ["ROLES", "Mark", "content_text", "cut", "encode_pieces", "merged", "plain",
           "plain_messages"]
