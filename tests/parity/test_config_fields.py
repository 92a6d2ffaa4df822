"""No field of a config.json is passed over: one is changed at a time, and what is then read is
what the published class
computes, or it is refused.

changed_configs.py makes the changes, some hundred for each family; all were tried once, and a
sample is tried here.
"""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.parity.changed_configs import REMOVED, changed, difference  # noqa: E402
from tests.parity.test_decoders import FAMILIES, TOLERANCE  # noqa: E402
from tests.parity.test_encoders import ENCODERS, SEQ2SEQ, XLNET, V  # noqa: E402
from tinylm.errors import CheckpointError  # noqa: E402
from tinylm.models.published.load import read_layout  # noqa: E402

IDS = np.random.default_rng(1).integers(3, 50, (2, 12))
SAY = (
    lambda theirs: theirs(torch.tensor(IDS), return_dict=True).logits.numpy(),
    lambda ours: ours(IDS).numpy(),
)
# Of the file, not of the model.
LEFT_ALONE = {
    "architectures",
    "model_type",
    "transformers_version",
    "dtype",
    "id2label",
    "label2id",
    "_name_or_path",
}
SAMPLE = 12


def described(name):
    """(names of the classes, the whole config.json) of a family."""
    family, options = FAMILIES[name]
    head = "LMHeadModel" if family in ("GPT2", "OpenAIGPT") else "ForCausalLM"
    config = getattr(transformers, f"{family}Config")(**options)
    return (f"{family}Config", f"{family}{head}"), json.loads(config.to_json_string(use_diff=False))


TEXT, TARGET = (np.random.default_rng(2).integers(5, V - 3, (2, length)) for length in (6, 4))


def said_by_encoder(model):
    """Logits, or hidden states where there is no head."""
    languages = {"languages": np.zeros_like(TEXT)} if model.languages is not None else {}
    h = model.hidden(TEXT, **languages)
    return (h if model.head is None else model.logits(h)).numpy()


def asked_for(theirs, *names):
    """What a class of transformers says of TEXT, and of TARGET if it has a decoder."""
    given = {name: torch.tensor(TARGET) for name in names}
    if theirs.config.model_type == "xlm":
        given["langs"] = torch.zeros_like(torch.tensor(TEXT))
    return theirs(input_ids=torch.tensor(TEXT), return_dict=True, **given).to_tuple()[0].numpy()


ENCODE = asked_for, said_by_encoder
DECODE = (
    lambda theirs: asked_for(theirs, "decoder_input_ids"),
    lambda ours: ours(TEXT, TARGET).numpy(),
)
PERMUTED = asked_for, lambda ours: ours(TEXT).numpy()
OTHERS = {f"{name} {i}": (name, c | o, ENCODE) for i, (name, c, o) in enumerate(ENCODERS)}
OTHERS |= {f"{name} {i}": (name, c | o, DECODE) for i, (name, c, o, _) in enumerate(SEQ2SEQ)}
OTHERS |= {"XLNetLMHeadModel": ("XLNetLMHeadModel", XLNET, PERMUTED)}


def described_other(name):
    """(names of the classes, the whole config.json) of an encoder or encoder-decoder."""
    model, options, _ = OTHERS[name]
    kind = getattr(transformers, model).config_class
    whole = json.loads(kind(**options).to_json_string(use_diff=False))
    return (kind.__name__, model), whole | {"architectures": [model]}


def try_fields(classes, whole, folder, say, seed):
    """Change a sample of fields, one at a time."""
    assert difference(classes, whole, folder, say) < TOLERANCE
    changes = [one for one in changed(whole) if one[0][0] not in LEFT_ALONE]
    chosen = np.random.default_rng(seed).permutation(len(changes))[:SAMPLE]
    for path, value, config in (changes[i] for i in chosen):
        found = difference(classes, config, folder, say)
        shown = "left out" if value is REMOVED else value
        assert found is None or found < TOLERANCE, f"{'.'.join(path)} {shown}: {found}"


@pytest.mark.parametrize("name", FAMILIES)
def test_one_field_of_a_decoder_changed_is_refused_or_computed(name, tmp_path):
    try_fields(*described(name), tmp_path, SAY, len(name))


@pytest.mark.parametrize("name", OTHERS)
def test_one_field_of_another_model_changed_is_refused_or_computed(name, tmp_path):
    try_fields(*described_other(name), tmp_path, OTHERS[name][2], len(name))


# What was wrong once: a default that is not the usual one, a word that means another.
SEEN = [
    ("mixtral", "rms_norm_eps", REMOVED),
    ("phi3", "rms_norm_eps", REMOVED),
    ("olmo2", "rms_norm_eps", REMOVED),
    ("gemma2", "attn_logit_softcapping", REMOVED),
    ("gemma2", "final_logit_softcapping", REMOVED),
    ("gemma", "hidden_act", "gelu"),
    ("smollm3", "no_rope_layers", REMOVED),
    ("phi3 long", "max_position_embeddings", 64),
    ("qwen2", "hidden_size", 33),
    ("starcoder2", "hidden_size", 33),
]


@pytest.mark.parametrize("name, field, value", SEEN)
def test_what_a_family_means_by_a_field_is_followed(name, field, value, tmp_path):
    classes, whole = described(name)
    rest = {n: v for n, v in whole.items() if n != field}
    assert (
        difference(classes, rest if value is REMOVED else rest | {field: value}, tmp_path, SAY)
        < TOLERANCE
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_a_word_that_is_not_read_is_named_with_its_field(name):
    _, whole = described(name)
    for path, value, config in changed(whole):
        if not isinstance(value, str) or path[0] in LEFT_ALONE:
            continue
        try:
            read_layout(config)
        except CheckpointError as error:
            assert f"{path[-1]} = {value!r}" in str(error)


@pytest.mark.parametrize(
    "name, field, value",
    [
        ("T5ForConditionalGeneration 0", "scale_decoder_outputs", None),
        ("T5ForConditionalGeneration 0", "relative_attention_num_buckets", 12),
        ("BartForConditionalGeneration 3", "decoder_attention_heads", REMOVED),
        ("MBartForConditionalGeneration 5", "decoder_attention_heads", REMOVED),
    ],
)
def test_what_was_wrong_once_in_encoder_decoders(name, field, value, tmp_path):
    classes, whole = described_other(name)
    rest = {n: v for n, v in whole.items() if n != field}
    config = rest if value is REMOVED else rest | {field: value}
    found = difference(classes, config, tmp_path, DECODE)
    assert found is None or found < TOLERANCE
