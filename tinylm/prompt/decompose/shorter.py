"""A question by shorter questions of its own kind   (book section 3.2.2, eqs. 3.3-3.5).

    letters of "Ada Wei Zoe"      letters of "Ada Wei" -> ai, of "Zoe" -> e: aie
    close  ( [ ] { { }            close  ( [ -> ] )  , so  ( [  is open; close  ( [ ] { -> } )  , ..
    the capital of the country    the country where Ada was born -> Istria;
    where Ada was born            the capital of Istria -> Dorham

A rule makes the plan, and whatever answers short questions is S_i: a model directly, or with steps.
The sub-problems need no form that the model would have to learn. With an exact solver as S_i every
answer is right, at any length. Read next: equal_tokens.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted import TASKS
from tinylm.data.synthetic.prompted.dyck import CLOSING, stacks
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.decompose.multi_hop import known_hops
from tinylm.prompt.decompose.plan import decompose, up_front
from tinylm.prompt.in_context.few_shot import zero_shot
from tinylm.prompt.protocol.text_lm import TextLM

_OPENING = {close: opening for opening, close in CLOSING.items()}


def _asked(item, question):
    return replace(item, question=question, answer=None, rationale="")


def letter_parts(item: Item, size: int) -> list[Item]:
    """G: questions for `size` words each: list of Item."""
    before, name, after = item.question.split('"')
    words = name.split()
    parts = [" ".join(words[i : i + size]) for i in range(0, len(words), size)]
    return [_asked(item, f'{before}"{part}"{after}') for part in parts]


def bracket_ends(symbols: Sequence[str], size: int) -> list[int]:
    """Where the parts of a sequence end: after `size` brackets, or more until one is open.

    symbols  list of brackets, of which at least one is open at the end
    returns  list of int; the last is the length of the sequence
    """
    found, begin = [], 0
    for i, stack in enumerate(stacks(symbols), 1):
        if i == len(symbols) or (i - begin >= size and stack):
            found.append(i)
            begin = i
    return found


def opened(completion: str) -> str:
    """The open brackets that a completion closes: "} )" -> "( {". DataError for other symbols."""
    symbols = "".join(completion.split())
    wrong = [symbol for symbol in symbols if symbol not in _OPENING]
    if wrong:
        raise DataError(f"the completion {completion!r:.40} has {wrong[0]!r}, which closes nothing")
    return " ".join(_OPENING[symbol] for symbol in reversed(symbols))


def next_brackets(item: Item, pairs: Sequence[tuple[str, str]], size: int) -> Item | None:
    """G_i: what is open after the last answer, and `size` brackets or more: Item, or None."""
    head, mark, text = item.question.partition("Input: ")
    symbols = text.split()
    ends = [0, *bracket_ends(symbols, size)]
    if len(pairs) == len(ends) - 1:
        return None
    before = ""
    if pairs:
        before = opened(pairs[-1][1])
    following = " ".join(symbols[ends[len(pairs)] : ends[len(pairs) + 1]])
    return _asked(item, f"{head}{mark}{f'{before} {following}'.strip()}")


def plan_of(item: Item, size: int) -> tuple[Callable, Callable]:
    """(G_i, S_0) of an item of the tasks last_letters, dyck and multi_hop, for one use of
    `decompose`.

    size     words, or brackets, of a part; a question of several hops is asked hop by hop
    raises   ConfigError for another task, or a size below 1
    """
    if size < 1:
        raise ConfigError(f"plan_of: size {size} must be 1 or more")
    if item.task == "last_letters":
        parts = up_front(lambda problem: letter_parts(problem, size))
        return parts, lambda problem, pairs: "".join(answer for _, answer in pairs)
    if item.task == "dyck":
        return lambda problem, pairs: next_brackets(problem, pairs, size), _last
    if item.task == "multi_hop":
        return _next_hop, _last
    raise ConfigError(
        f"plan_of: no plan for {item.task!r}; there are last_letters, dyck and multi_hop"
    )


def _next_hop(item, pairs):
    question = known_hops(item, pairs)
    return question and _asked(item, question)


def _last(item, pairs):
    return pairs[-1][1]


def exact(lm: TextLM, item: Item, demonstrations: Sequence[Item] = (), *, seed: int = 0) -> Answer:
    """The right answer, by the solver of the item's task; the model is not called."""
    value = TASKS[item.task][1](item)
    return Answer(value, value, {})


def in_parts(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    solve: Callable = zero_shot,
    size: int = 2,
    seed: int = 0,
    **options: Any,
) -> Answer:
    """Answer a question by shorter ones.

    solve           method that answers a part: zero_shot, zero_shot_cot, exact, ..
    demonstrations  for `solve`
    size            as of plan_of
    options         of `solve`
    returns         Answer: None if a part got no answer, or none that the plan can go on with;
                    details: "pairs" of (Item, answer)
    """
    check_counts("in_parts", size=size)
    pairs, text = [], ""

    def solved(part, whole, before):
        nonlocal text
        answer = solve(lm, part, demonstrations, seed=seed, **options)
        text = answer.text
        if answer.value is None:
            raise DataError(f"the part {part.question!r:.60} has no answer")
        pairs.append((part, answer.value))
        return answer.value

    generate, conclude = plan_of(item, size)
    value, most = None, len(item.question.split())  # no part without a word of its own
    try:
        value = decompose(item, generate, solved, conclude, most).answer
    except DataError:
        pass  # no guess
    return Answer(lm.parsed("answer", value), text, {"pairs": pairs})
