"""The config.json of published models, with every field that their authors wrote: all are read."""

import pytest

from tinylm.errors import CheckpointError
from tinylm.models.decoder.config import GPTConfig
from tinylm.models.decoder.presets import preset
from tinylm.models.published.load import read_layout
from tinylm.models.published.save import canonical

FILE = dict(architectures=["X"], torch_dtype="float16", use_cache=True)
PYTHIA = FILE | dict(
    model_type="gpt_neox", bos_token_id=0, eos_token_id=0, hidden_act="gelu", hidden_size=768,
    initializer_range=0.02, intermediate_size=3072, layer_norm_eps=1e-5,
    max_position_embeddings=2048, num_attention_heads=12, num_hidden_layers=12,
    rotary_emb_base=10000, rotary_pct=0.25, tie_word_embeddings=False,
    use_parallel_residual=True, vocab_size=50304,
)  # fmt: skip
OPT = FILE | dict(
    model_type="opt", _name_or_path="facebook/opt-125m", _remove_final_layer_norm=False,
    activation_dropout=0.0, activation_function="relu", attention_dropout=0.0, bos_token_id=2,
    do_layer_norm_before=True, dropout=0.1, eos_token_id=2, ffn_dim=3072, hidden_size=768,
    init_std=0.02, layerdrop=0.0, max_position_embeddings=2048, num_attention_heads=12,
    num_hidden_layers=12, pad_token_id=1, prefix="</s>", vocab_size=50272, word_embed_proj_dim=768,
)  # fmt: skip
PHI3 = FILE | dict(
    model_type="phi3", attention_bias=False, attention_dropout=0.0,
    auto_map={"AutoConfig": "configuration_phi3.Phi3Config"}, bos_token_id=1, embd_pdrop=0.0,
    eos_token_id=32000, hidden_act="silu", hidden_size=3072, initializer_range=0.02,
    intermediate_size=8192, max_position_embeddings=4096, num_attention_heads=32,
    num_hidden_layers=32, num_key_value_heads=32, original_max_position_embeddings=4096,
    pad_token_id=32000, resid_pdrop=0.0, rms_norm_eps=1e-5, rope_scaling=None, rope_theta=10000.0,
    sliding_window=2047, tie_word_embeddings=False, vocab_size=32064,
)  # fmt: skip
STARCODER2 = FILE | dict(
    model_type="starcoder2", activation_function="gelu", attention_dropout=0.1,
    attention_softmax_in_fp32=True, bos_token_id=0, embedding_dropout=0.1, eos_token_id=0,
    hidden_act="gelu_pytorch_tanh", hidden_size=3072, initializer_range=0.018042,
    intermediate_size=12288, layer_norm_epsilon=1e-5, max_position_embeddings=16384,
    mlp_type="default", norm_epsilon=1e-5, norm_type="layer_norm", num_attention_heads=24,
    num_hidden_layers=30, num_key_value_heads=2, residual_dropout=0.1, sliding_window=4096,
    rope_theta=999999.4420358813, scale_attention_softmax_in_fp32=True, scale_attn_weights=True,
    use_bias=True, vocab_size=49152,
)  # fmt: skip
MPT = FILE | dict(
    model_type="mpt", d_model=4096, emb_pdrop=0, embedding_fraction=1.0, expansion_ratio=4,
    attn_config=dict(
        alibi=True, alibi_bias_max=8, attn_impl="torch", attn_pdrop=0, clip_qkv=None, qk_ln=False,
        attn_type="multihead_attention", attn_uses_sequence_id=False, prefix_lm=False,
        softmax_scale=None,
    ),
    init_config={"name": "kaiming_normal_"}, init_device="cpu", learned_pos_emb=True,
    logit_scale=None, max_seq_len=2048, n_heads=32, n_layers=32, no_bias=True,
    norm_type="low_precision_layernorm", resid_pdrop=0, tokenizer_name="EleutherAI/gpt-neox-20b",
    verbose=0, vocab_size=50432,
)  # fmt: skip
QWEN3 = FILE | dict(
    model_type="qwen3", attention_bias=False, attention_dropout=0.0, bos_token_id=151643,
    eos_token_id=151645, head_dim=128, hidden_act="silu", hidden_size=1024, initializer_range=0.02,
    intermediate_size=3072, max_position_embeddings=40960, max_window_layers=28,
    num_attention_heads=16, num_hidden_layers=28, num_key_value_heads=8, rms_norm_eps=1e-6,
    rope_scaling=None, rope_theta=1000000, sliding_window=None, tie_word_embeddings=True,
    use_sliding_window=False, vocab_size=151936,
)  # fmt: skip
OLMO2 = FILE | dict(
    model_type="olmo2", attention_bias=False, attention_dropout=0.0, eos_token_id=100257,
    hidden_act="silu", hidden_size=2048, initializer_range=0.02, intermediate_size=8192,
    max_position_embeddings=4096, num_attention_heads=16, num_hidden_layers=16,
    num_key_value_heads=16, pad_token_id=100277, rms_norm_eps=1e-6, rope_scaling=None,
    rope_theta=500000, tie_word_embeddings=False, vocab_size=100352,
)  # fmt: skip
SMOLLM3 = FILE | dict(
    model_type="smollm3", attention_bias=False, attention_dropout=0.0, bos_token_id=None,
    eos_token_id=128012, hidden_act="silu", hidden_size=2048, initializer_range=0.02,
    intermediate_size=11008, layer_types=["full_attention"] * 36, max_position_embeddings=65536,
    max_window_layers=28, mlp_bias=False, no_rope_layer_interval=4, num_attention_heads=16,
    no_rope_layers=[1, 1, 1, 0] * 9, num_hidden_layers=36, num_key_value_heads=4,
    pad_token_id=128004, pretraining_tp=2, rms_norm_eps=1e-6, rope_scaling=None,
    rope_theta=5000000.0, sliding_window=None, use_sliding_window=False, vocab_size=128256,
    tie_word_embeddings=True,
)  # fmt: skip
PUBLISHED = {
    "pythia-160m": PYTHIA,
    "opt-125m": OPT,
    "phi3-mini": PHI3,
    "starcoder2-3b": STARCODER2,
    "mpt-7b": MPT,
    "qwen3-0.6b": QWEN3,
    "olmo2-1b": OLMO2,
    "smollm3-3b": SMOLLM3,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_description_is_the_preset(name):
    config, _ = read_layout(PUBLISHED[name])
    assert canonical(config) == canonical(preset(name))


def test_phi_4_mini_turns_three_quarters_of_a_head():
    factors = {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48}
    more = dict(
        partial_rotary_factor=0.75, rope_scaling=factors, max_position_embeddings=131072,
        full_attn_mod=1, interpolate_factor=1, lm_head_bias=False, mlp_bias=False,
        num_attention_heads=24, num_key_value_heads=8,
    )  # fmt: skip
    config, _ = read_layout(PHI3 | more)
    assert isinstance(config, GPTConfig) and config.key_width == 128
    assert config.rotary_width == 96


def test_gpt_neox_20b_has_the_tanh_form():
    config, _ = read_layout(PYTHIA | {"hidden_act": "gelu_fast", "hidden_dropout_prob": 0})
    assert config.activation == "gelu_tanh"


@pytest.mark.parametrize(
    "whole, field, value",
    [
        (STARCODER2, "layer_norm_epsilon", 1e-6),
        (STARCODER2, "scale_attn_weights", False),
        (PHI3, "lm_head_bias", True),
        (PHI3, "attention_bias", True),
    ],
)
def test_fields_of_the_authors_are_refused_where_they_would_change_something(whole, field, value):
    with pytest.raises(CheckpointError, match=f"{field} = {value!r} is not read here"):
        read_layout(whole | {field: value})
