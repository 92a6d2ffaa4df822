"""Divide and conquer over a long document: map over segments, then reduce   (book section 3.2.2).

    map      does this segment discuss the topic?       each segment alone, in one batch
    reduce   these were the findings: does the document?

Attention over n tokens costs n^2; over K segments of n/K tokens, K (n/K)^2 = n^2 / K. What
needs two segments at once is lost. Whether a document contains something is the OR of its segments,
provided that no mention is cut in two: segments may overlap. Read next: solvers.py.
"""

import re
import string
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.protocol.text_lm import TextLM

if TYPE_CHECKING:
    from tinylm.data.read.items import Item


MAP = "You are given a text. Please determine whether the text discusses {topic}.\n\n{segment}"
REDUCE = (
    "Your task is to determine whether the text discusses {topic}. The text has been divided into "
    "segments, and you have obtained the relevance of each segment to the topic of {topic}. Based "
    "on this, please provide your final result.\n\n{findings}"
)


# "No" as an answer of its own, and not in "no doubt" or "no idea"; or a statement about the text.
_NO = (
    r"^\W*no\b(?! (?:doubt|question|idea|way)\b)",
    r"\bno(?=[*\"']*(?:[.,;:!?]|\s*$))",
    r"\bno (?:\w+ )?(?:mention|discussion|reference|indication|evidence|sign)\b",
    r"\b(?:does|do|did)(?: not|n['’]t) (?:\w+ )?(?:discuss|mention|address|cover|concern)\b",
    r"(?:\bnot|n['’]t) about\b",
)
_FINDING = re.compile(rf"(?P<no>{'|'.join(_NO)})|\byes\b|\bdiscusses\b", re.IGNORECASE)


def segments(text: str, size: int, count: Callable = len, overlap: int = 0) -> list[str]:
    """Cut a text between words.

    size     most tokens of a segment; a single word may have more
    count    function from a text to its tokens: `count` of a TextLM; len counts characters
    overlap  words at the end of a segment with which the next one begins, unless they leave no room
             for another word
    returns  list of str. Without overlap their concatenation is the text, white space included
    raises   ConfigError for a size below 1, or an overlap that is negative or as large as the size
    """
    if size < 1 or not 0 <= overlap < size:
        raise ConfigError(
            f"segments: size {size} must be 1 or more, overlap {overlap} 0 or more and smaller"
        )
    # Every word with the white space before it, so that joined words are the text.
    words = re.findall(r"\s*\S+(?:\s+\Z)?", text) or [text] * bool(text)
    found, start, end = [], 0, 0
    while end < len(words):
        # Ends of the segment that add a word; every word has a token at least.
        ends = range(end + 1, min(len(words), start + size) + 1)
        fitting = bisect_right(ends, size, key=lambda last: count("".join(words[start:last])))
        if not fitting and start < end:
            start = end  # no room for another word after the overlap
            continue
        if fitting:
            end = ends[fitting - 1]
        else:
            end += 1  # a word that is too long stands alone
        found.append("".join(words[start:end]))
        # So a mention of at most `overlap` words is whole in one of the two segments.
        start = max(end - overlap, start)
    return found


def attention_cost(lengths: Sequence[int]) -> int:
    """Pairs of tokens that attention compares in texts that are read alone: sum of n^2.

    Of K equal segments n^2 / K, where the text has n^2.
    """
    return sum(length * length for length in lengths)


def read_finding(reply: str) -> str:
    """What a reply states first: "yes" for "Yes" or "The text discusses ..", "no" for "No", "does
    not discuss" or "is not about"; None if it states neither.
    """
    found = _FINDING.search(reply)
    if found is None:
        return None
    if found["no"]:
        return "no"
    return "yes"


def any_segment(findings: Sequence[str]) -> bool:
    """The OR of findings: True if one is "yes", False if all are "no", else None: it is open."""
    if "yes" in findings:
        return True
    # A segment that was not decided may hold a mention: "no" would be a guess.
    if None in findings:
        return None
    return False


def check_slots(name: str, template: str, slots: set[str]) -> None:
    """Raise ConfigError for a template whose slots {..} are not those that are filled.

    name  of the option;  template  str as of str.format;  slots  set of names
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:  # a brace without the other
        parts = [("", "", "", None)]
    found = [(slot, form, change) for _, slot, form, change in parts if slot is not None]
    if {slot for slot, _, _ in found} != slots or any(form or change for _, form, change in found):
        wanted = " and ".join(f"{{{slot}}}" for slot in sorted(slots))
        raise ConfigError(
            f"map_reduce: {name} {template!r:.60} must have the slots {wanted}, and no others; a "
            "brace in its text is written twice"
        )


def map_reduce(
    lm: TextLM,
    item: "Item",
    demonstrations: "Sequence[Item]" = (),
    *,
    size: int = 256,
    overlap: int = 0,
    map_template: str = MAP,
    reduce_template: str = REDUCE,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """Decide whether a long document discusses a topic.

    item            question: the topic, such as "AI risks"; context: the document. Demonstrations
                    are not used
    size, overlap   of segments, in tokens and words
    map_template    with {topic} and {segment};  reduce_template  with {topic} and {findings}; None:
                    the OR of the segments without another call
    max_tokens      of each reply
    returns         Answer "yes", "no" or None; details: "segments", "findings" (replies), "read"
                    ("yes", "no" or None of each segment)
    raises          DataError for an item without a document; ConfigError for a template with
                    other slots
    """
    check_counts("map_reduce", size=size)
    check_counts("map_reduce", least=0, overlap=overlap)
    if not item.context:
        raise DataError("map_reduce: the item needs a context, the document to be divided")
    check_slots("map_template", map_template, {"topic", "segment"})
    if reduce_template is not None:
        check_slots("reduce_template", reduce_template, {"topic", "findings"})
    # Map: no finding depends on another, so all are one batch.
    parts = segments(item.context, size, lm.count, overlap)
    prompts = [map_template.format(topic=item.question, segment=part.strip("\n")) for part in parts]
    replies = lm.complete_batch(prompts, seed=seed, max_tokens=max_tokens)
    findings = [reply.text.strip() for reply in replies]
    read = [read_finding(finding) for finding in findings]
    details = {"segments": parts, "findings": findings, "read": read}
    # The OR costs no call; a model may weigh a passing mention against the rest.
    if reduce_template is None:
        value = {True: "yes", False: "no", None: None}[any_segment(read)]
        return Answer(lm.parsed("answer", value), findings[-1], details)
    # Reduce: K short findings in the place of n tokens.
    listed = "\n".join(f"Segment {i + 1}: {finding}" for i, finding in enumerate(findings))
    prompt = reduce_template.format(topic=item.question, findings=listed)
    reply = lm.complete(prompt, seed=seed, max_tokens=max_tokens)
    return Answer(lm.parsed("answer", read_finding(reply.text)), reply.text, details)
