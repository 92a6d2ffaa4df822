"""A configuration out of the file of a run, of this version or an older one, and what a resumed run
may change of it. Read first: config.py. Read next: resume.py.
"""

import dataclasses
from collections.abc import Collection
from typing import Any

from tinylm.errors import CheckpointError, ConfigError
from tinylm.fields import Fields
from tinylm.pretrain.objectives import OBJECTIVES
from tinylm.train.run.config import MAY_CHANGE, TrainConfig, as_json
from tinylm.train.run.defaults import DECODERS

ADDED = {
    "skip_bad": False,
    "parallel": "",
    "elastic": False,
    "experts": 0,
    "experts_per_token": 2,
    "balance": 0.01,
    "optimizer": "adamw",
    "muon_scale": 5.0,
    "average": 0.0,
    "init": "gpt2",
    "ngrams": True,
    "checkpointing": False,
    "depth": None,
    "tokens_per_parameter": 20.0,
}  # settings that older runs do not have, as those runs were trained


def from_json(values: dict[str, Any], source: str) -> TrainConfig:
    """The TrainConfig of as_json's values.

    source   named in the error
    raises   CheckpointError if it has other fields than this version, or impossible values
    """
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    other = ["everything"]
    if isinstance(values, dict):
        values = {**ADDED, **values}
        if isinstance(values.get("data"), str):  # one path, as older runs have it
            values["data"] = list(filter(None, [values["data"]]))
        other = sorted(names ^ set(values))
    if other:
        raise CheckpointError(
            f"{source}: the configuration is of another version of tinylm, it differs in "
            f"{', '.join(other)}"
        )
    fields = Fields(values, f"{source}: the configuration is impossible")
    try:
        config = TrainConfig(**fields.arguments(TrainConfig))
        config.positions = _positions(config, values["positions"])
        return config.check()
    except ConfigError as error:
        raise CheckpointError(f"{source}: the configuration is impossible: {error}") from None


def _positions(config, saved):
    """What positions of a file are now. Older runs left them open ("auto") and had a table of
    places, unless they trained a decoder; of XLNet's own they could say what they liked.
    """
    model = config.recipe.model if config.objective in OBJECTIVES else ""
    if model == "xlnet":
        return "auto"
    if saved == "auto" and model not in DECODERS:
        return "learned"
    return config.positions


def continued(
    saved: TrainConfig,
    asked: TrainConfig,
    given: Collection[str] | None = None,
    source: str = "checkpoint",
) -> TrainConfig:
    """The configuration of a resumed run: the saved one, with new values for what may change.

    saved, asked  TrainConfig, of the checkpoint and of the command line
    given         names the user has set; None: those whose value is not the default
    raises        CheckpointError listing every setting that may not change, with both values
    """
    old, new = as_json(saved), as_json(asked)
    if given is None:
        fresh = as_json(TrainConfig())
        # What was left open follows from these.
        followed = "objective", "architecture", "steps", "depth", "tokens_per_parameter"
        basis = {name: new[name] for name in followed}
        open_ = as_json(TrainConfig(**basis))
        given = {n for n in new if new[n] != fresh[n] and (n in basis or new[n] != open_[n])}
    given = set(given)
    # Only what the user has set is compared: a default is no wish to change anything.
    differing = [name for name in saved.fingerprint() if name in given and new[name] != old[name]]
    if differing:
        both = ", ".join(
            f"{name} is {old[name]!r} there and {new[name]!r} here" for name in differing
        )
        raise CheckpointError(
            f"{source} has another configuration: {both}; leave out these settings to continue, "
            "or start a new run without --resume"
        )
    changed = {n: getattr(asked, n) for n in given & (set(MAY_CHANGE) - {"out"})}
    # Each of these says how many processes there are: the new one replaces the other.
    if "parallel" in changed:
        saved = dataclasses.replace(saved, workers=0)
    elif "workers" in changed:
        saved = dataclasses.replace(saved, parallel="")
    return dataclasses.replace(saved, **changed).check()
