"""An index of passages as one file, written whole and read strictly.

NumPy's .npz holds the texts of the documents, where their passages begin and end, the inverted
index (for each word the passages that contain it, and how often), and vectors if there are any.
What is read back is checked: an index that is damaged, or was made by another program, is an error
with the file's name, never a wrong answer. Read next: document_index.py.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinylm.data.clean.stem import porter_stem
from tinylm.errors import CheckpointError
from tinylm.files import WholeFile, parse_json
from tinylm.generate.retrieval.bm25 import InvertedIndex

FORMAT = "tinylm passages 1"
ZIP = b"PK"  # what every archive begins with, as .npz is one
# {name: (type, dimensions)}
ARRAYS = {
    "header": (np.uint8, 1),
    "text": (np.uint8, 1),
    "spans": (np.int64, 2),
    "words": (np.uint8, 1),
    "begin": (np.int64, 1),
    "passage": (np.int64, 1),
    "count": (np.int64, 1),
    "lengths": (np.int64, 1),
}
# What NumPy and zipfile raise for wrong bytes: a bit may mean another version of the format, a
# password, a place before the file's beginning, or a size that no memory has.
DAMAGE = (
    ValueError,
    KeyError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    OSError,
    MemoryError,
)
# settings["stem"]: what makes words one, as functions cannot be stored
STEMMERS = {None: None, "porter": porter_stem}
SOURCE = {"path": str, "bytes": int, "mtime": int, "sha256": str}


@dataclass
class StoredIndex:
    """What the file holds: D documents, P passages, W words, N pairs of a word and a passage.

    settings  dict of what the passages were made with
    sources   list of D dict: path, bytes, mtime (nanoseconds), sha256
    texts     list of D str
    spans     (P, 3) int64: document, start, end
    words     list of W str, sorted
    begin     (W + 1,) int64: the pairs of word w are begin[w] .. begin[w + 1]
    passage   (N,) int64;  count  (N,) int64, of the word in the passage
    lengths   (P,) int64, words of each passage
    vectors   (P, width) float32, or None
    """

    settings: dict
    sources: list
    texts: list
    spans: np.ndarray
    words: list = field(default_factory=list)
    begin: np.ndarray = None
    passage: np.ndarray = None
    count: np.ndarray = None
    lengths: np.ndarray = None
    vectors: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.number_of = {word: number for number, word in enumerate(self.words)}

    @property
    def stemmer(self) -> Callable | None:
        """The function that makes words one, or None."""
        return STEMMERS[self.settings.get("stem")]

    def passage_texts(self) -> list[str]:
        """The texts of the passages: list of P str."""
        return [self.texts[d][start:end] for d, start, end in self.spans.tolist()]

    def count_words(self) -> None:
        """Fill in words, begin, passage, count and lengths from the texts."""
        index = InvertedIndex(self.passage_texts(), stem=self.stemmer)
        self.words = sorted(index.postings)
        self.__post_init__()
        # Rows of a sparse matrix (W, P): word w has the pairs begin[w] .. begin[w + 1].
        postings = [index.postings[word] for word in self.words]
        pairs = np.array([pair for one in postings for pair in one], np.int64).reshape(-1, 2)
        self.passage, self.count = pairs[:, 0], pairs[:, 1]
        self.begin = np.cumsum([0, *map(len, postings)], dtype=np.int64)
        self.lengths = index.lengths.astype(np.int64)

    def get(self, word: str, default: int | tuple = ()) -> int | Sequence[tuple[int, int]]:
        """The passages that contain a word: list of (passage, count)."""
        number = self.number_of.get(word)
        if number is None:
            return default
        span = slice(self.begin[number], self.begin[number + 1])
        return list(zip(self.passage[span].tolist(), self.count[span].tolist()))

    def inverted(self) -> InvertedIndex:
        """The InvertedIndex over the passages, without counting any word."""
        texts = self.passage_texts()
        return InvertedIndex.of_postings(texts, self.lengths, self, stem=self.stemmer)


def write_index(path: str | Path, stored: StoredIndex) -> None:
    """Write an index, whole or not at all. Raises OSError."""
    # One array of bytes for all texts, which are its slices.
    texts = [text.encode("utf-8") for text in stored.texts]
    header = {
        "format": FORMAT,
        "settings": stored.settings,
        "sources": stored.sources,
        "lengths": [len(text) for text in texts],
    }
    arrays = {
        "header": _bytes(json.dumps(header).encode("utf-8")),
        "text": _bytes(b"".join(texts)),
        "words": _bytes("\n".join(stored.words).encode("utf-8")),
    }
    for name in ("spans", "begin", "passage", "count", "lengths"):
        arrays[name] = np.asarray(getattr(stored, name), np.int64)
    if stored.vectors is not None:
        arrays["vectors"] = np.asarray(stored.vectors, np.float32)
    with WholeFile(path) as file:
        np.savez(file, **arrays)


def read_index(path: str | Path) -> StoredIndex:
    """The index in a file: StoredIndex.

    raises   CheckpointError naming the file and what is wrong in it; OSError if it cannot be read
    """
    with open(path, "rb") as opened:
        # Perhaps a document: it must not be deleted. A damaged index begins as one, or is empty.
        if opened.read(len(ZIP)) not in (ZIP, b""):
            raise CheckpointError(f"{path} is no index: give another path for it")
        opened.seek(0)
        try:
            arrays = _arrays(opened)
        except DAMAGE as error:
            raise _damaged(path, f"it is no .npz file ({error})") from None
    vectors = arrays.pop("vectors", None)
    if set(arrays) != set(ARRAYS):
        raise _damaged(path, f"it holds {', '.join(sorted(arrays)) or 'nothing'}")
    for name, (kind, dimensions) in ARRAYS.items():
        if arrays[name].dtype != kind or arrays[name].ndim != dimensions:
            raise _damaged(path, f"{name} is {arrays[name].dtype} {arrays[name].shape}")
    try:
        stored = _unpacked(arrays)
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path, f"its header or its text cannot be read ({error})") from None
    fault = _fault(stored, vectors)
    if fault:
        raise _damaged(path, fault)
    stored.vectors = vectors
    return stored


def _arrays(opened):
    """The arrays of an open .npz file: dict. Raises one of DAMAGE."""
    # A pickle could run code, and an index may come from anywhere.
    with np.load(opened, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _unpacked(arrays):
    """The StoredIndex of arrays of the right types; ValueError for what they cannot mean."""
    header = parse_json(arrays["header"].tobytes())
    if header["format"] != FORMAT:
        raise ValueError(f"the format is {header['format']!r:.60}, not {FORMAT!r}")
    sources, lengths = header["sources"], header["lengths"]
    if not isinstance(header["settings"], dict) or len(sources) != len(lengths):
        raise ValueError("settings, sources and lengths do not fit together")
    stem = header["settings"].get("stem")
    if stem not in STEMMERS:
        raise ValueError(f"the stemmer is {stem!r:.40}, and there are None and 'porter'")
    for source in sources:
        if {name: type(value) for name, value in source.items()} != SOURCE:
            raise ValueError(f"a source is {source!r:.80}")
    text, at, texts = arrays["text"].tobytes(), 0, []
    for length in lengths:
        # True is an int for isinstance.
        if type(length) is not int or length < 0:
            raise ValueError(f"a text has length {length!r:.40}")
        texts.append(text[at : at + length].decode("utf-8"))
        at += length
    if at != len(text):
        raise ValueError(f"the texts have {len(text)} bytes, and {at} by their lengths")
    words = arrays["words"].tobytes().decode("utf-8").split("\n")
    if words == [""]:
        words = []
    rest = [arrays[name] for name in ("begin", "passage", "count", "lengths")]
    return StoredIndex(header["settings"], sources, texts, arrays["spans"], words, *rest)


def _fault(stored, vectors):
    """What does not fit together in an index; "" if all does."""
    spans, begin, passage, count = stored.spans, stored.begin, stored.passage, stored.count
    P, N = len(spans), len(passage)
    if spans.shape != (P, 3) or stored.lengths.shape != (P,) or count.shape != (N,):
        return "its arrays have lengths that do not fit together"
    document, start, end = spans.T
    if P and (document.min() < 0 or document.max() >= len(stored.texts)):
        return "a passage is of no document"
    # 0 <= start < end <= length of the document
    ends = np.array([len(text) for text in stored.texts], np.int64)
    if ((start < 0) | (start >= end) | (end > ends[document])).any():
        return "a passage lies outside of its document"
    if stored.words != sorted(set(stored.words)) or begin.shape != (len(stored.words) + 1,):
        return "its words are not in order"
    # W + 1 rising numbers from 0 to N cut N pairs into W words.
    if begin[0] != 0 or begin[-1] != N or (np.diff(begin) < 1).any():
        return "a word has no passages"
    if N and (passage.min() < 0 or passage.max() >= P or count.min() < 1):
        return "a word is in no passage"
    # The words of each passage, counted once more from the other side.
    if not np.array_equal(np.bincount(passage, count, minlength=P), stored.lengths):
        return "its counts of words do not add up"
    if vectors is not None:
        if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != P:
            return f"vectors is {vectors.dtype} {vectors.shape} for {P} passages"
        if not np.isfinite(vectors).all():
            return "a vector holds a number that is not finite"
    return ""


def _bytes(data):
    return np.frombuffer(data, np.uint8)


def _damaged(path, reason):
    return CheckpointError(
        f"the index {path} cannot be used: {reason}. Delete it; it is made again from the documents"
    )
