import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.tasks.heads_small import encoder, untrained
from tinylm.errors import DataError
from tinylm.finetune import evaluate, fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.tagging import Tagging, TokenClassifier
from tinylm.finetune.tasks.word_forms import (
    AFFIX,
    BEGIN,
    END,
    NO_CHARACTER,
    UNKNOWN,
    CharacterCNN,
    PartVectors,
    WordForms,
    parts_of,
    shape_of,
)
from tinylm.pretrain.special import Special
from tinylm.tokenizers import ByteTokenizer

SPECIAL = Special.after(256, sentinels=0)
INPUTS = EncoderInput(SPECIAL, ByteTokenizer())
SOME = "the cat sat on the mat and the cats ran".split()
WORDS = st.text("abcAB1-", min_size=1, max_size=9)


@pytest.mark.parametrize(
    "word, shape",
    [
        ("Paris", "Xx"),
        ("USA", "X"),
        ("7th", "dx"),
        ("McDonald's", "XxXx'x"),
        ("U.S.A.", "X.X.X."),
        ("1,234.50", "d,d.d"),
        ("state-of-the-art", "x-x-x-"),
        ("...", "."),
    ],
)
def test_the_shape_writes_runs_of_a_kind_once_and_six_kinds_at_most(word, shape):
    assert shape_of(word) == shape


def test_capitals_stand_in_the_shape_alone_and_digits_are_alike():
    small, large = dict(parts_of("running")), dict(parts_of("Running"))
    assert {kind for kind in small if small[kind] != large[kind]} == {"shape"}
    assert parts_of("1984") == parts_of("2026") and ("word", "0000") in parts_of("1984")
    assert small["begins 2"] == "ru" and small["ends 3"] == "ing" and len(small) == 2 + 2 * AFFIX


def test_what_is_rarer_than_least_has_the_row_of_the_unknown_of_its_kind():
    forms = WordForms.of(SOME)
    kinds = [kind for kind, _ in parts_of("a")]
    (sat, cats), _ = forms.rows(["sat", "cats"])
    # "sat" occurs once, but cat, sat and mat end in -at
    assert sat[kinds.index("word")] == forms.parts["word", None]
    assert sat[kinds.index("ends 2")] == forms.parts["ends 2", "at"]
    # "cat" and "cats" begin alike
    assert cats[kinds.index("begins 3")] == forms.parts["begins 3", "cat"]
    assert "o" not in forms.characters and "c" in forms.characters
    assert WordForms.of(SOME, least=1).parts["word", "sat"] >= len(kinds)


def test_no_two_forms_share_a_row():
    forms = WordForms.of(SOME)
    assert sorted(forms.parts.values()) == list(range(len(forms.parts)))
    rows = [NO_CHARACTER, UNKNOWN, BEGIN, END, *forms.characters.values()]
    assert sorted(rows) == list(range(len(rows)))


def test_a_word_is_spelled_between_begin_and_end_and_a_long_one_by_both_ends():
    forms = WordForms.of("abcdefg" * 2, longest=5)
    letter = forms.characters
    _, (short, long) = forms.rows(["a?", "abcdefg"])
    assert short.tolist() == [BEGIN, letter["a"], UNKNOWN, END, *[NO_CHARACTER] * 3]
    assert long.tolist() == [BEGIN, *(letter[c] for c in "abcfg"), END]


@pytest.mark.parametrize("words", [[3, 4], ["a", ""]])
def test_words_must_be_text(words):
    with pytest.raises(DataError, match="must be a text"):
        WordForms.of(SOME).rows(words)


def test_the_vector_of_a_word_is_the_sum_of_those_of_its_parts():
    forms = WordForms.of(SOME)
    vectors = PartVectors(forms, 5, dtype=np.float64)
    parts, characters = forms.batch([["the", "Cat"]], 2)
    table = vectors.table.weight.numpy()
    expected = sum(table[forms.parts[part]] for part in parts_of("the"))
    found = vectors(parts, characters).numpy()
    np.testing.assert_allclose(found[0, 0], expected, rtol=0, atol=1e-15)


def test_a_filter_gives_the_largest_value_it_finds_in_the_word():
    forms = WordForms.of(SOME)
    cnn = CharacterCNN(forms, 5, width=3, filters=4, dtype=np.float64)
    cnn.windows.bias.data[...] = np.linspace(-1, 1, 4)
    table, (W, b) = cnn.table.weight.numpy(), (p.numpy() for p in cnn.windows.parameters())
    _, ids = forms.rows(["cats"])
    c = np.vstack(
        [np.zeros(3), table[ids[0]], np.zeros(3)]
    )  # a place without character at each end
    values = [[c[i - 1 : i + 2].ravel() @ W[:, f] + b[f] for f in range(4)] for i in range(1, 7)]
    largest = np.maximum(np.max(values, axis=0), 0)
    expected = largest @ cnn.out.weight.numpy() + cnn.out.bias.numpy()
    found = cnn(None, ids[None]).numpy()[0, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@given(st.lists(st.lists(WORDS, max_size=4), min_size=1, max_size=3))
def test_a_word_is_read_alike_alone_and_among_longer_words(sentences):
    forms = WordForms.of(SOME)
    modules = [PartVectors(forms, 4, dtype=np.float64), CharacterCNN(forms, 4, dtype=np.float64)]
    together = forms.batch(sentences, max(map(len, sentences)))
    for module in modules:
        found = module(*together).numpy()
        for i, words in enumerate(sentences):
            for j, word in enumerate(words):
                alone = module(*forms.batch([[word]], 1)).numpy()[0, 0]
                np.testing.assert_allclose(found[i, j], alone, rtol=0, atol=1e-14)


def test_a_tagger_adds_what_the_forms_say_to_the_states():
    forms, bert = WordForms.of(SOME), encoder(vocab_size=SPECIAL.vocab_size)
    modules = [PartVectors(forms, 16, dtype=np.float64), CharacterCNN(forms, 16, dtype=np.float64)]
    with_forms, without = TokenClassifier(bert, 3, forms=modules), TokenClassifier(bert, 3)
    batch = Tagging(INPUTS, tuple("abc"), forms=forms).make_batch([(["the", "cat"], "ab")])
    added = sum(module(batch.parts, batch.characters).numpy() for module in modules)
    more = with_forms.eval()(batch).numpy() - without.eval()(batch).numpy()
    np.testing.assert_allclose(more, added @ without.out.weight.numpy(), rtol=0, atol=1e-12)
    assert len(with_forms.state_dict()) == len(without.state_dict()) + 1 + 5


def test_words_that_do_not_fit_have_no_form():
    task = Tagging(EncoderInput(SPECIAL, ByteTokenizer(), 6), ("a",), forms=WordForms.of(SOME))
    # [CLS] c a t s [SEP]: the second word has one piece, "mat" none
    batch = task.make_batch([(["cat", "sat", "mat"], "aaa")])
    assert batch.parts.shape[:2] == batch.characters.shape[:2] == batch.words.shape == (1, 2)


def test_a_batch_without_forms_is_refused():
    bert = encoder(vocab_size=SPECIAL.vocab_size)
    model = TokenClassifier(bert, 2, forms=[PartVectors(WordForms.of(SOME), 16)])
    batch = Tagging(INPUTS, tuple("ab")).make_batch([(["a"], "a")])
    with pytest.raises(DataError, match="forms of words"):
        model(batch)


@pytest.mark.parametrize("kind", [PartVectors, CharacterCNN])
def test_endings_tell_the_tags_of_words_that_were_never_seen(kind):
    # The tag of a word is told by its ending; no stem of the test occurs in training.
    rng, endings = np.random.default_rng(0), {"ing": "a", "ed": "b", "ly": "c"}

    def sentence(stems):
        words = [str(rng.choice(stems)) + str(rng.choice([*endings])) for _ in range(4)]
        return words, [tag for word in words for end, tag in endings.items() if word.endswith(end)]

    stems = [a + b for a in "bdfgk" for b in ("am", "op", "ut", "ix")]
    train = [sentence(stems[:12]) for _ in range(48)]
    test = [sentence(stems[12:]) for _ in range(30)]
    forms, tags = WordForms.of(word for words, _ in train for word in words), tuple("abc")
    bert = untrained(vocab_size=SPECIAL.vocab_size, context=40)
    model = TokenClassifier(bert, 3, forms=[kind(forms, 16)])
    task = Tagging(INPUTS, tags, forms=forms)
    fit(model, task, train, epochs=6, batch_size=8, learning_rate=1e-2)
    # a guess is right in 1 of 3
    assert evaluate(model, task, test)["accuracy"] > 0.95


def test_forms_are_read_alike_on_every_device(device):
    forms = WordForms.of(SOME)
    task = Tagging(INPUTS, tuple("ab"), forms=forms)
    batch = task.make_batch([(["the", "cats", "ran"], "aba"), (["cat"], "b")])
    losses = []
    for place in ("cpu", device):
        modules = [kind(forms, 16, dtype=np.float64) for kind in (PartVectors, CharacterCNN)]
        bert = encoder(vocab_size=SPECIAL.vocab_size)
        model = TokenClassifier(bert, 2, forms=modules).eval().to(place)
        losses.append(task.loss(model, batch.to(place))[0].item())
    assert losses[1] == pytest.approx(losses[0], abs=1e-12)
