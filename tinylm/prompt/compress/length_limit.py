"""A model simplifies a text to a limited length   (book section 3.3.3).

A model does not count its tokens, so its result may be too long: it is asked to shorten that
again, a few times, and if this fails the shortest result is cut. The limit holds in every case.
Read first: simplify.py, which needs no model. Read next: simplifier.py.
"""

from typing import Any

from tinylm.errors import ConfigError
from tinylm.prompt.compress.compressed import Compressed
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.template.fields import reply_stops

SIMPLIFY = (
    "Simplify the following text so that it has at most {words} words and keeps its meaning.\n"
    "Text: {text}\n"
)


def truncate(lm: TextLM, text: str, max_tokens: int) -> str:
    """The longest beginning of a text within a limit: whole words, or tokens of the first word.

    returns  str with at most max_tokens tokens; the text itself if it is short enough
    """
    if lm.count(text) <= max_tokens:
        return text
    pieces = lm.token_texts(text)
    cut = ""
    for n in range(len(pieces), 0, -1):
        # A beginning may have more tokens than it had within the text.
        start, rest = "".join(pieces[:n]), "".join(pieces[n:])
        if lm.count(start.rstrip()) > max_tokens:
            continue
        cut = cut or start.rstrip()
        if start.strip() and (start[-1].isspace() or rest[:1].isspace()):
            return start.rstrip()
    return cut


def simplify_with_limit(
    lm: TextLM,
    text: str,
    max_tokens: int,
    retries: int = 3,
    *,
    counter: TextLM | None = None,
    seed: int = 0,
    reply_tokens: int = 256,
    **sampling: Any,
) -> Compressed:
    """A simplification of at most `max_tokens` tokens.

    lm            TextLM that writes it
    max_tokens    the limit, 1 or more, in tokens of `counter`
    retries       attempts after the first; each shortens the shortest text so far
    counter       TextLM whose tokens count, for which the text is made; None: lm
    reply_tokens  most tokens of a reply
    sampling      options of TextLM.complete
    returns       Compressed; details: "attempts" (number of replies), "truncated" (bool). A text
                  within the limit is returned as it is
    raises        ConfigError for a limit below 1
    """
    if max_tokens < 1:
        raise ConfigError(f"simplify_with_limit: the limit {max_tokens} must be 1 token or more")
    counter = counter or lm
    shortest, attempts = text, 0
    stop = reply_stops(lm, ("\n\n",))  # a chat may keep the paragraphs of the text
    options = {"begin": "Short:", "stop": stop, "max_tokens": reply_tokens, **sampling}
    while counter.count(shortest) > max_tokens and attempts <= retries:
        words = len(shortest.split())
        # The limit in words, which a model can follow: as many words a token as the text has.
        most = max(1, words * max_tokens // counter.count(shortest))
        request = SIMPLIFY.format(words=most, text=shortest)
        reply = lm.complete(request, seed=seed + attempts, **options).text.strip()
        attempts += 1
        lm.parsed("simplification", reply)
        if reply and counter.count(reply) < counter.count(shortest):
            shortest = reply
    short = truncate(counter, shortest, max_tokens)
    return Compressed.of(counter, text, short, attempts=attempts, truncated=short != shortest)
