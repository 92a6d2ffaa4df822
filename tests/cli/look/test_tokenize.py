import io
import json
import sys

import pytest

from tinylm import tokenizers
from tinylm.cli import main
from tinylm.cli.look.tokenize import named, pieces, visible


def test_bytes_are_the_tokenizer_when_none_is_named(capsys):
    assert main(["tokenize", "Hé"]) == 0
    lines = capsys.readouterr().out.splitlines()
    # "Hé" is two characters in three bytes: 0x48, and 0xc3 0xa9.
    assert lines[0] == "3 tokens, 2 characters, 3 bytes, 1.00 bytes a token; vocabulary 256"
    assert lines[2] == "H│\\xc3│\\xa9"
    rows = [["72", "0", "'H'"], ["195", "1", "'\\xc3'"], ["169", "2", "'\\xa9'"]]
    assert [line.split() for line in lines[5:]] == rows


def test_a_tokenizer_is_learnt_saved_and_used(tmp_path, capsys):
    (tmp_path / "text.txt").write_text("low lower lowest " * 20)
    out = str(tmp_path / "tok.json")
    # 256 bytes, 4 merges, one special token. The merges make "low" and " low" first: they stand in
    # every word.
    assert (
        main(
            ["tokenize", "--train", str(tmp_path / "text.txt"), "--vocab-size", "261", "--out", out]
        )
        == 0
    )
    assert "261 tokens, saved" in capsys.readouterr().out
    assert main(["tokenize", "low low", "--tokenizer", out]) == 0
    assert capsys.readouterr().out.splitlines()[2] == "low│ low"


@pytest.mark.parametrize("train, out", [("text.txt", "text.txt"), (".", "link.json")])
def test_the_text_that_is_learnt_from_is_not_written_over(
    tmp_path, monkeypatch, train, out, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("low lower lowest " * 20)
    (tmp_path / "link.json").symlink_to("text.txt")
    assert main(["tokenize", "--train", train, "--vocab-size", "261", "--out", out]) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert (tmp_path / "text.txt").read_text() == "low lower lowest " * 20


@pytest.mark.parametrize("kind, whole", [("unigram", " lower"), ("wordpiece", " lower")])
def test_other_kinds_of_vocabulary_are_learnt_too(tmp_path, kind, whole, capsys):
    (tmp_path / "text.txt").write_text("low lower lowest, " * 20)
    out = str(tmp_path / "tok.json")
    # room for every word of three: the commonest pieces are words
    assert (
        main(
            [
                "tokenize",
                "--train",
                str(tmp_path / "text.txt"),
                "--kind",
                kind,
                "--vocab-size",
                "300",
                "--out",
                out,
            ]
        )
        == 0
    )
    assert main(["tokenize", "low lower", "--tokenizer", out]) == 0
    assert f"│{whole}" in capsys.readouterr().out


def test_a_vocabulary_is_learnt_from_several_files_folders_and_patterns(tmp_path, capsys):
    for name, text in ("a.txt", "xyxy " * 20), ("src/b.py", "uvuv " * 20), ("c.md", "zwzw " * 20):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    out, where = str(tmp_path / "tokenizer.json"), [tmp_path / "a.txt", tmp_path / "src"]
    argv = ["tokenize", "xyuvzw", "--train", *map(str, where), f"{tmp_path}/*.md"]
    assert main([*argv, "--vocab-size", "262", "--out", out]) == 0
    assert "3 tokens, 6 characters" in capsys.readouterr().out  # a merge from each of them


def test_special_tokens_are_read_only_when_asked_for():
    tokenizer = tokenizers.ByteTokenizer(["<|end|>"])
    assert pieces(tokenizer, "a<|end|>")[0].startswith("8 tokens")
    assert pieces(tokenizer, "a<|end|>", special=True)[2] == "a│<|end|>"


def test_an_empty_text_has_no_tokens():
    assert (
        pieces(tokenizers.ByteTokenizer(), "")[0]
        == "0 tokens, 0 characters, 0 bytes; vocabulary 256"
    )


@pytest.mark.parametrize(
    "part, text",
    [
        (b"a b", "a b"),
        (b"\n\t", "\\n\\t"),
        (b"\x1b[31m", "\\x1b[31m"),
        (b"\xff", "\\xff"),
        ("é".encode(), "é"),
    ],
)
def test_no_piece_breaks_the_line_or_steers_the_terminal(part, text):
    assert visible(part) == text


def test_a_dash_reads_the_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("ab"))
    assert main(["tokenize", "-"]) == 0
    assert capsys.readouterr().out.startswith("2 tokens")


@pytest.mark.parametrize("names", [("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt")])
def test_gpt2_files_are_found_under_both_names(tmp_path, names):
    made = tokenizers.BPETokenizer.train("low lower " * 9, 260, special=())
    tokenizers.save_gpt2(made, *(tmp_path / name for name in names))
    assert (
        named(f"gpt2:{tmp_path}").encode("low lower").tolist() == made.encode("low lower").tolist()
    )


@pytest.mark.parametrize(
    "argv, words",
    [
        ([], 'needs a text: tinylm tokenize "Hello, world"'),
        (["x", "--tokenizer", "none.json"], "none.json"),
        (
            ["x", "--tokenizer", "gpt2:nowhere"],
            "nowhere holds no GPT-2 vocabulary: it takes encoder.json with vocab.bpe",
        ),
        (["--train", "none.txt"], "none.txt"),
        (
            ["--train", "none.txt", "--vocab-size", "256"],
            "vocab_size must be at least 257",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, words, capsys):
    assert main(["tokenize", *argv]) == 1
    error = capsys.readouterr().err
    assert words in error and error.startswith("tinylm tokenize: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    "data, words",
    [
        (b"\xef\xbb\xbfab\r\nc", None),
        ("ab\nc".encode("utf-16"), "looks like UTF-16"),
        (b"a\nb\xff", "line 2: byte 0xff"),
    ],
)
def test_the_standard_input_is_read_as_files_are(data, words, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    assert main(["tokenize", "-"]) == (1 if words else 0)
    out, err = capsys.readouterr()
    assert words in err and err.count("\n") == 1 if words else "4 tokens, 4 characters" in out


def test_the_tokenizer_of_published_weights_is_named_by_its_folder_or_file(tmp_path):
    from tests.models.published.formats.files import gguf
    from tests.models.published.formats.test_gguf_tokenizer import SETTINGS
    from tests.tokenizers.published.test_pipeline import byte_level

    (tmp_path / "tokenizer.json").write_text(json.dumps(byte_level()))
    (tmp_path / "a.gguf").write_bytes(gguf(SETTINGS))
    assert named(str(tmp_path)).encode("12").tolist() == [256]
    assert named(str(tmp_path / "a.gguf")).encode(" a").tolist() == [257]
