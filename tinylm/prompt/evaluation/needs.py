"""What a method needs of the questions and of its caller, and what it would ignore, checked before
the first call of a model.

Without what it needs a method would stop at the first question that lacks it, after the model was
opened and perhaps after hours, or do something else: few-shot prompting without demonstrations is
zero-shot prompting. A setting that it ignores is refused too. Read next: runner.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.scan import interpret
from tinylm.errors import ConfigError, DataError
from tinylm.generate.sample import without_effect
from tinylm.prompt.decompose.shorter import plan_of
from tinylm.prompt.evaluation.methods import PATHS, Method, method_named
from tinylm.prompt.tasks.code_completion import begun


@dataclass(frozen=True)
class Need:
    """Something that a method cannot do without.

    what   in words
    given  how it is given on the command line
    """

    what: str
    given: str


NEEDS = {
    "options": Need(
        "options to choose from", '"options" in the file of --data, or --choice A --choice B'
    ),
    "batch": Need(
        "several questions with the same options, whose mean is the prior",
        "--data FILE of questions that all have one list of options",
    ),
    "context": Need(
        "a passage to answer from", '"context" in the file of --data, or --context FILE'
    ),
    "shortened": Need(
        "demonstrations or a passage to shorten",
        '--demos FILE, or --shots N from --data; "context" in the file, or --context FILE',
    ),
    "command": Need("a SCAN command at the end of the question", 'as "jump twice and walk left"'),
    "demonstrations": Need("demonstrations", "--demos FILE, or --shots N from --data"),
    "pool": Need(
        "questions to make demonstrations of, whose answers are not read",
        "--demos FILE, or --shots N from --data",
    ),
    "rationales": Need(
        "demonstrations with worked solutions",
        '--demos FILE, or --shots N from --data, with the field "rationale"',
    ),
    "parts": Need(
        "questions of the tasks last_letters, dyck or multi_hop", '"task" in the file of --data'
    ),
    "function": Need("the name of the function to write", "--option function=NAME"),
    "beginning": Need(
        "the beginning of a Python function in the question",
        '"def name(..):" at the start of a line, and what follows it',
    ),
    "entities": Need("the entities that are related", "--option entities=ONE,OTHER"),
    "speakers": Need("the names of the speakers in order", "--option speakers=ONE,OTHER"),
    "models": Need(
        "other models beside the first: runs, or published weights",
        "--option models=RUN,OTHER",
    ),
    "instruction": Need("an instruction to begin with", '--instruction "..."'),
    "languages": Need(
        "the languages of the question and of its translation",
        "--option source=LANGUAGE --option target=LANGUAGE",
    ),
}

# What each question must have, and not the call.
OF_QUESTIONS = "options", "context", "shortened", "command", "parts", "beginning"


def check_needs(
    method: Method, items: Sequence[Item], demonstrations: Sequence[Item] = (), options: Any = ()
) -> None:
    """Raise ConfigError if a method lacks something that it needs.

    method          Method (methods.py)
    items           list of Item
    demonstrations  list of Item
    options         names of the options that were chosen
    """
    for name in method.needs:
        need = NEEDS[name]
        lacking = _lacking(name, items, demonstrations, options)
        if not lacking:
            continue
        whose = ""
        if len(items) > 1 and name in OF_QUESTIONS:
            first = lacking[0].question.strip()
            whose = f" ({len(lacking)} of {len(items)} questions lack it, first {first!r:.60})"
        raise ConfigError(f"the method {method.name} needs {need.what}{whose}: {need.given}")


# What is given on the command line, and how; methods may ignore it (Method.ignores).
GIVEN = {
    "demonstrations": ("demonstrations", "--demos and --shots"),
    "options": ("options to choose from", "--choice"),
    "context": ("a passage", "--context"),
}


def ignored_by(method: Method, options: Any = ()) -> tuple[str, ...]:
    """What a method ignores, as Method.ignores; several models do what the method they use does.

    options  {name: value} that were chosen
    """
    if "models" not in method.needs:
        return method.ignores
    used = dict(options).get("method", method.options()["method"])
    return method_named(used).ignores


def check_use(methods: Sequence[Method], given: Any, options: Any) -> None:
    """Raise ConfigError for what is given to methods of which none makes use of it.

    methods  list of Method
    given    names of GIVEN
    options  {name of the method: its options}
    """
    for name in given:
        if all(name in ignored_by(method, options[method.name]) for method in methods):
            what, how = GIVEN[name]
            named = " and ".join(method.name for method in methods)
            raise ConfigError(
                f"{named}: {what} would change nothing: leave out {how}, or choose another method "
                "(--list)"
            )


def unread(
    methods: Sequence[Method],
    items: Sequence[Item],
    demonstrations: Sequence[Item],
    options: Any,
) -> list[str]:
    """What some of the methods ignore in a file of questions, or in a comparison: list of lines.

    options  as in check_use
    """
    counts = {
        "demonstrations": len(demonstrations),
        "options": sum(bool(item.options) for item in items),
        "context": sum(bool(item.context) for item in items),
    }
    words = {"options": "the options", "context": "the passages", "demonstrations": "any of the"}
    lines = []
    for method in methods:
        for name in ignored_by(method, options[method.name]):
            count, end = counts[name], f"of {counts[name]} questions"
            if name == "demonstrations":
                end = f"{count} demonstrations"
            if count:
                lines.append(f"{method.name} does not read {words[name]} {end}")
    return lines


def check_effect(
    method: Method, items: Sequence[Item], demonstrations: Sequence[Item], options: Any
) -> None:
    """Raise ConfigError for an option that changes nothing with these questions.

    options  {name: value} that were chosen for the method
    """
    ranked = any(item.options for item in items) or method.name == "verbalizer"
    if "normalization" in options and not ranked:
        raise ConfigError(
            f"{method.name}: normalization is of scores of options, and no question has any: leave "
            "it out"
        )
    extracted = {"trigger", "extract", "answer_tokens"} & set(options)
    if method.passes == PATHS and extracted and demonstrations:
        raise ConfigError(
            f"{method.name}: demonstrations show how a chain begins and ends, so "
            f"{min(extracted)} would change nothing: leave it out"
        )
    if idle := without_effect(options):
        raise ConfigError(
            f"{method.name}: the most probable token is taken, so {', '.join(idle)} would change "
            "nothing: leave it out, or sample"
        )


def _lacking(name, items, demonstrations, options):
    """The items that lack what is needed: all of them if they are no batch."""
    if name != "batch":
        return [item for item in items if not _has(name, item, demonstrations, options)]
    if len(items) > 1 and len({item.options for item in items}) == 1:
        return []
    return items


def _has(name, item, demonstrations, options):
    """True if an item, or the call it belongs to, has what is needed."""
    if name == "options":
        return bool(item.options)
    if name == "context":
        return bool(item.context.strip())
    if name == "shortened":
        return bool(demonstrations) or bool(item.context.strip())
    if name == "command":
        return _is_command(item)
    if name == "parts":
        return _has_parts(item)
    if name == "beginning":
        return bool(begun(item.question))
    if name in ("demonstrations", "pool"):
        return bool(demonstrations)
    if name == "rationales":
        return bool(demonstrations) and all(demo.rationale for demo in demonstrations)
    if name == "instruction":
        return "prompt" in options
    if name == "languages":
        return {"source", "target"} <= set(options)
    return name in options


def _is_command(item):
    """True if the grammar of SCAN produces what follows the last colon of the question."""
    try:
        interpret(item.question.rpartition(":")[2].strip())
    except DataError:
        return False
    return True


def _has_parts(item):
    """True if there is a plan of shorter questions for an item."""
    try:
        plan_of(item, 1)
    except (ConfigError, DataError):  # of another task, or not in the words of its task
        return False
    return True
