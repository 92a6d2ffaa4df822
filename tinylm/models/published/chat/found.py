"""Where files keep chat templates and the special tokens that templates name.

    chat_template.jinja     the program; it wins over that of tokenizer_config.json
    additional_chat_templates/*.jinja   programs by name
    tokenizer_config.json   "chat_template": a program, a list of named ones, or null
    chat_template.json      the same field, as older processors wrote it
    GGUF                    tokenizer.chat_template, tokenizer.chat_template.NAME

Read first: program.py.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylm.errors import CheckpointError, ConfigError
from tinylm.files import open_regular, read_object
from tinylm.models.published.chat_template import (
    DEFAULT,
    RefusedTemplate,
    template_or_refusal,
)

if TYPE_CHECKING:
    from tinylm.models.published.formats.mapped import WeightFile


_LARGEST = 1 << 20  # bytes of a program that are read: more than program.py accepts
# The variables of special tokens that programs may use.
_TOKENS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
# {name in tokenizer.ggml.NAME_token_id: role}
_GGUF = {
    "bos": "bos",
    "eos": "eos",
    "unknown": "unk",
    "seperator": "sep",
    "separator": "sep",
    "padding": "pad",
    "cls": "cls",
    "mask": "mask",
}


def folder_template(folder: Path, special: Collection[str] | None = ()) -> Any:
    """The template of a folder in Hugging Face's layout, or None if it has none.

    special  names of the tokenizer's special tokens
    returns  a template; RefusedTemplate for one that exists and cannot be read
    raises   CheckpointError for files that are damaged
    """
    folder = Path(folder)
    # From the weakest source to the strongest.
    config = _object(folder / "tokenizer_config.json")
    source, program = "tokenizer_config.json", config.get("chat_template")
    older = folder / "chat_template.json"
    if program is None and older.is_file():
        source, program = older.name, _object(older).get("chat_template")
    own = folder / "chat_template.jinja"
    if own.is_file():
        source, program = own.name, _text(own)
    # Programs by name join the others; a list of named ones stays as it is.
    others = sorted((folder / "additional_chat_templates").glob("*.jinja"))
    more = {path.stem: _text(path) for path in others}
    if more and isinstance(program, str):
        program = {DEFAULT: program}
    if more and isinstance(program or {}, dict):
        program = {**(program or {}), **more}
    try:
        tokens = token_names(config, _object(folder / "special_tokens_map.json"))
    except ConfigError as error:  # raised when the template is used
        return RefusedTemplate(error, program)
    return template_or_refusal(program, tokens, special, source)


def token_names(config: dict[str, Any], older: dict | None = None) -> dict[str, str | None]:
    """{"bos_token": str or None, ...} of a tokenizer_config.json.

    older   the object of special_tokens_map.json, for tokens that the first does not name
    raises  ConfigError for a token in a form that is not known
    """
    found: dict[str, Any] = {}
    for name in _TOKENS:
        value = config.get(name, (older or {}).get(name))
        found[name] = None
        if value is not None:
            found[name] = _content(value, name)
    # Tokens with names of their own, {"image_token": "<image>"}; a list of them has no names.
    more = config.get("extra_special_tokens") or {}
    if isinstance(more, dict):
        found |= {name: _content(value, name) for name, value in more.items()}
    listed = config.get("additional_special_tokens") or []
    if not isinstance(listed, list):
        raise ConfigError(
            f"tokenizer_config.json: additional_special_tokens is a list, not {listed!r:.60}"
        )
    if listed:
        found["additional_special_tokens"] = [
            _content(value, "additional_special_tokens") for value in listed
        ]
    return found


def _content(value, name):
    """The text of a token: a str, or an object with it as "content"."""
    text = value
    if isinstance(value, dict):
        text = value.get("content")
    if not isinstance(text, str):
        raise ConfigError(
            f"tokenizer_config.json: {name} is a text or an object with content, not {value!r:.60}"
        )
    return text


def gguf_template(weights: "WeightFile", special: Collection[str] | None = ()) -> Any:
    """The template of a GGUF file, or None if it has none.

    weights  WeightFile from `read_gguf`
    special  names of the tokenizer's special tokens
    """
    settings, key = weights.metadata, "tokenizer.chat_template"
    program = settings.get(key)
    start = f"{key}."
    named = {n.removeprefix(start): text for n, text in settings.items() if n.startswith(start)}
    if named and program is not None:
        named = {DEFAULT: program} | named
    # The file has ids of the special tokens; programs need their texts.
    tokens = settings.get("tokenizer.ggml.tokens") or []
    found = dict.fromkeys(_TOKENS)
    for theirs, ours in _GGUF.items():
        place = settings.get(f"tokenizer.ggml.{theirs}_token_id")
        if isinstance(place, int) and 0 <= place < len(tokens):
            found[f"{ours}_token"] = tokens[place]
    return template_or_refusal(named or program, found, special, key)


def _object(path):
    """The JSON object of a file; {} if there is no such file."""
    if path.is_file():
        return read_object(path)
    return {}


def _text(path):
    """The program in a file; open_regular refuses what is no plain file, such as a pipe."""
    try:
        with open_regular(path) as file:
            return file.read(_LARGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
