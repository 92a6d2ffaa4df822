"""The methods of `tinylm prompt`: their list, and the options that the command line gives to each.

Read next: prompt/evaluation/methods.py.
"""

import json

from tinylm.cli.values import read_value
from tinylm.errors import ConfigError


def listed():
    """All methods: name, section of the book, a line; and their options."""
    from tinylm.prompt.evaluation.methods import METHODS, SAMPLING

    width = max(map(len, METHODS))
    lines = []
    for method in METHODS.values():
        lines.append(f"{method.name:{width}}  {method.section:9}  {method.summary}")
        kinds = method.kinds()
        own = [
            f"{name}={json.dumps(value)}"
            for name, value in method.options().items()
            if name in kinds and name != "max_tokens"
        ]
        if method.samples():
            own += [f"{name}=" for name in SAMPLING]
        if own:
            lines.append(f"{'':{width}}  {'':9}  --option {' '.join(own)}")
    return "\n".join(lines)


def chosen_options(methods, config, context):
    """The options of each method: {name of the method: {option: value}}.

    context  of the model, in tokens, or None. A reply gets at most half of it
    raises   ConfigError for an option that no method has, or a value not of its type
    """
    named = named_options(methods, config.option)
    return {
        method.name: common_options(method, config, context) | named[method.name]
        for method in methods
    }


def named_options(methods, texts):
    """What --option gives to each method: {name of the method: {option: value}}.

    texts    "samples=5" is for every method that has samples; "self-consistency.samples=5" for one
    raises   ConfigError as chosen_options
    """
    from tinylm.prompt.evaluation.methods import ALIASES

    found = {method.name: {} for method in methods}
    for text in texts:
        target, equals, value = text.partition("=")
        owner, _, name = target.rpartition(".")
        owner, name = ALIASES.get(owner, owner), name.replace("-", "_")
        taking = [m for m in methods if owner in ("", m.name) and name in m.kinds()]
        if not equals or not taking:
            raise ConfigError(f"--option {text!r}: {_what_can_be_set(methods, name)}")
        for method in taking:
            found[method.name][name] = read_value(value, method.kinds()[name], name)
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


def common_options(method, config, context):
    """What --instruction and --max-tokens give to a method that takes it."""
    from tinylm.prompt.in_context.few_shot import FewShotPrompt

    options = {}
    if method.accepts("max_tokens"):
        options["max_tokens"] = min(config.max_tokens, (context or 2 * config.max_tokens) // 2)
    if config.instruction:
        if not method.accepts("prompt"):
            raise ConfigError(f"the method {method.name} has a prompt of its own: no --instruction")
        options["prompt"] = FewShotPrompt(config.instruction)
    return options
