"""Tools that a model calls while it writes   (book section 3.2.5).

In order: markers.py (calls as text), registry.py (functions as tools), loop.py (calls are run and
replaced by their results), answer.py (all of it as a method), retrieval_in_inference.py (against
RAG), annotated.py (training data with calls), toolformer.py (calls that a model adds itself).
"""

from tinylm.prompt.tools.annotated import Called, annotate_gsm8k, encode_calls
from tinylm.prompt.tools.answer import ToolPrompt, tool_answer
from tinylm.prompt.tools.loop import complete_with_tools
from tinylm.prompt.tools.markers import find_marker, format_marker
from tinylm.prompt.tools.registry import Tools, calculator, calendar, searcher
from tinylm.prompt.tools.retrieval_in_inference import retrieval_before, retrieval_during

__all__ = [
    "Called",
    "ToolPrompt",
    "Tools",
    "annotate_gsm8k",
    "calculator",
    "calendar",
    "complete_with_tools",
    "encode_calls",
    "find_marker",
    "format_marker",
    "retrieval_before",
    "retrieval_during",
    "searcher",
    "tool_answer",
]
