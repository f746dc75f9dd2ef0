"""AWS_MANAGED: the AWS managed policies that people attach around Detect, and the console's three roles, one row each.

They grant what AWS's policies of the same name grant, as far as Fleetward has it (AWS managed policy reference). Those
whose names begin with Fleetward are its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AwsPolicy:
    description: str
    document: str
    id: str


def _policy(name: str, description: str, *actions: Sequence[str], passes_to: str = "") -> tuple[str, AwsPolicy]:
    """Each of `actions` makes a statement that allows them on everything; roles may be passed to `passes_to`."""
    statements: list[Mapping[str, object]] = [
        {"Effect": "Allow", "Action": list(some), "Resource": "*"} for some in actions
    ]
    if passes_to:
        only = {"StringEquals": {"iam:PassedToService": passes_to}}
        statements.append({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*", "Condition": only})
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    made = AwsPolicy(description, text, "ANPA" + hashlib.sha256(name.encode()).hexdigest()[:16].upper())
    return f"arn:aws:iam::aws:policy/{name}", made


_READ_IOT = ("iot:Describe*", "iot:Get*", "iot:List*", "iot:Validate*", "iot:TestAuthorization")
_READ_SNS = ("sns:Get*", "sns:List*")
_READ_LAMBDA = ("lambda:Get*", "lambda:List*")
_READ_LOGS = ("logs:Describe*", "logs:Filter*", "logs:Get*", "logs:List*")
_READ_EVENTS = ("events:Describe*", "events:List*")
_READ_IAM = ("iam:Get*", "iam:List*")
_WRITE_LOGS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
_DEVICE = ("iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive", "iot:RetainPublish")
_DATA = (
    *("iot:GetThingShadow", "iot:UpdateThingShadow", "iot:DeleteThingShadow", "iot:ListNamedShadowsForThing"),
    *("iot:GetRetainedMessage", "iot:ListRetainedMessages", "iot:DeleteConnection"),
)
_CONFIGURE = (
    *(
        "iot:CreateThing",
        "iot:UpdateThing",
        "iot:DeleteThing",
        "iot:*ThingType*",
        "iot:*ThingGroup*",
        "iot:*Principal*",
    ),
    *("iot:*Certificate*", "iot:*RegistrationCode", "iot:*Policy*", "iot:*SecurityProfile*", "iot:*Dimension*"),
    *("iot:*CustomMetric*", "iot:*MitigationAction*", "iot:*Audit*", "iot:PutVerificationStateOnViolation"),
    *("iot:*Logging*", "iot:*EventConfigurations", "iot:TagResource", "iot:UntagResource"),
)

_VIEW = (
    ("iot:Describe*", "iot:List*", "iot:Validate*", "iot:TestAuthorization", "iot:GetPolicy*"),
    ("iot:GetEffectivePolicies", "iot:GetBehaviorModelTrainingSummaries", "iot:GetThingConnectivityData"),
    ("iot:GetLoggingOptions", "iot:GetV2LoggingOptions"),
    (*_READ_SNS, *_READ_LAMBDA, *_READ_LOGS, *_READ_EVENTS, *_READ_IAM),
    ("fleetward:Describe*", "fleetward:List*", "fleetward:LintSecurityProfile", "fleetward:BacktestSecurityProfile"),
    ("iam:ChangePassword",),  # it only ever changes the caller's own
)
_OPERATE = (
    ("fleetward:QuarantineThing", "fleetward:ReleaseThing", "iot:PutVerificationStateOnViolation"),
    ("iot:StartDetectMitigationActionsTask", "iot:CancelDetectMitigationActionsTask"),
    ("sns:Publish", "iot:Publish", "iot:Subscribe", "iot:Receive"),
)

AWS_MANAGED: Mapping[str, AwsPolicy] = dict(
    (
        _policy("AdministratorAccess", "Everything.", ("*",)),
        _policy(
            "ReadOnlyAccess",
            "Looking at everything, changing nothing.",
            (*_READ_IOT, *_READ_SNS, *_READ_LAMBDA, *_READ_LOGS, *_READ_EVENTS, *_READ_IAM),
            ("sts:GetAccessKeyInfo", "fleetward:Describe*", "fleetward:List*", "fleetward:LintSecurityProfile"),
        ),
        _policy(
            "SecurityAudit",
            "Looking at how everything is set up.",
            ("iot:Describe*", "iot:GetEffectivePolicies", "iot:GetPolicy*", "iot:List*", *_READ_IAM),
            ("sns:GetTopicAttributes", "sns:List*", "lambda:GetPolicy", "lambda:List*", *_READ_EVENTS),
            ("logs:Describe*",),
        ),
        _policy("FleetwardViewer", "Looking at everything the console shows.", *_VIEW),
        _policy("FleetwardOperator", "Looking, and answering alarms: isolation, test messages.", *_VIEW, *_OPERATE),
        _policy("FleetwardAdministrator", "Everything the console does.", ("*",)),
        _policy("IAMUserChangePassword", "Changing the own password.", ("iam:ChangePassword",)),
        _policy("IAMFullAccess", "Users, roles and policies.", ("iam:*",)),
        _policy("IAMReadOnlyAccess", "Looking at users, roles and policies.", _READ_IAM),
        _policy("AWSIoTFullAccess", "Configuring IoT, and being a device.", ("iot:*",)),
        _policy("AWSIoTConfigAccess", "Configuring IoT.", (*_READ_IOT, *_CONFIGURE)),
        _policy("AWSIoTConfigReadOnlyAccess", "Looking at how IoT is configured.", _READ_IOT),
        _policy("AWSIoTDataAccess", "Messages and shadows.", (*_DEVICE, *_DATA)),
        _policy("AmazonSNSFullAccess", "Topics, subscriptions and messages.", ("sns:*",)),
        _policy("AmazonSNSReadOnlyAccess", "Looking at topics and subscriptions.", _READ_SNS),
        _policy(
            "AWSLambda_FullAccess",
            "Functions, and handing them their roles.",
            ("lambda:*", *_READ_LOGS, "iam:GetRole", "iam:GetRolePolicy", "iam:List*"),
            passes_to="lambda.amazonaws.com",
        ),
        _policy("AWSLambda_ReadOnlyAccess", "Looking at functions and their logs.", (*_READ_LAMBDA, *_READ_LOGS)),
        _policy("CloudWatchLogsFullAccess", "Logs.", ("logs:*",)),
        _policy("CloudWatchLogsReadOnlyAccess", "Looking at logs.", _READ_LOGS),
        _policy("AmazonEventBridgeFullAccess", "Schedules.", ("events:*",), passes_to="events.amazonaws.com"),
        _policy("AmazonEventBridgeReadOnlyAccess", "Looking at schedules.", _READ_EVENTS),
        _policy("service-role/AWSLambdaBasicExecutionRole", "What every function needs: its log.", _WRITE_LOGS),
        _policy("service-role/AWSLambdaRole", "Calling functions.", ("lambda:InvokeFunction",)),
        _policy("service-role/AWSIoTLogging", "Writing IoT's own log.", (*_WRITE_LOGS, "logs:PutRetentionPolicy")),
        _policy(
            "service-role/AWSIoTThingsRegistration",
            "Registering things in bulk.",
            ("iot:AddThingToThingGroup", "iot:AttachPolicy", "iot:AttachPrincipalPolicy", "iot:AttachThingPrincipal"),
            ("iot:CreateCertificateFromCsr", "iot:CreatePolicy", "iot:CreateThing", "iot:Describe*", "iot:GetPolicy"),
            ("iot:List*", "iot:RegisterCertificate", "iot:UpdateCertificate", "iot:UpdateThing"),
        ),
        _policy(
            "service-role/AWSIoTDeviceDefenderAudit",
            "What an audit looks at.",
            ("iot:GetLoggingOptions", "iot:GetV2LoggingOptions", "iot:ListCACertificates", "iot:ListCertificates"),
            ("iot:DescribeCACertificate", "iot:DescribeCertificate", "iot:ListPolicies", "iot:GetPolicy"),
            ("iot:GetEffectivePolicies", "iot:ListRoleAliases", "iot:DescribeRoleAlias", "iot:ListTargetsForPolicy"),
            ("iam:ListRolePolicies", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:GetPolicyVersion"),
        ),
        _policy(
            "service-role/AWSIoTDeviceDefenderAddThingsToThingGroupMitigationAction",
            "The mitigation action that moves things to groups.",
            ("iot:ListPrincipalThings", "iot:AddThingToThingGroup"),
        ),
        _policy(
            "service-role/AWSIoTDeviceDefenderPublishFindingsToSNSMitigationAction",
            "The mitigation action that publishes findings.",
            ("sns:Publish",),
        ),
        _policy(
            "service-role/AWSIoTDeviceDefenderReplaceDefaultPolicyMitigationAction",
            "The mitigation action that replaces a policy's default version.",
            ("iot:CreatePolicyVersion",),
        ),
        _policy(
            "service-role/AWSIoTDeviceDefenderUpdateCACertMitigationAction",
            "The mitigation action that deactivates a CA certificate.",
            ("iot:UpdateCACertificate",),
        ),
        _policy(
            "service-role/AWSIoTDeviceDefenderUpdateDeviceCertMitigationAction",
            "The mitigation action that deactivates a device certificate.",
            ("iot:UpdateCertificate",),
        ),
        _policy(
            "service-role/AWSIoTDeviceDefenderEnableIoTLoggingMitigationAction",
            "The mitigation action that switches logging on.",
            ("iot:SetV2LoggingOptions",),
            passes_to="iot.amazonaws.com",
        ),
    )
)
"""By ARN."""
