"""One document after the other from files: whole files, paragraphs, lines, or lines of JSON.

What counts as one document decides what filters judge and duplicates are compared by. Only one document is in memory at
a time. Read first: text.py, which reads the characters; read next: clean/pipeline.py.
"""
import gzip
import json
from pathlib import Path

from tinylm.data.read.sources import text_files
from tinylm.data.read.text import stream_text
from tinylm.errors import ConfigError, DataError

UNITS = ("auto", "file", "paragraph", "line")
_JSON_LINES = (".jsonl", ".jsonl.gz", ".ndjson")


def read_documents(paths, unit="auto", key="text"):
    """The documents of files.

    paths    iterable of paths: files, folders with text files, or patterns (sources.py)
    unit     "file"; "paragraph", which blank lines end; "line"; "auto": for .jsonl files (may be .gz) the text in each
             line, for others the file
    key      of the text in a line of JSON
    yields   str, none of white space alone
    raises   ConfigError for another unit; DataError for a file that cannot be read, with the line
    """
    if unit not in UNITS:
        raise ConfigError(f"documents: unit {unit!r} is none of {', '.join(UNITS)}")
    files = text_files(paths)
    for file in files:
        if len(files) > 1 and file.is_file() and file.stat().st_size == 0:
            continue                                        # such as __init__.py
        if unit == "auto" and str(file).lower().endswith(_JSON_LINES):
            found = _json_lines(file, key)
        elif unit in ("auto", "file"):
            found = ["".join(stream_text(file))]
        else:
            found = _lines(stream_text(file)) if unit == "line" else _paragraphs(stream_text(file))
        yield from (text for text in found if text.strip())


def _lines(chunks):
    rest = ""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        yield from whole
    yield rest


def _paragraphs(chunks):
    held = []
    for line in _lines(chunks):
        if line.strip():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    yield "\n".join(held)


def _json_lines(path, key):
    opened = gzip.open if Path(path).suffix == ".gz" else open
    number = 0
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):         # noqa: B007
                if line.strip():
                    text = json.loads(line)[key]
                    if not isinstance(text, str):
                        raise TypeError(f"{key!r} is {type(text).__name__}, not text")
                    yield text
    except OSError as error:
        raise DataError(f"documents: {path} cannot be read ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise DataError(f"documents: {path}, line {max(number, 1)}: {error or type(error).__name__}; every line must be a "
                        f"JSON object with the text under {key!r}") from None
