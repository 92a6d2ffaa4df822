"""Greedy layer-wise pretraining: each layer first learns to reconstruct its input   (book section
1.1.1)

How deep networks were started before there was enough labeled data (Bengio et al. 2006; Erhan et
al. 2010). A layer z = s(u W + b) is trained with a decoder u' = z W^T + c to reconstruct its input
u; then it is frozen, and z is the input of the next. Afterwards the decoders are dropped and the
whole stack is trained on labels. If noise is put on the input and the clean input reconstructed, a
layer may be wider than its input (Vincent et al. 2008): the ancestor of masked LM. Read next:
denoising/noise.py, where whole transformers are trained to undo noise.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd import Tensor, cross_entropy, linear, no_grad, sigmoid, softplus, weigh
from tinylm.autograd.primitives.statistics import mean_square
from tinylm.backend import DType, Random
from tinylm.errors import ConfigError
from tinylm.nn import Linear, Module, normal_parameter
from tinylm.optim import Adam


def bit_cross_entropy(logits: Tensor, bits: np.ndarray) -> Tensor:
    """-sum_k [u_k log s(a_k) + (1 - u_k) log(1 - s(a_k))], averaged over rows (book section 1.1.1)

    logits   (n, d) Tensor a;  bits (n, d) values u in [0, 1]
    returns  Tensor (). Its least value for given u is the entropy of u, not 0, unless all u are 0
             or 1
    """
    # -log s(a) = softplus(-a)  and  -log(1 - s(a)) = softplus(a),  finite for any a
    errors = weigh(bits, softplus(-logits)) + weigh(1 - bits, softplus(logits))  # (n, d)
    return errors.sum(axis=-1).mean()  # (n, d) -> (n,) -> ()


def squared_error(outputs: Tensor, inputs: np.ndarray) -> Tensor:
    """sum_k (u'_k - u_k)^2, averaged over rows: outputs (n, d) Tensor, inputs (n, d). Returns
    Tensor ().
    """
    difference = outputs - inputs
    return mean_square(difference) * difference.shape[-1]


def identity(x: Tensor) -> Tensor:
    """x: the activation of a linear autoencoder, which finds principal components."""
    return x


class Autoencoder(Module):
    """One layer and its decoder, whose matrix is the layer's transposed, or one of its own.

    d_in, d_out  widths of its input and output
    rng          backend.Random of the initial weights
    activate     of the layer: sigmoid, so that the next layer too reads values in (0, 1)
    error        (output of the decoder, input) -> Tensor (): bit_cross_entropy or squared_error
    tied         False: the decoder has a matrix of its own
    noise        probability that an input is replaced by 0 while learning to reconstruct
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        rng: Random,
        activate: Callable = sigmoid,
        error: Callable = bit_cross_entropy,
        tied: bool = True,
        noise: float = 0.0,
        dtype: DType = np.float32,
    ) -> None:
        self.activate, self.error, self.noise = activate, error, noise
        self.weight = normal_parameter((d_in, d_out), rng, d_in**-0.5, dtype)
        self.bias = Tensor(np.zeros(d_out, dtype), requires_grad=True)
        self.back = None if tied else normal_parameter((d_out, d_in), rng, d_out**-0.5, dtype)
        self.back_bias = Tensor(np.zeros(d_in, dtype), requires_grad=True)

    def encode(self, u: Tensor) -> Tensor:
        """(n, d_in) -> (n, d_out)."""
        return self.activate(linear(u, self.weight, self.bias))

    def decode(self, z: Tensor) -> Tensor:
        """(n, d_out) -> (n, d_in), for `error`: an estimate of the input, or its logits."""
        back = self.back
        if back is None:  # tied
            back = self.weight.T
        return linear(z, back, self.back_bias)

    def loss(self, u: np.ndarray, rng: Random | None = None) -> Tensor:
        """Reconstruction error of u, an (n, d_in) array; rng draws which entries become 0."""
        noisy = u
        if self.noise and rng is not None:
            noisy = u * (rng.uniform(u.shape) >= self.noise).astype(u.dtype)
        return self.error(self.decode(self.encode(Tensor(noisy))), u)  # against the clean input


class StackedAutoencoder(Module):
    """Layers that can be pretrained one by one, and a linear classifier on the last.

    widths   (d_0, d_1, ..., d_L): of the input and of each layer
    classes  of the classifier
    options  of every Autoencoder: noise, activate, error, tied
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        classes: int,
        seed: int = 0,
        dtype: DType = np.float32,
        **options: bool,
    ) -> None:
        if len(widths) < 2:
            raise ConfigError(
                f"StackedAutoencoder: widths {tuple(widths)} need the width of the input "
                "and of one layer at least"
            )
        rng = Random(seed, "init")
        self.layers = [
            Autoencoder(a, b, rng, dtype=dtype, **options) for a, b in zip(widths, widths[1:])
        ]
        self.out = Linear(widths[-1], classes, rng, dtype=dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits: (n, d_0) -> (n, classes)."""
        for layer in self.layers:
            x = layer.encode(x)  # (n, d_l) -> (n, d_{l+1})
        return self.out(x)

    def supervised_parameters(self) -> dict[str, Tensor]:
        """The parameters of the supervised phase, all but the decoders': dict name -> Tensor."""
        return {name: p for name, p in self.named_parameters().items() if ".back" not in name}


def minimize(
    loss: Callable,
    parameters: dict[str, Tensor],
    n: int,
    steps: int,
    batch_size: int = 32,
    lr: float = 1e-2,
    seed: int = 0,
) -> np.ndarray:
    """Adam on batches drawn from n rows.

    loss      (rows (b,) integers, Random) -> Tensor ()
    returns   (steps,) array of the losses before each update
    """
    rng, optimizer, losses = Random(seed, "rows"), Adam(parameters, lr=lr), []
    for _ in range(steps):
        rows = np.arange(n)
        if batch_size < n:
            rows = rng.integers(0, n, (batch_size,))
        optimizer.zero_grad()
        value = loss(rows, rng)
        value.backward()
        optimizer.step()
        losses.append(float(value.item()))
    return np.array(losses)


def pretrain_layers(
    stack: StackedAutoencoder,
    inputs: np.ndarray,
    steps: int,
    batch_size: int = 32,
    lr: float = 1e-2,
    seed: int = 0,
) -> list[np.ndarray]:
    """Train the layers from the bottom up, one at a time, each on the outputs of those below it.

    stack    StackedAutoencoder;  inputs (n, d_0) array without labels
    steps    updates of each layer
    returns  one (steps,) array of reconstruction errors per layer
    """
    curves = []
    for depth, layer in enumerate(stack.layers):

        def loss(rows, rng, layer=layer, u=inputs):
            return layer.loss(u[rows], rng)

        parameters = layer.named_parameters()
        curve = minimize(loss, parameters, len(inputs), steps, batch_size, lr, seed + depth)
        curves.append(curve)
        with no_grad():  # from here on the layer is frozen
            inputs = layer.encode(Tensor(inputs)).numpy()  # (n, d_l) -> (n, d_{l+1})
    return curves


def train_classifier(
    stack: StackedAutoencoder,
    inputs: np.ndarray,
    labels: np.ndarray,
    steps: int,
    batch_size: int = 32,
    lr: float = 1e-2,
    seed: int = 0,
) -> np.ndarray:
    """The supervised phase: all layers together, by cross-entropy.

    inputs, labels  (n, d_0) array, (n,) integers
    returns         (steps,) losses
    """

    def loss(rows, rng):
        return cross_entropy(stack(Tensor(inputs[rows])), labels[rows])

    parameters = stack.supervised_parameters()
    return minimize(loss, parameters, len(inputs), steps, batch_size, lr, seed)
