"""From words on the command line to dataclasses: every field is `--field value`, and `--help` is
made from the fields.

A verb lists the dataclasses it accepts; their fields (made with tinylm.settings.setting) have name,
type, default, help and check, so nothing is declared twice. Read next: values.py, which turns one word into a value of a field's type.
"""

import contextlib
import dataclasses
import difflib
import re
import shlex
import typing
from collections.abc import Callable, Sequence
from typing import Any

from tinylm.cli.option_pages import config_text, default_of, help_text
from tinylm.cli.values import read_value, show_type
from tinylm.errors import ConfigError


def parse(
    argv: Sequence[str],
    *classes: type,
    positionals: tuple[str, ...] = (),
    verb: str = "",
    about: str = "",
    examples: tuple[str, ...] = (),
    given: dict | None = None,
) -> Any:
    """Read the words after a verb.

    argv         list of words
    classes      dataclasses; field names must not repeat among them
    positionals  names of the plain words: "RUN" is needed, "[PROMPT]" may be left out, "RUN..." is
                 one or more, "[RUN...]" any number
    given        a dict that receives the fields the user named, with their values
    returns      one instance of each class, then the plain words as a list (only if `positionals`
                 is given); a lone instance is returned as itself
    raises       ConfigError for an unknown setting (with the near ones), a word that is not of the
                 field's type, a value its check refuses, or too many or too few plain words
    --config FILE reads settings from a file (config_file.py); those named beside it win.
    --help and --show-config print and raise SystemExit(0).
    """
    fields = _fields(classes)
    if _asking:
        raise _Accepts(fields, positionals)
    chosen, words, shows = _read(argv, fields, sum(not p.startswith("[") for p in positionals))
    # Before any check: help is wanted most where something is missing.
    if "help" in shows:
        print(help_text(fields, verb, about, positionals, examples))
        raise SystemExit(0)
    if given is not None:
        given.update(chosen)
    instances = [build(cls, chosen) for cls in classes]
    if "show-config" in shows:
        print(config_text(instances, chosen))
        raise SystemExit(0)
    if not positionals:
        if words:
            raise ConfigError(_no_plain_words(words, fields))
        if len(instances) == 1:
            return instances[0]
        return tuple(instances)
    _count(words, positionals, verb, fields)
    return *instances, words


_asking = []  # not empty inside accepted()


class _Accepts(Exception):
    """Raised by parse() inside accepted(): (fields, positionals)."""


def accepted(
    main: Callable, words: tuple[str, ...] = ()
) -> tuple[dict[str, tuple], tuple[str, ...]]:
    """What a verb accepts, found out by running it up to its call of parse().

    main     of the verb;  words  those before its settings, as "dpo" of `tinylm align dpo`
    returns  ({name: (dataclass field, type)}, positionals as parse() is given them)
    """
    _asking.append(main)
    try:
        main(list(words))
    except _Accepts as found:
        return found.args
    finally:
        _asking.pop()
    raise TypeError(f"{main.__module__}.main({list(words)}) returns without a call of parse()")


def _no_plain_words(words, fields):
    """The error for plain words where none are accepted: they may be meant as --data."""
    meant = "settings are --name value"
    if "data" in fields:
        meant += f"; a text is named with --data {' '.join(map(shlex.quote, words))}"
    return f"takes no plain words, but got {' '.join(map(repr, words))}; {meant}"


def report(line: str) -> None:
    """Print a line for the user. A terminal or pipe that is gone does not end what is running."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def build(cls: type, values: dict[str, Any]) -> Any:
    """An instance of a dataclass from the values that are its own, every check applied."""
    from tinylm.settings import validate

    missing = [
        f.name
        for f in _settable(cls)
        if f.name not in values and default_of(f) is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"needs {', '.join('--' + name.replace('_', '-') for name in missing)}")
    return validate(cls(**{f.name: values[f.name] for f in _settable(cls) if f.name in values}))


def refuse(
    given: dict[str, Any], names: Sequence[str] | dict[str, Any], reason: str, cls: type
) -> None:
    """Raise ConfigError for settings that the user has changed and that would change nothing.

    given   dict of parse
    names   of settings
    reason  why they have no effect
    cls     the dataclass that has them: a setting at its default is no change
    """
    defaults = {field.name: default_of(field) for field in _settable(cls)}
    idle = [name for name in names if name in given and given[name] != defaults[name]]
    if idle:
        options = " and ".join("--" + name.replace("_", "-") for name in idle)
        raise ConfigError(f"{options} would change nothing: {reason}; leave it out")


def _settable(cls):
    return [f for f in dataclasses.fields(cls) if f.init and not f.name.startswith("_")]


def _fields(classes):
    """name -> (field, type) over all classes, in order."""
    found = {}
    for cls in classes:
        types = typing.get_type_hints(cls)
        for field in _settable(cls):
            if field.name in found:
                raise TypeError(f"two dataclasses have a field {field.name!r}")
            found[field.name] = (field, types[field.name])
    return found


def _read(argv, fields, needed=0):
    """Sort the words into (values by field name, plain words, which of --help and --show-config).

    needed  number of required plain words; an option that takes several words leaves its last ones
            for them, so both `eval RUN --data a b` and `eval --data a b RUN` work
    """
    chosen, words, shows, argv, last = {}, [], set(), list(argv), None
    filed = {}  # out of --config, wherever it stands: the command line has the last word
    while argv:
        word = argv.pop(0)
        if word == "--":
            words += argv
            break
        if word == "-h" or word == "--help" or word == "--show-config":
            shows.add({"-h": "help"}.get(word, word[2:]))
        elif word.startswith("--"):
            key, equals, text = word[2:].partition("=")
            if key == "set":
                key, equals, text = (text or _next(argv, "--set", "key=value")).partition("=")
                if not equals:
                    raise ConfigError(f"--set takes key=value, not {key!r}")
            if not equals:
                text = None  # `--name value`: the value is the next word
            if key == "config" and fields and key not in fields:
                filed |= _of_file(text or _next(argv, "--config", "FILE"), fields)
                continue
            name, text = _named(key, text, fields, argv)
            kind = fields[name][1]
            value = read_value(text, kind, name)
            # Text may hold commas, so a tuple of texts grows by one with every use of its option.
            if kind == tuple[str, ...]:
                value = chosen.get(name, ()) + value
            chosen[name] = value
            if fields[name][0].metadata.get("several"):
                chosen[name] += _further(argv)
                last = name
        # -5 is a number, and "-" the standard input: plain words both.
        elif re.match(r"-[A-Za-z]", word):
            raise ConfigError(
                f"no option {word!r}: settings have two dashes, as in --seed 1; --help lists them"
            )
        else:
            words.append(word)
    # `eval --data a b RUN`: the option has taken RUN too; it is given back as a plain word.
    while last and len(words) < needed and len(chosen[last]) > 1:
        words.append(chosen[last][-1])
        chosen[last] = chosen[last][:-1]
    return filed | chosen, words, shows


def _of_file(path, fields):
    """The settings in the file of --config."""
    from tinylm.cli.config_file import read_settings

    return read_settings(path, fields, lambda key: _unknown(key, fields, option=""))


def _further(argv):
    """The words up to the next option, taken from argv."""
    taken = []
    while argv and not argv[0].startswith("-"):
        taken.append(argv.pop(0))
    return tuple(taken)


def _named(key, text, fields, argv):
    """The field that `key` names and the text of its value, taken from argv if it is not there yet."""
    name = key.replace("-", "_")
    if name in fields:
        if text is not None:
            return name, text
        if fields[name][1] is bool:  # `--flag` alone means true
            if argv and argv[0] in ("true", "false"):
                return name, argv.pop(0)
            return name, "true"
        return name, _next(argv, f"--{key}", show_type(fields[name][1]))
    # A field of its own named no_.. was found above.
    positive = name.removeprefix("no_")  # `--no-flag` means false
    if positive != name and text is None and positive in fields and fields[positive][1] is bool:
        return positive, "false"
    raise _unknown(key, fields)


def _unknown(key, fields, option="--"):
    """The error for a name that no setting has; `option` stands before those that it names."""
    hint = "--help lists them all"
    if near := _near(key.replace("-", "_"), fields):
        options = " or ".join(option + (n.replace("_", "-") if option else n) for n in near)
        hint = f"did you mean {options}?"
    return ConfigError(f"no setting named {key!r}: {hint}")


def _near(name, fields):
    """Fields with a similar name, or whose name or help text contains the words of the wrong one."""
    # A slip of one letter has one meaning; only without any are looser matches of use.
    if misspelt := difflib.get_close_matches(name, fields, n=3, cutoff=0.75):
        return misspelt
    found = difflib.get_close_matches(name, fields, n=3, cutoff=0.6)
    words = name.split("_")
    for other, (field, _) in fields.items():
        text = f"{other} {field.metadata.get('help', '')}".lower().replace("_", " ")
        contained = re.findall(r"[a-z]+", text)
        alike = [difflib.get_close_matches(word, contained, n=1, cutoff=0.8) for word in words]
        if other not in found and all(alike):
            found.append(other)
    return found[:4]


def _next(argv, option, what):
    if not argv or argv[0].startswith("--"):
        raise ConfigError(
            f"{option} needs a value ({what}); one that starts with dashes goes as {option}=VALUE"
        )
    return argv.pop(0)


def _count(words, positionals, verb, fields=()):
    needed = sum(not p.startswith("[") for p in positionals)
    most = len(positionals)
    if any("..." in p for p in positionals):
        most = None  # any number
    usage = f"tinylm {verb} {' '.join(positionals)}"
    if len(words) < needed:
        raise ConfigError(
            f"needs {' '.join(p for p in positionals if not p.startswith('['))}: {usage}"
        )
    if most is not None and len(words) > most:
        meant = "quote a text that has spaces"
        if "data" in fields:
            meant = f"a text is named with --data {shlex.quote(words[most])}"
        raise ConfigError(f"one word too many, {words[most]!r}: {usage} ({meant})")
