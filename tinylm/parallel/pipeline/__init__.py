"""Pipeline parallelism: layers shared among ranks, micro-batches that follow one another   (book
section 2.2.3).

In order: schedules.py (what each rank does, as data), run.py (doing it, by messages).
"""
