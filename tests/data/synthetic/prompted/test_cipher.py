"""The invented language translates word by word in another order, and drafts have known errors."""

from collections import Counter

import pytest

from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.prompted.cipher import (
    ADJECTIVES,
    ERRORS,
    LEXICON,
    NONE,
    NOUNS,
    VERBS,
    WORDS,
    cipher_items,
    draft_items,
    error_type,
    lexicon,
    random_sentence,
    translate,
    with_error,
)
from tinylm.errors import ConfigError, DataError

SENTENCE = "the red cat sees the dog"


def words_of(translation):
    back = {word: english for english, word in LEXICON.items()}
    return [back[word] for word in translation.split()]


def test_the_verb_is_last_and_adjectives_follow_their_nouns():
    assert words_of(translate(SENTENCE)) == ["cat", "red", "dog", "sees"]
    assert words_of(translate("the cat sees the small dog")) == ["cat", "dog", "small", "sees"]
    assert words_of(translate("the cat sees the cat")) == ["cat", "cat", "sees"]


def test_every_word_has_one_translation():
    assert len(LEXICON) == len(set(LEXICON.values())) == len(NOUNS + ADJECTIVES + VERBS)
    assert not set(LEXICON) & set(LEXICON.values())


def test_languages_have_words_of_their_own_from_a_common_stock():
    assert lexicon() == lexicon(0) == LEXICON and len(set(WORDS)) == len(WORDS) == 65**2
    stock = WORDS[:30]
    found = [lexicon(seed, stock) for seed in range(5)]
    for words in found:
        assert set(words) == set(LEXICON) and set(words.values()) <= set(stock)
        assert len(set(words.values())) == 26  # no two meanings share a word
    assert all(a != b for i, a in enumerate(found) for b in found[:i])
    assert set(lexicon(1, WORDS[:26]).values()) == set(WORDS[:26])
    with pytest.raises(ConfigError, match="25 words for 26 meanings"):
        lexicon(0, WORDS[:25])


def test_another_language_has_the_same_order():
    words = lexicon(1)
    back = {word: english for english, word in words.items()}
    translation = translate(SENTENCE, words)
    assert [back[word] for word in translation.split()] == ["cat", "red", "dog", "sees"]
    assert translation != translate(SENTENCE) == translate(SENTENCE, LEXICON)


@pytest.mark.parametrize(
    "sentence",
    ["the cat the dog", "the cat sees hears the dog", "a cat sees the dog", "the cat sees dog",
     "the cat red sees the dog", "the red old cat sees the dog", "the cow sees the dog", "sees", "",
     "the red sees the dog", "the cat sees the", "the cat sees", "cat sees the dog"],
)  # fmt: skip
def test_what_is_no_sentence_of_the_grammar_is_refused(sentence):
    with pytest.raises(DataError):
        translate(sentence)


def test_half_of_the_nouns_have_an_adjective():
    rng = generator(0, "x")
    lengths = Counter(len(random_sentence(rng).split()) for _ in range(1000))
    # 5 words and up to two adjectives: 250, 500, 250; four standard deviations of 14 and 16
    assert abs(lengths[5] - 250) < 56 and abs(lengths[6] - 500) < 64 and abs(lengths[7] - 250) < 56


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_of_its_type_and_at_every_place(kind):
    right = translate(SENTENCE)
    drafts = {with_error(right, kind, generator(seed, "x")) for seed in range(200)}
    assert {error_type(SENTENCE, draft) for draft in drafts} == {kind}
    words = right.split()
    if kind == "omission":
        assert drafts == {" ".join(words[:i] + words[i + 1 :]) for i in range(4)}
    if kind == "order":
        assert drafts == {" ".join([*words[:i], words[i + 1], words[i], *words[i + 2 :]])
                          for i in range(3)}  # fmt: skip
    if kind == "substitution":
        changed = [words_of(draft) for draft in drafts]
        # Only by words of the same part of speech.
        assert all(
            a in NOUNS and d in ADJECTIVES and b in NOUNS and v in VERBS for a, d, b, v in changed
        )
        assert {i for one in changed for i, pair in enumerate(zip(one, words_of(right)))
                if pair[0] != pair[1]} == {0, 1, 2, 3}  # fmt: skip


def test_neighbors_that_are_the_same_are_not_exchanged():
    drafts = {
        " ".join(
            words_of(with_error(translate("the cat sees the cat"), "order", generator(s, "x")))
        )
        for s in range(20)
    }
    assert drafts == {"cat sees cat"}
    with pytest.raises(DataError, match="no two neighbors differ"):
        with_error(LEXICON["cat"], "order", generator(0, "x"))


def test_other_drafts():
    right = translate(SENTENCE)
    words = right.split()
    assert error_type(SENTENCE, right) == NONE
    # Two words wrong, two left out, one more, and nothing at all.
    other = [LEXICON["king"], LEXICON["old"], *words[2:]]
    for draft in (" ".join(other), " ".join(words[:2]), f"{right} {words[0]}", ""):
        assert error_type(SENTENCE, draft) == "incorrect translation"
    with pytest.raises(ConfigError, match="'spelling' is none of"):
        with_error(right, "spelling", generator(0, "x"))


def test_items_have_the_lexicon_or_a_draft():
    item = cipher_items(1)[0]
    assert all(f'is "{word}"' in item.rationale for word in item.answer.split())
    drafts = draft_items(400)
    kinds = Counter(item.rationale for item in drafts)
    # 100 of each, standard deviation sqrt(400 * 1/4 * 3/4) = 8.7; four of them
    assert set(kinds) == {*ERRORS, NONE} and all(abs(n - 100) < 35 for n in kinds.values())
    for item in drafts:
        assert error_type(item.question.partition(": ")[2], item.context) == item.rationale
        assert (item.context == item.answer) == (item.rationale == NONE)
    assert {item.rationale for item in draft_items(9, kinds=("order",))} == {"order"}
    for kinds in ((), ("spelling",)):
        with pytest.raises(ConfigError, match="draft_items"):
            draft_items(1, kinds=kinds)
