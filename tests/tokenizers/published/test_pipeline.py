"""A tokenizer.json is carried out field by field, and refused by name where it is not known."""

import json
import unicodedata

import pytest

from tinylm import tokenizers
from tinylm.errors import DataError
from tinylm.tokenizers import PipelineTokenizer
from tinylm.tokenizers.pretokenize import LLAMA3, QWEN2
from tinylm.tokenizers.printable import to_printable
from tinylm.tokenizers.published.normalize import in_form

BYTES = {to_printable(bytes([value])): value for value in range(256)}


def added(content, number, **flags):
    return {
        "id": number,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    } | flags


def byte_level(pre_tokenizer=None, merges=(("1", "2"), ("Ġ", "a")), tokens=(), **others):
    """Byte-level BPE whose merges are 256, 257, ..."""
    vocab = BYTES | {left + right: 256 + i for i, (left, right) in enumerate(merges)}
    split = pre_tokenizer or {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    return {
        "version": "1.0",
        "model": {"type": "BPE", "vocab": vocab, "merges": [list(pair) for pair in merges]},
        "pre_tokenizer": split,
        "decoder": {"type": "ByteLevel"},
        "added_tokens": list(tokens),
    } | others


def split_by(pattern):
    return {
        "type": "Sequence",
        "pretokenizers": [
            {
                "type": "Split",
                "pattern": {"Regex": pattern},
                "behavior": "Isolated",
                "invert": False,
            },
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ],
    }


def ids(described, text, **options):
    return PipelineTokenizer(described).encode(text, **options).tolist()


def test_the_way_to_split_is_the_file_s():
    assert ids(byte_level(), "12 a") == [256, 257]
    assert ids(byte_level(split_by(LLAMA3.split.pattern)), "12 a") == [256, 257]
    assert ids(byte_level(split_by(QWEN2.split.pattern)), "12 a") == [
        *b"12",
        257,
    ]  # each digit alone


def test_special_tokens_are_found_only_where_asked_for_and_others_always():
    described = byte_level(tokens=[added("<|end|>", 258), added("<tool>", 259, special=False)])
    assert ids(described, "a<|end|><tool>") == [*b"a<|end|>", 259]
    assert ids(described, "a<|end|><tool>", allow_special=True) == [ord("a"), 258, 259]
    assert PipelineTokenizer(described).special == {"<|end|>": 258}


def test_the_longest_added_token_is_taken():
    described = byte_level(tokens=[added("<a>", 258), added("<a><b>", 259)])
    assert ids(described, "<a><b><a>", allow_special=True) == [259, 258]


@pytest.mark.parametrize(
    "flag, text, expected",
    [
        ("lstrip", "x \n<m> y", [ord("x"), 258, *b" y"]),
        ("rstrip", "x <m> \ny", [*b"x ", 258, ord("y")]),
        ("single_word", "x<m> <m>y <m>", [*b"x<m> <m>y ", 258]),
    ],
)
def test_an_added_token_takes_the_white_space_beside_it(flag, text, expected):
    described = byte_level(
        merges=[("1", "2"), ("3", "4")], tokens=[added("<m>", 258, **{flag: True})]
    )
    assert ids(described, text, allow_special=True) == expected


def test_a_normalized_token_is_looked_for_in_normalized_text():
    described = byte_level(
        tokens=[added("Aa", 258, normalized=True, special=False)], normalizer={"type": "Lowercase"}
    )
    assert ids(described, "xAA") == [ord("x"), 258]
    assert ids(
        byte_level(tokens=[added("Aa", 258, special=False)], normalizer={"type": "Lowercase"}),
        "AAAa",
    ) == [*b"aa", 258]


def test_the_frame_is_the_post_processor_s():
    template = {
        "type": "TemplateProcessing",
        "special_tokens": {"<s>": {"id": "<s>", "ids": [258], "tokens": ["<s>"]}},
        "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "<s>", "type_id": 1}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
    }
    tokenizer = PipelineTokenizer(byte_level(tokens=[added("<s>", 258)], post_processor=template))
    assert tokenizer.framed("ab")[0].tolist() == [258, *b"ab"]
    row, segments = tokenizer.framed("abcd", "ef", limit=5)
    assert row.tolist() == [
        258,
        *b"ab",
        258,
        *b"e",
    ]  # of the two texts the longer loses its end first
    assert segments.tolist() == [0, 0, 0, 1, 1]


def test_it_lies_in_a_checkpoint():
    tokenizer = PipelineTokenizer(byte_level(tokens=[added("<|end|>", 258)]))
    again = tokenizers.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert again.encode("12<|end|>", allow_special=True).tolist() == [256, 258]
    assert again.with_special(["<new>"]).encode("<new>", allow_special=True).tolist() == [259]
    assert again.decode_bytes([256, 258, 0xC3]) == b"12<|end|>\xc3"


@pytest.mark.parametrize(
    "text", ["word " * 30 + "12 a", "e\u0301" * 40 + " a12 ", "12<|end|>" * 9, ""]
)
@pytest.mark.parametrize("normalizer", [None, {"type": "NFC"}, {"type": "Lowercase"}])
def test_a_stream_has_the_ids_of_the_whole(text, normalizer):
    tokenizer = PipelineTokenizer(byte_level(tokens=[added("<|end|>", 258)], normalizer=normalizer))
    parts = [
        part.tolist() for part in tokenizer.encode_stream(text, chunk_bytes=7, allow_special=True)
    ]
    assert sum(parts, []) == tokenizer.encode(text, allow_special=True).tolist()


def test_a_stream_is_cut_where_the_pattern_is_known():
    chunks = list(PipelineTokenizer(byte_level()).encode_stream("ab cd " * 20, chunk_bytes=8))
    assert len(chunks) > 5


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"version": "2.0"}, r"tokenizer.json.version is '2.0'; it must be '1.0'"),
        ({"extra": 1}, r"tokenizer.json.extra is 1; no field of that name"),
        (
            {"normalizer": {"type": "Unheard"}},
            r"normalizer.type is 'Unheard'; it must be one of Sequence, Strip",
        ),
        ({"normalizer": {"type": "NFC", "x": 3}}, r"normalizer.x is 3"),
        (
            {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Nope"}]}},
            r"normalizer.normalizers\[0\].type is 'Nope'",
        ),
        ({"pre_tokenizer": {"type": "UnicodeScripts"}}, r"pre_tokenizer.type is 'UnicodeScripts'"),
        (
            {"pre_tokenizer": split_by(r"(?~a)")},
            r"pre_tokenizer.pretokenizers\[0\].pattern.Regex is '\(\?~a\)'",
        ),
        ({"normalizer": {"type": "Sequence", "normalizers": [None]}}, r"normalizers\[0\] is None"),
        ({"decoder": {"type": "Sequence", "decoders": [None]}}, r"decoders\[0\] is None"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, r"pre_tokenizer.add_prefix_space is missing"),
        ({"pre_tokenizer": {"type": "Digits"}}, r"pre_tokenizer.individual_digits is missing"),
        ({"added_tokens": 3}, r"added_tokens is 3"),
        ({"added_tokens": [{"content": [], "special": True}]}, r"added_tokens\[0\].id is missing"),
        ({"decoder": {"type": "CTC"}}, r"decoder.type is 'CTC'"),
        (
            {"post_processor": {"type": "BertProcessing", "cls": ["<s>", 999], "sep": ["<s>", 0]}},
            r"puts the id 999",
        ),
        (
            {"post_processor": {"type": "BertProcessing", "cls": ["<s>"], "sep": ["<s>", 0]}},
            r"post_processor.cls is \['<s>'\]",
        ),
        (
            {"model": {"type": "BPE", "vocab": BYTES, "merges": [], "dropout": 0.1}},
            r"model.dropout is 0.1",
        ),
        (
            {"model": {"type": "BPE", "vocab": BYTES, "merges": ["a b c"]}},
            r"model.merges\[0\] is 'a b c'",
        ),
        (
            {"model": {"type": "BPE", "vocab": BYTES, "merges": ["a b"]}},
            r"model.merges\[0\] is 'a' 'b', and 'ab' is no token",
        ),
        (
            {"model": {"type": "BPE", "vocab": BYTES | {"x": "1"}, "merges": []}},
            r"model.vocab\['x'\] is '1'",
        ),
        (
            {"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}},
            r"two tokens the same id",
        ),
        ({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 3}}, r"model.unk_id is 3"),
        (
            {"model": {"type": "WordPiece", "vocab": {"a": 0}}},
            r"model.unk_token is '\[UNK\]', which is not in the vocabulary",
        ),
        ({"added_tokens": [added("a", 7)]}, r"added_tokens\[0\].id is 7, and 'a' has the id 97"),
        (
            {"added_tokens": [added("<a>", 256)]},
            r"added_tokens\[0\].id is 256, which is also that of '12'",
        ),
        ({"added_tokens": [added("<a>", 300) | {"odd": 1}]}, r"added_tokens\[0\].odd is 1"),
        ({"padding": 3}, r"tokenizer.json.padding is 3"),
    ],
)
def test_what_is_not_known_is_refused_by_name(changed, words):
    with pytest.raises(DataError, match=words):
        PipelineTokenizer(byte_level() | changed)


def test_how_rows_are_cut_and_padded_is_the_caller_s_business():
    described = byte_level(
        truncation={"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        padding={"strategy": "BatchLongest", "pad_id": 0},
    )
    assert len(ids(described, "abcdefgh")) == 8


def test_a_lone_surrogate_is_refused_with_its_place():
    with pytest.raises(DataError, match="U\\+D800 at position 2"):
        PipelineTokenizer(byte_level()).encode("ab\ud800")


WORDS = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "un": 3, "##a": 4, "##ff": 5, "the": 6, ",": 7}


def test_wordpiece_cuts_greedily_and_joins_again():
    tokenizer = PipelineTokenizer(
        {
            "model": {
                "type": "WordPiece",
                "vocab": WORDS,
                "unk_token": "[UNK]",
                "max_input_chars_per_word": 5,
            },
            "normalizer": {"type": "BertNormalizer"},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "decoder": {"type": "WordPiece"},
        }
    )
    assert tokenizer.encode("Unaff, THE unx").tolist() == [3, 4, 5, 7, 6, 0]
    assert tokenizer.encode("unaffa").tolist() == [0]  # six characters: too long
    assert tokenizer.decode([3, 4, 5, 7, 6]) == "unaff, the"
    assert tokenizer.decode_bytes([4, 6]) == b"a the"


PIECES = [
    ["<unk>", 0.0],
    ["</s>", 0.0],
    ["▁", -2.0],
    ["a", -1.0],
    ["b", -1.5],
    ["ab", -2.0],
    ["▁ab", -3.0],
]


def unigram(**model):
    return {
        "model": {"type": "Unigram", "vocab": PIECES, "unk_id": 0} | model,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁"},
        "decoder": {"type": "Metaspace"},
        "added_tokens": [added("</s>", 1)],
    }


def test_unigram_takes_the_most_probable_pieces():
    assert ids(unigram(), "ab ba") == [6, 2, 4, 3]  # ▁ab: -3 before ▁ a b: -4.5
    assert ids(unigram(), "xyab") == [2, 0, 5]  # unknown characters side by side are one
    assert PipelineTokenizer(unigram()).decode([6, 2, 4, 3]) == "ab ba"


def test_text_is_never_cut_into_a_special_token():
    assert 1 not in ids(unigram(), "</s>")
    assert ids(unigram(), "</s>", allow_special=True) == [1]


def test_unknown_characters_become_bytes_where_all_are_tokens():
    vocab = {"<unk>": 0, "a": 1} | {f"<0x{value:02X}>": 2 + value for value in range(256)}
    model = {"type": "BPE", "vocab": vocab, "merges": [], "unk_token": "<unk>", "fuse_unk": True}
    decoder = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
    tokenizer = PipelineTokenizer({"model": model | {"byte_fallback": True}, "decoder": decoder})
    assert tokenizer.encode("aé").tolist() == [1, 2 + 0xC3, 2 + 0xA9]
    assert tokenizer.decode([1, 2 + 0xC3, 2 + 0xA9]) == "aé"
    assert tokenizer.decode([1, 2 + 0xC3, 2 + 0xC3]) == "a\ufffd\ufffd"
    assert tokenizer.decode_bytes([2 + 0xC3]) == b"\xc3"
    assert ids({"model": model}, "aéüa") == [1, 0, 1]
    assert ids({"model": model | {"fuse_unk": False}}, "aéüa") == [1, 0, 0, 1]
    with pytest.raises(DataError, match="the unknown token '<none>' is not in the vocabulary"):
        ids({"model": model | {"unk_token": "<none>"}}, "é")


def test_a_long_piece_takes_time_in_proportion():
    """No minutes for a megabyte: pieces are cut in n log n, and nothing is searched again."""
    text = "ab" * 20_000
    assert len(ids(unigram(), text)) == 20_000  # ▁ab, then ab
    described = byte_level(split_by(r"[^\x00]+"), merges=[("a", "b")])
    assert len(ids(described, text)) == 20_000


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_many_marks_come_in_the_order_of_unicode(form):
    classes = "\u0301\u0316\u0323\u0344\u093c\u0f71\u0e31\u05b0"
    for text in (
        "a" + classes * 12,
        "e" + "\u0301\u0316" * 40 + "b" + "\u0345\u0327\u20dd\u0301" * 20,
    ):
        assert in_form(form, text) == unicodedata.normalize(form, text)
