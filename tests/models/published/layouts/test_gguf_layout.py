"""Settings of a GGUF file: each is read, changes nothing, or is refused by name and value."""

import numpy as np
import pytest

from tests.models.published.formats.files import gguf
from tinylm.errors import CheckpointError
from tinylm.models.decoder.gpt import GPT
from tinylm.models.decoder.presets import tiny
from tinylm.models.published.formats import read_gguf
from tinylm.models.published.layouts.gguf import KINDS, read_config, rules

SETTINGS = {
    "embedding_length": 16,
    "block_count": 2,
    "feed_forward_length": 24,
    "context_length": 16,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.layer_norm_rms_epsilon": 1e-5,
}
TABLE = {"token_embd.weight": ("F32", (31, 16), bytes(31 * 16 * 4))}


def config_of(path, kind="llama", tensors=(), left_out=(), **changes):
    """The configuration of a file whose settings are SETTINGS with changes."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    settings = {name: v for name, v in (SETTINGS | named).items() if name not in left_out}
    said = {"general.architecture": kind} | {f"{kind}.{name}": v for name, v in settings.items()}
    extra = {name: ("F32", array.shape, array.tobytes()) for name, array in dict(tensors).items()}
    (path / "model.gguf").write_bytes(gguf(said, TABLE | extra))
    return read_config(read_gguf(path / "model.gguf"))


REFUSED = {
    "rope.scaling.type": ("su", "one of none, linear, yarn, longrope"),
    "rope.scaling.attn_factor": (1.5, "1.0"),
    "rope.scaling.factor": (0.5, "at least 1"),
    "rope.scaling.yarn_log_multiplier": (0.5, "0.0"),
    "rope.dimension_count": (2, "4, the whole head"),
    "attention.causal": (False, "True"),
    "attention.value_length": (8, "4"),
    "attention.head_count_kv": ([2, 1], "a whole number"),
    "expert_count": (8, "0"),
    "vocab_size": (32, "31"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_value_that_is_not_read_is_refused_with_what_is(name, tmp_path):
    value, read = REFUSED[name]
    with pytest.raises(CheckpointError, match=f"llama.{name} = .* is not read here, but {read}"):
        config_of(tmp_path, **{name: value})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["attention.clamp_kqv", "logit_scale", "expert_weights_scale"])
def test_a_setting_that_no_layout_knows_is_refused(name, kind, tmp_path):
    eps = {"attention.layer_norm_epsilon": 1e-5} if kind == "starcoder2" else {}
    left_out = ["attention.layer_norm_rms_epsilon"] if eps else []
    assert config_of(tmp_path, kind, left_out=left_out, **eps).n_layer == 2
    with pytest.raises(CheckpointError, match=f"{kind}.{name} = 8.0 is not known here"):
        config_of(tmp_path, kind, left_out=left_out, **eps, **{name: 8.0})


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_missing_is_named(name, tmp_path):
    if name == "attention.head_count_kv":
        assert config_of(tmp_path, left_out=[name]).kv_heads == 4
        return
    with pytest.raises(CheckpointError, match=f"lacks llama.{name}"):
        config_of(tmp_path, left_out=[name])


def test_rotary_scaling_is_read(tmp_path):
    linear = config_of(tmp_path, **{"rope.scaling.type": "linear", "rope.scaling.factor": 2.0})
    assert linear.rope_scaling == {"name": "linear", "factor": 2.0}
    assert config_of(tmp_path, **{"rope.scale_linear": 2.0}) == linear
    none = config_of(tmp_path, **{"rope.scaling.type": "none", "rope.scaling.factor": 2.0})
    assert none.rope_scaling is None
    yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
    trained = {"rope.scaling.original_context_length": 8, "rope.scaling.yarn_beta_fast": 16.0}
    expected = {"name": "yarn_by_index", "factor": 4.0, "trained": 8, "fast": 16.0, "slow": 1.0}
    assert config_of(tmp_path, **yarn, **trained).rope_scaling == expected


def test_divisors_of_frequencies_are_read_from_their_tensor(tmp_path):
    factors = np.array([1.0, 4.0], np.float32)
    config = config_of(tmp_path, tensors={"rope_freqs.weight": factors})
    plain = GPT(config_of(tmp_path)).rotation(np.arange(9), np.float64)
    cos, _ = GPT(config).rotation(np.arange(9), np.float64)
    np.testing.assert_allclose(cos[:, 0], plain[0][:, 0])
    np.testing.assert_allclose(cos[8, 1], plain[0][2, 1])  # a quarter as fast
    with pytest.raises(CheckpointError, match="rope.scaling.type = 'yarn' .* beside the tensor"):
        config_of(tmp_path, tensors={"rope_freqs.weight": factors}, **{"rope.scaling.type": "yarn"})


@pytest.mark.parametrize("kind", ["linear", "yarn"])
def test_factors_by_length_stand_beside_no_other_scaling(kind, tmp_path):
    factors = {f"rope_factors_{x}.weight": np.ones(2, np.float32) for x in ("long", "short")}
    config = config_of(tmp_path, "phi3", factors)
    assert config.rope_scaling["name"] == "longrope_by_length"
    with pytest.raises(CheckpointError, match=f"rope.scaling.type = '{kind}' is not read here"):
        config_of(tmp_path, "phi3", factors, **{"rope.scaling.type": kind})


def test_the_largest_gemma_2_has_a_scale_of_its_own(tmp_path):
    small, large = (
        config_of(tmp_path, "gemma2", block_count=n, attention__key_length=8) for n in (42, 46)
    )
    assert small.attention_scale == 8**-0.5 and large.attention_scale == 4**-0.5


@pytest.mark.parametrize(
    "name, kind",
    [
        ("qwen3-0.6b", "qwen3"),
        ("gemma-2b", "gemma"),
        ("gemma2-9b", "gemma2"),
        ("phi3-mini", "phi3"),
        ("olmo2-1b", "olmo2"),
        ("starcoder2-3b", "starcoder2"),
    ],
)
def test_rules_name_every_parameter_once(name, kind):
    config = tiny(name)
    ours = [rule.ours for rule in rules(config, kind)]
    assert sorted(ours) == sorted(GPT(config, seed=None).named_parameters().keys())
