"""Caches of keys and values, filling and evicting token by token   (book sections 2.3.1, 2.3.3).

The caches of the library read the same tokens with the sizes of the run. Which token lies in which
slot is read out of the caches: each token's keys are filled with its number, and a cache returns
what it holds. Bytes are what the caches say of themselves. Read first:
generate/cache/key_value.py, generate/cache/window.py, generate/cache/paged.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd import no_grad
from tinylm.explore.at_hand import AtHand, Unsuitable
from tinylm.explore.page import Figure, source_of
from tinylm.generate import as_language_model
from tinylm.generate.cache.key_value import KeyValueCache
from tinylm.generate.cache.paged import PagedCache, PagePool
from tinylm.generate.cache.quantized import QuantizedCache
from tinylm.generate.cache.shared import SharedCache, share_every
from tinylm.generate.cache.window import WindowCache
from tinylm.generate.loop import generate
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.protocol.streaming import StreamingLM
from tinylm.models import GPT

TOKENS = 32  # read in all
WINDOW, SINKS = 8, 2  # slots of the small caches, and how many of them the first tokens keep
BLOCK = 4  # tokens of a block


def caches_of(layers: int, kv_heads: int, head_width: int) -> list[dict]:
    """The caches, empty, for a model of these sizes and one sequence.

    returns  list of {"name", "about", "cache", "bytes": function, "capacity": slots or None,
             "block": tokens of a block or None, "file"}
    """
    sizes = layers, 1, kv_heads, head_width
    pool = PagePool(-(-TOKENS // BLOCK), BLOCK, layers, kv_heads, head_width)
    made = [
        (
            "everything",
            KeyValueCache(*sizes),
            "Keys and values of all tokens: bytes grow with every token.",
        ),
        (
            "window",
            WindowCache(*sizes, WINDOW),
            f"The last {WINDOW} tokens in a ring: each new token overwrites the oldest.",
        ),
        (
            "window and sinks",
            WindowCache(*sizes, WINDOW - SINKS, SINKS),
            f"The first {SINKS} tokens stay, the others share a ring of {WINDOW - SINKS} slots.",
        ),
        (
            "blocks",
            PagedCache(pool, 1),
            f"Blocks of {BLOCK} tokens out of a pool: less than one block is reserved in vain.",
        ),
        (
            "8 bits",
            QuantizedCache(*sizes),
            "Every vector as integers of 8 bits and one scale of 32 bits.",
        ),
    ]
    if layers > 1:
        shared = SharedCache(share_every(layers, 2), *sizes[1:])
        about = "Two neighboring layers use one pair of keys and values: half of the bytes."
        made.append(("shared by two layers", shared, about))
    found = []
    for name, cache, about in made:
        one = {"name": name, "about": about, "cache": cache, "file": source_of(type(cache))}
        one["capacity"] = WINDOW if isinstance(cache, WindowCache) else None
        one["block"] = BLOCK if isinstance(cache, PagedCache) else None
        one["bytes"] = _bytes_of(cache)
        found.append(one)
    return found


def _bytes_of(cache) -> Callable[[], int]:
    holder = cache.pool if isinstance(cache, PagedCache) else cache
    return lambda: int(holder.bytes)


def filled(cache: object, layers: int, kv_heads: int, head_width: int, tokens: int) -> np.ndarray:
    """Let a cache read tokens one by one, and look which it holds.

    cache    with update(), for one sequence
    yields   after each token the numbers of the tokens in its slots, (slots,) integers
    """
    for t in range(tokens):
        # t + 1, since a vector of zeros is what an empty slot holds.
        marked = np.full((1, kv_heads, 1, head_width), t + 1, np.float32)
        for layer in range(layers):
            keys, _ = cache.update(layer, marked, marked)
        yield np.rint(keys[0, 0, :, 0]).astype(int) - 1


def traced(one: dict, layers: int, kv_heads: int, head_width: int, tokens: int) -> dict:
    """A cache of caches_of() filled: the same dict with steps instead of the cache.

    returns  steps: list of {"slots": tokens in slot order, "evicted": token or -1, "bytes"}, the
             empty cache first
    """
    steps = [{"slots": [], "evicted": -1, "bytes": one["bytes"]()}]
    for slots in filled(one["cache"], layers, kv_heads, head_width, tokens):
        slots = slots.tolist()
        gone = set(steps[-1]["slots"]) - set(slots)
        evicted = gone.pop() if gone else -1
        steps.append({"slots": slots, "evicted": evicted, "bytes": one["bytes"]()})
    return {key: one[key] for key in ("name", "about", "file", "capacity", "block")} | {
        "steps": steps
    }


def losses(model: GPT, ids: np.ndarray) -> dict[str, np.ndarray]:
    """-log Pr of every token after the first, under caches that forget or round.

    model    with plain rotary positions, whose keys may lie in any order
    ids      (T,)
    returns  {name of a cache: (T - 1,) nats}
    """
    rows = {"everything": as_language_model(model).logits(ids[None])[0]}
    rows["window"] = StreamingLM(model, WINDOW).logits(ids[None])[0]
    rows["window and sinks"] = StreamingLM(model, WINDOW - SINKS, SINKS).logits(ids[None])[0]
    c = model.config
    cache = QuantizedCache(c.cache_layers, 1, c.kv_heads, c.key_width)
    with no_grad():
        rows["8 bits"] = model(ids[None], cache=cache).data[0]
    later = ids[1:, None]
    return {
        name: -np.take_along_axis(log_probabilities(logits[:-1]), later, 1)[:, 0]
        for name, logits in rows.items()
    }


def figures(at_hand: AtHand) -> list[Figure]:
    """The caches with the run's sizes, reading the prompt and what the run says after it.

    raises   Unsuitable for a model that is no decoder
    """
    reading = at_hand.reading
    model = reading.model
    if not isinstance(model, GPT):
        raise Unsuitable(f"needs a decoder; this model is of kind {type(model).__name__}")
    c = model.config
    ids = reading.ids[: min(TOKENS, c.context)].tolist()
    more = min(TOKENS, c.context) - len(ids)
    if more > 0:
        ids += generate(as_language_model(model), ids, more, temperature=0.0)
    sizes = c.cache_layers, c.kv_heads, c.key_width
    data = {
        "tokens": at_hand.tokens(np.array(ids)),
        "prompt": min(len(reading.ids), len(ids)),
        "sizes": {"layers": sizes[0], "kv_heads": sizes[1], "head_width": sizes[2]},
        "caches": [traced(one, *sizes, len(ids)) for one in caches_of(*sizes)],
        "losses": {},
    }
    plain = c.positions == "rope" and set(c.attention) == {"full"} and not c.rope_scaling
    if plain and c.kv_sharing == 1:
        data["losses"] = losses(model, np.array(ids))
    text = (
        "Each token is read once; its keys and values go into the caches, and what a cache "
        f"overwrites the model does not see again. Book sections 2.3.1, 2.3.3; code: "
        f"`{source_of(KeyValueCache)}`."
    )
    return [Figure("cache", "Caches filling and evicting", text, data)]
