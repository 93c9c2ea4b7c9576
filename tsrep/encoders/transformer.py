"""A Transformer over time: fused attention, rotary positions, tokens of one step or of patches."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tspcrep.common.dropout import Dropout
from tspcrep.common.errors import UserError
from tsrep.encoders.base import Encoder, Memory, with_past
from tsrep.encoders.resizing import known_span


class Transformer(Encoder):
    """Self-attention over the steps of a series, or over patches of them.

    ``x (B, T, C) -> patches (B, N, D) -> layers (B, N, D) -> one vector per step (B, T, D)``

    Pre-norm layers (Vaswani et al. 2017, sec. 3; Xiong et al. 2020), rotary positions (Su et al.
    2021, eq. 34), and patches as in PatchTST (Nie et al., ICLR 2023, sec. 3.1). The encoder of
    Zhang et al. (2023, sec. 3) is of width 128 with 8 heads and 5 layers; with the feed-forward
    width of ``2 * dim`` used here it has 664K parameters, theirs 655K. Their code has no
    positional encoding and samples keys at random, also at evaluation; here attention is exact, so
    forecasts are deterministic and depend on the order of steps.

    Parameters
    ----------
    in_channels : channels C of the input, read together.
    dim : channels D of the representation; a multiple of ``2 * heads``.
    depth : layers.
    heads : attention heads.
    patch : steps of a token.
    stride : steps between the ends of patches, from 1 to ``patch``; by default ``patch``, so that
        patches do not overlap, and 1 if causal. The last patch ends with the series. A step has the
        vector of the first patch that ends at or after it: the ``T`` vectors are
        ``N = ceil(T / stride)`` different ones, each repeated ``stride`` times.
    dropout : dropout rate of each residual branch. Attention weights are never dropped, so that
        fused attention kernels can be used.
    causal : step t depends on steps up to t. Requires ``stride=1``, since a step cannot wait for
        the end of its patch.
    positions : use rotary positions. Without them a series is a set of tokens; for ablations.

    A step with a missing value (NaN) adds nothing to its patch, and no token attends to a patch
    without any value. If not causal, patches are counted from the last known step of each series,
    so padding changes none of its vectors.

    ``forward(x, memory)`` continues a series as :class:`DilatedConv` does; the memory grows with
    the series, and so does the cost of a step. ``receptive_field`` is infinite. On a series much
    longer than the training windows, encode it through such windows (``encode(.., window=)``).
    """

    memory_grows = True

    def __init__(
        self,
        in_channels: int,
        dim: int = 64,
        depth: int = 2,
        heads: int = 4,
        patch: int = 1,
        stride: int | None = None,
        dropout: float = 0.1,
        causal: bool = True,
        positions: bool = True,
    ):
        super().__init__()
        if stride is None:
            stride = 1 if causal else patch
        if in_channels < 1 or depth < 0 or heads < 1 or dim < 1 or dim % (2 * heads):
            raise UserError(
                f"in_channels {in_channels}, dim {dim}, depth {depth}, heads {heads}: expected "
                "at least one channel and head, depth >= 0, and dim a multiple of 2 heads"
            )
        if not 1 <= stride <= patch:
            raise UserError(f"patch {patch}, stride {stride}: expected 1 <= stride <= patch")
        if causal and stride > 1:
            raise UserError(
                f"stride {stride}: a causal Transformer has a token for each step; "
                "set stride 1, or causal off"
            )
        if not 0 <= dropout < 1:
            raise UserError(f"dropout: found {dropout}, expected a share from 0 to below 1")
        self.in_channels, self.dim, self.depth, self.heads = in_channels, dim, depth, heads
        self.patch, self.stride, self.dropout = patch, stride, dropout
        self.causal, self.positions = causal, positions
        # One channel more says which steps are known; without a bias, a missing step adds nothing.
        self.input = nn.Linear((in_channels + 1) * patch, dim, bias=False)
        self.layers = nn.ModuleList(_Layer(dim, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def embed(self, x: Tensor) -> Tensor:
        """The values and a flag 1 at each step, (B, T, C) -> (B, T, C + 1); 0 at missing steps.

        The next layer is linear without a bias, so masking a step here masks its contribution to
        the first hidden layer, as AutoTCL does.
        """
        known = ~x.isnan().any(-1, keepdim=True)
        return torch.cat([torch.where(known, x, 0.0), known.to(x.dtype)], -1)

    def body(self, seen: Tensor, memory: Memory | None = None) -> Tensor:
        """The layers after ``embed``, (B, T, C + 1) -> (B, T, D)."""
        steps = torch.arange(seen.shape[1], device=seen.device)
        behind = None if self.causal else _padding(seen)
        if behind is not None:  # each series ends with its last known step, and begins with padding
            seen = _rows(seen, (steps - behind) % len(steps))
        y = self._attended(seen, memory)
        y = y.repeat_interleave(self.stride, 1)[:, -len(steps) :] if self.stride > 1 else y
        return y if behind is None else _rows(y, (steps + behind).clamp_max(len(steps) - 1))

    def every(self, x: Tensor, stride: int) -> Tensor:
        seen = self.embed(x)
        if self.causal or stride != self.stride or _padding(seen) is not None:
            return super().every(x, stride)
        return self._attended(seen)  # one vector per patch, not repeated

    def _attended(self, seen: Tensor, memory: Memory | None = None) -> Tensor:
        """(B, T, C + 1) -> (B, N, D)."""
        y, known = self._tokens(seen, memory)
        past = None if memory is None else memory.get(self)
        first = 0 if past is None else past.shape[1]
        if past is not None:
            known = torch.cat([past, known], 1)
        if memory is not None:
            memory[self] = known
        turn = _rotation(first, y.shape[1], self.dim // self.heads, y) if self.positions else None
        mask = self._visible(y.shape[1], known)
        for layer in self.layers:
            y = layer(y, turn, mask, self.causal and mask is None, memory)
        return self.norm(y)

    def _tokens(self, seen: Tensor, memory: Memory | None = None) -> tuple[Tensor, Tensor]:
        """Patches (B, N, D), and which of them hold a value (B, N)."""
        values = seen.transpose(1, 2)  # (B, C + 1, T)
        if self.causal:
            values = with_past(values, self.patch - 1, self.input, memory)
        elif memory is not None:
            raise ValueError("an encoder that is not causal cannot continue a stream")
        else:  # the last patch ends with the series
            count = -(-values.shape[-1] // self.stride)
            values = F.pad(values, ((count - 1) * self.stride + self.patch - values.shape[-1], 0))
        patches = values.unfold(-1, self.patch, self.stride)  # (B, C + 1, N, patch)
        known = patches[:, -1].amax(-1) > 0
        return self.input(patches.transpose(1, 2).flatten(2)), known

    def _visible(self, queries: int, known: Tensor) -> Tensor | None:
        """(B or 1, 1, queries, N): the tokens each token attends to; None for all, or all earlier.

        The queries are the last of the N tokens. A token always sees itself.
        """
        count, device = known.shape[1], known.device
        complete = bool(known.all())
        if complete and (not self.causal or queries == count):
            return None
        own = torch.ones(queries, count, dtype=torch.bool, device=device).tril(count - queries)
        itself = own & ~own.tril(count - queries - 1)
        before = own if self.causal else torch.ones_like(own)
        return ((before & known[:, None]) | itself)[:, None]


def _padding(seen: Tensor) -> Tensor | None:
    """Missing steps behind the last known one of each series (B, 1); None if there are none."""
    _, last = known_span(seen[..., -1] > 0)
    behind = seen.shape[1] - 1 - last[:, None]
    return behind if behind.any() else None


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """``x (B, T, D)`` at the steps ``index (B, T)`` of each series."""
    return x.gather(1, index[..., None].expand_as(x))


class _Layer(nn.Module):
    """``y = x + attention(norm(x))``, then ``y + feed_forward(norm(y))``, on (B, N, D)."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.drop = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        turn: Tensor | None,
        mask: Tensor | None,
        causal: bool,
        memory: Memory | None,
    ) -> Tensor:
        x = x + self.drop(self._attend(self.norm1(x), turn, mask, causal, memory))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))

    def _attend(
        self,
        x: Tensor,
        turn: Tensor | None,
        mask: Tensor | None,
        causal: bool,
        memory: Memory | None,
    ) -> Tensor:
        # (B, N, 3, heads, D / heads)
        heads = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        qk, v = heads[:, :, :2], heads[:, :, 2].transpose(1, 2)
        q, k = (qk if turn is None else _rotated(qk, turn)).permute(2, 0, 3, 1, 4)
        if memory is not None:
            pair = torch.stack([k, v])
            pair = torch.cat([memory[self], pair], -2) if self in memory else pair
            memory[self] = pair
            k, v = pair
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)
        return self.out(y.transpose(1, 2).flatten(2))


def _rotation(first: int, count: int, dim: int, like: Tensor) -> Tensor:
    """``exp(i t w_d)`` (count, 1, 1, dim / 2) of positions t from ``first`` (Su et al., eq. 15)."""
    steps = torch.arange(first, first + count, device=like.device, dtype=torch.float64)
    speeds = 1e4 ** -(torch.arange(0, dim, 2, device=like.device, dtype=torch.float64) / dim)
    angles = (steps[:, None] * speeds)[:, None, None]
    turn = torch.polar(torch.ones_like(angles), angles)
    return turn if like.dtype == torch.float64 else turn.to(torch.complex64)


def _rotated(x: Tensor, turn: Tensor) -> Tensor:
    """(B, N, .., dim), each pair of neighbours a complex number, turned by its position's angle."""
    pairs = x.to(turn.real.dtype).unflatten(-1, (-1, 2))  # half precision has no complex numbers
    return torch.view_as_real(torch.view_as_complex(pairs) * turn).flatten(-2).to(x.dtype)
