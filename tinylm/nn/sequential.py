"""Parts one after the other: the output of each is the input of the next. Read next: block.py."""

from collections.abc import Callable, Iterator

from tinylm.autograd import Tensor
from tinylm.errors import ConfigError
from tinylm.nn.module import Module


class Sequential(Module):
    """Sequential(f, g, h)(x) is h(g(f(x))).

        net = nn.Sequential(nn.Linear(8, 32), tl.gelu, nn.Dropout(0.1), nn.Linear(32, 2))

    parts   modules, or functions of one Tensor such as tl.gelu; [i], [i:j], len() and iteration
            give them again. Parameters are named "parts.0.weight", ...
    raises  ConfigError for a part that cannot be called, such as a list or a class

    Check: tinylm gradcheck nn.Sequential
    """

    def __init__(self, *parts: Callable) -> None:
        for i, part in enumerate(parts):
            if isinstance(part, type) or not callable(part):
                raise ConfigError(
                    f"Sequential: part {i} is {part!r:.60}, and must be a module or a function of "
                    "one Tensor: Sequential(nn.Linear(3, 4), tl.gelu), or Sequential(*parts)"
                )
        self.parts = list(parts)

    def __call__(self, x: Tensor) -> Tensor:
        """The last part's output."""
        for part in self.parts:
            x = part(x)
        return x

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Callable]:
        return iter(self.parts)

    def __getitem__(self, i: int | slice) -> Callable:
        if isinstance(i, slice):
            return Sequential(*self.parts[i])
        return self.parts[i]
