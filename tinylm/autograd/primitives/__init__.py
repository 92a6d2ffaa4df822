"""Primitives: one or two lines of forward, and one derivative per argument in differentiable
operations.

Any order of derivative follows from these rules. In order: elementwise.py, erf.py, shaping.py,
indexing.py, reductions.py, products.py; cases.py says how each is checked.
"""
