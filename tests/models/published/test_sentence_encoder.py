import json

import numpy as np
import pytest

from tinylm.errors import CheckpointError, ConfigError, DtypeError
from tinylm.models.encoder.presets import build, preset, tiny
from tinylm.models.published.load import load_pretrained, read_layout
from tinylm.models.published.save import save_pretrained
from tinylm.models.published.sentence_encoder import (
    SentenceEncoder,
    load_sentence_encoder,
    mean_of_tokens,
    unit,
)
from tinylm.tokenizers import WordPieceTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
BERT = dict(
    model_type="bert",
    vocab_size=13,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
    max_position_embeddings=16,
)


@pytest.fixture
def encoder():
    return SentenceEncoder(
        build(tiny("minilm-l6", vocab_size=13), 1, dtype=np.float64), WordPieceTokenizer(PIECES)
    )


def test_the_mean_leaves_padding_out():
    h = np.array([[[1.0, 2], [3, 4], [100, 100]]])
    np.testing.assert_array_equal(mean_of_tokens(h, np.array([[True, True, False]])), [[2, 3]])
    np.testing.assert_array_equal(
        mean_of_tokens(h, np.zeros((1, 3), bool)), [[0, 0]]
    )  # and nothing is divided by zero
    assert np.linalg.norm(unit(np.array([3.0, 4]))) == 1


def test_a_text_gets_the_same_vector_alone_and_among_others(encoder):
    texts = ["a b c d e f", "g", "a b"]
    together = encoder(texts)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-12)
    for text, vector in zip(texts, together):
        np.testing.assert_allclose(encoder([text])[0], vector, rtol=0, atol=1e-12)
    with pytest.raises(ConfigError, match="no text"):
        encoder([])


def test_a_text_too_long_loses_its_end(encoder):
    ids, mask = encoder.batch(["a " * 40, "b"])
    assert ids.shape == (2, 16) and mask.sum(axis=1).tolist() == [
        16,
        3,
    ]  # the context of the tiny model
    assert ids[0, -1] == ids[1, 2] == 3 and ids[1, 3:].max() == 0


def saved(folder, model=None, **config):
    model = model or build(tiny("minilm-l6", vocab_size=13), 1, dtype=np.float32)
    save_pretrained(model, folder, described=BERT | config)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return model


def test_a_folder_becomes_the_model_that_was_saved(tmp_path):
    model = saved(tmp_path).eval()
    encoder = load_sentence_encoder(tmp_path)
    np.testing.assert_array_equal(
        encoder(["a b"]), SentenceEncoder(model, WordPieceTokenizer(PIECES))(["a b"])
    )
    assert encoder.encoder.head is None and encoder.encoder.pooler is not None


def read_config(described, names=None):
    return read_layout(described, weights=names)[0]


def test_what_is_in_the_file_decides_on_heads():
    bare = read_config(BERT, ["embeddings.word_embeddings.weight"])
    assert (bare.head, bare.pooler, bare.classes) == (None, False, 0)
    whole = read_config(
        BERT,
        [
            "bert.pooler.dense.weight",
            "cls.predictions.transform.dense.weight",
            "cls.seq_relationship.weight",
        ],
    )
    assert (whole.head, whole.pooler, whole.classes) == ("token", True, 2)
    electra = BERT | dict(model_type="electra", embedding_size=16)
    assert read_config(electra, ["discriminator_predictions.dense.weight"]).head == "replaced"


def test_published_configurations_are_the_presets():
    described = dict(
        model_type="bert",
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
    )
    assert read_config(described, ["pooler.dense.weight"]) == preset("minilm-l6", d_hidden=1536)
    t5 = dict(
        model_type="t5",
        vocab_size=32128,
        d_model=512,
        d_ff=1024,
        d_kv=64,
        num_heads=6,
        num_layers=8,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    assert read_config(t5) == preset("t5-v1.1-small")


@pytest.mark.parametrize(
    "change, message",
    [
        (
            dict(model_type="squeezebert"),
            "a model of type 'squeezebert' is not read here, but gpt2",
        ),
        (
            dict(hidden_act="mish"),
            "hidden_act = 'mish' is not read here, but one of gelu, gelu_new",
        ),
        (
            dict(position_embedding_type="relative_key"),
            "position_embedding_type = 'relative_key' .* but 'absolute'",
        ),
        (dict(hidden_size=None), "lacks hidden_size"),
    ],
)
def test_a_configuration_that_is_not_known_is_refused(change, message):
    with pytest.raises(CheckpointError, match=message):
        read_config(BERT | change)


def test_damaged_folders_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="holds neither model.safetensors"):
        load_pretrained(tmp_path)
    saved(tmp_path)
    (tmp_path / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(ConfigError, match="holds no tokenizer.json or vocab.txt"):
        load_sentence_encoder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | dict(num_hidden_layers=3)))
    with pytest.raises(
        CheckpointError, match="has no tensor 'bert.encoder.layer.2"
    ):  # those of a third layer
        load_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | dict(hidden_size=8)))
    with pytest.raises(
        CheckpointError, match=r"gives tokens.weight the shape \(13, 16\), .* \(13, 8\)"
    ):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        dict(num_hidden_layers=10**9),
        dict(hidden_size=10**12),
        dict(max_position_embeddings=10**9),
        dict(vocab_size="13"),
        dict(intermediate_size=1.5),
        dict(num_hidden_layers=-1),
        dict(hidden_size=None),
    ],
)
def test_a_description_that_the_weights_cannot_fill_makes_nothing(tmp_path, words):
    saved(tmp_path, **words)
    with pytest.raises(CheckpointError, match="config.json|its configuration describes"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    "name, text",
    [
        ("config.json", "[" * 100_000),
        ("config.json", "9" * 5000),
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", '{"do_lower_case": "no"}'),
        ("sentence_bert_config.json", '{"max_seq_length": true}'),
        ("sentence_bert_config.json", "[" * 9999),
    ],
)
def test_a_damaged_file_beside_the_weights_is_named(tmp_path, name, text):
    saved(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES))
    (tmp_path / name).write_text(text)
    with pytest.raises(CheckpointError, match=name):
        load_sentence_encoder(tmp_path)


def test_byte_order_marks_beside_the_weights_change_nothing(tmp_path):
    saved(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES))
    plain = load_sentence_encoder(tmp_path)(["a b"])
    for name in ("config.json", "vocab.txt"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (tmp_path / name).read_bytes())
    (tmp_path / "tokenizer_config.json").write_bytes(b'\xef\xbb\xbf{"do_lower_case": true}')
    np.testing.assert_array_equal(load_sentence_encoder(tmp_path)(["a b"]), plain)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_what_padding_holds_is_not_in_the_mean(bad):
    h = np.array([[[1.0, 2.0], [3.0, 4.0], [bad, bad]], [[5.0, 6.0], [bad, bad], [bad, bad]]])
    mask = np.array([[True, True, False], [True, False, False]])
    np.testing.assert_array_equal(mean_of_tokens(h, mask), [[2, 3], [5, 6]])
    with pytest.raises(DtypeError, match="must be bool"):
        mean_of_tokens(h, mask.astype(float))
