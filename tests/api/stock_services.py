"""Topics, functions, their logs and schedules (see stock.py)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from stock_access import AccessStock

from fleetward.simulate.provision import zip_of
from running_server import until

HANDLER = "def handle(event, context):\n    print('called')\n    return event\n"


class ServiceStock(AccessStock):
    """Makes what operations of sns, lambda, logs and events need."""

    # --- sns ----------------------------------------------------------------------------------------------------------

    def topic(self) -> str:
        return str(self.sns.create_topic(Name=self.name("Topic"))["TopicArn"])

    def subscription(self) -> str:
        answer = self.sns.subscribe(TopicArn=self.topic(), Protocol="lambda", Endpoint=self.function_arn())
        return str(answer["SubscriptionArn"])

    def pending(self) -> dict[str, str]:
        """A topic and the token that was mailed to somebody who is to confirm a subscription to it."""
        topic, address = self.topic(), f"{self.name('mail')}@example.com"
        self.sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=address)

        def mailed() -> Any:
            mails = self.fleetward.list_outbox()["mails"]
            return next((mail["body"] for mail in mails if mail["to"] == address), None)

        token = until(mailed, 10, "the confirmation mail").partition("Token=")[2].partition("&")[0].split()[0]
        return {"TopicArn": topic, "Token": token}

    # --- lambda, logs, events -----------------------------------------------------------------------------------------

    @cached_property
    def package(self) -> bytes:
        return zip_of({"main.py": HANDLER})

    def function(self) -> str:
        params: dict[str, Any] = {"Runtime": "python3.12", "Handler": "main.handle", "Role": self.role_arn()}
        made = self.lambda_.create_function(
            FunctionName=self.name("Function"), Code={"ZipFile": self.package}, **params
        )
        return str(made["FunctionName"])

    def function_arn(self) -> str:
        return str(self.lambda_.get_function(FunctionName=self.function())["Configuration"]["FunctionArn"])

    def permission(self) -> dict[str, str]:
        found = {"FunctionName": self.function(), "StatementId": "one"}
        self.lambda_.add_permission(**found, Action="lambda:InvokeFunction", Principal="sns.amazonaws.com")
        return found

    def log_group(self) -> str:
        name = self.name("Log")
        self.logs.create_log_group(logGroupName=name)
        return name

    @cached_property
    def log_stream(self) -> dict[str, str]:
        """A group and a stream of it: what a function has printed."""
        function = self.function()
        self.lambda_.invoke(FunctionName=function, Payload=b"{}")
        group = f"/aws/lambda/{function}"
        streams = until(lambda: self.logs.describe_log_streams(logGroupName=group)["logStreams"], 10, "a log stream")
        return {"logGroupName": group, "logStreamName": streams[0]["logStreamName"]}

    def rule(self) -> str:
        name = self.name("Rule")
        self.events.put_rule(Name=name, ScheduleExpression="rate(1 day)", State="DISABLED")
        return name

    def target(self) -> str:
        rule = self.rule()
        self.events.put_targets(Rule=rule, Targets=[{"Id": "one", "Arn": self.function_arn()}])
        return rule
