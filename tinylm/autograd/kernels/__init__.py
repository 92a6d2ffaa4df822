"""Fused operations of a transformer: forward and backward derived by hand on arrays.

Read composed.py first, the plain twins of all of them; then rows.py (row operations they share),
linear.py, norms.py, activations.py, losses.py, rotary.py, attention.py (with heads.py, masks.py and
block_attention.py), tiled_attention.py, tree_attention.py. cases.py holds the inputs on which each
is checked.
"""
