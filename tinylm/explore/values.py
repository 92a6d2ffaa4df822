"""How values travel from Python into a page: JSON, with arrays as base64 and nan by name.

    array        {"$array": "f4", "shape": [2, 3], "data": base64, little-endian, row by row}
    nan, inf     {"$number": "nan"}, "inf", "-inf": JSON has no word for them
    a token      {"text": "the"}; {"text": "\\ufffd", "bytes": "e2 82"} if it is no UTF-8

web/page.js reads the same three forms. Read next: page.py.
"""

import base64
import json
import math
from collections.abc import Sequence

import numpy as np

from tinylm.autograd import Tensor
from tinylm.errors import DataError

LARGEST = 2**53  # JavaScript's numbers are float64: larger integers would be rounded


def encoded(value: object) -> str:
    """JSON that may stand inside <script type="application/json">.

    value    numbers, strings, bools, None, NumPy arrays, Tensors; lists, tuples and dicts of them.
             Arrays of float64 are rounded to float32, those of float16 stay; integers become int32
    returns  ASCII without <, > and &: no text can end the element or open a comment
    raises   DataError for anything else, for a key that starts with $, and for integers that
             JavaScript or int32 cannot hold
    """
    text = json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)
    # ensure_ascii has escaped U+2028, U+2029 and halves of characters. Inside of JSON these three
    # occur in strings only, where \\u003c means the same as <.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value):
    """The value in the forms of the header, of dicts, lists, strings and finite numbers alone."""
    if isinstance(value, Tensor):
        value = value.numpy()
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if abs(value) > LARGEST:
            raise DataError(f"a page cannot hold the integer {value}: give it as a string")
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return {"$number": str(value)}
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise DataError(f"a page cannot hold the key {key!r}: use text that has no $ first")
        return {key: _plain(each) for key, each in value.items()}
    raise DataError(f"a page cannot hold a {type(value).__name__}: give numbers, text or arrays")


def _array(array):
    """{"$array", "shape", "data"} of an array; a number for one without axes."""
    if array.ndim == 0:
        return _plain(array.item())
    kind = array.dtype.kind
    if kind == "b":
        code, array = "b1", array.astype(np.uint8)
    elif kind == "f" and array.dtype.itemsize == 2:
        code, array = "f2", array.astype("<f2")
    elif kind == "f":
        with np.errstate(over="ignore"):  # beyond 3e38: shown as inf
            code, array = "f4", array.astype("<f4")
    elif kind in "iu":
        small = np.iinfo(np.int32)
        if array.size and (array.min() < small.min or array.max() > small.max):
            raise DataError(f"a page holds int32, and this {array.dtype} array reaches beyond it")
        code, array = "i4", array.astype("<i4")
    else:
        raise DataError(f"a page cannot hold an array of {array.dtype}: give floats or integers")
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {"$array": code, "shape": list(array.shape), "data": data}


def token(data: bytes) -> dict:
    """One token for a page: {"text"}, with {"bytes": "e2 82"} beside it if it is no UTF-8.

    data     what the token decodes to. Half of a character is such a run of bytes
    """
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"text": data.decode("utf-8", errors="replace"), "bytes": data.hex(" ")}


def tokens_of(
    ids: Sequence[int] | np.ndarray, tokenizer: object, names: dict | None = None
) -> list[dict]:
    """Token ids as a page shows them, each as of token().

    ids        (T,) integers
    tokenizer  of the run
    names      {id: name} of ids that are the model's and not the tokenizer's, such as [MASK]
    returns    list of T dicts
    """
    found, names = [], names or {}
    for i in np.asarray(ids).tolist():
        if i in names:
            found.append({"text": names[i], "special": True})
        elif i >= tokenizer.vocab_size:
            found.append({"text": f"<{i}>", "special": True})
        else:
            found.append(token(tokenizer.token_bytes(i)))
    return found
