"""GGUF files of every architecture that is read, written by the format's own library from models of
transformers, and read back: their logits.

What the converter of llama.cpp does to tensors stands below, in its own order: rows of LLaMA's
queries and keys are turned for neighboring pairs, Gemma's gains have their 1, and the frequencies
of LLaMA 3.1 are divisors in a tensor.
"""

import math

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.parity.test_decoders import FAMILIES, relative  # noqa: E402
from tests.parity.test_decoders import published as made  # noqa: E402
from tinylm.models.published.load import load_pretrained  # noqa: E402

IDS = np.random.default_rng(1).integers(3, 53, (2, 12))
ARCHITECTURES = {
    "llama": "llama",
    "llama grouped": "llama",
    "llama 3.1": "llama",
    "llama linear": "llama",
    "llama yarn": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "phi3": "phi3",
    "phi3 partial": "phi3",
    "phi3 long": "phi3",
    "phi3 short": "phi3",
    "olmo2": "olmo2",
    "starcoder2": "starcoder2",
}
LINEAR = dict(rope_type="linear", rope_theta=100.0, factor=2.0)
FAMILIES = FAMILIES | {
    "llama linear": ("Llama", FAMILIES["llama"][1] | dict(rope_parameters=LINEAR)),
    # its width of attention is that of the heads: 10 x 4 would have another scale
    "gemma2": ("Gemma2", FAMILIES["gemma2"][1] | dict(query_pre_attn_scalar=10)),
}


def neighboring(weights, heads):
    """LLaMA's rows of queries and keys, as the converter permutes them."""
    rows = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return rows.swapaxes(1, 2).reshape(weights.shape)


def divisors(rope, width):
    """rope_freqs of LLaMA 3.1: by how much each pair is slowed down."""
    found = []
    for frequency in rope["rope_theta"] ** (-np.arange(0, width, 2) / width):
        length, trained = 2 * math.pi / frequency, rope["original_max_position_embeddings"]
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        smooth = min(max((trained / length - low) / (high - low), 0), 1)
        found.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(found, np.float32)


def converted(theirs, arch):
    """{name: array} of a model of transformers, in GGUF's names."""
    c = theirs.config
    known = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == arch)
    names = gguf.get_tensor_name_map(known, c.num_hidden_layers)
    tensors = {}
    for name, tensor in theirs.state_dict().items():
        array = tensor.float().numpy()
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        if arch == "llama" and "q_proj" in name:
            array = neighboring(array, c.num_attention_heads)
        if arch == "llama" and "k_proj" in name:
            array = neighboring(array, c.num_key_value_heads)
        if arch.startswith("gemma") and name.endswith("norm.weight"):
            array = array + 1
        tensors[names.get_name(name, try_suffixes=(".weight", ".bias"))] = array
    return tensors


def write(path, theirs, arch):
    """The file that the converter makes of a model."""
    c, writer = theirs.config, gguf.GGUFWriter(path, arch)
    width = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    rope = c.rope_parameters
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_vocab_size(c.vocab_size)
    writer.add_rope_freq_base(rope["rope_theta"])
    tensors = converted(theirs, arch)
    if arch == "starcoder2":
        writer.add_layer_norm_eps(c.norm_epsilon)
    else:
        writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(c.attn_logit_softcapping)
        writer.add_final_logit_softcapping(c.final_logit_softcapping)
        writer.add_sliding_window(c.sliding_window)
    if arch == "phi3":
        writer.add_rope_dimension_count(int(rope["partial_rotary_factor"] * width))
        writer.add_rope_scaling_orig_ctx_len(c.original_max_position_embeddings)
        writer.add_sliding_window(c.sliding_window or 0)
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope["rope_type"] == "llama3":
        tensors["rope_freqs.weight"] = divisors(rope, width)
    if rope["rope_type"] == "longrope":
        trained = c.original_max_position_embeddings
        longer = c.max_position_embeddings / trained
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(longer) / math.log(trained)))
        tensors["rope_factors_long.weight"] = np.array(rope["long_factor"], np.float32)
        tensors["rope_factors_short.weight"] = np.array(rope["short_factor"], np.float32)
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_file_of_the_formats_own_library_gives_the_models_logits(name, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.parity.test_decoders.FAMILIES", FAMILIES)
    theirs, arch = made(name), ARCHITECTURES[name]
    write(tmp_path / "model.gguf", theirs, arch)
    model = load_pretrained(tmp_path / "model.gguf", np.float64, tokenizer=False).model
    expected = theirs(torch.tensor(IDS)).logits.detach().numpy()
    # the weights pass through float32, a relative 6e-8 of each
    assert relative(model(IDS).numpy(), expected) < 1e-5
