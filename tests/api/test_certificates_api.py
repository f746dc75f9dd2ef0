"""Certificates, CAs and what certificates are attached to, through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from registry_house import RegistryHouse, refusal

from fleetward.gateway.doors import Presence
from foreign_ca import ForeignCa

INVALID, MISSING = ("InvalidRequestException", 400), ("ResourceNotFoundException", 404)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryHouse]:
    made = RegistryHouse(tmp_path_factory.mktemp("certificates"))
    yield made
    made.close()


@pytest.fixture
def iot(registry: RegistryHouse) -> Any:
    return registry.iot


def id_of(arn: str) -> str:
    return arn.rpartition("/")[2]


class TestCertificates:
    def test_life_of_a_certificate(self, registry: RegistryHouse, iot: Any) -> None:
        """A certificate is made inactive, activated, and deleted once it is neither active nor attached."""
        arn = registry.certificate()
        key = id_of(arn)
        shown = iot.describe_certificate(certificateId=key)["certificateDescription"]
        assert (shown["status"], shown["certificateMode"], shown["ownedBy"]) == ("INACTIVE", "DEFAULT", "123456789012")
        iot.update_certificate(certificateId=key, newStatus="ACTIVE")
        assert refusal(iot.delete_certificate, certificateId=key)[:2] == ("CertificateStateException", 406)
        iot.update_certificate(certificateId=key, newStatus="REVOKED")
        assert refusal(iot.update_certificate, certificateId=key, newStatus="ACTIVE")[:2] == (
            "CertificateStateException",
            406,
        )
        assert refusal(iot.update_certificate, certificateId=key, newStatus="PENDING_TRANSFER")[:2] == INVALID
        iot.create_policy(policyName="Bound", policyDocument=ALLOW)
        iot.attach_policy(policyName="Bound", target=arn)
        assert refusal(iot.delete_certificate, certificateId=key)[:2] == ("DeleteConflictException", 409)
        iot.delete_certificate(certificateId=key, forceDelete=True)
        assert refusal(iot.describe_certificate, certificateId=key)[:2] == MISSING

    def test_listing_in_the_order_of_making(self, registry: RegistryHouse, iot: Any) -> None:
        """Certificates are listed newest first, or oldest first, page by page."""
        made = []
        for number in range(5):
            registry.house.skew = number
            made.append(registry.certificate())
        registry.house.skew = 0

        def listed(ascending: bool) -> list[str]:
            found: list[str] = []
            marker: dict[str, str] = {}
            while True:
                page = iot.list_certificates(pageSize=2, ascendingOrder=ascending, **marker)
                found += [row["certificateArn"] for row in page["certificates"]]
                if "nextMarker" not in page:
                    return [arn for arn in found if arn in made]
                marker = {"marker": page["nextMarker"]}

        assert listed(True) == made
        assert listed(False) == made[::-1]

    def test_attachments(self, registry: RegistryHouse, iot: Any) -> None:
        """Things and their principals are listed from both ends, in both versions, by type of attachment."""
        shared, exclusive = registry.certificate(), registry.certificate()
        for thing in ("one", "two"):
            iot.create_thing(thingName=thing)
            iot.attach_thing_principal(thingName=thing, principal=shared)
        iot.attach_thing_principal(thingName="one", principal=exclusive, thingPrincipalType="EXCLUSIVE_THING")
        assert iot.list_thing_principals(thingName="one")["principals"] == sorted([shared, exclusive])
        kinds = {shared: "NON_EXCLUSIVE_THING", exclusive: "EXCLUSIVE_THING"}
        objects = iot.list_thing_principals_v2(thingName="one")["thingPrincipalObjects"]
        assert {row["principal"]: row["thingPrincipalType"] for row in objects} == kinds
        only = iot.list_thing_principals_v2(thingName="one", thingPrincipalType="EXCLUSIVE_THING")
        assert [row["principal"] for row in only["thingPrincipalObjects"]] == [exclusive]
        page = iot.list_principal_things(principal=shared, maxResults=1)
        assert page["things"] == ["one"]
        assert iot.list_principal_things(principal=shared, nextToken=page["nextToken"])["things"] == ["two"]
        objects = iot.list_principal_things_v2(principal=exclusive)["principalThingObjects"]
        assert objects == [{"thingName": "one", "thingPrincipalType": "EXCLUSIVE_THING"}]
        assert (
            iot.list_principal_things_v2(principal=shared, thingPrincipalType="EXCLUSIVE_THING")[
                "principalThingObjects"
            ]
            == []
        )
        attach = iot.attach_thing_principal
        assert refusal(attach, thingName="two", principal=exclusive)[:2] == INVALID
        assert refusal(attach, thingName="two", principal="us-east-1:identity")[:2] == INVALID
        assert refusal(iot.delete_thing, thingName="one")[:2] == INVALID


class TestRegistration:
    def test_way_of_a_fleet_with_its_own_ca(self, registry: RegistryHouse, iot: Any) -> None:
        """A CA is registered with its code, vouches for certificates while it is active, and goes."""
        ca = ForeignCa("Own CA")
        code = iot.get_registration_code()["registrationCode"]
        made = iot.register_ca_certificate(
            caCertificate=ca.pem, verificationCertificate=ca.verification(code), setAsActive=True
        )
        key = made["certificateId"]
        assert made["certificateArn"] == registry.arn("cacert", key)
        described = iot.describe_ca_certificate(certificateId=key)["certificateDescription"]
        assert (described["status"], described["autoRegistrationStatus"]) == ("ACTIVE", "DISABLE")
        leaves = [
            iot.register_certificate(certificatePem=ca.leaf(f"d{number}")[0], caCertificatePem=ca.pem, status="ACTIVE")
            for number in range(3)
        ]
        listed = iot.list_certificates_by_ca(caCertificateId=key, ascendingOrder=True)["certificates"]
        assert {row["certificateId"] for row in listed} == {leaf["certificateId"] for leaf in leaves}
        shown = iot.describe_certificate(certificateId=leaves[0]["certificateId"])["certificateDescription"]
        assert (shown["caCertificateId"], shown["status"]) == (key, "ACTIVE")

        assert refusal(iot.delete_ca_certificate, certificateId=key)[:2] == ("CertificateStateException", 406)
        iot.update_ca_certificate(certificateId=key, newStatus="INACTIVE")
        refused = refusal(iot.register_certificate, certificatePem=ca.leaf("late")[0])
        assert refused[:2] == ("CertificateStateException", 406)
        assert [row["certificateId"] for row in iot.list_ca_certificates()["certificates"]] == [key]
        assert iot.list_ca_certificates(templateName="t")["certificates"] == []
        iot.delete_ca_certificate(certificateId=key)
        assert iot.list_ca_certificates()["certificates"] == []
        assert refusal(iot.describe_ca_certificate, certificateId=key)[:2] == MISSING
        assert refusal(iot.list_certificates_by_ca, caCertificateId=key)[:2] == MISSING

        iot.delete_registration_code()
        assert refusal(iot.delete_registration_code)[:2] == MISSING
        assert iot.get_registration_code()["registrationCode"] != code

    def test_without_ca(self, iot: Any) -> None:
        """A certificate of an unknown CA is registered by itself, once."""
        pem, _ = ForeignCa("Unknown").leaf("device")
        assert refusal(iot.register_certificate, certificatePem=pem)[:2] == ("CertificateValidationException", 400)
        made = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
        again = refusal(iot.register_certificate_without_ca, certificatePem=pem)
        assert again[:2] == ("ResourceAlreadyExistsException", 409)
        shown = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
        assert (shown["certificatePem"], shown["certificateMode"]) == (pem, "SNI_ONLY")

    @pytest.mark.parametrize("pem", ["x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
    def test_garbage(self, iot: Any, pem: str) -> None:
        """What is no certificate is invalid, wherever it is given."""
        wrong = ("CertificateValidationException", 400)
        assert refusal(iot.register_certificate, certificatePem=pem)[:2] == wrong
        assert refusal(iot.register_certificate_without_ca, certificatePem=pem)[:2] == wrong
        assert refusal(iot.register_ca_certificate, caCertificate=pem, certificateMode="SNI_ONLY")[:2] == wrong
        good = ForeignCa().pem
        assert refusal(iot.register_ca_certificate, caCertificate=good, verificationCertificate=pem)[:2] == wrong

    def test_no_auto_registration(self, iot: Any) -> None:
        """Devices are not registered when they connect; asking for it is refused, never ignored."""
        register, ca = iot.register_ca_certificate, ForeignCa("Auto")
        made = register(caCertificate=ca.pem, certificateMode="SNI_ONLY")["certificateId"]
        other = ForeignCa().pem
        for refused in (
            refusal(register, caCertificate=other, certificateMode="SNI_ONLY", allowAutoRegistration=True),
            refusal(
                register, caCertificate=other, certificateMode="SNI_ONLY", registrationConfig={"templateName": "t"}
            ),
            refusal(iot.update_ca_certificate, certificateId=made, newAutoRegistrationStatus="ENABLE"),
        ):
            assert refused[0] == "NotImplementedException"
        iot.update_ca_certificate(certificateId=made, newAutoRegistrationStatus="DISABLE")
        iot.delete_ca_certificate(certificateId=made)


class TestConnectivity:
    def test_who_is_connected(self, registry: RegistryHouse, iot: Any) -> None:
        """A thing is connected while a device that stands for it is; who only bears its name does not count."""
        own, foreign = registry.certificate(setAsActive=True), registry.certificate(setAsActive=True)
        iot.create_thing(thingName="lamp")
        iot.attach_thing_principal(thingName="lamp", principal=own)
        asked = iot.get_thing_connectivity_data
        assert asked(thingName="lamp")["connected"] is False
        note = registry.house.rooms.connectivity.note

        def event(arn: str, session: int, connected: bool, reason: str = "") -> None:
            note(Presence("lamp", id_of(arn), "lamp", connected, "10.0.0.7", session, 1_000 * session, reason))

        event(foreign, 1, True)
        assert asked(thingName="lamp")["connected"] is False
        event(own, 2, True)
        event(foreign, 1, False, "DUPLICATE_CLIENTID")
        shown = asked(thingName="lamp", includeSocketInformation=True)
        assert (shown["connected"], shown["disconnectReason"], shown["sourceIp"]) == (True, "NONE", "10.0.0.7")
        event(own, 2, False, "CONNECTION_LOST")
        shown = asked(thingName="lamp")
        assert (shown["connected"], shown["disconnectReason"], "sourceIp" in shown) == (False, "CONNECTION_LOST", False)
        assert refusal(asked, thingName="desk")[:2] == MISSING


ALLOW = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'
