"""Names that torch and NumPy have and tinylm has not, each with what to write instead.

A name that is missing raises the AttributeError or TypeError that Python would raise, in one line
that leads on. Nothing here is called unless a name is missing. Read next: ../methods.py.
"""

from collections.abc import Sequence

import numpy as np

NO_COMPILER = "no compiler: operations run as they are called"
# fmt: off
TENSOR = {
    "zero_grad": "x.grad = None",
    "cuda": 'x.to("gpu")', "cpu": 'x.to("cpu")', "is_cuda": "x.device",
    "half": "x.astype(np.float16)", "float": "x.astype(np.float32)",
    "double": "x.astype(np.float64)", "long": "x.astype(np.int64)", "int": "x.astype(np.int32)",
    "bool": "x.astype(bool)", "type": "x.astype(dtype)",
    "bfloat16": "tinylm train --dtype bfloat16",
    "dim": "x.ndim", "ndimension": "x.ndim", "numel": "x.size", "nelement": "x.size",
    "clone": "x + 0, or tl.Tensor(x.numpy().copy()) for the values alone",
    "copy": "x + 0, or tl.Tensor(x.numpy().copy()) for the values alone",
    "contiguous": "x itself: view() and reshape() take any layout", "is_contiguous": "x.data.flags",
    "t": "x.T", "mm": "x @ y", "bmm": "x @ y", "mv": "x @ y", "dot": "x @ y", "matmul": "x @ y",
    "pow": "x ** y", "neg": "-x", "rsqrt": "1 / x.sqrt()", "reciprocal": "1 / x", "square": "x * x",
    "clamp": "x.clip(min, max)", "masked_fill": "tl.where(mask, value, x)",
    "gather": "tl.take_along_axis(x, indices, axis)", "take": "x.ravel()[indices]",
    "index_select": "x[indices], x[:, indices]",
    "scatter": "tl.scatter_add(shape, index, values), which adds where an index is repeated",
    "scatter_add": "tl.scatter_add(shape, index, values)",
    "expand": "tl.broadcast_to(x, shape)", "expand_as": "tl.broadcast_to(x, y.shape)",
    "tile": "tl.concatenate([x] * n, axis)", "repeat_interleave": "x.repeat(n, axis=axis)",
    "view_as": "x.reshape(y.shape)", "reshape_as": "x.reshape(y.shape)",
    "unflatten": "x.reshape(...)", "movedim": "x.transpose(...)", "chunk": "x.split(n, axis)",
    "unbind": "list(x)", "amax": "x.max(axis)", "amin": "x.min(axis)",
    "eq": "x == y", "ne": "x != y", "gt": "x > y", "ge": "x >= y", "lt": "x < y", "le": "x <= y",
    "isnan": "np.isnan(x)", "isfinite": "np.isfinite(x)", "all": "np.all(x)", "any": "np.any(x)",
    "argsort": "np.argsort(x)", "nonzero": "np.nonzero(x)", "allclose": "np.allclose(x, y)",
    "equal": "np.array_equal(x, y)", "multinomial": "tinylm.generate.Sampling",
    "requires_grad_": "x.requires_grad = True",
    "is_leaf": "x.requires_grad; print(x) names the operation that made it",
    "grad_fn": "print(x), which names the operation that made it",
    "register_hook": "x.retain_grad(): x.grad then keeps the gradient of a result",
    "zero_": "x.assign_(0)", "fill_": "x.assign_(value)", "detach_": "x.detach()",
    "new_zeros": "tl.Tensor(np.zeros(shape, x.dtype))",
    "new_tensor": "tl.Tensor(array)",
}
# In torch a last underscore means "in place".
IN_PLACE = "x.assign_(values), inside tl.no_grad() if x is the result of an operation"
TOP = {
    "tensor": "tl.Tensor(values, requires_grad=False)", "as_tensor": "tl.Tensor(values)",
    "from_numpy": "tl.Tensor(array), which shares the array's memory", "Variable": "tl.Tensor",
    "randn": "tl.Tensor(tl.Random(seed).normal(shape))",
    "rand": "tl.Tensor(tl.Random(seed).uniform(shape))",
    "randint": "tl.Random(seed).integers(low, high, shape)",
    "randperm": "tl.Random(seed).permutation(n)", "multinomial": "tinylm.generate.Sampling",
    "bernoulli": "tl.Random(seed).bernoulli(p, shape)",
    "manual_seed": "rng = tl.Random(seed), given to whatever draws: nn.Linear(3, 4, rng)",
    "seed": "rng = tl.Random(seed), given to whatever draws", "Generator": "tl.Random(seed)",
    "random": "tl.Random(seed)",
    "cat": "tl.concatenate", "concat": "tl.concatenate",
    "hstack": "tl.concatenate(parts, axis=1), or tl.concatenate(parts) of vectors",
    "vstack": "tl.concatenate(parts), or tl.stack(parts) of vectors",
    "mm": "tl.matmul", "bmm": "tl.matmul", "dot": "a @ b",
    "clamp": "tl.clip(x, min, max)", "gather": "tl.take_along_axis(x, indices, axis)",
    "permute": "tl.transpose",
    "unsqueeze": "tl.expand_dims", "masked_fill": "tl.where(mask, value, x)",
    "pow": "tl.power", "square": "x * x", "rsqrt": "1 / tl.sqrt(x)", "flatten": "tl.ravel",
    "amax": "tl.max", "amin": "tl.min", "chunk": "tl.split", "outer": "tl.einsum('i,j->ij', a, b)",
    "tile": "tl.concatenate([x] * n, axis)", "repeat_interleave": "tl.repeat",
    "allclose": "np.allclose", "equal": "np.array_equal",
    "isnan": "np.isnan", "argsort": "np.argsort", "is_tensor": "isinstance(x, tl.Tensor)",
    "inference_mode": "tl.no_grad()", "enable_grad": "the code outside tl.no_grad()",
    "set_grad_enabled": "tl.no_grad()", "autocast": "tinylm train --dtype bfloat16",
    "amp": "tinylm train --dtype bfloat16", "save": "np.savez(path, **model.state_dict())",
    "cuda": 'model.to("gpu")', "device": 'the names "cpu" and "gpu"', "compile": NO_COMPILER,
    "distributed": "tinylm.parallel", "utils": "tl.data for batches, tl.optim.clip_grad_norm",
    "F": "tl itself: tl.softmax, tl.cross_entropy, ...", "float": "np.float32", "long": "np.int64",
    "functional": "tl itself: tl.softmax, tl.cross_entropy, ...", "double": "np.float64",
    "half": "np.float16", "bfloat16": "tinylm train --dtype bfloat16", "jit": NO_COMPILER,
    "from_pretrained": 'tl.load("smollm2"), or tinylm.models.published.load.load_pretrained',
    "pipeline": "tl.load(RUN).complete(prompt)", "AutoModel": "tl.load",
    "GPT": "tl.models.GPT", "DataLoader": "tl.data for batches",
    "AutoModelForCausalLM": "tl.load", "AutoTokenizer": "tl.load(RUN).tokenizer",
    "Module": "tl.nn.Module", "Linear": "tl.nn.Linear", "Adam": "tl.optim.Adam",
    "AdamW": "tl.optim.AdamW",
}
NO_BATCH_NORM = (
    "no batch normalization; nn.LayerNorm and nn.RMSNorm, which normalize each row on its own, are "
    "other layers"
)
NN = {
    "functional": "tl itself: tl.softmax, tl.cross_entropy, ...", "ReLU": "tl.relu",
    "Dropout1d": "nn.Dropout", "Dropout2d": "nn.Dropout", "Dropout3d": "nn.Dropout",
    "GELU": "tl.gelu", "SiLU": "tl.silu", "Sigmoid": "tl.sigmoid", "Tanh": "tl.tanh",
    "Softplus": "tl.softplus", "Softmax": "tl.softmax", "LogSoftmax": "tl.log_softmax",
    "Flatten": "x.reshape(len(x), -1)", "Identity": "lambda x: x",
    "CrossEntropyLoss": "tl.cross_entropy(logits, targets)",
    "NLLLoss": "tl.cross_entropy(logits, targets)", "MSELoss": "((y - target) ** 2).mean()",
    "L1Loss": "(y - target).abs().mean()",
    "BCEWithLogitsLoss": "(target * tl.softplus(-x) + (1 - target) * tl.softplus(x)).mean()",
    "Parameter": "tl.Tensor(array, requires_grad=True) in an attribute",
    "ModuleList": "a list in an attribute: its modules are found",
    "ModuleDict": "a dict in an attribute: its modules are found",
    "ParameterList": "a list in an attribute: its Tensors are found",
    "MultiheadAttention": "nn.SelfAttention or nn.CrossAttention", "Transformer": "tl.models",
    "TransformerEncoderLayer": "nn.Block", "TransformerEncoder": "tl.models.encoder",
    "TransformerDecoderLayer": "nn.Block", "LSTM": "tinylm.nn.recurrence",
    "GRU": "tinylm.nn.recurrence", "RNN": "tinylm.nn.recurrence",
    "init": "the argument std= of nn.Linear, or x.assign_(values)",
    "utils": "tl.optim.clip_grad_norm(optimizer, max_norm)",
    "BatchNorm1d": NO_BATCH_NORM, "BatchNorm2d": NO_BATCH_NORM,
    "DataParallel": "tinylm train --workers N",
}
MODULE = {
    "cuda": 'model.to("gpu")', "cpu": 'model.to("cpu")',
    "half": "tinylm train --dtype float16; a model takes dtype= when it is made",
    "float": "dtype=np.float32 when it is made", "double": "dtype=np.float64 when it is made",
    "bfloat16": "tinylm train --dtype bfloat16",
    "forward": "the call itself: model(x)", "device": "model.parameters()[0].device",
    "dtype": "model.parameters()[0].dtype",
    "register_forward_hook": "a module in its place: tinylm.finetune.wrap.put",
    "register_forward_pre_hook": "a module in its place: tinylm.finetune.wrap.put",
    "register_full_backward_hook": "x.retain_grad() of an intermediate result",
    "register_backward_hook": "x.retain_grad() of an intermediate result",
    "register_buffer": "a plain attribute; settings() names those that are saved",
    "register_parameter": "a Tensor with requires_grad=True in an attribute",
    "add_module": "a module in an attribute", "named_modules": "tinylm.finetune.wrap.places",
    "children": "model.modules(), or vars(model)", "named_children": "vars(model)",
    "apply": "for part in model.modules(): ...",
    "requires_grad_": "tinylm.finetune.freezing.freeze(model) and unfreeze(model)",
    "buffers": "model.named_settings()", "named_buffers": "model.named_settings()",
    "num_parameters": "model.count_parameters()", "numel": "model.count_parameters()",
    "save_pretrained": "tinylm.models.published.save.save_pretrained(model, folder)",
    "generate": "tl.load(RUN).complete(prompt), or tl.generate.generate",
    "compile": NO_COMPILER, "share_memory": "tinylm train --workers N",
}
OPTIM = {
    "lr_scheduler": "tl.optim.schedule, and optimizer.step(lr)", "RMSprop": "tl.optim.Adam",
    "param_groups": "optimizer.lr, or optimizer.step(lr)", "state_dict": "optimizer.state()",
    "load_state_dict": "optimizer.load_state(state)", "add_param_group": "a new optimizer",
}
OPTIMIZERS = {
    "momentum": "optim.Momentum(parameters, lr, momentum)", "params": "the first argument",
    "nesterov": "optim.Momentum(parameters, lr, nesterov=True)",
    "fused": "nothing in its place: all parameters lie in one buffer",
    "foreach": "nothing in its place: all parameters lie in one buffer",
}
KEYWORDS = {
    "dim": "axis", "keepdim": "keepdims", "dims": "axis", "dim0": "axis1", "dim1": "axis2",
    "low": "min", "high": "max", "correction": "ddof",
}
# Arguments of NumPy and torch that operations do not take.
NOT_TAKEN = {
    "dtype": "x.astype(dtype) before it", "out": "y = ..., a new Tensor",
    "where": "tl.where(mask, x, 0.0) before it", "initial": "tl.maximum or + after it",
    "unbiased": "ddof=1", "casting": "x.astype(dtype)",
}
# fmt: on
# NumPy makes arrays, and a Tensor is made of one.
MAKERS = "zeros ones empty full eye arange linspace zeros_like ones_like tri diag meshgrid".split()
DTYPES = "float16 float32 float64 int8 int16 int32 int64 uint8 bool_".split()


def of_tensor(name: str, functions: list) -> str:
    """Why a Tensor has no attribute of this name, and what to write: one line.

    functions  the names of the functions of tinylm.autograd
    """
    instead = TENSOR.get(name)
    if instead is None and name in functions:
        instead = f"tl.{name}(x, ...)"
    if instead is None and name.endswith("_") and not name.startswith("_"):
        instead = IN_PLACE
    if instead is None and not name.startswith("_") and hasattr(np.ndarray, name):
        instead = f"x.numpy().{name}, of the values without a gradient"
    return missing(f"a Tensor has no attribute {name!r}", instead)


def of_tinylm(name: str) -> str:
    """Why tinylm has no such name, and what to write: one line."""
    instead = TOP.get(name)
    if name in MAKERS:
        instead = f"tl.Tensor(np.{name}(...))"
    elif name in DTYPES:
        instead = f"np.{name}"
    return missing(f"module 'tinylm' has no attribute {name!r}", instead)


def missing(what: str, instead: str | None) -> str:
    """The message of an AttributeError, with what to write if that is known."""
    if instead is None:
        return what
    if instead.startswith("no "):
        return f"{what}: there is {instead}"
    return f"{what}: use {instead}"


def of_keywords(name: str, options: dict, takes: Sequence[str]) -> str:
    """The message for keywords that an operation has not, with its own for those of torch or NumPy.

    name     of the operation
    options  those that the operation does not have
    takes    the names of its arguments
    """
    known = [key for key in options if KEYWORDS.get(key) in takes]
    if known:
        ours = ", ".join(f"{KEYWORDS[key]}={options[key]!r:.40}" for key in known)
        theirs = ", ".join(f"{key}=" for key in known)
        return f"{name} takes no {theirs}: use {name}(..., {ours}), as in NumPy"
    for key in options:
        if key in NOT_TAKEN:
            return f"{name} takes no {key}=: use {NOT_TAKEN[key]}"
    return f"{name} takes no {next(iter(options))}=: its arguments are {', '.join(takes)}"


def no_leaf(data: np.ndarray, requires_grad: bool | int) -> str:
    """Why these values cannot require a gradient; tl.Tensor(2, 3) means a shape in torch."""
    if type(requires_grad) is int:
        return (
            f"Tensor({data.tolist()}, {requires_grad}, ...): takes values, not a shape: "
            "tl.Tensor(np.zeros((2, 3), np.float32))"
        )
    return (
        f"Tensor: requires_grad needs floating point, not {data.dtype}: "
        "convert with .astype(np.float32)"
    )


def no_device(device: object) -> str:
    """Why x.to(np.float32) does nothing here."""
    return f"to: {device!r:.60} is no device: x.to('gpu') moves, x.astype(np.float32) converts"
