"""The `tinylm` command: a table of verbs, one file a verb in four rooms, each imported when it is
used.

An error that tinylm raises on purpose is one line on stderr; a bug keeps its traceback, and
TINYLM_DEBUG=1 shows the traceback of every error. Read next: terminal.py, what may be printed;
options.py, then a verb.
"""

import contextlib
import difflib
import importlib
import os
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Sequence

from tinylm.cli.terminal import guarded, one_line
from tinylm.errors import TinylmError
from tinylm.machine import Terminated, endings

VERBS = {  # verb: (what it does, an example)
    "train": (
        "train a small model on text: a GPT, or any objective",
        "tinylm train --data book.txt --steps 500",
    ),
    "book": ("any idea of the book: its formula, code, checks and script", "tinylm book rope"),
    "explore": (
        "pictures of your own run: gradients, attention, predictions, in one HTML file",
        'tinylm explore RUN --prompt "To be or not" --out page.html',
    ),
    "finetune": (
        "fine-tune a trained model on instructions",
        "tinylm finetune RUN --data instructions.jsonl",
    ),
    "align": (
        "align a model: sft, reward model, DPO and its relatives",
        "tinylm align dpo RUN --data pairs.jsonl",
    ),
    "generate": (
        "continue a prompt with a trained model",
        'tinylm generate RUN "The with statement"',
    ),
    "classify": (
        "learn the classes of texts, and name those of new ones",
        "tinylm classify RUN --data reviews.tsv",
    ),
    "fill": (
        "guess the hidden tokens of a text, with probabilities",
        'tinylm fill RUN "To be or [MASK]"',
    ),
    "chat": ("chat with a model tuned on instructions", "tinylm chat smollm2"),
    "prompt": (
        "answer questions by any prompting method, and what it costs",
        'tinylm prompt smollm2 "What is the capital of Japan?" --trace',
    ),
    "rag": ("answer from your own files, with sources", 'tinylm rag notes/ "Who wrote it?"'),
    "export": ("write a run in the format of Hugging Face's library", "tinylm export RUN model"),
    "models": ("list the families of language models and their sizes", "tinylm models llama3-8b"),
    "plan": (
        "what training a model on a cluster would take, and with which layout",
        "tinylm plan --model gpt3-175b --gpus 1024 --hardware a100",
    ),
    "eval": ("loss, perplexity and bits per byte on a text", "tinylm eval RUN --data book.txt"),
    "gradcheck": (
        "check every derivative against finite differences",
        "tinylm gradcheck attention",
    ),
    "tokenize": (
        "show how a text is cut into tokens",
        'tinylm tokenize "Hello, world" --tokenizer RUN',
    ),
    "corrupt": (
        "show what a pretraining objective makes of a text",
        'tinylm corrupt --objective sentinels "To be or not to be"',
    ),
    "data": ("clean, filter and deduplicate text", "tinylm data pages.jsonl --report"),
    "embed": (
        "sentence embeddings and their similarities",
        'tinylm embed minilm "A cat sits" "A dog runs"',
    ),
    "plot": ("draw loss, learning rate and gradient norm", "tinylm plot RUN --out curves.png"),
    "bench": ("compare the speed with torch, where installed", "tinylm bench W1 --workers 2"),
    "completion": (
        "a script by which bash, zsh or fish completes the words of this command",
        "tinylm completion bash",
    ),
}
ROOMS = {
    "learn": ("train", "finetune", "classify", "align", "eval"),
    "use": ("generate", "fill", "chat", "prompt", "rag", "export", "embed"),
    "look": (
        "models",
        "tokenize",
        "corrupt",
        "data",
        "plot",
        "explore",
        "plan",
        "completion",
        "book",
    ),
    "measure": ("gradcheck", "bench"),
}
MODULES = {verb: f"tinylm.cli.{room}.{verb}" for room, verbs in ROOMS.items() for verb in verbs}


def overview() -> str:
    """What `tinylm` alone prints: every verb, what it does, and an example that runs."""
    width = shutil.get_terminal_size().columns
    lines = _paragraph(
        "tinylm: Foundations of Large Language Models as running code, on one small autograd engine",
        width,
    )
    lines.append("")
    margin = max(map(len, VERBS)) + 3  # two spaces before a verb, one behind the longest
    for verb, (purpose, example) in VERBS.items():
        first, *rest = _paragraph(purpose, width - margin)
        lines.append(f"  {verb:<{margin - 3}} {first}")
        lines += [" " * margin + line for line in rest]
        lines.append(" " * (margin + 2) + example)  # never broken: it is copied
    lines.append("")
    lines += _paragraph(
        "Start with `tinylm train`: no argument, no download. `tinylm help VERB` or `tinylm VERB "
        "--help` shows the settings; `tinylm completion bash` has the shell complete them; `tinylm "
        "-V` is the version.",
        width,
    )
    return "\n".join(lines)


def _paragraph(text, width):
    """A text as lines of at most `width` columns, though never less than 20."""
    return textwrap.wrap(text, max(20, width), break_long_words=False, break_on_hyphens=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    argv     the words after `tinylm`; None takes them from the command line
    returns  the exit status: 0 done, 1 a deliberate error or a failed check, 2 no such verb, 130
             Ctrl-C, 143 SIGTERM, 129 SIGHUP
    """
    if argv is None:
        argv = sys.argv[1:]
    with guarded():
        return _run(list(argv))


def _run(argv):
    """main, while what is printed is guarded."""
    try:
        with _terminated_raises():
            status = _dispatch(argv)
        return _flushed(status)
    except BrokenPipeError:  # `tinylm book | head`: the reader has closed the pipe
        # What is still buffered goes nowhere, or the interpreter would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141  # 128 + SIGPIPE, as shells report it
    except KeyboardInterrupt as stopped:
        by, number = "Ctrl-C", signal.SIGINT
        if isinstance(stopped, Terminated):
            by, number = stopped.signal.name, stopped.signal
        with contextlib.suppress(OSError):  # the terminal may be gone
            _say_stopped(" ".join(["tinylm", *argv[:1]]), by)
        # Shells report a process that signal n ended as 128 + n.
        return 128 + number


def _say_stopped(command, by):
    """One line that says what has ended a command; on a terminal it begins a line of its own."""
    if sys.stderr is None:
        return
    if sys.stderr.isatty():  # behind "^C", or in the middle of a text that was being written
        print(file=sys.stderr)
    print(f"{command}: stopped by {by}", file=sys.stderr)


def _flushed(status):
    """`status`, once all output is out: a closed pipe shows here, not at interpreter exit."""
    if sys.stdout is None:  # closed before the start, by `>&-`
        return status
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:  # the terminal is gone: the output is dropped silently
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status


@contextlib.contextmanager
def _terminated_raises():
    """Inside, SIGTERM and SIGHUP are raised as Terminated, so that half-written files are removed
    as after Ctrl-C.

    Does nothing outside the main thread, or where the caller handles or ignores them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number in endings() if signal.getsignal(number) is signal.SIG_DFL]

    def raise_terminated(number, frame):
        raise Terminated(number)

    for number in taken:
        signal.signal(number, raise_terminated)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _dispatch(argv):
    if not argv or argv[0] in ("help", "-h", "--help"):
        if not argv[1:]:
            print(overview())
            return 0
        argv = [*argv[1:], "--help"]  # `tinylm help VERB` is `tinylm VERB --help`
    verb = argv[0]
    if verb in ("-V", "--version"):
        from tinylm import __version__

        print("tinylm", __version__)
        return 0
    if verb not in VERBS:
        hint = f"choose one of {', '.join(VERBS)}"
        # A slip of one letter has one meaning; only without any are looser matches of use.
        near = difflib.get_close_matches(verb, VERBS, n=3, cutoff=0.75)
        if near := near or difflib.get_close_matches(verb, VERBS, n=3, cutoff=0.55):
            hint = f"did you mean {' or '.join(near)}?"
        print(f"tinylm: no verb {verb!r}: {hint}", file=sys.stderr)
        return 2
    try:
        # The only import of a verb: `tinylm --help` reads none of them.
        return importlib.import_module(MODULES[verb]).main(argv[1:]) or 0
    except SystemExit as done:  # --help and --show-config have printed all there is
        return done.code or 0
    except (TinylmError, OSError, MemoryError) as error:
        debug = os.environ.get("TINYLM_DEBUG", "0") not in ("", "0")
        if debug or isinstance(error, BrokenPipeError):
            raise
        # In Python an error names its function; here the verb of the same name stands before it.
        print(f"tinylm {verb}: {one_line(error).removeprefix(f'{verb}: ')}", file=sys.stderr)
        return 1
