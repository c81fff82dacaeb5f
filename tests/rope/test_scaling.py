"""RotaryScaling: parameters and their defaults, logit scales, schedules, and what it refuses."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest

from lina.rope import RotaryScaling, bucket_of, log_n_scale, rotate, suggest
from lina.rope._parameters import FREQUENCY_KINDS, KINDS, POSITION_KINDS

OPTIONS = {
    **{kind: {"factor": 4} for kind, parameters in KINDS.items() if "factor" in parameters},
    "self_extend": {"group": 4},
    "longrope": {"factor": 4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4},
}


def scaling(kind, L=256, **options):
    return RotaryScaling(kind, **{"head_dim": 8, "original_length": L, **OPTIONS.get(kind, {}), **options})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_whole_contract(kind):
    made = scaling(kind)
    assert (made.kind, made.rotary_dim, made.layout, made.schedule) == (kind, 8, "half", "static")
    assert made.inv_freq().shape == (4,)
    assert made.inv_freq(1000).dtype == made.query_scale([0, 5]).dtype == made.position_matrix(3).dtype == np.float64
    assert made.changes_positions == (kind in POSITION_KINDS)
    assert np.all(np.diff(made.inv_freq()) < 0)


@pytest.mark.parametrize("kind", KINDS)
def test_it_equals_its_copies_and_its_repr(kind):
    made = (
        scaling(kind, rotary_dim=4, layout="interleaved", short_factor=None, long_factor=None)
        if (kind != "longrope")
        else scaling(kind)
    )
    assert pickle.loads(pickle.dumps(made)) == made == copy.deepcopy(made)
    assert hash(made) == hash(copy.copy(made))
    assert eval(repr(made)) == made


def test_windows_follow_from_the_trained_length():
    windows = {kind: scaling(kind).window for kind in POSITION_KINDS}
    assert windows == {
        "rerope": 128,
        "leaky_rerope": 128,
        "self_extend": 128,
        "window": 256,
        "sink": 252,
        "lambda_mask": 256,
    }
    assert {kind: scaling(kind).sinks for kind in POSITION_KINDS if scaling(kind).sinks} == {
        "sink": 4,
        "lambda_mask": 10,
    }
    assert scaling("rerope", 1).window == 1


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError):
        scaling("none").base = 1.0


def static(kind="linear", **options):
    return RotaryScaling(kind, **{"head_dim": 8, "original_length": 64, "factor": 4.0} | options)


BAD = [
    ({"trained": static()}, ValueError, "trained must be left out for kind 'none', which has frequencies of its own"),
    ({"kind": "rerope", "trained": "llama3"}, TypeError, "trained must be a RotaryScaling or None, got str"),
    ({"kind": "rerope", "trained": static("dynamic")}, ValueError, "trained must be a static .*, got 'dynamic'"),
    ({"kind": "rerope", "trained": static("rerope", factor=None)}, ValueError, "trained must be a static .*, got 'rer"),
    (
        {"kind": "rerope", "trained": static(factor=None, schedule="row_bucket")},
        ValueError,
        "trained must be a static scaling of .*, got 'linear' with schedule 'row_bucket'",
    ),
    (
        {"kind": "rerope", "trained": static(base=5e5)},
        ValueError,
        "base must be that of trained, 500000.0, got 10000.0",
    ),
    ({"kind": "xpos"}, ValueError, "kind must be one of 'none', .*, got 'xpos'"),
    ({"head_dim": 7}, ValueError, "head_dim must be even, got 7"),
    ({"head_dim": 8.0}, TypeError, "head_dim must be an int, got float"),
    ({"head_dim": 0}, ValueError, "head_dim must be at least 2, got 0"),
    ({"rotary_dim": 10}, ValueError, "rotary_dim must be at most head_dim = 8, got 10"),
    ({"original_length": 0}, ValueError, "original_length must be at least 1, got 0"),
    ({"original_length": True}, TypeError, "original_length must be an int, got bool"),
    ({"base": 1.0}, ValueError, "base must be finite and above 1, got 1.0"),
    ({"base": "large"}, TypeError, "base must be a number, got str"),
    ({"layout": "neox"}, ValueError, "layout must be one of 'half', 'interleaved', got 'neox'"),
    ({"schedule": "auto"}, ValueError, "schedule must be one of"),
    ({"factor": 2.0}, ValueError, "factor must be left out for kind 'none', got 2.0"),
    ({"kind": "linear"}, ValueError, "factor must be given for kind 'linear'"),
    ({"kind": "yarn", "factor": 0.5}, ValueError, "factor must be finite and at least 1, got 0.5"),
    ({"kind": "yarn", "factor": math.inf}, ValueError, "factor must be finite and at least 1, got inf"),
    ({"kind": "yarn", "factor": 2, "ramp": "linear"}, ValueError, "ramp must be one of 'dims', 'turns'"),
    ({"kind": "yarn", "factor": 2, "beta_fast": 1}, ValueError, "beta_fast must be above beta_slow = 1, got 1"),
    ({"kind": "yarn", "factor": 2, "truncate": 1}, TypeError, "truncate must be a bool, got int"),
    (
        {"kind": "llama3", "factor": 2, "low_freq_factor": 4},
        ValueError,
        "high_freq_factor must be above low_freq_factor",
    ),
    ({"kind": "ntk", "factor": 2, "rotary_dim": 2}, ValueError, "rotary_dim must be at least 4 for kind 'ntk'"),
    ({"kind": "ntk_mixed", "factor": 2, "exponent": -1}, ValueError, "exponent must be finite and at least 0, got -1"),
    ({"kind": "rerope", "window": 257}, ValueError, "window must be at most original_length = 256, got 257"),
    ({"kind": "rerope", "window": 0}, ValueError, "window must be at least 1, got 0"),
    ({"kind": "rerope", "window": 8.0}, TypeError, "window must be an int, got float"),
    ({"kind": "rerope", "schedule": "row_bucket"}, ValueError, "schedule must be 'static' for kind 'rerope'"),
    ({"kind": "sink", "window": 253}, ValueError, "window must be at most original_length - sinks = 252, got 253"),
    ({"kind": "sink", "sinks": 256}, ValueError, "sinks must be below original_length = 256, got 256"),
    ({"kind": "lambda_mask", "sinks": -1}, ValueError, "sinks must be at least 0, got -1"),
    ({"kind": "leaky_rerope", "factor": 0}, ValueError, "factor must be finite and above 0, got 0"),
    ({"kind": "self_extend"}, ValueError, "group must be given for kind 'self_extend'"),
    ({"kind": "self_extend", "group": 0}, ValueError, "group must be at least 1, got 0"),
    ({"kind": "self_extend", "group": 2, "factor": 2}, ValueError, "factor must be left out for kind 'self_extend'"),
    ({"kind": "longrope", "factor": 2}, ValueError, "short_factor and long_factor must be given for kind 'longrope'"),
    ({"logit_scale": "yarn"}, ValueError, "logit_scale must not be 'yarn' for kind 'none'"),
    ({"logit_scale": "log"}, ValueError, "logit_scale must be None, 'yarn', .*, got 'log'"),
    ({"logit_scale": 0}, ValueError, "logit_scale must be finite and above 0, got 0"),
    ({"logit_scale": "log_n", "original_length": 1}, ValueError, "original_length must be at least 2, got 1"),
    (
        {"kind": "yarn", "factor": 2, "schedule": "row_bucket"},
        ValueError,
        "factor must be left out for schedule 'row_bucket', which sets it, got 2",
    ),
    (
        {"kind": "longrope", "factor": 2, "short_factor": [1.0] * 3, "long_factor": [1.0] * 4},
        ValueError,
        r"short_factor must have rotary_dim / 2 = 4 entries, got shape \(3,\)",
    ),
    (
        {"kind": "longrope", "factor": 2, "short_factor": [1.0] * 4, "long_factor": [1.0, 2.0, 0.0, 1.0]},
        ValueError,
        "long_factor must be finite and positive",
    ),
]


@pytest.mark.parametrize(("options", "error", "text"), BAD)
def test_bad_parameters_are_refused_by_name(options, error, text):
    with pytest.raises(error, match=text):
        RotaryScaling(**{"kind": "none", "head_dim": 8, "original_length": 256, **options})


def test_logit_scales_are_on_the_query_and_as_printed():
    n = np.array([0, 255, 256, 65535])
    np.testing.assert_array_equal(scaling("yarn").query_scale(n), np.ones(4))
    np.testing.assert_allclose(
        scaling("yarn", logit_scale="yarn").query_scale(n), np.full(4, (0.1 * math.log(4) + 1) ** 2), rtol=1e-15
    )
    log_n = np.log(n + 1) / math.log(256)
    np.testing.assert_allclose(scaling("none", logit_scale="log_n").query_scale(n), log_n, rtol=1e-15)
    np.testing.assert_allclose(
        scaling("rerope", logit_scale="log_n_clipped").query_scale(n), np.maximum(log_n, 1), rtol=1e-15
    )
    np.testing.assert_array_equal(scaling("none", logit_scale=1.5).query_scale(n), np.full(4, 1.5))
    np.testing.assert_array_equal(scaling("none", logit_scale=lambda p: p + 1.0).query_scale(n), n + 1)
    assert scaling("none", logit_scale=lambda p: 2.0).query_scale(np.zeros((2, 3))).shape == (2, 3)


def test_the_clipped_logit_scale_changes_nothing_within_the_trained_length():
    np.testing.assert_array_equal(log_n_scale(np.arange(256), 256), np.ones(256))
    assert log_n_scale(256, 256) > 1


def test_a_function_that_is_no_scale_is_refused():
    for function in (lambda p: p[:1], lambda p: p / 0.0):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="logit_scale must return finite numbers"):
            scaling("none", logit_scale=function).query_scale([0, 1])


def test_positions_must_be_real_and_not_negative():
    for call in (scaling("none").query_scale, lambda p: bucket_of(p, 8), lambda p: log_n_scale(p, 8)):
        with pytest.raises(ValueError, match="positions must be finite and not negative, got 1 that are"):
            call([3, -1])
        with pytest.raises(ValueError, match="positions must be finite"):
            call([np.nan])
        with pytest.raises(TypeError, match="positions must be integers or real numbers, got dtype complex128"):
            call([1j])


@pytest.mark.parametrize("L", [1, 3, 256, 1000, 4096])
def test_buckets_double_exactly_at_powers_of_two_of_the_trained_length(L):
    edges = L * 2 ** np.arange(0, 20)
    np.testing.assert_array_equal(bucket_of(edges, L), 2.0 ** np.arange(1, 21))
    np.testing.assert_array_equal(bucket_of(edges - 1, L), 2.0 ** np.arange(0, 20))
    assert bucket_of(0, L) == 1


@pytest.mark.parametrize("kind", ["linear", "ntk", "ntk_fixed", "ntk_mixed", "yarn", "llama3"])
def test_schedules_take_the_factor_from_the_length(kind):
    plain, static = scaling("none").inv_freq(), scaling(kind, factor=2.5)
    local, rows = (scaling(kind, factor=None, schedule=name) for name in ("local_static", "row_bucket"))
    np.testing.assert_allclose(local.inv_freq(640), static.inv_freq(), rtol=1e-15)
    np.testing.assert_allclose(local.at(640).inv_freq(), static.inv_freq(), rtol=1e-15)
    for length, bucket in ((None, 1), (1, 1), (256, 1), (257, 2), (512, 2), (513, 4), (640, 4)):
        np.testing.assert_array_equal(rows.inv_freq(length), scaling(kind, factor=bucket).inv_freq())
    for made in (local, rows):
        np.testing.assert_allclose(made.inv_freq(256), plain, rtol=1e-15)  # no tax within the trained length


def test_the_logit_scale_of_yarn_follows_the_schedule():
    def expected(s):
        return (0.1 * math.log(s) + 1) ** 2

    rows = scaling("yarn", factor=None, schedule="row_bucket", logit_scale="yarn")
    np.testing.assert_allclose(rows.query_scale([0, 255, 256, 600]), [1, 1, expected(2), expected(4)])
    local = scaling("yarn", factor=None, schedule="local_static", logit_scale="yarn")
    np.testing.assert_allclose(local.query_scale([0, 600], 1024), [expected(4)] * 2)
    np.testing.assert_array_equal(local.query_scale([0, 600]), [1, 1])


def test_a_row_is_the_same_in_a_prefill_and_token_by_token():
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 40, 8))
    made = RotaryScaling("yarn", head_dim=8, original_length=8, schedule="row_bucket")

    def logits(row, keys):
        theta = made.inv_freq(row + 1)
        return rotate(k[:keys], range(keys), theta) @ rotate(q[row], row, theta)

    whole = [logits(row, 40)[: row + 1] for row in range(40)]
    for row in range(40):
        np.testing.assert_allclose(logits(row, row + 1), whole[row], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("method", [kind for kind in KINDS if kind != "longrope"])
@pytest.mark.parametrize(("n", "length"), [(256, 4096), (4096, 32768), (512, 400), (8, 1000), (100, 101)])
def test_suggestions_are_scalings_that_keep_the_published_rules(method, n, length):
    made = RotaryScaling(**suggest(method, n, length), head_dim=64)
    s = max(1, length / n)
    reach = np.nanmax(made.position_matrix(length)) if method in POSITION_KINDS and length < 5000 else 0
    if method == "ntk":
        assert made.factor == (2 * s if s > 1 else 1)
    elif method in FREQUENCY_KINDS and method not in ("none", "dynamic"):
        assert made.factor == s
    elif method == "rerope":
        assert made.window == n // 2
    elif method in ("leaky_rerope", "self_extend") and length > n:
        assert made.window <= n / 4
        assert reach <= n / 2 + 1
        assert reach == 0 or reach > n / 2 - 2 or method == "self_extend"
    elif method in ("window", "sink"):
        assert reach <= n - 1


@pytest.mark.parametrize("method", [kind for kind in KINDS if kind != "longrope"])
def test_nothing_is_suggested_to_be_stretched_up_to_the_trained_length(method):
    for length in (1, 511, 512):
        given = suggest(method, 512, length)
        assert given.get("factor", 1) == given.get("group", 1) == 1


def test_the_suggested_group_is_the_least_whose_multiple_stays_within_half_of_the_trained_length():
    def stays(w, group, n, length):
        return w + (length - w) / group < n / 2

    for n, length in itertools.product([8, 16, 17, 30, 64, 512], [9, 17, 18, 40, 65, 200, 600, 4096, 131072]):
        if length <= n:
            continue
        given, quarter = suggest("self_extend", n, length), n // 4
        group, w = given["group"], given["window"]
        whole = [g for g in range(1, quarter + 1) if stays(quarter // g * g, g, n, length)]
        if whole:
            assert (group, w) == (whole[0], quarter // whole[0] * whole[0])
        else:  # no group is below its window
            assert w == quarter
            assert stays(w, group, n, length)
            assert not stays(w, group - 1, n, length)
    assert suggest("self_extend", 16, 17) == {"kind": "self_extend", "original_length": 16, "window": 3, "group": 3}


def test_factors_that_leave_no_finite_frequencies_are_refused():
    with pytest.raises(ValueError, match=r"factor must leave a finite base, got the scale 1e\+308 for base 10000"):
        scaling("ntk", factor=1e308)
    huge = scaling("dynamic", factor=1e200)
    np.testing.assert_allclose(huge.inv_freq(), scaling("none").inv_freq())
    np.testing.assert_allclose(huge.inv_freq(257)[0], 1)
    with pytest.raises(ValueError, match=r"factor must leave a finite base, got the scale 7.8125e\+302 for base 10000"):
        scaling("dynamic", factor=1e305).inv_freq(258)


def test_a_logit_scale_that_returns_no_numbers_is_named():
    with pytest.raises(TypeError, match="logit_scale must return numbers, got str"):
        scaling("none", logit_scale=lambda _: "a").query_scale([1])


def test_suggestions_refuse_what_has_no_rule():
    with pytest.raises(ValueError, match="method must be one of"):
        suggest("longrope", 256, 512)
    with pytest.raises(ValueError, match="train_length must be at least 8, got 2"):
        suggest("rerope", 2, 512)


def test_a_plain_scaling_is_nothing_to_have_been_trained_with():
    plain = RotaryScaling("none", head_dim=8, original_length=64)
    assert RotaryScaling("rerope", head_dim=8, original_length=64, trained=plain).trained is None
    scaled = RotaryScaling("none", head_dim=8, original_length=64, logit_scale=1.5)
    assert RotaryScaling("rerope", head_dim=8, original_length=64, trained=scaled).query_scale(3) == 1.5


def test_divisors_of_training_are_those_of_the_length_that_is_read():
    lists = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    trained = RotaryScaling("longrope", head_dim=8, original_length=16, factor=4.0, **lists)
    scaling = RotaryScaling("rerope", head_dim=8, original_length=64, trained=trained)
    np.testing.assert_array_equal(scaling.inv_freq(), trained.inv_freq(64))
    np.testing.assert_array_equal(scaling.inv_freq(16), trained.inv_freq(16))
