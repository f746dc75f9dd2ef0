"""The context keys a device's policy may name, in conditions and as variables, and how their spelling is settled.

Sources: AWS IoT Core developer guide, "Basic policy variables", "Thing policy variables", "X.509 Certificate policy
variables"; IAM user guide, "Condition" (key names are compared without regard to case).
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache

from fleetward.errors import MalformedPolicy

CERTIFICATE_ATTRIBUTES = (
    "DistinguishedNameQualifier",
    "Country",
    "Organization",
    "OrganizationalUnit",
    "State",
    "CommonName",
    "SerialNumber",
    "Title",
    "Surname",
    "GivenName",
    "Initials",
    "Pseudonym",
    "GenerationQualifier",
)
ALTERNATIVE_NAMES = ("RFC822Name", "DNSName", "DirectoryName", "UniformResourceIdentifier", "IPAddress")

ATTRIBUTE_VALUES = 5
"""A certificate attribute counts with its first five values: `X`, then `X.1` (the second) to `X.4`; `X.List` is all."""

_CERTIFICATE_FAMILIES = ("iot:Certificate.Subject.", "iot:Certificate.Issuer.")

_CERTIFICATE_KEYS = frozenset(
    f"{family}{attribute}{suffix}"
    for family in _CERTIFICATE_FAMILIES
    for attribute in (*CERTIFICATE_ATTRIBUTES, *(f"AlternativeName.{name}" for name in ALTERNATIVE_NAMES))
    for suffix in ("", ".List", *(f".{position}" for position in range(1, ATTRIBUTE_VALUES)))
)

DEVICE_KEYS = _CERTIFICATE_KEYS | {
    "iot:ClientId",
    "iot:CertificateId",
    "iot:Certificate.SerialNumber",
    "iot:Certificate.AvailableKeys",
    "iot:ConnectAttributes",
    "iot:Connection.Thing.ThingName",
    "iot:Connection.Thing.ThingTypeName",
    "iot:Connection.Thing.Attributes[*]",
    "iot:Connection.Thing.IsAttached",
    "iot:DomainName",
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:SecureTransport",
    "aws:SourceIp",
    "aws:username",
}
"""Every key a device's request can carry; `*` stands for any name."""

_MULTIVALUED = frozenset({"iot:ConnectAttributes", "iot:Certificate.AvailableKeys"})


def is_multivalued(key: str) -> bool:
    """Whether a device key holds several values at once, so that it takes ForAnyValue: or ForAllValues: to judge it."""
    return key in _MULTIVALUED or key.endswith(".List")


def canonical(key: str, keys: frozenset[str] | None) -> str:
    """`key` in the spelling of `keys`; in lower case where any key goes (`keys` None).

    Raises MalformedPolicy for a key that is not among `keys`.
    """
    if keys is None and key:
        return key.lower()
    exact, families = _index(keys or frozenset())
    found = exact.get(key.lower()) or _in_family(key, families)
    if found is None:
        raise malformed(f"context key {shown(key)} is not supported; {_advice(key, keys or frozenset())}")
    return found


@lru_cache(maxsize=16)
def _index(keys: frozenset[str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    exact = {key.lower(): key for key in keys if "*" not in key}
    families = [(start, end) for start, star, end in (key.partition("*") for key in keys) if star]
    return exact, families


def _in_family(key: str, families: list[tuple[str, str]]) -> str | None:
    for start, end in families:
        name = key[len(start) : len(key) - len(end)]
        if name and key.lower() == f"{start}{name}{end}".lower():
            return f"{start}{name}{end}"
    return None


def _advice(key: str, keys: frozenset[str]) -> str:
    close = get_close_matches(key, keys, n=1) if len(key) < 100 else []
    return f"did you mean {close[0]}?" if close else f"supported are {', '.join(sorted(set(map(_family, keys))))}"


def _family(key: str) -> str:
    return next((f"{family}*" for family in _CERTIFICATE_FAMILIES if key.startswith(family)), key)


def malformed(reason: str) -> MalformedPolicy:
    return MalformedPolicy(f"Policy document is Malformed: {reason}")


def shown(value: object) -> str:
    """A piece of somebody else's document as it may appear in a message: quoted, escaped and short."""
    if not isinstance(value, str):
        return _JSON_TYPES.get(type(value), "a number or literal")
    return repr(value if len(value) <= 80 else f"{value[:77]}...")


_JSON_TYPES: dict[type, str] = {dict: "an object", list: "a list", bool: "a boolean", type(None): "nothing"}
