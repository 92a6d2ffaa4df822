"""Pipeline parallelism: layers shared among ranks, micro-batches that follow one another   (book
section 2.2.3).

In order: schedules.py (what each rank does, as data), run.py (doing it, by messages). In
float32 gradients differ by the order of the sum over micro-batches, with the bound 2 u sqrt(B T) of
../rounding.py.
"""
