"""Replies written by hand: a model that proves control flow, and nothing else.

It checks every prompt that it gets. A test with it shows which prompts a method sends, in which
order, and what it reads from the replies. It never shows that a method makes answers better: that
takes a model that can be wrong (model.py). Read next: ../answer.py.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.errors import ConfigError
from tinylm.prompt.protocol.completion import Completion, Scores
from tinylm.prompt.protocol.text_lm import TextLM


class ScriptedLM(TextLM):
    """A TextLM whose replies are given.

    script   list of (expected prompt, reply) in the order of the calls; or {prompt: reply}, in any
             order and as often as wanted
               expected  str, the exact prompt; a compiled pattern that must match the whole of it;
                         or None, any prompt
               reply     str for a completion, cut at max_tokens words and at a stop string as a
                         model's reply would be; {continuation: log-probability} for scores
    raises   ConfigError, at the call, for a prompt that is not the expected one, a call after the
             last, or a reply of the wrong kind. A text that the reply must begin with (`begin`) is
             taken as a part of the prompt

    Tokens are words: runs of characters without white space, with the white space before them.
    """

    def __init__(
        self, script: Sequence[tuple] | dict[str, Any], context: int | None = None
    ) -> None:
        super().__init__()
        self.context = context
        self._table = None
        self._left = []
        if isinstance(script, dict):
            self._table = dict(script)
        else:
            self._left = list(script)
        self.prompts = []  # every prompt so far, as it was sent

    @property
    def finished(self) -> bool:
        """True once every reply of a list has been used."""
        return not self._left

    def count(self, text: str) -> int:
        """Words."""
        return len(_words(text))

    def token_texts(self, text: str) -> list[str]:
        """The words, each with the white space before it."""
        return _words(text)

    def length(self, prompt: str, begin: str = "") -> int:
        """Words of a prompt, or of all its messages."""
        if not isinstance(prompt, str):
            prompt = " ".join(message["content"] for message in prompt)
        return self.count(prompt) + self.count(begin)

    def _next(self, prompt, begin):
        """The reply to a prompt."""
        whole = prompt
        if begin:
            if not isinstance(prompt, str):
                whole = [*prompt, {"role": "assistant", "content": begin}]
            else:
                whole = f"{prompt}{begin}"
        self.prompts.append(whole)
        if self._table is not None:
            if whole not in self._table:
                raise ConfigError(
                    f"ScriptedLM: no reply for the prompt {whole!r}; "
                    f"there are replies for {list(self._table)}"
                )
            return self._table[whole]
        if not self._left:
            raise ConfigError(f"ScriptedLM: the script is over, but a prompt came: {whole!r}")
        expected, reply = self._left.pop(0)
        if isinstance(expected, re.Pattern):
            right = expected.fullmatch(whole) is not None
        else:
            right = expected is None or expected == whole
        if not right:
            number = len(self.prompts)
            raise ConfigError(
                f"ScriptedLM: prompt {number} is\n{whole!r}\nand should be\n{expected!r}"
            )
        return reply

    def _complete(self, prompts, begins, max_tokens, stop, seed, sampling):
        found = []
        for prompt, begin in zip(prompts, begins):
            reply = self._next(prompt, begin)
            if not isinstance(reply, str):
                raise ConfigError(
                    f"ScriptedLM: {prompt!r} was to be completed, but its reply is {reply!r}"
                )
            self._count_prompt(prompt, begin)
            found.append(_cut(reply, max_tokens, stop))
        return found

    def _score(self, prompts, lists, begins):
        found = []
        for prompt, begin, texts in zip(prompts, begins, lists):
            reply = self._next(prompt, begin)
            if not isinstance(reply, dict) or any(text not in reply for text in texts):
                raise ConfigError(
                    f"ScriptedLM: {list(texts)} were to be scored after {prompt!r}, "
                    f"but its reply is {reply!r}"
                )
            self._count_prompt(prompt, begin)
            terms = []
            for text in texts:  # one number for a text: all of it on its first word
                words = np.zeros(max(1, len(_words(text))))
                words[0] = reply[text]
                terms.append(words)
            self.account.add(scored_tokens=sum(map(len, terms)))
            found.append(Scores(tuple(texts), tuple(terms), apart=(False,) * len(texts)))
        return found

    def _count_prompt(self, prompt, begin):
        tokens = self.length(prompt, begin)
        self.account.add(prompt_tokens=tokens, read_tokens=tokens)


def _words(text):
    return re.findall(r"\s*\S+|\s+$", text)


def _cut(reply, max_tokens, stop):
    """A reply up to the first stop string and at most max_tokens words, as a Completion."""
    finish, stopped_by = "end", ""
    found = [string for string in stop if string in reply]
    written = reply
    if found:
        finish, stopped_by = "stop", min(found, key=reply.find)
        reply = reply[: reply.find(stopped_by)]
        written = written[: len(reply) + len(stopped_by)]
    words, cut = _words(reply), 0
    if len(words) > max_tokens:
        words, finish, stopped_by = words[:max_tokens], "length", ""
    else:  # a model has written the stop string, too
        cut = max(0, min(len(_words(written)), max_tokens) - len(words))
    ids = list(range(len(words)))
    return Completion("".join(words), ids, np.zeros(0), finish, stopped_by, cut=cut)
