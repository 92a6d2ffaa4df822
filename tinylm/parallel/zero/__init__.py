"""States of training cut among the ranks that share a batch: ZeRO (Rajbhandari et al. 2020).

Data ranks hold the same P parameters, and without this each of them holds the P gradients and the
optimizer's 2 P moments too. Of N ranks each holds, in numbers,

    stage             0       1           2            3
    parameters        P       P           P            P / N
    gradients         P       P           P / N        P / N
    moments (Adam)    2 P     2 P / N     2 P / N      2 P / N

and one step of M micro-batches sends, in units of (N - 1) / N P from every rank,

    gradients         1       1           M            M
    parameters        1       1           1            2 M

which for M = 1 are 2, 2, 2 and 3. From stage 2 on no rank has room for the sum of a whole gradient,
so it is reduced after each backward pass. (When it is made a rank has its P parameters whole, once.
At stage 3 a table that is read at both ends is gathered for both, and all is gathered once more for
a forward pass that only counts the loads of experts.) In order: bucket.py (parameters that go
together), units.py (a part of a stage, and what is to be there while it runs), shards.py (all
buckets of a rank and their optimizers), memory.py (bytes by the formula, and counted). In float32
gradients differ by the order of the sum over data ranks, with the bound 2 u sqrt(B T) of
../rounding.py.
"""
