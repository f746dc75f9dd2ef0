"""What profiles may refer to besides the built-in metrics, as the store has it."""

from __future__ import annotations

from fleetward.detect import custom_metrics, dimensions
from fleetward.detect.behavior_checks import Catalog
from fleetward.store.database import Reader


def catalog(look: Reader) -> Catalog:
    """The custom metrics and the dimensions there are now."""
    return Catalog(custom_metrics.value_kinds(look), frozenset(dimensions.named(look)))
