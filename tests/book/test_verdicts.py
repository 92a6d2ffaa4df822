from pathlib import Path

import pytest

from tinylm.book import check, verdicts

PAGE = """
# Scripts

| script | book section | claim | verdict as measured | minutes |
|---|---|---|---|---|
| [a.py](a.py), [b.py](../b.py) | 2.1 | `x` grows \\| falls, see [here](a.py) | shows | 2 |
| [c.py](c.py) | 2.2 | a row with too few cells |

| folder | of the book |
|---|---|
| [d.py](d.py) | 3 |
"""


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "scripts" / "2_ideas"
    (folder / "figures").mkdir(parents=True)
    (folder / "README.md").write_text(PAGE, encoding="utf-8")
    (folder / "a.py").write_text('"""The claim.\n\nOutput: 1. [--plot FILE]\n"""\n')
    (folder / "b.py").write_text("")
    for picture in ("a.svg", "figures/a_loss.png", "ab.png", "a.txt"):
        (folder / picture).write_text("")
    return tmp_path


def test_every_script_of_a_line_has_its_verdict(root):
    found = verdicts.verdicts(root)
    assert set(found) == {"scripts/2_ideas/a.py", "scripts/b.py"}
    assert found["scripts/2_ideas/a.py"] == verdicts.Verdict(
        "2.1", "x grows | falls, see here", "shows", "2"
    )


def test_a_folder_without_scripts_has_none(tmp_path):
    assert verdicts.verdicts(tmp_path) == {}


def test_the_header_is_the_docstring(root):
    assert verdicts.header("scripts/2_ideas/a.py", root).startswith("The claim.")
    assert verdicts.header("scripts/2_ideas/b.py", root) == ""
    assert verdicts.header("scripts/none.py", root) == ""


def test_pictures_have_the_name_of_their_script(root):
    found = verdicts.pictures("scripts/2_ideas/a.py", root)
    assert [path.name for path in found] == ["a.svg", "a_loss.png"]


def test_a_script_that_draws_says_so_in_its_header(root):
    assert verdicts.draws("scripts/2_ideas/a.py", root)
    assert not verdicts.draws("scripts/2_ideas/b.py", root)


def test_every_script_of_the_index_has_a_verdict():
    root = check.repository()
    if root is None or not Path(root / "scripts").is_dir():
        pytest.skip("scripts are in the repository")
    from tinylm import book

    scripts = {
        command.split()[1]
        for row in book.rows()
        if row.script != "-"
        for command in check.commands(row.script)
        if command.startswith("python ")
    }
    assert scripts - set(verdicts.verdicts(root)) == set()
