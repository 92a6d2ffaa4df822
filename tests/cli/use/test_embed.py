import numpy as np
import pytest

from tinylm.cli import main
from tinylm.cli.use.embed import table
from tinylm.models.encoder.presets import build, tiny
from tinylm.models.published.save import save_pretrained

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny encoder in Hugging Face's layout."""
    path = tmp_path_factory.mktemp("encoder")
    save_pretrained(
        build(tiny("minilm-l6", vocab_size=13)),
        path,
        described=dict(
            model_type="bert",
            vocab_size=13,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=24,
            max_position_embeddings=16,
        ),
    )
    (path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return str(path)


def test_several_texts_give_a_table_of_cosines(folder, capsys, tmp_path):
    assert main(["embed", folder, "a b", "a b", "h", "--out", str(tmp_path / "v.npy")]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["1", "2", "3"]
    assert [row.split()[:3] for row in rows[:2]] == [["1.000", "1.000", rows[2].split()[0]]] * 2
    vectors = np.load(tmp_path / "v.npy")
    assert vectors.shape == (3, 16) and f"{vectors[0] @ vectors[2]:.3f}" == rows[0].split()[2]


def test_one_text_gives_its_vector(folder, capsys):
    assert main(["embed", folder, "a"]) == 0
    assert capsys.readouterr().out.startswith("16 numbers of length 1: ")


def test_texts_come_from_the_standard_input_too(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.read", lambda: "a\nb\n", raising=False)
    assert main(["embed", folder, "-"]) == 0
    assert capsys.readouterr().out.splitlines()[2].endswith("2 b")


def test_no_text_on_the_standard_input_is_one_line(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.read", lambda: "", raising=False)
    assert main(["embed", folder, "-"]) == 1
    assert "no text" in capsys.readouterr().err


def test_weights_that_are_not_there_are_one_line(capsys):
    assert main(["embed", "no-such-weights", "a"]) == 1
    assert capsys.readouterr().err.startswith("tinylm embed: weights 'no-such-weights' are neither")


def test_a_long_text_is_shown_short():
    assert table(["x" * 80], np.ones((1, 1))).splitlines()[1] == " 1.000  1 " + "x" * 57 + "..."
