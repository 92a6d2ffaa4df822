"""Passages of a user's documents, kept beside them and made again where they changed.

    index = open_index(["notes/"])
    index.search("Where is Oslo?", 3)

The first call reads all documents and writes notes/.tinylm-index.npz. Later calls read the
documents that are new or different: by size and time of change, and where those differ by their
hash. A file that cannot be read as text, or is too long, is left out and named. Read first:
index_file.py.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tinylm.data.read.sources import find_texts
from tinylm.data.read.text import holds_json_lines, json_texts, stream_text
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.rag.chunks import LONG_WORD, Passage, passages
from tinylm.prompt.rag.index_file import STEMMERS, StoredIndex, read_index, write_index
from tinylm.prompt.rag.retrievers import Dense, Hybrid, embed_all
from tinylm.reading import BLOCK

NAME = ".tinylm-index.npz"  # hidden: folders are read without it
LONGEST = 10_000_000  # characters of a document


class DocumentIndex:
    """A retriever over the passages of documents.

    stored     StoredIndex
    embed      function from texts to vectors, or None: words alone
    left_out   {path: why it was not read}
    read       paths of the documents that were read now; the others were in the index
    saved      False where the index could not be written, as in a folder that is read-only
    not_text   a line on the files of folders that are no text by their names, or ""

    `passages` are Passages with the paths of their documents, `documents` their texts, `words` the
    InvertedIndex over them.
    """

    def __init__(
        self,
        stored: StoredIndex,
        embed: Callable | None = None,
        left_out: dict[str, str] | None = None,
        read: Sequence[str] = (),
        saved: bool = True,
        not_text: str = "",
    ) -> None:
        self.stored, self.left_out, self.read = stored, dict(left_out or {}), list(read)
        self.saved, self.not_text = saved, not_text
        self.documents = stored.passage_texts()
        paths = [source["path"] for source in stored.sources]
        spans = stored.spans.tolist()
        self.passages = [
            Passage(paths[d], start, end, text)
            for (d, start, end), text in zip(spans, self.documents)
        ]
        self.retriever = self.words = stored.inverted()
        if embed is not None:
            dense = Dense(self.documents, embed, stored.vectors)
            self.retriever = Hybrid([self.words, dense])

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The k best passages: list of (number, score), best first."""
        return self.retriever.search(query, k)


def open_index(
    paths: Sequence,
    path: str | Path | None = None,
    *,
    size: int = 100,
    overlap: int = 20,
    embed: Callable | None = None,
    embedder: str = "",
    stem: Callable | None = None,
    longest: int = LONGEST,
) -> DocumentIndex:
    """The index of documents: read, brought up to date, and written if anything changed.

    paths     files, folders (read recursively) and patterns (data/read/sources.py)
    path      of the index; None: NAME in the folder that holds all documents
    size, overlap  of passages, in words (chunks.py)
    embed     function from a list of N texts to (N, width) vectors: search by words and vectors;
              None: by words
    embedder  its name, with embed: the vectors of another one are made again
    stem      "porter": English words are compared by their stems; None: as they are written
    longest   characters of a document; a longer one is left out
    returns   DocumentIndex
    raises    DataError if no document, or not the index, can be read; CheckpointError for a damaged
              index; ConfigError for an embedder without a name, a folder as the index, or
              another stemmer
    """
    if stem not in STEMMERS:
        raise ConfigError(f"open_index: no stemmer {stem!r}; there are None and 'porter'")
    if embed is not None and not embedder:
        raise ConfigError("open_index: give the name of the embedder, as the index keeps vectors")
    found = find_texts(paths)
    files = found.files
    if path is None:
        path = Path(_common_folder(files)) / NAME
    path = Path(path)
    # realpath takes a link onto itself as it is, which Path.resolve does not.
    files = [file for file in files if os.path.realpath(file) != os.path.realpath(path)]
    settings = {"size": size, "overlap": overlap, "long word": LONG_WORD}
    settings["embedder"] = embedder if embed else None
    settings["stem"] = stem
    old = _old(path)
    entries, left_out = _entries(files, path.parent, old, settings, longest)
    if not entries:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in left_out.items())
        raise DataError(f"no document can be read: {reasons}"[:1000])
    read = [source["path"] for source, _, number in entries if number is None]
    sources = [source for source, _, _ in entries]
    # Nothing has changed: nothing is cut, counted or written.
    changed = old is None or (old.settings, old.sources) != (settings, sources)
    stored, saved = old, True
    if changed:
        stored = _stored(settings, entries, old, embed)
        saved = _saved(path, stored)
    return DocumentIndex(stored, embed, left_out, read, saved, found.left_out_line())


def _old(path):
    """The index that is there, or None."""
    try:
        if path.is_dir():
            raise ConfigError(f"the index {path} is a folder: give the path of a file")
        return read_index(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(
            f"the index {path} cannot be read ({error.strerror or error}): check that you may read "
            "it (ls -l), or give another path"
        ) from None


def _entries(files, folder, old, settings, longest):
    """The documents as they are now.

    returns  (list of (source, text, number of the same text in the old index or None), {name of a
             file that was left out: reason})
    """
    known = {}
    # Neither embedder nor stemmer makes passages: with another one, texts and passages are kept.
    of_search = {name: settings[name] for name in ("embedder", "stem")}
    if old is not None and {**old.settings, **of_search} == settings:
        known = {source["path"]: number for number, source in enumerate(old.sources)}
    entries, left_out = [], {}
    for file in files:
        name = Path(os.path.relpath(file, folder)).as_posix()
        try:
            status = file.stat()
            # It is read for its hash and for its text, and a pipe can be read once.
            if not stat.S_ISREG(status.st_mode):
                raise DataError("it is a pipe or a device: write it into a file, and give that")
            if status.st_size > 4 * longest:  # a character has at most 4 bytes
                raise _too_long(longest)
            source, number = _source(file, name, old, known)
            if number is None:
                text = _text(file, longest)
            else:
                text = old.texts[number]
            if len(text) > longest:
                raise _too_long(longest)
            entries.append((source, text, number))
        except (DataError, OSError) as error:
            left_out[name] = str(error)
    return entries, left_out


def _source(file, name, old, known):
    """(the entry of a file as it is now, the number of the same text in the old index or None)"""
    status = file.stat()
    source = {"path": name, "bytes": status.st_size, "mtime": status.st_mtime_ns}
    number = known.get(name)
    if number is not None:
        before = old.sources[number]
        # The same size and time: taken for the same text unread, as rsync does.
        if (before["bytes"], before["mtime"]) == (source["bytes"], source["mtime"]):
            return before, number
    # A copy has a new time and the same text: the hash decides.
    source["sha256"] = _hash(file)
    if number is not None and old.sources[number]["sha256"] != source["sha256"]:
        number = None
    return source, number


def _hash(file):
    found = hashlib.sha256()
    with open(file, "rb") as opened:
        while block := opened.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def _text(file, longest):
    """The text of a document; the texts of a file of JSON lines, with blank lines between them."""
    if holds_json_lines(file):
        parts, between = json_texts(file), "\n\n"
    else:
        parts, between = stream_text(file), ""
    found, total = [], 0
    for part in parts:
        found.append(part)
        total += len(part)
        if total > longest:
            raise _too_long(longest)
    text = between.join(found)
    if not text.strip():
        raise DataError("it holds no text but white space")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = ascii(text[error.start])
        raise DataError(f"it holds {half}, half of a character, at {error.start}") from None
    return text


def _too_long(longest):
    return DataError(f"it has more than {longest:,} characters: split it, or raise the limit")


def _stored(settings, entries, old, embed):
    """A new index, with the passages and vectors of the old one where the text is the same."""
    sources, texts = [entry[0] for entry in entries], [entry[1] for entry in entries]
    spans, vectors = [], []  # of each document; vectors None where there are none yet
    for document, (_, text, number) in enumerate(entries):
        of_old = None
        if number is None:
            found = passages(text, settings["size"], settings["overlap"])
            part = np.array([(document, one.start, one.end) for one in found], np.int64)
        else:
            # The same text: its passages and vectors are kept, under the number that it has now.
            rows = old.spans[:, 0] == number
            part = old.spans[rows].copy()
            part[:, 0] = document
            if old.vectors is not None and old.settings["embedder"] == settings["embedder"]:
                of_old = old.vectors[rows]
        spans.append(part)
        vectors.append(of_old)
    stored = StoredIndex(settings, sources, texts, np.concatenate(spans))
    stored.count_words()
    if embed is not None:
        for document, of_old in enumerate(vectors):
            if of_old is None:
                # Embedding is the slow part: only what has no vectors yet.
                cut = [texts[document][start:end] for _, start, end in spans[document].tolist()]
                vectors[document] = np.asarray(embed_all(embed, cut), np.float32)
        stored.vectors = np.concatenate(vectors)
    return stored


def _saved(path, stored):
    """Write an index; False if that is not possible."""
    try:
        write_index(path, stored)
    except OSError:
        return False
    return True


def _common_folder(files):
    return os.path.commonpath([os.path.abspath(file.parent) for file in files])
