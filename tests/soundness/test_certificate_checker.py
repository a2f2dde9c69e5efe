"""The checker accepts what a second, slower one accepts, and only true claims."""

from __future__ import annotations

from collections import Counter

import pytest

from netproof.certificate.checker.check import check
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


@pytest.mark.parametrize("seed", [0, 3])
def test_agrees_with_the_reference_on_proofs_and_spoiled_proofs(seed, monkeypatch):
    if seed % 2:  # levels in portions of a few cuts
        monkeypatch.setattr("netproof.certificate.checker.check._CUTS_AT_ONCE", seed)
    seen: Counter[str] = Counter()
    for random in batches(seed, 50):
        draft = random_draft(random)
        found = verdict(draft)
        seen[found] += 1
        if found == "accepted":
            arrays = draft.certificate().arrays
            seen.update(f"kind {kind}" for kind in arrays["kind"].tolist())
            seen.update(f"form {form}" for form in draft.form)
            seen.update(
                {
                    "common": len([c for group in draft.common for c in group]),
                    "input split": int((arrays["split_activation"] == 0).sum()),
                    "last cut": int((arrays["cut_activation"] == len(draft.kept)).sum()),
                    "several constraints": draft.height > 1,
                    "mu 0": int((arrays["row_mu"] == 0).any()),
                    "prices": int(bool((arrays["price_difference"] != 0).any())),
                }
            )
        for _ in range(8):
            seen["spoiled, " + verdict(spoiled(random, draft)[1])] += 1
    expected = [f"kind {kind}" for kind in range(5)] + ["form 0", "form 1", "common", "input split", "last cut"]
    expected += ["several constraints", "mu 0", "prices", "spoiled, accepted", "spoiled, rejected", "spoiled, unusable"]
    assert not [what for what in expected if not seen[what]], seen
    assert seen["inconsistent"] == 0 and seen["accepted"] > 15 and seen["rejected"] > 5
