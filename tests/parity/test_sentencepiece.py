"""Model files against the library `sentencepiece`, which trains them here: ids and decoded text."""

import random

import pytest

from tests.parity.test_tokenizers import LINES, TEXTS
from tinylm.tokenizers import PipelineTokenizer, read_tokenizer

sentencepiece = pytest.importorskip("sentencepiece")

CORPUS = [*LINES, "one ｶﾞ ﾊﾟ e\u0301 ﬁ Ａ ½ Ⅷ", "two  spaces   and three"] * 5
CHOSEN = {
    "unigram": {"model_type": "unigram"},
    "bpe": {"model_type": "bpe"},
    "llama": {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "split_digits": True,
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
    },
    "user-defined, unigram": {
        "model_type": "unigram",
        "byte_fallback": True,
        "normalization_rule_name": "nfkc",
        "user_defined_symbols": ["<tool>", "  ", "[MASK]"],
    },
    "user-defined, bpe": {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "nmt_nfkc_cf",
        "add_dummy_prefix": False,
        "user_defined_symbols": ["<tool>", "Word", "[MASK]"],
    },
    "across spaces": {"model_type": "bpe", "split_by_whitespace": False},
    "across spaces, unigram": {
        "model_type": "unigram",
        "split_by_whitespace": False,
        "remove_extra_whitespaces": False,
    },
}


@pytest.fixture(scope="module", params=CHOSEN)
def both(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    size = 500 if CHOSEN[request.param].get("byte_fallback") else 240
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_prefix=str(folder / "tokenizer"),
        minloglevel=2,
        vocab_size=size,
        hard_vocab_limit=False,
        **CHOSEN[request.param],
    )
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    return theirs, read_tokenizer(folder, {}).tokenizer


def test_ids_and_text_are_sentencepiece_s(both):
    theirs, ours = both
    rng = random.Random(0)
    for _ in range(150):
        text = "".join(
            rng.choice([*TEXTS, "ｶﾞ", "ﾞ", "   "]) for _ in range(rng.randint(0, 9))
        ).replace("\0", "")
        ids = theirs.encode(text)
        assert ours.encode(text).tolist() == ids, text
        if theirs.unk_id() not in ids:  # which they write "⁇", and we as it is named
            assert ours.decode(ids) == theirs.decode(ids), text


def test_the_character_map_is_applied_as_tokenizers_does(both):
    library = pytest.importorskip("tokenizers")
    described = both[1].to_dict()
    if not described["charsmap"]:
        pytest.skip("a model without a character map")
    normalizer = {"type": "Precompiled", "precompiled_charsmap": described["charsmap"]}
    written = {
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"},
        "normalizer": normalizer,
    }
    theirs = library.normalizers.Precompiled(__import__("base64").b64decode(described["charsmap"]))
    ours = PipelineTokenizer(written)
    for text in [*TEXTS, "ｶﾞｶ", "e\u0301", "ﾊﾟ"]:
        assert ours._normalize(text) == theirs.normalize_str(text), text
