"""Tokenizers written as tokenizer.json and read again; what has no words is refused."""

import json

import pytest

from tinylm.errors import ConfigError, DataError
from tinylm.tokenizers import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    PipelineTokenizer,
    UnigramTokenizer,
    WordPieceTokenizer,
    WordTokenizer,
)
from tinylm.tokenizers.published.write import tokenizer_json

TEXT = "It's 12 cats,  and\n\n ünï 猫 <|end|>s; it's 345."
SPECIAL = ("<|end|>",)


def pieces(**options):
    letters = sorted(set(TEXT)) + ["cat", " c", "and"]
    special = {"<unk>": len(letters)}
    values = [*letters, None], [-float(i) / 7 for i in range(len(letters) + 1)]
    return UnigramTokenizer(*values, special, unk="<unk>", **options)


MADE = {
    "characters": lambda: CharTokenizer("".join(sorted(set(TEXT))), SPECIAL),
    "bytes": lambda: ByteTokenizer(SPECIAL),
    "bpe": lambda: BPETokenizer.train(TEXT * 9, 290, SPECIAL),
    "bpe, llama3": lambda: BPETokenizer.train(TEXT * 9, 290, SPECIAL, "llama3"),
    "unigram": lambda: pieces(),
    "unigram, bytes": lambda: UnigramTokenizer.train(TEXT * 9, 310, SPECIAL),
    "wordpiece": lambda: WordPieceTokenizer(
        ["[UNK]", "it", "##s", "cat", "##", "'", "s", "12", "猫", "[CLS]"]
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_ids_and_text_come_back(name):
    ours = MADE[name]()
    described, names = tokenizer_json(ours)
    again = PipelineTokenizer(json.loads(json.dumps(described)))
    for special in (False, True):
        ids = ours.encode(TEXT, allow_special=special)
        assert again.encode(TEXT, allow_special=special).tolist() == ids.tolist()
        assert again.decode(ids) == ours.decode(ids)
    assert again.special == ours.special and again.vocab_size == ours.vocab_size and names == []


def test_a_tokenizer_that_was_published_is_written_as_it_was():
    described, _ = tokenizer_json(MADE["bpe"]())
    again, names = tokenizer_json(PipelineTokenizer(described), ["<s>", "<|end|>"])
    assert names == ["<s>", "<<|end|>>"]
    last = described["added_tokens"][0]["id"]
    assert [one["id"] for one in again["added_tokens"]] == [last, last + 1, last + 2]
    assert again["model"] == described["model"]


def test_an_unknown_character_stays_an_error():
    described, _ = tokenizer_json(CharTokenizer("ab", ["<unk>"]))
    with pytest.raises(DataError, match="'c' is unknown"):
        PipelineTokenizer(described).encode("c")


SPACED = dict(pattern="spaces")
ALL_BYTES = [*range(256), "a"], [0.0] * 257


@pytest.mark.parametrize(
    "tokenizer, message",
    [
        (lambda: WordTokenizer(["a"]), "kind 'word' is not written .its words .*, but characters"),
        (lambda: CharTokenizer("a|", ["|"]), "'|' is written like an ordinary token"),
        (lambda: ByteTokenizer(["Ġ"]), "'Ġ' is written like an ordinary token"),
        (lambda: ByteTokenizer(["Ġé"]), "'Ġé' would be read as bytes"),
        (lambda: UnigramTokenizer(*ALL_BYTES, **SPACED), "split pattern 'spaces' would find the"),
        (lambda: pieces(prefix=True), "puts a space before the text alone.* '<unk>'"),
        (
            lambda: UnigramTokenizer(["<unk>", None], [0.0, 0.0], {"<unk>": 1}, unk="<unk>"),
            "written like a special token",
        ),
    ],
)
def test_what_the_format_has_no_words_for_is_refused(tokenizer, message):
    with pytest.raises(ConfigError, match=message.replace("'|'", r"'\|'")):
        tokenizer_json(tokenizer())
    if "kind" not in message:
        assert "tokenizer.json" in str(
            pytest.raises(ConfigError, tokenizer_json, tokenizer()).value
        )
