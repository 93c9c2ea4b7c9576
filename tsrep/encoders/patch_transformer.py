"""A Transformer over patches of a series and of its differences, for series of any length."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tspcrep.common.errors import UserError
from tsrep.encoders.base import Encoder, Memory
from tsrep.encoders.resizing import filled, known_span, resized, spread

_WIDTH = 17  # taps of the convolution, about a patch


class PatchTransformer(Encoder):
    """Attention over a fixed number of patches, into which a series of any length is divided.

    ``x (B, T, C) -> grid (B, N P, C) -> tokens (B, N, D) -> layers (B, N, D) -> z (B, T, D)``

    The series, from its first known value to its last, is resized to ``tokens * patch`` steps and
    standardised. A token reads a patch of it and of its first differences, standardised too, in two
    ways: linearly, as PatchTST does (Nie et al., ICLR 2023, sec. 3.1), and by a convolution whose
    mean and maximum over the patch do not depend on where in the patch something happens. Mantis
    (Feofanov et al. 2025, sec. 3) has the same two channels and 32 tokens. A step has the vector
    between those of the patches around it.

    :meth:`summary`, the vector of a series, adds what standardising took away: the scale.

    Parameters
    ----------
    in_channels : channels C of the input, read together.
    dim : channels D of tokens and vectors; a multiple of ``2 * heads``.
    depth : layers.
    heads : attention heads.
    tokens, patch_steps : number N of patches, and steps P of each on the grid.
    filters : channels of the convolution.

    Missing steps (NaN) inside a series lie on the line between their neighbours; those before its
    first value and behind its last do not enter, so padding changes nothing. Not causal.
    """

    causal = False

    def __init__(
        self,
        in_channels: int,
        dim: int = 128,
        depth: int = 4,
        heads: int = 4,
        tokens: int = 32,
        patch_steps: int = 16,
        filters: int = 64,
    ):
        super().__init__()
        least = min(in_channels, dim, heads, tokens, patch_steps, filters)
        if least < 1 or depth < 0 or dim % (2 * heads):
            raise UserError(
                f"in_channels {in_channels}, dim {dim}, depth {depth}, heads {heads}, tokens "
                f"{tokens}, patch_steps {patch_steps}, filters {filters}: expected at least 1 "
                "each, depth >= 0, and dim a multiple of 2 heads"
            )
        self.in_channels, self.dim, self.depth, self.heads = in_channels, dim, depth, heads
        self.tokens, self.patch_steps, self.filters = tokens, patch_steps, filters
        self.convolution = nn.Conv1d(2 * in_channels, filters, _WIDTH, padding=_WIDTH // 2)
        self.shapes = nn.Linear(2 * filters, dim)
        self.values = nn.Linear(2 * in_channels * patch_steps, dim, bias=False)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, dim))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, heads, 2 * dim, 0.0, F.gelu, batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    @classmethod
    def default_depth(cls, reach: int) -> int:
        return 4

    @property
    def pooled_dim(self) -> int:
        return 2 * self.dim

    def embed(self, x: Tensor) -> Tensor:
        """The values and a flag 1 at each step, (B, T, C) -> (B, T, C + 1); 0 at missing steps."""
        known = ~x.isnan().any(-1, keepdim=True)
        return torch.cat([torch.where(known, x, 0.0), known.to(x.dtype)], -1)

    def body(self, seen: Tensor, memory: Memory | None = None) -> Tensor:
        """The layers after ``embed``, (B, T, C + 1) -> (B, T, D)."""
        if memory is not None:
            raise ValueError("an encoder that is not causal cannot continue a stream")
        grid, first, last = self._grid(seen)
        return spread(self.attend(self.tokenise(grid)), first, last, seen.shape[1])

    def summary(self, x: Tensor) -> Tensor:
        """:meth:`pooled`, the same of the middle layer, and the scale: (B, T, C) -> (B, 4 D + 3 C).

        The last layers serve the contrast; with the middle one, normalised, a ridge on frozen
        vectors was a point better on the train halves of 40 sets. The scale is, for each channel,
        the logarithms of the deviation and of that of the differences, and the mean in units of
        the deviation, squashed.
        """
        grid = self.grid(x)
        middle = self._through(self.tokenise(grid), self.layers[: self.depth // 2])
        z = self.norm(self._through(middle, self.layers[self.depth // 2 :]))
        middle = F.layer_norm(middle, (self.dim,))
        return torch.cat([_pool(z), _pool(middle), _scale(grid)], -1)

    def pooled(self, x: Tensor, shown: Tensor | None = None) -> Tensor:
        """Mean and maximum over tokens, (B, T, C) -> (B, 2 D).

        Free of the scale, by which crops of a series would be found without a look at its shape.
        shown: the only tokens that are read, indices (B, n).
        """
        tokens = self.tokenise(self.grid(x))
        if shown is not None:
            tokens = tokens.gather(1, shown[..., None].expand(-1, -1, self.dim))
        return _pool(self.attend(tokens))

    def grid(self, x: Tensor) -> Tensor:
        """The series without padding on the grid, (B, T, C) -> (B, N P, C)."""
        return self._grid(self.embed(x))[0]

    def tokenise(self, grid: Tensor) -> Tensor:
        """Series on the grid as tokens with their positions, (B, N P, C) -> (B, N, D)."""
        change = grid.diff(dim=1, prepend=grid[:, :1])
        both = torch.cat([_standard(grid), _standard(change)], -1)  # (B, N P, 2 C)
        patches = both.unflatten(1, (self.tokens, -1)).flatten(2)  # (B, N, P 2 C)
        y = F.gelu(self.convolution(both.transpose(1, 2))).unflatten(-1, (self.tokens, -1))
        found = torch.cat([y.mean(-1), y.amax(-1)], 1).transpose(1, 2)  # (B, N, 2 filters)
        return self.shapes(found) + self.values(patches) + self.positions

    def attend(self, tokens: Tensor) -> Tensor:
        """The layers, (B, n, D) -> (B, n, D), for any of the tokens."""
        return self.norm(self._through(tokens, self.layers))

    @staticmethod
    def _through(tokens: Tensor, layers: nn.ModuleList) -> Tensor:
        for layer in layers:
            tokens = layer(tokens)
        return tokens

    def _grid(self, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, known = seen[..., :-1], seen[..., -1] > 0
        first, last = known_span(known)
        grid = resized(filled(x, known), first, last, self.tokens * self.patch_steps)
        return grid, first, last


def _pool(z: Tensor) -> Tensor:
    """Mean and maximum over tokens, (B, N, D) -> (B, 2 D)."""
    return torch.cat([z.mean(1), z.amax(1)], -1)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over steps, (B, 1, C) each; 0 for deviations that rounding can make."""
    wide = x.double()  # squares of large values leave single precision
    mean = wide.mean(1, keepdim=True)
    deviation = (wide - mean).square().mean(1, keepdim=True).clamp_min(1e-24).sqrt()
    deviation = torch.where(deviation > 1e-6 * mean.abs() + 1e-11, deviation, 0.0)
    return mean.to(x.dtype), deviation.to(x.dtype)


def _standard(x: Tensor) -> Tensor:
    """Each series and channel with mean 0 and deviation 1, (B, T, C); a constant one is 0."""
    mean, deviation = _moments(x)
    return torch.where(deviation > 0, (x - mean) / deviation.clamp_min(1e-12), 0.0)


def _scale(grid: Tensor) -> Tensor:
    """(B, 3 C) of series (B, L, C): see :meth:`PatchTransformer.summary`."""
    mean, deviation = _moments(grid)
    _, change = _moments(grid.diff(dim=1))
    ratio = torch.asinh(mean / deviation.clamp_min(1e-3))
    logs = [torch.log(part.clamp_min(1e-3)) for part in (deviation, change)]
    return torch.cat([*logs, ratio], -1)[:, 0]
