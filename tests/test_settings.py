"""Every setting by flag, by environment variable and in fleetward.toml; the command line's refusals are one line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fleetward.settings import Settings

OTHER: dict[str, str] = {
    "data_dir": "/elsewhere",
    "host": "127.0.0.2",
    "region": "eu-central-1",
    "account_id": "000000000001",
    "log_level": "debug",
    "mqtt_limits": "aws",
    "mqtt_connect_refusal_code": "7",
    "smtp_tls": "none",
    "http_subscribers": "https",
    "api_tls": "true",
    "mqtt_plain_certificate": "ab" * 32,
}
"""A value other than the default, for settings that not every word or number fits."""


def other_value(name: str) -> str:
    default = Settings.model_fields[name].default
    if name in OTHER:
        return OTHER[name]
    if isinstance(default, bool):
        return str(not default).lower()
    return str(default + 1) if isinstance(default, int) else "something"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("FLEETWARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name != "mqtt_name"])
def test_environment_and_toml(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A setting is read from fleetward.toml, and its environment variable wins over the file."""
    default, value = getattr(Settings(), name), other_value(name)
    (tmp_path / "fleetward.toml").write_text(f"{name} = '{value}'\n")
    from_file = getattr(Settings(), name)
    assert from_file != default
    (tmp_path / "fleetward.toml").write_text("")
    monkeypatch.setenv(f"FLEETWARD_{name.upper()}", value)
    assert getattr(Settings(), name) == from_file


def test_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A list is a list in the file and JSON in the environment."""
    (tmp_path / "fleetward.toml").write_text("mqtt_name = ['a.example', 'b.example']\n")
    assert Settings().mqtt_name == ["a.example", "b.example"]
    monkeypatch.setenv("FLEETWARD_MQTT_NAME", '["c.example"]')
    assert Settings().mqtt_name == ["c.example"]


def fleetward(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fleetward", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )


def test_every_setting_is_a_flag() -> None:
    """`serve --help` shows a flag for each setting."""
    told = fleetward("serve", "--help").stdout
    missing = [name for name in Settings.model_fields if f"--{name.replace('_', '-')}" not in told]
    assert not missing


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("serve", "--account-id", "12"), "account_id"),
        (("serve", "--log-level", "loud"), "log_level"),
        (("serve", "--root-access-key-id", "only-half"), "must be set together"),
        (("serve", "--data-dir", "/proc/nowhere"), "the data folder /proc/nowhere cannot be used"),
        (("serve", "--data-dir", "d", "--api-port", "0", "--database-url", "foo://bar"), "the store cannot be opened"),
        (("serve", "--data-dir", "d", "--api-port", "0", "--mqtt-name", "bad name!"), "see --mqtt-name"),
        (("serve", "--data-dir", "d", "--host", "300.1.1.1"), "--host"),
        (("env", "--data-dir", "nowhere"), "no server runs on nowhere"),
        (("quarantine", "x", "--data-dir", "nowhere"), "fleetward serve --data-dir nowhere"),
    ],
)
def test_refusals_are_one_line(arguments: tuple[str, ...], told: str) -> None:
    """What cannot work is refused with one line that says what to do, and a non-zero exit code."""
    done = fleetward(*arguments)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert told in output
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) == 1


def test_unknown_key_in_the_file(tmp_path: Path) -> None:
    """A misspelt key in fleetward.toml is refused rather than ignored."""
    (tmp_path / "fleetward.toml").write_text("data_dri = 'x'\n")
    done = fleetward("serve")
    assert done.returncode != 0
    assert done.stderr == "fleetward: fleetward.toml: there is no setting data_dri; did you mean data_dir?\n"


def test_file_that_is_not_toml(tmp_path: Path) -> None:
    """A broken fleetward.toml is named, with the place."""
    (tmp_path / "fleetward.toml").write_text("api_port = \n")
    done = fleetward("serve")
    assert done.stderr.startswith("fleetward: fleetward.toml is not TOML: Invalid value (at line 1")


def test_commands_look_where_the_server_would(tmp_path: Path) -> None:
    """The commands find the data folder as `serve` does: by flag, environment, or file."""
    (tmp_path / "fleetward.toml").write_text("data_dir = 'from-the-file'\n")
    assert "no server runs on from-the-file" in fleetward("env").stderr
    assert "no server runs on by-flag" in fleetward("env", "--data-dir", "by-flag").stderr


def test_exports_are_not_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where `fleetward env` says a server is found is not where the next one listens."""
    monkeypatch.setenv("FLEETWARD_CA_FILE", "ca.pem")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("FLEETWARD_MQTT_PORT", str(taken.getsockname()[1]))
        done = fleetward("serve", "--data-dir", str(tmp_path / "d"), "--api-port", "0", "--account-id", "1")
    assert "FLEETWARD_MQTT_PORT comes from `fleetward env`" in done.stderr


@pytest.mark.parametrize("flag", ["--api-port", "--mqtt-port"])
def test_port_in_use(flag: str, tmp_path: Path) -> None:
    """A port that something else uses is named, with the flag that chooses another; nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = "--mqtt-port" if flag == "--api-port" else "--api-port"
        done = fleetward("serve", "--data-dir", str(tmp_path / "data"), other, "0", flag, port)
    assert done.returncode == 1
    assert port in done.stdout
    assert flag in done.stdout
