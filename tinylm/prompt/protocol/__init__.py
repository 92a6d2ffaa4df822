"""Prompts and replies as text: what every prompting method is written against   (book section
3.1.1).

In order: text_lm.py (the protocol), completion.py (what comes back), account.py (what it cost),
trace.py (what was sent), seam.py (where prompt and continuation meet), prefix_store.py (a prompt is
read once), reader.py (what reads it), opened.py and model.py (a model behind the protocol),
weights.py (a hash that training changes), from_disk.py (tl.load), score_rows.py (many
continuations), remembered.py (scores that are computed once), scripted.py (replies written by hand,
for tests of control flow).
"""

from tinylm.prompt.protocol.account import Account
from tinylm.prompt.protocol.completion import Completion, Scores
from tinylm.prompt.protocol.model import TextModel
from tinylm.prompt.protocol.remembered import RememberedLM
from tinylm.prompt.protocol.scripted import ScriptedLM
from tinylm.prompt.protocol.text_lm import TextLM

__all__ = [
    "Account",
    "Completion",
    "RememberedLM",
    "Scores",
    "ScriptedLM",
    "TextLM",
    "TextModel",
]
