"""Conversions of layers: the same outputs in another form, and figures that say how far they can be trusted."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="NOT TESTED: the torch room, because there is no torch")

from lina._core.errors import AccuracyWarning  # noqa: E402
from lina.torch import RTF, S4, S4D, to_diagonal_layer, to_rational_layer  # noqa: E402
from tests.reference.ssm_systems import full_matrices, transform  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")]

# pairs of poles far from 1, that coefficients determine
WIDE = {"dt_min": 0.3, "dt_max": 1.0}
OF_LOW_RANK = {
    "legs": lambda: S4(3, 8),
    "legs, odd": lambda: S4(3, 7),
    "one state": lambda: S4(3, 1),
    "legt": lambda: S4(3, 8, init="legt"),
    "fout": lambda: S4(3, 9, init="fout"),
    "fourier_legs": lambda: S4(3, 64, init="fourier_legs"),
}
MODAL = {
    "S4": lambda: S4(3, 6, **WIDE),
    "S4, odd": lambda: S4(3, 5, **WIDE),
    "S4D": lambda: S4D(3, 6, **WIDE),
    "S4D, odd": lambda: S4D(3, 5, **WIDE),
    "S4D, one state": lambda: S4D(3, 1, **WIDE),
    "S4D, bilinear": lambda: S4D(3, 6, method="bilinear", **WIDE),
}
WITHIN = {torch.float64: 1e-10, torch.float32: 2e-5}
dtypes = pytest.mark.parametrize("dtype", WITHIN)
constraints = pytest.mark.parametrize("constraint", [None, "reflection"])


def moved(make, dtype=torch.float64, size=0.1, seed=0):
    """Return a layer whose parameters are not those of its beginning: of those of LegS nothing could be converted."""
    torch.manual_seed(seed)
    layer = make().to(dtype)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(size * torch.randn_like(p))
    return layer


def signal(dtype=torch.float64, length=200):
    return torch.randn(2, length, 3, dtype=dtype, generator=torch.Generator().manual_seed(1))


def difference(old, new, dtype):
    with torch.no_grad():
        expected, found = old(signal(dtype)), new(signal(dtype))
    assert found.dtype == expected.dtype == dtype
    return float((found - expected).abs().max() / expected.abs().max())


def doubled(x):
    return x.detach().to(torch.complex128 if x.is_complex() else torch.float64).numpy()


def matrices(layer):
    """Return discrete complex (A, B, C) of each channel, of whole conjugate pairs, from the parameters alone."""
    Lambda, B, C, dt = (doubled(x) for x in layer.continuous())
    P = doubled(layer.low_rank()) if isinstance(layer, S4) else [None] * len(dt)
    found = []
    for h, step in enumerate(dt):
        A, driven, read = full_matrices(Lambda[h], P[h], B[h], C[h])
        if isinstance(layer, S4) or layer.method == "bilinear":
            A, driven = transform(A, driven, step, 0.5)
        else:
            poles = np.diag(A)
            A, driven = np.diag(np.exp(poles * step)), np.expm1(poles * step) / poles * driven
        found.append((A, driven, read))
    return found


def response(layer, angles):
    """Return the sums of all taps times z^l (channels, angles) at points of the unit circle."""
    z = np.exp(-1j * angles)
    if isinstance(layer, RTF):
        a, b = (doubled(x) for x in layer.fraction())
        return np.stack([np.polyval(q[::-1], z) / np.polyval(np.r_[p[::-1], 1], z) for p, q in zip(a, b, strict=True)])
    rows = []
    for A, B, C in matrices(layer):
        systems = np.eye(len(A)) - z[:, None, None] * A
        rows.append(np.linalg.solve(systems, np.broadcast_to(B[:, None], (len(z), len(B), 1)))[..., 0] @ C)
    return np.stack(rows)


@dtypes
@pytest.mark.parametrize("name", OF_LOW_RANK)
def test_the_diagonal_layer_has_the_outputs_of_the_one_it_is_made_of(name, dtype):
    layer = moved(OF_LOW_RANK[name], dtype)
    found = to_diagonal_layer(layer)
    assert isinstance(found.layer, S4D)
    assert found.layer.method == "bilinear"
    assert difference(layer, found.layer, dtype) <= WITHIN[dtype]
    assert found.error.shape == found.condition.shape == (3,)
    assert np.all(found.error < (1e-9 if dtype == torch.float64 else 1e-3))


@dtypes
@constraints
@pytest.mark.parametrize("name", MODAL)
def test_the_rational_layer_has_the_outputs_of_the_one_it_is_made_of(name, constraint, dtype):
    layer = moved(MODAL[name], dtype)
    found = to_rational_layer(layer, constraint=constraint)
    assert isinstance(found.layer, RTF)
    assert found.layer.constraint == constraint
    assert found.layer.state == layer.state  # a real mode is one state
    assert difference(layer, found.layer, dtype) <= WITHIN[dtype]
    assert found.error.shape == found.condition.shape == (3,)
    assert np.all(found.error < (1e-9 if dtype == torch.float64 else 1e-3))


def test_a_layer_is_converted_twice_by_way_of_the_diagonal_one():
    layer = moved(MODAL["S4"])
    twice = to_rational_layer(to_diagonal_layer(layer).layer).layer
    assert difference(layer, twice, torch.float64) <= 1e-10


def test_the_condition_of_a_diagonal_layer_is_that_of_the_eigenvectors():
    for make in (OF_LOW_RANK["legs"], OF_LOW_RANK["fourier_legs"]):
        layer = moved(make)
        found = to_diagonal_layer(layer).condition
        # steps move the eigenvalues only, not the vectors
        expected = [np.linalg.cond(np.linalg.eig(A)[1]) for A, _, _ in matrices(layer)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["S4", "S4D", "S4D, bilinear"])
def test_the_condition_of_a_rational_layer_is_that_of_its_denominators(name):
    layer = moved(MODAL[name])
    found = to_rational_layer(layer).condition
    for h, (A, _, _) in enumerate(matrices(layer)):
        poles = np.linalg.eigvals(A)
        angles = np.r_[np.linspace(0, 2 * np.pi, 20001), np.angle(poles)]
        values = np.polyval(np.poly(poles)[::-1], np.exp(-1j * angles))
        assert found[h] == pytest.approx(np.sum(np.abs(np.poly(poles))) / np.min(np.abs(values)), rel=0.05)


CONVERTED_BADLY = {
    "S4 to S4D": (lambda: S4(3, 12), to_diagonal_layer),
    "S4D to RTF": (lambda: S4D(3, 7, dt_min=0.01, dt_max=0.02), to_rational_layer),
    "S4D to RTF, reflection": (
        lambda: S4D(3, 6, dt_min=0.01, dt_max=0.02),
        lambda layer: to_rational_layer(layer, constraint="reflection"),
    ),
}


@pytest.mark.filterwarnings("ignore:the response.*keep the S4")
@pytest.mark.parametrize("name", CONVERTED_BADLY)
def test_the_error_is_that_of_the_responses_of_the_parameters(name):
    make, convert = CONVERTED_BADLY[name]
    torch.manual_seed(0)
    layer = make().double()
    found = convert(layer)
    for h, (A, _, _) in enumerate(matrices(layer)):
        angles = np.r_[np.linspace(0, np.pi, 1001), np.angle(np.linalg.eigvals(A))]
        before, after = response(layer, angles)[h], response(found.layer, angles)[h]
        error = np.max(np.abs(after - before)) / np.max(np.abs(before))
        assert error > 1e-9  # not rounding alone: otherwise there were nothing to compare
        assert error / 3 <= found.error[h] <= 3 * error


@pytest.mark.parametrize("convert", [to_diagonal_layer, to_rational_layer])
def test_rounding_to_single_precision_is_part_of_the_error(convert):
    layer = moved(MODAL["S4"], torch.float32)
    narrow, wide = convert(layer).error, convert(moved(MODAL["S4"], torch.float32).double()).error
    assert np.all(wide < 1e-11)
    assert np.all(narrow > 1e-8)


HOPELESS = {
    "LegS of 40 states": (lambda: S4(3, 40), to_diagonal_layer, "S4"),
    "LegS of 32 states": (lambda: S4(3, 32), to_diagonal_layer, "S4"),
    "S4D-Lin in steps of 0.01": (lambda: S4D(3, 32, dt_min=0.01, dt_max=0.01), to_rational_layer, "S4D"),
    "S4 in steps of 0.01": (lambda: S4(3, 32, dt_min=0.01, dt_max=0.01), to_rational_layer, "S4"),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_what_is_hopeless_gives_one_warning_for_all_channels(name):
    make, convert, kept = HOPELESS[name]
    torch.manual_seed(0)
    layer = make().double()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = convert(layer)
    assert [each.category for each in seen] == [AccuracyWarning]
    assert seen[0].filename == __file__
    worst = int(np.argmax(found.error))
    text = str(seen[0].message)
    assert text.startswith(f"the response of channel {worst} is off by {found.error[worst]:.1e}")
    assert f"{np.sum(found.error > 1e-3)} of 3 channels" in text
    assert text.endswith(f"keep the {kept}")
    assert np.max(found.condition) > 1e6


def test_what_has_digits_gives_no_warning():  # which would be an error
    to_diagonal_layer(moved(lambda: S4(3, 24)))
    to_rational_layer(moved(MODAL["S4D"]))


def test_reflection_coefficients_keep_a_converted_layer_stable_in_training():
    layer = to_rational_layer(moved(MODAL["S4D"]), constraint="reflection").layer
    with torch.no_grad():
        layer.rho.mul_(1.5).add_(0.5 * torch.randn_like(layer.rho))
    assert float(layer.check_stability().min()) > 0


def test_reflection_coefficients_are_refused_where_rounding_made_a_denominator_unstable():
    layer = HOPELESS["S4D-Lin in steps of 0.01"][0]().double()
    with pytest.raises(ValueError, match=r"layer must have stable denominators .* poles of 3 channels out of the unit"):
        to_rational_layer(layer, constraint="reflection")


def test_channels_with_different_numbers_of_real_poles_are_filled_with_modes_of_weight_zero():
    layer = S4(3, 4).double()
    with torch.no_grad():
        layer.P.zero_()
        layer.log_decay.zero_()
        layer.log_dt.zero_()
        layer.frequency.copy_(torch.tensor([0.1, 2.0]))
        layer.P[1, :, 0, 0] = 1.0  # joins the first pair to two real poles
        layer.P[2, :, :, 0] = 3.0
    poles = [np.linalg.eigvals(A) for A, _, _ in matrices(layer)]
    modes = [int(np.sum(each.imag > -1e-9)) for each in poles]  # one of each pair, and the real ones
    assert len(set(modes)) > 1
    found = to_diagonal_layer(layer)
    assert found.layer.state == 2 * max(modes)
    unused = (found.layer.C.detach().abs().sum(-1) == 0) & (found.layer.B.detach().abs().sum(-1) == 0)
    assert unused.sum(-1).tolist() == [max(modes) - each for each in modes]
    assert difference(layer, found.layer, torch.float64) <= 1e-12
    assert np.all(found.error < 1e-12)
    assert difference(layer, to_rational_layer(layer).layer, torch.float64) <= 1e-11


@dtypes
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_dtype_device_and_D_are_kept_and_the_layer_is_left_as_it_was(device, dtype):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("NOT TESTED: layers on a GPU, because there is none")
    layer = moved(MODAL["S4"], dtype).to(device)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    for new in (to_diagonal_layer(layer).layer, to_rational_layer(layer).layer):
        assert new.channels == 3
        for p in new.parameters():
            assert p.dtype == dtype
            assert p.device == layer.D.device
            assert p.requires_grad
        assert torch.equal(new.D, layer.D)
        assert new.D is not layer.D
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("convert", [to_diagonal_layer, to_rational_layer])
def test_the_layer_may_be_half_precise_and_is_converted_in_single_precision(convert):
    layer = moved(MODAL["S4"]).to(torch.bfloat16)
    new = convert(layer).layer
    assert new.dtype == torch.float32
    assert difference(layer, new, torch.float32) <= 2e-5


@pytest.mark.parametrize("name", ["diagonal", "rational", "rational, reflection"])
def test_steps_parts_and_whole_sequences_of_a_converted_layer_agree(name):
    layer = moved(MODAL["S4, odd"])
    new = {
        "diagonal": to_diagonal_layer,
        "rational": to_rational_layer,
        "rational, reflection": lambda layer: to_rational_layer(layer, constraint="reflection"),
    }[name](layer).layer
    x = signal(length=50)
    with torch.no_grad():
        expected = layer(x)
        first, state = new.prefill(x[:, :20])
        rows = [first]
        for t in range(20, 50):
            y, state = new.step(x[:, t], state)
            rows.append(y[:, None])
    found = torch.cat(rows, 1)
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-10


@pytest.mark.parametrize("convert", [to_diagonal_layer, to_rational_layer])
def test_a_converted_layer_is_trained_like_any_other(convert):
    new = convert(moved(MODAL["S4"])).layer
    wanted = signal(length=30)
    optimiser = torch.optim.SGD(new.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        loss = (new(signal(length=30)) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_what_cannot_be_converted_is_refused():
    with pytest.raises(TypeError, match="layer must be S4, got S4D"):
        to_diagonal_layer(S4D(2, 4))
    with pytest.raises(TypeError, match="layer must be S4 or S4D, got RTF"):
        to_rational_layer(RTF(2, 4))
    with pytest.raises(TypeError, match="layer must be S4 or S4D, got Linear"):
        to_rational_layer(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"constraint must be .*reflection.*montel"):
        to_rational_layer(S4D(2, 4), constraint="montel")


@pytest.mark.parametrize("convert", [to_diagonal_layer, to_rational_layer])
def test_both_directions_are_converted(convert):
    layer = moved(lambda: S4(3, 4, bidirectional=True))
    found = convert(layer)
    x = torch.randn(2, 50, 3, dtype=torch.float64)
    torch.testing.assert_close(found.layer(x), layer(x), rtol=0, atol=1e-8 * layer(x).abs().max().item())
    half = convert(layer.reverse)
    assert np.all(found.condition >= half.condition)


def test_a_conversion_draws_nothing():
    layer = moved(lambda: S4(3, 4))
    before = torch.random.get_rng_state()
    to_rational_layer(to_diagonal_layer(layer).layer)
    assert torch.equal(torch.random.get_rng_state(), before)
