"""SETTINGS: every option with its default and help, by flag, `FLEETWARD_…` variable or `fleetward.toml`.

A field is one row: its name is the flag (`--data-dir`), the variable (`FLEETWARD_DATA_DIR`) and the TOML key
(`data_dir`).
Precedence: flag, then environment, then `fleetward.toml` in the working directory, then the default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FLEETWARD_", toml_file="fleetward.toml", extra="forbid")

    data_dir: Path = Field(Path("fleetward-data"), description="Folder that holds everything Fleetward keeps.")
    host: str = Field("127.0.0.1", description="Address the HTTP port binds to.")
    api_port: int = Field(7700, ge=0, le=65535, description="HTTP port (API, health, metrics); 0 takes a free one.")
    api_tls: bool = Field(
        False, description="HTTPS instead of HTTP, with a certificate of the own CA unless one is given."
    )
    api_certificate: Path | None = Field(None, description="PEM file with the HTTPS port's certificate chain.")
    api_key: Path | None = Field(None, description="PEM file with the key of that certificate.")
    public_url: str | None = Field(
        None, description="Base of the links in messages, such as https://fleet.example; else the HTTP port's address."
    )
    mqtt_host: str = Field("127.0.0.1", description="Address the MQTT port binds to.")
    mqtt_port: int = Field(8883, ge=0, le=65535, description="MQTT port (TLS); 0 takes a free one.")
    mqtt_plain_port: int = Field(
        0,
        ge=0,
        le=65535,
        description=(
            "MQTT port without TLS, on 127.0.0.1 only, for a TLS-terminating proxy on this host: each connection "
            "begins with a PROXY protocol v2 header that names the client's certificate. Whoever can connect to it "
            "is believed. 0 is off."
        ),
    )
    mqtt_plain_certificate: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description=(
            "Id of the certificate that every connection to the plain port counts as holding, "
            "instead of a PROXY header: for load generators."
        ),
    )
    mqtt_name: list[str] = Field([], description="Further host name or address the broker's certificate is valid for.")
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]+$", description="AWS region the API answers for.")
    account_id: str = Field("123456789012", pattern=r"^\d{12}$", description="AWS account number the API answers for.")
    root_access_key_id: str | None = Field(None, description="Root access key id; made on first start when absent.")
    root_secret_access_key: str | None = Field(
        None, description="Root secret access key; made on first start when absent."
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the store; SQLite in the data folder by default."
    )
    allow_reset: bool = Field(
        False, description="Serve POST /fleetward/reset, unsigned, which empties all state: for test suites only."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much the server logs.")

    quarantine_group: str = Field(
        "IsolatedDevices",
        pattern=r"^[a-zA-Z0-9:_-]{1,128}$",
        description="Thing group that `fleetward quarantine` moves a thing to.",
    )
    quarantine_binds_certificate: bool = Field(
        True,
        description="While a thing is isolated its certificates may connect only as other things they are attached to.",
    )
    strict_window_grid: bool = Field(
        False, description="Decide only at a window's end, as AWS does: no early decisions."
    )
    violation_retention_days: int = Field(30, ge=1, description="Days that ended violations and their events are kept.")
    trail_retention_days: int = Field(365, ge=1, description="Days that the audit trail is kept.")
    history_retention_days: int = Field(14, ge=1, description="Days that metric values are kept.")

    mqtt_limits: Literal["standard", "aws"] = Field("standard", description="Preset of MQTT limits.")
    mqtt_connect_refusal_code: Annotated[Literal[5, 7], BeforeValidator(int)] = Field(
        5, description="MQTT 3.1.1 CONNACK code for a CONNECT that policy denies (AWS sends 7)."
    )
    gateway_processes: int = Field(
        1,
        ge=0,
        description="Processes that serve MQTT: 1, or 0 for a thread of the server (to debug, or to save memory).",
    )
    mqtt_max_connections: int = Field(20_000, ge=1, description="MQTT connections open at once.")

    smtp_host: str | None = Field(
        None, description="SMTP server for e-mail; without one mail lands in the local outbox."
    )
    smtp_port: int = Field(587, ge=1, le=65535, description="Port of the SMTP server.")
    smtp_username: str | None = Field(None, description="SMTP user name.")
    smtp_password: str | None = Field(None, description="SMTP password.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field("starttls", description="How the SMTP connection is secured.")
    smtp_sender: str = Field("fleetward@localhost", description="From address of e-mails.")
    email_digest_above: int = Field(
        20,
        ge=0,
        le=1000,
        description="When more e-mails than this wait for one subscriber, one mail lists them; 0 is off.",
    )
    http_subscribers: Literal["any", "https", "none"] = Field("any", description="Which HTTP endpoints may subscribe.")

    function_user: str = Field("nobody", description="User that functions run as, where the server may switch users.")
    function_concurrency: int = Field(16, ge=1, description="Functions that may run at the same time.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
