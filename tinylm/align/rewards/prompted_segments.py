"""Segments that a language model finds: parts of a text with one topic each   (book section
4.4.1.3).

    the text -> its parts, one a line, unchanged -> where each part ends in the text

The reply is checked against the text: parts must come in order and leave out nothing but white
space. A model that rewrites instead of dividing gives no segmentation. Read first: segments.py.
"""

from collections.abc import Sequence
from typing import Any

from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.protocol.text_lm import TextLM

DIVIDE = PromptTemplate(
    "Divide the following text into parts, so that each part has one topic. Copy the parts in "
    "order, each on a line of its own, and change nothing.\n"
    "Text: {*text*}\n"
    "Parts:\n"
)


def prompted_ends(
    lm: TextLM,
    text: str,
    *,
    template: PromptTemplate = DIVIDE,
    seed: int = 0,
    max_tokens: int = 512,
    **sampling: Any,
) -> list[int]:
    """Where each part of a text ends, as a model divides it: list of int, rising, or None.

    lm        TextLM
    template  PromptTemplate with the slot text
    returns   ends in characters, white space after a part included; the last is len(text). None if
              the reply is not the text in parts
    """
    prompt = template.format(text=text)
    options = {"seed": seed, "max_tokens": max_tokens, **sampling}
    reply = lm.complete(prompt, stop=("\nText:", "\nParts:"), **options)
    return lm.parsed("ends", ends_of_parts(text, reply.text.splitlines()))


def ends_of_parts(text: str, parts: Sequence[str]) -> list[int] | None:
    """The ends of parts that are copies of a text's own, in order; None if they are not.

    parts    list of str; empty ones, and white space at their ends, do not count
    """
    parts = [part.strip() for part in parts if part.strip()]
    ends, at = [], 0
    for part in parts:
        # white space between two parts belongs to the first of them
        start = at + len(text[at:]) - len(text[at:].lstrip())
        if not text.startswith(part, start):
            return None
        if ends:
            ends[-1] = start
        at = start + len(part)
        ends.append(at)
    if not ends or text[at:].strip():
        return None
    ends[-1] = len(text)
    return ends
