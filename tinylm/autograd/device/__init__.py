"""Kernels for a GPU in CUDA: what many calls of NumPy's names do, in one launch each.

On a GPU a small model's step is all launches, and a kernel that reads an array once replaces five
that each read and write it. Every kernel here has a twin in ../kernels/ or in optim/, which is the
explanation and the oracle; the functions take the twin's arguments and return what it returns, or
None where only the twin will do (float16, an empty array). They are reached through
operation.fused(raw=...), and only by arrays that are not NumPy's. No kernel adds with atomics: sums
are taken in the same order in every run. Read launch.py first;
then norms.py, activations.py, rows.py, losses.py, attention.py,
separate_attention.py, updates.py.
"""
