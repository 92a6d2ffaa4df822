"""Informal sentences and the same in a formal style   (book section 3.1.4.4, style transfer).

    Hey guys, I can't come today. Thanks!  ->  Hello everyone, I cannot come today. Thank you.

A sentence is put together of phrases that exist in both styles, so its formal version is known
exactly, and the informal words that a reply kept can be counted. Read next: verbose.py.
"""

import re

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator, pick
from tinylm.errors import DataError

# informal: formal. No phrase of one side stands in a phrase of the other.
GREETINGS = {"Hey guys": "Hello everyone", "Hey": "Hello", "Yo": "Good morning"}
CLAUSES = {
    "I can't come to the {event}": "I cannot come to the {event}",
    "I don't wanna miss the {event}": "I do not want to miss the {event}",
    "I'm gonna be late for the {event}": "I am going to be late for the {event}",
    "we've gotta move the {event}": "we have to move the {event}",
    "the {event} was awesome": "the {event} was excellent",
    "lots of kids came to the {event}": "many children came to the {event}",
    "I need some info about the {event}": "I need some information about the {event}",
    "my boss won't like the {event}": "my manager will not like the {event}",
}
REASONS = {
    " 'cause it's too far": " because it is too far",
    " 'cause I'm kinda tired": " because I am rather tired",
    " 'cause nobody told me": " because nobody informed me",
    "": "",
}
CLOSINGS = {
    "Thanks!": "Thank you.",
    "Talk to you soon!": "I look forward to speaking with you.",
    "Let me know asap!": "Please let me know as soon as possible.",
    "Cheers!": "Kind regards.",
}
EVENTS = ("meeting", "lecture", "concert", "dinner", "workshop", "interview")
# Words that the formal versions never have.
_INFORMAL = r"""hey|yo|guys|can't|don't|wanna|i'm|gonna|we've|gotta|awesome|lots\ of|kids|info|boss|
won't|'cause|it's|kinda|told|thanks|talk|asap|cheers"""
INFORMAL = re.compile(rf"(?<![\w'])(?:{_INFORMAL})(?![\w'])|!", re.IGNORECASE | re.VERBOSE)


def informal_words(text: str) -> list[str]:
    """The informal words and exclamation marks of a text, in order: list of str, in lower case."""
    straight = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return [found.lower() for found in INFORMAL.findall(straight)]


def formal_items(count: int, seed: int = 0) -> list[Item]:
    """Informal messages of three phrases with their formal versions: list of Item."""
    rng, items = generator(seed, "formal style"), []
    for _ in range(count):
        event = pick(EVENTS, rng)
        # One pair of phrases from each table; both versions have the same places.
        pairs = [
            pick(list(table.items()), rng) for table in (GREETINGS, CLAUSES, REASONS, CLOSINGS)
        ]
        informal, formal = (
            "{}, {}{}. {}".format(*phrases).format(event=event) for phrases in zip(*pairs)
        )
        rationale = f"Informal: {', '.join(informal_words(informal))}."
        items.append(Item(informal, formal, rationale=rationale, task="formal_style"))
    return items


def solve_formal(item: Item) -> str:
    """The answer, from the question alone: each informal phrase becomes its formal one.

    raises  DataError for a text without any of the phrases
    """
    text = item.question
    for table in (GREETINGS, CLAUSES, REASONS, CLOSINGS):
        for informal, formal in table.items():
            # A phrase ends before a mark or another phrase: "Hey" is not the "Hey" of "Hey guys".
            old = re.escape(informal).replace(r"\{event\}", "(\\w+)") + r"(?=[,. ]|$)"
            if informal and (found := re.search(old, text)):
                event = "".join(found.groups())
                text = text.replace(found[0], formal.format(event=event))
    if text == item.question:
        raise DataError(f"solve_formal: {text!r:.60} has none of the informal phrases")
    return text
