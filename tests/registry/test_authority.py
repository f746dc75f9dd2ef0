"""The local certificate authority: its files, its certificates, and real TLS with them."""

from __future__ import annotations

import ssl
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from fleetward import errors
from fleetward.policy.document import DEVICE_KEYS
from fleetward.policy.keys import CERTIFICATE_ATTRIBUTES
from fleetward.registry.authority import Authority, DamagedAuthority, DeviceCertificate, certificate_id
from fleetward.registry.certificate_context import ATTRIBUTES, certificate_context

NOW = int(datetime.now(UTC).timestamp() * 1000)
DAY = 86_400_000
NAMES = ("localhost", "127.0.0.1", "::1")
SHA256 = hashes.SHA256()
EC_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "ca", NOW)


def loaded(pem: str | Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.read_bytes() if isinstance(pem, Path) else pem.encode())


def name(**attributes: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(getattr(NameOID, oid), value) for oid, value in attributes.items()])


def csr(key: Any = EC_KEY, subject: x509.Name | None = None, digest: Any = SHA256, *extensions: Any) -> str:
    builder = x509.CertificateSigningRequestBuilder(name(COMMON_NAME="pump-7") if subject is None else subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, digest).public_bytes(Encoding.PEM).decode()


class TestFolder:
    def test_everything_is_its_owners_alone(self, authority: Authority) -> None:
        """The folder is 0700, every file in it 0600, and nothing else is left behind."""
        authority.issue_server(NAMES, NOW)
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in authority.folder.iterdir()}
        assert files == dict.fromkeys(("ca.pem", "ca.key", "broker.pem", "broker.key"), 0o600)
        assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700

    def test_loose_modes_are_tightened(self, authority: Authority) -> None:
        """A folder or key that others could read is closed at the next start."""
        authority.folder.chmod(0o755)
        (authority.folder / "ca.key").chmod(0o644)
        Authority.open(authority.folder, NOW)
        assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((authority.folder / "ca.key").stat().st_mode) == 0o600

    def test_the_second_start_finds_the_first(self, authority: Authority) -> None:
        """The root is made once; what it issued is still trusted after a restart."""
        again = Authority.open(authority.folder, NOW + 365 * DAY)
        assert again.ca_pem == authority.ca_pem == authority.ca_file.read_text()
        loaded(authority.issue_device(NOW, "ec").certificate_pem).verify_directly_issued_by(again.certificate)

    def test_a_first_start_that_was_cut_short_goes_on(self, authority: Authority) -> None:
        """A key without a certificate gets a certificate, under which what the key signed stays valid."""
        device = authority.issue_device(NOW, "ec")
        authority.ca_file.unlink()
        again = Authority.open(authority.folder, NOW)
        loaded(device.certificate_pem).verify_directly_issued_by(again.certificate)

    @pytest.mark.parametrize("damage", ["missing", "foreign", "garbage", "certificate"])
    def test_half_an_authority_is_never_replaced(self, authority: Authority, tmp_path: Path, damage: str) -> None:
        """A certificate without its key is reported, not renewed: a new root would cut off every device."""
        key = authority.folder / "ca.key"
        if damage == "missing":
            key.unlink()
        elif damage == "foreign":
            Authority.open(tmp_path / "other", NOW)
            key.write_bytes((tmp_path / "other" / "ca.key").read_bytes())
        else:
            (key if damage == "garbage" else authority.ca_file).write_text("garbage")
        before = authority.ca_file.read_bytes()
        with pytest.raises(DamagedAuthority):
            Authority.open(authority.folder, NOW)
        assert authority.ca_file.read_bytes() == before

    def test_secrets_do_not_show(self, authority: Authority) -> None:
        """Neither the authority's key nor a device's appears in a repr."""
        device = authority.issue_device(NOW, "ec")
        assert "PRIVATE" not in repr(device)
        assert "key" not in repr(authority)

    def test_a_devices_key_is_not_kept(self, authority: Authority) -> None:
        """No file changes when a device certificate is made."""
        before = {path: path.read_bytes() for path in authority.folder.iterdir()}
        authority.issue_device(NOW, "ec")
        assert {path: path.read_bytes() for path in authority.folder.iterdir()} == before


class TestServer:
    def test_it_is_kept_while_it_is_good(self, authority: Authority) -> None:
        """The same names in any order and twice over, and more than a third of its life left: the same certificate."""
        certificate, key = authority.issue_server(NAMES, NOW)
        before = certificate.read_bytes(), key.read_bytes()
        Authority.open(authority.folder, NOW).issue_server([*reversed(NAMES), "localhost"], NOW + 548 * DAY)
        assert (certificate.read_bytes(), key.read_bytes()) == before

    @pytest.mark.parametrize("reason", ["names", "age", "clock", "garbage", "no key", "other key", "other ca"])
    def test_it_is_made_anew(self, authority: Authority, tmp_path: Path, reason: str) -> None:
        """Other names, less than a third of its life left, a clock before it, or files that do not fit: made anew."""
        certificate, key = authority.issue_server(NAMES, NOW)
        before = certificate.read_bytes()
        if reason == "garbage":
            certificate.write_text("garbage")
        elif reason == "no key":
            key.unlink()
        elif reason == "other key":
            key.write_bytes((authority.folder / "ca.key").read_bytes())
        elif reason == "other ca":
            certificate.write_bytes(Authority.open(tmp_path / "x", NOW).issue_server(NAMES, NOW)[0].read_bytes())
        now = NOW + {"age": 551 * DAY, "clock": -2 * DAY}.get(reason, 0)
        names = [*NAMES, "broker.example"] if reason == "names" else NAMES
        assert authority.issue_server(names, now) == (certificate, key)
        assert certificate.read_bytes() != before
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)

    def test_its_names_and_validity(self, authority: Authority) -> None:
        """Host names and addresses are told apart; it lives for at most 825 days and began before now."""
        certificate = loaded(
            authority.issue_server(["löcal.example", "*.a.b", "::1", "fe80::1%eth0", "10.0.0.1"], NOW)[0]
        )
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["xn--lcal-5qa.example", "*.a.b"]
        assert names.get_values_for_type(x509.IPAddress) == [ip_address(a) for a in ("::1", "fe80::1", "10.0.0.1")]
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(days=825)
        assert certificate.not_valid_before_utc < datetime.fromtimestamp(NOW / 1000, UTC)

    @pytest.mark.parametrize("names", [[], [""], ["a..b"], ["a b"], ["x" * 64]])
    def test_what_is_no_name_is_refused(self, authority: Authority, names: list[str]) -> None:
        """A name that cannot be in a certificate is reported at the start, not by the first client."""
        with pytest.raises(ValueError, match=r"name"):
            authority.issue_server(names, NOW)


class TestDevice:
    def test_as_aws_gives_them(self, authority: Authority) -> None:
        """RSA of 2048 bits, CN "AWS IoT Certificate", valid to the end of 2049, keys in the PEM forms of AWS."""
        device = authority.issue_device(NOW)
        certificate = loaded(device.certificate_pem)
        key = load_pem_private_key((device.private_key_pem or "").encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.key_size == 2048
        assert certificate.public_key() == key.public_key()
        assert certificate.subject.rfc4514_string() == "CN=AWS IoT Certificate"
        assert certificate.not_valid_after_utc == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
        assert (device.private_key_pem or "").startswith("-----BEGIN RSA PRIVATE KEY-----")
        assert device.public_key_pem.startswith("-----BEGIN PUBLIC KEY-----")
        assert (
            device.id
            == certificate_id(certificate.public_bytes(Encoding.DER))
            == certificate.fingerprint(hashes.SHA256()).hex()
        )
        assert device.not_before < NOW < device.not_after == 2524607999000

    def test_serial_numbers_are_random(self, authority: Authority) -> None:
        """Serials are 128 random bits: of twenty, all differ and most are long."""
        serials = {loaded(authority.issue_device(NOW, "ec").certificate_pem).serial_number for _ in range(20)}
        assert len(serials) == 20
        assert all(0 < serial < 2**128 for serial in serials)
        assert sum(serial > 2**120 for serial in serials) > 15

    def test_a_signing_request(self, authority: Authority) -> None:
        """A request is signed under its subject, for its key; there is no private key to give."""
        device = authority.sign_csr(csr(), NOW)
        certificate = loaded(device.certificate_pem)
        assert certificate.public_key() == EC_KEY.public_key()
        assert certificate.subject == name(COMMON_NAME="pump-7")
        assert device.private_key_pem is None
        assert loaded(authority.sign_csr(csr(subject=x509.Name([])), NOW).certificate_pem).subject.rdns

    def test_of_a_request_only_subject_and_key_count(self, authority: Authority) -> None:
        """A request cannot ask to be a CA or to be valid as the broker."""
        wishes = x509.SubjectAlternativeName([x509.DNSName("localhost")]), x509.BasicConstraints(True, None)
        certificate = loaded(authority.sign_csr(csr(EC_KEY, None, hashes.SHA256(), *wishes), NOW).certificate_pem)
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        with pytest.raises(x509.ExtensionNotFound):
            certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)

    @pytest.mark.parametrize("size", [2048, 3072])
    def test_good_keys(self, authority: Authority, size: int) -> None:
        """RSA from 2048 bits on and the three NIST curves are signed."""
        assert authority.sign_csr(csr(rsa.generate_private_key(65537, size)), NOW).id
        curve = ec.SECP384R1() if size == 2048 else ec.SECP521R1()
        assert authority.sign_csr(csr(ec.generate_private_key(curve), None, hashes.SHA384()), NOW).id

    @pytest.mark.parametrize(
        "key",
        [
            rsa.generate_private_key(65537, 1024),
            ec.generate_private_key(ec.SECP192R1()),
            ec.generate_private_key(ec.SECP256K1()),
            ed25519.Ed25519PrivateKey.generate(),
        ],
        ids=["rsa 1024", "p-192", "k-256", "ed25519"],
    )
    def test_weak_and_strange_keys_are_refused(self, authority: Authority, key: Any) -> None:
        """Keys that AWS does not accept are refused by name of those that are."""
        digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        with pytest.raises(errors.InvalidRequest, match="RSA of 2048 to 8192 bits"):
            authority.sign_csr(csr(key, None, digest), NOW)

    def test_a_bad_signature_is_refused(self, authority: Authority) -> None:
        """A request that does not prove possession of its key is refused."""
        der = bytearray(x509.load_pem_x509_csr(csr().encode()).public_bytes(Encoding.DER))
        at = der.index(b"pump-7")
        der[at : at + 6] = b"pump-8"
        forged = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
        with pytest.raises(errors.InvalidRequest, match="signature"):
            authority.sign_csr(forged, NOW)

    @given(st.one_of(st.text(), st.just(csr() * 50), st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)))))
    def test_whatever_is_sent_is_refused_properly(self, sent: str | list[tuple[int, int]]) -> None:
        """Any text that is no good request, however near to one, raises InvalidRequest and nothing else."""
        authority = Authority(Path(), make_certificate(), EC_KEY)
        if isinstance(sent, list):
            request = damaged(x509.load_pem_x509_csr(csr().encode()).public_bytes(Encoding.DER), sent)
            sent = ssl.DER_cert_to_PEM_cert(request).replace("CERTIFICATE", "CERTIFICATE REQUEST")
        with suppress(errors.InvalidRequest):
            certificate = loaded(authority.sign_csr(sent, NOW).certificate_pem)
            assert certificate.public_key() == EC_KEY.public_key()


def damaged(der: bytes, changes: list[tuple[int, int]]) -> bytes:
    """`der` with some of its bytes, by place, set to others."""
    made = bytearray(der)
    for place, value in changes:
        made[place % len(made)] = value
    return bytes(made)


def make_certificate(
    subject: x509.Name | None = None, issuer: x509.Name | None = None, serial: int = 1, *extensions: x509.ExtensionType
) -> x509.Certificate:
    """A certificate of somebody else's making."""
    builder = (
        x509.CertificateBuilder(issuer or name(COMMON_NAME="x"), subject or name(COMMON_NAME="x"))
        .public_key(EC_KEY.public_key())
        .serial_number(serial)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(EC_KEY, hashes.SHA256())


class TestHandshake:
    """Real TLS in memory, both ends with OpenSSL's strict checks."""

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    @pytest.mark.parametrize("kind", ["rsa", "ec", "csr"])
    @pytest.mark.parametrize("host", NAMES)
    def test_device_and_broker_accept_each_other(
        self, authority: Authority, tmp_path: Path, version: ssl.TLSVersion, kind: Any, host: str
    ) -> None:
        """Devices of every kind and the broker trust each other, under every name of the broker."""
        if kind == "csr":
            made = authority.sign_csr(csr(), NOW)
            private = EC_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        else:
            made = authority.issue_device(NOW, kind)
            private = made.private_key_pem or ""
        server, client = contexts(authority, files_of(tmp_path, made, private))
        for context in (server, client):
            context.minimum_version = context.maximum_version = version
        shown = shake_hands(server, client, host)
        assert certificate_id(shown) == made.id

    def test_a_name_the_broker_does_not_have_is_refused(self, authority: Authority, tmp_path: Path) -> None:
        """A device refuses the broker under any other name."""
        device = authority.issue_device(NOW, "ec")
        server, client = contexts(authority, files_of(tmp_path, device, device.private_key_pem or ""))
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            shake_hands(server, client, "broker.example")

    def test_a_device_cannot_pose_as_the_broker(self, authority: Authority, tmp_path: Path) -> None:
        """A device's certificate is for clients only: another device refuses it as the broker's."""
        device = authority.issue_device(NOW, "ec")
        files = files_of(tmp_path, device, device.private_key_pem or "")
        server, client = contexts(authority, files)
        client.check_hostname = False
        server.load_cert_chain(*files)
        with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
            shake_hands(server, client, "localhost")

    def test_another_authoritys_device_is_refused(self, authority: Authority, tmp_path: Path) -> None:
        """The broker refuses a certificate that its own authority did not issue."""
        foreign = Authority.open(tmp_path / "other", NOW).issue_device(NOW, "ec")
        server, client = contexts(authority, files_of(tmp_path, foreign, foreign.private_key_pem or ""))
        with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
            shake_hands(server, client, "localhost")

    def test_a_devices_certificate_signs_nothing(self, authority: Authority, tmp_path: Path) -> None:
        """A certificate made with a device's key is refused, even with the device's own in the chain."""
        device = authority.issue_device(NOW, "ec")
        key = load_pem_private_key((device.private_key_pem or "").encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        child = Authority(tmp_path, loaded(device.certificate_pem), key).issue_device(NOW, "ec")
        files = files_of(tmp_path, child, child.private_key_pem or "")
        files[0].write_text(child.certificate_pem + device.certificate_pem)
        server, client = contexts(authority, files)
        with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
            shake_hands(server, client, "localhost")


def files_of(folder: Path, device: DeviceCertificate, private: str) -> tuple[Path, Path]:
    (folder / "device.pem").write_text(device.certificate_pem)
    (folder / "device.key").write_text(private)
    return folder / "device.pem", folder / "device.key"


def contexts(authority: Authority, device: tuple[Path, Path]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The broker's end and the device's."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(*authority.issue_server(NAMES, NOW))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_cert_chain(*device)
    for context in (server, client):
        context.load_verify_locations(authority.ca_file)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    return server, client


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> bytes:
    """Runs a handshake in memory and returns the DER form of the certificate the broker was shown."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(down, up, server_hostname=host)
    far = server.wrap_bio(up, down, server_side=True)
    open_ends = [near, far]
    while open_ends:
        for end in list(open_ends):
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    shown = far.getpeercert(binary_form=True)
    assert shown is not None
    return shown


class TestContext:
    def test_the_example_of_the_developer_guide(self) -> None:
        """Serial number in decimal, every attribute under AWS's name, alternative names, the first value unnumbered."""
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
                x509.NameAttribute(NameOID.COMMON_NAME, "LightBulb Device Cert"),
                x509.NameAttribute(NameOID.COMMON_NAME, "Administrator"),
                x509.NameAttribute(NameOID.GENERATION_QUALIFIER, "4"),
            ]
        )
        alternatives = x509.SubjectAlternativeName(
            [
                x509.DNSName("example.com"),
                x509.IPAddress(ip_address("1.2.3.4")),
                x509.UniformResourceIdentifier("ResourceIdentifier001"),
                x509.RFC822Name("device1@example.com"),
                x509.DirectoryName(
                    x509.Name(
                        [
                            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
                            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "IoT"),
                            x509.NameAttribute(NameOID.COMMON_NAME, "LightBulbCert"),
                        ]
                    )
                ),
            ]
        )
        issuer = name(ORGANIZATION_NAME="IoT Devices")
        made = make_certificate(subject, issuer, 10525622389124227206, alternatives)
        context = certificate_context(made.public_bytes(Encoding.DER))
        expected = {
            "iot:CertificateId": certificate_id(made.public_bytes(Encoding.DER)),
            "iot:Certificate.SerialNumber": "10525622389124227206",
            "iot:Certificate.Subject.Country": "US",
            "iot:Certificate.Subject.CommonName": "LightBulb Device Cert",
            "iot:Certificate.Subject.CommonName.1": "Administrator",
            "iot:Certificate.Subject.CommonName.List": ("LightBulb Device Cert", "Administrator"),
            "iot:Certificate.Subject.GenerationQualifier": "4",
            "iot:Certificate.Subject.AlternativeName.DNSName": "example.com",
            "iot:Certificate.Subject.AlternativeName.IPAddress": "1.2.3.4",
            "iot:Certificate.Subject.AlternativeName.UniformResourceIdentifier": "ResourceIdentifier001",
            "iot:Certificate.Subject.AlternativeName.RFC822Name": "device1@example.com",
            "iot:Certificate.Subject.AlternativeName.DirectoryName": "cn=LightBulbCert,o=IoT,c=US",
            "iot:Certificate.Issuer.Organization": "IoT Devices",
        }
        assert {key: context[key] for key in expected} == expected
        available = context["iot:Certificate.AvailableKeys"]
        assert set(available) == {key for key in expected if not key.endswith((".1", ".List", "Id"))}

    def test_the_limits_of_the_developer_guide(self) -> None:
        """Five values of an attribute count, special characters carry a backslash."""
        names = [x509.NameAttribute(NameOID.COMMON_NAME, value) for value in ("a+b=c", *"23456")]
        made = make_certificate(x509.Name(names), name(COMMON_NAME="x"), 1)
        context = certificate_context(made.public_bytes(Encoding.DER))
        assert context["iot:Certificate.Subject.CommonName"] == "a\\+b\\=c"
        assert context["iot:Certificate.Subject.CommonName.List"] == ("a\\+b\\=c", *"2345")
        assert "iot:Certificate.Subject.CommonName.5" not in context

    def test_long_values_do_not_count(self) -> None:
        """A value of more than 1024 characters gives no key."""
        made = make_certificate(None, None, 1, x509.SubjectAlternativeName([x509.DNSName("x" * 1025)]))
        context = certificate_context(made.public_bytes(Encoding.DER))
        assert "iot:Certificate.Subject.AlternativeName.DNSName" not in context

    def test_every_key_is_one_a_policy_may_name(self, authority: Authority) -> None:
        """What certificate_context gives and what DEVICE_KEYS accepts are the same names."""
        assert set(ATTRIBUTES.values()) == set(CERTIFICATE_ATTRIBUTES)
        device = loaded(authority.issue_device(NOW, "ec").certificate_pem)
        assert set(certificate_context(device.public_bytes(Encoding.DER))) <= DEVICE_KEYS

    @given(st.one_of(st.binary(max_size=64), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)))))
    def test_any_bytes(self, sent: bytes | list[tuple[int, int]]) -> None:
        """A damaged certificate gives what can be read of it or CertificateValidation, and nothing else."""
        alternatives = x509.SubjectAlternativeName([x509.DNSName("a.b"), x509.DirectoryName(name(COMMON_NAME="x"))])
        if isinstance(sent, list):
            sent = damaged(make_certificate(None, None, 1, alternatives).public_bytes(Encoding.DER), sent)
        with suppress(errors.CertificateValidation):
            assert set(certificate_context(sent)) <= DEVICE_KEYS
