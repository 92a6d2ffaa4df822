"""Translation LM and code switching: the whale of the book, and what one language tells about the other."""
import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import encoder
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.pretrain.batch import IGNORE, TokenBatch
from tinylm.pretrain.cases import PAIRS, SPECIAL
from tinylm.pretrain.languages import CodeSwitched, TranslationLM, pack_bilingual, switch_code
from tinylm.pretrain.masked import MaskedLM, mask_tokens, targets_at
from tinylm.pretrain.words import Words

WHALE = Words("鲸鱼 是 哺乳 动物 。", "Whales are mammals .")


def whale(**options):
    return pack_bilingual(WHALE.special, WHALE.ids("鲸鱼 是 哺乳 动物 。"), WHALE.ids("Whales are mammals ."), **options)


def test_the_whale_is_packed_and_masked_in_both_languages():
    """Fig. 1.7."""
    ids, languages, positions = whale()
    assert " ".join(WHALE.show(ids)) == "[CLS] 鲸鱼 是 哺乳 动物 。 [SEP] Whales are mammals . [SEP]"
    assert languages.tolist() == [0] * 7 + [1] * 5 and positions.tolist() == list(range(12))
    chosen = np.isin(np.arange(12), (1, 3, 8, 9))
    masked = mask_tokens(ids, chosen, WHALE.special.mask)
    assert " ".join(WHALE.show(masked)) == "[CLS] [MASK] 是 [MASK] 动物 。 [SEP] Whales [MASK] [MASK] . [SEP]"
    assert WHALE.show(targets_at(ids, chosen)[chosen]) == ["鲸鱼", "哺乳", "are", "mammals"]
    assert whale(restart=True)[2].tolist() == [*range(7), *range(5)]


def test_it_is_masked_lm_on_the_packed_sequence():
    model, objective = encoder(), TranslationLM(MaskedLM(SPECIAL), (0, 1))
    batch = objective.make_batch(PAIRS, Random(0))
    plain = MaskedLM(SPECIAL).loss(model, batch)[0].item()
    assert objective.loss(model, batch)[0].item() == plain and batch.mask.sum(1).tolist() == [7, 8]
    assert set(batch.languages[0, :4]) == {0} and set(batch.languages[0, 4:7]) == {1}
    restarted = TranslationLM(MaskedLM(SPECIAL), restart=True).make_batch(PAIRS, Random(0))
    assert restarted.positions[0].tolist() == [0, 1, 2, 3, 0, 1, 2, 0]


@pytest.mark.parametrize("apart", [False, True])
def test_a_word_is_predicted_from_the_other_language(apart):
    model = encoder(languages=0)
    ids = np.array([[SPECIAL.cls, SPECIAL.mask, 1, SPECIAL.sep, 2, 3, SPECIAL.sep]])
    second = np.arange(7) >= 4
    mask = (second[:, None] == second)[None] if apart else None          # each language sees itself alone
    e = tl.Tensor(model.embed(ids).numpy(), requires_grad=True)
    model.embed = lambda *args: e
    g, = tl.grad(model(ids, mask=mask)[0, 1, 0], [e])
    assert (np.abs(g.numpy()[0, 4:]).max() > 1e-6) == (not apart)
    if apart:
        assert not g.numpy()[0, 4:].any()


def test_no_language_is_told_unless_asked_for():
    batch = TranslationLM(MaskedLM(SPECIAL)).make_batch(PAIRS, Random(0))
    assert batch.languages is None and batch.positions is None
    model = encoder()                                       # language embeddings of zero are a model without any
    told = TranslationLM(MaskedLM(SPECIAL), (0, 1)).make_batch(PAIRS, Random(0))
    model.languages.weight.data[...] = 0
    silent = encoder(languages=0)
    silent.load_state_dict({n: v for n, v in model.state_dict().items() if not n.startswith("languages")})
    with_zeros, without = MaskedLM(SPECIAL).loss(model, told)[0], MaskedLM(SPECIAL).loss(silent, batch)[0]
    assert with_zeros.item() == pytest.approx(without.item(), rel=1e-12)


def test_words_are_said_in_the_other_language():
    dictionary = np.full((8, 2), -1)
    dictionary[1], dictionary[2, 0] = (5, 6), 7
    ids = np.array([0, 1, 1, 2, 2])
    out = switch_code(ids, np.array([True, True, True, True, False]), dictionary, np.array([0, 0.1, 0.9, 0.9, 0]))
    assert out.tolist() == [0, 5, 6, 7, 2]                  # 0 has no translation, 1 has two, the last was not chosen


def test_a_text_may_mix_languages_without_saying_so():
    """The book's example: one vocabulary, no unknown word, no language id."""
    text = "周末 我们 打算 去 做 hiking ， 你 想 一起 来 吗 ？"
    words = Words(text)
    batch = MaskedLM(words.special).make_batch(words.ids(text)[None], Random(0))
    assert words.show(words.ids(text)) == text.split() and batch.languages is None and batch.tokens == 2       # 15 % of 13


def test_switched_words_are_what_is_predicted(rng):
    dictionary = np.where(np.arange(SPECIAL.vocab_size) < 2, 3, -1)[:, None]
    x = rng.integers(0, 3, (200, 20))
    batch = CodeSwitched(MaskedLM(SPECIAL, rate=1.0, shares=(0, 0, 1)), dictionary, rate=0.5).make_batch(x, Random(0))
    said = batch.targets[:, 1:]
    n = (x < 2).sum()
    assert abs((said == 3).sum() - n / 2) < 4 * np.sqrt(n / 4) and np.array_equal(said[x == 2], x[x == 2])
    none = CodeSwitched(MaskedLM(SPECIAL), dictionary, rate=0.0).make_batch(x, Random(0))
    assert np.isin(none.targets, [IGNORE, 0, 1, 2]).all()
    with pytest.raises(ConfigError, match="needs \\(V, n\\)"):
        CodeSwitched(MaskedLM(SPECIAL), dictionary[:3])
    assert isinstance(batch, TokenBatch)
