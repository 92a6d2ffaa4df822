"""Verbs that check and measure: gradcheck.py, bench.py with its workloads.py and contestants.py, bench_batches.py.
"""
