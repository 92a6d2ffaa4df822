"""Decoding one sequence fast.

In order: folded.py (a snapshot with everything folded into the weights), direct.py (large models,
quantized weights), fastest.py (which of them for a given model). For batches: by_columns.py.
"""
