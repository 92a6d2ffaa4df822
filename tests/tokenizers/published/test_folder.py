"""The tokenizer of a folder: which files are read, and every form in which settings are written."""

import json

import numpy as np
import pytest

from tests.tokenizers.published.test_pipeline import added, byte_level
from tinylm import tokenizers
from tinylm.errors import CheckpointError
from tinylm.tokenizers import BPETokenizer, read_tokenizer, save_gpt2
from tinylm.tokenizers.pretokenize import QWEN2

END = added("<|end|>", 258)


@pytest.fixture
def read(tmp_path):
    """What is read of a folder with these files: name -> object or text."""

    def make(config=None, **files):
        for name, value in files.items():
            name = {
                "json": "tokenizer.json",
                "settings": "tokenizer_config.json",
                "older": "special_tokens_map.json",
                "generation": "generation_config.json",
                "added": "added_tokens.json",
                "words": "vocab.txt",
            }[name]
            (tmp_path / name).write_text(
                value if isinstance(value, str) else json.dumps(value), encoding="utf-8"
            )
        return read_tokenizer(tmp_path, config or {})

    return make


@pytest.fixture
def pair(tmp_path):
    """GPT-2's pair of files."""
    tokenizer = BPETokenizer.train(["the 12 cats the 12 mats " * 9], 275)
    save_gpt2(tokenizer, tmp_path / "vocab.json", tmp_path / "merges.txt")
    return tokenizer


def test_a_folder_without_one_has_none(read):
    found = read({"bos_token_id": 1, "eos_token_id": 2})
    assert found.tokenizer is None and found.special == {"bos": 1, "eos": 2} and found.ends == (2,)


def test_tokenizer_json_goes_before_the_pair(read, pair):
    found = read(json=byte_level(tokens=[END]), settings={"eos_token": "<|end|>"})
    assert found.tokenizer.encode("12 a").tolist() == [256, 257]
    assert found.special == {"eos": 258} and found.ends == (258,) and found.begin == ()


def test_a_pair_is_split_as_its_class_says_and_never_by_default(read, pair):
    assert (
        read({"model_type": "gpt2"}).tokenizer.encode(" 12").tolist() == pair.encode(" 12").tolist()
    )
    qwen = BPETokenizer.from_dict(pair.to_dict() | {"pattern": QWEN2.name})
    found = read({"model_type": "qwen2"})
    assert (
        found.tokenizer.encode(" 12 the").tolist()
        == qwen.encode(" 12 the").tolist()
        != pair.encode(" 12 the").tolist()
    )
    found = read({"model_type": "llama"}, settings={"tokenizer_class": "GPT2TokenizerFast"})
    assert found.tokenizer.special == {"<|endoftext|>": pair.special["<|endoftext|>"]}
    with pytest.raises(CheckpointError, match="tokenizer_class is None and model_type 'llama'"):
        read({"model_type": "llama"}, settings={})
    with pytest.raises(CheckpointError, match="tokenizer_class is 'FunnyTokenizer'"):
        read({"model_type": "gpt2"}, settings={"tokenizer_class": "FunnyTokenizer"})


def test_a_pair_takes_its_settings(read, pair):
    settings = {
        "add_prefix_space": True,
        "add_bos_token": True,
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
    }
    found = read({"model_type": "gpt2"}, settings=settings)
    end = pair.special["<|endoftext|>"]
    assert found.begin == (end,)
    assert found.tokenizer.framed("the")[0].tolist() == [end, *pair.encode(" the")]


@pytest.mark.parametrize(
    "written",
    [
        "<|end|>",
        {"content": "<|end|>"},
        {
            "__type": "AddedToken",
            "content": "<|end|>",
            "lstrip": False,
            "rstrip": False,
            "single_word": False,
            "normalized": True,
            "special": True,
        },
    ],
)
def test_a_token_is_a_text_or_an_object(read, written):
    assert read(json=byte_level(tokens=[END]), settings={"eos_token": written}).special == {
        "eos": 258
    }
    assert read(
        json=byte_level(tokens=[END]), settings={}, older={"eos_token": written}
    ).special == {"eos": 258}


def test_ids_beside_the_names_must_be_theirs(read):
    settings = {"eos_token": "<|end|>", "eos_token_id": 258, "vocab_size": 259}
    assert read(json=byte_level(tokens=[END]), settings=settings).special == {"eos": 258}
    with pytest.raises(CheckpointError, match="eos_token_id is 3, and '<.end.>'"):
        read(json=byte_level(tokens=[END]), settings=settings | {"eos_token_id": 3})


def test_a_token_that_is_null_is_none(read):
    found = read(
        {"eos_token_id": 258},
        json=byte_level(tokens=[END]),
        settings={"eos_token": None, "bos_token": ""},
    )
    assert found.special == {} and found.ends == (258,)


@pytest.mark.parametrize("name", ["additional_special_tokens", "extra_special_tokens"])
@pytest.mark.parametrize(
    "written, expected",
    [
        (None, []),
        ([], []),
        (["<a>", {"content": "<b>"}], ["<a>", "<b>"]),
        ({"image_token": "<a>"}, ["<a>"]),
    ],
)
def test_other_special_tokens_are_a_list_an_object_or_null(read, name, written, expected):
    found = read(json=byte_level(tokens=[END]), settings={name: written, "pad_token": "<pad>"})
    assert found.tokenizer.special == {
        name: 258 + i for i, name in enumerate(["<|end|>", "<pad>", *expected])
    }


def test_a_token_of_another_role_is_special_too(read):
    found = read(json=byte_level(tokens=[END]), settings={"image_token": "<img>"})
    assert found.tokenizer.encode("<img>", allow_special=True).tolist() == [259]


def test_added_tokens_are_those_of_all_files(read):
    tool = {
        "content": "<tool>",
        "special": False,
        "lstrip": False,
        "rstrip": False,
        "single_word": False,
        "normalized": False,
    }
    found = read(
        json=byte_level(tokens=[END]),
        settings={"added_tokens_decoder": {"259": tool}},
        added={"<more>": 260},
    )
    assert found.tokenizer.encode("<tool><more>").tolist() == [259, 260]
    stripped = {"content": "<|end|>", "special": True, "lstrip": True}
    found = read(
        json=byte_level(tokens=[END]),
        settings={"added_tokens_decoder": {"258": stripped}},
        added={},
    )
    assert found.tokenizer.encode(" <|end|>", allow_special=True).tolist() == [258]


@pytest.mark.parametrize(
    "value, expected", [(258, (258,)), ([258, 3], (258, 3)), (None, (3,)), ([], (3,)), (-1, (3,))]
)
def test_the_end_of_a_text_is_one_id_several_or_left_open(read, value, expected):
    assert (
        read(
            {"eos_token_id": 3}, json=byte_level(tokens=[END]), generation={"eos_token_id": value}
        ).ends
        == expected
    )


@pytest.mark.parametrize(
    "value, expected",
    [(512, 512), (1e30, None), (None, None), (1000000000000000019884624838656, None)],
)
def test_the_longest_text_is_a_number_or_no_limit(read, value, expected):
    assert read(json=byte_level(), settings={"model_max_length": value}).limit == expected


WORDS = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\nÁ\n"


@pytest.mark.parametrize(
    "settings, text, expected",
    [
        ({}, "ÁB ab", [2, 5, 6, 5, 6, 3]),
        ({"do_lower_case": False}, "Á ab", [2, 7, 5, 6, 3]),
        ({"do_lower_case": True, "strip_accents": False}, "á", [2, 1, 3]),
        ({"do_lower_case": False, "strip_accents": True}, "á", [2, 5, 3]),
        ({"do_lower_case": None, "strip_accents": None}, "Á", [2, 5, 3]),
    ],
)
def test_a_vocabulary_of_bert_takes_its_settings(read, settings, text, expected):
    found = read({"model_type": "bert"}, words=WORDS, settings=settings)
    assert found.tokenizer.framed(text)[0].tolist() == expected
    with pytest.raises(CheckpointError, match="model_type 'mpnet'"):
        read({"model_type": "mpnet"})


def test_case_follows_the_settings_where_they_are_bert_s(read):
    described = {
        "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1, "A": 2}},
        "normalizer": {"type": "BertNormalizer"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
    }
    assert read(json=described).tokenizer.encode("A").tolist() == [1]
    assert read(json=described, settings={"do_lower_case": False}).tokenizer.encode(
        "A"
    ).tolist() == [2]


def test_spaces_are_cleaned_for_wordpiece_and_left_for_bpe(read):
    words = {
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1, ".": 2}},
        "pre_tokenizer": {"type": "Whitespace"},
    }
    assert read(json=words).tokenizer.decode([1, 2]) == "a ."
    cleaned = {"clean_up_tokenization_spaces": True}
    tokenizer = read(json=words, settings=cleaned).tokenizer
    assert tokenizer.decode([1, 2]) == "a."
    assert tokenizers.from_dict(tokenizer.to_dict()).decode([1, 2]) == "a."
    tokenizer = read(json=byte_level(), settings=cleaned).tokenizer
    assert tokenizer.decode(tokenizer.encode("a .")) == "a ."


BOS = {
    "type": "TemplateProcessing",
    "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [258], "tokens": ["<|end|>"]}},
    "single": [
        {"SpecialToken": {"id": "<|end|>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
}


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"unheard_of": 3}, "tokenizer_config.json.unheard_of is 3; no field of that name"),
        ({"errors": "strict"}, "tokenizer_config.json.errors is 'strict'"),
        ({"split_special_tokens": True}, "split_special_tokens is True"),
        ({"sp_model_kwargs": {"enable_sampling": True}}, "sp_model_kwargs is"),
        ({"do_lower_case": "yes"}, "do_lower_case is 'yes'"),
        (
            {"do_lower_case": True},
            "do_lower_case is True, and tokenizer.json has another normalizer",
        ),
        (
            {"add_prefix_space": True},
            "add_prefix_space is True, and tokenizer.json has another pre_tokenizer",
        ),
        (
            {"add_bos_token": True, "bos_token": "<|end|>"},
            "add_bos_token is True, and tokenizer.json has another post_processor",
        ),
        ({"eos_token": 3}, "eos_token is 3; it must be a text"),
        ({"eos_token": {"content": "a", "odd": 1}}, "eos_token.odd is 1"),
        ({"additional_special_tokens": "<a>"}, "additional_special_tokens is '<a>'"),
        (
            {"added_tokens_decoder": {"7": {"content": "<|end|>"}}},
            "added_tokens_decoder.7 is '<|end|>', whose id is 258",
        ),
        ({"added_tokens_decoder": {"x": {"content": "a"}}}, "has the id 'x'"),
        ({"added_tokens_decoder": {"٢٥٨": {"content": "<|end|>"}}}, "has the id '٢٥٨'"),
        ({"added_tokens_decoder": []}, "added_tokens_decoder is \\[\\]"),
        ({"model_max_length": "long"}, "model_max_length is 'long'"),
    ],
)
def test_settings_that_are_not_read_are_refused_by_name(read, settings, words):
    with pytest.raises(CheckpointError, match=words):
        read(json=byte_level(tokens=[END]), settings=settings)


def test_settings_that_agree_are_read(read):
    described = byte_level(tokens=[END], post_processor=BOS)
    found = read(
        json=described,
        settings={
            "add_bos_token": True,
            "add_eos_token": False,
            "bos_token": "<|end|>",
            "legacy": False,
            "eos_token": "<|end|>",
            "tokenizer_class": "PreTrainedTokenizerFast",
            "use_fast": True,
        },
    )
    assert found.begin == (258,)
    with pytest.raises(CheckpointError, match="add_bos_token is False"):
        read(json=described, settings={"add_bos_token": False, "bos_token": "<|end|>"})


@pytest.mark.parametrize(
    "files, words",
    [
        ({"json": "{"}, "cannot read .*tokenizer.json"),
        ({"json": "[]"}, "tokenizer.json is \\[\\]; it must be an object"),
        ({"json": {"model": 3}}, "model is 3"),
        ({"settings": "[1]"}, "tokenizer_config.json is \\[1\\]"),
        ({"generation": {"eos_token_id": "x"}}, "generation_config.json.eos_token_id is 'x'"),
        (
            {"generation": {"eos_token_id": [1, None]}},
            "generation_config.json.eos_token_id is \\[1, None\\]",
        ),
        ({"json": byte_level(), "added": {"<a>": "1"}}, "added_tokens.json.<a> is '1'"),
    ],
)
def test_damaged_files_are_refused_by_name(read, files, words):
    with pytest.raises(CheckpointError, match=words):
        read(**files)


def test_ids_may_be_numpy_s(read):
    tokenizer = read(json=byte_level()).tokenizer
    assert tokenizer.decode(np.array([256], np.int64)) == "12"


def test_load_takes_a_published_file_or_folder(read, tmp_path):
    read(json=byte_level(tokens=[END]), settings={"pad_token": "<pad>"})
    assert tokenizers.load(tmp_path / "tokenizer.json").encode("12").tolist() == [256]
    assert tokenizers.load(tmp_path).special == {"<|end|>": 258, "<pad>": 259}
    own = tmp_path / "own"
    own.mkdir()
    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        tokenizers.load(own)
    tokenizers.ByteTokenizer().save(own / "tokenizer.json")
    assert isinstance(tokenizers.load(own), tokenizers.ByteTokenizer)
    (own / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(CheckpointError, match="tokenizer.json: model is 3"):
        tokenizers.load(own / "tokenizer.json")


def test_special_tokens_of_a_pair_are_those_of_the_class_unless_they_are_named(read, tmp_path):
    ids = {c: i for i, c in enumerate([*"ab", "<s>", "</s>", "<mask>", "<pad>", "<unk>", "odd"])}
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    found = read({"model_type": "roberta"})
    assert found.tokenizer.special == {name: i for name, i in ids.items() if name.startswith("<")}
    assert found.tokenizer.framed("a <mask>", allow_special=True)[0].tolist() == [2, 0, 4, 3]
    assert found.tokenizer.framed("a", "b")[0].tolist() == [2, 0, 3, 3, 1, 3]
    named = read({"model_type": "roberta"}, settings={"cls_token": "<pad>", "bos_token": None})
    assert named.tokenizer.framed("a")[0].tolist() == [5, 0, 3] and "bos" not in named.special
