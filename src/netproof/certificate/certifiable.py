"""Which networks certificates can be about."""

from __future__ import annotations

from netproof.certificate.second_reading.compare import check_known
from netproof.errors import CertificateError, InputError
from netproof.network import Network


def check_certifiable(network: Network, source: str) -> None:
    """Raise :class:`InputError` for a network that no certificate can be about: one whose file is not read a second time.

    Asked of networks as deployed alone; other files are compared when a certificate is checked.
    """
    if not network.runtime:
        return
    try:
        check_known(network)
    except CertificateError as error:
        raise InputError(
            source,
            f"{network.path} {error.problem}, so that no certificate can be about it",
            "leave it out; a witness is replayed before it is reported",
        ) from None
