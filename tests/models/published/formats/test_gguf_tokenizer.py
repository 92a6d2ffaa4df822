"""The tokenizer inside a GGUF file gives the model's own ids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.published.formats.files import gguf, installed
from tinylm.errors import CheckpointError
from tinylm.models.published.formats.gguf import read_gguf
from tinylm.models.published.formats.gguf_splits import SPLITS
from tinylm.models.published.formats.gguf_tokenizer import end_ids, special_ids, tokenizer_of
from tinylm.tokenizers import PipelineTokenizer
from tinylm.tokenizers.printable import to_printable

BYTES = [to_printable(bytes([value])) for value in range(256)]
SETTINGS = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": ["<|im_end|>", *BYTES, "Ġa", "12"],
    "tokenizer.ggml.token_type": [3] + [1] * 258,  # 3: a control token
    "tokenizer.ggml.merges": ["Ġ a", "1 2"],
    "tokenizer.ggml.eos_token_id": 0,
}
DROP = object()


@pytest.fixture
def carried(tmp_path):
    """The file of SETTINGS with some changed."""

    def make(**changed):
        settings = SETTINGS | {f"tokenizer.ggml.{name}": value for name, value in changed.items()}
        path = tmp_path / "a.gguf"
        path.write_bytes(
            gguf({name: value for name, value in settings.items() if value is not DROP})
        )
        return read_gguf(path)

    return make


def test_ids_are_places_in_the_list(carried):
    tokenizer = tokenizer_of(carried())
    assert tokenizer.vocab_size == 259 and tokenizer.special == {"<|im_end|>": 0}
    assert tokenizer.encode(" a").tolist() == [257]
    assert tokenizer.encode("<|im_end|>", allow_special=True).tolist() == [0]
    assert special_ids(carried()) == {"eos": 0}


def test_the_way_to_split_is_the_file_s(carried):
    assert tokenizer_of(carried()).encode("12").tolist() == [
        1 + ord("1"),
        1 + ord("2"),
    ]  # each digit alone
    assert tokenizer_of(carried(pre="gpt-2")).encode("12").tolist() == [258]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"model": "rwkv"},
            "a tokenizer of model 'rwkv' is not read here, but gpt2, llama, t5, bert",
        ),
        (
            {"pre": "unheard-of"},
            "tokenizer.ggml.pre is 'unheard-of', a way to split that is not read here, but gpt-2",
        ),
        ({"unheard_of": 3}, "tokenizer.ggml.unheard_of is 3; no setting of that name"),
        ({"add_bos_token": 3}, "tokenizer.ggml.add_bos_token is of a wrong type"),
        ({"add_bos_token": True}, "add_bos_token is true, and bos_token_id is missing"),
        (
            {"add_space_prefix": True},
            "add_space_prefix is true, which is not read for a tokenizer of model 'gpt2'",
        ),
        ({"eos_token_id": 999}, "tokenizer.ggml.eos_token_id is 999; there are 259 tokens"),
        ({"eos_token_id": "x"}, "tokenizer.ggml.eos_token_id is 'x'; it must be an id"),
        ({"token_type": [9] + [1] * 258}, "token_type holds 9"),
        ({"model": DROP}, "tokenizer.ggml.model is missing"),
        ({"tokens": 3}, "tokenizer.ggml.tokens is of a wrong type"),
        ({"token_type": [1, 3]}, "do not fit together"),
        ({"merges": ["Ġ unknown"]}, "merges 'unknown', which is no token"),
        ({"merges": ["Ġa"]}, "damaged"),
        (
            {"tokens": ["<|im_end|>", *BYTES, "Ġa", "a b"]},
            "damaged: token 'a b'",
        ),  # a space is written Ġ
        ({"tokens": ["<|im_end|>", *BYTES, "Ġa", "a"]}, "damaged: it has two ids for 'a'"),
    ],
)
def test_a_damaged_tokenizer_is_refused(carried, changed, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        tokenizer_of(carried(**changed))
    assert "a.gguf" in str(caught.value)


def test_user_defined_tokens_are_found_in_any_text_and_others_only_where_asked_for(carried):
    tokens = ["<|im_end|>", *BYTES, "Ġa", "12", "<think>"]
    tokenizer = tokenizer_of(carried(tokens=tokens, token_type=[3] + [1] * 258 + [4]))
    assert tokenizer.encode("<think>").tolist() == [259] and 0 not in tokenizer.encode("<|im_end|>")


def test_without_types_the_ids_of_begin_and_end_are_special(carried):
    tokenizer = tokenizer_of(carried(token_type=DROP))
    assert tokenizer.special == {"<|im_end|>": 0} and tokenizer.encode(" a").tolist() == [257]


def test_ids_that_end_a_text_are_one_or_several(carried):
    assert end_ids(carried(eot_token_id=1)) == (0, 1)
    assert end_ids(carried(eos_token_id=DROP)) == ()
    assert end_ids(carried(eos_token_id=[0, 5])) == (0, 5)
    assert special_ids(carried(eos_token_id=0xFFFFFFFF)) == {}  # what is written for none


def test_the_begin_of_a_text_is_a_switch_or_the_model_s_own(carried):
    ids = {"bos_token_id": 0}
    assert tokenizer_of(carried(**ids)).framed("a")[0].tolist() == [1 + ord("a")]
    assert tokenizer_of(carried(**ids, pre="llama-bpe")).framed("a")[0].tolist() == [
        0,
        1 + ord("a"),
    ]
    assert tokenizer_of(carried(**ids, pre="llama-bpe", add_bos_token=False)).framed("a")[
        0
    ].tolist() == [1 + ord("a")]
    assert tokenizer_of(carried(add_eos_token=True)).framed("a")[0].tolist() == [1 + ord("a"), 0]


@pytest.mark.parametrize(
    ("pre", "pieces"),
    [
        ("gpt-2", ["HelloWorld", " 1234", "'", "RE", ".", "\n", "\n", "x"]),
        ("smollm", ["HelloWorld", " ", "1", "2", "3", "4"]),
        ("llama-bpe", ["HelloWorld", " ", "123", "4", "'RE", ".\n\n", "x"]),
        ("qwen2", ["HelloWorld", " ", "1", "2", "3", "4", "'RE"]),
        ("tekken", ["Hello", "World", " ", "1", "2", "3", "4", "'RE"]),
        ("gpt-4o", ["Hello", "World", " ", "123", "4", "'RE"]),
        ("deepseek-v3", ["HelloWorld", " ", "123", "4", "'RE", ".\n\n", "x"]),
        ("falcon", ["HelloWorld", " ", "123", "4", "'", "RE"]),
        ("deepseek-coder", ["HelloWorld", " ", "1", "2", "3", "4", "'", "RE"]),
        ("bloom", ["HelloWorld", " 1234'RE", ".\n\n", "x"]),
    ],
)
def test_text_is_split_as_the_name_says(pre, pieces):
    splits = [
        {"type": "Split", "pattern": {"Regex": one}, "behavior": "Isolated", "invert": False}
        for one in SPLITS[pre]
    ]
    made = PipelineTokenizer(
        {
            "model": {"type": "WordLevel", "vocab": {}},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": splits},
        }
    )
    found, first = ["HelloWorld 1234'RE.\n\nx"], True
    for step in made._steps:
        found, first = step(found, first)
    assert found[: len(pieces)] == pieces


SCORED = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": [
        "<unk>",
        "<s>",
        "</s>",
        "▁",
        "a",
        "b",
        "ab",
        "▁ab",
        *(f"<0x{value:02X}>" for value in range(256)),
    ],
    "tokenizer.ggml.token_type": [2, 3, 3, 1, 1, 1, 1, 1] + [6] * 256,
    "tokenizer.ggml.scores": [0.0, 0.0, 0.0, -4.0, -5.0, -6.0, -1.0, -2.0] + [0.0] * 256,
}


@pytest.fixture
def scored(tmp_path):
    """The file of SCORED with some changed."""

    def make(**changed):
        settings = SCORED | {f"tokenizer.ggml.{name}": value for name, value in changed.items()}
        path = tmp_path / "a.gguf"
        path.write_bytes(
            gguf({name: value for name, value in settings.items() if value is not DROP})
        )
        return read_gguf(path)

    return make


def test_the_pieces_of_llama_are_joined_by_score_and_bytes_stand_for_the_rest(scored):
    tokenizer = tokenizer_of(scored())
    assert tokenizer.encode("ab  ab\n").tolist() == [7, 3, 7, 8 + 10]
    assert tokenizer.decode([7, 3, 7, 8 + 10]) == "ab  ab\n"
    assert tokenizer.framed("ab")[0].tolist() == [1, 7]
    assert tokenizer.encode("ab</s>ab", allow_special=True).tolist() == [
        7,
        2,
        7,
    ]  # a mark before each part
    assert tokenizer_of(scored(add_space_prefix=False)).encode("ab").tolist() == [6]
    assert tokenizer_of(scored(add_bos_token=False)).framed("ab")[0].tolist() == [7]


def test_t5_s_pieces_are_the_most_probable(scored):
    switches = dict(
        model="t5", add_space_prefix=True, remove_extra_whitespaces=True, eos_token_id=2
    )
    tokenizer = tokenizer_of(scored(**switches))
    assert tokenizer.framed("  ab  b ")[0].tolist() == [7, 3, 5, 2]
    with pytest.raises(CheckpointError, match="tokenizer.ggml.add_space_prefix is missing"):
        tokenizer_of(scored(model="t5", eos_token_id=2))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scores": DROP}, "tokenizer.ggml.scores is missing"),
        ({"scores": [0.0] * 3}, "3 numbers for 264 tokens"),
        ({"scores": [float("nan")] * 264}, "damaged: pieces"),
        ({"precompiled_charsmap": [0] * 5}, "has a trie"),
        ({"token_type": [2, 3, 3, 1, 1, 1, 1, 1] + [6] * 255 + [1]}, "255 of the 256 bytes"),
    ],
)
def test_damaged_pieces_are_refused(scored, changed, message):
    with pytest.raises(CheckpointError, match=message):
        tokenizer_of(scored(**changed))


def test_bert_s_words_are_written_with_a_mark_where_one_begins(carried):
    words = dict(
        model="bert",
        pre=DROP,
        merges=DROP,
        tokens=["[UNK]", "[CLS]", "[SEP]", "▁un", "a", "▁,"],
        token_type=[2, 3, 3, 1, 1, 1],
        unknown_token_id=0,
        cls_token_id=1,
        seperator_token_id=2,
        eos_token_id=DROP,
    )
    tokenizer = tokenizer_of(carried(**words))
    assert tokenizer.framed("Ună, x")[0].tolist() == [1, 3, 4, 5, 0, 2]
    assert tokenizer.decode([3, 4, 5]) == "una,"
    with pytest.raises(CheckpointError, match="tokens in upper case"):
        tokenizer_of(carried(**words | {"tokens": ["[UNK]", "[CLS]", "[SEP]", "▁Un", "a", "▁,"]}))


@pytest.fixture(scope="module")
def smollm2():
    weights = read_gguf(installed("smollm2"))
    return weights, tokenizer_of(weights)


def test_smollm2_s_special_tokens(smollm2):
    weights, tokenizer = smollm2
    assert tokenizer.vocab_size == 49152
    assert [
        tokenizer.special[name] for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    ] == [0, 1, 2]
    assert special_ids(weights) == {"bos": 1, "eos": 2, "unk": 0, "pad": 2}


def oracle(weights):
    """Hugging Face's tokenizer of the same tokens and merges, splitting as SmolLM2's
    tokenizer.json says.
    """
    library = pytest.importorskip("tokenizers")
    ids = {token: i for i, token in enumerate(weights.metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in weights.metadata["tokenizer.ggml.merges"]]
    theirs = library.Tokenizer(library.models.BPE(ids, merges))
    theirs.pre_tokenizer = library.pre_tokenizers.Sequence(
        [
            library.pre_tokenizers.Digits(individual_digits=True),
            library.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return theirs


def test_smollm2_s_ids_are_those_of_hugging_face(smollm2):
    weights, tokenizer = smollm2
    theirs = oracle(weights)

    # Of the last two, the bytes 04 and F1 have no token.
    @given(
        st.text(st.sampled_from(" \n\t'sldevrtmALL129²é中-.🙂abcdefghi\x04\U00040000"), max_size=60)
    )
    def check(text):
        assert tokenizer.encode(text).tolist() == theirs.encode(text).ids

    check()
    prose = (
        "The Declaration of 1948 wasn't signed by 8 countries;\n\n\tdef f(x):  return x**2"
        "  # ¿qué? 中文 "
    )
    assert tokenizer.encode(prose).tolist() == theirs.encode(prose).ids
    assert tokenizer.decode(tokenizer.encode(prose)) == prose
    assert tokenizer.encode(prose).dtype == np.int32
