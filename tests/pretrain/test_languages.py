"""Translation LM and code switching: the whale of the book, and what one language tells about the
other.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.pretrain.tiny import SIZES, encoder
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.models.early.cases import ready
from tinylm.models.encoder.presets import build, tiny
from tinylm.pretrain.batch import IGNORE, TokenBatch
from tinylm.pretrain.cases import PAIRS, SPECIAL
from tinylm.pretrain.denoising.noise import bart
from tinylm.pretrain.denoising.seq2seq import Denoise, Seq2SeqLM
from tinylm.pretrain.languages import (
    CodeSwitched,
    MultilingualLM,
    OneLanguage,
    TranslationLM,
    pack_bilingual,
    switch_code,
)
from tinylm.pretrain.masked.masked import MaskedLM, mask_tokens, targets_at
from tinylm.pretrain.special import Special
from tinylm.pretrain.words import Words
from tinylm.tokenizers import BPETokenizer

WHALE = Words("鲸鱼 是 哺乳 动物 。", "Whales are mammals .")


def whale(**options):
    return pack_bilingual(
        WHALE.special,
        WHALE.ids("鲸鱼 是 哺乳 动物 。"),
        WHALE.ids("Whales are mammals ."),
        **options,
    )


def test_the_whale_is_packed_and_masked_in_both_languages():
    """Fig. 1.7."""
    ids, languages, positions = whale()
    assert (
        " ".join(WHALE.show(ids)) == "[CLS] 鲸鱼 是 哺乳 动物 。 [SEP] Whales are mammals . [SEP]"
    )
    assert languages.tolist() == [0] * 7 + [1] * 5 and positions.tolist() == list(range(12))
    chosen = np.isin(np.arange(12), (1, 3, 8, 9))
    masked = mask_tokens(ids, chosen, WHALE.special.mask)
    assert (
        " ".join(WHALE.show(masked))
        == "[CLS] [MASK] 是 [MASK] 动物 。 [SEP] Whales [MASK] [MASK] . [SEP]"
    )
    assert WHALE.show(targets_at(ids, chosen)[chosen]) == ["鲸鱼", "哺乳", "are", "mammals"]
    assert whale(restart=True)[2].tolist() == [*range(7), *range(5)]


def test_it_is_masked_lm_on_the_packed_sequence():
    model, objective = encoder(), TranslationLM(MaskedLM(SPECIAL), (0, 1))
    batch = objective.make_batch(PAIRS, Random(0))
    plain = MaskedLM(SPECIAL).loss(model, batch)[0].item()
    assert objective.loss(model, batch)[0].item() == plain and batch.mask.sum(1).tolist() == [7, 8]
    # The first pair is one token shorter: its padding has the language 0, as pad_rows fills it.
    assert batch.languages[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 0]
    restarted = TranslationLM(MaskedLM(SPECIAL), restart=True).make_batch(PAIRS, Random(0))
    assert restarted.positions[0].tolist() == [0, 1, 2, 3, 0, 1, 2, 0]


@pytest.mark.parametrize("apart", [False, True])
def test_a_word_is_predicted_from_the_other_language(apart):
    model = encoder(languages=0)
    ids = np.array([[SPECIAL.cls, SPECIAL.mask, 1, SPECIAL.sep, 2, 3, SPECIAL.sep]])
    second = np.arange(7) >= 4
    mask = (second[:, None] == second)[None] if apart else None  # each language sees itself alone
    e = tl.Tensor(model.embed(ids).numpy(), requires_grad=True)
    model.embed = lambda *args: e
    (g,) = tl.grad(model(ids, mask=mask)[0, 1, 0], [e])
    assert (np.abs(g.numpy()[0, 4:]).max() > 1e-6) == (not apart)
    if apart:
        assert not g.numpy()[0, 4:].any()


def test_no_language_is_told_unless_asked_for():
    batch = TranslationLM(MaskedLM(SPECIAL)).make_batch(PAIRS, Random(0))
    assert batch.languages is None and batch.positions is None
    model = encoder()  # language embeddings of zero are a model without any
    told = TranslationLM(MaskedLM(SPECIAL), (0, 1)).make_batch(PAIRS, Random(0))
    model.languages.weight.data[...] = 0
    silent = encoder(languages=0)
    silent.load_state_dict(
        {n: v for n, v in model.state_dict().items() if not n.startswith("languages")}
    )
    with_zeros = MaskedLM(SPECIAL).loss(model, told)[0]
    without = MaskedLM(SPECIAL).loss(silent, batch)[0]
    assert with_zeros.item() == pytest.approx(without.item(), rel=1e-12)


def test_one_language_of_a_row_is_masked_and_the_other_whole():
    pair = [0, 1, 2, 3], [3, 2, 1, 0, 1, 2]
    masked = MaskedLM(SPECIAL, 0.5, choose=OneLanguage(SPECIAL.sep))
    batch = TranslationLM(masked).make_batch([pair] * 64, Random(0))
    # [CLS] and four words, [SEP], six words, [SEP]
    sides = np.split(batch.targets != IGNORE, [6], axis=1)
    first, second = (side.sum(axis=1) for side in sides)
    # half of the four words, or half of the six
    assert set(zip(first.tolist(), second.tolist())) == {(2, 0), (0, 3)}
    assert 16 < np.count_nonzero(first) < 48  # either in a half of the rows: 32 +- 4


def test_words_are_said_in_the_other_language():
    dictionary = np.full((8, 2), -1)
    dictionary[1], dictionary[2, 0], dictionary[3, 0] = (5, 6), 7, 0
    ids = np.array([0, 1, 1, 1, 2, 2, 3])
    chosen = np.array([True, True, True, True, True, False, True])
    draws = np.array([0, 0.1, 0.5, 0.999, 0.9, 0, 0.5])
    out = switch_code(ids, chosen, dictionary, draws)
    # 0 has no translation, 1 has two, the second 2 was not chosen, that of 3 has the id 0
    assert out.tolist() == [0, 5, 6, 6, 7, 2, 0]


def test_a_text_may_mix_languages_without_saying_so():
    """The book's example: one vocabulary, no unknown word, no language id."""
    text = "周末 我们 打算 去 做 hiking ， 你 想 一起 来 吗 ？"
    words = Words(text)
    batch = MaskedLM(words.special).make_batch(words.ids(text)[None], Random(0))
    assert (
        words.show(words.ids(text)) == text.split()
        and batch.languages is None
        and batch.tokens == 2
    )  # 15 % of 13


def test_switched_words_are_what_is_predicted(rng):
    dictionary = np.where(np.arange(SPECIAL.vocab_size) < 2, 3, -1)[:, None]
    x = rng.integers(0, 3, (200, 20))
    batch = CodeSwitched(
        MaskedLM(SPECIAL, rate=1.0, shares=(0, 0, 1)), dictionary, rate=0.5
    ).make_batch(x, Random(0))
    said = batch.targets[:, 1:]
    n = (x < 2).sum()
    assert abs((said == 3).sum() - n / 2) < 4 * np.sqrt(n / 4) and np.array_equal(
        said[x == 2], x[x == 2]
    )
    none = CodeSwitched(MaskedLM(SPECIAL), dictionary, rate=0.0).make_batch(x, Random(0))
    assert np.isin(none.targets, [IGNORE, 0, 1, 2]).all()
    with pytest.raises(ConfigError, match="needs \\(V, n\\)"):
        CodeSwitched(MaskedLM(SPECIAL), dictionary[:3])
    assert isinstance(batch, TokenBatch)


def test_each_translation_of_a_word_is_as_likely(rng):
    dictionary = np.tile([2, 3], (SPECIAL.vocab_size, 1))  # 2 and 3 for every word
    x = rng.integers(0, 2, (200, 20))
    switched = CodeSwitched(MaskedLM(SPECIAL, rate=1.0, shares=(0, 0, 1)), dictionary, rate=0.25)
    said = switched.make_batch(x, Random(0)).targets
    # 4000 words, an eighth of them one translation and an eighth the other: four deviations
    for word in (2, 3):
        assert abs((said == word).sum() - 500) < 4 * np.sqrt(4000 / 8 * 7 / 8)


ENGLISH = "the house is big and the garden is small. " * 20
GERMAN = "das haus ist groß und der garten ist klein. " * 20


def bilingual():
    """A vocabulary of both languages, its special ids with one for each language, and two rows of
    12 tokens, tagged.
    """
    tokenizer = BPETokenizer.train([ENGLISH, GERMAN], 320)
    special = Special.after(tokenizer.vocab_size, sentinels=0, others=2)
    rows = [
        [language, *tokenizer.encode(text)[:12]]
        for language, text in zip(special.others, (ENGLISH, GERMAN))
    ]
    return tokenizer, special, np.array(rows)


def denoising(special):
    return Denoise(bart(special, ends=()))


def test_one_vocabulary_writes_every_language():
    """No unknown word in either, and pieces that both use: what is learnt of them serves both."""
    tokenizer, special, _ = bilingual()
    ids = [tokenizer.encode(text) for text in (ENGLISH, GERMAN)]
    assert [tokenizer.decode(i) for i in ids] == [ENGLISH, GERMAN] and not special.among(
        np.concatenate(ids)
    ).any()
    shared = {tokenizer.decode([i]) for i in set(ids[0].tolist()) & set(ids[1].tolist())}
    assert "." in shared and " garten" not in shared


def test_the_language_closes_the_source_and_is_what_the_decoder_reads_first():
    tokenizer, special, rows = bilingual()
    batch = MultilingualLM(special, denoising(special)).make_batch(rows, Random(0))
    plain = Seq2SeqLM(special, denoising(special)).make_batch(rows[:, 1:], Random(0))
    assert batch.decoder[:, 0].tolist() == list(special.others) and np.array_equal(
        batch.decoder[:, 1:], plain.decoder[:, 1:]
    )
    assert [source[mask][-1] for source, mask in zip(batch.inputs, batch.mask)] == list(
        special.others
    )
    assert (
        np.array_equal(batch.targets[:, :12], rows[:, 1:])
        and (batch.targets[:, 12] == special.end).all()
    )
    with pytest.raises(ConfigError, match="row 1 begins with .*put its language in front"):
        MultilingualLM(special, denoising(special)).make_batch(
            np.stack([rows[0], rows[1, ::-1]]), Random(0)
        )


def test_one_table_of_embeddings_serves_both_sides_and_is_told_the_language():
    """Shared by encoder, decoder and output layer; the other language asked for, other
    probabilities.
    """
    _, special, rows = bilingual()
    sizes = SIZES | dict(vocab_size=special.vocab_size)
    model = ready(build(tiny("mbart-large", **sizes), 0, dtype=np.float64).eval())
    tables = [name for name, p in model.named_parameters().items() if special.vocab_size in p.shape]
    assert model.head is None and tables == ["tokens.weight"]
    objective = MultilingualLM(special, denoising(special))
    batch = objective.make_batch(rows, Random(0))
    loss, metrics = objective.loss(model, batch)
    other = batch.decoder.copy()
    other[:, 0] = special.others[::-1]
    assert metrics["tokens"] == 26  # 12 tokens and </s>, twice
    assert (
        abs(
            model(batch.inputs, other, source_mask=batch.mask).numpy()
            - model(batch.inputs, batch.decoder, source_mask=batch.mask).numpy()
        ).max()
        > 1e-6
    )
    (g,) = tl.grad(loss, [model.tokens.weight])
    assert np.abs(g.numpy()[list(special.others)]).min() > 0


def test_a_language_and_one_token_are_a_row():
    made = MultilingualLM(SPECIAL, lambda ids, draws: (ids, ids))
    language = SPECIAL.others[0]
    batch = made.make_batch(np.array([[language, 2]]), Random(0))
    assert batch.inputs.tolist() == [[SPECIAL.cls, 2, language]]
    assert batch.decoder[0, 0] == language
