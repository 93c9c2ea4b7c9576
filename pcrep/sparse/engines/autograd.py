"""Gradients of any order of the engines' own kernels, from the kernels themselves.

A sparse convolution is bilinear in features and weights, so each of its derivatives is one of two
products over the same pairs of rows, and those of the products again. A gradient penalty, or a step
of optimisation that is differentiated through, therefore costs no further kernel.
"""

from typing import Any, Protocol

import torch
from torch import Tensor


class Products(Protocol):
    """The two products of an engine over a kernel map, without gradient.

    A depthwise convolution has weights (K, C), and products by element in place of by matrix.
    """

    def product(self, features: Tensor, weight: Tensor, kernel_map: Any) -> Tensor:
        """``out[o] = sum_k features[i_k(o)] @ weight[k]``: (N_in, C), (K, C, D) -> (N_out, D)."""

    def outer(self, features: Tensor, other: Tensor, kernel_map: Any) -> Tensor:
        """``out[k] = sum_o features[i_k(o)]^T other[o]``: (N_in, C), (N_out, D) -> (K, C, D)."""


class Sums(Protocol):
    """The sum of an engine over a kernel map, without gradient."""

    def sum(self, features: Tensor, kernel_map: Any) -> Tensor:
        """``out[o] = sum_k features[i_k(o)]``: (N_in, C) -> (N_out, C)."""


def convolve(products: Products, features: Tensor, weight: Tensor, kernel_map: Any) -> Tensor:
    """:meth:`Products.product`, differentiable as often as wanted."""
    return _Product.apply(features, weight, kernel_map, products)


def once(output: Tensor, whose: str) -> Tensor:
    """``output``, whose gradient raises NotImplementedError where it shall have one of its own.

    For kernels of ``whose`` package that autograd cannot follow: without this, a second derivative
    through them would silently be zero.
    """
    return _Once.apply(output, whose)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, kernel_map: Any, products: Products):
        ctx.save_for_backward(features, weight)
        ctx.extra = kernel_map, products
        return products.product(features.detach(), weight.detach(), kernel_map)

    @staticmethod
    def backward(ctx, grad: Tensor):
        features, weight = ctx.saved_tensors
        kernel_map, products = ctx.extra
        grad_features = grad_weight = None
        if ctx.needs_input_grad[0]:
            back = _transposed(weight)
            grad_features = _Product.apply(grad, back, kernel_map.swapped(), products)
        if ctx.needs_input_grad[1]:
            grad_weight = _Outer.apply(features, grad, kernel_map, products)
        return grad_features, grad_weight, None, None


def add(products: Sums, features: Tensor, kernel_map: Any) -> Tensor:
    """:meth:`Sums.sum`, differentiable as often as wanted."""
    return _Sum.apply(features, kernel_map, products)


class _Outer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: Tensor, other: Tensor, kernel_map: Any, products: Products):
        ctx.save_for_backward(features, other)
        ctx.extra = kernel_map, products
        return products.outer(features.detach(), other.detach(), kernel_map)

    @staticmethod
    def backward(ctx, grad: Tensor):
        features, other = ctx.saved_tensors
        kernel_map, products = ctx.extra
        grad_features = grad_other = None
        if ctx.needs_input_grad[0]:
            back = _transposed(grad)
            grad_features = _Product.apply(other, back, kernel_map.swapped(), products)
        if ctx.needs_input_grad[1]:
            grad_other = _Product.apply(features, grad, kernel_map, products)
        return grad_features, grad_other, None, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: Tensor, kernel_map: Any, products: Sums):
        ctx.extra = kernel_map, products
        return products.sum(features.detach(), kernel_map)

    @staticmethod
    def backward(ctx, grad: Tensor):
        kernel_map, products = ctx.extra
        return _Sum.apply(grad, kernel_map.swapped(), products), None, None


def _transposed(weight: Tensor) -> Tensor:
    """Weights of the way back: (K, C, D) -> (K, D, C); depthwise ones (K, C) stay."""
    return weight.mT if weight.ndim == 3 else weight


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, output: Tensor, whose: str):
        ctx.whose = whose
        return output.view_as(output)

    @staticmethod
    def backward(ctx, grad: Tensor):
        if torch.is_grad_enabled():  # which ``once_differentiable`` overlooks for a constant grad
            raise NotImplementedError(
                f"found a gradient through {ctx.whose} with create_graph=True, expected a first "
                "derivative alone; engine='torch', 'numba' and 'triton' have all of them"
            )
        return grad, None
