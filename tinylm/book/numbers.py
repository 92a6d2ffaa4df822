"""Measured figures on the pages that do not say where they come from.

README.md, DESIGN.md and the pages of packages and scripts are read passage by passage: a paragraph
or an item of a list, with the tables and the code that follow it. The rules:

1. Measured is, in running text, a number in digits with a unit of time, speed, memory, loss or
   share (8 ms, 89 tokens/s, 116 MiB, 1.67 bits per byte, 2 nats, 6 %), a number of times as fast or
   as long, a number of tests or cases, a power of ten such as 2e-7, and any other decimal fraction;
   and a row of a table with two cells that begin with a number. What stands in `code` is an option
   or a setting. A number of millions is a size, and what follows NumPy, section and the like
   (NAMED) a version or a place.
2. A passage with a measured figure names a command in `code`: `tinylm VERB`, `python ...`,
   `pytest ...`, a file of scripts/ or of tests/. A row of a table that links to a script names it.
3. A passage with a time, a speed, or a ratio of times names the processor or the kernels
   (PROCESSOR); so does a table whose passage has the word fast, faster or slower.
4. A passage that has the words "figures of this section" states command and processor for all
   passages until the next heading of the same rank.
5. On a page of scripts every script has a row or is named, and every row its section, claim,
   verdict and minutes.

Whether the command yields the figure only a reader can tell. Read next: check.py, for the index.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

NUMBER = r"(?<![\w.,-])\d[\d,]*(?:\.\d+)?"
WRITTEN = rf"(?:{NUMBER}|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty))"
TIMES = re.compile(
    rf"{NUMBER} (?:ns|us|ms|s)\b"
    rf"|{WRITTEN} (?:seconds?|minutes?|hours?)\b"
    rf"|{NUMBER} (?:tokens|GB|MB)/s"
    rf"|{NUMBER} (?:\w+ ){{0,3}}an? (?:second|nanosecond|ns)\b"
    rf"|{NUMBER} times (?:(?:as|so) (?:fast|long|slow)|faster|slower|\w+'s time)"
    rf"|{NUMBER} (?:% )?of (?:(?:the|its|\w+'s) time|the speed|an? step|half a (?:batch|step))\b"
)
MEASURED = re.compile(
    rf"{TIMES.pattern}"
    rf"|{NUMBER} (?:KiB|MiB|GiB|KB|MB|GB)\b"
    rf"|{NUMBER} (?:bits per byte|nats)\b"
    rf"|{NUMBER} ?%"
    rf"|{NUMBER} (?:test functions|tests|cases)\b"
    r"|(?<![\w.,])\d(?:\.\d+)?e-\d+\b"
    r"|(?<![\w.,-])\d+\.\d+(?![\d.]*\w)(?! (?:million|billion))"
)
NAMED = re.compile(
    r"\b(?:NumPy|CuPy|torch|TRL|Python|transformers|version|[Ss]ections?|[Cc]hapters?|eqs?\.|Fig\."
    r"|Table)$"
)
PLACES = re.compile(
    r"\b(?:[Ss]ections?|[Cc]hapters?|[Ee]qs?\.) \d[\d.]*(?:(?:, | and | to |-)\d[\d.]*)*"
)
COMMAND = re.compile(r"\btinylm [a-z]+|\bpython |\bpytest\b|\bscripts/[\w/.]+|\btests/[\w/.]*")
PROCESSOR = re.compile(r"\b(?:AVX2|AVX-512|EPYC|Xeon|Zen|Haswell|SkylakeX)\b")
SECTION = "figures of this section"
COLUMNS = ["script", "book section", "claim", "verdict as measured", "minutes"]


@dataclass
class Passage:
    """A paragraph or an item of a list, and what follows it. Lines are counted from 1."""

    line: int
    text: str = ""
    rows: list = field(default_factory=list)  # of tables: (line, text)
    code: str = ""  # of code blocks
    rank: int = 0  # of a heading: 1 for #; 0 for all others


def passages(page: str) -> list[Passage]:
    """The passages of a page in Markdown, headings among them: list of Passage."""
    found, fenced, open_text = [Passage(1)], False, False
    for number, line in enumerate(page.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("```"):
            fenced, open_text = not fenced, False
        elif fenced or (line.startswith("    ") and not open_text):
            found[-1].code += line + "\n"
        elif not stripped:
            open_text = False
        elif stripped.startswith("|"):
            found[-1].rows.append((number, line))
            open_text = False
        elif line.startswith("#"):
            found.append(Passage(number, line, rank=len(line) - len(line.lstrip("#"))))
            open_text = False
        else:
            if not open_text or line.startswith("- "):
                found.append(Passage(number))
            found[-1].text += line + " "
            open_text = True
    return found


def without_code(text: str) -> str:
    """Text whose `code`, targets of links and asterisks are left out."""
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "`", text)).replace("**", "")


def times(text: str) -> list[str]:
    """The times, speeds and ratios of times in running text: list of str."""
    return [m.group() for m in TIMES.finditer(without_code(text))]


def figures(text: str) -> list[str]:
    """All measured figures in running text, by rule 1, in their order: list of str."""
    text = PLACES.sub(" ", without_code(text))
    return [
        m.group()
        for m in MEASURED.finditer(text)
        # The 2.13 of "torch 2.13" is a version.
        if not NAMED.search(text[: m.start()].rstrip(" ("))
    ]


def measured_rows(rows: Sequence[tuple[int, str]]) -> list[int]:
    """Rows of tables with two cells that begin with a number and no link to a script: lines."""
    found = []
    for line, row in rows:
        cells = [cell.strip(" *") for cell in row.strip().strip("|").split("|")]
        numbers = sum(bool(re.match(r"-?\d", cell)) for cell in cells)
        if numbers >= 2 and ".py)" not in row:
            found.append(line)
    return found


def complaints(page: str) -> list:
    """What rules 1 to 4 find on a page: lines "line N: what is wrong: the first figures"."""
    found, stated = [], []
    for passage in passages(page):
        if passage.rank:
            # What a section has stated holds for what lies deeper.
            stated = [(rank, text) for rank, text in stated if rank < passage.rank]
            rank = passage.rank
            continue
        said = passage.text + passage.code + " ".join(row for _, row in passage.rows)
        if SECTION in passage.text.lower():
            stated.append((rank, said))
        said += " ".join(text for _, text in stated)
        found += _of_passage(passage, said)
    return found


def _of_passage(passage, said):
    measured = figures(passage.text)
    rows = measured_rows(passage.rows)
    found, code = [], " ".join(re.findall(r"`([^`]+)`", said)) + passage.code
    if not COMMAND.search(code):
        if measured:
            found.append(f"line {passage.line}: no command yields {_first(measured)}")
        elif rows:
            found.append(f"line {rows[0]}: no command yields the rows of this table")
    timed = times(passage.text)
    if rows and not timed:
        timed = re.findall(r"\bfast\b|\bfaster\b|\bslower\b", passage.text)
    if timed and not PROCESSOR.search(said):
        found.append(f"line {passage.line}: no processor or kernels for {_first(timed)}")
    return found


def _first(found):
    return ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")


def script_complaints(page: str, names: Sequence[str]) -> list[str]:
    """What rule 5 finds on a page of scripts.

    names    the files beside the page that end with .py
    returns  lines "line N: what is wrong"
    """
    found = [f"{name} is not on the page" for name in sorted(names) if name not in page]
    columns = None
    for passage in passages(page):
        for line, row in passage.rows:
            cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
            if cells[0] == COLUMNS[0]:
                columns = cells
                if cells != COLUMNS:
                    found.append(f"line {line}: the columns must be {', '.join(COLUMNS)}")
            elif cells[0].startswith("[") and ".py)" in cells[0] and columns == COLUMNS:
                if len(cells) != len(COLUMNS) or not all(cells):
                    found.append(f"line {line}: a row has {len(COLUMNS)} cells, none empty")
                elif not re.fullmatch(r"\d+(\.\d+)?", cells[-1]):
                    found.append(f"line {line}: minutes must be a number, not {cells[-1]!r}")
    return found


def all_complaints(root: Path) -> list:
    """What all rules find in a repository: lines "page, line N: what is wrong"."""
    found = []
    folders = [root / "scripts", *sorted(path for path in (root / "scripts").glob("*/"))]
    scripts = [folder / "README.md" for folder in folders if (folder / "README.md").is_file()]
    packages = sorted((root / "tinylm").rglob("README.md"))
    for path in [root / "README.md", root / "DESIGN.md", *packages, *scripts]:
        page = path.read_text(encoding="utf-8")
        wrong = complaints(page)
        if path in scripts:
            wrong += script_complaints(page, [one.name for one in path.parent.glob("*.py")])
        found += [f"{path.relative_to(root)}, {what}" for what in wrong]
    return found
