"""`tinylm prompt smollm2 "question"`: answer questions by any prompting method of the book.

MODEL is a run, or published weights, as in `tinylm generate`. A model with a chat template gets
each prompt as a user's turn; --raw continues the text instead. A question on the command line may
have options (--choice) and a passage (--context). A file has many: JSON lines of {"question",
"answer", "options", "context", "rationale"}, GSM8K, or lists of benchmark questions. With answers
in it the accuracy is printed, with its 95 % interval and what it cost. `--compare a,b,c` sets
methods side by side, each against a vote of plain samples, as many tokens of them, at the method's
temperature (0.7 if it has none). Methods that search for a prompt, such as ape or grips, try
prompts on the demonstrations and answer with the best one, which is printed with its score on
these; the accuracy is that of the questions, which take no part. --trace shows every prompt that
was sent, and what was read from the reply.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinylm.cli.options import parse, refuse
from tinylm.cli.terminal import bare, visible
from tinylm.cli.use.method_options import check_methods, common_options, listed, named_options
from tinylm.cli.use.prompt_output import (
    answer_line,
    comparison_table,
    report_lines,
    summary_lines,
)
from tinylm.cli.use.text_model import TextModelConfig, identity, open_text_model
from tinylm.errors import ConfigError, DataError
from tinylm.json_text import json_text
from tinylm.settings import at_least, setting

if TYPE_CHECKING:
    from tinylm.data.read.items import Item
    from tinylm.prompt.evaluation.methods import Method
    from tinylm.prompt.evaluation.runner import Record
    from tinylm.prompt.protocol.model import TextModel


EXAMPLES = (
    "tinylm prompt --list",
    'tinylm prompt smollm2 "What is the capital of Japan?" --trace',
    'tinylm prompt smollm2 "Is a whale a fish?" --choice yes --choice no',
    "tinylm prompt smollm2 --method self-consistency --data gsm8k_test.jsonl --limit 20 --report",
    "tinylm prompt RUN --data items.jsonl --shots 4 --compare zero-shot,few-shot",
    'tinylm prompt RUN --data test.jsonl --demos train.jsonl --method grips --instruction "..."',
)


@dataclass
class PromptConfig:
    """Settings of `tinylm prompt`."""

    method: str = setting("zero-shot", "how to prompt; --list shows all methods")
    list: bool = setting(False, "list the methods with their sections of the book")
    data: str = setting("", "file of questions")
    limit: int = setting(0, "answer the first so many questions; 0: all", at_least(0))
    shots: int = setting(
        0,
        "demonstrations: the first of --demos, or else of --data, which are then not asked",
        at_least(0),
    )
    demos: str = setting("", "file of questions with answers, for demonstrations")
    instruction: str = setting("", "description of the task, before everything else")
    choice: tuple[str, ...] = setting(
        (), "with a question: an option to choose from; given twice or more"
    )
    context: str = setting("", "with a question: file of the passage that it is about")
    option: tuple[str, ...] = setting(
        (),
        "option=value of the method, as samples=5, or of one of several, as "
        "self-consistency.samples=5; may be given several times",
    )
    compare: str = setting("", "several methods, with commas: a table instead of the answers")
    report: bool = setting(False, "with --data: the figures alone, without the answers")
    out: str = setting(
        "",
        "keep the answers in this file, a JSON line each, or with --compare in files of this "
        "folder; an interrupted run is resumed from them",
    )
    trace: bool = setting(False, "show every prompt, every reply and what was read from it")
    json: bool = setting(False, "print one JSON object instead of text")
    max_tokens: int = setting(256, "tokens of a reply at most", at_least(1))
    seed: int = setting(1337, "of everything that is drawn at random")


def main(argv: Sequence[str]) -> None:
    """Answer the questions and print answers, figures or a comparison."""
    given = {}
    config, opening, words = parse(
        argv,
        PromptConfig,
        TextModelConfig,
        positionals=("[MODEL]", "[QUESTION...]"),
        verb="prompt",
        about=__doc__,
        examples=EXAMPLES,
        given=given,
    )
    if config.list:
        print(listed())
        return
    if not words:
        raise ConfigError('name a model, as in `tinylm prompt smollm2 "question"`, or --list')
    # More words than two are a question without quotation marks, or several.
    name, *question = words
    if len(question) > 1:
        raise ConfigError(f'quote the question: tinylm prompt {name} "{" ".join(question)}"')
    if config.compare:
        refuse(given, ("method",), "--compare names the methods", PromptConfig)
    if question:
        refuse(given, ("limit",), "it is of the questions of --data", PromptConfig)
    items, demonstrations = questions(config, "".join(question))
    # One method, or those of --compare; each gets its own part of --option.
    methods = chosen_methods(config)
    named = named_options(methods, config.option)
    # All that may be wrong with the questions is found before the model is opened.
    for line in check_methods(methods, config, items, demonstrations, named):
        print(visible(f"tinylm prompt: {line}"), file=sys.stderr)
    lm = open_text_model(name, opening)
    options = {
        # What --option gives overrides --max-tokens and --instruction.
        method.name: common_options(method, config, lm.context) | named[method.name]
        for method in methods
    }
    # With --out a run is resumed only if nothing that its answers depend on has changed.
    about = {"model": name, **dataclasses.asdict(opening)}
    if config.out:
        about = identity(name, opening, lm)
    if config.compare:
        # A module of a method is imported here, and not for a list of methods.
        calls = {method.name: (method.load(), options[method.name]) for method in methods}
        show_comparison(lm, calls, about, config, items, demonstrations)
        return
    (method,) = methods
    show_answers(lm, method, options[method.name], about, config, items, demonstrations)


def chosen_methods(config: PromptConfig) -> "list[Method]":
    """The methods that are used: list of Method, one unless they are compared."""
    from tinylm.prompt.evaluation.methods import method_named

    if not config.compare:
        return [method_named(config.method)]
    if config.trace:
        raise ConfigError("--compare prints a table: leave out --trace")
    if not config.data:
        raise ConfigError("--compare counts right answers: give questions with answers by --data")
    return [method_named(name.strip()) for name in config.compare.split(",")]


def questions(config: PromptConfig, question: str) -> tuple:
    """(items to answer, demonstrations) of the command line and the files."""
    from tinylm.data.read.items import Item, read_items
    from tinylm.reading import read_text_file

    if bool(question) == bool(config.data):
        raise ConfigError("give one question on the command line, or a file of them with --data")
    if not question and (config.choice or config.context):
        raise ConfigError(
            "--choice and --context go with a question on the command line; in a file of --data "
            'they are the fields "options" and "context"'
        )
    if len(config.choice) == 1:
        raise ConfigError(
            f"--choice {config.choice[0]!r} is the only option to choose from: give two or more, "
            "as in --choice yes --choice no"
        )
    if not all(choice.strip() for choice in config.choice):
        raise ConfigError("an option of --choice is empty: leave it out, or write it")
    items, demonstrations = [], []
    if question:
        context = ""
        if config.context:
            context = read_text_file(config.context)
        # Without --choice the answer is free text; with it, the options are scored.
        items = [Item(question, options=config.choice, context=context)]
    else:
        items = read_items(config.data)
    if config.demos:
        # From a file of their own: no question is taken away from --data.
        demonstrations = read_items(config.demos)[: config.shots or None]
    elif config.shots:
        if question:
            raise ConfigError("--shots takes demonstrations from a file: --demos FILE, or --data")
        # A question that was shown with its answer would be no test.
        demonstrations, items = items[: config.shots], items[config.shots :]
    if config.shots > len(demonstrations):
        raise ConfigError(f"--shots {config.shots}, but there are {len(demonstrations)} items")
    # After the demonstrations, so that --limit counts questions that are asked.
    items = items[: config.limit or None]
    if not items:
        raise ConfigError("no question is left to answer: all are demonstrations")
    return items, demonstrations


def show_answers(
    lm: "TextModel",
    method: "Method",
    options: dict[str, Any],
    about: dict[str, Any],
    config: PromptConfig,
    items: "Sequence[Item]",
    demonstrations: "Sequence[Item]",
) -> None:
    """Answer every item by one method, and print answers and figures."""
    from tinylm.prompt.evaluation.compare import summarize
    from tinylm.prompt.evaluation.runner import answer_items

    about = about | {"method": method.name, "shots": len(demonstrations)}
    records = []
    with kept_answers(config.out, records, len(items)), lm.tracing() as trace:
        found = answer_items(
            lm,
            method.load(),
            items,
            demonstrations,
            seed=config.seed,
            file=config.out or None,
            about=about,
            **options,
        )
        # Answers come as they are ready: in a long run the first ones are seen at once.
        for record in found:
            records.append(record)
            if config.trace and not config.json:
                print(visible(trace.text()), flush=True)
            alone = len(items) == 1 and record.error  # is printed as the error of the command
            if not config.json and not config.report and not alone:
                print(answer_line(record, items[record.item], len(items)), flush=True)
            elif config.report and sys.stderr.isatty():
                print(
                    f"\r{len(records)} of {len(items)}", end="", file=bare(sys.stderr), flush=True
                )
            # A trace of thousands of questions is not kept once it is printed.
            if not config.json:
                trace.calls.clear()
    if config.report and sys.stderr.isatty():
        print(file=sys.stderr)
    summary = summarize(records)
    if config.json:
        # With all settings, so that the object alone says what was measured.
        result = about | {key: str(value) for key, value in options.items()}
        result |= {**dataclasses.asdict(summary), "accuracy": summary.accuracy}
        if not config.report:
            result["answers"] = [dataclasses.asdict(record) for record in records]
        if config.trace:
            result["trace"] = trace.as_list()
        print(json_text(result))
    elif len(items) > 1 or config.report:
        print(summary_lines(method.name, summary, items))
    elif summary.report:
        print("\n".join(report_lines(summary.report)))
    check_answered(records)


def check_answered(records: "Sequence[Record]") -> None:
    """Raise DataError with the first reason if no question could be answered."""
    if all(record.error for record in records):
        raise DataError(records[0].error)


@contextlib.contextmanager
def kept_answers(file: str, records: Sequence[int], count: int) -> Iterator[None]:
    """If what is done inside is ended early, print how many answers are in the file."""
    try:
        yield
    except BaseException:
        # Without a file, or before the first answer, there is nothing to continue.
        if file and records:
            print(
                f"\n{len(records)} of {count} answers are in {file}; the same command continues",
                file=sys.stderr,
            )
        raise


def show_comparison(
    lm: "TextModel",
    methods: dict[str, tuple[Callable, dict[str, Any]]],
    about: dict[str, Any],
    config: PromptConfig,
    items: "Sequence[Item]",
    demonstrations: "Sequence[Item]",
) -> None:
    """Print a table of methods, each beside plain prompting with as many tokens.

    methods  {name: (function, its options)}
    about    dict that describes the model
    """
    from tinylm.prompt.evaluation.compare import compare

    rows = compare(
        lm,
        methods,
        items,
        demonstrations,
        seed=config.seed,
        # Progress goes to the standard error: the output is the table alone.
        show=lambda line: print(visible(line), file=sys.stderr, flush=True),
        folder=config.out or None,
        about=about,
    )
    if config.json:
        print(json_text([row.as_dict() for row in rows]))
        return
    print(comparison_table(rows))
    for row in rows:
        if row.summary.report:
            print("\n".join([f"{row.name}:", *report_lines(row.summary.report)]))
