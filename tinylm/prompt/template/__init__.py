"""Prompts as text: fields, slots, roles, formats, and the prompts of the book   (book sections
3.1.1 and 3.1.3).

In order: fields.py ("Name: content").
"""

from tinylm.prompt.template.fields import (
    complete_fields,
    dialogue,
    parse_fields,
    read_reply,
    render_fields,
    stop_strings,
)

__all__ = [
    "complete_fields",
    "dialogue",
    "parse_fields",
    "read_reply",
    "render_fields",
    "stop_strings",
]
