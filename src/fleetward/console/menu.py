"""MENU: what the console shows, one row a page, in the order a person needs them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """`path` is below /console; `module` in console/pages draws it; `icon` is a Material icon."""

    path: str
    title: str
    icon: str
    module: str


MENU = (
    Item("/fleet", "Fleet", "dashboard", "fleet"),
    Item("/alarms", "Alarms", "notifications_active", "alarms"),
    Item("/profiles", "Security profiles", "verified_user", "profiles"),
    Item("/things", "Things", "sensors", "things"),
    Item("/groups", "Thing groups", "folder_special", "groups"),
    Item("/certificates", "Certificates", "badge", "certificates"),
    Item("/policies", "Policies", "policy", "policies"),
    Item("/topics", "Topics", "campaign", "topics"),
    Item("/outbox", "Outbox", "outbox", "outbox"),
    Item("/functions", "Functions", "functions", "functions"),
    Item("/mqtt", "MQTT test client", "swap_vert", "mqtt"),
    Item("/trail", "Audit trail", "history", "trail"),
    Item("/users", "Users", "group", "users"),
)
