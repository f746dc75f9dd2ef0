"""What a server has to hold before an operation can succeed, made through boto3 when it is asked for.

stock_access.py makes users and roles, stock_services.py topics and functions, this file things, profiles and devices.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from stock_access import ALLOW_TEXT
from stock_services import ServiceStock

from devices import Device
from fleetward.simulate.provision import Keys
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables.detect import violations
from fleetward.store.tables.registry import thing_types
from fleetward.store.tables.respond import mitigation_tasks
from foreign_ca import ForeignCa, named
from running_server import until

BEHAVIOR = {
    "name": "b",
    "metric": "aws:num-messages-sent",
    "criteria": {"comparisonOperator": "less-than", "value": {"count": 9}, "durationSeconds": 300},
}
HOUR = timedelta(hours=1)


class Stock(ServiceStock):
    """Makes what an operation needs on one running server; each call makes another one under a name of its own."""

    # --- iot ----------------------------------------------------------------------------------------------------------

    def thing(self) -> str:
        return str(self.iot.create_thing(thingName=self.name("Thing"))["thingName"])

    def group(self, **params: Any) -> str:
        return str(self.iot.create_thing_group(thingGroupName=self.name("Group"), **params)["thingGroupName"])

    def policy(self) -> str:
        return str(self.iot.create_policy(policyName=self.name("Policy"), policyDocument=ALLOW_TEXT)["policyName"])

    def policy_with_versions(self) -> str:
        name = self.policy()
        self.iot.create_policy_version(policyName=name, policyDocument=ALLOW_TEXT)
        return name

    def keys(self) -> Keys:
        made = self.iot.create_keys_and_certificate(setAsActive=True)
        return Keys(made["certificateArn"], made["certificatePem"], made["keyPair"]["PrivateKey"])

    def certificate(self, active: bool = True) -> str:
        return str(self.iot.create_keys_and_certificate(setAsActive=active)["certificateArn"])

    def attached(self) -> dict[str, str]:
        """A thing and the certificate attached to it."""
        found = {"thingName": self.thing(), "principal": self.certificate()}
        self.iot.attach_thing_principal(**found)
        return found

    def attached_policy(self, to: str = "target") -> dict[str, str]:
        """A policy and the certificate that it is attached to."""
        found = {"policyName": self.policy(), to: self.certificate()}
        self.iot.attach_policy(policyName=found["policyName"], target=found[to])
        return found

    def member(self) -> dict[str, str]:
        """A group and a thing in it."""
        found = {"thingGroupName": self.group(), "thingName": self.thing()}
        self.iot.add_thing_to_thing_group(**found)
        return found

    def quarantined(self) -> dict[str, str]:
        found = {"thingName": self.thing()}
        self.fleetward.quarantine_thing(**found)
        return found

    def watch(self) -> str:
        watch: str = self.fleetward.watch_topics(topicFilters=["a/#"])["watchId"]
        return watch

    def profile(self) -> str:
        name = self.name("Profile")
        self.iot.create_security_profile(securityProfileName=name, behaviors=[BEHAVIOR])
        return name

    def attached_profile(self) -> dict[str, str]:
        found = {"securityProfileName": self.profile(), "securityProfileTargetArn": self.arn("all/things")}
        self.iot.attach_security_profile(**found)
        return found

    def thing_type(self) -> str:
        return str(self.iot.create_thing_type(thingTypeName=self.name("Type"))["thingTypeName"])

    def old_thing_type(self) -> str:
        """A thing type that was deprecated long enough ago to be deleted; its date is written into the store."""
        name = self.thing_type()
        self.iot.deprecate_thing_type(thingTypeName=name)
        self._write(thing_types.update().where(thing_types.c.name == name).values(deprecated_at=1))
        return name

    def custom_metric(self) -> str:
        name = self.name("metric")
        self.iot.create_custom_metric(metricName=name, metricType="number", clientRequestToken=name)
        return name

    def dimension(self) -> str:
        name = self.name("dimension")
        params = {"type": "TOPIC_FILTER", "stringValues": ["a/#"], "clientRequestToken": name}
        return str(self.iot.create_dimension(name=name, **params)["name"])

    def mitigation_action(self) -> str:
        name, params = self.name("Action"), {"addThingsToThingGroupParams": {"thingGroupNames": [self.group()]}}
        self.iot.create_mitigation_action(actionName=name, roleArn=self.role_arn(), actionParams=params)
        return name

    def mitigation_task(self) -> str:
        name, target = self.name("task"), {"violationIds": [self.violation()]}
        action = self.mitigation_action()
        self.iot.start_detect_mitigation_actions_task(taskId=name, target=target, actions=[action])
        return name

    def running_task(self) -> str:
        """A task that is still under way; that it is, is written into the store once it has ended."""
        name = self.mitigation_task()

        def ended() -> bool:
            task = self.iot.describe_detect_mitigation_actions_task(taskId=name)["taskSummary"]
            return bool(task["taskStatus"] != "IN_PROGRESS")

        until(ended, 10, "the end of a mitigation task")
        again = {"status": "IN_PROGRESS", "position": mitigation_tasks.c.last}  # with nothing left to do
        self._write(mitigation_tasks.update().where(mitigation_tasks.c.id == name).values(again))
        return name

    def violation(self) -> str:
        """An open violation, written into the store: none can be made in less than a window."""
        violation_id, now = self.name("violation"), time.time_ns() // 1_000_000
        row: dict[str, Any] = {
            column.name: "" for column in violations.c if not column.nullable and column.name != "number"
        }
        row |= {"id": violation_id, "thing": "Thing", "profile": "P", "behavior": BEHAVIOR, "last_value": {"count": 9}}
        row |= {"alert_topics": [], "started_at": now, "last_at": now, "suppressed": False, "criteria_type": "STATIC"}
        row |= {"state": "in-alarm", "verification_state": "UNKNOWN"}
        self._write(violations.insert().values(row))
        return violation_id

    def _write(self, statement: sa.Insert | sa.Update) -> None:
        database = Database(sqlite_url(self.server.data_dir / "fleetward.db"))
        with database.transaction(time.time_ns() // 1_000_000) as tx:
            tx.execute(statement)
        database.close()

    # --- certificates of others ---------------------------------------------------------------------------------------

    def csr(self) -> str:
        request = x509.CertificateSigningRequestBuilder().subject_name(named(self.name("csr")))
        signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        return signed.public_bytes(Encoding.PEM).decode()

    def foreign_certificate(self) -> str:
        """A certificate of a CA that is not known here, PEM."""
        return ForeignCa(self.name("ca")).leaf(self.name("leaf"))[0]

    def authority(self) -> dict[str, str]:
        """A CA certificate and the proof that we hold its key, as RegisterCACertificate wants them."""
        ca, code = ForeignCa(self.name("ca")), self.iot.get_registration_code()["registrationCode"]
        return {"caCertificate": ca.pem, "verificationCertificate": ca.verification(code)}

    def leaf(self) -> dict[str, str]:
        """A certificate of somebody else's CA, and that CA's certificate, which is registered."""
        ca = ForeignCa(self.name("ca"))
        self.iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY", setAsActive=True)
        return {"certificatePem": ca.leaf(self.name("leaf"))[0], "caCertificatePem": ca.pem}

    def registered_authority(self, active: bool = True) -> str:
        made = self.iot.register_ca_certificate(**self.authority(), setAsActive=active, allowAutoRegistration=False)
        return str(made["certificateId"])

    # --- devices ------------------------------------------------------------------------------------------------------

    def connected(self) -> str:
        """The client id of a device that is connected."""
        keys, name = self.keys(), self.thing()
        policy = self.policy()
        self.iot.attach_policy(policyName=policy, target=keys.certificate_arn)
        device = Device(name, keys, self.server.broker, self.folder)
        assert device.connect() == "Success"
        self._devices.append(device)
        return name

    @cached_property
    def _devices(self) -> list[Device]:
        return []

    def close(self) -> None:
        for device in self._devices:
            device.client.disconnect()
            device.client.loop_stop()

    def retained(self) -> str:
        topic = self.name("retained")
        self.iot_data.publish(topic=topic, payload=b"x", qos=1, retain=True)
        return topic

    def shadow(self) -> str:
        thing = self.thing()
        self.iot_data.update_thing_shadow(thingName=thing, payload=b'{"state":{"desired":{"a":1}}}')
        return thing


def id_of(certificate_arn: str) -> str:
    return certificate_arn.rsplit("/", 1)[1]
