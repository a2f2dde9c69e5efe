"""Deciding a property as a VNN-LIB file states it."""

from __future__ import annotations

from netproof.host import on_own_terms
from netproof.network import Network
from netproof.property import Property
from netproof.query import Result
from netproof.search.verify import verify
from netproof.settings import Settings


@on_own_terms
def verify_property(network: Network, property_: Property, settings: Settings | None = None) -> Result:
    """Is there an input in one of the property's boxes whose output meets the condition that goes with that box?

    ``unsat`` says that there is none in any of them. The settings' time limit is for all boxes together.

    Raises
    ------
    QueryError : a property that is not about this network (:meth:`netproof.Property.queries`)
    """
    return verify(property_.question(network), settings)
