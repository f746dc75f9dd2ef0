"""A Fleetward server with a fleet of devices in it: things, certificates, a policy, one active security profile.

What can be made through the API is; copies of it by the ten thousand are written into the stopped server's store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from peers import Server, fleetward, free_port

from fleetward.client import ServerInfo, clients
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables.registry import thing_principals, things

IDENTITIES = 50
"""Certificates that the devices of a TLS benchmark share out among themselves."""


@dataclass
class Fleet:
    """A data folder with a fleet in it, and the server that runs on it. `start` may be called again after `stop`."""

    folder: Path
    certificate_id: str
    certificates: Path
    """ca.pem, and 0.pem, 0.key and so on: see mqttload.c."""
    server: Server | None = None
    plain_port: int = 0

    @property
    def info(self) -> ServerInfo:
        found = ServerInfo.load(self.folder / "data")
        assert found is not None
        return found

    @property
    def tls(self) -> tuple[Path, int]:
        return self.certificates, len(list(self.certificates.glob("*.key")))

    def client(self, service: str) -> Any:
        return clients(self.info)(service)

    @property
    def all_things(self) -> str:
        """The target of a profile for everything."""
        return f"arn:aws:iot:{self.info.region}:{self.info.account_id}:all/things"

    @property
    def pid(self) -> int:
        assert self.server is not None
        return self.server.process.pid

    def start(self, *options: str) -> Fleet:
        self.plain_port = free_port()
        plain = ("--mqtt-plain-port", str(self.plain_port), "--mqtt-plain-certificate", self.certificate_id)
        self.server = fleetward(self.folder, options=(*plain, *options))
        self.server.settle()
        return self

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None


def make(folder: Path, names: list[str], identities: int = 1) -> Fleet:
    """A stopped server's folder with these things, every certificate attached to each of them."""
    server = fleetward(folder)
    info = ServerInfo.load(folder / "data")
    assert info is not None
    client = clients(info)
    certificates = folder / "certificates"
    certificates.mkdir()
    (certificates / "ca.pem").write_text(Path(info.ca_file).read_text())
    place = f"{info.region}:{info.account_id}"
    for name, document in policies(place).items():
        client("iot").create_policy(policyName=name, policyDocument=document)
    ids = [_certificate(client, policies(place), certificates, number) for number in range(identities)]
    _profile(client, place)
    client("iot").create_thing(thingName="pattern")
    server.stop()
    with store(folder) as connection:
        copy_things(connection, names)
        rows = [{"thing_name": name, "certificate_id": id, "exclusive": False} for name in names for id in ids]
        connection.execute(thing_principals.insert(), rows)
    return Fleet(folder, ids[0], certificates)


def _certificate(client: Callable[[str], Any], policy_names: Iterable[str], folder: Path, number: int) -> str:
    """An RSA-2048 device certificate, signed by the server's own authority."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"bench-{number}")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM).decode()
    made = client("iot").create_certificate_from_csr(certificateSigningRequest=pem, setAsActive=True)
    for name in policy_names:
        client("iot").attach_policy(policyName=name, target=made["certificateArn"])
    (folder / f"{number}.pem").write_text(made["certificatePem"])
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{number}.key").write_bytes(secret)
    return str(made["certificateId"])


def policies(place: str) -> dict[str, str]:
    """50 statements with wildcards and variables, as a plant with many areas writes them; the last ones let us in.

    AWS bounds a policy at 2,048 characters and a certificate at ten policies: so five policies of ten statements.
    """
    own = "${iot:Connection.Thing.ThingName}"
    areas = [("Allow", "iot:Publish", f"topic/plant/area-{n}/*/{own}/?/state") for n in range(30)]
    denied = [("Deny", "iot:Publish", f"topic/plant/*/{own}/admin-{n}/*") for n in range(16)]
    let_in = [
        ("Allow", "iot:Connect", "client/*"),
        ("Allow", "iot:Publish", f"topic/*/{own}*"),
        ("Allow", "iot:Subscribe", "topicfilter/*"),
        ("Allow", "iot:Receive", "topic/*"),
    ]
    statements = [
        {"Effect": effect, "Action": action, "Resource": f"arn:aws:iot:{place}:{resource}"}
        for effect, action, resource in [*areas, *denied, *let_in]
    ]
    return {
        f"BenchPolicy{start}": json.dumps({"Version": "2012-10-17", "Statement": statements[start : start + 10]})
        for start in range(0, len(statements), 10)
    }


def _profile(client: Callable[[str], Any], place: str) -> None:
    """One behaviour that every message is looked at for, and that none breaks."""
    criteria = {"comparisonOperator": "less-than-equals", "value": {"count": 100_000}}
    client("iot").create_security_profile(
        securityProfileName="Bench",
        behaviors=[{"name": "TooLarge", "metric": "aws:message-byte-size", "criteria": criteria}],
    )
    client("iot").attach_security_profile(
        securityProfileName="Bench", securityProfileTargetArn=f"arn:aws:iot:{place}:all/things"
    )


# --- in the store of a server, stopped --------------------------------------------------------------------------------


@contextmanager
def store(folder: Path, writing: bool = True) -> Iterator[sa.Connection]:
    """In one transaction; a running server's is only to be looked at."""
    database = Database(sqlite_url(folder / "data" / "fleetward.db"))
    try:
        with database.connect(writing) as connection:
            yield connection
    finally:
        database.close()


def copy_things(connection: sa.Connection, names: list[str]) -> None:
    """Copies of the one thing that the server itself has made."""
    pattern = connection.scalar(sa.select(sa.func.min(things.c.id)))
    same = [column for column in things.c if column.name not in ("id", "name")]
    copy = sa.select(sa.bindparam("copy"), *same).where(things.c.id == pattern)
    statement = things.insert().from_select(["name", *(column.name for column in same)], copy)
    connection.execute(statement, [{"copy": name} for name in names])
