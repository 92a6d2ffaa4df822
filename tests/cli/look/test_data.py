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
    (tmp_path / "text.txt").write_text("Ada sat with the dog of the house and slept.\n\n"
                                       "The frog sat with a dog, and it was good.\n\n"
                                       "Le chat est sur la table et il dort.\n")
    (tmp_path / "names.txt").write_text("Ada\n")
    (tmp_path / "words.txt").write_text("frog\n")
    argv = ["data", str(tmp_path / "text.txt"), "--documents", "paragraph", "--min-words", "5", "--without", "sentences",
            "--without", "repeated n-grams", "--names", str(tmp_path / "names.txt"),
            "--toxic-words", str(tmp_path / "words.txt")]
    assert main([*argv, "--out", str(tmp_path / "one")]) == 0
    assert list(Shards(tmp_path / "one").stream()) == ["[NAME] sat with the dog of the house and slept."]
    assert main([*argv, "--out", str(tmp_path / "two"), "--languages", "fr"]) == 0
    assert list(Shards(tmp_path / "two").stream()) == ["Le chat est sur la table et il dort."]


@pytest.mark.parametrize("argv, words", [
    (["x.txt"], "nothing asked for"), (["none.txt", "--report"], "none.txt"), ([], "needs FILE..."),
    (["x.txt", "--report", "--without", "nothing"], "no step 'nothing'"),
    (["x.txt", "--report", "--languages", "xx"], "no sample of 'xx'"),
])
def test_what_cannot_be_done_is_one_line(argv, words, capsys):
    assert main(["data", *argv]) == 1
    error = capsys.readouterr().err
    assert words in error and error.startswith("tinylm data: ") and error.count("\n") == 1
