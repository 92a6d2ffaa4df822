"""Sequence parallelism: one sequence shared among ranks   (book section 2.3.1).

In order: softmax.py (keys and values shared, the book's sums), ring.py (queries too, and keys and
values going round), heads.py (tokens exchanged for heads), layers.py (a decoder whose ranks have
parts of every sequence). In float32 sums over keys and over tokens differ by their order, with the
bound 2 u sqrt(B T + 4 L T) of ../rounding.py.
"""
