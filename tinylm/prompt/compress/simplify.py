"""A prompt is made shorter by rules: fillers go, long phrases become short ones   (book section
3.3.3).

    "It is important to note that you should really try to answer in a concise manner."
    "You should try to answer concisely."

No model is needed, and the result is read as easily as the prompt, which a soft prompt is not. Each
rule makes a text shorter, so they can be applied until nothing changes. A text to be processed,
such as a quotation, should not be simplified: give the instruction alone. Read next:
information.py, where a model decides what can go.
"""

import re

from tinylm.errors import ConfigError

# Phrases that can go, and phrases with a shorter form. Longer ones come first.
FILLERS = (
    "it is important to note that",
    "it should be noted that",
    "please note that",
    "i would like you to",
    "i want you to",
    "your task is to",
    "could you please",
    "can you please",
    "would you please",
    "if at all possible",
    "as well as you can",
    "thank you very much",
    "thank you",
    "please",
    "kindly",
    "carefully",
    "basically",
    "actually",
    "really",
    "simply",
    "very",
)
SHORTER = (
    ("with a particular emphasis on", "especially"),
    ("with an emphasis on", "especially"),
    ("due to the fact that", "because"),
    ("in the event that", "if"),
    ("for the purpose of", "for"),
    ("at this point in time", "now"),
    ("a large number of", "many"),
    ("a broad range of", "many"),
    ("the broad range of", "the many"),
    ("a wide range of", "many"),
    ("in a concise manner", "concisely"),
    ("with regard to", "about"),
    ("with respect to", "about"),
    ("is capable of", "can"),
    ("is able to", "can"),
    ("are able to", "can"),
    ("in order to", "to"),
    ("make use of", "use"),
    ("the following", "the"),
    ("each and every", "each"),
    ("first and foremost", "first"),
)
RULES = (*((phrase, "") for phrase in FILLERS), *SHORTER)
# "the" needs a word after it, in the same line: "one of the following." stays. No verb, and no
# time: "The following is a list" and "the following day" stay too.
_NO_NOUN = (
    "is are was were be been has have had do does did will would can could may might must shall "
    "should applies apply and or but day morning week month year"
)
_NOUN = rf"(?=[ \t]+(?!(?:{'|'.join(_NO_NOUN.split())})\b)\w)"


# What stands in place of a phrase that went, until spaces around it are in order; the second, of
# one that began with a capital letter. Private characters of Unicode.
_GONE, _CAPITAL = "\ue000", "\ue001"


def simplify(text: str, rules: tuple[tuple[str, str], ...] = RULES) -> str:
    """The text with rules applied until nothing changes.

    text     str; line breaks and the spaces of other words are kept
    rules    (phrase, shorter phrase or ""), found at word boundaries, capital or not. A phrase that
             becomes an article is shortened only before a noun in the same line
    returns  str; where a phrase with a capital letter goes, the next word gets one
    raises   ConfigError for a rule that does not make a text shorter
    """
    table = {phrase.casefold(): short for phrase, short in rules}
    for phrase, short in table.items():
        if len(short) >= len(phrase):
            raise ConfigError(f"simplify: {short!r} is not shorter than {phrase!r}")
    longest_first = sorted(table, key=len, reverse=True)
    # The space before a phrase goes with it, and a comma after it.
    phrases = "|".join(_found(phrase, table[phrase]) for phrase in longest_first) or "(?!)"
    pattern = re.compile(rf"([ \t]*)\b({phrases})\b(,?)", re.IGNORECASE)
    while True:
        shorter, count = pattern.subn(lambda found: _shortened(table, *found.groups()), text)
        if not count:
            return text
        text = _tidy(shorter)


def _found(phrase, short):
    """The pattern of a phrase."""
    pattern = re.escape(phrase)
    if short.split()[-1:] in (["the"], ["a"], ["an"]):
        pattern += rf"\b{_NOUN}"
    return pattern


def _shortened(table, space, phrase, comma):
    """What stands in place of a phrase."""
    short = table[phrase.casefold()]
    if not short:
        if phrase[0].isupper():
            return _CAPITAL
        return _GONE
    if phrase[0].isupper():
        short = short[0].upper() + short[1:]
    return f"{space}{short}{comma}"


def _tidy(text):
    """The text without marks of phrases that went."""
    marks = f"[{_GONE}{_CAPITAL}]+"
    # At the start of a line the space after the phrase goes too, and a comma before a full stop.
    text = re.sub(rf"(?m)^({marks})[ \t]+", r"\1", text)
    text = re.sub(rf",({marks})(?=[.;:!?])", r"\1", text)
    text = re.sub(rf"{_CAPITAL}[{_GONE}]*([ \t]*\w)", lambda found: found[1].upper(), text)
    return re.sub(marks, "", text)
