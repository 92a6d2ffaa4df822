"""One document after the other from files: whole files, paragraphs, lines, or lines of JSON.

A document is the unit that filters keep or drop and in which duplicates are found. Only one
document is in memory at a time. Read first: text.py, which reads the characters; read next:
clean/pipeline.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tinylm.data.read.sources import text_files
from tinylm.data.read.text import holds_json_lines, json_texts, stream_text
from tinylm.errors import ConfigError
from tinylm.reading import BadLines, lines_of

UNITS = ("auto", "file", "paragraph", "line")


def read_documents(
    paths: Sequence[Path], unit: str = "auto", key: str = "text", bad: BadLines | None = None
) -> Iterator[Iterable[str]]:
    """The documents in files, one after the other.

    paths    iterable of paths: files, folders with text files, or patterns (sources.py)
    unit     "file"; "paragraph", ended by blank lines; "line"; "auto": for .jsonl files (may be
             .gz) the text in each line, for others the file
    key      of the text in a line of JSON
    bad      reading.BadLines that takes lines that cannot be read; by default they raise
    yields   str, none of white space alone
    raises   ConfigError for another unit; DataError for a file that cannot be read, with the line
    """
    if unit not in UNITS:
        raise ConfigError(f"documents: unit {unit!r} is none of {', '.join(UNITS)}")
    files = text_files(paths)
    for file in files:
        if len(files) > 1 and file.is_file() and file.stat().st_size == 0:
            continue  # an empty file among others is no error, such as __init__.py
        if unit == "auto" and holds_json_lines(file):
            found = json_texts(file, key, bad)
        elif unit in ("auto", "file"):
            found = ["".join(stream_text(file, bad=bad))]
        elif unit == "line":
            found = lines_of(stream_text(file, bad=bad))
        else:
            found = _paragraphs(stream_text(file, bad=bad))
        yield from (text for text in found if text.strip())


def _paragraphs(chunks):
    held = []  # lines of the paragraph that has begun
    for line in lines_of(chunks):
        if line.strip():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    yield "\n".join(held)
