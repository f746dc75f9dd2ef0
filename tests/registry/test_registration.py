"""Certificates of other makers: registered CAs, and device certificates with and without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from fleetward import errors
from fleetward.records import CertificateRecord, RecordKind
from fleetward.registry import account, ca_certificates, certificates, feed, registration
from fleetward.store.database import Database, Transaction, sqlite_url
from fleetward.store.tables import metadata
from foreign_ca import ForeignCa


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Transaction]:
    database = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(database.engine)
    with database.transaction(1_000) as transaction:
        yield transaction
    database.close()


@pytest.fixture(scope="module")
def ca() -> ForeignCa:
    return ForeignCa()


def register(tx: Transaction, ca: ForeignCa, active: bool = True) -> str:
    proof = ca.verification(account.ensure_registration_code(tx))
    return ca_certificates.register(tx, ca.pem, proof, "DEFAULT", active)


class TestAuthorities:
    def test_possession_must_be_proven(self, tx: Transaction, ca: ForeignCa) -> None:
        """A CA is registered with a certificate that its key signed for the account's registration code."""
        with pytest.raises(errors.RegistrationCodeValidation):
            ca_certificates.register(tx, ca.pem, ca.verification("0" * 64), "DEFAULT", True)
        code = account.ensure_registration_code(tx)
        assert len(code) == 64
        assert account.ensure_registration_code(tx) == code
        with pytest.raises(errors.InvalidRequest):
            ca_certificates.register(tx, ca.pem, None, "DEFAULT", True)
        with pytest.raises(errors.RegistrationCodeValidation):
            ca_certificates.register(tx, ca.pem, ca.verification("0" * 64), "DEFAULT", True)
        with pytest.raises(errors.CertificateValidation, match="not signed by"):
            ca_certificates.register(tx, ca.pem, ForeignCa().verification(code), "DEFAULT", True)
        ca_id = ca_certificates.register(tx, ca.pem, ca.verification(code), "DEFAULT", True)
        assert ca_certificates.get(tx, ca_id)["status"] == "ACTIVE"
        with pytest.raises(errors.ResourceAlreadyExists):
            ca_certificates.register(tx, ca.pem, ca.verification(code), "DEFAULT", True)

    def test_sni_only_needs_no_proof(self, tx: Transaction, ca: ForeignCa) -> None:
        """Under SNI_ONLY a CA comes without a verification certificate, and its certificates have its mode."""
        with pytest.raises(errors.InvalidRequest):
            ca_certificates.register(tx, ca.pem, ca.verification("x"), "SNI_ONLY", True)
        ca_certificates.register(tx, ca.pem, None, "SNI_ONLY", True)
        leaf = registration.register(tx, ca.leaf("device")[0], None, "ACTIVE")
        assert certificates.get(tx, leaf)["mode"] == "SNI_ONLY"

    @pytest.mark.parametrize("text", ["", "PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
    def test_what_is_no_authority(self, tx: Transaction, ca: ForeignCa, text: str) -> None:
        """Whatever is not exactly one certificate that may sign others is refused as invalid."""
        for wrong in (text, ForeignCa(is_authority=False).pem, ca.leaf("device")[0], ca.pem * 2):
            with pytest.raises(errors.CertificateValidation):
                ca_certificates.register(tx, wrong, None, "SNI_ONLY", True)

    def test_ten_of_one_subject(self, tx: Transaction) -> None:
        """At most ten registered CAs share a subject."""
        for _ in range(10):
            ca_certificates.register(tx, ForeignCa().pem, None, "SNI_ONLY", True)
        with pytest.raises(errors.LimitExceeded):
            ca_certificates.register(tx, ForeignCa().pem, None, "SNI_ONLY", True)

    def test_deleting(self, tx: Transaction, ca: ForeignCa) -> None:
        """An active CA cannot be deleted; a deleted one is gone, but its devices' certificates go on to be trusted."""
        ca_id = register(tx, ca)
        leaf = registration.register(tx, ca.leaf("device")[0], None, "ACTIVE")
        with pytest.raises(errors.CertificateState):
            ca_certificates.delete(tx, ca_id)
        ca_certificates.set_status(tx, ca_id, "INACTIVE")
        ca_certificates.delete(tx, ca_id)
        with pytest.raises(errors.ResourceNotFound):
            ca_certificates.get(tx, ca_id)
        assert feed.read_record(tx, RecordKind.AUTHORITY, ca_id) is not None
        assert certificates.get(tx, leaf)["ca_id"] == ca_id
        assert register(tx, ca) == ca_id

    def test_deleting_one_that_signed_nothing(self, tx: Transaction, ca: ForeignCa) -> None:
        """A CA without registered certificates is no longer trusted once it is deleted."""
        ca_id = register(tx, ca, active=False)
        ca_certificates.delete(tx, ca_id)
        assert feed.read_record(tx, RecordKind.AUTHORITY, ca_id) is None


class TestDevices:
    def test_signed_by_a_registered_ca(self, tx: Transaction, ca: ForeignCa) -> None:
        """A certificate is registered when a registered, active CA signed it; the gateway needs no text of it."""
        pem, _ = ca.leaf("device")
        with pytest.raises(errors.CertificateValidation, match="RegisterCertificateWithoutCA"):
            registration.register(tx, pem, None, "ACTIVE")
        ca_id = register(tx, ca, active=False)
        with pytest.raises(errors.CertificateState, match="not active"):
            registration.register(tx, pem, None, "ACTIVE")
        ca_certificates.set_status(tx, ca_id, "ACTIVE")
        leaf = registration.register(tx, pem, ca.pem, "ACTIVE")
        assert certificates.get(tx, leaf)["ca_id"] == ca_id
        assert feed.read_record(tx, RecordKind.CERTIFICATE, leaf) == CertificateRecord(leaf, True)
        with pytest.raises(errors.ResourceAlreadyExists):
            registration.register(tx, pem, None, "ACTIVE")

    def test_the_wrong_ca(self, tx: Transaction, ca: ForeignCa) -> None:
        """A CA of the same name that did not sign the certificate does not count, named or not."""
        twin = ForeignCa()
        register(tx, twin)
        pem, _ = ca.leaf("device")
        for named in (None, twin.pem, ca.pem):
            with pytest.raises(errors.CertificateValidation):
                registration.register(tx, pem, named, "ACTIVE")
        register(tx, ca)
        registration.register(tx, pem, None, "ACTIVE")

    def test_without_ca(self, tx: Transaction, ca: ForeignCa) -> None:
        """A certificate registered without its CA stands alone, so the gateway is told its text."""
        pem, _ = ca.leaf("device")
        leaf = registration.register_without_ca(tx, f"some words\n{pem}", "INACTIVE")
        assert feed.read_record(tx, RecordKind.CERTIFICATE, leaf) == CertificateRecord(leaf, False, pem=pem)

    def test_weak_certificates(self, tx: Transaction, ca: ForeignCa) -> None:
        """A certificate whose signature is too weak to be believed is refused."""
        with pytest.raises(errors.CertificateValidation, match="SHA-256"):
            registration.register_without_ca(tx, ca.leaf("device", hashes.SHA224())[0], "ACTIVE")

    @pytest.mark.parametrize("status", ["PENDING_TRANSFER", "PENDING_ACTIVATION", "REGISTER_INACTIVE"])
    def test_statuses_of_awss_own(self, tx: Transaction, ca: ForeignCa, status: str) -> None:
        """Statuses that AWS keeps for itself can neither be registered with nor set."""
        with pytest.raises(errors.InvalidRequest):
            registration.register_without_ca(tx, ca.leaf("device")[0], status)
        leaf = registration.register_without_ca(tx, ca.leaf("device")[0], "ACTIVE")
        with pytest.raises(errors.InvalidRequest):
            certificates.set_status(tx, leaf, status)

    def test_revoked_stays_revoked(self, tx: Transaction, ca: ForeignCa) -> None:
        """A revoked certificate cannot be activated again; setting the status it has changes nothing."""
        leaf = registration.register_without_ca(tx, ca.leaf("device")[0], "ACTIVE")
        for _ in range(2):
            certificates.set_status(tx, leaf, "REVOKED")
        assert certificates.get(tx, leaf)["version"] == 2
        with pytest.raises(errors.CertificateState):
            certificates.set_status(tx, leaf, "ACTIVE")
        certificates.delete(tx, leaf)
