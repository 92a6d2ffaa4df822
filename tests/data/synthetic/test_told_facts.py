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


def test_every_word_is_in_the_vocabulary():
    world, words, rng = World(2), set(vocabulary()), Random(0, "x")
    asked = world.instructions(ALL, 100, rng, tuple(FORMS.values()), (0, 1, 2))
    texts = [*(world.story(rng) for _ in range(50)), *(sample.instruction for sample in asked)]
    assert {word for text in texts for word in text.split()} <= words
    assert (
        min(len(world.story(rng).split()) for _ in range(200)) >= 33
    )  # rows of 33 tokens are cut from them
