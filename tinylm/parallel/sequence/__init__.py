"""Sequence parallelism: one sequence shared among ranks   (book section 2.3.1).

In order: softmax.py (keys and values shared, the book's sums), ring.py (queries too, and keys and
values going round), heads.py (tokens exchanged for heads), layers.py (a decoder whose ranks have
parts of every sequence).
"""
