"""Values as strict JSON: what commands print with --json, and what logs hold.

JSON has no infinity and no NaN, and UTF-8 no half of a surrogate pair, such as Python makes of a
byte in the name of a file that is no UTF-8. Read next: reading.py, which reads JSON.
"""

import json
import math
import re
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON text; a number that is not finite is null, half a surrogate pair an escape.

    indent  spaces of a level, on lines of their own; None: all on one line
    """
    text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def finite(value: Any) -> Any:
    """A value of dicts, lists and numbers with None in the place of numbers that are not finite."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
