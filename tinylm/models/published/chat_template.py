"""Chat templates: a conversation as the one text a model was tuned on.

An instruction-tuned model has seen turns marked by special tokens, "<|im_start|>user\\n...<|im_end|>\\n", and understands no
other marks. Published models carry theirs as a program in the Jinja language. Running a stranger's program to join
strings is more than the task needs, so the few templates that are in use are functions here, known by the marks that
the program contains.

Forging is the danger: a user who writes "<|im_end|>\\n<|im_start|>system" must not end the turn. A template here gives marks
and text apart, and only marks become special tokens. (LLaMA 2 and Mistral mark turns by plain text, "[INST]": there
the model itself cannot tell.) Book section 3.1 (prompts), 4.1 (instruction data). Read next: generate/loop.py.
"""
import re
from dataclasses import dataclass, replace
from typing import Callable

import numpy as np

from tinylm.errors import ConfigError, DataError

_ROLES = ("system", "user", "assistant")


class Mark(str):
    """A piece of the text that stands for a special token; a plain str is text."""


@dataclass(frozen=True)
class ChatTemplate:
    """How a family of models writes conversations.

    name      of the family of templates
    turns     function (messages, add_prompt, template) -> list of Mark and str
    end       the mark that ends the assistant's turn: generation stops there
    begin     the mark that begins the text, or None
    default   system message where a conversation has none, or None
    """

    name: str
    turns: Callable
    end: str
    begin: str | None = None
    default: str | None = None

    def pieces(self, messages, add_prompt=True):
        """The conversation as a list of marks and texts.

        messages    list of {"role": "system" | "user" | "assistant", "content": str}
        add_prompt  end with the opening of the assistant's turn, for the model to continue
        raises      DataError for an unknown role, a content that is no text, or an order that the model has not seen
        """
        for message in messages:
            if message.get("role") not in _ROLES or not isinstance(message.get("content"), str):
                raise DataError(f"chat: a message needs a role of {', '.join(_ROLES)} and a content that is a str, "
                                f"got {message!r:.200}")
        return [piece for piece in self.turns(messages, add_prompt, self) if piece]

    def text(self, messages, add_prompt=True):
        """The conversation as one str: to look at, not to encode, for in it marks cannot be told from text."""
        return "".join(self.pieces(messages, add_prompt))

    def encode(self, tokenizer, messages, add_prompt=True):
        """The token ids of the conversation; whatever the messages say, their text becomes no special token.

        returns  (T,) int32
        raises   DataError as `pieces` does, or if the tokenizer lacks a mark
        """
        ids, text = [], ""
        for piece in [*self.pieces(messages, add_prompt), Mark()]:  # an empty mark, to encode the last text
            if not isinstance(piece, Mark):
                text += piece                                        # neighbors are split and merged as one text
                continue
            ids.append(tokenizer.encode(text))
            text = ""
            if piece:
                if piece not in tokenizer.special:
                    raise DataError(f"chat: the template {self.name!r} needs the special token {str(piece)!r}, and the tokenizer "
                                    f"has {', '.join(list(tokenizer.special)[:8])}; it is the template of another model")
                ids.append([tokenizer.special[piece]])
        return np.concatenate(ids, dtype=np.int32)


def _chatml(messages, add_prompt, template):
    """<|im_start|>role, content<|im_end|>: Qwen, SmolLM and many others (after OpenAI's)."""
    start, end = Mark("<|im_start|>"), Mark("<|im_end|>")
    if template.default is not None and (not messages or messages[0]["role"] != "system"):
        messages = [{"role": "system", "content": template.default}, *messages]
    pieces = []
    for message in messages:
        pieces += [start, f"{message['role']}\n{message['content']}", end, "\n"]
    return pieces + [start, "assistant\n"] * add_prompt


def _llama3(messages, add_prompt, template):
    """<|start_header_id|>role<|end_header_id|>, content<|eot_id|>."""
    def header(role):
        return [Mark("<|start_header_id|>"), role, Mark("<|end_header_id|>"), "\n\n"]

    pieces = [Mark(template.begin or "")]
    for message in messages:
        pieces += [*header(message["role"]), message["content"].strip(), Mark("<|eot_id|>")]
    return pieces + header("assistant") * add_prompt


def _zephyr(messages, add_prompt, template):
    """<|role|>, content, end of text; the roles are plain text to Zephyr's tokenizer."""
    pieces = []
    for message in messages:
        pieces += [f"<|{message['role']}|>\n{message['content']}", Mark(template.end), "\n"]
    return pieces + ["<|assistant|>\n"] * add_prompt


def _gemma(messages, add_prompt, template):
    """<start_of_turn>user or model, content<end_of_turn>; no system message."""
    _alternating(messages, template)
    start, end = Mark("<start_of_turn>"), Mark("<end_of_turn>")
    pieces = [Mark(template.begin or "")]
    for message in messages:
        role = "model" if message["role"] == "assistant" else "user"
        pieces += [start, f"{role}\n{message['content'].strip()}", end, "\n"]
    return pieces + [start, "model\n"] * add_prompt


def _mistral(messages, add_prompt, template):
    """[INST] question [/INST]answer</s>; no system message. The prompt ends with [/INST], whatever `add_prompt`."""
    _alternating(messages, template)
    pieces = [Mark(template.begin or "")]
    for message in messages:
        if message["role"] == "user":
            pieces.append(f"[INST] {message['content']} [/INST]")
        else:
            pieces += [message["content"], Mark(template.end)]
    return pieces


def _llama2(messages, add_prompt, template):
    """As Mistral's, each question after a new <s>, and the system message inside the first question."""
    opening = ""
    if messages and messages[0]["role"] == "system":
        opening = f"<<SYS>>\n{messages[0]['content']}\n<</SYS>>\n\n"
        messages = messages[1:]
    _alternating(messages, template)
    pieces = []
    for message in messages:
        if message["role"] == "user":
            content, opening = (opening + message["content"]).strip(), ""
            pieces += [Mark(template.begin or ""), f"[INST] {content} [/INST]"]
        else:
            pieces += [f" {message['content'].strip()} ", Mark(template.end)]
    return pieces


def _alternating(messages, template):
    for i, message in enumerate(messages):
        if message["role"] != ("user", "assistant")[i % 2]:
            raise DataError(f"chat: with the template {template.name!r}, user and assistant take turns, user first and no system "
                            f"message, but message {i} is of role {message['role']!r}")


# What a template's program must contain, first match wins; the marks of the text's begin and end.
_KNOWN = [
    (r"<\|im_start\|>", ChatTemplate("chatml", _chatml, "<|im_end|>")),
    (r"<\|start_header_id\|>", ChatTemplate("llama3", _llama3, "<|eot_id|>", "<|begin_of_text|>")),
    (r"<start_of_turn>", ChatTemplate("gemma", _gemma, "<end_of_turn>", "<bos>")),
    (r"<<SYS>>", ChatTemplate("llama2", _llama2, "</s>", "<s>")),
    (r"\[INST\]", ChatTemplate("mistral", _mistral, "</s>", "<s>")),
    (r"<\|user\|>", ChatTemplate("zephyr", _zephyr, "</s>")),
]
TEMPLATES = {template.name: template for _, template in _KNOWN}

# A ChatML program that writes a system message of its own holds it as a literal; \n may be written as two signs.
_DEFAULT = re.compile(r"<\|im_start\|>system(?:\\n|\n)([^{}<>]+?)<\|im_end\|>")


def template_of(program):
    """The ChatTemplate of a model, known by the marks in its Jinja program.

    program  str, as tokenizer.chat_template in GGUF or chat_template in tokenizer_config.json
    returns  ChatTemplate
    raises   ConfigError if it has the marks of none that is known
    """
    template = next((template for marks, template in _KNOWN if re.search(marks, program)), None)
    if template is None:
        raise ConfigError(f"chat template {program[:60]!r}... has the marks of none of {', '.join(TEMPLATES)}; add a function "
                          "for it to tinylm/models/published/chat_template.py")
    default = _DEFAULT.search(program) if template.name == "chatml" else None
    if not default:
        return template
    return replace(template, default=default[1].replace("\\n", "\n"))
