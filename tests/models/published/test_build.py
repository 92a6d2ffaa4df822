"""Every tensor of a file finds its place, is known to be of no use, or is an error."""

import numpy as np
import pytest

from tinylm.errors import CheckpointError
from tinylm.models.encoder.presets import build, tiny
from tinylm.models.published.formats import read_safetensors, write_safetensors
from tinylm.models.published.load import load_pretrained
from tinylm.models.published.save import save_pretrained

BART = dict(model_type="bart", is_encoder_decoder=True)


@pytest.fixture
def folder(tmp_path):
    model = build(tiny("bart-base"), 1)
    c = model.config
    sizes = dict(
        vocab_size=c.vocab_size,
        d_model=c.d_model,
        max_position_embeddings=c.context,
        encoder_layers=c.n_layer,
        decoder_layers=c.decoder_layers,
        encoder_attention_heads=c.n_head,
        decoder_attention_heads=c.n_head,
        encoder_ffn_dim=c.d_hidden,
        decoder_ffn_dim=c.d_hidden,
        decoder_start_token_id=c.start,
    )
    save_pretrained(model, tmp_path, described=BART | sizes)
    return tmp_path


def with_tensors(folder, **more):
    tensors = {name: np.array(array) for name, array in read_safetensors(folder).items()}
    write_safetensors(folder / "model.safetensors", tensors | more)
    return load_pretrained(folder).model


@pytest.mark.parametrize("name", ["lm_head.weight", "classification_head.dense.weight"])
def test_repeated_tables_and_heads_of_tasks_are_left_aside(folder, name):
    before = load_pretrained(folder).model.state_dict()
    after = with_tensors(folder, **{name: np.ones((3, 2), np.float32)}).state_dict()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_a_bias_of_the_logits_must_be_zero(folder):
    zeros = np.zeros((1, 5), np.float32)
    assert with_tensors(folder, final_logits_bias=zeros) is not None
    zeros[0, 3] = 0.5
    with pytest.raises(CheckpointError, match="in the model is no place for final_logits_bias"):
        with_tensors(folder, final_logits_bias=zeros)


def test_a_tensor_without_a_place_is_an_error(folder):
    with pytest.raises(CheckpointError, match="no place for model.encoder.layers.0.extra.weight"):
        with_tensors(folder, **{"model.encoder.layers.0.extra.weight": np.ones(2, np.float32)})
