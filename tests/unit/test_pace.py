"""How much time is left for proofs."""

from __future__ import annotations

from netproof.bounds.deciding.pace import Pace


def test_the_fastest_batch_counts():
    pace = Pace()
    assert not pace.is_known and pace.ahead(1000) == 0.0
    pace.took(1, 0.5)
    assert pace.is_known and pace.ahead(10) == 5.0
    pace.took(100, 2.0)
    pace.took(2, 1.0)
    pace.took(0, 9.0)
    assert pace.ahead(10) == 0.2
