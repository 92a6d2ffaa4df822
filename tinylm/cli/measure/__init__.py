"""Verbs that check and measure: gradcheck.py, bench.py with its workloads.py, contestants.py and
peer_torch.py, bench_batches.py, bench_operations.py with its operations.py, bench_parallel.py,
bench_align.py with its align_works.py and peer_trl.py.
"""
