"""Differentiable torch operations on lina's kernels, and the layers built of them: the only room that imports torch.

The functions of the other rooms find their operations by themselves when they are given torch tensors.
"""

from lina.torch._op import register_op
from lina.torch.attention.cache import RotaryCache
from lina.torch.attention.decode import decode_attention
from lina.torch.attention.extrapolated import extrapolated_attention
from lina.torch.attention.key_norm import KeyNormAttention, RotaryAttention
from lina.torch.attention.merge import merge_attention
from lina.torch.decoder import RotaryDecoder
from lina.torch.diffusion.diffusers import DiffusersDenoiser
from lina.torch.diffusion.ema import EMA
from lina.torch.diffusion.k_diffusion import KDiffusionDenoiser
from lina.torch.diffusion.loss import DiffusionLoss
from lina.torch.diffusion.obstacles import guidance_obstacles
from lina.torch.diffusion.unet import UNet
from lina.torch.diffusion.uvit import UViT
from lina.torch.extrapolation import ExtrapolationTable, evaluate_extrapolation
from lina.torch.generative.coupling import CouplingFlow
from lina.torch.generative.fourier_noise import FourierStatistics, fourier_noise, fourier_statistics
from lina.torch.generative.ign_loss import IGNLoss, ign_loss
from lina.torch.generative.linearizer import IdempotentLinearizer
from lina.torch.generative.report import IdempotenceReport, idempotence_report
from lina.torch.generative.single_loss_gan import single_loss_gan
from lina.torch.huggingface.extend import Extension, extend
from lina.torch.layers.block import ResidualBlock
from lina.torch.layers.convert import LayerConversion, to_diagonal_layer, to_rational_layer
from lina.torch.layers.layer import StateSpaceLayer
from lina.torch.layers.legs_memory import LegSMemory
from lina.torch.layers.parameter_groups import parameter_groups
from lina.torch.layers.rtf import RTF
from lina.torch.layers.s4 import S4
from lina.torch.layers.s4d import S4D
from lina.torch.layers.sequence import SequenceClassifier, SequenceModel

__all__ = [
    "EMA",
    "RTF",
    "S4",
    "S4D",
    "CouplingFlow",
    "DiffusersDenoiser",
    "DiffusionLoss",
    "Extension",
    "ExtrapolationTable",
    "FourierStatistics",
    "IGNLoss",
    "IdempotenceReport",
    "IdempotentLinearizer",
    "KDiffusionDenoiser",
    "KeyNormAttention",
    "LayerConversion",
    "LegSMemory",
    "ResidualBlock",
    "RotaryAttention",
    "RotaryCache",
    "RotaryDecoder",
    "SequenceClassifier",
    "SequenceModel",
    "StateSpaceLayer",
    "UNet",
    "UViT",
    "decode_attention",
    "evaluate_extrapolation",
    "extend",
    "extrapolated_attention",
    "fourier_noise",
    "fourier_statistics",
    "guidance_obstacles",
    "idempotence_report",
    "ign_loss",
    "merge_attention",
    "parameter_groups",
    "register_op",
    "single_loss_gan",
    "to_diagonal_layer",
    "to_rational_layer",
]
