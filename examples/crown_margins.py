"""What the error term of rounding takes from the CROWN margins of deep networks.

Bounds all margins of untrained residual networks, the ones that ``netproof bench scale`` measures, twice: as a verification
does it, over the real numbers, and in float64 without an error term, which proves nothing. Prints the
smallest margin of both, and the largest difference of any. ``large`` takes half an hour of processor time.

    python examples/crown_margins.py small medium
    python examples/crown_margins.py medium --width 0.5 --save margins
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from netproof.formats.onnx.read import network_of
from netproof.graph.graph import Graph
from netproof.measure.scale import Margins, measure_root
from netproof.training.architectures import architecture
from netproof.training.calibrate import calibrate
from netproof.training.export import onnx_model


def network(name: str, width: float, seed: int) -> tuple[bytes, Graph, torch.Tensor]:
    """The network as a file and as a graph, and the centre of its box: those of ``netproof bench scale``."""
    generator = torch.Generator().manual_seed(seed)
    layout = architecture(name).reduced(width)
    model = layout.build(seed)
    calibrate(model, torch.rand(256, *layout.input_shape, generator=generator))
    content = onnx_model(model)
    made = network_of(Path(f"{layout.name}.onnx"), content)
    return content, made.graph, torch.rand(made.inputs, generator=generator).double()


def margins(graph: Graph, x: torch.Tensor, radius: float, threads: int, *, error_term: bool) -> torch.Tensor:
    for step in measure_root(graph, x, radius, threads, error_term=error_term):
        if isinstance(step, Margins):
            return step.lower
    raise AssertionError("a measurement ends with its margins")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="ARCHITECTURE", help="small, medium, large, super, ...")
    parser.add_argument("--width", type=float, default=1.0, help="so many times the channels and hidden neurons")
    parser.add_argument("--radius", type=float, default=1 / 255, help="of pixels in [0, 1]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save", type=Path, metavar="DIR", help="network, centre and both rows of margins go there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.names:
        content, graph, x = network(name, given.width, given.seed)
        rigorous = margins(graph, x, given.radius, given.threads, error_term=True)
        print(f"{name}: smallest margin over the real numbers {float(rigorous.min()):.6g}", flush=True)
        plain = margins(graph, x, given.radius, given.threads, error_term=False)
        difference = float(((rigorous - plain).abs() / plain.abs()).max())
        print(f"{name}: without the error term {float(plain.min()):.6g}; largest relative difference {difference:.1e}")
        if given.save is not None:
            given.save.mkdir(parents=True, exist_ok=True)
            (given.save / f"{name}.onnx").write_bytes(content)
            torch.save({"x": x, "rigorous": rigorous, "plain": plain}, given.save / f"{name}.pt")


if __name__ == "__main__":
    main()
