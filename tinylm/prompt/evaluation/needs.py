"""What a method needs of the questions and of its caller, checked before the first call of a model.

Without it a method would stop at the first question that lacks it, after the model was opened and
perhaps after hours, or do something else: few-shot prompting without demonstrations is zero-shot
prompting. Read next: runner.py.
"""

from dataclasses import dataclass

from tinylm.data.synthetic.prompted.scan import interpret
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.decompose.shorter import plan_of
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
    "command": Need("a SCAN command at the end of the question", 'as "jump twice and walk left"'),
    "demonstrations": Need("demonstrations", "--demos FILE, or --shots N from --data"),
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
    "languages": Need(
        "the languages of the question and of its translation",
        "--option source=LANGUAGE --option target=LANGUAGE",
    ),
}

# What each question must have, and not the call.
OF_QUESTIONS = "options", "context", "command", "parts", "beginning"


def check_needs(method, items, demonstrations=(), options=()):
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
    if name == "command":
        return _is_command(item)
    if name == "parts":
        return _has_parts(item)
    if name == "beginning":
        return bool(begun(item.question))
    if name == "demonstrations":
        return bool(demonstrations)
    if name == "rationales":
        return bool(demonstrations) and all(demo.rationale for demo in demonstrations)
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
