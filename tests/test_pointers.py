"""Whatever a docstring, a comment or a page calls a file is there: `Read next` never leads into
nothing.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE = re.compile(r"(?<![\w./{}<*-])((?:[A-Za-z_0-9]+/)*[A-Za-z_0-9]+\.py)\b(?![:(])")
NOT_OURS = {
    "yourfile.py",
    "setup.py",
    "__init__.py",
    "__main__.py",
    "conftest.py",
    "x.py",
    "code.py",
    "mine.py",
}
PAGES = sorted(
    [
        *ROOT.glob("tinylm/**/*.py"),
        *ROOT.glob("scripts/**/*.py"),
        *ROOT.glob("*.md"),
        *ROOT.glob("scripts/**/*.md"),
        *ROOT.glob("tinylm/**/*.md"),
    ]
)


def pointed_at(page):
    """Names of files in a page, each with the folders it may be relative to: its own, its floor's,
    tinylm/, the root.
    """
    folders = [page.parent, ROOT / "tinylm", ROOT]
    folders += [parent for parent in page.parents if ROOT / "tinylm" in parent.parents]
    if page.suffix == ".md":  # README may name a folder before its files
        folders += [ROOT / "tinylm" / "autograd" / "engine"]
    return {
        name: folders
        for name in FILE.findall(page.read_text(encoding="utf-8"))
        if name not in NOT_OURS
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_are_there(page):
    missing = [
        name
        for name, folders in pointed_at(page).items()
        if not any((f / name).is_file() for f in folders)
    ]
    assert not missing, f"{page.relative_to(ROOT)} names {', '.join(missing)}"
