"""Every refusal, with the name AWS's service model gives it and its HTTP status.

`code` is the *shape* name (`ResourceNotFoundException`); the wire turns it into the code on the wire where a model says
otherwise (SNS sends `NotFound` for `NotFoundException`). Where a model declares a status for the shape, the model wins.
"""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that is refused: what happened and what to do, in words meant for the caller."""

    code = "InternalFailureException"
    status = 500

    def __init__(self, message: str, **members: Any) -> None:
        super().__init__(message)
        self.message = message
        self.members = members


class InvalidRequest(Refusal):
    code, status = "InvalidRequestException", 400


class ResourceNotFound(Refusal):
    code, status = "ResourceNotFoundException", 404


class ResourceAlreadyExists(Refusal):
    code, status = "ResourceAlreadyExistsException", 409


class TaskAlreadyExists(Refusal):
    """A mitigation task of that id was started before, by another request."""

    code, status = "TaskAlreadyExistsException", 400


class VersionConflict(Refusal):
    code, status = "VersionConflictException", 409


class LimitExceeded(Refusal):
    code, status = "LimitExceededException", 410


class DeleteConflict(Refusal):
    code, status = "DeleteConflictException", 409


class MalformedPolicy(Refusal):
    code, status = "MalformedPolicyException", 400


class VersionsLimitExceeded(Refusal):
    code, status = "VersionsLimitExceededException", 409


class CertificateState(Refusal):
    code, status = "CertificateStateException", 406


class CertificateValidation(Refusal):
    code, status = "CertificateValidationException", 400


class CertificateConflict(Refusal):
    """Several registered CAs could have signed the certificate."""

    code, status = "CertificateConflictException", 409


class RegistrationCodeValidation(Refusal):
    """The verification certificate does not carry the account's registration code."""

    code, status = "RegistrationCodeValidationException", 400


class NotConfigured(Refusal):
    """What is asked for was never set."""

    code, status = "NotConfiguredException", 404


class Unauthorized(Refusal):
    code, status = "UnauthorizedException", 401


class NotImplementedHere(Refusal):
    """An operation AWS has and Fleetward has not (yet)."""

    code, status = "NotImplementedException", 501


class InvalidParameter(Refusal):
    code, status = "InvalidParameterException", 400


class NotFound(Refusal):
    code, status = "NotFoundException", 404


class InvalidParameterValue(Refusal):
    """Lambda: a parameter that is well-formed but impossible."""

    code, status = "InvalidParameterValueException", 400


class ResourceConflict(Refusal):
    """Lambda: the function exists already, or is being changed."""

    code, status = "ResourceConflictException", 409


class RequestTooLarge(Refusal):
    """Lambda: a payload or archive over its limit."""

    code, status = "RequestTooLargeException", 413


class TooManyRequests(Refusal):
    """Lambda: too many callers wait for the same function."""

    code, status = "TooManyRequestsException", 429


class InvalidRequestContent(Refusal):
    """Lambda: the payload of an Invoke is no JSON."""

    code, status = "InvalidRequestContentException", 400


class PreconditionFailed(Refusal):
    """Lambda: the RevisionId given is not the current one."""

    code, status = "PreconditionFailedException", 412


class Validation(Refusal):
    """EventBridge: a parameter that the model allows and the service does not."""

    code, status = "ValidationException", 400


# --- the AWS door: who calls, and whether the request can be read -----------------------------------------------------


class MissingAuthenticationToken(Refusal):
    code, status = "MissingAuthenticationTokenException", 403


class IncompleteSignature(Refusal):
    """The signature's own fields are missing or malformed."""

    code, status = "IncompleteSignatureException", 400


class InvalidSignature(Refusal):
    """The signature does not match the request, is stale, or is scoped to another region."""

    code, status = "InvalidSignatureException", 403


class UnrecognizedClient(Refusal):
    """No such access key, or a session token that is not the key's."""

    code, status = "UnrecognizedClientException", 403


class ExpiredToken(Refusal):
    code, status = "ExpiredTokenException", 403


class AccessDenied(Refusal):
    code, status = "AccessDeniedException", 403


class UnknownOperation(Refusal):
    """No operation of the service answers to this method and path, action or target."""

    code, status = "UnknownOperationException", 404


class Serialization(Refusal):
    """The request cannot be read: not JSON, a wrong type, a broken timestamp."""

    code, status = "SerializationException", 400


class RequestTimeout(Refusal):
    """The body did not arrive in time."""

    code, status = "RequestTimeoutException", 408


class ServiceUnavailable(Refusal):
    """Too much is being received at once; trying again later helps."""

    code, status = "ServiceUnavailableException", 503


# --- users, roles and policies (iam) ----------------------------------------------------------------------------------


class NoSuchEntity(Refusal):
    code, status = "NoSuchEntityException", 404


class PasswordPolicyViolation(Refusal):
    code, status = "PasswordPolicyViolationException", 400


class EntityAlreadyExists(Refusal):
    code, status = "EntityAlreadyExistsException", 409


class MalformedPolicyDocument(Refusal):
    code, status = "MalformedPolicyDocumentException", 400


class PackedPolicyTooLarge(Refusal):
    code, status = "PackedPolicyTooLargeException", 400


class InvalidInput(Refusal):
    code, status = "InvalidInputException", 400


# --- notifications (sns) ----------------------------------------------------------------------------------------------


class AuthorizationError(Refusal):
    code, status = "AuthorizationErrorException", 403


class TagLimitExceeded(Refusal):
    code, status = "TagLimitExceededException", 400


class EmptyBatchRequest(Refusal):
    code, status = "EmptyBatchRequestException", 400


class TooManyEntriesInBatchRequest(Refusal):
    code, status = "TooManyEntriesInBatchRequestException", 400


class BatchEntryIdsNotDistinct(Refusal):
    code, status = "BatchEntryIdsNotDistinctException", 400


class InvalidBatchEntryId(Refusal):
    code, status = "InvalidBatchEntryIdException", 400


class BatchRequestTooLong(Refusal):
    code, status = "BatchRequestTooLongException", 400


# --- device shadows and messages (iot-data) ---------------------------------------------------------------------------


class Conflict(Refusal):
    """A shadow has another version than the update was meant for."""

    code, status = "ConflictException", 409


class RequestEntityTooLarge(Refusal):
    code, status = "RequestEntityTooLargeException", 413


class UnsupportedDocumentEncoding(Refusal):
    """A shadow document is not UTF-8."""

    code, status = "UnsupportedDocumentEncodingException", 415


class Throttling(Refusal):
    """Too much for one device, of what it asked for or of what is kept for it."""

    code, status = "ThrottlingException", 429
