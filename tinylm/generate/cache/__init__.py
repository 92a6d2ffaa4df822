"""Caches of keys and values   (book sections 2.3.1, 2.3.3 and 2.3.4).

In order: key_value.py (all of them), shared_prefix.py (what all rows begin with, once), window.py
(the last n), paged.py, quantized.py, shared.py (one pair for several layers).
"""

from tinylm.generate.cache.key_value import (
    KeyValueCache,
    cache_bytes,
    check_padding,
    checked_crop,
)
