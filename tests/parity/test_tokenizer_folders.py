"""Folders with tokenizer.json and settings against transformers: ids with what frames them,
decoded text, named tokens.
"""

import json
import random

import pytest

from tests.parity.test_tokenizers import MADE, TEXTS
from tinylm.tokenizers import read_tokenizer

transformers = pytest.importorskip("transformers")

SETTINGS = [
    {},
    {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "[NEWPAD]",
        "additional_special_tokens": ["<x1>", "<tool>"],
    },
    {
        "clean_up_tokenization_spaces": True,
        "model_max_length": 1e30,
        "eos_token": {
            "__type": "AddedToken",
            "content": "</s>",
            "lstrip": True,
            "rstrip": False,
            "normalized": False,
            "single_word": False,
            "special": True,
        },
    },
    {"mask_token": "<mask>", "unk_token": None, "extra_special_tokens": {"image_token": "<img>"}},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(
    "name",
    ["gpt2", "roberta", "llama3", "qwen2", "llama2", "llama2, modern", "bert", "t5", "xlnet"],
)
def test_ids_and_text_are_transformers(name, settings, tmp_path):
    MADE[name]().save(str(tmp_path / "tokenizer.json"))
    written = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(written))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = read_tokenizer(tmp_path, {})
    assert ours.tokenizer.vocab_size == len(theirs)
    for role in ("bos", "eos", "pad", "mask", "unk"):
        assert ours.special.get(role) == getattr(theirs, f"{role}_token_id")
    rng = random.Random(name)
    for _ in range(25):
        text = "".join(rng.choice([*TEXTS, "<x1>", "[NEWPAD]", "<img>"]) for _ in range(6))
        ids = theirs(text)["input_ids"]
        assert ours.tokenizer.framed(text, allow_special=True)[0].tolist() == ids, text
        assert ours.tokenizer.decode(ids) == theirs.decode(ids), text


NO_FLAGS = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
PAIRS = [
    ("GPT2Tokenizer", "gpt2", {}),
    (
        "GPT2Tokenizer",
        "gpt2",
        {"add_prefix_space": True, "add_bos_token": True, "bos_token": "<s>"},
    ),
    (
        "Qwen2Tokenizer",
        "qwen2",
        {"added_tokens_decoder": {"1": {"content": "<s>", "special": True, **NO_FLAGS}}},
    ),
    ("BertTokenizer", "bert", {}),
    ("BertTokenizer", "bert, cased", {"do_lower_case": False}),
]


@pytest.mark.parametrize("name, made, settings", PAIRS)
def test_vocabularies_without_tokenizer_json_are_read_as_their_classes_do(
    name, made, settings, tmp_path
):
    described = json.loads(MADE[made]().to_str())["model"]
    if described["type"] == "WordPiece":
        pieces = sorted(described["vocab"], key=described["vocab"].get)
        (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    else:
        (tmp_path / "vocab.json").write_text(json.dumps(described["vocab"]))
        merges = [" ".join(pair) for pair in described["merges"]]
        (tmp_path / "merges.txt").write_text(
            "\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8"
        )
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": name, **settings})
    )
    theirs = getattr(transformers, name).from_pretrained(tmp_path)
    ours = read_tokenizer(tmp_path, {}).tokenizer
    rng = random.Random(name)
    for _ in range(40):
        text = "".join(rng.choice(TEXTS) for _ in range(6))
        if "[MASK]" in text or "<|end" in text:  # which theirs adds to these small vocabularies
            continue
        assert ours.framed(text, allow_special=True)[0].tolist() == theirs(text)["input_ids"], text
