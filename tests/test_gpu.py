"""What only a GPU can show. Skipped, with the reason, where CUDA does not load."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers_cli import Desk
from onnx import TensorProto, helper

from gconvtool.errors import GconvError, MissingError
from gconvtool.pipeline.doctor import provider_check
from gconvtool.pipeline.source import Feed, Network, count
from gconvtool.runtime import placement
from gconvtool.runtime.session import Session
from gconvtool.runtime.trial import try_out

pytestmark = pytest.mark.gpu

INTEGERS = """
<ir_version: 8, opset_import: ["": 17]>
integers (uint8[1, 4, 8, 8] x, uint8[4, 4, 3, 3] w) => (int32[1, 4, 6, 6] y)
{ [only_on_the_cpu] y = ConvInteger (x, w) }
"""


@pytest.fixture(scope="module", autouse=True)
def cuda():
    identity = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(identity, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    try:
        Session(model.SerializeToString(), "cuda").run({"x": np.ones(1, np.float32)})
    except GconvError as error:
        pytest.skip(f"CUDA does not load: {error}")


@pytest.fixture(scope="module")
def network(samples):
    return Network.open(samples / "fashion_resnet.onnx")


@pytest.fixture(scope="module")
def feeds(samples, network):
    (name,) = (value.name for value in network.model.graph.inputs)
    with np.load(samples / "fashion_test.npz") as arrays:
        return {name: arrays[name][:8].astype(np.float32)}


@pytest.mark.parametrize(
    "options",
    [{}, {"prefer_nhwc": "1"}, {"enable_cuda_graph": "1"}],
    ids=["plain", "channels last", "as a graph"],
)
def test_outputs_are_those_of_the_cpu(network, feeds, options):
    packed = network.packed()
    expected = Session(packed).run(feeds)
    session = Session(packed, "cuda", provider_options=options)
    runners = session.runner(feeds), session.runner_end_to_end(feeds)
    for runner in runners:
        for _ in range(4):  # a graph is captured in the third
            runner()
    for _ in range(2):
        for name, value in session.run(feeds).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"prefer_nhwc": "1"}])
def test_all_convolutions_are_attested_to_be_on_the_gpu(network, options):
    macs = placement.conv_macs(network.model, count(network, Feed()).layers)
    placed = placement.attest(Session(network.packed(), "cuda", provider_options=options), macs)
    assert placed["CUDAExecutionProvider"].share == 1.0
    placement.require(placed, "cuda", network.name)


def test_a_convolution_that_falls_back_is_named():
    model = onnx.parser.parse_model(INTEGERS).SerializeToString()
    placed = placement.attest(Session(model, "cuda"), {})
    with pytest.raises(MissingError, match="cpu runs only_on_the_cpu"):
        placement.require(placed, "cuda", "integers")


def test_an_option_that_does_not_exist_is_refused(network):
    with pytest.raises(GconvError, match="no_such_option"):
        Session(network.packed(), "cuda", provider_options={"no_such_option": "1"})


def test_doctor_finds_the_gpu():
    check = provider_check("cuda", try_out("cuda"))
    assert (check.health, check.found) == ("ok", "loads and runs a convolution")


def test_bench_compares_on_the_gpu(tmp_path, monkeypatch, capfd):
    desk = Desk(tmp_path, monkeypatch, capfd).furnish()
    words = ("--provider", "cuda", "--time-budget", 1, "--json")
    answer = desk("bench", "net.onnx", "net.onnx", *words)
    assert answer.code == 0
    assert answer.document["provider"] == "cuda"
    assert answer.document["placement"]["a"]["CUDAExecutionProvider"]["share"] == 1.0
