"""Primitives: one or two lines of forward, and one derivative per argument, made of operations.

Derivatives of every order follow from these rules. In order: elementwise.py, erf.py, shaping.py,
indexing.py, reductions.py, statistics.py, products.py. The inputs on which each is checked are in
cases.py and cases_moves.py.
"""
