"""The families of chat templates that are functions here, without Jinja.

Each writes exactly what the program of its family writes. It refuses a role that the program would
drop, and a field that it would not read. Read first: pieces.py. Read next: normal.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from tinylm.errors import DataError
from tinylm.models.published.chat.pieces import (
    ROLES,
    Mark,
    content_text,
    encode_whole,
    plain_messages,
)

if TYPE_CHECKING:
    from tinylm.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class ChatTemplate:
    """How a family of models writes conversations.

    name     of the family of templates
    turns    function (messages, add_prompt, template) -> list of Mark and str
    end      the mark that ends the assistant's turn: generation stops there
    begin    the mark that begins the text, or None
    default  system message where a conversation has none, or None
    program  the Jinja program that it was found by, or None
    """

    name: str
    turns: Callable
    end: str
    begin: str | None = None
    default: str | None = None
    program: str | None = None

    def pieces(
        self,
        messages: Sequence[dict[str, Any]],
        add_prompt: bool = True,
        special: Collection[str] | None = None,
        **given: Any,
    ) -> list:
        """The conversation as a list of marks and texts.

        messages    list of {"role": str, "content": str or list of text parts}
        add_prompt  end with the opening of the assistant's turn, for the model to continue
        special     not needed: these templates write marks and text separately
        given       must be empty: these templates have no place for tools and documents
        raises      DataError for an unknown role or field, a content that is no text, or an order
                    of roles that the model was not trained on
        """
        # What these templates would leave out is refused: the model would answer without it.
        unread = sorted(name for name, value in given.items() if value is not None)
        if unread:
            raise DataError(f"chat: the template {self.name!r} does not read {unread[0]!r}")
        checked = [self._message(message, i) for i, message in enumerate(plain_messages(messages))]
        if not checked:
            raise DataError("chat: the conversation has no message")
        return [piece for piece in self.turns(checked, add_prompt, self) if piece]

    def _message(self, message, i):
        """{"role", "content"} of message number i, which must have nothing else."""
        extra = sorted(set(message) - {"role", "content"})  # such as tool_calls
        if message["role"] not in ROLES:
            raise DataError(
                f"chat: message {i} needs a role of {', '.join(ROLES)}, got {message['role']!r:.80}"
            )
        if extra:
            raise DataError(
                f"chat: the template {self.name!r} does not read {extra[0]!r} of message {i}"
            )
        return {"role": message["role"], "content": content_text(message, f"message {i}")}

    def spans(
        self,
        messages: Sequence[dict[str, Any]],
        special: Collection[str] | None = None,
        **given: Any,
    ) -> Any:
        """None: callers find the answers by comparing the pieces of longer and longer prefixes."""
        return None

    def text(
        self, messages: Sequence[dict[str, Any]], add_prompt: bool = True, **given: Any
    ) -> str:
        """The conversation as one str, to read; do not encode it: marks and text look alike."""
        return "".join(self.pieces(messages, add_prompt, **given))

    def encode(
        self,
        tokenizer: "Tokenizer",
        messages: Sequence[dict[str, Any]],
        add_prompt: bool = True,
        **given: Any,
    ) -> np.ndarray:
        """The token ids; no text of a message becomes a special token.

        returns  (T,) int32
        raises   DataError as `pieces` does, or if the tokenizer lacks a mark
        """
        return encode_whole(tokenizer, self.pieces(messages, add_prompt, **given), self.name)


def _chatml(messages, add_prompt, template):
    """<|im_start|>role, content<|im_end|>: Qwen, SmolLM and many others (after OpenAI's)."""
    start, end = Mark("<|im_start|>"), Mark("<|im_end|>")
    # Some models of the family put a system message of their own first.
    if template.default is not None and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": template.default}, *messages]
    pieces = []
    for message in messages:
        pieces += [start, f"{message['role']}\n{message['content']}", end, "\n"]
    return pieces + [start, "assistant\n"] * add_prompt  # times False: nothing


def _llama3(messages, add_prompt, template):
    """<|start_header_id|>role<|end_header_id|>, content<|eot_id|>."""

    def header(role):
        return [Mark("<|start_header_id|>"), role, Mark("<|end_header_id|>"), "\n\n"]

    # An empty Mark, of a tokenizer without such a token, is dropped by `ChatTemplate.pieces`.
    pieces = [Mark(template.begin or "")]
    for message in messages:
        pieces += [*header(message["role"]), message["content"].strip(), Mark("<|eot_id|>")]
    return pieces + header("assistant") * add_prompt


def _zephyr(messages, add_prompt, template):
    """<|role|>, content, end of text; the roles are plain text to Zephyr's tokenizer."""
    pieces = []
    for message in messages:
        if message["role"] not in ROLES[:3]:
            raise DataError(
                f"chat: with the template {template.name!r} a message of role "
                f"{message['role']!r} would not be written"
            )
        # The role is text, so a user can forge it: the model's own weakness.
        pieces += [f"<|{message['role']}|>\n{message['content']}", Mark(template.end), "\n"]
    return pieces + ["<|assistant|>\n"] * add_prompt


def _gemma(messages, add_prompt, template):
    """<start_of_turn>user or model, content<end_of_turn>; no system message."""
    _alternating(messages, template)
    start, end = Mark("<start_of_turn>"), Mark("<end_of_turn>")
    pieces = [Mark(template.begin or "")]
    for message in messages:
        role = {"assistant": "model"}.get(message["role"], "user")
        pieces += [start, f"{role}\n{message['content'].strip()}", end, "\n"]
    return pieces + [start, "model\n"] * add_prompt


def _mistral(messages, add_prompt, template):
    """[INST] question [/INST]answer</s>; no system message.

    A prompt ends with [/INST] already, so `add_prompt` adds nothing.
    """
    _alternating(messages, template)
    pieces = [Mark(template.begin or "")]
    for message in messages:
        if message["role"] == "user":
            pieces.append(f"[INST] {message['content']} [/INST]")
        else:
            pieces += [message["content"], Mark(template.end)]
    return pieces


def _llama2(messages, add_prompt, template):
    """As Mistral's, with <s> before each question, and the system message in the first question."""
    opening = ""  # what the next question begins with
    if messages[0]["role"] == "system":
        opening = f"<<SYS>>\n{messages[0]['content']}\n<</SYS>>\n\n"
        messages = messages[1:]
    _alternating(messages, template)
    pieces = []
    for message in messages:
        if message["role"] == "user":
            content = (opening + message["content"]).strip()
            opening = ""  # only the first question
            pieces += [Mark(template.begin or ""), f"[INST] {content} [/INST]"]
        else:
            pieces += [f" {message['content'].strip()} ", Mark(template.end)]
    return pieces


def _alternating(messages, template):
    """Refuse any other order of roles than user, assistant, user, ..."""
    for i, message in enumerate(messages):
        if message["role"] != ("user", "assistant")[i % 2]:
            raise DataError(
                f"chat: with the template {template.name!r}, user and assistant take turns, user "
                f"first and no system message, but message {i} is of role {message['role']!r}"
            )


def _roles(messages, add_prompt, template):
    """<|role|>content, and <|end|> after the answers."""
    pieces = []
    for message in messages:
        pieces += [Mark(f"<|{message['role']}|>"), message["content"]]
        if message["role"] == "assistant":
            pieces.append(Mark(template.end))
    return pieces + [Mark("<|assistant|>")] * add_prompt


# Our own template, of marks alone: it holds no word that a small vocabulary may lack. Its marks
# must be special tokens. <|system|>Be brief.<|user|>2 + 2?<|assistant|>4<|end|>
ROLES_TEMPLATE = ChatTemplate("roles", _roles, "<|end|>")
ROLES_MARKS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")

# Name, function, end, begin: the marks of the first model of each family. Those of another model
# come from its tokenizer (`template_of`).
TEMPLATES = {
    template.name: template
    for template in (
        ChatTemplate("chatml", _chatml, "<|im_end|>"),
        ChatTemplate("llama3", _llama3, "<|eot_id|>", "<|begin_of_text|>"),
        ChatTemplate("gemma", _gemma, "<end_of_turn>", "<bos>"),
        ChatTemplate("llama2", _llama2, "</s>", "<s>"),
        ChatTemplate("mistral", _mistral, "</s>", "<s>"),
        ChatTemplate("zephyr", _zephyr, "</s>"),
    )
}

# {fingerprint of a program (normal.py): its family}. The tests of this file have the programs.
FINGERPRINTS = {
    "65de4debeff9aa49585b34094c15e86ae19734d70496e3ea2a2dc043ae14b1bb": "chatml",
    "d473951b70011716973eea5bbd5e1256e9ffd247fab84c2c8efb97a51c68ebce": "chatml",
    "1cf6ec3814f75bdb617fb6be99a96caf798b3096c9c155a2c4e964ccf70956bc": "llama3",
    "d07d938aeddaceb1d8742e1a30fe431fa8803f116bddce276ed935f7a35b4f15": "gemma",
    "d0e5c44ddafe1a5876a8c8714d0b6f4fad7057410e67cafa08b0b54f0d0a70d6": "llama2",
    "1d206a50da44e3a5c3b0c2c7cbc795770a8ffc1f1ae22c04d025b45a0969fb60": "mistral",
    "3c92b5f0a691c287460570642c911b29c8024c29abe0003ca7a0d38d8b104bff": "zephyr",
}
