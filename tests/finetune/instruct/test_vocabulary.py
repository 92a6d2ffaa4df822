"""New special tokens get ids after the old and rows near their mean; nothing else changes."""

import numpy as np
import pytest

from tinylm import tokenizers
from tinylm.errors import ConfigError
from tinylm.finetune.instruct.vocabulary import add_special, grow_vocabulary
from tinylm.models import GPT, GPTConfig
from tinylm.optim import FlatParameters
from tinylm.tokenizers import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    UnigramTokenizer,
    WordPieceTokenizer,
    WordTokenizer,
)

TEXT = "the cat sat on the mat. the dog sat on the log. " * 20
KINDS = [
    ByteTokenizer(["<|endoftext|>"]),
    CharTokenizer.from_text(TEXT),
    CharTokenizer.from_text(TEXT, unk="<unk>"),
    BPETokenizer.train([TEXT], 280),
    UnigramTokenizer.train([TEXT], 290),
    WordTokenizer.from_text(TEXT),
]


@pytest.mark.parametrize("tokenizer", KINDS, ids=lambda tokenizer: tokenizer.kind)
def test_text_keeps_its_ids_and_new_tokens_follow(tokenizer):
    grown = add_special(tokenizer, ["<|a|>", "<|b|>"])
    V = tokenizer.vocab_size
    assert grown.vocab_size == V + 2 and grown.special == {
        **tokenizer.special,
        "<|a|>": V,
        "<|b|>": V + 1,
    }
    np.testing.assert_array_equal(grown.encode(TEXT), tokenizer.encode(TEXT))
    assert grown.encode("cat<|b|>", allow_special=True)[-1] == V + 1
    assert tokenizers.from_dict(grown.to_dict()).special == grown.special
    assert add_special(grown, ["<|a|>"]) is grown


def test_word_pieces_are_fixed():
    with pytest.raises(ConfigError, match="special tokens fixed; <a> cannot be added"):
        add_special(WordPieceTokenizer(["[UNK]", "[CLS]", "[SEP]", "a"]), ["<a>"])


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_said_of_old_tokens_stays(tied):
    model = GPT(GPTConfig(7, 8, 1, 1, 4, tied=tied), 0, np.float64).eval()
    ids = np.array([[1, 2, 6]])
    before = model(ids).data
    rows = model.tokens.weight.data.copy()
    assert grow_vocabulary(model, 9).config.vocab_size == 9
    after = model(ids).data
    np.testing.assert_allclose(after[..., :7], before, rtol=1e-13)
    new = model.tokens.weight.data[7:]
    # A tenth of the spread of the rows around their mean; six standard deviations of that at the
    # most.
    assert (np.abs(new - rows.mean(axis=0)) < 0.6 * rows.std(axis=0)).all() and (
        new[0] != new[1]
    ).all()
    assert model(np.array([[7, 8]])).shape == (1, 2, 9)
    assert {name: p.shape for name, p in model.named_parameters().items()} == {
        name: p.shape for name, p in GPT(model.config, 0).named_parameters().items()
    }


def test_a_vocabulary_does_not_shrink():
    with pytest.raises(ConfigError, match="cannot shrink"):
        grow_vocabulary(GPT(GPTConfig(7, 8, 1, 1, 4), 0), 6)


def test_gradients_of_the_smaller_tables_are_dropped():
    model = GPT(GPTConfig(7, 8, 1, 1, 4, tied=False), 0, np.float64)
    FlatParameters(model.named_parameters())
    (model(np.array([[1, 2, 6]])) ** 2).sum().backward()
    grow_vocabulary(model, 9)
    for table in (model.tokens.weight, model.head):
        assert table.grad is None and table.slot is None
    (model(np.array([[7, 8]])) ** 2).sum().backward()
    assert model.tokens.weight.grad.shape == (9, 4) and model.head.grad.shape == (4, 9)
