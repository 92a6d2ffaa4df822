"""`tinylm prompt smollm2 "question"`: answer questions by any prompting method of the book.

MODEL is a run, or published weights, as in `tinylm generate`. A model with a chat template gets
each prompt as a user's turn; --raw continues the text instead. Questions come from the command line
or a file: JSON lines of {"question", "answer", "options", "context", "rationale"}, GSM8K, or lists
of benchmark questions. With answers in the file the accuracy is printed, with its 95 % interval and
what it cost. `--compare a,b,c` sets methods side by side, each against plain prompting with as many
tokens. --trace shows every prompt that was sent, and what was read from the reply.
"""

import contextlib
import dataclasses
import json
import math
import sys
from dataclasses import dataclass

from tinylm.cli.options import parse
from tinylm.cli.values import read_value
from tinylm.errors import ConfigError
from tinylm.settings import at_least, one_of, setting

EXAMPLES = (
    "tinylm prompt --list",
    'tinylm prompt smollm2 "What is the capital of Japan?" --trace',
    "tinylm prompt smollm2 --method self-consistency --data gsm8k_test.jsonl --limit 20 --report",
    "tinylm prompt RUN --data items.jsonl --shots 4 --compare zero-shot,few-shot",
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
    option: tuple[str, ...] = setting(
        (),
        "option=value of the method, as samples=5, or of one of several, as "
        "self-consistency.samples=5; may be given several times",
    )
    compare: str = setting("", "several methods, with commas: a table instead of the answers")
    report: bool = setting(False, "with --data: the figures alone, without the answers")
    out: str = setting(
        "", "keep the answers in this file, a JSON line each; an interrupted run is resumed from it"
    )
    trace: bool = setting(False, "show every prompt, every reply and what was read from it")
    json: bool = setting(False, "print one JSON object instead of text")
    max_tokens: int = setting(256, "tokens of a reply at most", at_least(1))
    seed: int = setting(1337, "of everything that is drawn at random")
    raw: bool = setting(False, "continue the prompt as plain text, without the chat template")
    system: str = setting("", "the system message; none: the one of the model's chat template")
    device: str = setting("cpu", "cpu or gpu")
    bits: str = setting("32", "bits of a weight while decoding: 32, 8 or 4", one_of("32", "8", "4"))


def main(argv):
    """Answer the questions and print answers, figures or a comparison."""
    config, words = parse(
        argv,
        PromptConfig,
        positionals=("[MODEL]", "[QUESTION...]"),
        verb="prompt",
        about=__doc__,
        examples=EXAMPLES,
    )
    if config.list:
        print(listed())
        return
    if not words:
        raise ConfigError('name a model, as in `tinylm prompt smollm2 "question"`, or --list')
    name, *question = words
    if len(question) > 1:
        raise ConfigError(f'quote the question: tinylm prompt {name} "{" ".join(question)}"')
    items, demonstrations = questions(config, "".join(question))
    lm = opened(name, config)
    if config.compare:
        show_comparison(lm, config, items, demonstrations)
        return
    show_answers(lm, name, config, items, demonstrations)


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


def questions(config, question):
    """(items to answer, demonstrations) of the command line and the files."""
    from tinylm.data.read.items import Item, read_items

    if bool(question) == bool(config.data):
        raise ConfigError("give one question on the command line, or a file of them with --data")
    items, demonstrations = [], []
    if question:
        items = [Item(question)]
    else:
        items = read_items(config.data)
    if config.demos:
        demonstrations = read_items(config.demos)[: config.shots or None]
    elif config.shots:
        if question:
            raise ConfigError("--shots takes demonstrations from a file: --demos FILE, or --data")
        demonstrations, items = items[: config.shots], items[config.shots :]
    if config.shots > len(demonstrations):
        raise ConfigError(f"--shots {config.shots}, but there are {len(demonstrations)} items")
    items = items[: config.limit or None]
    if not items:
        raise ConfigError("no question is left to answer: all are demonstrations")
    return items, demonstrations


def opened(name, config):
    """The model behind the text protocol."""
    from tinylm.prompt import TextModel
    from tinylm.prompt.protocol.opened import BITS

    if config.raw and config.system:
        raise ConfigError(
            "--system is a message of a chat, and --raw continues a text: leave one of them out"
        )
    chat = False if config.raw else None
    lm = TextModel.open(name, config.device, BITS[config.bits], chat=chat)
    if config.system:
        if not lm.chat:
            raise ConfigError(
                f"--system: {name} has no chat template, so it continues texts; put the words into "
                "--instruction"
            )
        lm.system = config.system
    return lm


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


def show_answers(lm, name, config, items, demonstrations):
    """Answer every item by one method, and print answers and figures."""
    from tinylm.prompt.evaluation.compare import summarize
    from tinylm.prompt.evaluation.methods import method_named
    from tinylm.prompt.evaluation.runner import answer_items

    method = method_named(config.method)
    options = chosen_options([method], config, lm.context)[method.name]
    about = {"model": name, "method": method.name, "shots": len(demonstrations)}
    about |= {key: getattr(config, key) for key in ("raw", "system", "device", "bits")}
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
        for record in found:
            records.append(record)
            if config.trace and not config.json:
                print(trace.text(), flush=True)
            if not config.json and not config.report:
                print(answer_line(record, items[record.item], len(items)), flush=True)
            elif config.report and sys.stderr.isatty():
                print(f"\r{len(records)} of {len(items)}", end="", file=sys.stderr, flush=True)
            if not config.json:
                trace.calls.clear()
    if config.report and sys.stderr.isatty():
        print(file=sys.stderr)
    summary = summarize(records)
    if config.json:
        result = about | {key: str(value) for key, value in options.items()}
        result |= {**dataclasses.asdict(summary), "accuracy": summary.accuracy}
        if not config.report:
            result["answers"] = [dataclasses.asdict(record) for record in records]
        if config.trace:
            result["trace"] = trace.as_list()
        print(json_text(result))
    elif len(items) > 1 or config.report:
        print(summary_lines(method.name, summary, len(items)))


@contextlib.contextmanager
def kept_answers(file, records, count):
    """If what is done inside is ended early, print how many answers are in the file."""
    try:
        yield
    except BaseException:
        if file and records:
            print(
                f"\n{len(records)} of {count} answers are in {file}; the same command continues",
                file=sys.stderr,
            )
        raise


def json_text(value):
    """A value as JSON text; a number that is not finite, which JSON lacks, is null."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)


def _finite(value):
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def answer_line(record, item, count):
    """An answer for the eye: its number, the answer, and whether it is right."""
    shown = record.value
    if shown is None:
        shown = f"(no answer could be read from {record.text!r:.200})"
    if count == 1 and item.answer is None:
        return shown
    mark = {True: "right", False: f"wrong, it is {item.answer}", None: ""}[record.right]
    return f"{record.item + 1:>4}  {shown}  {mark}".rstrip()


def summary_lines(name, summary, count):
    """The figures of a method as text."""
    lines = [f"{name}: {count} questions, {summary.unread} without an answer that could be read"]
    if summary.count:
        lines.append(
            f"  right      {summary.right} of {summary.count}: {summary.accuracy:.3f}, "
            f"95 % interval {summary.low:.3f} to {summary.high:.3f}"
        )
    lines.append(
        f"  a question {summary.tokens:.0f} tokens, {summary.calls:.1f} calls, "
        f"{summary.seconds:.2f} seconds"
    )
    return "\n".join(lines)


def show_comparison(lm, config, items, demonstrations):
    """Print a table of methods, each beside plain prompting with as many tokens."""
    from tinylm.prompt.evaluation.compare import compare
    from tinylm.prompt.evaluation.methods import method_named

    if config.out or config.trace:
        raise ConfigError("--compare prints a table: leave out --out and --trace")
    methods = [method_named(name.strip()) for name in config.compare.split(",")]
    options = chosen_options(methods, config, lm.context)
    rows = compare(
        lm,
        {method.name: (method.load(), options[method.name]) for method in methods},
        items,
        demonstrations,
        seed=config.seed,
        show=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if config.json:
        print(json_text([row.as_dict() for row in rows]))
        return
    print(comparison_table(rows))


def comparison_table(rows):
    """The rows of a comparison as a table."""
    width = max(len(row.name) for row in rows)
    lines = [
        f"{'method':{width}}  right  95 % interval  unread  tokens  calls  seconds  "
        "plain, as many tokens       difference"
    ]
    for row in rows:
        s = row.summary
        line = (
            f"{row.name:{width}}  {s.accuracy:5.3f}  {s.low:.3f} .. {s.high:.3f}"
            f"  {s.unread:6}  {s.tokens:6.0f}  {s.calls:5.1f}  {s.seconds:7.2f}"
        )
        if row.plain is not None:
            difference, low, high = row.difference
            cost = f"({row.samples:3} samples)"
            if row.scored:
                cost = "(scored)     "
            elif row.samples == 1:
                cost = "(  1 sample) "
            line += (
                f"  {row.plain.accuracy:5.3f} {cost}  {difference:+.3f} [{low:+.3f}, {high:+.3f}]"
            )
        lines.append(line)
    return "\n".join(lines)
