"""Figures of training: the curves of runs and of alignment, and who computes what on many machines.

In reading order: runs.py, rewards.py, timelines.py.
"""
