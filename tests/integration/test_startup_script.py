"""The script that measures what an answer costs in a new process."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

from netproof.formats.onnx.writing.float import OnnxWriter

SCRIPT = Path(__file__).parents[2] / "examples" / "startup.py"


def test_every_instance_is_a_process_of_its_own(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("startup", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "startup", script)
    spec.loader.exec_module(script)
    writer = OnnxWriter("identity", (1,))
    output = writer.linear("y", writer.input, np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    (tmp_path / "net.onnx").write_bytes(writer.model(output, 1))
    (tmp_path / "no.vnnlib").write_text(script._TRIVIAL)
    (tmp_path / "yes.vnnlib").write_text(script._TRIVIAL.replace("(>= Y_0 2)", "(>= Y_0 0.5)"))
    (tmp_path / "broken.vnnlib").write_text("(assert")
    (tmp_path / "instances.csv").write_text("".join(f"net.onnx,{name}.vnnlib,10\n" for name in ("no", "yes", "broken")))
    monkeypatch.setattr(script, "_REPEATS", 1)
    monkeypatch.setattr(sys, "argv", ["startup.py", str(tmp_path), "--json"])
    script.main()
    nothing, folder = json.loads(capsys.readouterr().out)["runs"]
    assert nothing["verdicts"] == {"unsat": 1}
    assert folder["verdicts"] == {"unsat": 1, "sat": 1, "exit code 2": 1}
    assert folder["wall"]["least"] <= folder["wall"]["median"] <= folder["wall"]["most"]
    assert 0 < folder["easy half"]["slowest processor"] <= folder["processor"]["most"]
