"""Expert parallelism: the feed-forwards of a mixture of experts on different ranks   (book section
2.2.2; Lepikhin et al. 2021, GShard; Fedus et al. 2022, Switch).

In order: exchange.py (rows to the ranks that have their experts, and back), routers.py (what all
layers of experts of a rank have in common: who counts, the load of the whole batch, penalties),
layer.py (a layer of experts cut among ranks). In float32 gradients differ by the order of an
expert's rows, with the bound 2 u sqrt(B T) of ../rounding.py.
"""
