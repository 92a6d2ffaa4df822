"""The planner: what a training step costs on machines one does not have   (book section 2.2.3).

In order: hardware.py (machines as numbers), shapes.py (models), layout.py (degrees of the schemes),
memory.py (what a GPU holds); constants.py (what is reached of a data sheet), kernels.py, layer.py,
network.py, pipeline.py, step.py (the seconds of a step); measured.py and calibrate.py (runs of
others, constants fitted to half of them); failures.py, efficiency.py (checkpoints, stragglers,
when more workers help); search.py (the best layout). No file here computes a gradient.
"""
