"""Settings in a file: the same names, types and checks as on the command line, which wins."""

import json
import sys
from dataclasses import dataclass
from typing import Literal

import pytest

from tinylm.cli import main
from tinylm.cli.config_file import keep_settings
from tinylm.cli.options import parse
from tinylm.errors import ConfigError
from tinylm.settings import above, setting
from tinylm.train import checkpoint


@dataclass
class Training:
    steps: int = setting(10, "updates")
    lr: float | None = setting(None, "peak learning rate", above(0))
    tied: bool = setting(True, "one table for both ends")
    betas: tuple[float, float] = setting((0.9, 0.95), "decays")
    widths: tuple[int, ...] = setting((1,), "sizes")
    data: tuple[str, ...] = setting((), "texts", several=True)
    parallel: str = setting("", "layout")
    workers: int | Literal["auto"] = setting("auto", "processes")
    out: str = setting("", "directory")


def read(tmp_path, text, *words, name="settings.json"):
    path = tmp_path / name
    path.write_text(text)
    return parse(["--config", str(path), *words], Training)


def test_a_file_sets_what_options_set(tmp_path):
    text = """{"steps": 5, "lr": 1e-3, "tied": false, "betas": [0.8, 1], "widths": [1, 2],
               "data": ["a", "b"], "parallel": "dp=2", "workers": 3}"""
    words = "--steps 5 --lr 1e-3 --no-tied --betas 0.8,1 --widths 1,2 --data a b".split()
    words += ["--parallel", "dp=2", "--workers", "3"]
    assert read(tmp_path, text) == parse(words, Training)


def test_the_command_line_wins_before_and_after_the_file(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"steps": 5, "data": ["a", "b"], "lr": 0.5}')
    before = ["--steps", "7", "--data", "c", "--config", str(path)]
    after = ["--config", str(path), "--steps", "7", "--data", "c"]
    wanted = Training(steps=7, data=("c",), lr=0.5)
    assert parse(before, Training) == parse(after, Training) == wanted


def test_of_two_files_the_later_one_wins(tmp_path):
    (tmp_path / "first.json").write_text('{"steps": 5, "lr": 0.5}')
    found = read(tmp_path, '{"steps": 6}', "--steps=6", name="second.json")
    assert found.lr is None
    words = ["--config", str(tmp_path / "first.json"), f"--config={tmp_path / 'second.json'}"]
    assert parse(words, Training) == Training(steps=6, lr=0.5)


def test_what_a_file_names_counts_as_named_by_the_user(tmp_path):
    given = {}
    (tmp_path / "f.json").write_text('{"steps": 10}')
    parse(["--config", str(tmp_path / "f.json"), "--lr", "1"], Training, given=given)
    assert given == {"steps": 10, "lr": 1.0}


def test_an_empty_object_changes_nothing(tmp_path):
    assert read(tmp_path, "{}") == Training()


@pytest.mark.parametrize(
    "text, words",
    [
        ('{"setps": 5}', r"settings.json: no setting named 'setps': did you mean steps\?"),
        ('{"zzz": 5}', "no setting named 'zzz'"),
        ('{"steps": "5"}', "settings.json: steps must be an integer, not '5'"),
        ('{"steps": 5.5}', "steps must be an integer, not 5.5"),
        ('{"steps": true}', "steps must be an integer, not True"),
        ('{"steps": null}', "steps must be an integer, not None"),
        ('{"lr": "1e-3"}', "lr must be a number, not '1e-3'"),
        ('{"lr": 0}', "lr must be a finite number above 0, not 0.0"),
        ('{"tied": 1}', "tied must be true or false, not 1"),
        ('{"betas": 0.9}', "betas must be a list, not 0.9"),
        ('{"betas": [0.9]}', "betas must be a list of 2 values"),
        ('{"widths": [1, "2"]}', "widths must be an integer, not '2'"),
        ('{"data": [1]}', "data must be a text, not 1"),
        ('{"parallel": 2}', "parallel must be a text, not 2"),
        ('{"workers": "all"}', "workers must be one of auto"),
        ('{"steps": {"a": 1}}', "steps must be an integer, not {'a': 1}"),
        ('{"steps": 1, "steps": 2}', "the field 'steps' stands twice"),
        ('{"out": "a", "out_": "b"}', "no setting named 'out_'"),
        ("[1]", r"must be an object"),
        ("{", "cannot read"),
        ("", "cannot read"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_name(text, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        read(tmp_path, text)


def test_a_name_may_have_dashes_but_stands_once(tmp_path):
    @dataclass
    class Two:
        n_layer: int = setting(4, "blocks")

    (tmp_path / "f.json").write_text('{"n-layer": 2}')
    assert parse(["--config", str(tmp_path / "f.json")], Two) == Two(2)
    (tmp_path / "f.json").write_text('{"n-layer": 2, "n_layer": 3}')
    with pytest.raises(ConfigError, match="n_layer stands twice"):
        parse(["--config", str(tmp_path / "f.json")], Two)


def test_whole_numbers_with_an_exponent_are_integers(tmp_path):
    assert read(tmp_path, '{"steps": 1e3}').steps == 1000


def test_a_lone_text_is_a_list_of_one(tmp_path):
    assert read(tmp_path, '{"data": "a, b.txt"}').data == ("a, b.txt",)


@pytest.mark.parametrize("words", [["--config"], ["--config", "--steps", "1"]])
def test_config_needs_a_file(words):
    with pytest.raises(ConfigError, match=r"--config needs a value \(FILE\)"):
        parse(words, Training)


def test_a_missing_file_and_a_folder_that_is_no_run_are_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere.json"):
        parse(["--config", str(tmp_path / "nowhere.json")], Training)
    with pytest.raises(ConfigError, match="so no run"):
        parse(["--config", str(tmp_path)], Training)


def test_a_field_that_is_called_config_stays_a_field():
    @dataclass
    class Own:
        config: int = setting(1, "a number of its own")

    assert parse(["--config", "3"], Own) == Own(3)


TOML = """
steps = 1_000
lr = "none"         # TOML has no null
betas = [0.8, 0.9]  # a comment
data = ["a"]
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is of Python 3.11")
def test_toml_is_read_too(tmp_path):
    assert read(tmp_path, TOML, name="a.toml") == Training(
        1000, None, True, (0.8, 0.9), data=("a",)
    )
    with pytest.raises(ConfigError, match="cannot read .*b.toml"):
        read(tmp_path, "steps = ", name="b.toml")
    with pytest.raises(ConfigError, match="'model' holds settings .* at the top, as steps = 3"):
        read(tmp_path, "[model]\nsteps = 3", name="c.toml")


def test_toml_before_python_3_11_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    with pytest.raises(ConfigError, match="TOML needs Python 3.11 or later and this is 3.10"):
        read(tmp_path, TOML, name="a.toml")


def test_settings_that_were_kept_are_read_without_the_place_of_the_run(tmp_path):
    first = Training(7, 0.5, False, (0.1, 0.2), (3,), ("x",), "dp=1", 2, out=str(tmp_path))
    keep_settings(tmp_path, first)
    found = parse(["--config", str(tmp_path)], Training)
    assert found == Training(7, 0.5, False, (0.1, 0.2), (3,), ("x",), "dp=1", 2, out="")


def test_the_settings_of_a_run_make_the_same_run_again(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config", str(run), "--out", "again"]) == 0
    # Without --out too: the directory in the file is that of the run it lies in.
    assert main(["train", "--config", str(run / "config.json")]) == 0
    again = [tmp_path / "again", *(tmp_path / "runs").iterdir()]
    weights = [checkpoint.load(checkpoint.latest(one)).arrays["model"] for one in (run, *again)]
    for other in weights[1:]:
        for name, array in weights[0].items():
            assert (array == other[name]).all()


def test_the_directory_in_a_copied_file_is_kept(run, tmp_path, capsys):
    (tmp_path / "copy.json").write_text((run / "config.json").read_text())
    assert main(["train", "--config", str(tmp_path / "copy.json")]) == 1
    assert "exists already and is not overwritten" in capsys.readouterr().err


def test_a_tuned_run_is_repeated_by_its_settings(prompted, tmp_path):
    samples = [{"instruction": "the cat?", "output": "sat"}, {"instruction": "dog?", "output": "a"}]
    data = tmp_path / "samples.jsonl"
    data.write_text("".join(json.dumps(sample) + "\n" for sample in samples * 3))
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    words = ["--data", str(data), "--steps", "2", "--batch-size", "2", "--lr", "0.01"]
    assert main(["finetune", prompted, *words, "--out", first]) == 0
    assert main(["finetune", prompted, "--config", first, "--out", second]) == 0
    one, two = (checkpoint.load(checkpoint.latest(run)).arrays["model"] for run in (first, second))
    assert all((one[name] == two[name]).all() for name in one)
    aligned, again = str(tmp_path / "sft"), str(tmp_path / "sft2")
    assert main(["align", "sft", prompted, *words, "--out", aligned]) == 0
    assert main(["align", "sft", prompted, "--config", aligned, "--out", again]) == 0
    one, two = (checkpoint.load(checkpoint.latest(run)).arrays["model"] for run in (aligned, again))
    assert all((one[name] == two[name]).all() for name in one)
