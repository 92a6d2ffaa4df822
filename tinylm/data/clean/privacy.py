"""Masking of personal data: addresses, numbers and names are replaced by the name of their kind.

Language models repeat their training text (book section 2.2.1; Carlini et al. 2021), so text that
must not be repeated must not be trained on. Each kind is a pattern and, where there is one, a check
of its digits, so that few other numbers are masked. Placeholders match no pattern: masking twice is
masking once. Patterns match form, not meaning; a name is found only if it is given. Read next:
measure/memorization.py, which measures what a model repeats.
"""

import ipaddress
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import regex

from tinylm.data.clean.words import SPACED_WORD
from tinylm.writing import is_unspaced, stream_safe


def _luhn(text):
    """Whether the digits end in their Luhn check digit (ISO/IEC 7812), as payment cards' do."""
    digits = [int(c) for c in text if c.isdigit()][::-1]
    # From the right, every second digit is doubled, and the digits of the product are added.
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _iban(text):
    """Whether an account number has remainder 1 modulo 97 (ISO 13616): letters count 10 to 35."""
    compact = text.replace(" ", "").upper()
    moved = compact[4:] + compact[:4]  # country and check digits at the end
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _ip(text):
    """Whether a text is an address of either version, for version 6 of three groups or "::1"."""
    # A shorter one such as "1::2" is more often a slice in a program.
    if ":" in text and sum(map(bool, text.split(":"))) < 3 and text != "::1":
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _telephone(text):
    """Whether a text has 7 to 15 digits (ITU E.164) and is no decimal or number in thousands."""
    return 7 <= sum(c.isdigit() for c in text) <= 15 and not _NUMBER.fullmatch(text)


_NUMBER = regex.compile(r"[0-9]{1,3}(?:[ .][0-9]{3})+|\+?[0-9]+\.[0-9]+")

# kind: (pattern, check). A kind that may contain another comes before it. [0-9], because \d matches
# the digits of every script.
# fmt: off
_KINDS = {
    # At most 126 labels of 63 characters (RFC 1035), so that no search of one is long.
    "EMAIL": (
        r"(?<![\w.+%-])[\w.+%-]++@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,126}"
        r"[A-Za-z]{2,24}(?![\w@-])",
        None,
    ),
    "IBAN": (r"(?<!\w)[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", _iban),
    "IP": (
        r"(?<![\w.:])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
        r"|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?![\w:]|\.[0-9])",
        _ip,
    ),
    "CARD": (r"(?<![\w.-])[0-9](?:[ -]?[0-9]){12,18}(?![\w-])", _luhn),
    # US social security: numbers that were never given out do not match.
    "ID": (r"(?<![\w-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w-])", None),
    "PHONE": (
        r"(?<![\w.+(-])(?:\+[1-9][0-9]{0,2}[ .-]?(?:\(?[0-9]{1,4}\)?[ .-]?){1,4}[0-9]{2,4}"
        r"|(?:\([0-9]{2,5}\) ?|[0-9]{2,5}[ .-])[0-9]{3,4}[ .-]?[0-9]{3,4})(?![\w-]|\.[0-9])",
        _telephone,
    ),
}
# fmt: on
KINDS = tuple(_KINDS)


def _compiled(pattern):
    # Where there are no spaces, a number or an address begins and ends beside any letter.
    return regex.compile(pattern.replace(r"\w", SPACED_WORD), regex.V1)


_PATTERNS = {kind: (_compiled(pattern), check) for kind, (pattern, check) in _KINDS.items()}
# The same right after a placeholder, which is a border whatever it replaced. An address has at most
# 64 characters before its @ (RFC 5321), so that no attempt is long.
_BORDER = regex.compile(r"\(\?<![^)]*\)")
_AFTER_MASK = {
    kind: (_compiled(_BORDER.sub("", pattern).replace("++@", "{1,64}+@")), check)
    for kind, (pattern, check) in _KINDS.items()
}


def _written(names):
    """Names as given, and in NFC and NFD (letters and their marks together and apart): a set."""
    names = list(names)
    forms = ("NFC", "NFD")
    return {*names} | {unicodedata.normalize(form, stream_safe(n)) for form in forms for n in names}


def _whole(name):
    """The pattern of a name as whole words.

    There is no border where a script has no spaces, nor where the name begins or ends with a sign
    (C#).
    """
    first = r"\w" if regex.match(r"\w", name) else ""
    last = r"\w" if regex.match(r"\w", name[-1]) else ""
    before = "" if is_unspaced(name) else rf"(?<![{first}\[])"
    after = "" if is_unspaced(name[-1]) else rf"(?![{last}\]])"
    return before + regex.escape(name) + after


class Masker:
    """A change of texts: personal data become "[EMAIL]", "[PHONE]", ...

    kinds  of KINDS
    names  names to mask as "[NAME]", whole words, in the case given
    found  Counter {kind: how many were masked so far}
    """

    def __init__(self, kinds: Sequence[str] = KINDS, names: Sequence[str] = ()) -> None:
        self._patterns = [(kind, *_PATTERNS[kind]) for kind in KINDS if kind in kinds]
        self._after_mask = [(kind, *_AFTER_MASK[kind]) for kind in KINDS if kind in kinds]
        if names := sorted(_written(filter(None, names)), key=len, reverse=True):
            pattern = "|".join(map(_whole, names))
            self._patterns.append(("NAME", _compiled(pattern), None))
            self._after_mask.append(("NAME", _compiled(_BORDER.sub("", pattern)), None))
        self.found = Counter()

    def __call__(self, text: str) -> str:
        # Masking may uncover the border of something else: repeat until nothing is found.
        while (after := self._once(text)) != text:
            text = after
        return text

    def _once(self, text):
        for kind in self._patterns:
            text = "".join(self._pieces(text, *kind))
        return text

    def _pieces(self, text, kind, pattern, check):
        """The pieces of `text` in order, those of one kind masked."""
        at = start = 0  # text[:at] has been yielded, text[:start] searched
        while match := pattern.search(text, start):
            start = match.end()
            if check is not None and not check(match.group()):
                continue
            yield text[at : match.start()]
            # A match right behind a masked one had no border before. It is masked at once: for a
            # thousand in a row, one pass for each would take a thousand passes.
            here = kind
            while match:
                self.found[here] += 1
                yield f"[{here}]"
                at = start = match.end()
                here, match = self._right_at(text, at)
        yield text[at:]

    def _right_at(self, text, at):
        """(kind, match) of personal data right behind a placeholder, or (None, None)."""
        for kind, pattern, check in self._after_mask:
            match = pattern.match(text, at)
            if match and (check is None or check(match.group())):
                return kind, match
        return None, None


def guarded(
    generate: Callable, masker: Callable | None = None, secrets: Sequence[str] = ()
) -> Callable:
    """A generator of text whose output is masked (book section 2.2.1: privacy at run time)

    generate  function (*arguments) -> str
    masker    Masker; by default all KINDS
    secrets   texts that must never be output, in any case and spacing; they become "[SECRET]"
    returns   function with the arguments of `generate`
    """
    masker = masker or Masker()
    secrets = ["".join(secret.split()) for secret in _written(secrets) if secret.strip()]
    # White space may come between any two letters; longer secrets first, as one may begin another.
    patterns = [r"\s*".join(map(regex.escape, secret)) for secret in secrets]
    hidden = None
    if patterns:
        hidden = regex.compile("|".join(sorted(patterns, key=len, reverse=True)), regex.IGNORECASE)

    def answer(*arguments, **named):
        text = generate(*arguments, **named)
        if hidden:
            text = hidden.sub("[SECRET]", text)
        return masker(text)

    return answer


def masked(text: str, kinds: tuple[str, ...] = KINDS, names: Sequence[str] = ()) -> str:
    """`text` with its personal data masked, by a Masker of its own."""
    return Masker(kinds, names)(text)
