"""CHANNELS: the protocols a subscription can have. A new one is one row here and one file beside this one."""

from collections.abc import Mapping

from fleetward.notify.channel import Channel
from fleetward.notify.channels import email, email_json, function, http

CHANNELS: Mapping[str, Channel] = {
    "http": http.CHANNEL,
    "https": http.SECURE_CHANNEL,
    "email": email.CHANNEL,
    "email-json": email_json.CHANNEL,
    "lambda": function.CHANNEL,
}
