"""What a policy can know of a certificate (AWS IoT Core developer guide, "X.509 Certificate policy variables")."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

from cryptography import x509
from cryptography.x509.oid import NameOID

from fleetward import errors
from fleetward.policy.keys import ATTRIBUTE_VALUES
from fleetward.policy.request import ContextValue

MAX_LENGTH = 1024
"""A longer value does not count."""

ATTRIBUTES: Mapping[x509.ObjectIdentifier, str] = {
    NameOID.DN_QUALIFIER: "DistinguishedNameQualifier",
    NameOID.COUNTRY_NAME: "Country",
    NameOID.ORGANIZATION_NAME: "Organization",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OrganizationalUnit",
    NameOID.STATE_OR_PROVINCE_NAME: "State",
    NameOID.COMMON_NAME: "CommonName",
    NameOID.SERIAL_NUMBER: "SerialNumber",
    NameOID.TITLE: "Title",
    NameOID.SURNAME: "Surname",
    NameOID.GIVEN_NAME: "GivenName",
    NameOID.INITIALS: "Initials",
    NameOID.PSEUDONYM: "Pseudonym",
    NameOID.GENERATION_QUALIFIER: "GenerationQualifier",
}

_SHORT_NAMES = {
    NameOID.COMMON_NAME: "cn",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "ou",
    NameOID.ORGANIZATION_NAME: "o",
    NameOID.LOCALITY_NAME: "l",
    NameOID.STATE_OR_PROVINCE_NAME: "st",
    NameOID.COUNTRY_NAME: "c",
}

_SPECIAL = re.compile(r'([,"\\+=<>;])')

Found = tuple[str, str]
"""An attribute's name (`CommonName`, `AlternativeName.DNSName`) and one of its values."""


def certificate_context(der: bytes) -> dict[str, ContextValue]:
    """The policy context keys that a certificate gives: `iot:Certificate.Subject.CommonName`…, as in DEVICE_KEYS.

    An attribute with several values counts with the first five: `X`, then `X.1` (the second) to `X.4`, and `X.List`.
    What cannot be read is left out. Raises CertificateValidation when `der` is no certificate at all.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise errors.CertificateValidation(f"This is not an X.509 certificate: {error}") from error
    context: dict[str, ContextValue] = {"iot:Certificate.SerialNumber": str(certificate.serial_number)}
    context |= _family("Subject", _readable(_subject(certificate)))
    context |= _family("Issuer", _readable(_issuer(certificate)))
    available = tuple(key for key in context if not re.search(r"\.(List|\d)$", key))
    return {**context, "iot:Certificate.AvailableKeys": available, "iot:CertificateId": hashlib.sha256(der).hexdigest()}


def _family(family: str, found: Iterable[Found]) -> dict[str, ContextValue]:
    values: dict[str, list[str]] = {}
    for name, value in found:
        if 0 < len(value) <= MAX_LENGTH:
            values.setdefault(f"iot:Certificate.{family}.{name}", []).append(value)
    context: dict[str, ContextValue] = {}
    for key, several in values.items():
        counted = tuple(several[:ATTRIBUTE_VALUES])
        context |= {f"{key}.{position}" if position else key: value for position, value in enumerate(counted)}
        context[f"{key}.List"] = counted
    return context


def _readable(found: Iterator[Found]) -> Iterator[Found]:
    """As far as it can be read: certificates of other makers hold what they hold."""
    try:
        yield from found
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return


def _subject(certificate: x509.Certificate) -> Iterator[Found]:
    yield from _distinguished(certificate.subject)
    yield from _alternatives(certificate, x509.SubjectAlternativeName)


def _issuer(certificate: x509.Certificate) -> Iterator[Found]:
    yield from _distinguished(certificate.issuer)
    yield from _alternatives(certificate, x509.IssuerAlternativeName)


def _distinguished(name: x509.Name) -> Iterator[Found]:
    for attribute in name:
        if attribute.oid in ATTRIBUTES and isinstance(attribute.value, str):
            yield ATTRIBUTES[attribute.oid], _escaped(attribute.value)


def _alternatives(
    certificate: x509.Certificate, kind: type[x509.SubjectAlternativeName] | type[x509.IssuerAlternativeName]
) -> Iterator[Found]:
    try:
        names = certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return
    for name in names:
        match name:
            case x509.RFC822Name():
                yield "AlternativeName.RFC822Name", _escaped(name.value)
            case x509.DNSName():
                yield "AlternativeName.DNSName", _escaped(name.value)
            case x509.UniformResourceIdentifier():
                yield "AlternativeName.UniformResourceIdentifier", _escaped(name.value)
            case x509.IPAddress():
                yield "AlternativeName.IPAddress", str(name.value)
            case x509.DirectoryName():
                yield "AlternativeName.DirectoryName", name.value.rfc4514_string(_SHORT_NAMES)


def _escaped(value: str) -> str:
    """Special characters carry a backslash in a variable ("X.509 Certificate policy variable limitations")."""
    return _SPECIAL.sub(r"\\\1", value)
