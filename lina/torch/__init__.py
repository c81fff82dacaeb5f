"""Differentiable torch operations on lina's kernels: the only room that imports torch.

The functions of the other rooms find these by themselves when they are given torch tensors.
"""

from lina.torch._op import register_op as register_op

__all__ = ["register_op"]
