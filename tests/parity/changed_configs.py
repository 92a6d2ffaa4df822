"""Every field of a config.json changed, one at a time, and what is read compared with the class.

Not a test by itself: test_config_fields.py draws from it.
"""

import copy
import json

import numpy as np
import torch
import transformers

from tinylm.errors import CheckpointError
from tinylm.models.published.load import load_pretrained, read_layout

WORDS = "relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "silu", "tanh", "quick_gelu"
REMOVED = object()


def others(value):
    """Values to set in place of one."""
    if isinstance(value, bool):
        found = [not value]
    elif isinstance(value, int):
        found = [value + 1, 2 * value, 0]
    elif isinstance(value, float):
        found = [1.5 * value + 0.1, 0.0]
    elif isinstance(value, str):
        found = [word for word in WORDS if word != value]
    elif isinstance(value, list):
        found = [value[::-1], value[:-1]]
    else:
        found = [True, 3, 0.5]
    return [*found, *([None] if value is not None else []), REMOVED]


def changed(described, path=()):
    """(path, value, the config with it) for every field, those of objects inside too."""
    for name, value in described.items():
        if isinstance(value, dict) and value and name not in ("id2label", "label2id"):
            for inner, other, whole in changed(value, (*path, name)):
                yield inner, other, described | {name: whole}
            continue
        for other in others(value):
            rest = {n: v for n, v in described.items() if n != name}
            yield (*path, name), other, rest if other is REMOVED else rest | {name: other}


def is_refused(described):
    try:
        read_layout(described)
    except CheckpointError:
        return True
    return False


def shaken(theirs):
    """A published model in double precision, away from its start."""
    theirs = theirs.double().eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.2 * torch.randn_like(p)
    return theirs


def difference(family, described, folder, say):
    """How far what is read here is from what the published class says of a config.json.

    family   names of the class of configurations and of the model
    say      (theirs, ours): two functions, model -> array
    returns  the largest difference over the largest entry; None where one of the two refuses
    """
    if is_refused(described):
        return None
    torch.manual_seed(0)
    try:
        config = getattr(transformers, family[0]).from_dict(copy.deepcopy(described))
        config._experts_implementation = "eager"
        if family[0] != "FalconConfig":  # its eager one counts ALiBi twice
            config._attn_implementation = "eager"
        theirs = shaken(getattr(transformers, family[1])(config))
        theirs.save_pretrained(folder)
        with torch.no_grad():
            expected = say[0](theirs)
    except Exception:  # whatever the library says to it
        return None
    (folder / "config.json").write_text(json.dumps(described))
    try:
        found = say[1](load_pretrained(folder, dtype=np.float64, tokenizer=False).model)
    except CheckpointError:
        return None
    if not np.isfinite(expected).all():
        return None
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12)
