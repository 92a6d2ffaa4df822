r"""Pre-tokens: the pieces of text inside which BPE may merge, and where a text may be cut before it
is read whole.

Without pieces, BPE learns tokens such as "dog." and "dog!" that spend the vocabulary on one word.
So GPT-2 (Radford et al. 2019, section 2.2) first splits text into runs of letters, of digits, of
other signs, each with the space before it, and of white space; merges never cross a border. Read
next: `bpe_train.py`.

A *certain cut* is a position c at which, whatever comes before and after in the text, split(text)
== split(text[:c]) + split(text[c:]). It lets a file larger than memory be split chunk by chunk.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import regex

from tinylm.errors import ConfigError
from tinylm.tokenizers.stream import CHUNK, Source, certain_chunks, read_text, special_pattern


@dataclass(frozen=True)
class SplitPattern:
    """A way to split text into pieces: `split` matches one piece, `cut` (searched backwards) one
    certain cut.
    """

    name: str
    split: regex.Pattern
    cut: regex.Pattern

    def pieces(self, text: str) -> list[str]:
        """The pieces of `text`, a list of strings whose concatenation is `text`."""
        return self.split.findall(text)

    def last_cut(self, text: str, start: int, stop: int) -> int:
        """The last certain cut c of `text` with start < c <= stop, or `start` if there is none."""
        match = self.cut.search(text, start, stop)
        if match:
            return match.start()
        return start


# GPT-2's pattern, letter for letter: English contractions; [space]letters; [space]digits;
# [space]other signs; white space, which leaves its last character to the word that follows; white
# space.
_GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# Every match above is [space] + one run of one class (letters, digits, other), or white space, or a
# contraction, which goes from other to letters. So no match goes on past: the end of a run of
# letters; the end of a run of digits; other signs followed by a space or digit. The look-ahead
# (?!\S) concerns white space only, and what stands before these cuts never ends in white space, so
# it sees the same character with and without the cut.
_GPT2_CUT = r"(?r)(?<=\p{L})(?=\P{L})|(?<=\p{N})(?=\P{N})|(?<=[^\s\p{L}\p{N}])(?=[\s\p{N}])"

GPT2 = SplitPattern("gpt2", regex.compile(_GPT2_SPLIT), regex.compile(_GPT2_CUT))

# GPT-2's pattern with every digit a piece of its own, which helps arithmetic: StarCoder, Cohere's
# Command R, SmolLM. Published as two passes, digits first; here in one. A digit is a border already
# in the first pass, so white space before it stays whole, as at the end of a text.
_DIGITS_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
# The cuts of GPT-2's pattern, and one before and after every digit.
_DIGITS_CUT = r"(?r)(?<=\p{L})(?=\P{L})|(?<=\p{N})|(?=\p{N})|(?<=[^\s\p{L}\p{N}])(?=\s)"
GPT2_DIGITS = SplitPattern("gpt2-digits", regex.compile(_DIGITS_SPLIT), regex.compile(_DIGITS_CUT))

# LLaMA 3 (after GPT-4): contractions of either case; letters take one sign before them; three
# digits at the most; other signs take the ends of lines after them; ends of lines take white space
# before them. Qwen 2 differs in one thing: every digit is a piece of its own.
_LINES_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
# As for GPT-2; but after other signs, the end of a line belongs to them.
_LINES_CUT = r"(?r)(?<=\p{L})(?=\P{L})|(?<=\p{N})(?=\P{N})|(?<=[^\s\p{L}\p{N}])(?=[^\S\r\n]|\p{N})"
LLAMA3 = SplitPattern("llama3", regex.compile(_LINES_SPLIT), regex.compile(_LINES_CUT))
QWEN2 = SplitPattern(
    "qwen2", regex.compile(_LINES_SPLIT.replace("{1,3}", "")), regex.compile(_LINES_CUT)
)

# Runs without a space, each with the space before it: what SentencePiece's pieces cannot cross
# (Kudo & Richardson 2018). Every space begins a piece, so any position before one is a border.
SPACES = SplitPattern("spaces", regex.compile(r" ?[^ ]+| "), regex.compile(r"(?r)(?= )"))

# The text as one piece: BPE as first described (Gage 1994). It has no certain cut, so a stream is
# held whole.
WHOLE = SplitPattern("whole", regex.compile(r"(?s).+"), regex.compile(r"(?!)"))

PATTERNS = {pattern.name: pattern for pattern in (GPT2, GPT2_DIGITS, LLAMA3, QWEN2, SPACES, WHOLE)}


def pattern_named(name: str) -> SplitPattern:
    """The SplitPattern called `name`.

    raises  ConfigError naming the patterns there are
    """
    if name not in PATTERNS:
        raise ConfigError(f"split pattern {name!r} does not exist; there are {', '.join(PATTERNS)}")
    return PATTERNS[name]


def count_pieces(
    texts: Source, pattern: SplitPattern = GPT2, special: Sequence[str] = (), chunk: int = CHUNK
) -> Counter:
    """How often each piece occurs in `texts`: the only thing that BPE learns from.

    texts    a text, a Path, an open file, or an iterable of texts. Pieces never span two texts;
             only one chunk of text and the counts of distinct pieces are in memory
    special  names that the text is split at first; they are counted nowhere
    returns  Counter {piece: occurrences}
    """
    border = special_pattern(special)
    longest = max(map(len, special), default=0)
    if isinstance(texts, str) or hasattr(texts, "read") or hasattr(texts, "__fspath__"):
        texts = [texts]  # one text
    counts = Counter()
    for text in texts:
        parts = read_text(text, chunk)
        for _, part in certain_chunks(parts, chunk, pattern.last_cut, border, longest):
            plain = [part]
            if border:
                plain = border.split(part)
            for stretch in plain:
                counts.update(pattern.pieces(stretch))
    return counts
