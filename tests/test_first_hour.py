"""The lines that a user of torch or NumPy types in a first hour: each works, or says in one line
what it is called here.
"""

import numpy as np
import pytest

import tinylm as tl
from tinylm import nn

X = np.arange(6.0, dtype=np.float32).reshape(2, 3)
LOGITS = np.zeros((2, 3), np.float32)


class Net(nn.Module):
    """A module as torch's users write it."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), tl.relu, nn.Dropout(0.1), nn.Linear(8, 2))
        self.more = [nn.Linear(2, 2), nn.Linear(2, 2)]

    def forward(self, x):
        x = self.layers(x)
        for layer in self.more:
            x = x + layer(x)
        return x


def evaluated(line):
    """What a line gives, with what a program would have at hand."""
    net = Net()
    names = {
        "tl": tl,
        "np": np,
        "nn": nn,
        "X": X,
        "x": tl.Tensor(X.copy(), requires_grad=True),
        "net": net,
        "opt": tl.optim.AdamW(net.parameters(), lr=1e-3),
        "logits": tl.Tensor(LOGITS, requires_grad=True),
    }
    return eval(line, names)


def same(found, expected):
    if isinstance(found, tl.Tensor):
        found = found.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.shape(found) == np.shape(expected)


# fmt: off
WORKS = {
    "tl.softmax(x, -1).sum(-1)": [1, 1],
    "tl.Tensor([1.0, 2.0], dtype=np.float32)": [1, 2],
    "tl.Tensor(x).numpy()": X,
    "x.view(3, 2)": X.reshape(3, 2), "x.view(-1)": X.ravel(), "x.view((1, 6))": X.reshape(1, 6),
    "x.reshape(3, -1)": X.reshape(3, 2), "x.flatten()": X.ravel(),
    "x.permute(1, 0)": X.T, "x.permute((1, 0))": X.T, "x.T": X.T, "x.mT": X.T,
    "x.unsqueeze(0).squeeze(0)": X, "x.unsqueeze(-1)": X[..., None], "x[:, None]": X[:, None],
    "x[..., 0]": X[..., 0], "x[x > 2]": X[X > 2], "x[[1, 0]]": X[[1, 0]],
    "x.shape[-1]": 3, "x.size": 6, "x.ndim": 2, "len(x)": 2, "list(x.shape)": [2, 3],
    "x.sum().item()": 15, "float(x.sum())": 15, "int(x.sum())": 15, "bool(x.sum() > 1)": True,
    "x.detach().numpy()": X, "x.tolist()": X, "x.mean(0)": X.mean(0), "x.sum(-1)": X.sum(-1),
    "x.max(axis=1)": X.max(1), "x.argmax(-1)": [2, 2], "x.std(axis=0)": X.std(0),
    "x.clip(1, 2)": X.clip(1, 2), "x.clip(min=1)": X.clip(1), "x.clip(max=2)": X.clip(max=2),
    "x.std(ddof=1)": X.std(ddof=1), "x.var(1, ddof=1)": X.var(1, ddof=1),
    "np.log1p(x)": np.log1p(X),
    "x.swapaxes(axis1=0, axis2=1)": X.T, "x.argmax(1, keepdims=True)": [[2], [2]],
    "x.astype(np.float64, copy=False)": X, "x.reshape(-1, order='C')": X.ravel(),
    "x.repeat(2, axis=1)": X.repeat(2, 1), "x.expm1()": np.expm1(X),
    "abs(-x)": X, "+x": X, "x ** 2": X**2, "1 - x": 1 - X,
    "x @ x.T": X @ X.T, "x * x + 1": X * X + 1, "np.ones((2, 3)) + x": 1 + X,
    "np.sin(x)": np.sin(X), "np.sum(x, axis=0)": X.sum(0), "np.mean(x)": X.mean(),
    "tl.concatenate([x, x])": np.concatenate([X, X]), "tl.stack([x, x])": np.stack([X, X]),
    "tl.where(x > 2, x, 0.0)": np.where(X > 2, X, 0), "tl.einsum('ij,kj->ik', x, x)": X @ X.T,
    "tl.cross_entropy(logits, np.array([0, 2]))": np.log(3),
    "tl.cross_entropy(logits, [0, 2])": np.log(3),
    "tl.cross_entropy(logits, tl.Tensor([0, 2]))": np.log(3),
    "net(x).shape": (2, 2), "net.eval()(x).shape": (2, 2), "net.train().training": True,
    "sum(p.size for p in net.parameters())": 3 * 8 + 8 + 8 * 2 + 2 + 2 * (2 * 2 + 2),
    "len([name for name, p in net.named_parameters() if p.requires_grad])": 8,
    "[p.shape for name, p in net.named_parameters()][0]": (3, 8),
    "list(net.named_parameters())[0][1].shape": (3, 8),
    "len(net.state_dict())": 8, "net.load_state_dict(net.state_dict()) is None": True,
    "opt.zero_grad(set_to_none=True) is None": True, "net.zero_grad() is None": True,
    "tl.autograd.grad(x.sum(), x)[0]": np.ones((2, 3)),
    "nn.Linear(3, 4).weight.shape": (3, 4), "nn.Linear(3, 4, bias=False).bias is None": True,
    "nn.Embedding(10, 4)(np.array([1, 2])).shape": (2, 4), "nn.LayerNorm(3)(x).shape": (2, 3),
}
POINTED = {
    "tl.softmax(x, dim=-1)": "softmax(..., axis=-1)", "x.sum(dim=1)": "sum(..., axis=1)",
    "x.mean(-1, keepdim=True)": "mean(..., keepdims=True)", "x.cumsum(dim=0)": "axis=0",
    "tl.argmax(x, dim=-1)": "argmax(..., axis=-1)", "x.dim()": "x.ndim", "x.numel()": "x.size",
    "x.cuda()": 'x.to("gpu")', "x.half()": "x.astype(np.float16)", "x.cpu()": 'x.to("cpu")',
    "x.float()": "x.astype(np.float32)", "x.to('cuda')": "cpu, gpu",
    "x.to(np.float16)": "x.astype", "x.clone()": "x + 0", "x.contiguous()": "x itself",
    "x.softmax(-1)": "tl.softmax(x", "x.relu()": "tl.relu(x", "x.topk(2)": "tl.topk(x",
    "x.masked_fill(x > 1, 0)": "tl.where", "x.gather(1, x)": "tl.take_along_axis",
    "x.expand(2, 2, 3)": "tl.broadcast_to", "x.zero_()": "x.assign_(0)", "x.add_(1)": "x.assign_",
    "x.pow(2)": "x ** y", "x.mm(x.T)": "x @ y", "x.t()": "x.T", "x.clamp(0, 1)": "x.clip",
    "x.grad_fn": "print(x)", "x.register_hook(print)": "x.retain_grad()", "x // 2": "tl.floor",
    "x.requires_grad_()": "x.requires_grad = True", "x % 2": "tl.floor",
    "np.asarray(x)": "x.numpy()", "np.tan(x)": "tl.sin(x) / tl.cos(x)",
    "x[None].transpose(1, 2)": "x.swapaxes(1, 2)",
    "tl.tensor([1.0])": "tl.Tensor", "tl.zeros(2, 3)": "tl.Tensor(np.zeros(...))",
    "tl.randn(2, 3)": "tl.Random(seed).normal", "tl.arange(4)": "np.arange",
    "tl.from_numpy(X)": "tl.Tensor(array)", "tl.manual_seed(0)": "tl.Random(seed)",
    "tl.cat([x, x])": "tl.concatenate", "tl.float32": "np.float32", "tl.device('cpu')": '"gpu"',
    "tl.cuda.is_available()": 'model.to("gpu")', "tl.save(1, 'x.pt')": "np.savez",
    "tl.load('x.pt')": "safetensors", "tl.inference_mode()": "tl.no_grad()",
    "tl.Tensor(2, 3)": "np.zeros((2, 3)",
    "nn.ReLU()": "tl.relu", "nn.CrossEntropyLoss()": "tl.cross_entropy",
    "nn.Parameter(np.ones(3))": "requires_grad=True", "nn.ModuleList([])": "a list",
    "nn.functional.relu(x)": "tl itself", "nn.MultiheadAttention(8, 2)": "nn.SelfAttention",
    "nn.utils.clip_grad_norm_(net.parameters(), 1)": "tl.optim.clip_grad_norm",
    "nn.Linear(3, 4, False)": "bias=False", "nn.BatchNorm1d(3)": "there is no batch normalization",
    "x.repeat(2, 1)": "tl.concatenate([x] * n, axis)", "x.repeat_interleave(2)": "x.repeat(n, axis",
    "x.mean(dtype=float)": "x.astype(dtype)", "x.std(correction=1)": "ddof=1",
    "x.sum(where=x > 1)": "tl.where(mask, x, 0.0)", "x.sum(0, np.float64)": "keepdims",
    "x.std(0, float)": "keepdims", "x.ravel(order='F')": "order", "x.prod(0, float)": "keepdims",
    "net.cuda()": 'model.to("gpu")', "net.half()": "--dtype float16", "net.to('cuda')": "cpu, gpu",
    "net.register_forward_hook(print)": "tinylm.finetune.wrap.put",
    "net.register_buffer('a', x)": "attribute", "net.named_modules()": "tinylm.finetune.wrap",
    "net.requires_grad_(False)": "freeze", "net.num_parameters()": "count_parameters",
    "net.layers.forward(x)": "model(x)", "net.apply(print)": "model.modules()",
    "tl.models.GPT.from_pretrained('gpt2')": "tl.load('gpt2')",
    "tl.from_pretrained('gpt2')": "tl.load", "nn.Module()(x)": "define __call__",
    "tl.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)": "optim.Momentum",
    "tl.optim.lr_scheduler": "tl.optim.schedule", "opt.param_groups": "optimizer.lr",
    "tl.cross_entropy(tl.Tensor(np.zeros((2, 3, 4))), np.zeros((2, 4), int))": "swapaxes(1, -1)",
}
# fmt: on


@pytest.mark.parametrize("line", WORKS)
def test_a_line_works(line):
    same(evaluated(line), WORKS[line])


@pytest.mark.parametrize("line", POINTED)
def test_a_line_that_does_not_work_names_the_way_here_in_one_line(line):
    with pytest.raises((AttributeError, TypeError, ValueError, RuntimeError)) as caught:
        evaluated(line)
    message = str(caught.value)
    assert POINTED[line] in message and "\n" not in message


def test_a_training_loop_in_torchs_words_learns():
    net = Net()
    optimizer = tl.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=0.0)
    inputs, targets = np.eye(3, dtype=np.float32), np.array([0, 1, 0])
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = tl.cross_entropy(net(inputs), targets)
        loss.backward()
        tl.optim.clip_grad_norm(optimizer, 1.0)
        optimizer.step()
        losses.append(loss.item())
    net.eval()
    assert losses[-1] < losses[0] and np.array_equal(net(inputs).argmax(-1), targets)


@pytest.mark.parametrize("decorate", [tl.no_grad(), tl.no_grad])
def test_no_grad_decorates_a_function(decorate):
    @decorate
    def double(x):
        return 2 * x

    x = tl.Tensor(X.copy(), requires_grad=True)
    assert not double(x).requires_grad and (2 * x).requires_grad


def test_a_step_by_hand_inside_no_grad_changes_the_parameter():
    w = tl.Tensor(X.copy(), requires_grad=True)
    (w * w).sum().backward()
    before = w
    with tl.no_grad():
        w -= 0.5 * w.grad  # d(w^2)/dw = 2 w, so this ends at 0
    assert w is before and w.requires_grad and not w.numpy().any()
    for p in [w]:
        p.grad = tl.Tensor(np.ones_like(X))
        p.data -= 0.25 * p.grad  # torch's other way
    np.testing.assert_array_equal(w.numpy(), np.full((2, 3), -0.25))


def test_outside_no_grad_an_augmented_assignment_makes_a_new_tensor():
    x = leaf = tl.Tensor(X.copy(), requires_grad=True)
    x += 1
    x *= 2
    assert x is not leaf
    x.sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), np.full((2, 3), 2.0))
    np.testing.assert_array_equal(leaf.numpy(), X)


def test_parameters_go_to_a_file_and_back(tmp_path):
    first, second = Net(), Net()
    np.savez(tmp_path / "net.npz", **first.state_dict())
    with np.load(tmp_path / "net.npz") as arrays:
        second.load_state_dict(arrays)
    assert np.array_equal(first.eval()(X).numpy(), second.eval()(X).numpy())


def test_named_parameters_are_pairs_as_in_torch_and_a_dict_by_name():
    net = nn.Linear(3, 4)
    pairs = [("weight", net.weight), ("bias", net.bias)]
    assert list(net.named_parameters()) == pairs
    assert dict(net.named_parameters()) == {"weight": net.weight, "bias": net.bias}
    assert net.named_parameters()["weight"] is net.weight
    for i, (name, p) in enumerate(net.named_parameters()):
        assert (name, p) == pairs[i]
