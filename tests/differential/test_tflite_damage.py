"""A thousand damaged TensorFlow Lite files (``python -m differential.tflite_damage`` tries as many as wanted)."""

from __future__ import annotations

from differential.tflite_damage import campaign


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path):
    found = campaign(1000, 7, tmp_path)
    assert not found["wrong"], found
    assert found["refused"] > 500 and found["read"] > 10
