"""`tinylm export`: a folder that generate opens again."""

import io
import sys

import pytest

from tinylm.cli import main
from tinylm.prompt.protocol.opened import open_model


def test_a_folder_generates_what_the_run_generates(run, tmp_path, capsys):
    assert main(["export", str(run), str(tmp_path / "model")]) == 0
    assert "GPT2LMHeadModel of" in capsys.readouterr().out
    texts = []
    for name in (run, tmp_path / "model"):
        assert main(["generate", str(name), "the cat", "--max-tokens", "9", "--top-k", "1"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


def test_prompts_begin_as_those_of_the_run(tmp_path, tiny, text, capsys):
    """A run on several texts has learnt that <|endoftext|> stands before each."""
    (tmp_path / "other.txt").write_text("one more text " * 30)
    data = ["--data", str(text), str(tmp_path / "other.txt")]
    assert main(["train", *data, "--out", str(tmp_path / "run"), *tiny]) == 0
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "model")]) == 0
    opened = [open_model(str(tmp_path / name)) for name in ("run", "model")]
    assert opened[0].prompt_ids("a") == opened[1].prompt_ids("a") == [256, 97]
    assert opened[0].prompt_ids("") == opened[1].prompt_ids("") == [256]
    assert opened[0].ends == opened[1].ends == (256,)


@pytest.mark.parametrize("objective", ["masked", "sentinels"])
def test_what_does_not_generate_text_is_refused(objective, tmp_path, tiny, text, capsys):
    argv = ["train", "--objective", objective, "--data", str(text), "--out", str(tmp_path / "run")]
    assert main([*argv, *tiny]) == 0
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "model")]) == 0
    for verb in (["generate"], ["chat"], ["finetune", "--data", str(text)]):
        capsys.readouterr()
        assert main([verb[0], str(tmp_path / "model"), *verb[1:]]) == 1
        expected = "does not continue text"
        if objective == "sentinels" and verb == ["generate"]:
            expected = "is an encoder-decoder: give it a text to read"
        assert expected in capsys.readouterr().err


def test_a_run_tuned_by_lora_talks_as_before(tmp_path, tiny, text, capsys, monkeypatch):
    """Without jinja2: the program in the folder is a function here."""
    (tmp_path / "talk.jsonl").write_text(
        "".join(f'{{"instruction": "say {i}", "output": "{i}!"}}\n' for i in range(9))
    )
    sizes = [*tiny, "--context=64"]
    assert main(["train", "--data", str(text), "--out", str(tmp_path / "run"), *sizes]) == 0
    argv = ["finetune", str(tmp_path / "run"), "--data", str(tmp_path / "talk.jsonl")]
    assert main([*argv, "--out", str(tmp_path / "tuned"), "--lora", "2", "--steps", "3"]) == 0
    assert main(["export", str(tmp_path / "tuned"), str(tmp_path / "model")]) == 0
    monkeypatch.setitem(sys.modules, "jinja2", None)
    answers = []
    for name in ("tuned", "model"):
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO("say 3\n\n"))
        assert main(["chat", str(tmp_path / name), "--max-tokens", "8"]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] and len(answers[0]) > 1


def test_a_folder_of_something_else_is_named_in_one_line(run, tmp_path, capsys):
    (tmp_path / "mine").write_text("x")
    assert main(["export", str(run), str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"tinylm export: {tmp_path} holds mine, which is not overwritten")
    assert told.count("\n") == 1


def test_a_run_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["export", str(tmp_path / "none"), str(tmp_path / "model")]) == 1
    assert "no run at" in capsys.readouterr().err and not (tmp_path / "model").exists()


def test_published_weights_are_no_run(run, tmp_path, capsys):
    assert main(["export", str(run), str(tmp_path / "model")]) == 0
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "other")]) == 1
    assert "model is published already: `tinylm export` takes runs" in capsys.readouterr().err
