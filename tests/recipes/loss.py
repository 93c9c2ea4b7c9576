"""A toy loss: the mean cosine distance of two views."""

from torch import Tensor
from torch.nn.functional import cosine_similarity


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    return (1 - cosine_similarity(first, second)).mean()
