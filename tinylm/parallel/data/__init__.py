"""Data parallelism that sends less, or while it computes   (book section 2.2.3).

In order: buckets.py (gradients are summed bucket by bucket while the rest is computed),
compression.py (a part of each gradient is sent, and the rest remembered), trainers.py (training
with either), local.py (parameters are averaged every few steps, gradients not at all). Read first:
../data_parallel.py.
"""
