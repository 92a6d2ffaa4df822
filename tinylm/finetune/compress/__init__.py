"""Smaller models: distillation, pruning, quantization, layers and tokens left out   (book section
1.3.3).

Read distill.py first.
"""
