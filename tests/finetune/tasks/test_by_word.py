from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.bio import bio_decode, bio_encode
from tinylm.finetune.tasks.by_word import MostFrequentTag, NameDictionary


def tagged(*pairs):
    """ "Paris/B-place is/O" -> (words, tags)."""
    return [tuple(map(list, zip(*(pair.split("/") for pair in text.split())))) for text in pairs]


def test_a_word_has_the_tag_it_had_most_often_and_an_unknown_one_that_of_most_words():
    tagger = MostFrequentTag(tagged("run/VERB run/NOUN run/VERB", "a/NOUN dog/NOUN cat/NOUN"))
    assert tagger(["run", "dog", "tree"]) == ["VERB", "NOUN", "NOUN"]
    assert tagger([]) == []


LEARNT = tagged(
    "New/B-place York/I-place is/O new/O",
    "the/O New/B-group York/I-group Times/I-group writes/O",
    "May/B-person sleeps/O",
    "it/O may/O rain/O and/O may/O not/O",
)


def test_the_longest_name_is_taken_and_nothing_overlaps_it():
    tagger = NameDictionary(LEARNT)
    assert tagger("The New York Times of New York".split()) == [
        *("O", "B-group", "I-group", "I-group", "O", "B-place", "I-place")
    ]


def test_what_is_a_name_only_now_and_then_is_left_out():
    # "may" is a name in one of its three occurrences in small letters, "May" in its only one
    assert NameDictionary(LEARNT, share=0.34)(["May"]) == ["O"]
    assert NameDictionary(LEARNT, share=0.33)(["may"]) == ["B-person"]
    assert NameDictionary(LEARNT, share=1, small=False)(["May", "may"]) == ["B-person", "O"]
    assert NameDictionary(LEARNT, share=0)(["may"]) == ["B-person"]


def test_a_text_without_names_makes_an_empty_dictionary():
    assert NameDictionary(tagged("it/O may/O"))(["it", "may", "be"]) == ["O"] * 3


WORDS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=8)


@given(st.lists(WORDS, min_size=1, max_size=4), WORDS)
def test_answers_are_valid_spans_and_every_one_was_a_name(texts, words):
    # the first two words of each text are a name
    examples = [(text, bio_encode([("x", 0, min(2, len(text)))], len(text))) for text in texts]
    names = {tuple(text[:2]) for text in texts}
    tags = NameDictionary(examples, share=0)(words)
    spans = bio_decode(tags)
    assert bio_encode(spans, len(words)) == tags
    assert {tuple(words[start:stop]) for _, start, stop in spans} <= names
    # and none is missed that begins where no name is open
    free = set(range(len(words))) - {i for _, start, stop in spans for i in range(start, stop)}
    assert not any((words[i],) in names for i in free)
