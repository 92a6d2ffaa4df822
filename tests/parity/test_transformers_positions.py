"""Positions as Hugging Face computes them: T5's buckets, BLOOM's slopes, LLaMA's rotation and its
scalings.
"""

import numpy as np
import pytest

import tinylm as tl
from tinylm.nn import rotary_angles
from tinylm.nn.position.bias import alibi_slopes
from tinylm.nn.position.rotary_scaling import (
    dynamic_ntk,
    interpolated,
    llama3,
    longrope,
    yarn_by_index,
)
from tinylm.nn.position.t5_buckets import t5_bucket

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

K, TRAINED = 64, 2048


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("buckets, distance", [(32, 128), (16, 200), (64, 512)])
def test_buckets_of_t5(bidirectional, buckets, distance):
    from transformers.models.t5.modeling_t5 import T5Attention

    offset = np.arange(-3000, 3001)
    # T5 counts key less query.
    theirs = T5Attention._relative_position_bucket(
        torch.tensor(-offset), bidirectional, buckets, distance
    ).numpy()
    np.testing.assert_array_equal(t5_bucket(offset, buckets, distance, bidirectional), theirs)


@pytest.mark.parametrize("heads", [1, 2, 4, 6, 8, 12, 16, 20, 112])
def test_slopes_of_bloom(heads):
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    theirs = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32)[
        :, 0, 1
    ].numpy()  # the bias of key 1: 1 * slope
    np.testing.assert_allclose(alibi_slopes(heads), theirs, rtol=1e-6)


def test_rotation_of_llama(rng):
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    q = rng.normal(size=(1, 2, 5, K))
    cos, sin = rotary_angles(np.arange(5), K, dtype=np.float64)
    both = [
        torch.tensor(np.concatenate([part, part], -1))[None] for part in (cos, sin)
    ]  # theirs repeats the halves
    theirs = apply_rotary_pos_emb(torch.tensor(q), torch.tensor(q), *both)[0].numpy()
    np.testing.assert_allclose(
        tl.rotary(tl.Tensor(q), cos=cos, sin=sin).numpy(), theirs, rtol=1e-13, atol=1e-14
    )


FACTORS = np.linspace(1, 4, K // 2).tolist()
SCHEMES = {
    "linear": (lambda: interpolated(K, factor=4.0), {"factor": 4.0}, None),
    "dynamic": (
        lambda: dynamic_ntk(K, trained=TRAINED, length=3 * TRAINED),
        {"factor": 1.0},
        3 * TRAINED,
    ),
    "yarn": (
        lambda: yarn_by_index(K, factor=4.0, trained=TRAINED),
        {"factor": 4.0, "original_max_position_embeddings": TRAINED},
        None,
    ),
    "llama3": (
        lambda: llama3(K, 10000.0, factor=8.0, trained=TRAINED),
        {
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": TRAINED,
        },
        None,
    ),
    "longrope": (
        lambda: longrope(K, factors=FACTORS, factor=4.0, trained=TRAINED),
        {
            "factor": 4.0,
            "long_factor": FACTORS,
            "short_factor": [1.0] * (K // 2),
            "original_max_position_embeddings": TRAINED,
        },
        4 * TRAINED,
    ),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_scaled_frequencies(name):
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    ours, settings, length = SCHEMES[name]
    frequencies, magnitude = ours()
    config = LlamaConfig(
        hidden_size=2 * K,
        num_attention_heads=2,
        head_dim=K,
        max_position_embeddings=TRAINED,
        rope_parameters={"rope_type": name, "rope_theta": 10000.0, **settings},
    )
    theirs, factor = ROPE_INIT_FUNCTIONS[name](config, "cpu", seq_len=length)
    np.testing.assert_allclose(frequencies, theirs.numpy(), rtol=2e-6)  # theirs are float32
    assert magnitude == pytest.approx(factor)
