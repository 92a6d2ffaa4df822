"""Fused operations: the ones that carry a transformer, forward and backward derived by hand on
arrays.

Read composed.py first, the plain twins of all of them; then rows.py (row operations they share),
linear.py, norms.py, activations.py, losses.py, attention.py, tiled_attention.py. cases.py says how
each is checked.
"""
