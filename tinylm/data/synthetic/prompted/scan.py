"""SCAN: commands and the sequences of actions that they mean   (book section 3.2.2; Lake & Baroni
2018).

    jump opposite left and walk thrice  ->  LTURN LTURN JUMP WALK WALK WALK

    command:  phrase | phrase and phrase | phrase after phrase
    phrase:   verb | verb twice | verb thrice
    verb:     U | U D | turn D | (U | turn) opposite D | (U | turn) around D
    U:        walk | look | run | jump            D:  left | right

The grammar has 20,910 commands. Its splits test whether a learner composes what it knows: to longer
sequences, and to a verb that it saw only alone. Read next: add_divide.py.
"""

from functools import cache
from itertools import product

from tinylm.backend import Random
from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator, pick
from tinylm.data.synthetic.templates import needed_slots
from tinylm.errors import ConfigError, DataError

ACTIONS = {"walk": "WALK", "look": "LOOK", "run": "RUN", "jump": "JUMP"}
TURNS = {"left": "LTURN", "right": "RTURN"}
TIMES = {"twice": 2, "thrice": 3}
LONGEST = 48  # actions of the longest command: twice "... around ... thrice"
_TRAIN_ACTIONS = 22  # the length split: commands of up to 22 actions are for training
_QUESTION = "Translate the command into actions: {command}"


def interpret(command: str) -> list[str]:
    """The actions of a command: list of str. DataError for what the grammar does not produce."""
    for word in ("and", "after"):
        first, found, second = command.partition(f" {word} ")
        if found:
            actions = [_phrase(first, command), _phrase(second, command)]
            if word == "after":
                actions.reverse()
            return actions[0] + actions[1]
    return _phrase(command, command)


def _phrase(text, command):
    words, times = text.split(), 1
    if words and words[-1] in TIMES:
        times = TIMES[words.pop()]
    return _verb(words, command) * times


def _verb(words, command):
    # "turn" itself is no action: turning is all that it does.
    act = {**ACTIONS, "turn": None}
    match words:
        case [verb] if verb in ACTIONS:
            return [ACTIONS[verb]]
        case [verb, *how, direction] if verb in act and direction in TURNS:
            turn = [TURNS[direction]]
            action = [act[verb]]
            if verb == "turn":
                action = []
            if not how:
                return turn + action
            if how == ["opposite"]:
                return turn + turn + action
            if how == ["around"]:
                return (turn + action) * 4
    raise DataError(f"SCAN has no command {command!r}: {' '.join(words)!r} is no verb of it")


def phrases() -> list[str]:
    """All 102 phrases without "and" and "after", in the order of the grammar: list of str."""
    verbs = list(ACTIONS)
    for how in ("", "opposite ", "around "):
        verbs += [f"{verb} {how}{way}" for verb, way in product([*ACTIONS, "turn"], TURNS)]
    return [" ".join([verb, times]).strip() for verb, times in product(verbs, ["", *TIMES])]


def commands() -> list[str]:
    """All 20,910 commands: list of str."""
    single = phrases()
    joined = [f"{a} {word} {b}" for word in ("and", "after") for a, b in product(single, single)]
    return single + joined


def simple_split(seed: int = 0, share: float = 0.8) -> tuple[list[str], list[str]]:
    """(train, test): a random share of all commands for training."""
    if not 0 < share < 1:
        raise ConfigError(f"simple_split: share {share} must lie between 0 and 1")
    every = commands()
    order = [every[i] for i in Random(seed, "scan").permutation(len(every))]
    count = round(share * len(every))
    return order[:count], order[count:]


def length_split(longest: int = _TRAIN_ACTIONS) -> tuple[list[str], list[str]]:
    """(train, test): commands of at most `longest` actions, and all longer ones."""
    train = [command for command, actions in _lengths() if actions <= longest]
    test = [command for command, actions in _lengths() if actions > longest]
    return train, test


@cache
def _lengths():
    """(command, number of its actions) of all commands."""
    return [(command, len(interpret(command))) for command in commands()]


def add_jump_split(repeats: int = 1467) -> tuple[list[str], list[str]]:
    """(train, test): of "jump" only the command itself is for training, all others are for tests.

    repeats  how often "jump" is in the training set; that of the paper is a tenth of the set
    """
    without = [command for command in commands() if "jump" not in command]
    test = [command for command in commands() if "jump" in command and command != "jump"]
    return without + ["jump"] * repeats, test


def scan_steps(command: str) -> str:
    """The worked solution: the actions of every phrase, and of the command if it has two."""
    parts = command.replace(" after ", " and ").split(" and ")
    if len(parts) == 2:
        parts.append(command)
    return " ".join(f'"{part}" is {" ".join(interpret(part))}.' for part in parts)


def scan_item(command: str) -> Item:
    """The question for a command, with its answer and its worked solution: Item."""
    answer = " ".join(interpret(command))
    question = _QUESTION.format(command=command)
    return Item(question, answer, rationale=scan_steps(command), task="scan")


def scan_items(count: int, seed: int = 0, longest: int = LONGEST) -> list[Item]:
    """Commands of at most `longest` actions, drawn with repetition: list of Item."""
    known, _ = length_split(longest)
    if not known:
        raise ConfigError(f"scan_items: no command has {longest} actions or fewer")
    rng, items = generator(seed, "scan"), []
    for _ in range(count):
        items.append(scan_item(pick(known, rng)))
    return items


def solve_scan(item: Item) -> str:
    """The answer, from the question alone. DataError for another question."""
    return " ".join(interpret(needed_slots(_QUESTION, item.question)["command"]))
