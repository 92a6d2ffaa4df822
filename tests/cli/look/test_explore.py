"""`tinylm explore` writes a page, and says what it left out and why."""

import re
from pathlib import Path

import pytest

import tinylm.explore
from tinylm.cli import main
from tinylm.cli.look.explore import KINDS, library_of
from tinylm.explore import AtHand


def test_the_page_is_written_and_what_it_holds_is_said(tmp_path, capsys):
    out = tmp_path / "a page.html"
    assert main(["explore", "--out", str(out), "--expression", "x * x", "--array", "x=3"]) == 0
    html, said = out.read_text(encoding="utf-8"), capsys.readouterr().out
    assert 'data-kind="expression"' in html and "x * x" in html
    assert f"{len(html.encode()) / 1e6:.2f} MB" in said and "expression" in said


def test_an_expression_alone_is_the_only_figure(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["explore", "--out", str(out), "--expression", "x * x", "--array", "x=3"]) == 0
    html, said = out.read_text(encoding="utf-8"), capsys.readouterr()
    assert html.count('class="figure"') == 1 and "left out" not in said.err
    assert said.out.startswith(f"wrote {out}: ")
    assert main(["explore", "--out", str(out), "--expression", "x + x", "--array", "x=3"]) == 0
    assert capsys.readouterr().out.startswith(f"replaced {out}: ")


def test_without_anything_the_figures_that_need_no_run_are_made(tmp_path, capsys):
    out = tmp_path / "page.html"
    assert main(["explore", "--out", str(out)]) == 0
    html = out.read_text(encoding="utf-8")
    assert html.count('class="figure"') >= 4 and "left out attention" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, match",
    [
        (["--figures", "nothing"], "no figure 'nothing': choose of attention"),
        (["--expression", "__import__('os')"], "not among the functions"),
        (["--array", "x"], "has not the form"),
        (["nowhere"], "no run at 'nowhere'"),
        (["RUN"], "RUN stands for the directory that `tinylm train` has printed"),
        (["--figures", "expression", "."], "name the run before --figures"),
        (["--compare", "nowhere"], "no run at 'nowhere'"),
    ],
)
def test_what_cannot_be_made_is_one_line(words, match, tmp_path, capsys):
    assert main(["explore", *words, "--out", str(tmp_path / "page.html")]) == 1
    assert match in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named_before_anything_is_made(tmp_path, capsys):
    assert main(["explore", "--out", str(tmp_path / "no" / "page.html")]) == 1
    said = capsys.readouterr().err
    assert "there is no folder" in said and "Errno" not in said and "left out" not in said


def test_an_expression_of_the_reader_is_not_about_the_library():
    assert "expression" in library_of(AtHand())
    assert "expression" not in library_of(AtHand(expression="x * x"))


def test_every_figure_has_a_script_and_a_module():
    folder = Path(tinylm.explore.__file__).parent
    for name, (about, module) in KINDS.items():
        assert about and re.fullmatch("[a-z_]+", name)
        assert (folder / f"{module.replace('.', '/')}.py").is_file()
        assert (folder / "web" / f"{name}.js").is_file()
