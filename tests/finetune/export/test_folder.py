"""A folder appears whole, and replaces nothing but an earlier one of its kind."""

import json
import os

import pytest

from tinylm.errors import CheckpointError, ConfigError
from tinylm.finetune.export.folder import MANIFEST, WholeFolder


def write(path, **texts):
    with WholeFolder(path) as aside:
        for name, text in texts.items():
            (aside / name).write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_earlier_export_is_replaced_and_nothing_of_it_is_left(tmp_path):
    write(tmp_path / "m", a="1", b="2")
    write(tmp_path / "m", c="3")
    assert names(tmp_path / "m") == ["c", MANIFEST] and names(tmp_path) == ["m"]


def test_an_empty_folder_and_folders_above_are_made_use_of(tmp_path):
    (tmp_path / "m").mkdir()
    write(tmp_path / "m", a="1")
    write(tmp_path / "new" / "deep" / "m", a="1")
    assert names(tmp_path / "m") == names(tmp_path / "new" / "deep" / "m") == ["a", MANIFEST]
    plain = tmp_path / "plain"
    plain.mkdir()
    assert (tmp_path / "m").stat().st_mode == plain.stat().st_mode


def other(folder):
    (folder / "notes.txt").write_text("mine")


def changed(folder):
    (folder / "a").write_text("edited")


def link(folder):
    (folder / "a").unlink()
    (folder / "a").symlink_to("/etc/hostname")


def unlisted(folder):
    (folder / MANIFEST).write_text("[1]")


def linked_list(folder):
    (folder / MANIFEST).rename(folder.parent / "list")
    (folder / MANIFEST).symlink_to(folder.parent / "list")


def below(folder):
    (folder / "sub").mkdir()


@pytest.mark.parametrize(
    "spoil, message",
    [
        (other, "holds notes.txt, which is not overwritten: name another folder"),
        (changed, "holds a, changed since it was exported"),
        (link, "holds a, changed since it was exported"),
        (unlisted, "holds a, which is not overwritten, for it is no earlier"),
        (linked_list, "for it is no earlier export"),
        (below, "holds sub, which"),
    ],
)
def test_what_is_somebody_s_work_is_refused_and_stays(spoil, message, tmp_path):
    write(tmp_path / "m", a="1")
    spoil(tmp_path / "m")
    before = {path.name: path.lstat().st_mtime_ns for path in (tmp_path / "m").iterdir()}
    with pytest.raises(ConfigError, match=message):
        write(tmp_path / "m", a="2")
    assert {path.name: path.lstat().st_mtime_ns for path in (tmp_path / "m").iterdir()} == before


def test_another_folder_a_file_and_links_are_refused(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    refused = "holds config.json, which .* no earlier export of tinylm: name another folder"
    with pytest.raises(ConfigError, match=refused):
        write(tmp_path / "model", a="1")
    with pytest.raises(ConfigError, match="file is an existing file"):
        write(tmp_path / "file", a="1")
    with pytest.raises(ConfigError, match="link is a link to .*elsewhere.*: name the folder"):
        write(tmp_path / "link", a="1")
    assert not (tmp_path / "elsewhere").exists() and (tmp_path / "file").read_text() == "x"


def test_the_working_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # renamed over, it would be gone under the shell that stands in it
    with pytest.raises(ConfigError, match="is the working folder"):
        write(".", a="1")


def test_an_error_on_the_way_leaves_everything_as_it_was(tmp_path):
    write(tmp_path / "m", a="1")
    with pytest.raises(KeyError), WholeFolder(tmp_path / "m") as aside:
        (aside / "a").write_text("2")
        raise KeyError
    with pytest.raises(CheckpointError, match="cannot write .*m .*no space"):
        with WholeFolder(tmp_path / "m"):
            raise OSError(28, "no space")
    assert (tmp_path / "m" / "a").read_text() == "1" and names(tmp_path) == ["m"]


def test_what_came_meanwhile_is_not_written_over(tmp_path):
    with pytest.raises(ConfigError, match="holds mine"), WholeFolder(tmp_path / "m") as aside:
        (aside / "a").write_text("1")
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "mine").write_text("x")
    assert names(tmp_path / "m") == ["mine"] and names(tmp_path) == ["m"]


def test_a_failed_exchange_puts_the_earlier_export_back(tmp_path, monkeypatch):
    write(tmp_path / "m", a="1")
    rename = os.rename

    def failing(source, target):
        if (
            str(target) == str(tmp_path / "m")
            and "a" in os.listdir(source)
            and (open(os.path.join(source, "a")).read() == "2")
        ):
            raise OSError(5, "broken")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(CheckpointError, match="broken"):
        write(tmp_path / "m", a="2")
    assert (tmp_path / "m" / "a").read_text() == "1"
    assert json.loads((tmp_path / "m" / MANIFEST).read_text())["files"].keys() == {"a"}
