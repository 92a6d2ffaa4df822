"""What a method ignores changes nothing that it does, and everything else changes something."""

from dataclasses import replace

import numpy as np
import pytest

from tests.prompt.small import text_model
from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.multi_hop import multi_hop_items
from tinylm.errors import TinylmError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.evaluation.methods import METHODS
from tinylm.prompt.evaluation.runner import takes_all
from tinylm.prompt.in_context.few_shot import FewShotPrompt
from tinylm.prompt.protocol.completion import Scores

# They need a model that has tokens.
OF_TOKENS = "token-ensemble", "selective-context", "llmlingua"
# A conclusion that options decide how to read, and one that a plan of sub-problems is read from
REPLIES = ("So the answer is (B).", 'We need to know: "Where is it?".')
SHOWN = [
    Item("Ann - Ben?", "iron", ("ice", "iron"), rationale="It is heavy. The answer is iron."),
    Item("Oslo - Rome?", "ice", ("ice", "iron"), rationale="It is cold. The answer is ice."),
]
QUESTIONS = {
    "command": Item("jump twice"),
    "parts": multi_hop_items(3, 0)[0],
    "beginning": Item("def add(a, b):\n"),
    "speakers": Item("A: hi\nB: yes"),
    "options": Item("What sinks?", "iron", ("ice", "iron")),
    "context": Item("Where is Ana?", context="Ana lives in Rome."),
    "shortened": Item("Where is Ana?", context="Ana lives in Rome."),
}
OPTIONS = {
    "speakers": {"speakers": "A,B"},
    "entities": {"entities": "A,B"},
    "function": {"function": "f"},
    "languages": {"source": "Spanish", "target": "English"},
    "instruction": {"prompt": FewShotPrompt("Please write the text.")},
}


class Recorded(ScriptedLM):
    """A model with one reply to everything, which keeps what it was sent."""

    def __init__(self, reply):
        super().__init__([])
        self.reply, self.sent = reply, []

    def _next(self, prompt, begin):
        self.sent.append((str(prompt), begin))
        return self.reply

    def _score(self, prompts, lists, begins):
        self.sent += zip(map(str, prompts), map(tuple, lists), begins)
        return [
            Scores(tuple(texts), tuple(np.arange(-len(texts), 0.0)[:, None])) for texts in lists
        ]


def done(method, item, demonstrations, reply):
    """What a method sends, and the answers or the error that it ends with."""
    lm = Recorded(reply)
    if method.name in OF_TOKENS:
        lm = text_model(context=1000)
    options = {
        name: value for need in method.needs for name, value in OPTIONS.get(need, {}).items()
    }
    asked = item
    if takes_all(method.load()):
        asked = [item, replace(item, question="What floats?")]
    with lm.tracing() as trace:
        try:
            found = method.load()(lm, asked, demonstrations, seed=1, **options)
        except TinylmError as error:
            found = error
    # A method without a call is judged by its answer.
    return getattr(lm, "sent", None), [call.prompt for call in trace.calls], str(found)


@pytest.mark.parametrize("name", [name for name in METHODS if "models" not in METHODS[name].needs])
def test_what_is_ignored_changes_nothing_and_what_is_not_changes_something(name):
    method = METHODS[name]
    known = [QUESTIONS[need] for need in method.needs if need in QUESTIONS]
    item = (known or [Item("What sinks?")])[0]
    shown = ()
    if {"demonstrations", "rationales", "pool"} & set(method.needs):
        shown = SHOWN
    if method.name == "learned-retriever":  # three are the fewest that it learns from
        shown = [*SHOWN, Item("Bern - Ulm?", "ice", ("ice", "iron"))]
    changes = {
        "options": (replace(item, answer=None, options=("wood", "gold")), shown),
        "context": (replace(item, context="Bob lives in Oslo."), shown),
        "demonstrations": (item, SHOWN[:1]),
    }
    ignored = set(changes)
    for reply in REPLIES:
        before = done(method, item, shown, reply)
        for what, (other, others) in changes.items():
            if done(method, other, others, reply) != before:
                ignored.discard(what)
    assert set(method.ignores) == ignored
