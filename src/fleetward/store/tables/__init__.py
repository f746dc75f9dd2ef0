"""The tables of the SQL truth, one file per room; `metadata` is what the migrations are made from.

Times are epoch milliseconds (BigInteger). JSON columns hold documents as AWS's API shows them.
"""

from fleetward.store.tables import access, activity, detect, functions, notify, registry, respond, shadows, trail
from fleetward.store.tables.base import metadata

__all__ = ["access", "activity", "detect", "functions", "metadata", "notify", "registry", "respond", "shadows", "trail"]
