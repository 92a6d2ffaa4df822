"""What the scripts show: claim, verdict and minutes, as the tables of scripts/*/README.md have
them, and the header of a script, which holds its measured output.

Read first: check.py, which finds the repository. Read next: facts.py.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_COLUMNS = ["script", "book section", "claim", "verdict as measured", "minutes"]


@dataclass(frozen=True)
class Verdict:
    """A line of a table of scripts."""

    section: str
    claim: str
    verdict: str
    minutes: str


@cache
def verdicts(root: Path) -> dict[str, Verdict]:
    """The verdict of every script, by its path in the repository: "scripts/engine_tour.py".

    root     the repository; a folder without scripts gives {}
    """
    found = {}
    for page in sorted(root.glob("scripts/**/README.md")):
        columns = []
        for line in page.read_text(encoding="utf-8").splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            if not line.startswith("|"):
                columns = []
            elif not columns:
                columns = cells
            elif columns == _COLUMNS and len(cells) == len(columns):
                for name in re.findall(r"\]\(([^)]+\.py)\)", cells[0]):
                    path = (page.parent / name).resolve().relative_to(root.resolve())
                    found[path.as_posix()] = Verdict(*map(_text, cells[1:]))
    return found


def _text(cell):
    """A cell without Markdown: links as their text, no code marks."""
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", cell).replace("`", "").replace("\\|", "|")


def header(script: str, root: Path) -> str:
    """The docstring of a script: its claims and its measured output; "" if it is not there."""
    path = root / script
    if not path.is_file():
        return ""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def pictures(script: str, root: Path) -> list[Path]:
    """Pictures that lie beside a script under its name: sinks.svg, figures/sinks_loss.png."""
    path = root / script
    beside = [*path.parent.glob("*"), *path.parent.glob("figures/*")]
    named = re.compile(rf"{re.escape(path.stem)}([_.-].*)?")
    kinds = (".svg", ".png")
    return sorted(p for p in beside if p.suffix in kinds and named.fullmatch(p.stem))


def draws(script: str, root: Path) -> bool:
    """Whether a script takes --plot FILE."""
    path = root / script
    return path.is_file() and "--plot FILE" in path.read_text(encoding="utf-8")
