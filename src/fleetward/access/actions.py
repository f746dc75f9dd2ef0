"""ACTIONS: what a caller needs to be allowed for each operation, one entry for every operation that is served.

Source: Service Authorization Reference, the pages of AWS IoT, Amazon SNS, AWS Lambda, Amazon CloudWatch Logs, Amazon
EventBridge, AWS IAM and AWS STS; AWS IoT Core developer guide, "AWS IoT Core action resources".

The action is the operation's name unless the entry says otherwise. A resource is a template of the request's members:

    thing/{thingName}       of this service, region and account
    {resourceArn}           an ARN as it is given
    {Targets.*.RoleArn}     one for each item of a list (or value of a map)
    {FunctionName:function} made into an ARN by one of requirements.READERS
    a|b                     b when the request lacks a member of a
    *                       where AWS knows no resource

Of several resources those count whose members are there, and all of them must be allowed; with none it is `*`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """`keys` are context keys (templates) of this action alone; it counts only `when` that member is set; `also` is
    needed besides.
    """

    resources: tuple[str, ...]
    action: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    when: str = ""
    also: tuple[Entry, ...] = ()


PASSED = "iam:PassedToService"
FREE = Entry(())
"""Needs no permission."""


def on(*resources: str, action: str = "", also: Entry | None = None, **keys: str) -> Entry:
    """`keys` are written with `_` for `:`."""
    named = {key.replace("_", ":", 1): value for key, value in keys.items()}
    return Entry(resources, action, named, also=() if also is None else (also,))


def passes(role: str, to: str) -> Entry:
    """Handing a role to a service takes a permission of its own (IAM user guide, "PassRole")."""
    return Entry((f"{{{role}}}",), "iam:PassRole", {PASSED: to}, when=role)


def _table(*groups: tuple[Entry, str]) -> Mapping[str, Entry]:
    return dict(_entries(groups))


def _entries(groups: tuple[tuple[Entry, str], ...]) -> Iterator[tuple[str, Entry]]:
    for entry, operations in groups:
        for operation in operations.split():
            yield operation, entry


NONE = on("*")
THING, GROUP, TYPE = on("thing/{thingName}"), on("thinggroup/{thingGroupName}"), on("thingtype/{thingTypeName}")
CERTIFICATE, AUTHORITY = on("cert/{certificateId}"), on("cacert/{certificateId}")
POLICY, PROFILE = on("policy/{policyName}"), on("securityprofile/{securityProfileName}")
MEMBERSHIP = on("thing/{thingName}", "{thingArn}", "thinggroup/{thingGroupName}", "{thingGroupArn}")
VIOLATIONS = on("securityprofile/{securityProfileName}", "thing/{thingName}")
PROFILE_TARGET = on("securityprofile/{securityProfileName}", "{securityProfileTargetArn}")
SHADOW = on("thing/{thingName}/{shadowName}|thing/{thingName}")
TO_IOT = "iot.amazonaws.com"

IOT = _table(
    # registry
    (THING, "CreateThing UpdateThing DeleteThing DescribeThing ListThingGroupsForThing GetThingConnectivityData"),
    (THING, "ListThingPrincipals ListThingPrincipalsV2"),
    (NONE, "ListThings ListThingGroups ListThingTypes"),
    (GROUP, "CreateThingGroup UpdateThingGroup DeleteThingGroup DescribeThingGroup ListThingsInThingGroup"),
    (MEMBERSHIP, "AddThingToThingGroup RemoveThingFromThingGroup"),
    (
        on("thing/{thingName}", "thinggroup/{thingGroupsToAdd.*}", "thinggroup/{thingGroupsToRemove.*}"),
        "UpdateThingGroupsForThing",
    ),
    (TYPE, "CreateThingType UpdateThingType DescribeThingType DeprecateThingType DeleteThingType"),
    # certificates
    (on("{principal}"), "AttachThingPrincipal DetachThingPrincipal ListPrincipalThings ListPrincipalThingsV2"),
    (NONE, "CreateKeysAndCertificate CreateCertificateFromCsr RegisterCertificate RegisterCertificateWithoutCA"),
    (CERTIFICATE, "DescribeCertificate UpdateCertificate DeleteCertificate"),
    (NONE, "ListCertificates ListCertificatesByCA ListCACertificates GetRegistrationCode DeleteRegistrationCode"),
    (on("*", also=passes("registrationConfig.roleArn", TO_IOT)), "RegisterCACertificate"),
    (AUTHORITY, "DescribeCACertificate DeleteCACertificate"),
    (on("cacert/{certificateId}", also=passes("registrationConfig.roleArn", TO_IOT)), "UpdateCACertificate"),
    # policies
    (POLICY, "CreatePolicy GetPolicy DeletePolicy CreatePolicyVersion GetPolicyVersion DeletePolicyVersion"),
    (POLICY, "ListPolicyVersions SetDefaultPolicyVersion ListTargetsForPolicy"),
    (NONE, "ListPolicies ListAttachedPolicies ListPolicyPrincipals ListPrincipalPolicies"),
    (on("{target}"), "AttachPolicy DetachPolicy"),
    (on("{principal}"), "AttachPrincipalPolicy DetachPrincipalPolicy GetEffectivePolicies TestAuthorization"),
    # Device Defender Detect
    (
        on("securityprofile/{securityProfileName}", also=passes("alertTargets.*.roleArn", TO_IOT)),
        "CreateSecurityProfile UpdateSecurityProfile",
    ),
    (PROFILE, "DeleteSecurityProfile DescribeSecurityProfile ListTargetsForSecurityProfile"),
    (PROFILE, "GetBehaviorModelTrainingSummaries"),
    (PROFILE_TARGET, "AttachSecurityProfile DetachSecurityProfile"),
    (on("{securityProfileTargetArn}"), "ListSecurityProfilesForTarget"),
    (on("custommetric/{metricName}", "dimension/{dimensionName}"), "ListSecurityProfiles"),
    (VIOLATIONS, "ListActiveViolations ListViolationEvents"),
    (THING, "ListMetricValues ListDetectMitigationActionsExecutions"),
    (NONE, "ValidateSecurityProfileBehaviors PutVerificationStateOnViolation"),
    (on("custommetric/{metricName}"), "CreateCustomMetric UpdateCustomMetric DeleteCustomMetric DescribeCustomMetric"),
    (on("dimension/{name}"), "CreateDimension UpdateDimension DeleteDimension DescribeDimension"),
    (
        on("mitigationaction/{actionName}", also=passes("roleArn", TO_IOT)),
        "CreateMitigationAction UpdateMitigationAction",
    ),
    (on("mitigationaction/{actionName}"), "DeleteMitigationAction DescribeMitigationAction"),
    (on("securityprofile/{target.securityProfileName}"), "StartDetectMitigationActionsTask"),
    (NONE, "ListCustomMetrics ListDimensions ListMitigationActions ListDetectMitigationActionsTasks"),
    (NONE, "CancelDetectMitigationActionsTask DescribeDetectMitigationActionsTask"),
    # Device Defender Audit
    (on("*", also=passes("roleArn", TO_IOT)), "UpdateAccountAuditConfiguration"),
    (NONE, "DescribeAccountAuditConfiguration DeleteAccountAuditConfiguration StartOnDemandAuditTask CancelAuditTask"),
    (NONE, "DescribeAuditTask ListAuditTasks ListAuditFindings DescribeAuditFinding"),
    (NONE, "ListRelatedResourcesForAuditFinding ListAuditSuppressions ListScheduledAudits"),
    (NONE, "CreateAuditSuppression UpdateAuditSuppression DeleteAuditSuppression DescribeAuditSuppression"),
    (NONE, "StartAuditMitigationActionsTask CancelAuditMitigationActionsTask"),
    (NONE, "DescribeAuditMitigationActionsTask ListAuditMitigationActionsTasks ListAuditMitigationActionsExecutions"),
    (
        on("scheduledaudit/{scheduledAuditName}"),
        "CreateScheduledAudit UpdateScheduledAudit DeleteScheduledAudit DescribeScheduledAudit",
    ),
    # the service itself
    (on("{resourceArn}"), "TagResource UntagResource ListTagsForResource"),
    (NONE, "DescribeEndpoint DescribeEventConfigurations UpdateEventConfigurations"),
    (NONE, "GetLoggingOptions GetV2LoggingOptions"),
    (on("*", also=passes("loggingOptionsPayload.roleArn", TO_IOT)), "SetLoggingOptions"),
    (on("*", also=passes("roleArn", TO_IOT)), "SetV2LoggingOptions"),
)

IOT_DATA = _table(
    (on("topic/{topic}", also=Entry(("topic/{topic}",), "iot:RetainPublish", when="retain")), "Publish"),
    (SHADOW, "GetThingShadow UpdateThingShadow DeleteThingShadow"),
    (THING, "ListNamedShadowsForThing"),
    (on("topic/{topic}"), "GetRetainedMessage"),
    (NONE, "ListRetainedMessages"),
    (on("client/{clientId}"), "DeleteConnection"),
)

TOPIC = on("{TopicArn}")
SUBSCRIBED = on("{TopicArn}", sns_Protocol="{Protocol}", sns_Endpoint="{Endpoint}")

SNS = _table(
    (on("arn:aws:sns:{REGION}:{ACCOUNT}:{Name}"), "CreateTopic"),
    (TOPIC, "DeleteTopic GetTopicAttributes SetTopicAttributes ListSubscriptionsByTopic ConfirmSubscription"),
    (SUBSCRIBED, "Subscribe"),
    (NONE, "ListTopics ListSubscriptions Unsubscribe GetSubscriptionAttributes SetSubscriptionAttributes"),
    (on("{TopicArn}", "{TargetArn}", "{PhoneNumber}"), "Publish"),
    (on("{TopicArn}", action="SNS:Publish"), "PublishBatch"),
    (on("{ResourceArn}"), "TagResource UntagResource ListTagsForResource"),
)

FUNCTION = on("{FunctionName:function}")
WITH_ROLE = on("{FunctionName:function}", also=passes("Role", "lambda.amazonaws.com"))

LAMBDA = _table(
    (WITH_ROLE, "CreateFunction UpdateFunctionConfiguration"),
    (FUNCTION, "GetFunction GetFunctionConfiguration UpdateFunctionCode DeleteFunction GetPolicy RemovePermission"),
    (on("{FunctionName:function}", lambda_Principal="{Principal}"), "AddPermission"),
    (on("{FunctionName:function}", action="lambda:InvokeFunction"), "Invoke"),
    (NONE, "ListFunctions"),
    (on("{Resource:function}"), "TagResource UntagResource ListTags"),
)

LOG_GROUP = on("log-group:{logGroupName}:log-stream:")

LOGS = _table(
    (LOG_GROUP, "CreateLogGroup DeleteLogGroup PutRetentionPolicy DeleteRetentionPolicy"),
    (
        on("log-group:{logGroupName}:log-stream:", "{logGroupIdentifier:log_group}"),
        "DescribeLogStreams FilterLogEvents",
    ),
    (
        on("log-group:{logGroupName}:log-stream:{logStreamName}", "{logGroupIdentifier:log_group}{logStreamName}"),
        "GetLogEvents",
    ),
    (on("log-group::log-stream:"), "DescribeLogGroups"),
)

TO_EVENTS = "events.amazonaws.com"

EVENTS = _table(
    (on("rule/{Name}", also=passes("RoleArn", TO_EVENTS)), "PutRule"),
    (on("rule/{Rule}", also=passes("Targets.*.RoleArn", TO_EVENTS)), "PutTargets"),
    (on("rule/{Name}"), "DescribeRule DeleteRule EnableRule DisableRule"),
    (on("rule/{Rule}"), "RemoveTargets ListTargetsByRule"),
    (NONE, "ListRules"),
)

USER, ROLE, MANAGED = on("{UserName:user}|{CALLER}"), on("{RoleName:role}"), on("{PolicyArn}")
WITH_POLICY = "{PolicyArn}"

IAM = _table(
    (on("user{Path}{UserName}|user/{UserName}"), "CreateUser"),
    (USER, "GetUser DeleteUser TagUser UntagUser ListUserTags"),
    (on("{UserName:user}", "user{NewPath}{NewUserName}|user{NewPath}{UserName}|{NewUserName:user}"), "UpdateUser"),
    (USER, "CreateAccessKey UpdateAccessKey DeleteAccessKey ListAccessKeys"),
    (on("{AccessKeyId:key_owner}"), "GetAccessKeyLastUsed"),
    (USER, "CreateLoginProfile GetLoginProfile UpdateLoginProfile DeleteLoginProfile"),
    (on("{CALLER}"), "ChangePassword"),
    (USER, "PutUserPolicy GetUserPolicy DeleteUserPolicy ListUserPolicies ListAttachedUserPolicies"),
    (on("{UserName:user}", iam_PolicyARN=WITH_POLICY), "AttachUserPolicy DetachUserPolicy"),
    (on("role{Path}{RoleName}|role/{RoleName}"), "CreateRole"),
    (ROLE, "GetRole UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy DeleteRole"),
    (ROLE, "TagRole UntagRole ListRoleTags"),
    (ROLE, "PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies ListAttachedRolePolicies"),
    (on("{RoleName:role}", iam_PolicyARN=WITH_POLICY), "AttachRolePolicy DetachRolePolicy"),
    (on("policy{Path}{PolicyName}|policy/{PolicyName}"), "CreatePolicy"),
    (MANAGED, "GetPolicy DeletePolicy CreatePolicyVersion GetPolicyVersion DeletePolicyVersion ListPolicyVersions"),
    (MANAGED, "SetDefaultPolicyVersion ListEntitiesForPolicy TagPolicy UntagPolicy ListPolicyTags"),
    (NONE, "ListUsers ListRoles ListPolicies"),
)

STS = _table(
    (on("{RoleArn}", sts_ExternalId="{ExternalId}", sts_RoleSessionName="{RoleSessionName}"), "AssumeRole"),
    (NONE, "GetAccessKeyInfo"),
    (FREE, "GetCallerIdentity GetSessionToken"),
)

FLEETWARD = _table(
    (on("arn:aws:iot:{REGION}:{ACCOUNT}:thing/{thingName}"), "QuarantineThing ReleaseThing"),
    (on("arn:aws:iot:{REGION}:{ACCOUNT}:thing/{thingName}"), "DescribeDevice DescribeAuthorization ListActivity"),
    (NONE, "DescribeFleet ListThingsByName ListCertificatesById GetCertificateAuthority ListRefusals"),
    # Looked up under the same permissions as listed through AWS's operations.
    (on("*", action="iot:ListPolicies"), "ListPoliciesByName"),
    (on("*", action="iot:ListSecurityProfiles"), "ListSecurityProfilesByName"),
    (on("*", action="SNS:ListTopics"), "ListTopicsByName"),
    (on("*", action="iam:ListRoles"), "ListRolesByName"),
    (NONE, "ListViolations DescribeViolation DescribeViolationMetric ListOutbox ListTrail"),
    (NONE, "LintSecurityProfile BacktestSecurityProfile"),
    (on("arn:aws:iot:{REGION}:{ACCOUNT}:topicfilter/{topicFilters.*}", action="iot:Subscribe"), "WatchTopics"),
    (FREE, "GetWatchedMessages UnwatchTopics"),  # whose watch it is counts, and iot:Receive for each message
    (on("{topicArn}"), "ListDeliveries"),
    (on("{functionName:function}"), "ListFunctionRuns ListFunctionTriggers"),
    # A source is shown and changed under the same permissions as through AWS's operations.
    (on("{functionName:function}", action="lambda:GetFunction"), "ListFunctionFiles DescribeFunctionFile"),
    (on("{functionName:function}", action="lambda:UpdateFunctionCode"), "UpdateFunctionFile"),
)

ACTIONS: Mapping[str, Mapping[str, Entry]] = {
    "iot": IOT,
    "iot-data": IOT_DATA,
    "sns": SNS,
    "lambda": LAMBDA,
    "logs": LOGS,
    "events": EVENTS,
    "iam": IAM,
    "sts": STS,
    "fleetward": FLEETWARD,
}
"""Botocore's name of a service → its operations."""

PREFIXES: Mapping[str, str] = {"iot-data": "iot", "sns": "SNS"}
"""How a service's actions begin, where it is not with its own name."""

REGIONLESS = frozenset({"iam", "sts"})
"""Services whose ARNs name no region."""
