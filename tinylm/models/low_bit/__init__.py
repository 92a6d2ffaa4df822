"""Arithmetic in few bits   (book section 2.3.1).

In order: bfloat16.py, fixedpoint.py, blocks.py (the blocks of GGUF files), quantized.py (products
with them), prepared.py (many products with the same matrix).
"""
