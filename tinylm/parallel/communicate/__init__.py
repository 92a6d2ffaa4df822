"""Communicators: how processes exchange arrays.

This room imports floors 0 and 1 only, so that lower floors can be given a communicator. In order:
communicator.py (the protocol, and one process; outbox.py sends beside the work), memory.py and
shared.py (processes of one machine), network.py, turns.py, meeting.py and simulator.py (any number
of ranks in one process, with a clock), mpi.py (processes of several machines), cupy_nccl.py and
nccl.py (processes with a GPU each), rings.py (routes of an all-reduce).
"""
