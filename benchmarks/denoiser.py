"""Train a network of dense convolutions without anything else, for benchmarks/planner.py.

    pip install torch==2.14.1 numpy onnx
    python benchmarks/denoiser.py PHOTOS OUTPUT [--minutes 20]

Twelve convolutions of 3×3 and ten of them 96 → 96, a ReLU between two, no normalisation: what comes
out is the noise that the network finds, taken off the picture (Zhang et al., "Beyond a Gaussian
denoiser", 2017). PHOTOS is an .npz of 128×128 crops, uint8, N×3×H×W: it is trained on `calib`, in
noise of standard deviation 25 of 255, and judged on `test`. Its input is `noisy`, N×3×H×W in 0…1.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

CHANNELS, DENSE = 96, 10
SIGMA = 25 / 255
PATCH, BATCH, RATE = 40, 16, 1e-3
SEED = 0


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = [3, *[CHANNELS] * (DENSE + 1), 3]
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in pairwise(sizes)
        )
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        nn.init.normal_(self.convs[-1].weight, std=1e-3)

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        x = noisy
        for conv in self.convs[:-1]:
            x = functional.relu(conv(x))
        return noisy - self.convs[-1](x)


def patches(photos: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Pieces of photos, mirrored and turned."""
    cut = []
    for photo in torch.randint(len(photos), (BATCH,), generator=rng).tolist():
        top, left = torch.randint(photos.shape[-1] - PATCH + 1, (2,), generator=rng).tolist()
        turns, mirrored = torch.randint(4, (2,), generator=rng).tolist()
        piece = photos[photo, :, top : top + PATCH, left : left + PATCH].rot90(turns, (1, 2))
        cut.append(piece.flip(2) if mirrored % 2 else piece)
    return torch.stack(cut)


def train(photos: torch.Tensor, minutes: float) -> Denoiser:
    """For so long; the rate falls to nothing on the way."""
    torch.manual_seed(SEED)
    rng = torch.Generator().manual_seed(SEED)
    model = Denoiser().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    start, step, total = time.monotonic(), 0, 0.0
    while (gone := (time.monotonic() - start) / (60 * minutes)) < 1:
        optimiser.param_groups[0]["lr"] = RATE * (1 + np.cos(np.pi * gone)) / 2
        clean = patches(photos, rng)
        noisy = clean + SIGMA * torch.randn(clean.shape, generator=rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = noisy - model(noisy.to(memory_format=torch.channels_last))
        loss = functional.mse_loss(found.float(), noisy - clean)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step, total = step + 1, total + loss.item()
        if step % 100 == 0:
            print(f"step {step}, {gone:.0%}: {-10 * np.log10(total / 100):.2f} dB", flush=True)
            total = 0.0
    return model.eval()


def write(model: Denoiser, path: Path) -> None:
    nodes, weights, x = [], [], "noisy"
    for place, conv in enumerate(model.convs):
        name = f"conv{place}"
        for what, value in (("weight", conv.weight), ("bias", conv.bias)):
            array = value.detach().contiguous().numpy()
            weights.append(numpy_helper.from_array(array, f"{name}.{what}"))
        inputs = [x, f"{name}.weight", f"{name}.bias"]
        nodes.append(helper.make_node("Conv", inputs, [name], name, pads=[1] * 4))
        if place < DENSE + 1:
            nodes.append(helper.make_node("Relu", [name], [f"{name}.relu"], f"{name}.relu"))
        x = nodes[-1].output[0]
    nodes.append(helper.make_node("Sub", ["noisy", x], ["clean"], "clean"))
    shape = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        nodes,
        "denoiser",
        [helper.make_tensor_value_info("noisy", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("clean", TensorProto.FLOAT, shape)],
        weights,
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    said = parser.parse_args()
    arrays = np.load(said.photos)
    calib, test = (torch.from_numpy(arrays[part]).float() / 255 for part in ("calib", "test"))
    model = train(calib, said.minutes)
    noisy = test + SIGMA * torch.randn(test.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        error = functional.mse_loss(model(noisy), test).item()
    print(f"test: {-10 * np.log10(error):.2f} dB, noise alone {-20 * np.log10(SIGMA):.2f} dB")
    write(model, said.output)


if __name__ == "__main__":
    main()
