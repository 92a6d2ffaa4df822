"""Tasks of section 3.1.4, and a grid of prompts and samples, as methods whose settings are words:
those of a command line.

The functions behind them (../tasks, ../ensemble/grid.py) take objects: a ClassificationPrompt, a
verbalizer, a list of cases. Here these are made from texts, and nothing else is done. Generated
code is run only with run=True, in the child process of ../tasks/code_runner.py. Read next:
methods.py.
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tinylm.data.read.items import Item
from tinylm.errors import ConfigError, DataError
from tinylm.finetune.instruct.prompt_template import PromptTemplate
from tinylm.prompt.answer import Answer, check_counts
from tinylm.prompt.ensemble.grid import grid_vote
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.tasks import classification, code_completion, extraction, generation
from tinylm.prompt.tasks.questions import answer_word_problem
from tinylm.prompt.tasks.verbalizer import FEELINGS, classify_by_verbalizer
from tinylm.prompt.template.constraints import max_words, min_words
from tinylm.prompt.template.library import EXTRACTIONS, LIBRARY

WAYS = {
    "scores": classification.classify_by_scores,
    "generated": classification.classify_generated,
    "cloze": classification.classify_by_cloze,
}
WORDS = tuple(f"{label}={','.join(words)}" for label, words in FEELINGS.items())


def classify(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    attribute: str = "polarity",
    by: str = "scores",
    definitions: tuple[str, ...] = ("",),
    only_label: bool = False,
    seed: int = 0,
    max_tokens: int = 48,
) -> Answer:
    """Classify the question, a text, as one of the item's options   (book section 3.1.4.1)

    attribute    what the labels are values of
    by           "scores" of the labels, "generated" text, or the words of a "cloze"
    definitions  each "label=what it means", for the prompt
    only_label   True: a generated reply is to be a label and nothing else
    returns      Answer as of the functions in tasks/classification.py
    raises       ConfigError for a definition of no label, or only_label where a sentence is
                 completed
    """
    if by not in WAYS:
        raise ConfigError(f"classify: by={by!r} must be one of {', '.join(WAYS)}")
    if only_label and by != "generated":
        raise ConfigError(f"classify: only_label is for by='generated'; by={by!r} completes a text")
    meanings = []
    for text in filter(str.strip, definitions):
        label, _, meaning = (part.strip() for part in text.partition("="))
        if not meaning or label not in item.options:
            raise ConfigError(
                f'classify: definitions={text!r:.60} must be "label=what it means", of one of '
                f"{', '.join(item.options)}"
            )
        meanings.append((label, meaning.rstrip(".")))
    prompt = classification.ClassificationPrompt(attribute, tuple(meanings), only_label)
    options = {"prompt": prompt, "seed": seed, "max_tokens": max_tokens}
    return WAYS[by](lm, item, demonstrations, **options)


def verbalizer(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    template: str = LIBRARY["polarity.feeling"].text,
    words: Sequence[str] = WORDS,
    normalization: str = "sum",
    seed: int = 0,
    max_tokens: int = 0,
) -> Answer:
    """Classify by words that stand for the labels   (book sections 1.1.2.2 and 3.1.4.1)

    template  text with the slot {*text*} and a blank
    words     for each label "label=word,word"
    returns   Answer as of classify_by_verbalizer
    raises    ConfigError for a label without words, or options of the item that are not the labels
    """
    groups = {}
    for text in words:
        label, equals, listed = text.partition("=")
        groups[label.strip()] = _listed(listed)
        if not equals or not groups[label.strip()]:
            raise ConfigError(f'verbalizer: words={text!r} must be "label=word,word"')
    if item.options and set(item.options) != set(groups):
        raise ConfigError(
            f"verbalizer: the labels of `words` are {', '.join(groups)}, and the options of "
            f"{item.question!r:.40} are {', '.join(item.options)}: they must be the same"
        )
    options: dict[str, Any] = {"template": PromptTemplate(template), "verbalizer": groups}
    return classify_by_verbalizer(lm, item, normalization=normalization, **options)


def entities(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    types: str = "",
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Named entities with their types   (book section 3.1.4.2)

    types    allowed ones, with commas; "": any
    """
    allowed = _listed(types) or None
    options = {"types": allowed, "seed": seed, "max_tokens": max_tokens}
    return extraction.extract_entities(lm, item, demonstrations, **options)


def relations(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    entities: str = "",
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Relations between given entities   (book section 3.1.4.2)

    entities  with commas
    """
    given = _listed(entities)
    if len(given) < 2:
        raise ConfigError(f"relations: entities={entities!r} must name two or more, with commas")
    options = {"entities": given, "seed": seed, "max_tokens": max_tokens}
    return extraction.extract_relations(lm, item, demonstrations, **options)


def extract(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    task: str = "keywords",
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Whatever is described   (book section 3.1.4.2)

    task     a key of EXTRACTIONS, or words that complete "Your task is to"
    """
    described = EXTRACTIONS.get(task, task)
    return extraction.extract(
        lm, item, demonstrations, task=described, seed=seed, max_tokens=max_tokens
    )


def dialogue(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    speakers: str = "",
    turns: int = 2,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """Continue a dialogue   (book section 3.1.4.3)

    speakers  their names in order, with commas
    """
    names = _listed(speakers)
    if not names:
        raise ConfigError("dialogue: speakers must name them, with commas")
    options = {"speakers": names, "turns": turns, "seed": seed, "max_tokens": max_tokens}
    return generation.continue_dialogue(lm, item, demonstrations, **options)


def write(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    most_words: int = 0,
    least_words: int = 0,
    tries: int = 4,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Write what the question describes, within limits that are stated and checked   (book section
    3.1.4.3)

    most_words, least_words  0: no limit
    tries                    most replies
    """
    check_counts("write", tries=tries)
    check_counts("write", least=0, most_words=most_words, least_words=least_words)
    if most_words and least_words > most_words:
        raise ConfigError(
            f"write: no text has {least_words} words or more and at most {most_words}"
        )
    constraints = []
    if most_words:
        constraints.append(max_words(most_words))
    if least_words:
        constraints.append(min_words(least_words))
    options = {"tries": tries, "seed": seed, "max_tokens": max_tokens}
    return generation.write(lm, item, demonstrations, constraints=constraints, **options)


def write_function(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    function: Callable = "",
    cases: tuple[str, ...] = ("",),
    run: bool = False,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Write a Python function, and run it only where that is wanted   (book section 3.1.4.3)

    function  its name
    cases     each "arguments -> result" in Python's notation: "[1, 2], 3 -> 4"
    run       True: the model's code is run with the cases, in a child process with limits
    returns   Answer: the code; with `run`, None for code that fails a case. details: "ran"
    raises    ConfigError for cases that cannot be read, or only one of `run` and `cases`
    """
    if not function:
        raise ConfigError("write_function: function must name it")
    read = _cases_to_run("write_function", cases, run)
    options = {"name": function, "cases": read, "seed": seed, "max_tokens": max_tokens}
    return _passed(code_completion.write_function(lm, item, demonstrations, **options))


def complete_function(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    function: str = "",
    cases: tuple[str, ...] = ("",),
    run: bool = False,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """Complete the Python function that the question begins, and run it only where that is wanted
    (book section 3.1.4.3)

    function  its name; "": that of the last function that the question begins
    returns   Answer: the whole code. cases and run as of write_function
    raises    DataError for a question that begins no function
    """
    name = function or code_completion.begun(item.question)
    if not name:
        raise DataError(
            f'complete_function: {item.question!r:.60} begins no function: "def name(..):" must '
            "stand at the start of a line"
        )
    read = _cases_to_run("complete_function", cases, run)
    options = {"name": name, "cases": read, "seed": seed, "max_tokens": max_tokens}
    return _passed(code_completion.complete_function(lm, item, demonstrations, **options))


def _cases_to_run(method, cases, run):
    """The cases of a function as read_case gives them. ConfigError as of write_function."""
    read = [read_case(text) for text in cases if text.strip()]
    if run != bool(read):
        raise ConfigError(
            f"{method}: a model's code is run only with both run=true and cases: give both, "
            "as cases='[1, 2] -> 3' run=true, or neither"
        )
    return read


def _passed(answer):
    """The Answer, with the value None if its code was run and failed a case."""
    ran = answer.details.get("ran")
    if ran is not None and not ran.passed:
        return replace(answer, value=None)
    return answer


def read_case(text: str) -> tuple:
    """A case "1, [2] -> 3" as (tuple of arguments, result). ConfigError if it is none."""
    left, arrow, right = text.rpartition("->")
    try:
        # A comma behind it makes one argument a tuple, too.
        arguments = ()
        if left.strip():
            arguments = ast.literal_eval(f"({left.strip()},)")
        result = ast.literal_eval(right.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        arrow = ""
    if not arrow:
        raise ConfigError(
            f'the case {text!r:.60} must be "arguments -> result" of Python\'s literals, as '
            '"[1, 2], 3 -> 4"'
        )
    return arguments, result


def word_problem(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    seed: int = 0,
    max_tokens: int = 256,
) -> Answer:
    """A word problem after solutions that end with "#### number"   (book section 3.1.4.5)."""
    return answer_word_problem(lm, item, demonstrations, seed=seed, max_tokens=max_tokens)


def prompts_and_samples(
    lm: TextLM,
    item: Item,
    demonstrations: Sequence[Item] = (),
    *,
    samples: int = 3,
    temperature: float = 1.0,
    nested: bool = False,
    seed: int = 0,
    max_tokens: int = 64,
) -> Answer:
    """The vote of three prompts with several samples each   (book section 3.2.4, Fig. 3.2)

    nested   True: the samples of a prompt agree first, then the prompts
    """
    check_counts("grid", samples=samples)
    options = {"seed": seed, "max_tokens": max_tokens, "temperature": temperature}
    return grid_vote([lm], item, demonstrations, nested=nested, samples=samples, **options)


def _listed(text):
    """The words of a text with commas between them: tuple of str."""
    return tuple(one.strip() for one in text.split(",") if one.strip())
