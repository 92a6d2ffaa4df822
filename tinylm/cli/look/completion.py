"""`tinylm completion SHELL`: a script by which bash, zsh or fish completes verbs and settings.

    bash   tinylm completion bash > ~/.local/share/bash-completion/completions/tinylm
    zsh    tinylm completion zsh > ~/.zfunc/_tinylm        (a folder of $fpath, before compinit)
    fish   tinylm completion fish > ~/.config/fish/completions/tinylm.fish

The script holds everything itself, so that the tab key does not have to start Python; write it anew
after an update. It works from the next shell on.
"""

import importlib
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinylm.cli.options import accepted, parse
from tinylm.errors import ConfigError

EXAMPLES = (
    "tinylm completion bash > ~/.local/share/bash-completion/completions/tinylm",
    "tinylm completion zsh > ~/.zfunc/_tinylm",
    "tinylm completion fish > ~/.config/fish/completions/tinylm.fish",
)
# Words that a shell may see unquoted; a choice with other signs is not offered.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+/@-]*")
NO_FILES = "models", "completion", "book", "gradcheck"  # their plain words are names
_HELP = 70  # characters of a help text that zsh and fish show


@dataclass
class CompletionConfig:
    """`tinylm completion` has no settings, only the shell."""


@dataclass(frozen=True)
class Option:
    """One setting on the command line.

    name      as it is typed, "--n-layer"
    about     its help text, shortened to one line
    value     "none" of a flag, "choices", "path" or "other" (a number)
    choices   words that it may have
    """

    name: str
    about: str
    value: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Command:
    """A verb, or a method of `tinylm align`.

    words     ("align", "dpo")
    about     what it does
    options   Options
    plain     words that a plain word may be
    files     True if plain words may be files: runs, texts
    """

    words: tuple[str, ...]
    about: str
    options: tuple[Option, ...]
    plain: tuple[str, ...] = ()
    files: bool = True


def main(argv: Sequence) -> None:
    """Print the script of a shell."""
    from tinylm.cli.look.shells import SHELLS

    _, (shell,) = parse(
        argv,
        CompletionConfig,
        positionals=("bash|zsh|fish",),
        verb="completion",
        about=__doc__,
        examples=EXAMPLES,
    )
    # A path such as $SHELL names its shell too.
    name = Path(shell).name
    if name not in SHELLS:
        raise ConfigError(f"no script for {shell!r}: choose one of {', '.join(SHELLS)}")
    print(SHELLS[name](commands()), end="")


def commands() -> list[Command]:
    """Every verb, and every method of `tinylm align`, with its options."""
    from tinylm.align.run.kinds import kinds
    from tinylm.cli import MODULES, VERBS

    found = []
    for verb, (about, _) in VERBS.items():
        function = importlib.import_module(MODULES[verb]).main
        if verb != "align":
            found.append(_command((verb,), about, function))
            continue
        found.append(Command((verb,), about, ALIGN, tuple(kinds()), files=False))
        for name, kind in kinds().items():
            found.append(_command((verb, name), kind.purpose, function))
    return found


HELP = Option("--help", "show this verb's page", "none")
ALIGN = (
    Option("--list", "list the methods and losses", "none"),
    Option("--resume", "go on with a run", "path"),
    HELP,
)


def _command(words, about, function):
    """A Command from what the verb accepts."""
    fields, positionals = accepted(function, words[1:])
    options = []
    for name, (field, kind) in fields.items():
        options += _options(words, name, field, kind)
    if "config" not in fields:
        options.append(Option("--config", "settings out of a JSON or TOML file, or a run", "path"))
    options += [HELP, Option("--show-config", "print the values in use", "none")]
    plain = _plain_words(words[0])
    takes_files = bool(positionals) and words[0] not in (
        "models",
        "completion",
        "book",
        "gradcheck",
    )
    return Command(words, about, tuple(options), plain, takes_files)


def _options(words, name, field, kind):
    """The Options of a field: two of a flag."""
    option, about = "--" + name.replace("_", "-"), field.metadata.get("help", "")
    about = " ".join(about.split())
    if len(about) > _HELP:
        about = about[: _HELP - 2] + ".."
    if kind is bool:
        negative = "--no-" + option[2:]
        return [Option(option, about, "none"), Option(negative, f"not: {about}", "none")]
    if choices := _choices(words, name, field, kind):
        return [Option(option, about, "choices", choices)]
    texts = {str, Path, tuple[str, ...]}
    if kind in texts or texts & set(typing.get_args(kind)):
        return [Option(option, about, "path")]
    return [Option(option, about, "other")]


def _choices(words, name, field, kind):
    """The values that a setting may have, () if they are not known."""
    if found := getattr(field.metadata.get("check"), "choices", ()):
        return _plain(found)
    for part in (kind, *typing.get_args(kind)):
        if typing.get_origin(part) is typing.Literal:
            return _plain(typing.get_args(part))
    if name == "device":
        return "cpu", "gpu"
    if function := NAMED.get((words[-1], name), NAMED.get((words[0], name))):
        return _plain(function())
    return ()


def _plain(choices):
    """Choices as words, without those that a shell would have to quote."""
    return tuple(str(one) for one in choices if _PLAIN.fullmatch(str(one)))


def _objectives():
    from tinylm.pretrain.objectives import OBJECTIVES
    from tinylm.pretrain.synonyms import BY_SYNONYM

    return [*OBJECTIVES, *BY_SYNONYM]


def _methods():
    from tinylm.prompt.evaluation.methods import METHODS

    return METHODS


def _losses():
    from tinylm.align.preference.losses import LOSSES

    return LOSSES


def _decoders():
    from tinylm.models.decoder.presets import DECODERS

    return DECODERS


def _machines():
    from tinylm.parallel.plan.hardware import MACHINES

    return MACHINES


def _units():
    from tinylm.data.read.documents import UNITS

    return UNITS


def _figures():
    from tinylm.cli.look.explore import KINDS

    return KINDS


# (verb or method, setting): the words that a setting may have where its check does not list them.
NAMED = {
    ("train", "objective"): _objectives,
    ("train", "tokenizer"): lambda: ("chars", "bytes", "bpe"),
    ("corrupt", "objective"): _objectives,
    ("prompt", "method"): _methods,
    ("dpo", "loss"): _losses,
    ("plan", "model"): _decoders,
    ("plan", "hardware"): _machines,
    ("data", "documents"): _units,
    ("eval", "task"): lambda: ("choice", "arc-easy", "piqa", "boolq"),
    ("explore", "figures"): _figures,
    ("gradcheck", "dtype"): lambda: ("float64", "float32", "float16"),
}


def _plain_words(verb):
    """Words that a plain word of a verb may be, beside files."""
    if verb == "models":
        from tinylm.models.encoder.presets import ENCODER_FAMILIES

        return _plain((*_decoders(), *ENCODER_FAMILIES))
    if verb == "gradcheck":
        from tinylm.autograd import registry
        from tinylm.autograd.check import gradcheck

        return _plain(gradcheck.select(None, registry.load_all()))
    if verb == "bench":
        from tinylm.cli.measure.workloads import WORKS

        return _plain((*WORKS, "batches", "operations", "prompting", "align", "parallel"))
    if verb == "completion":
        from tinylm.cli.look.shells import SHELLS

        return tuple(SHELLS)
    if verb in ("generate", "chat", "prompt", "finetune", "eval", "explore"):
        return ("smollm2",)
    if verb == "embed":
        return ("minilm",)
    return ()
