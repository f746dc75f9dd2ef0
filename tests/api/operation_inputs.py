"""Valid parameters of any served operation: from the model (model_inputs.valid), with the names of what exists
(EXISTING) or is to be created, and a row of INPUTS where that is not enough.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.model import OperationModel
from model_inputs import Params, valid
from stock import BEHAVIOR, HOUR, Stock, id_of
from stock_access import ALLOW_TEXT, PASSWORD, TRUST_TEXT

Make = Callable[[Stock], Any]

PROFILE_TEXT = json.dumps({"securityProfileName": "P", "behaviors": [BEHAVIOR]})

CALLERS: dict[str, Make] = {"iam.ChangePassword": Stock.person_client}
"""Whose client makes a call that the root user cannot make."""

EXISTING: dict[str, dict[str, Make]] = {
    "iot": {
        "thingName": Stock.thing,
        "thingGroupName": Stock.group,
        "thingTypeName": Stock.thing_type,
        "policyName": Stock.policy,
        "policyDocument": lambda _: ALLOW_TEXT,
        "principal": Stock.certificate,
        "certificateId": lambda s: id_of(s.certificate()),
        "actionName": Stock.mitigation_action,
        "roleArn": Stock.role_arn,
        "taskId": Stock.mitigation_task,
        "metricName": Stock.custom_metric,
        "securityProfileName": Stock.profile,
        "securityProfileTargetArn": lambda s: s.arn("all/things"),
        "behaviors": lambda _: [BEHAVIOR],
        "target": Stock.certificate,
        "resourceArn": lambda s: s.arn(f"thinggroup/{s.group()}"),
        "startTime": lambda _: datetime.now(UTC) - HOUR,
        "endTime": lambda _: datetime.now(UTC),
    },
    "iot-data": {"thingName": Stock.thing, "topic": lambda s: s.name("topic")},
    "sns": {
        "TopicArn": Stock.topic,
        "ResourceArn": Stock.topic,
        "SubscriptionArn": Stock.subscription,
        "Message": lambda _: "a message",
    },
    "lambda": {"FunctionName": Stock.function, "Resource": Stock.function_arn, "Role": Stock.role_arn},
    "logs": {"logGroupName": Stock.log_group, "logStreamName": lambda s: s.log_stream["logStreamName"]},
    "events": {"Name": Stock.rule, "Rule": Stock.target},
    "iam": {
        "RoleName": Stock.role,
        "UserName": Stock.user,
        "PolicyArn": Stock.managed_policy,
        "PolicyDocument": lambda _: ALLOW_TEXT,
        "AssumeRolePolicyDocument": lambda _: TRUST_TEXT,
    },
    "sts": {"RoleArn": Stock.role_arn},
    "fleetward": {
        "thingName": Stock.thing,
        "violationId": Stock.violation,
        "topicArn": Stock.topic,
        "functionName": Stock.function,
        "path": lambda _: "main.py",
    },
}
"""Service → required member → how something that exists is made for it; not for the name of what is created."""


def logging_configured(stock: Stock) -> Params:
    stock.iot.set_v2_logging_options(roleArn=stock.role_arn(), defaultLogLevel="WARN")
    return {}


INPUTS: dict[str, Callable[[Stock], Params]] = {
    # iot: things, groups and types
    "iot.AddThingToThingGroup": lambda s: {"thingName": s.thing(), "thingGroupName": s.group()},
    "iot.RemoveThingFromThingGroup": Stock.member,
    "iot.UpdateThingGroupsForThing": lambda s: {"thingName": s.thing(), "thingGroupsToAdd": [s.group()]},
    "iot.AttachThingPrincipal": lambda s: {"thingName": s.thing(), "principal": s.certificate()},
    "iot.DetachThingPrincipal": Stock.attached,
    "iot.DeleteThingType": lambda s: {"thingTypeName": s.old_thing_type()},
    "iot.CreateDynamicThingGroup": lambda s: {"queryString": "thingName:a"},
    # iot: certificates
    "iot.CreateCertificateFromCsr": lambda s: {"certificateSigningRequest": s.csr()},
    "iot.DeleteCertificate": lambda s: {"certificateId": id_of(s.certificate(active=False))},
    "iot.RegisterCertificate": Stock.leaf,
    "iot.RegisterCertificateWithoutCA": lambda s: {"certificatePem": s.foreign_certificate()},
    "iot.RegisterCACertificate": Stock.authority,
    "iot.DescribeCACertificate": lambda s: {"certificateId": s.registered_authority()},
    "iot.UpdateCACertificate": lambda s: {"certificateId": s.registered_authority(), "newStatus": "INACTIVE"},
    "iot.DeleteCACertificate": lambda s: {"certificateId": s.registered_authority(active=False)},
    "iot.ListCertificatesByCA": lambda s: {"caCertificateId": s.registered_authority()},
    "iot.UpdateCertificate": lambda s: {"certificateId": id_of(s.certificate()), "newStatus": "INACTIVE"},
    # iot: policies
    "iot.GetPolicyVersion": lambda s: {"policyName": s.policy(), "policyVersionId": "1"},
    "iot.DeletePolicyVersion": lambda s: {"policyName": s.policy_with_versions(), "policyVersionId": "2"},
    "iot.SetDefaultPolicyVersion": lambda s: {"policyName": s.policy_with_versions(), "policyVersionId": "2"},
    "iot.DetachPolicy": Stock.attached_policy,
    "iot.DetachPrincipalPolicy": lambda s: {
        k.replace("target", "principal"): v for k, v in s.attached_policy().items()
    },
    "iot.GetEffectivePolicies": lambda s: {"principal": s.certificate()},
    "iot.TestAuthorization": lambda s: {
        "principal": s.certificate(),
        "authInfos": [{"actionType": "PUBLISH", "resources": [s.arn("topic/a")]}],
    },
    # iot: security profiles and violations
    "iot.DetachSecurityProfile": Stock.attached_profile,
    "iot.PutVerificationStateOnViolation": lambda s: {
        "violationId": s.violation(),
        "verificationState": "FALSE_POSITIVE",
    },
    "iot.ListMetricValues": lambda s: {"thingName": s.thing(), "metricName": "aws:num-messages-sent"},
    "iot.CreateCustomMetric": lambda s: {"metricName": s.name("metric")},
    "iot.DescribeDimension": lambda s: {"name": s.dimension()},
    "iot.UpdateDimension": lambda s: {"name": s.dimension(), "stringValues": ["b/#"]},
    "iot.CreateMitigationAction": lambda s: {
        "actionName": s.name("Action"),
        "actionParams": {"addThingsToThingGroupParams": {"thingGroupNames": [s.group()]}},
    },
    "iot.StartDetectMitigationActionsTask": lambda s: {
        "taskId": s.name("task"),
        "target": {"violationIds": [s.violation()]},
        "actions": [s.mitigation_action()],
    },
    "iot.CancelDetectMitigationActionsTask": lambda s: {"taskId": s.running_task()},
    "iot.ListDetectMitigationActionsExecutions": lambda s: {"thingName": s.thing()},
    # iot: the rest
    "iot.UntagResource": lambda s: {"resourceArn": s.arn(f"thinggroup/{s.group()}"), "tagKeys": ["a"]},
    "iot.SetV2LoggingOptions": lambda s: {"roleArn": s.role_arn(), "defaultLogLevel": "WARN"},
    "iot.SetLoggingOptions": lambda s: {"loggingOptionsPayload": {"roleArn": s.role_arn(), "logLevel": "WARN"}},
    "iot.GetV2LoggingOptions": logging_configured,
    "iot.GetThingConnectivityData": lambda s: {"thingName": s.connected()},
    # fleetward
    "fleetward.DescribeAuthorization": lambda s: {
        "thingName": s.thing(),
        "actionType": "PUBLISH",
        "resource": s.arn("topic/a"),
    },
    # iot-data
    "iot-data.GetRetainedMessage": lambda s: {"topic": s.retained()},
    "iot-data.DeleteConnection": lambda s: {"clientId": s.connected()},
    "iot-data.GetThingShadow": lambda s: {"thingName": s.shadow()},
    "iot-data.DeleteThingShadow": lambda s: {"thingName": s.shadow()},
    "iot-data.UpdateThingShadow": lambda s: {"thingName": s.thing(), "payload": b'{"state":{"desired":{"a":1}}}'},
    # sns
    "sns.ConfirmSubscription": Stock.pending,
    "sns.Publish": lambda s: {"TopicArn": s.topic()},
    "sns.PublishBatch": lambda s: {"PublishBatchRequestEntries": [{"Id": "a", "Message": "m"}]},
    "sns.SetSubscriptionAttributes": lambda _: {"AttributeName": "RawMessageDelivery", "AttributeValue": "false"},
    "sns.SetTopicAttributes": lambda _: {"AttributeName": "DisplayName", "AttributeValue": "d"},
    "sns.Subscribe": lambda s: {"Protocol": "email", "Endpoint": f"{s.name('mail')}@example.com"},
    # lambda
    "lambda.AddPermission": lambda s: {"Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"},
    "lambda.RemovePermission": Stock.permission,
    "lambda.GetPolicy": lambda s: {"FunctionName": s.permission()["FunctionName"]},
    "lambda.CreateFunction": lambda s: {
        "Code": {"ZipFile": s.package},
        "Runtime": "python3.12",
        "Handler": "main.handle",
    },
    "lambda.UpdateFunctionCode": lambda s: {"ZipFile": s.package},
    "lambda.Invoke": lambda s: {"Payload": b"{}"},
    # logs
    "logs.DescribeLogStreams": lambda s: {"logGroupName": s.log_stream["logGroupName"]},
    "logs.GetLogEvents": lambda s: dict(s.log_stream),
    "logs.FilterLogEvents": lambda s: {"logGroupName": s.log_stream["logGroupName"]},
    "logs.PutRetentionPolicy": lambda s: {"retentionInDays": 7},
    # events
    "events.PutRule": lambda s: {"Name": s.name("Rule"), "ScheduleExpression": "rate(1 day)"},
    "events.PutTargets": lambda s: {"Rule": s.rule(), "Targets": [{"Id": "one", "Arn": s.function_arn()}]},
    "events.RemoveTargets": lambda s: {"Ids": ["one"]},
    # iam and sts
    "iam.GetRolePolicy": lambda s: s.inline("Role"),
    "iam.DeleteRolePolicy": lambda s: s.inline("Role"),
    "iam.DetachRolePolicy": lambda s: s.attachment("Role"),
    "iam.GetUserPolicy": lambda s: s.inline("User"),
    "iam.DeleteUserPolicy": lambda s: s.inline("User"),
    "iam.DetachUserPolicy": lambda s: s.attachment("User"),
    "iam.DeleteAccessKey": Stock.access_key,
    "iam.UpdateAccessKey": lambda s: {**s.access_key(), "Status": "Inactive"},
    "iam.GetAccessKeyLastUsed": lambda s: {"AccessKeyId": s.access_key()["AccessKeyId"]},
    "iam.ListAccessKeys": lambda s: {"UserName": s.access_key()["UserName"]},
    "iam.UpdateAssumeRolePolicy": lambda s: {"RoleName": s.role(), "PolicyDocument": TRUST_TEXT},
    "iam.CreateLoginProfile": lambda s: {"UserName": s.user(), "Password": PASSWORD},
    "iam.GetLoginProfile": Stock.person,
    "iam.UpdateLoginProfile": Stock.person,
    "iam.DeleteLoginProfile": Stock.person,
    "iam.ChangePassword": lambda _: {"OldPassword": PASSWORD, "NewPassword": f"{PASSWORD}!"},
    "sts.GetAccessKeyInfo": lambda s: {"AccessKeyId": s.access_key()["AccessKeyId"]},
    "iam.CreateAccessKey": lambda s: {"UserName": s.user()},
    "iam.GetPolicyVersion": lambda s: {"PolicyArn": s.managed_policy(), "VersionId": "v1"},
    "iam.DeletePolicyVersion": lambda s: {"PolicyArn": s.managed_policy(2), "VersionId": "v2"},
    "iam.SetDefaultPolicyVersion": lambda s: {"PolicyArn": s.managed_policy(2), "VersionId": "v2"},
    # fleetward
    "fleetward.WatchTopics": lambda s: {"topicFilters": ["a/#", "b/+/c"]},
    "fleetward.GetWatchedMessages": lambda s: {"watchId": s.watch()},
    "fleetward.UnwatchTopics": lambda s: {"watchId": s.watch()},
    "fleetward.LintSecurityProfile": lambda s: {"profile": PROFILE_TEXT, "targetArns": [s.arn("all/things")]},
    "fleetward.BacktestSecurityProfile": lambda s: {"profile": PROFILE_TEXT, "targetArns": [s.arn("all/things")]},
    "fleetward.ReleaseThing": Stock.quarantined,
}
"""What a valid call of an operation needs beyond its required members and EXISTING."""


def inputs(stock: Stock, operation: OperationModel) -> Params:
    """Valid parameters of `operation`, for which `stock` holds what they name."""
    service = operation.service_model.service_name
    shape: Any = operation.input_shape
    params = INPUTS.get(f"{service}.{operation.name}", lambda _: {})(stock)
    for name in shape.required_members if shape is not None else ():
        if name not in params:
            params[name] = _value(stock, service, operation.name, name, shape.members[name])
    return params


def _value(stock: Stock, service: str, operation: str, member: str, shape: Any) -> Any:
    noun = operation.removeprefix("Create")
    if noun != operation and member.lower() in (f"{noun}name".lower(), "name"):
        return stock.name(noun)
    make = EXISTING[service].get(member)
    return make(stock) if make is not None else valid(shape)
