"""Prompts that a model writes: asking for them, and reading them from its replies   (book section
3.3.1).

A model may answer with one text, a list, or texts between tags, and with the same one twice; a
search needs different prompts and nothing around them. Read next: paraphrase.py, ape.py.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.errors import ConfigError
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import reply_stops

_MARK = re.compile(r"^[ \t]*(?:\d+[.)]|[-*•])[ \t]+", re.MULTILINE)
_REMARK = re.compile(r"\n[ \t]*\n(?=\S)")
_LABEL = re.compile(r"(?:new |improved )?(?:prompt|instruction|input|output)(?: \d+)?:\s*", re.I)
_QUOTES = {'"': '"', "“": "”", "'": "'", "`": "`"}


# As in the code of APE: prompts that differ, but none from the tail of the distribution.
SAMPLING = {"temperature": 0.9, "top_p": 0.9}


def cleaned(text: str) -> str:
    """A prompt without white space, a label such as "Prompt:", and quotes around the whole."""
    text = text.strip()
    found = _LABEL.match(text)
    if found:
        text = text[found.end() :]
    # Quotes around the whole, not around a word at each end.
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[-1] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def read_list(reply: str) -> list[str]:
    """The entries of a reply that is a list, numbered or with bullets; else the reply itself.

    An entry may have paragraphs if they are indented, as in Markdown; after a blank line, a text
    that is not indented is a remark on the list.

    returns  list of str, cleaned; remarks and empty entries are left out
    """
    starts = list(_MARK.finditer(reply))
    if not starts:
        return list(filter(None, [cleaned(reply)]))
    ends = [following.start() for following in starts[1:]] + [len(reply)]
    entries = [reply[start.end() : end] for start, end in zip(starts, ends)]
    return list(filter(None, [cleaned(_REMARK.split(entry)[0]) for entry in entries]))


def tagged(reply: str) -> list[str]:
    """The texts between <prompt> and </prompt>: list of str; the last end tag may be missing, as a
    stop string does not come back.
    """
    found = re.findall(r"<prompt>((?:(?!</?prompt>).)*)", reply, re.DOTALL)
    return list(filter(None, map(str.strip, found)))


def draw_seed(rng: np.random.Generator) -> int:
    """A seed for sampling, 0 .. 2^31 - 1, from a numpy generator."""
    return int(rng.integers(2**31))


def propose(
    lm: TextLM,
    request: str,
    count: int,
    begin: str = "",
    read: Callable = read_list,
    per_reply: int = 1,
    rounds: int = 4,
    seed: int = 0,
    max_tokens: int = 128,
    stop: str | Sequence[str] | None = ("\n\n",),
    **sampling: Any,
) -> list[str]:
    """Different prompts that a model writes at a request.

    request    the prompt for the model
    count      how many are wanted
    begin      text that the replies begin with: "Instruction:" makes a model that continues texts
               write one, "1." a list
    read       function(reply with its beginning) -> list of prompts
    per_reply  how many prompts a reply is expected to have
    rounds     how often more replies are sampled for those that are missing
    stop       stop strings; the blank line does not end a chat's reply: see reply_stops
    sampling   of TextLM.complete, in place of SAMPLING
    returns    list of str, at most `count`, in the order in which they came
    raises     ConfigError for a count below 1
    """
    if count < 1:
        raise ConfigError(f"propose: {count} prompts are wanted, and 1 is the least")
    found, asked = {}, 0
    options = {**SAMPLING, **sampling}
    for _ in range(rounds):
        replies = -(-(count - len(found)) // per_reply)
        for reply in lm.sample(
            request,
            replies,
            seed=seed + asked,
            begin=begin,
            max_tokens=max_tokens,
            stop=reply_stops(lm, stop),
            **options,
        ):
            found.update(dict.fromkeys(read(begin + reply.text)))
        asked += replies  # so that later replies have other seeds
        if len(found) >= count:
            break
    return lm.parsed("prompts", list(found)[:count])
