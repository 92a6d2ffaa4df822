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
