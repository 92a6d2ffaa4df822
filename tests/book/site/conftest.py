"""A small site; skipped where the extra is not there."""

import pytest

from tinylm import book

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
