"""A small site and a real browser; skipped where the extra or the browser is not there."""

from pathlib import Path

import pytest

from tinylm import book

CHROMIUM = Path("/usr/bin/chromium")
SECTIONS = ("2.3.4", "1.3.2", "1.4.6", "4.4.2", "D2L 11.9.4")


def small_rows():
    """Rows of a few sections of every kind."""
    return [row for row in book.rows() if book.section_number(row) in SECTIONS]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of a site of a few sections."""
    pytest.importorskip("latex2mathml")
    from tinylm.book.site import build

    folder = tmp_path_factory.mktemp("book") / "site"
    build.build(small_rows(), folder)
    return folder


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests of a worker."""
    api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()
