"""Replies in JSON: an object is read out of whatever text stands around it   (book section 3.1.1,
footnote 1).

    Sure, here it is:                    {"label": "positive", "reason": "It \\"rained\\" {hard}."}
    ```json
    {"label": "positive", ..}

A prompt states the names that it wants; models then write words before the object, fences around
it, or a second one after it. Inside its quotes an object may hold quotes, braces and fences, so it
is decoded, and never cut out by its marks. Read next: code_style.py.
"""

import json
from collections.abc import Sequence
from typing import Any

from tinylm.errors import ConfigError
from tinylm.files import distinct
from tinylm.prompt.answer import Answer
from tinylm.prompt.protocol.text_lm import TextLM


def json_request(names: Sequence[str]) -> str:
    """The sentence that states which object is wanted: 'Reply with a JSON object ..'.

    names   of its values
    raises  ConfigError for no name, or one twice
    """
    names = list(names)
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"json_request: give names, each once, not {names}")
    listed = ", ".join(json.dumps(name, ensure_ascii=False) for name in names)
    return f"Reply with one JSON object that has {listed}, and with nothing else."


def read_json(reply: str, names: Sequence[str] = ()) -> dict[str, Any] | None:
    """The first JSON object of a reply that has certain names: dict, or None.

    reply    str, with any text around the object
    names    that it must have; other names may be there too
    returns  None if there is none, or if the reply ends inside an object, as when tokens ran out:
             the objects inside it are parts of what was meant
    """
    start = reply.find("{")
    while start >= 0:
        found, end = _decoded(reply, start)
        if end is None:
            return None
        if found is not None and all(name in found for name in names):
            return found
        start = reply.find("{", end)
    return None


def complete_json(
    lm: TextLM,
    prompt: str,
    names: Sequence[str],
    *,
    seed: int = 0,
    max_tokens: int = 256,
    stop: str | Sequence[str] | None = (),
    **sampling: Any,
) -> Answer:
    """Complete a prompt that ends with the request of a JSON object.

    lm       TextLM
    prompt   str
    names    of the values that are wanted
    returns  Answer: the object as JSON text, in the order of `names`; None if it cannot be read or
             lacks a name. details: "object", a dict
    """
    text = f"{prompt}\n{json_request(names)}\n"
    reply = lm.complete(text, seed=seed, max_tokens=max_tokens, stop=stop, **sampling)
    found, value = read_json(reply.text, names), None
    if found is not None:
        found = {name: found[name] for name in names}
        value = json.dumps(found, ensure_ascii=False)
    return Answer(lm.parsed("object", value), reply.text, {"object": found})


def _decoded(text, start):
    """(the object at a brace or None, where to look on); None, None: the text ends inside it."""
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        # An error at the very end, or a text that is not closed, is an object cut off.
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            return None, None
    except RecursionError:
        return None, None  # nested too deeply, and so is what is inside
    except ValueError:
        pass  # a name twice, or NaN: no JSON object
    return None, start + 1


def _no_constant(name):
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=distinct)
