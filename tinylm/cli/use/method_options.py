"""The methods of `tinylm prompt`: their list, and the options that the command line gives to each.

Read next: prompt/evaluation/methods.py.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinylm.cli.values import read_value
from tinylm.errors import ConfigError

if TYPE_CHECKING:
    from tinylm.cli.use.prompt import PromptConfig
    from tinylm.data.read.items import Item
    from tinylm.prompt.evaluation.methods import Method


LONGEST = 30  # characters of a default that the list shows


def listed() -> str:
    """All methods: name, section of the book, a line, what they need, and their options; then what
    the library has beside them.
    """
    from tinylm.prompt.evaluation.methods import LIBRARY_ONLY, METHODS, SAMPLING
    from tinylm.prompt.evaluation.needs import NEEDS

    width = max(map(len, METHODS))
    margin = " " * (width + 13)  # below the summaries
    lines = []
    for method in METHODS.values():
        lines.append(f"{method.name:{width}}  {method.section:9}  {method.summary}")
        if method.needs:
            lines.append(f"{margin}needs {', '.join(method.needs)}")
        own = own_options(method)
        if method.samples():
            own.append("SAMPLING")
        if own:
            lines.append(f"{margin}--option {' '.join(own)}")
    lines += ["", "What methods need:"]
    for name, need in NEEDS.items():
        lines.append(f"  {name:{width}} {need.what}")
        lines.append(f"  {'':{width}} {need.given}")
    wide = max(map(len, LIBRARY_ONLY))
    rest = []
    for what, (section, module) in LIBRARY_ONLY.items():
        rest.append(f"  {what:{wide}}  {section:9}  {module}")
    lines += ["", f"SAMPLING is any of {' '.join(f'{name}=' for name in SAMPLING)}"]
    lines += [
        "max_tokens, tokens of a reply at most, is set for all methods by --max-tokens N, and for",
        "one by --option METHOD.max_tokens=N",
        "",
        "In the library only, in modules of tinylm.prompt:",
        *rest,
    ]
    return "\n".join(lines)


def own_options(method: "Method") -> list[str]:
    """Options of a method with their defaults, "samples=10", without those of sampling: list of
    str.
    """
    defaults, found = method.options(), []
    for name in method.kinds():
        # Fields of Sampling are listed once below, and max_tokens too, as all methods have them.
        if name not in defaults or name == "max_tokens":
            continue
        value = json.dumps(defaults[name], ensure_ascii=False)
        if len(value) > LONGEST:
            value = ".."
        found.append(f"{name}={value}")
    return found


def named_options(
    methods: "Sequence[Method]", texts: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """What --option gives to each method: {name of the method: {option: value}}.

    texts    "samples=5" is for every method that has samples; "self-consistency.samples=5" for one
    raises   ConfigError for an option that no method has, or a value not of its type
    """
    from tinylm.prompt.evaluation.methods import ALIASES

    found = {method.name: {} for method in methods}
    for text in texts:
        target, equals, value = text.partition("=")
        # Without an owner an option is for all methods that have it.
        owner, _, name = target.rpartition(".")
        owner, name = ALIASES.get(owner, owner), name.replace("-", "_")
        taking = [m for m in methods if owner in ("", m.name) and name in m.kinds()]
        if not equals or not taking:
            raise ConfigError(f"--option {text!r}: {_what_can_be_set(methods, name)}")
        for method in taking:
            kind, options = method.kinds()[name], found[method.name]
            read = read_value(value, kind, name)
            # Texts may hold commas, so a list of them grows by one with every use.
            if kind == tuple[str, ...]:
                read = options.get(name, ()) + read
            options[name] = read
    return found


def _what_can_be_set(methods, name):
    """Why a word of --option is refused, and what could be given instead."""
    known = []
    if any(method.accepts(name) and name not in method.kinds() for method in methods):
        known.append(f"{name} cannot be set from the command line")
    for method in methods:
        names = ", ".join(method.kinds()) or "no option"
        known.append(f"the method {method.name} has {names}")
    return "; ".join(known)


def check_methods(
    methods: "Sequence[Method]",
    config: "PromptConfig",
    items: "Sequence[Item]",
    demonstrations: "Sequence[Item]",
    named: dict[str, dict],
) -> list[str]:
    """Raise ConfigError for a method that lacks what it needs, or is given what none of them uses,
    before a model is opened.

    named    as named_options
    returns  lines about what is not read of the questions
    """
    from tinylm.prompt.evaluation.needs import check_effect, check_needs, check_use, unread

    # The same for all questions, so found once, and not at each of them.
    without = [demo for demo in demonstrations if demo.answer is None]
    answered = [method for method in methods if "pool" not in method.needs]
    if without and answered:
        raise ConfigError(
            f"{len(without)} of {len(demonstrations)} demonstrations have no answer, first "
            f"{without[0].question!r:.60}: give an answer to each, or leave them out"
        )
    for method in methods:
        if config.instruction and not method.accepts("prompt"):
            raise ConfigError(f"the method {method.name} has a prompt of its own: no --instruction")
        chosen = set(named[method.name])
        if config.instruction:
            chosen.add("prompt")  # as common_options() gives it
        check_needs(method, items, demonstrations, chosen)
        check_effect(method, items, demonstrations, named[method.name])
    given = {
        "demonstrations": demonstrations,
        "options": config.choice,
        "context": config.context,
    }
    check_use(methods, [name for name, value in given.items() if value], named)
    return unread(methods, items, demonstrations, named)


def common_options(method: "Method", config: "PromptConfig", context: int) -> dict[str, Any]:
    """What --instruction and --max-tokens give to a method that takes it: {option: value}.

    context  of the model, in tokens, or None. A reply gets at most half of it
    """
    from tinylm.prompt.in_context.few_shot import FewShotPrompt

    options = {}
    if method.accepts("max_tokens"):
        options["max_tokens"] = min(config.max_tokens, (context or 2 * config.max_tokens) // 2)
    if config.instruction:
        # The default form of questions and answers, with the instruction in front.
        options["prompt"] = FewShotPrompt(config.instruction)
    return options
