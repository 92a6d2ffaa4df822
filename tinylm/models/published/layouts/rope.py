"""Rotary settings of a config.json, in the older and the newer format of the library.

Older: `rope_theta` with an optional `rope_scaling`. Newer: both in `rope_parameters`. Every scheme
of the book's section 2.3.5 is read. Read next: llama.py.
"""

import math
from typing import TYPE_CHECKING, Any

from tinylm.models.published.layouts.fields import REQUIRED, Fields

if TYPE_CHECKING:
    from tinylm.models.decoder.config import GPTConfig


KINDS = ("default", "linear", "dynamic", "yarn", "longrope", "llama3")
SAME = {kind: kind for kind in KINDS} | {"su": "longrope"}  # Phi-3's first name for it
USUAL = "rope_theta", "partial_rotary_factor"  # names of base and share


def read_rope(
    f: Fields,
    context: int,
    base: float = 10000.0,
    share: float = 1.0,
    width: int | None = None,
    beside: tuple[str, ...] = USUAL,
) -> tuple[float, None, None, int]:
    """The rotary fields of a model.

    f        Fields of the whole config.json
    context  max_position_embeddings
    base     the default of the base of the wavelengths
    share    the default of the share of a head that rotates
    width    K, for models whose share may be less than 1; None: it is refused
    beside   names of base and share outside the section; fields of the usual names must then agree
             with them
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
    # Base and share stand in the section, or else outside of it, or else have their defaults.
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
    """R = share * K, the width that rotates, rounded down as in the library; None for all of K."""
    if share == 1:
        return None
    if width is None:
        f.refuse("partial_rotary_factor", share, "1")
    return int(width * share)


def _trained(f, context, above):
    """original_max_position_embeddings; one outside the section wins over one inside it."""
    inside = f.integer("original_max_position_embeddings", default=context)
    if above is None:
        return inside
    return above


def _factor(f, default=REQUIRED):
    """The factor by which a sequence may be longer than in training."""
    factor = f.number("factor", default=default)
    if factor < 1:
        f.refuse("factor", factor, "at least 1")
    return factor


# One reader a scheme: (section, context, trained length outside) -> (rope_scaling, context).


def _default(f, context, trained):
    f.only("factor", 1.0, 1)
    return None, context


def _linear(f, context, trained):
    return {"name": "linear", "factor": _factor(f)}, context


def _dynamic(f, context, trained):
    f.only("alpha")
    factor = _factor(f)
    # Versions of the library read the trained length from different fields: they must be equal.
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
    if magnitude is not None:
        read["magnitude"] = magnitude
    return read, context


def _temperature(factor, scale):
    """YaRN's factor of cosines and sines, 0.1 * scale * ln(factor) + 1   (Peng et al. 2024)."""
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
    if magnitude is not None:
        read["magnitude"] = magnitude
    return read, context


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

# {our setting: theirs}
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
# {our scheme: rope_type}
NAMES = {
    "linear": "linear",
    "dynamic_ntk": "dynamic",
    "yarn_by_index": "yarn",
    "llama3": "llama3",
    "longrope_by_length": "longrope",
}


def write_rope(config: "GPTConfig") -> dict[str, Any]:
    """The rotary fields of a GPTConfig: rope_theta, rope_parameters, and rope_scaling if it scales.

    raises  KeyError for a scheme that no published model has
    """
    scaling = {"rope_type": "default"}
    if config.rope_scaling is not None:
        scaling = {WORDS.get(name, name): value for name, value in config.rope_scaling.items()}
        scaling["rope_type"] = NAMES[scaling.pop("name")]
    if config.rotary_width is not None:
        scaling["partial_rotary_factor"] = _share(config.rotary_width, config.key_width)
    fields = {
        "rope_theta": config.rope_base,
        "rope_parameters": scaling | {"rope_theta": config.rope_base},
    }
    if config.rope_scaling is not None:  # for older versions of the library
        fields["rope_scaling"] = scaling
    return fields


def _share(turned, width):
    """turned / width, such that int(width * share) == turned whatever the rounding."""
    share = turned / width
    if int(width * share) == turned:
        return share
    return math.nextafter(share, 1)


def trained_context(config: "GPTConfig") -> int:
    """max_position_embeddings: the context, or with dynamic scaling the length before it."""
    scaling = config.rope_scaling or {}
    if scaling.get("name") == "dynamic_ntk":
        return scaling["trained"]
    return config.context
