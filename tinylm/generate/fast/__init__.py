"""Decoding fast.

In order: parts.py, folded.py (a snapshot with everything folded into the weights), direct.py (large
models; few_bits.py: their weights in 8 and 4 bits), batched.py (a token of each row of a batch;
by_columns.py lays its weights out), prompt.py (many tokens of each row), fastest.py (which of them
for a given model).
"""
