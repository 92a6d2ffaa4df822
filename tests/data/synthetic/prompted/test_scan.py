"""SCAN: the grammar, its interpretation and the splits of the paper (Lake & Baroni 2018)."""

import pytest

from tinylm.data.synthetic.prompted.scan import (
    LONGEST,
    add_jump_split,
    commands,
    interpret,
    length_split,
    phrases,
    scan_item,
    scan_items,
    scan_steps,
    simple_split,
)
from tinylm.errors import ConfigError, DataError


@pytest.mark.parametrize(
    "command, actions",
    [
        ("jump opposite left and walk thrice", "LTURN LTURN JUMP WALK WALK WALK"),  # the book's
        ("jump left", "LTURN JUMP"),
        ("jump around right", "RTURN JUMP RTURN JUMP RTURN JUMP RTURN JUMP"),
        ("turn left twice", "LTURN LTURN"),
        ("jump thrice", "JUMP JUMP JUMP"),
        ("jump opposite left after walk around left",
         "LTURN WALK LTURN WALK LTURN WALK LTURN WALK LTURN LTURN JUMP"),
        ("turn opposite right", "RTURN RTURN"),
        ("turn around left", "LTURN LTURN LTURN LTURN"),
        ("look", "LOOK"),
        ("run and look", "RUN LOOK"),
        ("run after look", "LOOK RUN"),
        ("run opposite right twice", "RTURN RTURN RUN RTURN RTURN RUN"),
    ],
)  # fmt: skip
def test_the_actions_of_a_command(command, actions):
    assert " ".join(interpret(command)) == actions


@pytest.mark.parametrize(
    "command",
    ["", "turn", "fly", "jump up", "jump left left", "jump near left", "twice", "jump twice twice",
     "twice jump", "jump and", "and jump", "jump and walk and run", "jump and walk after run",
     "jump after walk after run", "around left", "jump around", "left"],
)  # fmt: skip
def test_what_the_grammar_does_not_produce_is_refused(command):
    with pytest.raises(DataError, match="SCAN has no command"):
        interpret(command)


def test_the_paper_has_20910_commands():
    every = commands()
    # 4 verbs, 10 with a direction, 10 opposite, 10 around; each alone, twice or thrice.
    assert len(phrases()) == 34 * 3
    assert len(every) == len(set(every)) == 102 + 2 * 102**2 == 20910
    assert LONGEST == max(len(interpret(command)) for command in every) == 2 * 8 * 3


def test_the_splits_have_the_sizes_of_the_paper():
    every = set(commands())
    train, test = simple_split()
    assert (len(train), len(test)) == (16728, 4182) and {*train, *test} == every
    assert train[:5] != simple_split(seed=1)[0][:5] and train == simple_split(seed=0)[0]
    train, test = length_split()
    assert (len(train), len(test)) == (16990, 3920) and {*train, *test} == every
    assert {len(interpret(command)) for command in test[::50]} <= set(range(24, 49))
    train, test = add_jump_split()
    assert (len(train), len(test)) == (14670, 7706) and {*train, *test} == every
    assert train.count("jump") == 1467 and not set(train) & set(test)
    assert sum("jump" in command for command in train) == 1467
    assert add_jump_split(repeats=1)[0].count("jump") == 1


def test_the_worked_solution_goes_phrase_by_phrase():
    assert scan_steps("jump thrice") == '"jump thrice" is JUMP JUMP JUMP.'
    assert scan_steps("run after turn left") == (
        '"run" is RUN. "turn left" is LTURN. "run after turn left" is LTURN RUN.'
    )
    assert scan_steps("run and look").endswith('"run and look" is RUN LOOK.')


def test_an_item_of_a_given_command():
    item = scan_item("run after turn left")
    assert item.question == "Translate the command into actions: run after turn left"
    assert item.answer == "LTURN RUN" and item.rationale == scan_steps("run after turn left")
    assert item.task == "scan"
    with pytest.raises(DataError, match="no command"):
        scan_item("fly")


def test_difficulty_is_the_number_of_actions():
    assert {len(item.answer.split()) for item in scan_items(40, longest=1)} == {1}
    lengths = [len(item.answer.split()) for item in scan_items(300)]
    # 3,920 of 20,910 commands have more than 22 actions: that none of 300 has is (0.81)^300 < 1e-27
    assert max(lengths) > 22
    with pytest.raises(ConfigError, match="no command has 0 actions"):
        scan_items(1, longest=0)
    for share in (0, 1):
        with pytest.raises(ConfigError, match="share"):
            simple_split(share=share)
