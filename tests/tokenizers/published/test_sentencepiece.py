"""SentencePiece: the model file is read field by field, and text is cut as its scores have it."""

import json

import pytest

from tests.tokenizers.published.files import (
    ALL_BYTES,
    BASIC,
    NORMAL,
    UNUSED,
    USER,
    character_map,
    field,
    model,
)
from tinylm import tokenizers
from tinylm.errors import CheckpointError, DataError
from tinylm.tokenizers import read_tokenizer
from tinylm.tokenizers.published.charsmap import CharacterMap

LETTERS = [(c, -10.0 - i, NORMAL) for i, c in enumerate("▁abc")]
PAIRS = [("ab", -1.0, NORMAL), ("bc", -2.0, NORMAL), ("▁ab", -3.0, NORMAL)]


@pytest.fixture
def opened(tmp_path):
    """The tokenizer of a folder with a model file and settings."""

    def make(pieces, kind=2, settings=None, trainer=(), normalizer=((3, 1), (4, 1)), data=None):
        written = model(BASIC + pieces, kind, trainer, normalizer) if data is None else data
        (tmp_path / "tokenizer.model").write_bytes(written)
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings or {}))
        return read_tokenizer(tmp_path, {})

    return make


def pieces_of(tokenizer, text, **options):
    return [tokenizer.pieces[i][0] for i in tokenizer.encode(text, **options)]


def test_the_neighbors_of_highest_score_are_joined_first(opened):
    tokenizer = opened(LETTERS + PAIRS).tokenizer
    assert pieces_of(tokenizer, "abc") == ["▁ab", "c"]  # ab: -1, then ▁ab; bc: -2 came too late
    assert pieces_of(opened(LETTERS + PAIRS[1:]).tokenizer, "abc") == ["▁", "a", "bc"]


def test_equal_scores_are_joined_from_the_left(opened):
    equal = [("ab", -1.0, NORMAL), ("ba", -1.0, NORMAL)]
    assert pieces_of(opened(LETTERS + equal).tokenizer, "aba bab") == [
        "▁",
        "ab",
        "a",
        "▁",
        "ba",
        "b",
    ]


def test_an_unused_piece_is_taken_apart_again(opened):
    tokenizer = opened(LETTERS + [("ab", -1.0, UNUSED), ("abc", -2.0, NORMAL)]).tokenizer
    assert pieces_of(tokenizer, "ab abc") == ["▁", "a", "b", "▁", "abc"]


def test_spaces_are_squeezed_and_a_mark_comes_first(opened):
    tokenizer = opened(LETTERS).tokenizer
    assert pieces_of(tokenizer, "  a  b ") == ["▁", "a", "▁", "b"]
    assert tokenizer.decode(tokenizer.encode("  a  b ")) == "a b"
    assert tokenizer.encode("   ").tolist() == []


def test_spaces_stay_where_the_file_says_so(opened):
    tokenizer = opened(LETTERS, normalizer=[(3, 0), (4, 0)]).tokenizer
    assert pieces_of(tokenizer, " a  ") == ["▁", "a", "▁", "▁"]
    assert tokenizer.decode(tokenizer.encode(" a  ")) == " a  "


def test_what_is_no_piece_becomes_bytes_or_the_unknown_piece(opened):
    tokenizer = opened(LETTERS + ALL_BYTES).tokenizer
    assert pieces_of(tokenizer, "aé") == ["▁", "a", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(tokenizer.encode("aé")) == "aé"
    assert tokenizer.decode_bytes(tokenizer.encode("é")) == "  é".encode()[1:]
    assert pieces_of(opened(LETTERS).tokenizer, "aéüa") == ["▁", "a", "<unk>", "a"]  # one for both


def test_user_defined_pieces_are_always_cut_out(opened):
    tokenizer = opened(LETTERS + PAIRS + [("cab", 0.0, USER)]).tokenizer
    assert pieces_of(tokenizer, "bcabab") == ["▁", "b", "cab", "ab"]
    # Unigram gives them a score of -0.1, as SentencePiece does.
    tokenizer = opened(LETTERS + [("cab", 0.0, USER)], 1).tokenizer
    assert pieces_of(tokenizer, "bcabab") == ["▁", "b", "cab", "a", "b"]


def test_unigram_takes_the_highest_sum(opened):
    scores = [
        ("▁", -2.0, NORMAL),
        ("a", -1.0, NORMAL),
        ("b", -1.5, NORMAL),
        ("ab", -2.0, NORMAL),
        ("▁ab", -3.0, NORMAL),
    ]
    assert pieces_of(opened(scores, 1).tokenizer, "ab ba") == ["▁ab", "▁", "b", "a"]


def test_special_tokens_are_no_text(opened):
    tokenizer = opened(LETTERS + ALL_BYTES).tokenizer
    assert 1 not in tokenizer.encode("<s>")
    assert tokenizer.encode("<s>", allow_special=True).tolist() == [1]
    assert tokenizer.special == {"<unk>": 0, "<s>": 1, "</s>": 2}


def test_llama_frames_and_prefixes_follow_the_settings(opened):
    llama = {"tokenizer_class": "LlamaTokenizer"}
    found = opened(LETTERS, settings=llama)
    assert (
        found.special == {"unk": 0, "bos": 1, "eos": 2}
        and found.begin == (1,)
        and found.ends == (2,)
    )
    assert found.tokenizer.framed("a")[0].tolist() == [1, 3, 4]
    assert pieces_of(found.tokenizer, "a</s>b", allow_special=True) == ["▁", "a", "</s>", "b"]
    legacy = opened(
        LETTERS, settings=llama | {"legacy": True, "add_bos_token": False, "add_eos_token": True}
    )
    assert legacy.begin == () and legacy.tokenizer.framed("a")[0].tolist() == [3, 4, 2]
    assert pieces_of(legacy.tokenizer, "a</s>b", allow_special=True) == ["▁", "a", "</s>", "▁", "b"]


def test_added_tokens_follow_the_pieces(opened):
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "pad_token": "<pad>",
        "added_tokens_decoder": {
            "7": {
                "content": "<tool>",
                "special": False,
                "normalized": False,
                "lstrip": False,
                "rstrip": False,
                "single_word": False,
            }
        },
    }
    found = opened(LETTERS, settings=settings)
    assert found.tokenizer.encode("a<tool>").tolist() == [3, 4, 7]
    assert found.special["pad"] == 8 and found.tokenizer.vocab_size == 9
    settings["added_tokens_decoder"]["9"] = settings["added_tokens_decoder"].pop("7")
    with pytest.raises(
        CheckpointError, match="the added token '<tool>' has the id 9, and no token has the id 7"
    ):
        opened(LETTERS, settings=settings)


def test_t5_and_the_models_of_fairseq_number_otherwise(opened):
    t5 = opened(LETTERS, 1, {"tokenizer_class": "T5Tokenizer", "extra_ids": 2}).tokenizer
    assert [piece[0] for piece in t5.pieces[7:]] == ["<extra_id_1>", "<extra_id_0>"]
    assert t5.framed("a")[0].tolist() == [3, 4, 2]
    camembert = opened(LETTERS, 1, {"tokenizer_class": "CamembertTokenizer"})
    assert camembert.tokenizer.framed("a", "b")[0].tolist() == [5, 7, 8, 6, 6, 7, 9, 6]
    assert camembert.special["mask"] == 11
    roberta = opened(LETTERS, 1, {"tokenizer_class": "XLMRobertaTokenizer"}).tokenizer
    assert roberta.framed("a")[0].tolist() == [0, 4, 5, 2]


def test_albert_changes_the_text_first(opened):
    tokenizer = opened(LETTERS, 1, {"tokenizer_class": "AlbertTokenizer"}).tokenizer
    assert pieces_of(tokenizer, "Á") == ["▁", "a"]
    cased = opened(
        LETTERS,
        1,
        {"tokenizer_class": "AlbertTokenizer", "do_lower_case": False, "keep_accents": True},
    ).tokenizer
    assert pieces_of(cased, "Áa") == ["▁", "<unk>", "a"]


def test_it_lies_in_a_checkpoint(opened):
    tokenizer = opened(LETTERS + PAIRS, normalizer=[(2, character_map({"x": "ab"}))]).tokenizer
    again = tokenizers.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert pieces_of(again, "xc") == ["▁ab", "c"]
    assert again.with_special(["<new>"]).encode("<new>", allow_special=True).tolist() == [10]


def test_the_character_map_replaces_the_longest_key(opened):
    data = character_map({"x": "a", "xy": "b", "é": "c", "\n": " "})
    tokenizer = opened(LETTERS, normalizer=[(2, data), (3, 1), (4, 1)]).tokenizer
    assert pieces_of(tokenizer, "xxyé\n\nx") == ["▁", "a", "b", "c", "▁", "a"]
    # The library `tokenizers` takes the shortest of each cluster instead.
    assert CharacterMap(data).by_clusters("xye\u0301é") == "aye\u0301c"


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "has a trie of 0"),
        (b"\4\0\0\0", "has a trie of 4"),
        (b"\3\0\0\0abc", "has a trie of 3"),
    ],
)
def test_a_damaged_character_map_is_refused(data, words):
    with pytest.raises(DataError, match=words):
        CharacterMap(data)


def test_a_character_map_that_leads_outside_is_refused():
    data = bytearray(character_map({"x": "a"}))
    data[4:8] = (0x3FFFFF << 10).to_bytes(4, "little")
    with pytest.raises(DataError, match="leads outside of its trie"):
        CharacterMap(bytes(data)).by_clusters("x")


@pytest.mark.parametrize(
    "data, words",
    [
        (model(BASIC)[:-1], "cut short or damaged"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "does not end"),
        (b"\x0b", "wire type 3, which does not exist"),
        (b"\x02\x00", "the number 0, which does not exist"),
        (field(9, 1), "tokenizer.model has a field 9, which is not read here"),
        (field(1, 3), "tokenizer.model.pieces is of wire type 0"),
        (field(1, field(1, b"\xff")), r"pieces\[0\].piece is not UTF-8"),
        (field(1, field(1, "a") + field(3, 9)), r"pieces\[0\] is 'a' of type 9"),
        (model(BASIC, 3), "model_type is 'word'; unigram and bpe are read"),
        (model(BASIC, trainer=[(24, 1)]), "white space as a suffix"),
        (model(BASIC, trainer=[(99, 1)]), "trainer_spec has a field 99"),
        (model(BASIC) + field(5, field(2, b"abc")), "denormalizer_spec has a character map"),
        (model([*BASIC, ("<0x00>", 0.0, 6)]), "1 of the 256 bytes have a piece"),
        (model([*BASIC, ("a", float("nan"), NORMAL)]), r"pieces\[3\] is \['a', nan, 1\]"),
    ],
)
def test_a_damaged_model_is_refused_by_name(opened, data, words):
    with pytest.raises(CheckpointError, match=words):
        opened([], data=data)


def test_a_class_that_is_not_known_is_named(opened):
    with pytest.raises(CheckpointError, match="tokenizer_class is 'NllbTokenizer'"):
        opened(LETTERS, settings={"tokenizer_class": "NllbTokenizer"})


def test_a_long_text_takes_time_in_proportion(opened):
    assert len(opened(LETTERS + PAIRS).tokenizer.encode("abc" * 5000)) == 10000
