"""Tensor parallelism: the matrices of every layer cut among ranks   (book section 2.2.3, eqs. 2.34,
2.35; Shoeybi et al. 2019).

In order: cuts.py (how an array is cut, and put together again), layers.py (linear maps cut by
columns and by rows, the table of tokens cut by rows), losses.py (cross-entropy over a cut
vocabulary), draws.py (dropout of a part), split.py (a whole decoder). In float32 sums
over features differ by their order; the bound, from their lengths, is in ../rounding.py.
"""
