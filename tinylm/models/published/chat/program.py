"""A chat template that is the model's own program, rendered (optional: pip install "tinylm[chat]").

The text is exactly what Jinja makes of the program. Which parts of it are special tokens is found
by a second rendering, in which every special token in a *message* carries a sign that occurs
nowhere else: a name with the sign is text, one without is the program's own mark. Without the
signs, the second text must equal the first. If it does not, because the program inspects its
messages closely, the conversation is refused. Read first: sandbox.py.
"""

import functools
import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tinylm.errors import ConfigError, DataError, MissingExtra, TinylmError
from tinylm.models.published.chat.pieces import (
    Mark,
    content_text,
    cut,
    encode_whole,
    plain,
    plain_messages,
)

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


_LONGEST, _MOST_TAGS = 200_000, 2_000  # published programs: 30,000 characters, 400 tags
_SIGNS = 0xE000  # Unicode's private characters begin here
# Where the signs go at a special token in a message, tried in this order: a program may cut white
# space, or look at the beginning of a text, and so be disturbed by one of them.
_PLACEMENTS = ("{token}{after}", "{before}{token}", "{first}{before}{rest}")


@functools.lru_cache(64)
def compiled(program: str) -> tuple[Any, frozenset[str]]:
    """(Jinja template, frozenset of the variables that it reads) of a program.

    raises  MissingExtra without jinja2; ConfigError for a program that is no Jinja, or not allowed
    """
    if not isinstance(program, str) or len(program) > _LONGEST:
        raise ConfigError(f"chat template: a program is text of at most {_LONGEST:,} characters")
    if len(re.findall(r"\{[{%]", program)) > _MOST_TAGS:
        raise ConfigError(f"chat template: a program has at most {_MOST_TAGS:,} tags")
    try:
        from jinja2 import meta

        from tinylm.models.published.chat.sandbox import Sandbox
    except ImportError as error:
        raise MissingExtra(
            f"the chat template {program[:60]!r}... is a program that is not one of those "
            'written out here; rendering it needs Jinja: pip install "tinylm[chat]"'
        ) from error
    sandbox = Sandbox()
    try:
        with warnings.catch_warnings():  # Python's, about the code that Jinja generates
            warnings.simplefilter("ignore")
            template = sandbox.guarded(program)
        return template, frozenset(meta.find_undeclared_variables(sandbox.parse(program)))
    except TinylmError:
        raise
    except Exception as error:  # an untrusted program may fail in any way
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(f"chat template: not a program that can be run: {problem:.300}") from None


@dataclass(frozen=True)
class JinjaTemplate:
    """The program of a model, and its variables besides the conversation.

    program   Jinja source
    tokens    {"bos_token": str, ...} that programs name
    special   names of the tokenizer's special tokens, to find the one that ends an answer
    name      of the program's file or field, for messages
    now       the date for programs that write it; None: today's
    """

    program: str
    tokens: dict = field(default_factory=dict)
    special: tuple = ()
    name: str = "its own program"
    now: datetime | None = None
    default = None

    def __post_init__(self) -> None:
        compiled(self.program)  # refused here rather than at the first message

    @property
    def begin(self) -> str | None:
        """The token that the tokenizer names as the begin of a text, or None."""
        return self.tokens.get("bos_token")

    @functools.cached_property
    def end(self) -> str | None:
        """The mark that ends an answer: the first special token the program writes after one."""
        answer = "an answer of the assistant"
        messages = [
            {"role": "user", "content": "a question"},
            {"role": "assistant", "content": answer},
        ]
        try:
            text = self.text(messages, add_prompt=False)
        except TinylmError:
            return self.tokens.get("eos_token")
        _, found, after = text.rpartition(answer)
        if found:
            marks = [piece for piece in cut(after, self.special) if isinstance(piece, Mark)]
            if marks:
                return str(marks[0])
        return self.tokens.get("eos_token")

    def text(
        self, messages: Sequence[dict[str, Any]], add_prompt: bool = True, **given: Any
    ) -> str:
        """The conversation as the program writes it.

        messages    list of {"role", "content", ...}
        add_prompt  end with the opening of the assistant's turn
        given       tools, documents, and other variables of the program
        raises      DataError if the program refuses or fails; ConfigError if it exceeds its limits
        """
        return self._render(self._read(messages), add_prompt, self._variables(given))

    def pieces(
        self,
        messages: Sequence[dict[str, Any]],
        add_prompt: bool = True,
        special: Collection[str] | None = None,
        **given: Any,
    ) -> list:
        """The conversation as a list of marks and texts.

        special  names of the special tokens; None: those that the template was made with
        """
        if special is None:
            special = self.special
        special = tuple(special)
        messages, variables = self._read(messages), self._variables(given)
        whole = self._render(messages, add_prompt, variables)
        before, after = _unused(2, whole, self.program, repr((messages, variables)))
        for form in _PLACEMENTS:
            sign = functools.partial(_sign, special, form, before, after)
            signed = _mapped(messages, functools.partial(sign, edges=True))
            signed_given = {name: _mapped(variables[name], sign) for name in given}
            if (signed, variables | signed_given) == (messages, variables):
                return cut(whole, special)  # nothing in the messages looks like a mark
            try:
                text = self._render(signed, add_prompt, variables | signed_given)
            except DataError:
                continue  # the program refuses the signs in this place
            if text.replace(before, "").replace(after, "") == whole:
                return _cut_signed(text, special, before, after)
        raise DataError(
            f"chat: a message holds the name of a special token, and the template "
            f"{self.name!r} cannot write it as text; take it out of the message"
        )

    def spans(
        self,
        messages: Sequence[dict[str, Any]],
        special: Collection[str] | None = None,
        **given: Any,
    ) -> tuple[list, list[bool]] | None:
        """(pieces, list of bool): which pieces stand between {% generation %} and its end.

        returns  None if the program has no such block
        """
        if not re.search(r"\{%[-+]?\s*generation\s*[-+]?%\}", self.program):
            return None
        conversation, variables = self._read(messages), self._variables(given)
        whole = self._render(conversation, False, variables)
        # A second rendering with unused characters around the blocks, which must change nothing
        # else.
        marks = _unused(2, whole, self.program, repr((conversation, variables)))
        text = self._render(conversation, False, variables, marks)
        if text.replace(marks[0], "").replace(marks[1], "") != whole:
            raise DataError(
                f"chat: the template {self.name!r} changes what stands between its "
                "generation blocks, so the answers cannot be found"
            )
        return _in_blocks(self.pieces(messages, False, special, **given), text, marks)

    def encode(
        self,
        tokenizer: "Tokenizer",
        messages: Sequence[dict[str, Any]],
        add_prompt: bool = True,
        **given: Any,
    ) -> np.ndarray:
        """The token ids of the conversation; text of messages becomes no special token.

        returns  (T,) int32
        """
        pieces = self.pieces(messages, add_prompt, tuple(tokenizer.special), **given)
        return encode_whole(tokenizer, pieces, self.name)

    def _variables(self, given):
        """The variables of the program besides the messages; DataError for one it does not read."""
        read = compiled(self.program)[1]
        own = ("messages", "add_generation_prompt")  # arguments of their own
        unread = sorted(
            name
            for name, value in given.items()
            if name in own or value is not None and name not in read
        )
        if unread:
            raise DataError(
                f"chat: the template {self.name!r} does not read {unread[0]!r}; "
                f"it reads {', '.join(sorted(read))}"
            )
        default = {"tools": None, "documents": None, **self.tokens}
        return plain(default | given, "what the template is given")

    def _read(self, messages):
        """Messages as plain data; a list of text parts is joined for a program that reads none."""
        messages = [_with_reasoning(message) for message in plain_messages(messages)]
        joined = {}  # {place of a message: the text of its parts}
        for i, message in enumerate(messages):
            if isinstance(message.get("content"), list) and message["role"] != "tool":
                # Raises for an image, which no model here reads.
                joined[i] = content_text(message, f"message {i}")
        if joined and not self._reads_parts:
            for i, text in joined.items():
                messages[i] = messages[i] | {"content": text}
        return messages

    @functools.cached_property
    def _reads_parts(self):
        """Whether the program writes the text of a list of parts, and not the list itself."""

        def written(content):
            return self._render([{"role": "user", "content": content}], False, self._variables({}))

        # A list written by str() would show its keys, such as "type".
        try:
            parts, plain_text = written([{"type": "text", "text": "a question"}]), written("text")
        except TinylmError:
            return False
        return "a question" in parts and parts.count("type") == plain_text.count("type")

    def _render(self, messages, add_prompt, variables, marks=("", "")):
        """The text of a conversation; `marks` are written around {% generation %} blocks."""
        from tinylm.models.published.chat.limits import RUN, Meter, Run, measured

        template, _ = compiled(self.program)
        now = self.now or datetime.now()
        try:
            run = Run(Meter(*measured([messages, variables])), lambda: now, marks)
            token = RUN.set(run)
            try:
                return template.render(
                    messages=messages, add_generation_prompt=add_prompt, **variables
                )
            finally:
                RUN.reset(token)
        except TinylmError:
            raise
        except Exception as error:  # an untrusted program may fail in any way
            if type(error).__name__ == "SecurityError":
                raise ConfigError(f"chat template: {error}"[:300]) from None
            raise DataError(
                f"chat: the template {self.name!r} cannot write this conversation: "
                f"{type(error).__name__}: {str(error)[:200]}"
            ) from None


def _with_reasoning(message):
    """A message with its reasoning under both names that programs read, whichever it came with."""
    names = "reasoning_content", "thinking", "reasoning"
    found = [message[name] for name in names if name in message]
    if not found:
        return message
    return {"thinking": found[0], **message, "reasoning_content": found[0]}


def _unused(count, *texts):
    """A tuple of private characters of Unicode that occur in none of the texts."""
    used = set().union(*map(set, texts))
    free = (chr(code) for code in range(_SIGNS, _SIGNS + 0x1900) if chr(code) not in used)
    found = [character for _, character in zip(range(count), free)]
    if len(found) < count:
        raise DataError("chat: the messages use every private character of Unicode")
    return tuple(found)


def _mapped(value, function):
    """Plain data with a function applied to every text that is no key, no role and no type."""
    if isinstance(value, str):
        return function(value)
    if isinstance(value, dict):
        # Programs compare roles and types, and seldom write them.
        kept = {key: value[key] for key in ("role", "type") if key in value}
        return {key: _mapped(item, function) for key, item in value.items()} | kept
    if isinstance(value, (list, tuple)):
        return [_mapped(item, function) for item in value]
    return value


def _sign(special, form, before, after, text, edges=False):
    """A text with a sign at every name of a special token in it.

    special        names
    form           one of _PLACEMENTS
    before, after  the signs
    edges          also where the text could be a part of such a name, together with the program's
                   own text beside it
    """
    pieces = cut(text, special)
    for i, piece in enumerate(pieces):
        if isinstance(piece, Mark):
            pieces[i] = form.format(
                token=piece, first=piece[:1], rest=piece[1:], before=before, after=after
            )
        if isinstance(piece, Mark) or not edges:
            continue
        # "im_end|>" after the program's "<|" would be a mark: a sign goes behind its first letter,
        # or before the last one of a text that ends like the beginning of a name.
        starts, ends = _edges(special)
        inner = piece.strip()
        if i == 0 and inner and (inner.startswith(ends) or _inside(inner, special)):
            left = len(piece) - len(piece.lstrip()) + 1
            piece = piece[:left] + after + piece[left:]
        if i == len(pieces) - 1 and inner and inner.endswith(starts):
            left = len(piece.rstrip()) - 1
            piece = piece[:left] + before + piece[left:]
        pieces[i] = piece
    return "".join(pieces)


@functools.lru_cache(16)
def _edges(special):
    """(beginnings of special tokens, their ends), without the whole tokens."""
    cuts = [(name[:i], name[i:]) for name in special for i in range(1, len(name))]
    return tuple({left for left, _ in cuts}), tuple({right for _, right in cuts})


def _inside(text, special):
    """Whether a text is a part of a special token's name."""
    return any(text in name for name in special)


def _cut_signed(text, special, before, after):
    """A signed text as marks and texts: a special token with a sign beside it is text."""
    names = "|".join(map(re.escape, sorted(special, key=len, reverse=True)))
    parts = re.split(f"(?<!{before})({names})(?!{after})", text)
    # text, name, text, name, ..., text
    parts[0::2] = [text.replace(before, "").replace(after, "") for text in parts[0::2]]
    parts[1::2] = map(Mark, parts[1::2])
    return [piece for piece in parts if piece]


def _in_blocks(pieces, text, marks):
    """(pieces, list of bool): pieces cut where blocks begin and end, and whether each is inside.

    text   the conversation with marks[0] before and marks[1] after each block
    """
    # spans: (begin, end) of the outermost blocks in the text without marks. inside: how deep.
    inside, at, spans, start = 0, 0, [], 0
    for character in text:
        if character not in marks:
            at += 1
            continue
        if character == marks[0]:
            if not inside:
                start = at
            inside += 1
        else:
            inside -= 1
            if not inside:
                spans.append((start, at))
    places = [place for span in spans for place in span]
    found, in_block, at = [], [], 0
    for piece in pieces:
        cuts = {place - at for place in places if 0 < place - at < len(piece)}
        bounds = sorted({0, len(piece)} | cuts)
        if isinstance(piece, Mark) and len(bounds) > 2:
            raise DataError("chat: a generation block begins or ends inside a special token")
        for left, right in zip(bounds, bounds[1:]):
            found.append(type(piece)(piece[left:right]))
            in_block.append(any(first <= at + left < last for first, last in spans))
        at += len(piece)
    return found, in_block
