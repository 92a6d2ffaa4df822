import json

import pytest

from tinylm.cli import main
from tinylm.data.read.shards import Shards
from tinylm.data.synthetic.junk import labelled_corpus


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "pages.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text, _ in labelled_corpus(40)))
    return str(path)


def test_the_report_shows_what_each_step_removed(pages, capsys):
    assert main(["data", pages, "--report", "--show", "1"]) == 0
    out = capsys.readouterr().out
    assert "markup changed: <html>" in out and "kept" in out
    rows = {line[:19].strip(): line[19:].split() for line in out.splitlines() if " % " in line}
    assert rows["characters"][0] == "40" and "near copies" in rows


def test_what_is_left_is_written_as_shards(pages, tmp_path, capsys):
    out = str(tmp_path / "clean")
    assert main(["data", pages, "--out", out]) == 0
    assert "1 shards" in capsys.readouterr().out
    kept = list(Shards(out).stream())
    assert 10 < len(kept) < 40 and not any("<p>" in text for text in kept)


def test_thresholds_and_lists_come_from_the_command_line(tmp_path, capsys):
    (tmp_path / "text.txt").write_text(
        "Ada sat with the dog of the house and slept.\n\n"
        "The frog sat with a dog, and it was good.\n\n"
        "Le chat est sur la table et il dort.\n"
    )
    (tmp_path / "names.txt").write_text("Ada\n")
    (tmp_path / "words.txt").write_text("frog\n")
    argv = [
        "data",
        str(tmp_path / "text.txt"),
        "--documents",
        "paragraph",
        "--min-words",
        "5",
        "--without",
        "sentences",
        "--without",
        "repeated n-grams",
        "--names",
        str(tmp_path / "names.txt"),
        "--toxic-words",
        str(tmp_path / "words.txt"),
    ]
    assert main([*argv, "--out", str(tmp_path / "one")]) == 0
    assert list(Shards(tmp_path / "one").stream()) == [
        "[NAME] sat with the dog of the house and slept."
    ]
    assert main([*argv, "--out", str(tmp_path / "two"), "--languages", "fr"]) == 0
    assert list(Shards(tmp_path / "two").stream()) == ["Le chat est sur la table et il dort."]


@pytest.mark.parametrize(
    "argv, words",
    [
        (["x.txt"], "no output chosen"),
        (["none.txt", "--report"], "none.txt"),
        ([], "needs FILE..."),
        (["x.txt", "--report", "--without", "nothing"], "no step 'nothing'"),
        (["x.txt", "--report", "--languages", "xx"], "no sample of 'xx'"),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, words, capsys):
    assert main(["data", *argv]) == 1
    error = capsys.readouterr().err
    assert words in error and error.startswith("tinylm data: ") and error.count("\n") == 1


def test_when_most_goes_the_rules_and_the_ways_around_them_are_named(tmp_path, capsys):
    program = tmp_path / "code.txt"
    program.write_text("def f(x):\n    return {x: 1}\n\n\nprint(f(2))\n" * 9)
    out = str(tmp_path / "out")
    assert main(["data", str(program), "--out", out]) == 0
    told = capsys.readouterr().out
    assert "kept 0 of 1" in told and "more than half went" in told and "--preset code" in told
    rule = next(line for line in told.splitlines() if "it dropped 1 of 1" in line)
    assert rule.split()[:2] == ["--without", "code"] or "--without '" in rule
    # Every way that is named is one that is taken.
    names = [
        line.split("--without ")[1].split(" it dropped")[0].strip().strip("'")
        for line in told.splitlines()
        if line.startswith("  --without ")
    ]
    again = ["data", str(program), "--report"]
    for name in names:
        again += ["--without", name]
    assert main(again) == 0


def test_programs_are_kept_as_they_are_by_their_own_preset(tmp_path, capsys):
    program = "def f(x):\n    return {x: 1}\n\n\nprint(f(2))"
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(program + "\n")
    (tmp_path / "src" / "logo.png").write_bytes(b"\0")
    out = str(tmp_path / "out")
    assert main(["data", str(tmp_path / "src"), "--preset", "code", "--out", out]) == 0
    told = capsys.readouterr().out
    assert "1 .png" in told and "more than half" not in told
    assert list(Shards(out).stream()) == [program]


def test_half_kept_is_not_commented(tmp_path, capsys):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("x = '" + "y" * 2000 + "'\n" + "z = 2\n")
    argv = ["data", f"{tmp_path}/*.py", "--report", "--preset", "code"]
    assert main(argv) == 0
    told = capsys.readouterr().out
    assert "kept 1 of 2" in told and "--without 'line length'" in told  # most of the bytes went
    assert main([*argv, "--without", "line length"]) == 0
    assert "more than half" not in capsys.readouterr().out


def test_settings_of_prose_are_refused_for_code(pages, capsys):
    assert main(["data", pages, "--report", "--preset", "code", "--languages", "en"]) == 1
    assert "no rule for --languages" in capsys.readouterr().err


def test_one_bad_line_of_many_is_left_out_and_counted(pages, tmp_path, capsys):
    lines = open(pages, "rb").read().splitlines(keepends=True)
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(
        b"".join([*lines[:3], b'{"text": \n', *lines[3:9], b'{"text": "\xff"}\n', *lines[9:]])
    )
    assert main(["data", str(damaged), "--report"]) == 1
    error = capsys.readouterr().err
    assert "damaged.jsonl, line 4" in error and "--skip-bad" in error
    assert main(["data", str(damaged), "--report", "--skip-bad"]) == 0
    told = capsys.readouterr().out
    assert "left out 2 bad lines" in told and "line 4" in told and "line 11" in told
    assert "of 40 documents" in told
