"""Pre-tokenizers of tokenizer.json: they split a text into pieces, and no token spans two.

A step is a function (pieces, first) -> (pieces, first). `first` is true while the first piece
begins where the text begins; Metaspace puts its mark there. Read next: models.py.
"""

from collections.abc import Callable, Sequence
from typing import Any

import regex

from tinylm.tokenizers.pretokenize import GPT2
from tinylm.tokenizers.printable import to_printable
from tinylm.tokenizers.published.ages import SIGN
from tinylm.tokenizers.published.normalize import pattern_of
from tinylm.tokenizers.published.patterns import matches
from tinylm.tokenizers.published.strict import Described, built

# What becomes of a match: the format's names, and those of `Splitter`.
BEHAVIORS = {
    "Removed": "removed",
    "Isolated": "isolated",
    "MergedWithPrevious": "previous",
    "MergedWithNext": "next",
    "Contiguous": "contiguous",
}
SCHEMES = ("first", "always", "never")

_WORDS = regex.compile(r"\w+|[^\w\s]+")
_SPACE = regex.compile(r"\s")
_DIGIT = regex.compile(r"\p{N}")
_SIGN = regex.compile(SIGN, regex.V1)


class Splitter:
    """Splits at the matches of a pattern.

    pattern   regex.Pattern or str
    behavior  what becomes of a match: removed; isolated: a piece of its own; previous, next:
              joined to that neighbor; contiguous: joined to matches beside it
    invert    matches and what lies between them change places
    """

    def __init__(self, pattern: str | regex.Pattern, behavior: str, invert: bool = False) -> None:
        if isinstance(pattern, str):
            pattern = regex.compile(regex.escape(pattern))
        self.pattern = pattern
        self.behavior, self.invert = behavior, invert

    def spans(self, text: str) -> list[list[int]]:
        """[start, stop, whether it is a match], all of the text in order."""
        found, at = [], 0
        for start, stop in matches(self.pattern, text):
            if at != start:
                found.append([at, start, self.invert])
            found.append([start, stop, not self.invert])
            at = stop
        if at != len(text):
            found.append([at, len(text), self.invert])
        return found

    def cuts(self, text: str) -> list[tuple[int, int]]:
        """[(start, stop)] of the pieces."""
        spans = self.spans(text)
        if self.behavior == "removed":
            spans = [span for span in spans if not span[2]]
        elif self.behavior == "contiguous":
            spans = _joined(spans, lambda match, before: match == before)
        elif self.behavior == "previous":
            spans = _joined(spans, lambda match, before: match and not before)
        elif self.behavior == "next":
            # "previous" from right to left: positions are negated, so that they ascend.
            back = [[-stop, -start, match] for start, stop, match in reversed(spans)]
            back = _joined(back, lambda match, before: match and not before)
            spans = [[-stop, -start, match] for start, stop, match in reversed(back)]
        return [(start, stop) for start, stop, _ in spans if start < stop]

    def __call__(self, pieces: Sequence[str], first: bool) -> tuple[list[str], bool]:
        """A step: (pieces, first) -> (pieces, first)."""
        # The common case by one call of findall, which returns groups if the pattern has any.
        if self.behavior == "isolated" and not self.pattern.groups:
            return self._isolated(pieces), first
        found = []
        for i, piece in enumerate(pieces):
            cuts = self.cuts(piece)
            if i == 0:  # what is removed at the begin takes the begin with it
                first = first and bool(cuts) and cuts[0][0] == 0
            found += [piece[start:stop] for start, stop in cuts]
        return found, first

    def _isolated(self, pieces):
        found = []
        for piece in pieces:
            here = self.pattern.findall(piece)
            if sum(map(len, here)) < len(piece):  # gaps between the matches are pieces too
                here = [piece[start:stop] for start, stop in self.cuts(piece)]
            found += filter(None, here)  # without empty matches
        return found


def _joined(spans, joins):
    """Spans [start, stop, is match], some joined to the span before.

    joins  function (is match, whether the span before is one) -> bool
    """
    done, before = [], False
    for span in spans:
        if done and joins(span[2], before):
            done[-1][1] = span[1]
        else:
            done.append(list(span))
        before = span[2]
    return done


class Prefixed:
    """Puts a space before every piece that begins with none."""

    def __call__(self, pieces: Sequence[str], first: bool) -> tuple[list[str], bool]:
        return [piece if piece.startswith(" ") else " " + piece for piece in pieces], first


class Marked:
    """Metaspace: spaces become a mark, and a mark begins the text; each begins a piece.

    mark    one character, "▁"
    scheme  which pieces get one in front: "always" all, "first" that at the begin of the text,
            "never" none
    split   cut before every mark
    """

    def __init__(self, mark: str, scheme: str, split: bool) -> None:
        self.mark, self.scheme = mark, scheme
        self.split = None
        if split:
            self.split = Splitter(mark, "next")

    def __call__(self, pieces: list[str], first: bool) -> tuple[list[str], bool]:
        pieces = [piece.replace(" ", self.mark) for piece in pieces]
        for i, piece in enumerate(pieces):
            wanted = self.scheme == "always" or self.scheme == "first" and first and i == 0
            if wanted and not piece.startswith(self.mark):
                pieces[i] = self.mark + piece
        if self.split:
            return self.split(pieces, first)
        return (pieces, first)


def printable(pieces: Sequence[str], first: bool) -> tuple[list[str], bool]:
    """The bytes of every piece in the alphabet of printable.py."""
    return [to_printable(piece.encode()) for piece in pieces], first


def pre_tokenizer(value: dict[str, Any] | None, name: str = "pre_tokenizer") -> list[Callable]:
    """The steps of a description, in order: a list; empty for null."""
    if value is None:
        return []
    return built(value, name, KINDS)


def _sequence(described):
    return [step for part in described.parts("pretokenizers") for step in built(*part, KINDS)]


def _byte_level(described):
    prefix = described.take("add_prefix_space", bool)
    split = described.take("use_regex", bool, True)
    described.take("trim_offsets", bool, True)  # of offsets, which are not given here
    steps = []
    if prefix:
        steps.append(Prefixed())
    if split:
        steps.append(Splitter(GPT2.split, "isolated"))
    return [*steps, printable]


def _split(described):
    behavior = BEHAVIORS[described.one_of("behavior", BEHAVIORS)]
    return [Splitter(pattern_of(described), behavior, described.take("invert", bool))]


def _metaspace(described):
    mark, split = described.character("replacement"), described.take("split", bool, True)
    return [Marked(mark, scheme_of(described), split)]


def scheme_of(described: Described) -> str:
    """Where Metaspace puts a mark: prepend_scheme, or add_prefix_space in older files."""
    old = described.take("add_prefix_space", bool | None, None)
    described.take("str_rep", str | None, None)  # the mark once more
    scheme = described.one_of("prepend_scheme", SCHEMES, "always")
    if old is False and scheme != "never":
        if "prepend_scheme" in described.given:  # both are written, and contradict each other
            raise described.wrong(
                "add_prefix_space", old, f"true where prepend_scheme is {scheme!r}"
            )
        return "never"
    return scheme


def _digits(described):
    if described.take("individual_digits", bool):
        return [Splitter(_DIGIT, "isolated")]
    return [Splitter(_DIGIT, "contiguous")]


def _punctuation(described):
    return [Splitter(_SIGN, BEHAVIORS[described.one_of("behavior", BEHAVIORS, "Isolated")])]


def _fixed(described):
    length = described.take("length", int, 5)
    if length < 1:
        raise described.wrong("length", length, "1 or more")
    return [Splitter(regex.compile(rf"(?s).{{1,{length}}}"), "isolated")]


# {type: function Described -> list of steps}
KINDS = {
    "Sequence": _sequence,
    "ByteLevel": _byte_level,
    "Split": _split,
    "Metaspace": _metaspace,
    "Digits": _digits,
    "Punctuation": _punctuation,
    "FixedLength": _fixed,
    "Whitespace": lambda described: [Splitter(_WORDS, "removed", invert=True)],
    "WhitespaceSplit": lambda described: [Splitter(_SPACE, "removed")],
    "BertPreTokenizer": lambda described: [
        Splitter(_SPACE, "removed"),
        Splitter(_SIGN, "isolated"),
    ],
    "CharDelimiterSplit": lambda described: [Splitter(described.character("delimiter"), "removed")],
}
