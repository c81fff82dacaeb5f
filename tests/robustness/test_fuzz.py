"""What fuzzing found does not come back, and its targets run on strings of bytes that nobody chose."""

import random

import pytest

from tests.robustness import fuzz_arguments, fuzz_simplex
from tests.robustness.draws import Draws

TARGETS = {"arguments": fuzz_arguments.run, "simplex": fuzz_simplex.run}

# Strings that once ended as no call should: in another error, a lost imaginary part, or a wrong certificate.
FOUND = {
    "arguments": (
        (
            "2f2f2f2f2f482f402ddfdfdfdfdfdf746f7263dfdfdfdfdfdf746f72636834b4ff402334dfdfb62db62d23b62f2f2f2f2f48"
            "2f402ddfdfdfdfdfdf746f7263dfdfdfdfdfdf746f72636834b4ff402334dfdfb62db62d23b60000002fd4ffcfcfcf2f2f48"
            "2f402ddfdf0000002fd4ff715a2f2f2f482f402ddfdfdfdfdfdfdfdfdfb62db67a2d23b6ff5edf"
        ),
        "13131313131313327979797979797979797979d87979080100000079797908ffff4a4affffffff0b208e000af5",
        "a4a459a4a4a4a4a420000000a4a4b2ff2f2f2f000000002f2f2f2f2f2f3f432e",
        (
            "9d0aca01000000ff000000000000001b1e1e1e1e1e1e1e1e1e1eff701e1e1e1e141e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e"
            "1eff2623400a1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e"
        ),
        "2f2f2f2f2f07feedfdfd26fdfdfd020202020202020202020266666c6f617433326c6f617432360002ee330000",
        "415d808fa728a7a7243e3e3e3e3e3ea7a7a7c5a787",
        (
            "0d0a7878787878787878787878787878788cdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdb"
            "dbdbdbdbdbdb788c8c8c8c3085"
        ),
        (
            "ffffffff3df52c003df53c006b500100000000ff00ffdaffffffffffffffff666c6f61743634fff5ffffffffffffffffffff"
            "fffffffffffffffffffffffffffffffffffffffffffffffbdada84"
        ),
        "65" * 35 + "4a",
        "80" * 19 + "ee" * 85 + "32" + "ee" * 11 + "ff" * 69 + "ee" * 21 + "80" * 9 + "7a" + "80" * 22 + "0a",
        "305b" + "6a" * 47 + "89" * 118 + "6a" * 19 + "0a",
        "596d59" + "6a" * 65 + "8d" * 82 + "6a" * 13 + "0a",
        "07" + "12" * 7 + "0a",
        (
            "0afffff7ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
            "ffffffffffffffffffffffffffffffff1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a"
            "1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1affffffffffffffffffffffffffffffffff"
        ),
    ),
    "simplex": (
        "0bff666c6f613b3634ffff020ad8000a0a",
        "e500000060f679ab1e000000006b3e79002bef",
        (
            "7db76520abe1f22f8e9c2361717fdc62275af5b71068aebd987970783b31e423bf4572b3cdc57199d4bd8f747cba87d04376"
            "80f39e60fa800c835e7f691bf0c26c3d6e8b8caa8fea5ec500f8e3701d9364766fa487ec5fdab81523938716e3d76fd2b458"
            "dfd182cf4e825eb1e1425be52d477dfedaef231202a7c31d8591"
        ),
        (
            "99961f107fd3fee42e930890191035b7f3f043b501de4fe74f39abfdc9b7750aeb9c49ec60d2e0858b6913cf0286d189f163"
            "3741eddfec17b5015affe034fb77eae951a5eac0677b5a07d405956169403a67020f1b5b5f79dcacef3123dbd6cb"
        ),
        (
            "2df2d390b0fe49edcab91f56eb5c478ee8bf30e9eecfffcd98b5054e2c847cd9498efeba685be32361877d1075fa201d86eb"
            "4d97df937b4c0159f50902011df461d9f6cf5270b00df48aa911a595e9d96fcf697efe80251b70bf30a3155ce1a023fa7240"
            "9bd55a0aa6253bed8e0f39c76351c76d"
        ),
    ),
}


@pytest.mark.parametrize(("target", "data"), [(name, data) for name in FOUND for data in FOUND[name]])
def test_what_was_found_once_has_a_defined_end(target, data):
    assert TARGETS[target](bytes.fromhex(data)) in ("result", "TypeError", "ValueError", "OverflowError")


@pytest.mark.parametrize(("target", "count"), [("arguments", 3000), ("simplex", 300)])
def test_strings_that_nobody_chose_have_defined_ends_of_every_kind(target, count):
    source = random.Random(0)
    ends = [TARGETS[target](source.randbytes(source.randrange(4, 300))) for _ in range(count)]
    assert {"result"} <= set(ends) <= {"result", "TypeError", "ValueError", "OverflowError", "GradientError"}
    assert ends.count("result") > count // 20


def test_most_functions_are_called_and_the_same_string_is_the_same_call():
    source = random.Random(1)
    names = set()
    for _ in range(3000):
        data = source.randbytes(60)
        name, options, more = fuzz_arguments.call_of(Draws(data))
        names.add(name)
        assert repr((name, options, more)) == repr(fuzz_arguments.call_of(Draws(data))) or "rng" in options
    assert names == set(fuzz_arguments.functions())
    assert len(names) > 120


@pytest.mark.parametrize(
    ("x", "value", "gap"),
    [([0.5, 0.6], 0.0, 1.0), ([1.0, 0.0], 1.0, 0.5), ([1.0, 0.0], 1.0, -1.0), ([1.0, 0.0], -100.0, 0.0)],
)
def test_a_wrong_answer_is_noticed(x, value, gap):
    from types import SimpleNamespace

    result = SimpleNamespace(x=x, value=value, gap=gap, certified=True)
    objective = fuzz_simplex.quadratic([[0.0, 0.0], [0.0, 0.0]], [1.0, -3.0])
    with pytest.raises(AssertionError):
        fuzz_simplex.check_certificate(result, objective, 2, 4.0)
