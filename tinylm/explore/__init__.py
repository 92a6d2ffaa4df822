"""Pictures of one's own run: one HTML file, no network, made from what the library itself computed.

A figure is data and a way to draw it. Its Python file (expression.py) runs the library's own code
and hands over numbers. Its script (web/expression.js) draws them, and computes only what the reader
turns: a temperature, a step. Read in this order: page.py (a page out of figures), values.py (how
numbers and tokens travel), at_hand.py (the run that is looked at), then expression.py beside
web/expression.js, and web/page.js, which runs the scripts.

expression.py   gradients, step by step; formula.py reads what the user typed
attention.py    every layer and head; reading.py says how a model reads a prompt
next_token.py   probabilities, sampling filters, the logit lens
input           positions, corruptions, merges
decoding        beams, speculation, caches
training        runs, rewards, pipelines
serve.py        pages that answer prompts live
"""

from tinylm.explore.at_hand import AtHand, Unsuitable
from tinylm.explore.page import Figure, page, source_of
from tinylm.explore.values import encoded, token, tokens_of
