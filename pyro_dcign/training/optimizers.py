"""The optimisers of a run: the released code's, and one that turns whole matrices."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_dcign.machine import tf32_matmul
from pyro_dcign.model import UnpoolConv2d

_ADAM = {"step", "exp_avg", "exp_avg_sq"}
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_LAYERS = (nn.Linear, nn.Conv2d, UnpoolConv2d)
_LEAST = 32


def adam(
    parameters: Iterable[nn.Parameter], *, learning_rate: float = 5e-4, capturable: bool = False
) -> torch.optim.Adam:
    """The released code's ``rmsprop.lua``, which is Adam with betas (0.9, 0.99) and no decay.

    The paper calls it RMSProp with momentum decay 0.1 and weight decay 0.01; the Lua shows that
    these are 1 - beta1 and 1 - beta2. One fused kernel updates every parameter.
    """
    held = list(parameters)
    # A captured step reads its rate from the device.
    rate = torch.tensor(learning_rate, device=held[0].device) if capturable else learning_rate
    return torch.optim.Adam(held, rate, betas=(0.9, 0.99), fused=True, capturable=capturable)


def orthogonalized(matrices: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    """Each matrix with its singular values moved to about 1, between 0.7 and 1.2.

    Five Newton-Schulz iterations X ← aX + b(XXᵀ)X + c(XXᵀ)²X with the coefficients of Jordan et al.
    2024 (Muon), for matrices of about one shape in one batch. On a GPU they run as they are
    written, in TF32, which is finer than the bfloat16 of Muon's authors. Elsewhere, where single
    precision costs no more, see :func:`_by_gram`.
    """
    wide = [m if len(m) <= m.shape[1] else m.T for m in matrices]
    kinds = [_kind(m) for m in wide]
    found = list(wide)
    for kind in sorted(set(kinds)):
        some = [i for i, own in enumerate(kinds) if own == kind]
        turn = _directly if wide[0].is_cuda else _by_gram
        for i, turned in zip(some, turn([wide[i] for i in some]), strict=True):
            found[i] = turned
    return [x if len(m) <= m.shape[1] else x.T for x, m in zip(found, matrices, strict=True)]


def _kind(matrix: Float[Tensor, "rows columns"]) -> tuple[int, int]:
    """Which batch a matrix goes into: by powers of 2 above its rows, and of 4 above its columns."""
    rows, columns = (max(6, (n - 1).bit_length()) for n in matrix.shape)
    return rows, (columns + 1) // 2 if matrix.is_cuda else 0


def _directly(matrices: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    # Sides in multiples of 16 for the tensor cores; what is padded stays zero.
    rows, columns = (-(-max(m.shape[k] for m in matrices) // 16) * 16 for k in range(2))
    x = matrices[0].new_zeros(len(matrices), rows, columns)
    for held, m in zip(x, matrices, strict=True):
        held[: len(m), : m.shape[1]] = m
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-15)
    a, b, c = _COEFFICIENTS
    with tf32_matmul(x, True):
        for _ in range(_ITERATIONS):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return [held[: len(m), : m.shape[1]] for held, m in zip(x, matrices, strict=True)]


def _by_gram(matrices: Sequence[Float[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _"]]:
    """The iterations as polynomials in the Gram matrix, which is all that is iterated on.

    Two products with the whole matrix instead of fifteen. A Gram matrix squares the condition, so
    single precision it is.
    """
    size = max(map(len, matrices))
    grams = torch.stack([_padded(m @ m.T, size) for m in matrices])
    # The trace of a Gram matrix is the squared Frobenius norm, which bounds its largest value.
    squares = grams.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(1e-30)[:, None, None]
    grams = grams / squares
    one = torch.eye(size, dtype=grams.dtype, device=grams.device)
    turn = one / squares.sqrt()
    a, b, c = _COEFFICIENTS
    for iteration in range(_ITERATIONS):
        q = torch.baddbmm(a * one + b * grams, grams, grams, alpha=c)
        turn = q @ turn if iteration else q * turn.diagonal(dim1=-2, dim2=-1)[:, :, None]
        if iteration < _ITERATIONS - 1:
            grams = q @ grams @ q
    return [turn[i, : len(m), : len(m)] @ m for i, m in enumerate(matrices)]


def _padded(square: Tensor, size: int) -> Tensor:
    missing = size - len(square)
    return torch.nn.functional.pad(square, (0, missing, 0, missing))


def hidden_weights(modules: nn.Module) -> list[nn.Parameter]:
    """Weights of linear and convolutional layers with 32 or more rows and columns.

    A convolution's rows are its output maps. The first and the last block, of one grey map, stay
    out, and so does whatever a guide holds for each image.
    """
    weights: list[Any] = [m.weight for m in modules.modules() if type(m) in _LAYERS]
    return [w for w in weights if min(len(w), w[0].numel()) >= _LEAST]


class Muon(torch.optim.Optimizer):
    """Momentum whose updates are orthogonalised, for weight matrices; Adam for the rest.

    Adam scales each number by its own history. A weight matrix maps one space into another, and
    Muon (Jordan et al. 2024) moves all its singular directions by the same amount: the update is
    the nearest orthogonal matrix to the Nesterov momentum of the gradient. Its size is
    0.2 √max(rows, columns), so that its numbers are as large as those of an Adam step and one
    learning rate serves both (Liu et al. 2025).

    Args:
        modules: Whose parameters are trained; see :func:`hidden_weights`.
        learning_rate: Of both.
        momentum: Of the matrices; Adam's betas are those of :func:`adam`.
        capturable: For a CUDA graph.
    """

    def __init__(
        self,
        modules: nn.Module,
        *,
        learning_rate: float = 5e-4,
        momentum: float = 0.95,
        capturable: bool = False,
    ) -> None:
        matrices = hidden_weights(modules)
        known = set(matrices)
        others = [p for p in modules.parameters() if p not in known]
        self.adam = adam(others, learning_rate=learning_rate, capturable=capturable)
        super().__init__([{"params": others}, {"params": matrices}], self.adam.defaults)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        # Loading a state makes new groups and a new state.
        self.adam.param_groups, self.adam.state = self.param_groups[:1], self.state
        self.adam.step()
        group = self.param_groups[1]
        weights = [w for w in group["params"] if w.grad is not None]
        if not weights:
            return
        averages = []
        for weight in weights:
            held = self.state[weight]
            if "exp_avg" not in held:
                held["exp_avg"] = torch.zeros_like(weight)
            averages.append(held["exp_avg"])
        gradients = [w.grad for w in weights]
        torch._foreach_lerp_(averages, gradients, 1 - self.momentum)
        ahead: Any = torch._foreach_lerp(gradients, averages, self.momentum)
        turned = orthogonalized([g.flatten(1) for g in ahead])
        sizes = [0.2 * max(t.shape) ** 0.5 for t in turned]
        updates: Any = torch._foreach_mul(turned, sizes)
        torch._foreach_mul_(updates, group["lr"])
        shaped = [u.reshape_as(w) for u, w in zip(updates, weights, strict=True)]
        torch._foreach_sub_(weights, shaped)


def load_optimizer(
    name: str, modules: nn.Module, *, learning_rate: float, capturable: bool = False
) -> torch.optim.Optimizer:
    """The optimiser of that name over all parameters of a module."""
    if name == "muon":
        return Muon(modules, learning_rate=learning_rate, capturable=capturable)
    return adam(modules.parameters(), learning_rate=learning_rate, capturable=capturable)


def kept_of(optimizer: torch.optim.Optimizer) -> list[set[str]]:
    """What an optimiser keeps of each parameter between steps, in the order of its groups."""
    names = [_ADAM, {"exp_avg"}]
    return [n for n, g in zip(names, optimizer.param_groups, strict=False) for _ in g["params"]]
