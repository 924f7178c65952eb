"""Shares of convolutions by provider: known where they can be told apart, and never guessed."""

from __future__ import annotations

import nets
import pytest
from onnx_ir import serde

from gconvtool.errors import MissingError
from gconvtool.pipeline.source import Feed, Network, count
from gconvtool.results import Placed
from gconvtool.runtime import placement
from gconvtool.runtime.session import Assigned, Session

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
MACS = {"one": 600, "two": 300, "three": 100}


class Fake:
    """A session in which providers took these nodes: `conv one` is a convolution named one."""

    def __init__(self, **taken: str) -> None:
        names = {"cpu": CPU, "cuda": CUDA}
        self.nodes = tuple(
            Assigned(names[provider], name, "Conv" if op == "conv" else op)
            for provider, nodes in taken.items()
            for op, _, name in (node.partition(" ") for node in nodes.split(", "))
        )

    def assigned(self) -> tuple[Assigned, ...]:
        return self.nodes


def attested(session: Fake, macs: dict[str, int | None] | None = None) -> dict[str, Placed]:
    return placement.attest(session, MACS if macs is None else macs)


def test_shares_go_by_macs():
    placed = attested(Fake(cuda="conv one, Relu r, conv three", cpu="conv two, Softmax s, Gemm g"))
    assert placed == {
        CUDA: Placed(3, 700, 0.7, ("one", "three")),
        CPU: Placed(3, 300, 0.3, ("two",)),
    }


def test_nodes_that_are_no_convolutions_may_run_elsewhere():
    placed = attested(Fake(cuda="conv one, conv two, conv three", cpu="Relu two"))
    assert placed[CPU] == Placed(1, 0, 0.0, ())
    assert (placed[CUDA].share, placed[CUDA].conv_macs) == (1.0, 1000)
    placement.require(placed, "cuda", "net.onnx")


def test_a_convolution_that_was_merged_with_its_double_does_not_count():
    assert attested(Fake(cuda="conv one", cpu="conv two"))[CUDA].share == 600 / 900


@pytest.mark.parametrize(
    ("cuda", "cpu"),
    [
        ("conv one", "conv "),
        ("conv one", "conv other"),
        ("conv one, conv two", "conv one"),
        ("conv one", "conv unknown"),
    ],
)
def test_what_cannot_be_told_apart_is_not_known(cuda, cpu):
    placed = attested(Fake(cuda=cuda, cpu=cpu), {**MACS, "unknown": None})
    assert placed[CUDA].share is None
    assert placed[CPU].share is None
    assert placed[CPU].conv_macs is None


def test_one_that_runs_them_all_needs_no_names():
    placed = attested(Fake(cuda="conv , conv , conv one", cpu="Relu "))
    assert placed[CUDA].share == 1.0
    assert placed[CUDA].conv_macs is None
    assert placed[CPU].share == 0.0


def test_without_convolutions_there_is_no_share():
    placed = attested(Fake(cuda="Relu r", cpu="Gemm g"))
    assert {one.share for one in placed.values()} == {None}
    placement.require(placed, "cuda", "net.onnx")


def test_a_fallback_is_told_with_names_and_share():
    placed = attested(Fake(cuda="conv one", cpu="conv two, conv three"))
    with pytest.raises(MissingError) as caught:
        placement.require(placed, "cuda", "net.onnx")
    said = str(caught.value)
    assert said.startswith("net.onnx: cuda does not run all convolutions: ")
    assert "cpu runs two, three (40.0 % of their MACs)" in said
    assert "--no-strict-provider" in said
    assert caught.value.exit_code == 4


def test_many_are_counted_and_the_nameless_are_told_by_their_operator():
    placed = attested(Fake(cuda="conv one", cpu="QLinearConv a, conv , conv b, conv c, conv d"))
    with pytest.raises(MissingError, match=r"cpu runs a, a nameless Conv, b and 2 more; --no"):
        placement.require(placed, "cuda", "net.onnx")


def test_a_runtime_that_does_not_say_is_no_proof():
    class Silent:
        def assigned(self) -> None:
            return None

    placed = placement.attest(Silent(), MACS)
    assert placed == {}
    with pytest.raises(MissingError, match=r"1\.24"):
        placement.require(placed, "cuda", "net.onnx")


BODIES = """
<ir_version: 8, opset_import: ["": 17, "of.mine": 1]>
net (float[1, 4, 8, 8] x, bool c) => (float[1, 4, 8, 8] y)
  <float[4, 4, 3, 3] w, float[4, 1, 3, 3] v>
{
  [first] a = Conv <pads = [1, 1, 1, 1]> (x, w)
  [twice] b = Conv <pads = [1, 1, 1, 1], group = 4> (a, v)
  d = Conv <pads = [1, 1, 1, 1]> (b, w)
  e = of.mine.f (d, w)
  [if] y = If (c) <
    then_branch = t () => (float[1, 4, 8, 8] z) { [twice] z = Conv <pads = [1, 1, 1, 1]> (e, w) },
    else_branch = o () => (float[1, 4, 8, 8] q) { q = Relu (e) }
  >
}
<domain: "of.mine", opset_import: ["": 17]>
f (x, w) => (y) { [inside] y = Conv <pads = [1, 1, 1, 1]> (x, w) }
"""


def test_macs_go_to_convolutions_that_their_names_tell():
    network = Network.open(serde.deserialize_model(nets.network(BODIES)))
    layers = count(network, Feed()).layers
    assert placement.conv_macs(network.model, layers) == {"first": 64 * 4 * 4 * 9}


def test_the_real_runtime_names_what_is_left_of_bodies_and_functions():
    pytest.importorskip("onnxruntime", minversion="1.24")
    network = Network.open(serde.deserialize_model(nets.network(BODIES)))
    session = Session(network.packed(), threads=1)
    names = [node.name for node in session.assigned() if node.op == "Conv"]
    assert sorted(name for name in names if not name.endswith("inside")) == [
        "", "first", "twice", "twice",
    ]  # fmt: skip
    macs = placement.conv_macs(network.model, count(network, Feed()).layers)
    (placed,) = placement.attest(session, macs).values()
    assert (placed.share, placed.conv_macs, len(placed.convolutions)) == (1.0, None, 5)


def test_the_real_runtime_is_attested_to_the_last_mac(samples):
    pytest.importorskip("onnxruntime", minversion="1.24")
    network = Network.open(samples / "fashion_resnet.onnx")
    analysis = count(network, Feed())
    session = Session(network.packed(), threads=1)
    macs = placement.conv_macs(network.model, analysis.layers)
    placed = placement.attest(session, macs)
    convolutions = [layer for layer in analysis.layers if layer.op == "Conv"]
    assert placed.keys() == {CPU}
    assert placed[CPU].share == 1.0
    assert placed[CPU].conv_macs == sum(layer.macs for layer in convolutions)
    assert len(placed[CPU].convolutions) == len(convolutions)
    placement.require(placed, "cpu", network.name)


def test_a_real_fallback_is_seen_and_refused(samples):
    """The provider that hands models to a service is in the CPU's package, and runs no nodes."""
    runtime = pytest.importorskip("onnxruntime", minversion="1.24")
    if "AzureExecutionProvider" not in runtime.get_available_providers():
        pytest.skip("no provider here that leaves everything to the CPU")
    network = Network.open(samples / "fashion_resnet.onnx")
    session = Session(network.packed(), "azure", threads=1)
    placed = placement.attest(session, {})
    assert {full: one.share for full, one in placed.items()} == {CPU: 1.0}
    with pytest.raises(MissingError, match=r"azure does not run all .*cpu runs stem\.conv, "):
        placement.require(placed, session.provider, network.name)
