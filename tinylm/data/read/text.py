"""Where text comes from: the English inside every CPython, or one's own files, read strictly.

Training data is the one input nobody looks at twice, so a file that is not the text it claims to be is refused
with its name, the place and the mend, never read with replacement characters. Files are read in chunks that never
cut a character, so a corpus may be larger than memory. Book section 2.2.1. Read next: `batches/split.py`, `batches/prepare.py`.
"""
import codecs
import io

from tinylm.data.read.sources import shown, text_files, unreadable
from tinylm.errors import DataError

_BOMS = {"utf-8": codecs.BOM_UTF8}
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def python_documentation():
    """The language reference that `help()` shows, as one text: the default corpus, on every machine already.

    returns  str, the topics of `pydoc_data.topics` in alphabetical order with a blank line between: about 465,000
             characters, the same for the same Python version. About a fifth of it are paragraphs that several
             topics share; `without_repeats` leaves them out, which a fair validation split needs.
    raises   DataError where a distribution has removed pydoc_data
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataError("this Python comes without pydoc_data, the built-in corpus (a stripped distribution): "
                        "give a text of your own with --data FILE, or use the Python from python.org") from None
    return "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"


def without_repeats(text, shortest=80):
    """`text` without the paragraphs that already stood earlier in it, word for word.

    A contiguous split of a text that repeats itself puts the same paragraphs on both sides, and validation then
    rewards memory (Lee et al. 2022, deduplicating training data).

    shortest  characters; shorter paragraphs (headings, rules, one-line examples) are always kept
    returns   str; paragraphs are what blank lines separate. Applying it twice changes nothing more.
    """
    seen, kept = set(), []
    for paragraph in text.split("\n\n"):
        if len(paragraph) >= shortest:
            if paragraph in seen:
                continue
            seen.add(paragraph)
        kept.append(paragraph)
    return "\n\n".join(kept)


def stream_text(path, encoding="utf-8", chunk_bytes=1 << 20):
    """The text of one file, piece by piece: a file larger than memory is no trouble.

    chunk_bytes  how much is read at once; no piece cuts a character or a line ending in two
    yields       non-empty str. A byte order mark is dropped; CRLF and lone CR become LF.
    raises       DataError, when it gets there: missing, unreadable, empty, binary (a NUL byte), or a byte that is
                 not of the encoding, with its offset
    """
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    decoder = codecs.getincrementaldecoder(encoding)()
    mark = _BOMS.get(codecs.lookup(encoding).name, b"")
    offset, chunk = 0, b""                                 # of the first byte of `chunk` in the file
    try:
        with open(path, "rb") as file:
            while True:
                offset += len(chunk)
                chunk = file.read(max(chunk_bytes, 4))     # 4: a byte order mark must arrive whole
                if offset == 0:
                    if not chunk:
                        raise DataError(f"read text: {str(path)!r} is empty: give a file with text in it")
                    if mark and chunk.startswith(mark):
                        chunk, offset = chunk[len(mark):], len(mark)
                        if not chunk:
                            continue
                text = newlines.decode(_decode(decoder, chunk, offset, path, encoding), final=not chunk)
                if text:
                    yield text
                if not chunk:
                    return
    except OSError as error:
        raise unreadable(path, error) from None


def _decode(decoder, chunk, offset, path, encoding):
    """`chunk`, which starts at byte `offset` of the file, as str; an empty chunk is the end of the file."""
    pending = len(decoder.getstate()[0])                   # bytes of a character whose rest comes in this chunk
    nul, name = chunk.find(b"\0"), repr(str(path))
    try:
        text = decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        if error.object.startswith(_UTF16_BOMS) and offset == pending:
            raise DataError(f"read text: {name} looks like UTF-16, not {encoding}: "
                            f"convert it with: iconv -f UTF-16 -t UTF-8 {path} > new.txt") from None
        if nul < 0:
            at, byte = offset - pending + error.start, error.object[error.start]
            raise DataError(f"read text: {name} is not {encoding}: byte 0x{byte:02x} at offset {at} ({error.reason}): "
                            f"convert it, for example with: iconv -f WINDOWS-1252 -t UTF-8 {path} > new.txt") from None
        text = "\0"
    if "\0" in text:
        raise DataError(f"read text: {name} is a binary file (a NUL byte at offset {offset + nul}): give plain text")
    return text


def stream_documents(path, encoding="utf-8", chunk_bytes=1 << 20):
    """Every file at `path` as a document that is itself a stream: `prepare(stream_documents(folder), ...)`.

    path    a file, folder or pattern, or several of them (sources.py)
    yields  one iterator of str per file, in `text_files` order, to be read before the next is asked for. Empty
            files among others are passed over; DataError if all are empty, and as `stream_text`.
    """
    files = text_files(path)
    try:
        filled = [file for file in files if len(files) == 1 or file.stat().st_size > 0]
    except OSError as error:
        raise unreadable(path, error) from None
    if not filled:
        raise DataError(f"read text: all {len(files)} text files in {shown(path)} are empty: "
                        "give files with text in them")
    for file in filled:
        yield stream_text(file, encoding, chunk_bytes)


def read_text(path, encoding="utf-8"):
    """The documents at `path`, in memory: one str per file (see `text_files`, `stream_text` for what is raised)."""
    return ["".join(chunks) for chunks in stream_documents(path, encoding)]
