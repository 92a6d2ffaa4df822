"""Three ways to an answer of several steps, at equal tokens   (book section 3.2.2).

    direct          the answer at once
    one run         chain of thought: the steps and the answer in one reply
    several runs    decomposition: a call for each sub-problem

The same model and the same questions; a way that writes more also costs more, so each is compared
with direct prompting that may spend as many tokens on samples and a vote
(evaluation/compare.py).
"""

from collections.abc import Callable, Sequence
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError
from tinylm.prompt.decompose.least_to_most import least_to_most
from tinylm.prompt.evaluation.compare import Row, compare
from tinylm.prompt.in_context.few_shot import few_shot
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.protocol.trace import Trace
from tinylm.prompt.reasoning.chain_of_thought import chain_of_thought

WAYS = {"direct": few_shot, "one run": chain_of_thought, "several runs": least_to_most}


def three_ways(
    lm: TextLM,
    items: Sequence[Item],
    demonstrations: Sequence[Item] = (),
    *,
    ways: dict[str, Callable] = WAYS,
    options: Any = None,
    seed: int = 0,
    show: Callable | None = None,
    **sampling: Any,
) -> list[Row]:
    """The three ways on the same questions, with what they cost.

    items           Items with answers
    demonstrations  Items with answers and rationales, the same for all ways
    ways            {name: method}
    options         {name: options of that method}
    show, sampling  as of compare
    returns         list of Row, in the order of `ways`: accuracy, calls and tokens of a question,
                    and the difference to direct prompting with as many tokens
    raises          ConfigError for options of a way that is not there
    """
    options = options or {}
    unknown = [name for name in options if name not in ways]
    if unknown:
        raise ConfigError(f"three_ways: no way {unknown[0]!r}; there are {', '.join(ways)}")
    methods = {name: (method, options.get(name, {})) for name, method in ways.items()}
    return compare(lm, methods, items, demonstrations, seed=seed, show=show, **sampling)


def logged_tokens(lm: TextLM, trace: Trace) -> int:
    """Prompt and generated tokens of the calls of a Trace, counted from their texts.

    The account of a ScriptedLM is this number; a real model's tokenizer may join a prompt and the
    text that a reply begins with, and counts an end token.
    """
    # Scores are left out: no text is generated for them.
    return sum(
        lm.count(call.prompt) + lm.count(call.begin) + lm.count(call.reply)
        for call in trace.calls
        if call.kind == "complete"
    )
