"""Marks and text kept apart, so that what a user writes cannot pass for a turn.

A template gives a list of pieces. A Mark becomes one special token; any other str is text and
becomes ordinary tokens, whatever it says. Read next: builtin.py.
"""
import re

import numpy as np

from tinylm.errors import DataError

ROLES = ("system", "user", "assistant", "tool", "developer")


class Mark(str):
    """A piece of the text that stands for a special token; a plain str is text."""


def encode_pieces(tokenizer, pieces, name):
    """The token ids of marks and texts.

    name     of the template, for the error
    returns  (T,) int32
    raises   DataError if the tokenizer lacks a mark
    """
    ids, text = [], ""
    for piece in [*pieces, Mark()]:               # an empty mark, to encode the last text
        if not isinstance(piece, Mark):
            text += piece                         # neighbors are split and merged as one text
            continue
        ids.append(tokenizer.encode(text))
        text = ""
        if not piece:
            continue
        if piece not in tokenizer.special:
            has = ", ".join(list(tokenizer.special)[:8])
            raise DataError(f"chat: the template {name!r} needs the special token {str(piece)!r}, "
                            f"and the tokenizer has {has}; it is the template of another model")
        ids.append([tokenizer.special[piece]])
    return np.concatenate(ids, dtype=np.int32)


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
    """The text of a message whose content is a text or a list of text parts.

    raises  DataError for a part that is no text (an image, a sound), or no content at all
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise DataError(f"chat: {where} needs a content that is text, got {message!r:.200}")
    return "".join(part_text(part, where) for part in content)


def part_text(part, where):
    """The text of one part {"type": "text", "text": ...}, or of a str."""
    if isinstance(part, str):
        return part
    known = isinstance(part, dict) and part.get("type", "text") == "text"
    if not known or not isinstance(part.get("text"), str):
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        raise DataError(f"chat: {where} has a part of type {kind!r}; only parts of type 'text' "
                        "with a text are read")
    extra = sorted(set(part) - {"type", "text"})
    if extra:
        raise DataError(f"chat: {where} has a text part with the field {extra[0]!r}, which is not "
                        "read here")
    return part["text"]
