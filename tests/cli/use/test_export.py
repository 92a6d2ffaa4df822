"""`tinylm export`: a folder that generate opens again."""

from tinylm.cli import main


def test_a_folder_generates_what_the_run_generates(run, tmp_path, capsys):
    assert main(["export", str(run), str(tmp_path / "model")]) == 0
    assert "GPT2LMHeadModel of" in capsys.readouterr().out
    texts = []
    for name in (run, tmp_path / "model"):
        assert main(["generate", str(name), "the cat", "--max-tokens", "9", "--top-k", "1"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


def test_a_folder_of_something_else_is_named_in_one_line(run, tmp_path, capsys):
    (tmp_path / "mine").write_text("x")
    assert main(["export", str(run), str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"tinylm export: {tmp_path} holds mine, which is not written over")
    assert told.count("\n") == 1


def test_a_run_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["export", str(tmp_path / "none"), str(tmp_path / "model")]) == 1
    assert "no run at" in capsys.readouterr().err and not (tmp_path / "model").exists()
