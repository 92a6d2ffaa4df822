"""Pictures: the same file each time, colors that grey and all eyes tell apart, one for a name."""

import argparse
import itertools
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from tinylm.errors import ConfigError, MissingExtra
from tinylm.train.experiments.picture import COLORS, Picture, add_plot, check_picture

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
DRAWING = [
    path.relative_to(SCRIPTS).as_posix()
    for path in sorted(SCRIPTS.rglob("*.py"))
    if "--plot FILE" in " ".join(path.read_text(encoding="utf-8").split())
]
needs_matplotlib = pytest.mark.usefixtures("matplotlib")


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib")


def linear(color):
    """Red, green and blue of "#rrggbb" in linear light."""
    parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*, a*, b* of linear light."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = to_xyz @ np.clip(rgb, 0, 1) / (0.9505, 1, 1.089)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# What eyes without red, and without green cones, see (Machado et al. 2009).
WITHOUT_RED = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
WITHOUT_GREEN = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]


@pytest.mark.parametrize("eye", [np.eye(3), WITHOUT_RED, WITHOUT_GREEN])
def test_colors_are_told_apart_by_all_eyes(eye):
    # A difference of 2.3 is just noticed side by side; of thin lines it takes several times that.
    for a, b in itertools.combinations(COLORS, 2):
        assert np.linalg.norm(lab(eye @ linear(a)) - lab(eye @ linear(b))) > 10


def test_colors_are_told_apart_in_grey_and_on_white():
    lightness = [lab(linear(color))[0] for color in COLORS]
    assert np.diff(sorted(lightness)).min() > 5  # L* of 0 is black, 100 white
    assert max(lightness) < 72
    assert np.abs(np.diff(lightness[:4])).min() > 12  # those that most pictures use, in turn


def draw(path):
    rng = np.random.default_rng(0)
    with Picture(path, columns=2, size=(3, 2), report=lambda line: None) as picture:
        panel = picture.panel("losses & more", "step", "loss (nats)")
        panel.curve("first", range(5), rng.normal(size=(3, 5)))
        panel.level("bar", 0.5)
        picture.panel("after it", "loss (nats)").bars({"second": [1, 2], "first": 3.0})
    return picture


@needs_matplotlib
@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_the_same_numbers_make_the_same_file(tmp_path, kind):
    files = [tmp_path / f"{i}.{kind}" for i in range(2)]
    for file in files:
        draw(file)
    first, second = (file.read_bytes() for file in files)
    assert first == second and b"Date" not in first


@needs_matplotlib
def test_text_of_an_svg_stays_text(tmp_path):
    draw(tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    for words in ("losses &amp; more", "loss (nats)", "first", "second", "bar"):
        assert f">{words}</text>" in text


@needs_matplotlib
def test_a_name_has_one_color_in_every_panel(tmp_path):
    picture = draw(tmp_path / "a.png")
    left, right = picture.figure.axes
    names = [label.get_text().strip() for label in right.get_yticklabels()]
    import matplotlib.colors as colors

    assert left.lines[0].get_color() == picture.color("first") != picture.color("second")
    for name, bar in zip(names, right.patches):
        assert colors.to_hex(bar.get_facecolor()) == picture.color(name)


@needs_matplotlib
def test_names_beyond_the_colors_have_other_dashes_and_markers(tmp_path):
    picture = Picture(tmp_path / "a.png")
    names = [f"run {i}" for i in range(4 * len(COLORS))]
    assert len({(picture.color(n), picture.dashes(n)) for n in names}) == len(names)
    assert len({(picture.color(n), picture.marker(n)) for n in names}) == len(names)


@needs_matplotlib
def test_settings_of_the_user_do_not_change_the_file(tmp_path, matplotlib):
    draw(tmp_path / "a.svg")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
        draw(tmp_path / "b.svg")
        assert matplotlib.rcParams["font.size"] == 20  # nor the picture theirs
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@needs_matplotlib
def test_an_error_while_drawing_leaves_no_file(tmp_path):
    with pytest.raises(ZeroDivisionError), Picture(tmp_path / "a.png") as picture:
        picture.panel("one").curve("a", [1, 2], [1 / 0, 2])
    assert not list(tmp_path.iterdir())


@needs_matplotlib
def test_more_panels_than_places_are_refused(tmp_path):
    with (
        pytest.raises(ConfigError, match="panel 2 of 1 x 1"),
        Picture(tmp_path / "a.png") as picture,
    ):
        picture.panel("one")
        picture.panel("two")


def test_a_name_that_cannot_be_drawn_to_is_refused_first(tmp_path, capsys):
    with pytest.raises(ConfigError, match="plot must end in .png, .svg or .pdf, not 'a.txt'"):
        check_picture(tmp_path / "a.txt")
    with pytest.raises(ConfigError, match="there is no folder"):
        check_picture(tmp_path / "none" / "a.png")
    parser = argparse.ArgumentParser()
    add_plot(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--plot", "a.txt"])
    assert "argument --plot: plot must end in .png" in capsys.readouterr().err


def test_without_matplotlib_the_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(
        MissingExtra, match=r"--plot needs matplotlib: pip install 'tinylm\[plot\]'"
    ):
        check_picture(tmp_path / "a.png")


@pytest.mark.parametrize("name", DRAWING)
def test_a_script_refuses_a_wrong_name_before_it_computes(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--plot", "picture.txt"])
    monkeypatch.syspath_prepend(str((SCRIPTS / name).parent))
    with pytest.raises(SystemExit) as refused:
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")
    shown = capsys.readouterr()
    assert refused.value.code == 2 and "must end in .png, .svg or .pdf" in shown.err
    assert shown.out == ""


def finished(name):
    """(what a script defines, its finished cells)."""
    path = SCRIPTS / name
    lines = (path.parent / "results" / f"{path.stem}.jsonl").read_text(encoding="utf-8")
    return runpy.run_path(str(path)), [json.loads(line) for line in lines.splitlines()]


@needs_matplotlib
@pytest.mark.skipif(not DRAWING, reason="only the package is installed")
def test_finished_cells_are_drawn(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS / "1_pretraining"))
    script, lines = finished("1_pretraining/adaptive_inference.py")
    found = [line["found"] for line in lines if "rules" in line["found"]]
    script["plot"](tmp_path / "adaptive.svg", found, np.linspace(0.6, 0.7, len(found)))
    text = (tmp_path / "adaptive.svg").read_text(encoding="utf-8")
    assert ">mean depth (layers)</text>" in text and f">{script['HALF']}</text>" in text


@needs_matplotlib
@pytest.mark.skipif(not DRAWING, reason="only the package is installed")
def test_nothing_is_computed_again_for_a_picture(tmp_path, monkeypatch, capsys):
    folder = SCRIPTS / "2_2_training_at_scale"
    # There is no text of that name: whatever would be trained, fails.
    words = ["--data", "none.txt", "--out", str(folder / "results" / "nanogpt_record.jsonl")]
    monkeypatch.setattr(sys, "argv", ["", *words, "--plot", str(tmp_path / "record.svg")])
    monkeypatch.syspath_prepend(str(folder))
    runpy.run_path(str(folder / "nanogpt_record.py"), run_name="__main__")
    assert "wrote" in capsys.readouterr().out
    assert ">Muon</text>" in (tmp_path / "record.svg").read_text(encoding="utf-8")
