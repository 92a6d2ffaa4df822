"""Tables over a vocabulary that some objectives need: which tokens begin a word, which end a
sentence, and the translations of words.

A tokenizer works on bytes, not on words. A token begins a word if it does not continue one: if its
first character is no letter, digit or part of a longer character. Read next: run.py, which builds
the objective with these.
"""

import functools
import itertools
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import regex

from tinylm.errors import ConfigError, DataError
from tinylm.reading import numbered_lines
from tinylm.writing import INSIDE, LETTER, composed, is_unspaced, replaced

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer
    from tinylm.tokenizers.bpe import BPETokenizer
    from tinylm.tokenizers.characters import CharTokenizer


_SENTENCE_END = regex.compile(r"\p{STerm}[\p{Pe}\p{Pf}\"']*\s*\Z")
_GOES_ON = regex.compile(rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{LETTER}]]|{INSIDE}", regex.V1)


def word_tables(
    needs: Collection[str],
    tokenizer: "Tokenizer",
    vocab_size: int,
    dictionary: dict[str, list[str]] | None = None,
) -> dict:
    """What an objective needs besides the special ids, by name.

    needs       of a Recipe: starts, ends, dictionary; corpus is left to the caller
    vocab_size  V, with the special ids
    dictionary  {word: [translations]}
    returns     {name: array}, see word_starts, sentence_ends and dictionary_table
    raises      ConfigError if no entry of the dictionary can be used
    """
    tables = {}
    if "starts" in needs:
        tables["starts"] = word_starts(tokenizer, vocab_size)
    if "ends" in needs:
        tables["ends"] = sentence_ends(tokenizer)
    if "dictionary" in needs:
        tables["dictionary"] = dictionary_table(dictionary, tokenizer, vocab_size)
    return tables


def word_starts(tokenizer: "Tokenizer", vocab_size: int) -> np.ndarray:
    """The ids that begin a word, for whole-word masking.

    vocab_size  at least the tokenizer's; further ids begin words of their own
    returns     (vocab_size,) bool. Spaces and signs begin a word, letters after them in the same
                token belong to it
    """
    starts = np.ones(vocab_size, bool)  # special ids begin words of their own
    for token in range(tokenizer.vocab_size):
        starts[token] = not _may_go_on(tokenizer.token_bytes(token))
    return starts


def _may_go_on(data):
    """True if the first character of a token's bytes continues a word: a letter, digit or mark of a
    script with spaces between words, or a part of a character that may be one.
    """
    # UTF-8: below 0x80 ASCII, 0x80 .. 0xBF inside a character, from 0xC0 its first byte.
    first = data[:1]
    if first < b"\xc0":  # ASCII, or the inside of a character
        return first.isalnum() or first >= b"\x80"
    size = 2 + (first >= b"\xe0") + (first >= b"\xf0")  # bytes of the character in UTF-8
    return _begins_spaced(data[:size], size)


@functools.lru_cache(maxsize=None)
def _begins_spaced(head, size):
    """True if, of the characters whose UTF-8 of `size` bytes begins with `head`, at least as many
    continue a word as belong to scripts without spaces, and there is one.
    """
    # All endings of up to two bytes are tried; of longer ones the last byte is fixed.
    tails = itertools.product(range(0x80, 0xC0), repeat=min(size - len(head), 2))
    data = (head + bytes(tail) + b"\x80" * (size - len(head) - len(tail)) for tail in tails)
    letters = "".join(one.decode("utf-8", "ignore") for one in data)
    go_on = len(_GOES_ON.findall(letters))
    return go_on > 0 and go_on >= sum(map(is_unspaced, letters))


def sentence_ends(tokenizer: "CharTokenizer") -> np.ndarray:
    """The ids of tokens that end a sentence: (n,) integers.

    They end with . ! ? or the like of other scripts, perhaps followed by closing quotes, brackets
    and spaces.
    """
    ends = []
    for token in range(tokenizer.vocab_size):
        text = tokenizer.token_bytes(token).decode("utf-8", "replace")
        if _SENTENCE_END.search(text):
            ends.append(token)
    return np.array(ends, np.int64)


def read_dictionary(path: str | Path) -> dict[str, list[str]]:
    """A dictionary of words.

    path     a file of lines `word<TAB>translation`; a word may have several lines; lines that begin
             with # are skipped
    returns  {word: [translations]}
    raises   DataError with the number of a line that is not of that form, or if there is no line
    """
    try:
        found = _entries(path)
    except DataError as error:
        raise DataError(f"dictionary {error}; give lines word<TAB>translation") from None
    if not found:
        raise DataError(f"dictionary {path} is empty: give lines word<TAB>translation")
    return found


def _entries(path):
    found = {}
    for number, line in numbered_lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        columns = [column.strip() for column in line.split("\t")]
        if len(columns) < 2 or not all(columns[:2]):
            raise DataError(
                f"{path}, line {number}: {line.strip()[:60]!r} is not word<TAB>translation"
            )
        found.setdefault(composed(columns[0]), []).append(columns[1])
    return found


def translated(text: str, dictionary: dict[str, list[str]]) -> str:
    """`text` with the words of the dictionary replaced by all their translations.

    A tokenizer that is learnt from it as well has tokens for the translations.
    """

    def other(word):
        if word in dictionary:
            return " ".join(dictionary[word])
        return None

    return replaced(text, dictionary, other)


def dictionary_table(
    dictionary: dict[str, list[str]], tokenizer: "BPETokenizer", vocab_size: int
) -> np.ndarray:
    """Translations as ids, for CodeSwitched: of words that are a single token in both languages.

    dictionary  {word: [translations]}
    returns     (vocab_size, n) int64, -1 where there is none or no more
    raises      ConfigError if not one entry can be used
    """
    table = {}  # id -> ids of its translations
    for word, translations in dictionary.items():
        for front in ("", " "):  # BPE keeps the space before a word in its token
            source = _single(tokenizer, front + word)
            targets = [_single(tokenizer, front + other) for other in translations]
            targets = [target for target in targets if target is not None]
            if source is None or not targets:
                continue
            row = table.setdefault(source, [])
            row += [target for target in dict.fromkeys(targets) if target not in row]
    widest = max(map(len, table.values()), default=0)
    if not widest:
        raise ConfigError(
            f"code-switching: none of {len(dictionary)} words is a single token in both languages: "
            "use a larger vocab_size, or a dictionary of words that the text has"
        )
    out = np.full((vocab_size, widest), -1, np.int64)  # -1: none, or no more
    for source, targets in table.items():
        out[source, : len(targets)] = targets
    return out


def _single(tokenizer, text):
    """The id of a text that is one token, or None."""
    try:
        ids = tokenizer.encode(text)
    except DataError:  # a character that the tokenizer does not have
        return None
    if len(ids) == 1:
        return int(ids[0])
    return None
