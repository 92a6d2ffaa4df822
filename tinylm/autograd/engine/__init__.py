"""The engine: a Tensor, the tape that operations leave behind, and the walk back along it.

In order: tensor.py, backward.py, operation.py (how an operation and its derivative are defined;
arguments.py checks what it is called with), recompute.py (trade time for memory), halves.py
(backward in two halves), complete.py (backward that tells what is complete), profile.py (count
operations, find nan).
"""
