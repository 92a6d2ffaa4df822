"""Rotary settings of a config.json, in either of the two ways in which the library has written
them.

`rope_theta` with an optional `rope_scaling`, or both in `rope_parameters`. Every scheme of the
book's section 2.3.5 is read. Read next: llama.py.
"""

import math

from tinylm.models.published.layouts.fields import REQUIRED, Fields

KINDS = ("default", "linear", "dynamic", "yarn", "longrope", "llama3")
SAME = {kind: kind for kind in KINDS} | {"su": "longrope"}  # Phi-3's first name for it


USUAL = "rope_theta", "partial_rotary_factor"


def read_rope(f, context, base=10000.0, share=1.0, width=None, beside=USUAL):
    """What the rotary fields mean.

    f        Fields of the whole config.json
    context  max_position_embeddings
    base     of models that do not give one
    share    the part of a head that turns, of models that do not give one
    width    K, where the part may be less than the whole; None: it is refused
    beside   names of base and share where they stand outside the section; a field of the usual
             names must then agree with them
    returns  (base, rope_scaling of a GPTConfig or None, rotary_width or None, context)
    """
    trained = f.integer("original_max_position_embeddings", default=None)
    scaling, parameters = f.section("rope_scaling"), f.section("rope_parameters")
    if parameters is not None and scaling is not None:  # newer files repeat the old field
        f.only(
            "rope_scaling",
            {n: v for n, v in parameters.described.items() if n != "rope_theta"},
            parameters.described,
        )
    own = parameters or scaling or Fields({}, f"{f.where}: rope_parameters")
    outside = f.number(beside[0], default=base), f.number(beside[1], default=share)
    base, share = (own.number(n, default=given) for n, given in zip(USUAL, outside))
    if beside != USUAL:
        f.only(USUAL[0], base)
        f.only(USUAL[1], share)
    kind = own.choice("rope_type", "type", table=SAME, default="default")
    scaling, context = READERS[kind](own, context, trained)
    own.finish()
    return base, scaling, _turned(f, share, width), context


def _turned(f, share, width):
    """R of a share of K, rounded down as the library does; None for all."""
    if share == 1:
        return None
    if width is None:
        f.refuse("partial_rotary_factor", share, "1")
    return int(width * share)


def _trained(f, context, above):
    """original_max_position_embeddings: one beside the section goes before one inside it."""
    inside = f.integer("original_max_position_embeddings", default=context)
    if above is None:
        return inside
    return above


def _factor(f, default=REQUIRED):
    """How many times as long as in training a sequence may be."""
    factor = f.number("factor", default=default)
    if factor < 1:
        f.refuse("factor", factor, "at least 1")
    return factor


def _default(f, context, trained):
    f.only("factor", 1.0, 1)
    return None, context


def _linear(f, context, trained):
    return {"name": "linear", "factor": _factor(f)}, context


def _dynamic(f, context, trained):
    f.only("alpha")
    factor = _factor(f)
    # Versions of the library differ in which of two trained lengths they take.
    f.only("original_max_position_embeddings", context)
    if trained not in (None, context):
        what = f"{context}, as max_position_embeddings"
        f.refuse("original_max_position_embeddings", trained, what)
    return {"name": "dynamic_ntk", "trained": context, "factor": factor}, round(context * factor)


def _yarn(f, context, trained):
    trained = _trained(f, context, trained)
    factor = _factor(f, context / trained)
    f.only("truncate", True)
    read = {
        "name": "yarn_by_index",
        "factor": factor,
        "trained": trained,
        "fast": f.number("beta_fast", default=32.0),
        "slow": f.number("beta_slow", default=1.0),
    }
    magnitude = f.number("attention_factor", default=None)
    scale, over_all = (f.number(name, default=None) for name in ("mscale", "mscale_all_dim"))
    if magnitude is None and scale and over_all:  # DeepSeek's two temperatures
        magnitude = _temperature(factor, scale) / _temperature(factor, over_all)
    return read | ({} if magnitude is None else {"magnitude": magnitude}), context


def _temperature(factor, scale):
    if factor > 1:
        return 0.1 * scale * math.log(factor) + 1.0
    return 1.0


def _longrope(f, context, trained):
    trained = _trained(f, context, trained)
    read = {
        "name": "longrope_by_length",
        "trained": trained,
        "factor": f.number("factor", default=context / trained),
        "short": f.numbers("short_factor"),
        "long": f.numbers("long_factor"),
    }
    magnitude = f.number("attention_factor", default=None)
    return read | ({} if magnitude is None else {"magnitude": magnitude}), context


def _llama3(f, context, trained):
    return {
        "name": "llama3",
        "factor": _factor(f),
        "trained": _trained(f, context, trained),
        "low": f.number("low_freq_factor"),
        "high": f.number("high_freq_factor"),
    }, context


READERS = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}

# Our words for settings, and theirs.
WORDS = {
    "trained": "original_max_position_embeddings",
    "low": "low_freq_factor",
    "high": "high_freq_factor",
    "fast": "beta_fast",
    "slow": "beta_slow",
    "short": "short_factor",
    "long": "long_factor",
    "magnitude": "attention_factor",
}
NAMES = {
    "linear": "linear",
    "dynamic_ntk": "dynamic",
    "yarn_by_index": "yarn",
    "llama3": "llama3",
    "longrope_by_length": "longrope",
}


def write_rope(config):
    """The rotary fields of a GPTConfig: rope_theta, rope_parameters and, if there is one,
    rope_scaling.

    raises  KeyError for a scheme that no published model has
    """
    scaling = {"rope_type": "default"}
    if config.rope_scaling is not None:
        scaling = {
            WORDS.get(name, name): value
            for name, value in config.rope_scaling.items()
            if name != "name"
        }
        scaling["rope_type"] = NAMES[config.rope_scaling["name"]]
    if config.rotary_width is not None:
        scaling["partial_rotary_factor"] = _share(config.rotary_width, config.key_width)
    fields = {
        "rope_theta": config.rope_base,
        "rope_parameters": scaling | {"rope_theta": config.rope_base},
    }
    return fields | ({} if config.rope_scaling is None else {"rope_scaling": scaling})


def _share(turned, width):
    """A share of `width` that is `turned` again when their product is rounded down."""
    share = turned / width
    if int(width * share) == turned:
        return share
    return math.nextafter(share, 1)


def trained_context(config):
    """max_position_embeddings: the length before dynamic scaling sets in."""
    scaling = config.rope_scaling or {}
    if scaling.get("name") == "dynamic_ntk":
        return scaling["trained"]
    return config.context
