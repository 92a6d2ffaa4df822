"""The text of a run: its sources, the tokenizer that is learnt from it, and its tokens on disk.

Text is read as documents, each a stream, so that it may be larger than memory. Pairs of
translations are documents of one line, `sentence<TAB>translation`. Read next:
data/batches/prepare.py; rows.py, the rows that are drawn from the tokens.
"""

import itertools
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylm import tokenizers
from tinylm.data import Prepared, prepare
from tinylm.data.batches.prepare import END_OF_TEXT, training_documents
from tinylm.data.read.sources import find_texts, shown, text_files
from tinylm.data.read.text import (
    python_documentation,
    stream_documents,
    without_repeats,
)
from tinylm.errors import ConfigError, DataError
from tinylm.reading import BadLines, numbered_lines, refuse
from tinylm.tokenizers.base import Tokenizer
from tinylm.train.run.rows import PairTokenizer
from tinylm.train.run.words import read_dictionary, translated

if TYPE_CHECKING:
    from tinylm.train.run.config import TrainConfig


DICTIONARY = "dictionary.tsv"  # in the directory of a run, as it was when the run began


def make_tokenizer(config: "TrainConfig") -> Tokenizer:
    """The tokenizer of a configuration, learnt from its text or read from a file.

    Merges are learnt from the training part: whole words of the validation text as tokens would
    make it cheaper than unseen text is (measured: 0.12 bits per byte with 4,096 tokens of 380,000
    characters). Characters come from the whole text, since the validation part must be encodable
    too. With a dictionary both also come from the text with its words translated.
    """
    special = ()
    if config.data and not config.recipe.pairs and len(text_files(config.data)) > 1:
        special = (END_OF_TEXT,)  # between the documents of several files
    if config.tokenizer == "bytes":
        return tokenizers.ByteTokenizer(special)
    if config.tokenizer == "chars":
        seen = set().union(*map(set, _chunks(config, documents(config))))
        return tokenizers.CharTokenizer("".join(sorted(seen)), special)
    if config.tokenizer == "bpe":
        found = training_documents(lambda: documents(config), config.val_fraction, config.seed)
        return tokenizers.BPETokenizer.train(_chunks(config, found), config.vocab_size, special)
    path = Path(config.tokenizer)
    if not path.exists():
        raise ConfigError(
            f"tokenizer {config.tokenizer!r} is neither chars, bytes, bpe nor an existing file"
        )
    return tokenizers.load(path)


def documents(config: "TrainConfig", bad: BadLines | None = None) -> Iterable:
    """The documents of the text, each a str or an iterator of str.

    bad  BadLines for lines that cannot be read; None: one by the configuration's skip_bad
    """
    if bad is None:
        bad = BadLines(config.skip_bad)
    if config.recipe.pairs:
        return translations(config.data, bad)
    if config.data:
        return stream_documents(config.data, bad=bad)
    return without_repeats(python_documentation())


def sources_line(config: "TrainConfig") -> str:
    """One line on the files of the text and those left out; "" for one file that was named."""
    if not config.data:
        return ""
    found = find_texts(config.data)
    lines = [found.left_out_line()]
    if len(found.files) > 1:
        lines = [f"{len(found.files):,} files of text", *lines]
    return "; ".join(filter(None, lines))


def _chunks(config, found):
    """Documents of a configuration in pieces, for learning a tokenizer."""
    if config.recipe.pairs:
        # The two sentences as two lines: merges must not cross from one to the other.
        lines = ("".join(line) for line in found)
        return (line.replace("\t", "\n") + "\n" for line in lines)
    if isinstance(found, str):
        chunks = [found]
    else:
        chunks = itertools.chain.from_iterable(found)
    if not config.dictionary:
        return chunks
    # Each piece of text twice: as it is, and with its words translated.
    dictionary = read_dictionary(config.dictionary)
    both = ((chunk, translated(chunk, dictionary)) for chunk in chunks)
    return itertools.chain.from_iterable(both)


def translations(path: Any, bad: BadLines | None = None) -> Iterator[str]:
    """Pairs of translations, one a line, with a tab between; further columns are ignored.

    path     a file, folder or pattern, or several of them
    bad      reading.BadLines that collects lines that cannot be read; None: they raise
    yields   "sentence\\ttranslation"
    raises   DataError with file and number of a line that has no two columns, or if there are fewer
             than two pairs
    """
    count = 0
    for file in text_files(path):
        for number, line in numbered_lines(file, bad):
            if not line.strip():
                continue
            columns = [column.strip() for column in line.split("\t")]
            if len(columns) < 2 or not all(columns[:2]):
                refuse(
                    f"pairs {file}, line {number}: {line.strip()[:60]!r} is not "
                    "sentence<TAB>translation",
                    bad,
                )
                continue
            count += 1
            yield "\t".join(columns[:2])
    if count < 2:
        raise DataError(
            f"pairs {shown(path)}: {count} lines of sentence<TAB>translation are too "
            "few: give two at least"
        )


def prepare_text(
    config: "TrainConfig",
    tokenizer: Tokenizer,
    directory: str | Path,
    data: Any = None,
    val_fraction: float | None = None,
    bad: BadLines | None = None,
) -> Prepared:
    """Encode the text of a configuration into `directory`.

    data, val_fraction  other text than the configuration's, and another part of it to validate
    bad                 as in documents()
    returns             Prepared
    """
    if bad is None:
        bad = BadLines(config.skip_bad)
    if val_fraction is None:
        val_fraction = config.val_fraction
    encoder = tokenizer
    if config.recipe.pairs:
        special = config.special(tokenizer.vocab_size)
        encoder = PairTokenizer(tokenizer, special.sep, special.vocab_size)
    if data is None:
        found = documents(config, bad)
    elif config.recipe.pairs:
        found = translations(data, bad)
    else:
        found = stream_documents(data, bad=bad)
    return prepare(found, encoder, directory, val_fraction, config.seed)


def open_text(config: "TrainConfig", tokenizer: Tokenizer, directory: str | Path) -> Prepared:
    """The Prepared that prepare_text wrote into `directory`; DataError if it is damaged."""
    words = tokenizer.vocab_size
    if config.recipe.pairs:
        words = config.special(words).vocab_size  # [SEP] stands in every document
    return Prepared.open(directory, words)


def keep_dictionary(config: "TrainConfig", directory: str | Path) -> None:
    """Copy the dictionary of a new run into its directory: a resumed run needs the same one."""
    if config.dictionary:
        read_dictionary(config.dictionary)  # raises here if a line is wrong
        shutil.copyfile(config.dictionary, Path(directory) / DICTIONARY)


def kept_dictionary(config: "TrainConfig", directory: str | Path) -> dict[str, list[str]] | None:
    """The dictionary of a run as it was at its start, {word: [translations]}, or None."""
    if config.dictionary:
        return read_dictionary(Path(directory) / DICTIONARY)
    return None
