"""Instructions about lists: right answers, strict reading of replies, and what the gold reward
likes.
"""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.list_tasks import (
    CATEGORIES,
    KNOWN_TASKS,
    LONGEST,
    NEW_TASKS,
    OPERATIONS,
    SHORTEST,
    STYLES,
    TASKS,
    ListTask,
    Reply,
    article,
    demonstrations,
    draw_tasks,
    gold_reward,
    read_reply,
    vocabulary,
)
from tinylm.errors import ConfigError

WORDS = ("red", "fox", "pear", "owl")
ANSWERS = {
    "first": "fox",
    "last": "owl",
    "count": "two",
    "all": "fox owl",
    "backwards": "owl fox",
}


@pytest.mark.parametrize("operation, answer", ANSWERS.items())
def test_the_answer_of_each_operation(operation, answer):
    assert ListTask(operation, "animal", WORDS).answer == answer


def test_a_list_without_the_category_has_the_answer_none_or_zero():
    found = {name: ListTask(name, "tool", WORDS).answer for name in OPERATIONS}
    assert found.pop("count") == "zero" and set(found.values()) == {"none"}


def test_the_prompt_has_the_list_and_then_one_of_four_phrasings():
    prompts = [ListTask("count", "animal", WORDS, k).prompt for k in range(4)]
    assert prompts == [
        "list : red fox pear owl . name the number of animals .",
        "list : red fox pear owl . how many animals ?",
        "list : red fox pear owl . i need the number of animals .",
        "list : red fox pear owl . please , the number of animals !",
    ]
    assert ListTask("first", "tool", WORDS).prompt.endswith("name the first tool .")


def test_replies_in_three_styles_and_what_people_like_in_them():
    task = ListTask("all", "animal", WORDS)
    assert [task.reply(style) for style in STYLES] == [
        "fox owl .",
        "the animals are fox owl .",
        "sure ! the animals are fox owl . anything else ?",
    ]
    assert [gold_reward(task.reply(style), task) for style in STYLES] == [1.0, 1.5, 1.25]
    wrong = [gold_reward(task.reply(style, "owl fox"), task) for style in STYLES]
    assert wrong == [0.0, 0.0, -0.25]
    given = gold_reward(task.reply("chatty"), task, right=8, sentence=4, chatty=2)
    assert given == 14
    with pytest.raises(ConfigError, match="'loud' is not one of bare, sentence, chatty"):
        task.reply("loud")


@pytest.mark.parametrize(
    "text, read",
    [
        (" fox   owl . ", Reply("fox owl")),
        ("the animals are fox owl .", Reply("fox owl", sentence=True)),
        ("fox owl . anything else ?", Reply("fox owl", chatty=True)),
        ("sure ! fox owl .", Reply("fox owl", chatty=True)),
        ("fox owl", Reply(None)),  # the end is missing
        (".", Reply(None)),
        (" .", Reply(None)),
        ("", Reply(None)),
        ("the colors are fox owl .", Reply(None)),  # about another task
        ("the animals are .", Reply(None)),
        ("the animals are fox owl . fox .", Reply(None)),
        ("fox and owl .", Reply(None)),
        ("sure ! the animals are fox owl", Reply(None, chatty=True)),
    ],
)
def test_replies_are_read_strictly(text, read):
    assert read_reply(text, ListTask("all", "animal", WORDS)) == read


@given(st.integers(0, 10**6), st.sampled_from(STYLES), st.sampled_from(range(len(TASKS))))
def test_every_right_reply_is_read_back_and_has_only_known_words(seed, style, i):
    (task,) = draw_tasks([TASKS[i]], 1, generator(seed, "t"), (seed % 4,))
    read = read_reply(task.reply(style), task)
    assert read == Reply(task.answer, style != "bare", style == "chatty")
    assert set(f"{task.prompt} {task.reply(style)}".split()) <= set(vocabulary())


def test_tasks_are_split_and_every_word_of_a_new_one_is_tuned():
    assert sorted(KNOWN_TASKS + NEW_TASKS) == sorted(TASKS) and len(TASKS) == 20
    known = {word for task in KNOWN_TASKS for word in task}
    assert {word for task in NEW_TASKS for word in task} <= known and len(NEW_TASKS) == 4


def test_drawn_tasks_come_in_turn_over_lists_of_two_categories():
    tasks = draw_tasks(KNOWN_TASKS, 320, generator(0, "t"))
    assert Counter((t.operation, t.category) for t in tasks) == dict.fromkeys(KNOWN_TASKS, 20)
    assert {t.phrasing for t in tasks} == {0, 1, 2}
    assert {len(t.words) for t in tasks} == set(range(SHORTEST, LONGEST + 1))
    kinds = {word: name for name, (_, words) in CATEGORIES.items() for word in words.split()}
    for task in tasks:
        assert len(set(task.words)) == len(task.words)
        assert len({kinds[word] for word in task.words} | {task.category}) <= 2


def test_demonstrations_are_right_in_every_style():
    tasks = draw_tasks(KNOWN_TASKS, 300, generator(0, "t"))
    samples = demonstrations(tasks, generator(1, "d"))
    assert [one.instruction for one in samples] == [task.prompt for task in tasks]
    read = [read_reply(one.output, task) for one, task in zip(samples, tasks)]
    assert all(found.answer == task.answer for found, task in zip(read, tasks))
    styles = Counter((found.sentence, found.chatty) for found in read)
    assert len(styles) == 3 and min(styles.values()) > 70  # of 100 each
    assert samples[0].task == "first animal"


def test_an_article_states_facts_about_its_list_and_asks_nothing():
    text = article(generator(3, "a"))
    head, *statements = text.removesuffix(" .").split(" . ")
    words = tuple(head.removeprefix("list : ").split())
    every = {ListTask(*task, words).statement().removesuffix(" .") for task in TASKS}
    assert len(statements) == 4 and set(statements) <= every
    assert len(article(generator(3, "a"), statements=2).split(" . ")) == 3
    assert not {"?", "!", "name", "please"} & set(text.split())
    assert set(text.split()) <= set(vocabulary())


def test_an_article_is_about_categories_that_its_list_has():
    for seed in range(50):
        assert "none" not in article(generator(seed, "a")) and "zero" not in article(
            generator(seed, "a")
        )
