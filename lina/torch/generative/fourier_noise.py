"""fourier_noise: Gaussian noise with the mean and the power spectrum of data."""

from __future__ import annotations  # as text: the documentation is built without torch

from typing import Any, NamedTuple

import torch

from lina._core.checks import check_count
from lina.torch.generative.checks import check_samples


class FourierStatistics(NamedTuple):
    """What `fourier_noise` needs to know of data.

    Attributes
    ----------
    mean : tensor, shape (channels, ...)
        Of the data.
    amplitude : tensor, shape (channels, ..., n // 2 + 1)
        Standard deviations of their Fourier coefficients, orthonormal, of which the last axis has half.
    """

    mean: torch.Tensor
    amplitude: torch.Tensor


def fourier_statistics(x: torch.Tensor) -> FourierStatistics:
    """Return the mean and the spread of the Fourier coefficients of data.

    Parameters
    ----------
    x : tensor, shape (batch, channels, ...) with one spatial axis or more
        Real data, at least two samples.

    Returns
    -------
    statistics : FourierStatistics

    Raises
    ------
    TypeError
        If ``x`` is no tensor of real floats.
    ValueError
        If it has fewer than three axes or two samples, or is not finite.

    Notes
    -----
    One transform of the data, in their own precision; in float32 for half precision, which has no transforms.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import fourier_statistics
    >>> waves = torch.tensor([1.0, -1.0]).reshape(2, 1, 1) * torch.cos(torch.pi / 2 * torch.arange(8))
    >>> fourier_statistics(waves).amplitude.round(decimals=3).tolist()  # over the samples less one
    [[0.0, 0.0, 2.0, 0.0, 0.0]]
    """
    check_samples(x, "x")
    if x.ndim < 3 or len(x) < 2:
        wanted = "(batch, channels, ...), at least two samples and one spatial axis"
        raise ValueError(f"x must have shape {wanted}, got {tuple(x.shape)}")
    x = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    mean = x.mean(0)
    coefficients = torch.fft.rfftn(x - mean, dim=_axes(mean), norm="ortho")
    return FourierStatistics(mean, (coefficients.abs().square().sum(0) / (len(x) - 1)).sqrt())


def fourier_noise(
    data: torch.Tensor | FourierStatistics, n: int | None = None, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Return Gaussian noise with the mean and the power at every frequency that data have.

    Parameters
    ----------
    data : tensor, shape (batch, channels, ...), or FourierStatistics
        Data, or what `fourier_statistics` found of them, once for all.
    n : int, optional
        Number of samples; as many as the data by default, which statistics do not tell.
    generator : torch.Generator, optional
        Source of the draws.

    Returns
    -------
    z : tensor, shape (n, channels, ...)
        Without gradient, in the dtype and on the device of the data.

    Raises
    ------
    TypeError
        If data are no tensor of real floats, or ``n`` is missing or no int.
    ValueError
        As `fourier_statistics`, or if ``n`` is below 1.

    Notes
    -----
    White noise whose coefficients are multiplied by the amplitudes: frequencies are independent, so that differences of
    the noise from its mean are stationary, with the correlations that those of the data have on average over all
    positions. Channels are independent. Noise that an idempotent network is trained with should look like data to its
    first layers.

    Source: A. Shocher et al., Idempotent generative network, ICLR 2024, there with the real and the imaginary parts
    apart.

    Examples
    --------
    >>> import torch
    >>> from lina.torch import fourier_noise
    >>> waves = torch.tensor([1.0, -1.0]).reshape(2, 1, 1) * torch.cos(torch.pi / 2 * torch.arange(8)) + 5
    >>> z = fourier_noise(waves, 3)  # waves of this frequency, with random phases and heights, around 5
    >>> torch.allclose(z[..., :4] + z[..., 2:6], torch.tensor(10.0))
    True
    """
    if isinstance(data, FourierStatistics):
        if n is None:
            raise TypeError("n must be given with FourierStatistics, which do not tell the number of samples")
        mean, amplitude = data
        dtype = mean.dtype
    else:
        mean, amplitude = fourier_statistics(data)
        dtype = data.dtype
    count = check_count(len(data) if n is None else n, "n")
    where = mean.device if generator is None else generator.device
    white = torch.randn((count, *mean.shape), dtype=mean.dtype, generator=generator, device=where).to(mean.device)
    coefficients = torch.fft.rfftn(white, dim=_axes(mean), norm="ortho") * amplitude
    return (torch.fft.irfftn(coefficients, s=mean.shape[1:], dim=_axes(mean), norm="ortho") + mean).to(dtype)


def _axes(mean: torch.Tensor) -> tuple[Any, ...]:
    return tuple(range(1 - mean.ndim, 0))
