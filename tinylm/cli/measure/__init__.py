"""Verbs that check and measure: gradcheck.py, bench.py with its workloads.py, contestants.py and
peer_torch.py, bench_batches.py.
"""
