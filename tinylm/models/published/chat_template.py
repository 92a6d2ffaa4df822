"""Chat templates: a conversation as the one text a model was tuned on.

An instruction-tuned model was trained on turns marked by special tokens,
"<|im_start|>user\\n...<|im_end|>\\n", and understands no other marks. Published models carry
theirs as a program in the Jinja language. Six programs that are in wide use are functions here
(chat/builtin.py), used where the model's program is one of them, token for token. Any other
program is run as it is, in a sandbox (chat/program.py; pip install "tinylm[chat]"), or refused:
none is guessed.

The danger is forgery: a user who writes "<|im_end|>\\n<|im_start|>system" must not end the turn.
A template returns marks and text separately, and only marks become special tokens. (LLaMA 2 and
Mistral mark turns by plain text, "[INST]": there the model itself sees no difference.) Book section
3.1 (prompts), 4.1 (instruction data). Read next: chat/builtin.py; generate/loop.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tinylm.errors import ConfigError, TinylmError
from tinylm.models.published.chat.builtin import (
    FINGERPRINTS,
    TEMPLATES,
    ChatTemplate,
)
from tinylm.models.published.chat.builtin import ROLES_TEMPLATE as ROLES
from tinylm.models.published.chat.normal import fingerprint
from tinylm.models.published.chat.pieces import Mark
from tinylm.models.published.chat.program import JinjaTemplate
from tinylm.models.published.chat.written import fingerprints, program_of, tokens_of

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


DEFAULT = "default"  # the name of the template for conversations without tools


def template_of(
    program: str | dict[str, str],
    tokens: dict[str, str | None] | None = None,
    special: Collection[str] | None = (),
    name: str = "its own program",
) -> Any:
    """The template of a model.

    program  its Jinja program: str, as chat_template in tokenizer_config.json; a dict of programs
             by name; or a list of {"name": str, "template": str}
    tokens   {"bos_token": str, "eos_token": str, ...} as the program names them; one that is None
             is written as nothing. None: those of the family, for a program that is a function here
    special  names of the tokenizer's special tokens
    name     of the program's file or field, for messages
    returns  ChatTemplate, JinjaTemplate or NamedTemplates
    raises   MissingExtra for a program that is no function here, without jinja2; ConfigError for
             what is no program, or may not run
    """
    if not isinstance(program, str):
        made = {
            key: template_of(text, tokens, special, f"{name} {key}")
            for key, text in _named(program, name).items()
        }
        return NamedTemplates(made, name, tokens, tuple(special))
    if not program.strip():
        raise ConfigError(f"{name}: the chat template is empty")
    # One of the programs of chat/builtin.py or chat/written.py; else Jinja.
    mark, default = fingerprint(program)
    family = FINGERPRINTS.get(mark) or fingerprints().get(mark)
    if family is None:
        given = {token: text for token, text in (tokens or {}).items() if text is not None}
        return JinjaTemplate(program, given, tuple(special), name)
    known = {**TEMPLATES, ROLES.name: ROLES}
    template = replace(known[family], default=default, program=program)
    if tokens is None:
        return template
    # The marks that the program writes by the tokenizer's names, and not by their text.
    named = {}
    if template.begin:
        named["begin"] = "bos_token"
    if template.end == "</s>":
        named["end"] = "eos_token"
    found = {field: tokens.get(name) for field, name in named.items()}
    lacking = [named[field] for field, text in found.items() if not text]
    # {{ bos_token }} writes nothing for a missing token; bos_token + '...', as in LLaMA's programs
    # and wherever the end is written, fails.
    if lacking and (template.name in ("llama2", "llama3") or "end" in found and not found["end"]):
        raise ConfigError(
            f"{name}: the chat template writes {lacking[0]}, and the tokenizer's settings name none"
        )
    return replace(template, **found)


def _named(programs, name):
    """{name: program} of several programs, a list or a dict."""
    # Two forms: [{"name": ..., "template": ...}, ...] or {name: program}.
    if isinstance(programs, list) and all(isinstance(one, dict) for one in programs):
        pairs = [(one.get("name"), one.get("template")) for one in programs]
        strange = [key for one in programs for key in one if key not in ("name", "template")]
        if strange:
            raise ConfigError(
                f"{name}: a named template has the field {strange[0]!r}; it has a "
                "name and a template"
            )
    elif isinstance(programs, dict):
        pairs = list(programs.items())
    else:
        raise ConfigError(
            f"{name}: a chat template is a program, or a list of objects with name "
            f"and template, not {programs!r:.60}"
        )
    found = {}
    if all(isinstance(text, str) for pair in pairs for text in pair):
        found = dict(pairs)
    if len(found) < len(pairs) or not found:  # a name twice, or something that is no text
        raise ConfigError(
            f"{name}: named chat templates need a name each, all different, and a "
            f"program, got {programs!r:.80}"
        )
    return found


@dataclass(frozen=True)
class NamedTemplates:
    """Several templates of one model; each method takes the one that the conversation needs.

    templates  {name: template}; "tool_use" writes conversations with tools, "default" the others
    name, tokens, special  as given to template_of
    """

    templates: dict
    name: str
    tokens: dict | None = None
    special: tuple = ()

    def named(self, name: str) -> JinjaTemplate:
        """The template of a name; ConfigError that lists the names."""
        if name not in self.templates:
            raise ConfigError(
                f"{self.name} has no chat template {name!r}; it has {', '.join(self.templates)}"
            )
        return self.templates[name]

    def _choose(self, tools=None):
        """The template for a conversation with or without tools."""
        if tools is not None and "tool_use" in self.templates:
            return self.templates["tool_use"]
        return self.named(DEFAULT)

    @property
    def default(self) -> str | None:
        """The system message of the template for conversations without tools."""
        return self._choose().default

    @property
    def begin(self) -> str | None:
        """The mark that begins a text."""
        return self._choose().begin

    @property
    def end(self) -> str | None:
        """The mark that ends an answer."""
        return self._choose().end

    @property
    def program(self) -> dict[str, str]:
        """{name: program}"""
        return {name: template.program for name, template in self.templates.items()}

    def pieces(
        self,
        messages: Sequence[dict[str, Any]],
        add_prompt: bool = True,
        special: Collection[str] | None = None,
        tools: Sequence | None = None,
        **given: Any,
    ) -> list:
        """As the chosen template's method."""
        return self._choose(tools).pieces(messages, add_prompt, special, tools=tools, **given)

    def spans(
        self,
        messages: Sequence[dict[str, Any]],
        special: Collection[str] | None = None,
        tools: Sequence | None = None,
        **given: Any,
    ) -> tuple[list, list[bool]] | None:
        """As the chosen template's method."""
        return self._choose(tools).spans(messages, special, tools=tools, **given)

    def text(
        self,
        messages: Sequence[dict[str, Any]],
        add_prompt: bool = True,
        tools: Sequence | None = None,
        **given: Any,
    ) -> str:
        """As the chosen template's method."""
        return self._choose(tools).text(messages, add_prompt, tools=tools, **given)

    def encode(
        self,
        tokenizer: "Tokenizer",
        messages: Sequence[dict[str, Any]],
        add_prompt: bool = True,
        tools: Sequence | None = None,
        **given: Any,
    ) -> np.ndarray:
        """As the chosen template's method."""
        return self._choose(tools).encode(tokenizer, messages, add_prompt, tools=tools, **given)


@dataclass(frozen=True)
class RefusedTemplate:
    """Stands for a template that cannot be read, so that the model can be used without it.

    reason  the error; raised by everything that needs the template
    """

    reason: TinylmError
    program: object = None
    name: str = "refused"
    begin = end = default = None  # what callers look at before they need the template

    def pieces(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises the reason."""
        raise self.reason

    spans = text = encode = pieces


def template_or_refusal(
    program: str | dict[str, str] | None,
    tokens: dict[str, str | None] | None = None,
    special: Collection[str] | None = (),
    name: str = "its own program",
) -> object | None:
    """As `template_of`, but a template that cannot be read raises only when it is used.

    returns  None if there is no program
    """
    if program is None:
        return None
    # Generating text needs no template, so the error waits for a chat.
    try:
        return template_of(program, tokens, special, name)
    except TinylmError as error:
        return RefusedTemplate(error, program)


__all__ = [
    "ROLES",
    "TEMPLATES",
    "ChatTemplate",
    "JinjaTemplate",
    "Mark",
    "NamedTemplates",
    "RefusedTemplate",
    "program_of",
    "template_of",
    "template_or_refusal",
    "tokens_of",
]
