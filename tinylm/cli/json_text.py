"""What a command prints with --json: one object, strict JSON."""

import json
import math


def json_text(value, indent=None):
    """A value as JSON text; a number that is not finite, which JSON lacks, is null.

    indent  spaces of a level, on lines of their own; None: all on one line
    """
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value):
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
