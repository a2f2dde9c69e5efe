"""The checker accepts what a second, slower one accepts, and only true claims."""

from __future__ import annotations

from collections import Counter

import pytest

from netproof.certificate.check import check
from netproof.certificate.format import decode, encode
from netproof.errors import CertificateError, ProofError
from soundness.random_certificates import Draft, batches, random_draft, spoiled
from soundness.reference_checker import Reference, accepts


def verdict(draft: Draft) -> str:
    """What netproof makes of the file; the reference must agree, and an accepted claim be true."""
    certificate = draft.certificate()
    try:
        certificate = decode(encode(certificate))
    except CertificateError:
        return "inconsistent"
    try:
        check(certificate, draft.net.network())
    except (ProofError, CertificateError) as error:
        assert not accepts(certificate, draft.net), f"rejected a proof: {error}"
        return "unusable" if isinstance(error, CertificateError) else "rejected"
    assert accepts(certificate, draft.net), "accepted what proves nothing"
    assert Reference(certificate, draft.net).claim_is_true()
    return "accepted"


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_reference(seed):
    seen: Counter[str] = Counter()
    for random in batches(seed, 40):
        draft = random_draft(random)
        seen[verdict(draft)] += 1
        for _ in range(8):
            seen["spoiled: " + verdict(spoiled(random, draft)[1])] += 1
    print(seen)
