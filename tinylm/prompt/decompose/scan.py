"""Least-to-most prompting of SCAN: a command by the commands inside it   (book section 3.2.2; Zhou
et al. 2023; Lake & Baroni 2018).

    "jump opposite left and walk thrice" can be solved by:
        "jump left", "jump opposite left", "walk", "walk thrice"
    The output of "walk thrice" is "WALK" * 3.

The first prompt lists shorter commands, the second translates them in order, each with all that
were translated before; the last one is the command itself. Outputs are expressions as in the paper,
so that a model does not have to count: "TURN LEFT" * 2 + "JUMP" is expanded by the program. The
grammar is in data/synthetic/prompted/scan.py. Read next: shorter.py.
"""

import re
from collections.abc import Callable, Sequence

from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.decompose.least_to_most import QUOTED
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import render_fields

TIMES = {"twice": 2, "thrice": 3}
MOST = 1000  # actions of an expression
# Demonstrations: together they show every word of the grammar.
LISTED = (
    "look right after look twice",
    "jump opposite right thrice and walk",
    "run around left twice after run right",
)
TRANSLATED = (
    "turn left",
    "turn opposite right",
    "jump left",
    "walk opposite right",
    "run around left",
    "turn around right",
    "look twice",
    "walk right thrice",
    "jump and run left",
    "look after walk twice",
)
_SOLVED_BY = re.compile(r"can be solved by:?", re.IGNORECASE)
_TERM = re.compile(r'\s*(?:(?P<action>"[A-Z ]+")|(?P<sign>[()+*])|(?P<number>[0-9]+))')


# Rules in the manner of the paper's demonstrations; theirs leave out some of the simplest parts.


def sub_commands(command: str) -> list[str]:
    """The commands inside a command, from the simplest to the longest: list of str.

    A single command is itself; one with "and" or "after" has those of both of its parts.
    """
    # These join whole phrases, so they are split before "twice" and "thrice".
    for word in (" and ", " after "):
        first, found, second = command.partition(word)
        if found:
            return list(dict.fromkeys(sub_commands(first) + sub_commands(second)))
    words = command.split()
    inside = []
    if words[-1] in TIMES:
        inside = sub_commands(" ".join(words[:-1]))
    elif len(words) == 3 and words[0] != "turn":  # "jump opposite left" needs "jump left"
        inside = [f"{words[0]} {words[2]}"]
    return [*inside, command]


def expression(command: str) -> str:
    """The output of a command as an expression: "TURN LEFT" * 2 + "JUMP"."""
    first, found, second = command.partition(" and ")
    if found:
        return f"{expression(first)} + {expression(second)}"
    # "a after b" does b first.
    first, found, second = command.partition(" after ")
    if found:
        return f"{expression(second)} + {expression(first)}"
    words = command.split()
    if words[-1] in TIMES:
        return _times(expression(" ".join(words[:-1])), TIMES[words[-1]])
    if len(words) == 1:
        return f'"{words[0].upper()}"'
    # D is TURN D; U D turns and then acts.
    turn = f'"TURN {words[-1].upper()}"'
    once = turn
    if words[0] != "turn":
        once = f"{turn} + {expression(words[0])}"
    # around: four times (turn, act); opposite: two turns, then the act
    match words[1:-1]:
        case ["around"]:
            return _times(once, 4)
        case ["opposite"]:
            return once.replace(turn, f"{turn} * 2", 1)
    return once


def _times(text, count):
    if "+" in text or "*" in text:
        text = f"({text})"
    return f"{text} * {count}"


def expand(text: str) -> list[str]:
    """The actions of an expression: expand('"TURN LEFT" * 2 + "JUMP"') is LTURN LTURN JUMP.

    returns  list of str, with the words of SCAN
    raises   DataError for what is no expression, or has more than MOST actions
    """
    tokens, end = [], 0
    text = text.strip()
    while end < len(text):
        match = _TERM.match(text, end)
        if match is None:
            raise DataError(f"no action or sign at {text[end:]!r:.40}")
        tokens.append(match[match.lastgroup])
        end = match.end()
    # sum = product {"+" product},  product = (action | "(" sum ")") {"*" number}
    actions, rest = _sum(tokens)
    if rest:
        raise DataError(f"an expression ends before {' '.join(rest)!r:.40}")
    return actions


def _sum(tokens):
    """(actions of a sum, the tokens after it)."""
    actions, tokens = _product(tokens)
    while tokens[:1] == ["+"]:
        more, tokens = _product(tokens[1:])
        # A model writes the expression: its size is limited on the way, not at the end.
        actions = _checked(actions + more)
    return actions, tokens


def _product(tokens):
    if tokens[:1] == ["("]:
        actions, tokens = _sum(tokens[1:])
        if tokens[:1] != [")"]:
            raise DataError("a parenthesis is not closed")
        tokens = tokens[1:]
    elif tokens and tokens[0].startswith('"'):
        actions, tokens = [_action(tokens[0])], tokens[1:]
    else:
        raise DataError("an action is missing: an expression is made of actions in quotes")
    while tokens[:1] == ["*"]:
        if not tokens[1:] or not tokens[1].isdigit():
            raise DataError("an action is repeated a number of times: a number must follow *")
        count = int(tokens[1])
        if len(actions) * count > MOST:
            raise DataError(f"an expression has more than {MOST} actions")
        actions, tokens = actions * count, tokens[2:]
    return actions, tokens


def _checked(actions):
    if len(actions) > MOST:
        raise DataError(f"an expression has more than {MOST} actions")
    return actions


def _action(quoted):
    turns = {"TURN LEFT": "LTURN", "TURN RIGHT": "RTURN"}
    name = quoted.strip('"')
    return turns.get(name, name)


# The prompts.


def listing_prompt(command: str, listed: tuple[str, ...] = LISTED) -> str:
    """The first prompt: commands and those inside them, then a command alone."""
    shown = [_block(demo, listing(demo)) for demo in listed]
    return "\n\n".join([*shown, _block(command, None)])


def listing(command: str) -> str:
    """The reply to the first prompt."""
    inside = ", ".join(f'"{part}"' for part in sub_commands(command))
    return f'"{command}" can be solved by: {inside}.'


def translation_prompt(
    command: str, pairs: Sequence[tuple[str, str]] = (), translated: tuple[str, ...] = TRANSLATED
) -> str:
    """The second prompt: demonstrations, commands translated so far, and one command alone.

    pairs    (command, reply) of those before it
    """
    shown = [_block(demo, translation(demo)) for demo in translated]
    shown += [_block(earlier, reply) for earlier, reply in pairs]
    return "\n\n".join([*shown, _block(command, None)])


def translation(command: str) -> str:
    """The reply to the second prompt."""
    return f'The output of "{command}" is {expression(command)}.'


def _block(command, reply):
    return render_fields([("Q", f'"{command}"'), ("A", reply)])


def read_listing(reply: str) -> list[str] | None:
    """The commands of a first reply: list of str; None if it has no list."""
    found = _SOLVED_BY.search(reply)
    if found is None:
        return None
    # As in the paper, the list at the end is meant, where parts of a command come first.
    *_, last = _SOLVED_BY.finditer(reply)
    line = reply[last.end() :].lstrip().partition("\n")[0]
    return [straight or curly for straight, curly in QUOTED.findall(line)] or None


def read_translation(reply: str, command: str) -> list[str] | None:
    """The actions of a second reply: list of str; None if it has none that can be read."""
    after = re.search(rf'output of "{re.escape(command)}" is ([^\n.]+)', reply)
    if after is None:
        return None
    try:
        return expand(after[1])
    except DataError:
        return None


def scan_least_to_most(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    split: Callable | None = None,
    listed: tuple[str, ...] = LISTED,
    translated: tuple[str, ...] = TRANSLATED,
    most: int = 16,
    seed: int = 0,
    max_tokens: int = 128,
) -> Answer:
    """Translate a SCAN command by the commands inside it.

    item            its question ends with the command: "Translate the command into actions: jump"
    split           function from a command to those inside it, such as sub_commands; None: the
                    model lists them
    listed          commands of the first prompt's demonstrations
    translated      commands of the second prompt's. Demonstrations of Items are not used
    most            commands that are translated at most
    returns         Answer: actions with spaces between; details: "commands" (None: the first reply
                    had no list) and "pairs"
    """
    check_counts("scan_least_to_most", most=most)
    command = item.question.rpartition(":")[2].strip()
    options = {"stop": FewShotPrompt().stop, "seed": seed, "max_tokens": max_tokens}
    # {p_1, .., p_n} = G(p_0), by a rule or by the model
    if split is not None:
        commands = list(split(command))
    else:
        reply = lm.complete(listing_prompt(command, listed), **options)
        commands = lm.parsed("commands", read_listing(reply.text))
        if commands is None:
            return Answer(None, reply.text, {"commands": None, "pairs": []})
    # The command itself comes last, whatever the list says.
    inside = [part for part in dict.fromkeys(commands) if part != command][: most - 1]
    pairs = []
    # a_i = S_i(p_i, {p_<i, a_<i}): solved commands are the last demonstrations.
    for part in [*inside, command]:
        reply = lm.complete(translation_prompt(part, pairs, translated), **options)
        actions = lm.parsed("actions", read_translation(reply.text, part))
        pairs.append((part, reply.text.strip()))
    value = None
    if actions is not None:
        value = " ".join(actions)
    return Answer(lm.parsed("answer", value), reply.text, {"commands": commands, "pairs": pairs})
