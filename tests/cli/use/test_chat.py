"""`tinylm chat` and its neighbors on a folder as others publish it, its chat program in it."""

import io
import json
import sys

import pytest

from tinylm.cli import main
from tinylm.models import GPT, GPTConfig
from tinylm.models.published.load import load_pretrained
from tinylm.models.published.save import save_pretrained
from tinylm.tokenizers.printable import BYTE_TO_CHARACTER

MARKS = ["<|turn|>", "<|stop|>"]
PROGRAM = (
    "{% for m in messages %}{{ '<|turn|>' + m['role'] + ': ' + m['content'] + '<|stop|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|turn|>assistant: ' }}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny LLaMA with a byte-level tokenizer and a program that is no function here."""
    path = tmp_path_factory.mktemp("published")
    vocabulary = {BYTE_TO_CHARACTER[value]: value for value in range(256)}
    added = [{"id": 256 + i, "content": mark, "special": True} for i, mark in enumerate(MARKS)]
    model = GPT(
        GPTConfig(
            258, 128, 1, 2, 16, norm="rms", positions="rope", bias=False, activation="swiglu"
        ),
        0,
    )
    save_pretrained(model, path, "llama", tokens={"eos_token_id": 257})
    (path / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": added,
                "decoder": {"type": "ByteLevel"},
                "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
                "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
            }
        )
    )
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|stop|>"}))
    (path / "chat_template.jinja").write_text(PROGRAM)
    return str(path)


def test_a_model_with_a_program_of_its_own_is_talked_with(folder, capsys, monkeypatch):
    pytest.importorskip("jinja2")
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi <|stop|>\nyo\n\n"))
    assert main(["chat", folder, "--max-tokens", "3"]) == 0
    assert capsys.readouterr().out.count("\n") >= 2
    published = load_pretrained(folder)
    ids = published.template.encode(published.tokenizer, [{"role": "user", "content": "<|stop|>"}])
    assert published.template.end == "<|stop|>"
    assert [int(i) for i in ids if i >= 256] == [256, 257, 256]  # the user's is plain text


def test_without_jinja_the_model_is_there_and_talking_names_the_extra(folder, capsys, monkeypatch):
    from tinylm.models.published.chat.program import compiled

    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n"))
    compiled.cache_clear()
    for argv in (["chat", folder], ["generate", folder, "hi", "--max-tokens", "2"]):
        assert main(argv) == 1
        assert 'pip install "tinylm[chat]"' in capsys.readouterr().err
    assert main(["generate", folder, "hi", "--raw", "--max-tokens", "2"]) == 0


def test_it_is_tuned_in_its_own_form_and_talked_with_after(folder, tmp_path, capsys, monkeypatch):
    pytest.importorskip("jinja2")
    data, out = tmp_path / "a.jsonl", str(tmp_path / "out")
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    data.write_text(
        json.dumps({"messages": talk})
        + "\n"
        + json.dumps({"prompt": talk[:1], "completion": talk[1:]})
    )
    assert (
        main(
            [
                "finetune",
                folder,
                "--data",
                str(data),
                "--steps",
                "1",
                "--val-fraction",
                "0",
                "--out",
                out,
            ]
        )
        == 0
    )
    assert "conversations written as chat_template.jinja" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n"))
    assert main(["chat", out, "--max-tokens", "2"]) == 0


def test_a_conversation_that_the_program_refuses_is_one_line(folder, tmp_path, capsys, monkeypatch):
    pytest.importorskip("jinja2")
    import shutil

    path = tmp_path / "strict"
    shutil.copytree(folder, path)
    (path / "chat_template.jinja").write_text(
        "{% if messages[0].role == 'system' %}{{ raise_exception('No system!') }}{% endif %}"
        + PROGRAM
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n"))
    assert main(["chat", str(path), "--system", "Be brief."]) == 1
    assert "the template refuses this conversation: No system!" in capsys.readouterr().err
