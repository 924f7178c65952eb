"""Train fashion_resnet.onnx and write the data files beside it.

    apt-get install dataset-fashion-mnist
    pip install torch==2.13.0 numpy onnx
    python sample_models/train_fashion_resnet.py

A residual network (He et al., 2015) of 64, 128 and 256 channels for the 28x28 grey images of
Fashion-MNIST. Eight epochs take about half an hour on two cores that know bfloat16. The graph is
written node by node rather than exported, so that BatchNormalization stays a node and names stay
readable.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

DATASET = Path("/usr/share/datasets/fashion-mnist")
HERE = Path(__file__).parent
MEAN, STD = 72.94, 90.02  # of the training pixels, 0..255
STAGES = ((64, 2, 1), (128, 1, 2), (256, 1, 2))  # channels, blocks, stride of the first block
SEED = 0


def read_idx(name: str) -> np.ndarray:
    """An IDX file: magic number whose last byte is the rank, big-endian sizes, then the bytes."""
    raw = gzip.decompress((DATASET / name).read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def dataset(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images N x 1 x 28 x 28 uint8 and labels N int64; split is `train` or `t10k`."""
    images = read_idx(f"{split}-images-idx3-ubyte.gz")[:, None]
    return images, read_idx(f"{split}-labels-idx1-ubyte.gz").astype(np.int64)


class Block(nn.Module):
    """conv-bn-relu-conv-bn, added to its input (projected where the shape changes), relu."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.conv3 = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + (self.bn3(self.conv3(x)) if self.projects else x))


class FashionResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, STAGES[0][0], 3, 1, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(STAGES[0][0])
        self.blocks = nn.ModuleDict()
        inputs = STAGES[0][0]
        for stage, (outputs, count, stride) in enumerate(STAGES, 1):
            for block in range(count):
                name = f"stage{stage}_{block}"
                self.blocks[name] = Block(inputs, outputs, stride if block == 0 else 1)
                inputs = outputs
        self.head = nn.Linear(inputs, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.stem_bn(self.stem((image - MEAN) / STD)))
        for block in self.blocks.values():
            x = block(x)
        return self.head(x.mean((2, 3)))


def augment(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Mirror half of the batch and shift the whole of it by up to two pixels."""
    mirrored = torch.rand(len(images), 1, 1, 1, generator=rng) < 0.5
    images = torch.where(mirrored, images.flip(3), images)
    dy, dx = torch.randint(0, 5, (2,), generator=rng).tolist()
    return functional.pad(images, (2, 2, 2, 2))[:, :, dy : dy + 28, dx : dx + 28]


def train(epochs: int, batch: int = 128) -> FashionResNet:
    torch.manual_seed(SEED)
    rng = torch.Generator().manual_seed(SEED)
    images, labels = (torch.from_numpy(array.copy()) for array in dataset("train"))
    model = FashionResNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.2, total_steps=steps)
    for epoch in range(epochs):
        started, total = time.monotonic(), 0.0
        for rows in torch.randperm(len(images), generator=rng).split(batch)[: steps // epochs]:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                scores = model(augment(images[rows].float(), rng))
            loss = functional.cross_entropy(scores.float(), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * batch
        print(
            f"epoch {epoch + 1}/{epochs}: loss {total / len(images):.4f}, "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
    return model.eval()


class Writer:
    """Collects the nodes and initializers of one graph; every layer returns its output's name."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self.state = state
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def weight(self, name: str, value: torch.Tensor) -> str:
        self.initializers.append(numpy_helper.from_array(value.contiguous().numpy(), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def conv(self, x: str, name: str, source: str, stride: int = 1) -> str:
        weight = self.state[f"{source}.weight"]
        side = weight.shape[2]
        return self.node(
            "Conv",
            [x, self.weight(f"{name}.weight", weight)],
            name,
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[side // 2] * 4,
        )

    def batch_norm(self, x: str, name: str, source: str) -> str:
        fields = ("weight", "bias", "running_mean", "running_var")
        parameters = [
            self.weight(f"{name}.{field}", self.state[f"{source}.{field}"]) for field in fields
        ]
        return self.node("BatchNormalization", [x, *parameters], name, epsilon=1e-5)


def to_onnx(model: FashionResNet) -> onnx.ModelProto:
    graph = Writer(model.state_dict())
    x = graph.node("Sub", ["image", graph.weight("mean", torch.tensor(MEAN))], "centred")
    x = graph.node("Div", [x, graph.weight("std", torch.tensor(STD))], "normalised")
    x = graph.batch_norm(graph.conv(x, "stem.conv", "stem"), "stem.bn", "stem_bn")
    x = graph.node("Relu", [x], "stem.relu")
    for key, block in model.blocks.items():
        name, source, stride = key.replace("_", "."), f"blocks.{key}", block.conv1.stride[0]
        y = graph.conv(x, f"{name}.conv1", f"{source}.conv1", stride)
        y = graph.node(
            "Relu", [graph.batch_norm(y, f"{name}.bn1", f"{source}.bn1")], f"{name}.relu1"
        )
        y = graph.batch_norm(
            graph.conv(y, f"{name}.conv2", f"{source}.conv2"), f"{name}.bn2", f"{source}.bn2"
        )
        if block.projects:
            x = graph.conv(x, f"{name}.shortcut", f"{source}.conv3", stride)
            x = graph.batch_norm(x, f"{name}.shortcut_bn", f"{source}.bn3")
        x = graph.node("Add", [y, x], f"{name}.add")
        x = graph.node("Relu", [x], f"{name}.relu2")
    x = graph.node("GlobalAveragePool", [x], "pool")
    x = graph.node("Flatten", [x], "features", axis=1)
    head = [
        graph.weight(f"head.{field}", graph.state[f"head.{field}"]) for field in ("weight", "bias")
    ]
    graph.node("Gemm", [x, *head], "logits", transB=1)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])
    proto = helper.make_graph(graph.nodes, "fashion_resnet", [image], [logits], graph.initializers)
    result = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="gconvtool"
    )
    onnx.checker.check_model(result, full_check=True)
    return result


@torch.no_grad()
def accuracy(model: FashionResNet) -> float:
    """Share of the 10,000 test images that are classified right."""
    images, labels = (torch.from_numpy(array.copy()) for array in dataset("t10k"))
    right = [
        (model(x.float()).argmax(1) == y).sum().item()
        for x, y in zip(images.split(500), labels.split(500), strict=True)
    ]
    return sum(right) / len(labels)


def write_data() -> None:
    """512 training images to calibrate with and the first 2,000 test images with their labels."""
    images, _ = dataset("train")
    rows = np.random.default_rng(SEED).choice(len(images), 512, replace=False)
    np.savez_compressed(HERE / "fashion_calib.npz", image=images[np.sort(rows)])
    images, labels = dataset("t10k")
    np.savez_compressed(HERE / "fashion_test.npz", image=images[:2000], labels=labels[:2000])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    epochs = parser.parse_args().epochs
    write_data()
    model = train(epochs)
    path = HERE / "fashion_resnet.onnx"
    onnx.save(to_onnx(model), path)
    print(f"{path}: {path.stat().st_size:,} bytes, {accuracy(model):.2%} on 10,000 test images")


if __name__ == "__main__":
    main()
