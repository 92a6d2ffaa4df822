"""Long-context tasks hold their answer where they say, once, and nowhere else."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.synthetic import long_tasks as tasks
from tinylm.errors import DataError


@given(st.integers(1, 5), st.integers(0, 9), st.integers(1, 4), st.data())
def test_the_needle_stands_at_its_place_and_the_hay_is_whole(rows, n, m, data):
    hay = 100 + np.arange(rows * n).reshape(rows, n)
    needle = -1 - np.arange(rows * m).reshape(rows, m)
    place = np.array(data.draw(st.lists(st.integers(0, n), min_size=rows, max_size=rows)))
    if n == 0:
        return  # nothing to hide in
    ids = tasks.plant(hay, needle, place)
    for row, at in enumerate(place):
        expected = [*hay[row, :at], *needle[row], *hay[row, at:]]
        assert ids[row].tolist() == expected


def test_a_place_outside_the_hay_is_refused():
    for place in 5, -1, [0, 5], [-1, 4]:
        with pytest.raises(DataError, match="0 .. 4"):
            tasks.plant(np.zeros((2, 4), int), np.ones((2, 1), int), place)
    assert tasks.plant(np.zeros((0, 4), int), np.ones((0, 1), int), 2).shape == (0, 5)  # no rows


@pytest.mark.parametrize("hay_of", [tasks.random_hay, tasks.sentence_hay])
@given(seed=st.integers(0, 20), depth=st.floats(0, 1))
def test_a_reader_that_looks_for_the_mark_always_finds_the_key(hay_of, seed, depth):
    n, digits = 30, 3
    ids = tasks.pass_key(hay_of(6, n, seed=seed), round(depth * n), digits, seed)
    assert ids.shape == (6, n + 2 * digits + 2)
    for row in ids:
        first, question = np.flatnonzero(row == tasks.MARK)  # exactly two marks
        assert first == round(depth * n) and question == len(row) - digits - 1
        assert (row[first + 1 : first + 1 + digits] == row[-digits:]).all()
        assert (row < tasks.DIGITS).sum() == 2 * digits  # no digit in the hay
    absent = tasks.without_needle(ids, digits)
    assert (absent[:, -digits - 1 :] == ids[:, -digits - 1 :]).all() and (
        absent[:, : -digits - 1] >= tasks.WORDS
    ).all()


def test_the_first_word_of_the_hay_stands_in_for_the_needle():
    mark, first, second = tasks.MARK, tasks.WORDS, tasks.WORDS + 1
    ids = np.array(
        [
            [mark, 7, first, second, mark, 7],  # [MARK, key, hay, MARK, key]
            [second, mark, 7, first, mark, 7],
        ]
    )
    assert tasks.without_needle(ids, 1).tolist() == [
        [first, first, first, second, mark, 7],
        [second, second, second, first, mark, 7],
    ]


def test_keys_are_even_so_that_a_guess_is_right_once_in_a_thousand():
    keys = tasks.pass_key(tasks.random_hay(20_000, 4), 2, 3, seed=1)[:, -3:] @ [100, 10, 1]
    # The commonest of 1000 keys, each Poisson with mean 20: 20 + 6 standard deviations of 4.5 is
    # met once in 10^6.
    assert np.bincount(keys, minlength=1000).max() < 20 + 6 * 20**0.5


def test_the_published_prompt_holds_its_key_twice_and_ends_with_the_question():
    text = tasks.pass_key_text("71432", before=3, after=2)
    assert text.count("71432") == 2 and text.count(tasks.HAY) == 5
    assert text.index("71432") > text.rindex("quiz") and text.endswith(
        "What is the pass key? The pass key is"
    )
    assert text[: text.index("The pass key")].count(tasks.HAY) == 3


@given(st.floats(0, 1), st.integers(0, 6))
def test_a_needle_in_text_is_found_where_it_was_said_to_be(depth, sentences):
    hay = " ".join(f"Sentence number {i} says nothing." for i in range(sentences))
    needle = "The best thing to do is to eat a sandwich."
    text, at = tasks.needle_in_text(hay, needle, depth)
    assert text[at:].startswith(needle) and text.replace(needle, "").split() == hay.split()
    assert at == 0 or text[at - 2 : at] == ". "  # it never cuts a sentence
    assert depth > 0 or at == 0
    assert at >= depth * len(hay) or at == 0


def test_a_needle_comes_after_the_first_sentence_that_ends_at_its_depth_or_later():
    hay = "Ab. Cd. Ef."  # sentences end, their blank included, at 4 and 8; the text at 11
    for depth in range(12):
        text, at = tasks.needle_in_text(hay, "No.", depth / 11)
        end = min(end for end in (0, 4, 8, 11) if end >= depth)
        if end == 11:
            assert (text, at) == ("Ab. Cd. Ef. No.", 12)  # with a blank before it
        else:
            assert (text, at) == (hay[:end] + "No. " + hay[end:], end)
    assert tasks.needle_in_text("Ab. ", "No.", 1) == ("Ab. No.", 4)  # the blank is there already
    assert tasks.needle_in_text("", "No.", 1) == ("No.", 0)


def test_deeper_needles_stand_later():
    hay = " ".join([tasks.HAY] * 4)
    places = [tasks.needle_in_text(hay, "Here.", depth)[1] for depth in (0, 0.25, 0.5, 0.75, 1)]
    assert places == sorted(set(places)) and places[-1] == len(hay) + 1  # one blank before it
    for depth in 1.5, -0.5:
        with pytest.raises(DataError, match=f"depth {depth}"):
            tasks.needle_in_text(hay, "Here.", depth)


@given(
    st.integers(1, 4), st.integers(0, 12), st.integers(2, 8), st.integers(1, 10), st.integers(0, 5)
)
def test_copy_memory_asks_for_the_string_after_the_silence(rows, blanks, symbols, length, seed):
    for task in (tasks.copy_memory, tasks.selective_copy):
        inputs, targets = task(rows, blanks, symbols, length, seed)
        assert inputs.shape == targets.shape == (rows, blanks + 2 * length)
        assert (targets[:, :-length] == symbols).all()
        said = np.stack([row[row < symbols] for row in inputs])  # (rows, length), in order
        assert (said == targets[:, -length:]).all()
        assert ((inputs == symbols + 1).sum(1) == 1).all()  # one go
        answer = blanks + length
        assert (inputs[:, answer + 1 :] == symbols).all()  # while answering it hears nothing
    assert (tasks.copy_memory(rows, blanks, symbols, length, seed)[0][:, :length] < symbols).all()


def test_the_signal_to_answer_comes_just_before_the_answer():
    blank, go = 8, 9
    inputs, targets = tasks.copy_memory(1, 3, length=2)
    (a, b) = targets[0, -2:]
    assert inputs.tolist() == [[a, b, blank, blank, go, blank, blank]]
    assert targets.tolist() == [[blank] * 5 + [a, b]]
    inputs, targets = tasks.copy_memory(1, 0, length=2)  # no delay: with the first answer
    (a, b) = targets[0, -2:]
    assert inputs.tolist() == [[a, b, go, blank]] and targets.tolist() == [[blank] * 2 + [a, b]]


def test_the_baseline_of_copy_memory_is_the_loss_of_its_predictor():
    blanks, symbols, length = 30, 8, 10
    _, targets = tasks.copy_memory(50, blanks, symbols, length)
    probability = np.zeros((blanks + 2 * length, symbols + 2))
    probability[:-length, symbols] = 1  # a blank, for certain
    probability[-length:, :symbols] = 1 / symbols  # any symbol
    loss = -np.log(probability[np.arange(targets.shape[1]), targets]).mean()
    assert loss == pytest.approx(tasks.copy_memory_baseline(blanks, symbols, length), rel=1e-12)
    assert loss == pytest.approx(10 * np.log(8) / (30 + 20), rel=1e-12)  # as the paper writes it


def test_symbols_of_selective_copy_are_scattered():
    inputs, _ = tasks.selective_copy(200, 40, seed=2)
    places = np.argwhere(inputs < 8)[:, 1].reshape(200, 10)
    # The first of 10 places among 49 lies at (49 + 1) / 11 - 1 = 3.5 on average; fixed places would
    # have no spread.
    assert 2 < places[:, 0].mean() < 5 and places[:, 0].std() > 1


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 30))
def test_a_control_has_the_same_second_half_after_another_passage(rows, length, seed):
    text = np.arange(3 * length + seed)  # all different, so a place is recognized by its token
    copies, controls = tasks.repeated_passages(text, rows, length, seed)
    assert (copies[:, :length] == copies[:, length:]).all()
    assert (copies[:, length:] == controls[:, length:]).all()
    for row in controls:
        assert not set(row[:length]) & set(row[length:])  # the two passages do not overlap
    with pytest.raises(DataError, match="too short"):
        tasks.repeated_passages(text[: 3 * length - 1], rows, length)


def test_any_two_passages_that_do_not_overlap_can_follow_each_other():
    copies, controls = tasks.repeated_passages(np.arange(7), 2000, 2)
    # Passages begin at 0 .. 5. On the text as a ring of 7 the other one begins 2 .. 5 further on:
    # 24 pairs, each missed by 2000 rows with probability (23 / 24)^2000 < 1e-36.
    pairs = {(second, first) for first, second in controls[:, [0, 2]].tolist()}
    assert pairs == {(at, (at + ahead) % 7) for at in range(6) for ahead in (2, 3, 4, 5)}
    assert (copies[:, :2] == controls[:, 2:]).all()
    ahead = (controls[:, 1] - controls[:, 0]) % 7  # each passage is two neighbors on the ring
    assert (ahead == 1).all() and (copies[:, 1] - copies[:, 0] == 1).all()


def test_the_gist_of_a_long_text_is_its_commonest_symbol():
    texts, answers = tasks.gist(200, 200, symbols=4, favor=0.5, seed=3)
    counts = np.stack([(texts == s).sum(1) for s in range(4)], axis=1)
    # The favorite has share 0.5 + 0.5/4 = 0.625, any other 0.125: 200 draws separate them by 14
    # standard deviations.
    assert (counts.argmax(1) == answers).all()
    # With favor 0.9 its share is 0.9 + 0.1/4; of 40 000 tokens within four standard deviations.
    texts, answers = tasks.gist(200, 200, symbols=4, favor=0.9, seed=3)
    share = (texts == answers[:, None]).mean()
    assert abs(share - 0.925) < 4 * (0.925 * 0.075 / 40_000) ** 0.5


def test_every_symbol_is_drawn_the_first_and_the_last_too():
    # 400 draws miss one of 10 symbols with probability 10 * 0.9^400 = 5e-18.
    texts, answers = tasks.gist(400, 3, symbols=4)
    assert set(answers.tolist()) == set(texts.ravel().tolist()) == {0, 1, 2, 3}
    assert set(tasks.gist(400, 3, symbols=4, favor=0.0)[0].ravel().tolist()) == {0, 1, 2, 3}
    keys = tasks.pass_key(tasks.random_hay(400, 4), 2)[:, -3:]
    assert set(keys.ravel().tolist()) == set(range(10))
    assert set(tasks.copy_memory(400, 1)[1][:, -10:].ravel().tolist()) == set(range(8))
    hay = tasks.random_hay(400, 4, words=5), tasks.sentence_hay(400, 1, words=5)
    assert all(set(part.ravel().tolist()) == set(tasks.WORDS + np.arange(5)) for part in hay)


def test_no_memory_of_c_bits_repeats_more_strings_than_it_has_states():
    symbols, length, bits = 2, 3, 2
    strings = list(itertools.product(range(symbols), repeat=length))
    best = 0
    for states in itertools.product(
        range(2**bits), repeat=len(strings)
    ):  # all 4^8 ways to remember
        # The best answer to a state is any one of the strings that lead to it: one right for each
        # state in use.
        best = max(best, len(set(states)))
    assert best / len(strings) == tasks.recall_bound(bits, length, symbols) == 0.5
    assert tasks.recall_bound(3, length, symbols) == tasks.recall_bound(9, length, symbols) == 1.0
    assert tasks.recall_bound(0, 10, 8) == pytest.approx(8.0**-10)


def test_the_same_seed_gives_the_same_task():
    for make in (
        lambda s: tasks.random_hay(3, 9, seed=s),
        lambda s: tasks.sentence_hay(9, 9, seed=s),
        lambda s: tasks.selective_copy(3, 9, seed=s)[0],
        lambda s: tasks.gist(3, 9, seed=s)[0],
        lambda s: tasks.repeated_passages(np.arange(50), 3, 9, seed=s)[1],
    ):
        assert (make(1) == make(1)).all() and (make(1) != make(2)).any()
