"""Shorter prompts that can still be read   (book section 3.3.3).

In order: compressed.py (what is saved), simplify.py (rules), information.py and
selective_context.py (what says least goes), llmlingua.py (from demonstrations to tokens),
length_limit.py (a model writes the short form), simplifier.py (a small trained model), quality.py
(what it costs, and random deletion as the baseline of all), quality_by_rate.py (cost against
length).
"""

from tinylm.prompt.compress.compressed import Compressed
from tinylm.prompt.compress.length_limit import simplify_with_limit, truncate
from tinylm.prompt.compress.quality import against_random, random_deletion
from tinylm.prompt.compress.quality_by_rate import quality_by_rate

__all__ = [
    "Compressed",
    "against_random",
    "quality_by_rate",
    "random_deletion",
    "simplify_with_limit",
    "truncate",
]
