"""The small world says what is true, and keeps apart what tests ask."""

from tinylm.backend import Random
from tinylm.data.synthetic.told_facts import (
    ALL,
    ASPECTS,
    FORMS,
    KINDS,
    KNOWN,
    NEW_ASPECT,
    NEW_PAIR,
    TEST,
    TUNE,
    World,
    vocabulary,
)


def test_tasks_are_split_in_three():
    assert len(ALL) == 7 * 4 and sorted([*KNOWN, *NEW_PAIR, *NEW_ASPECT]) == sorted(ALL)
    # Of a new pair both halves are in tuning, of a new aspect none is.
    assert all(
        {aspect, kind} <= {word for task in KNOWN for word in task} for aspect, kind in NEW_PAIR
    )
    assert not {aspect for aspect, _ in NEW_ASPECT} & {aspect for aspect, _ in KNOWN}


def test_answers_are_true_and_names_of_tests_are_not_in_tuning():
    world = World(1)
    tune, test = (
        world.instructions(KNOWN, 200, Random(0, "x"), names=names) for names in (TUNE, TEST)
    )
    for samples, names in ((tune, TUNE), (test, TEST)):
        for sample in samples:
            aspect, kind = sample.task.split()
            (name,) = [word for word in sample.instruction.split() if word in KINDS[kind].split()]
            assert sample.output == world.facts[aspect, name] and name in KINDS[kind].split()[names]


def test_noise_is_the_share_of_answers_drawn_at_random():
    world, values = World(1), {aspect: said.split() for aspect, (said, _) in ASPECTS.items()}
    samples = world.instructions(KNOWN, 2000, Random(0, "x"), noise=0.5)
    strange = sum(sample.output not in values[sample.task.split()[0]] for sample in samples)
    # Half are drawn, 6 of 7 of these from another aspect: 857, standard deviation sqrt(2000 * 0.43
    # * 0.57) = 22; four of them.
    assert abs(strange - 857) < 4 * 22


def test_a_story_is_seven_statements_of_anything():
    world, rng = World(3), Random(0, "x")
    stories = [world.story(rng) for _ in range(400)]
    assert all(story.count(".") == 7 for story in stories)
    # Each of 2800 statements has a name, one of 48: one is missed with probability
    # 48 (47 / 48)^2800 < 1e-23.
    said = {word for story in stories for word in story.split()}
    names = {name for names in KINDS.values() for name in names.split()}
    assert names | set(KINDS) <= said
    assert {word for _, words in ASPECTS.values() for word in words.split()} <= said


def test_questions_leave_the_last_form_and_the_last_word_to_the_tests():
    samples = World(1).instructions(KNOWN, 600, Random(0, "x"))
    asked = [sample.instruction for sample in samples]
    assert not any(question.startswith("i want to know") for question in asked)
    words = {word for question in asked for word in question.split()}
    for _, (first, second, third) in (
        (a, w.split()) for a, (_, w) in ASPECTS.items() if a != "day"
    ):
        assert {first, second} <= words and third not in words
    # The tasks come in turn: each as often as any other.
    in_turn = [" ".join(task) for task in KNOWN]
    assert [sample.task for sample in samples[: 2 * len(KNOWN)]] == 2 * in_turn


def test_without_noise_every_answer_is_true():
    world = World(1)
    for sample in world.instructions(KNOWN, 300, Random(5, "x")):
        aspect, kind = sample.task.split()
        (name,) = [word for word in sample.instruction.split() if word in KINDS[kind].split()]
        assert sample.output == world.facts[aspect, name]


def test_every_word_is_in_the_vocabulary():
    world, words, rng = World(2), set(vocabulary()), Random(0, "x")
    asked = world.instructions(ALL, 100, rng, tuple(FORMS.values()), (0, 1, 2))
    texts = [*(world.story(rng) for _ in range(50)), *(sample.instruction for sample in asked)]
    assert {word for text in texts for word in text.split()} <= words
    assert (
        min(len(world.story(rng).split()) for _ in range(200)) >= 33
    )  # rows of 33 tokens are cut from them
