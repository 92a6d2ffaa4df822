"""Memories: what attention reads beyond its window   (book section 2.3.3).

In order: fixed_size.py (a memory that never grows), segments.py (the keys and values of earlier
segments), retrieved.py (nearest neighbors among all past keys). cases.py holds the gradient checks.
"""
