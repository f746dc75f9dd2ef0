"""Device reports: what is read of them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.meter.report_encoding import MAX_PAYLOAD, Encoding, Malformed, encode
from fleetward.meter.report_order import INTERVAL, REMEMBERED, THINGS_PER_REPORTER, ReportOrder
from fleetward.meter.reports import DeviceReport, read

CUSTOM = {"cpu": "number", "users": "string-list", "peers": "ip-address-list", "loads": "number-list"}

LONG = {
    "header": {"report_id": 1530304554, "version": "1.0"},
    "metrics": {
        "listening_tcp_ports": {"ports": [{"interface": "eth0", "port": 24800}, {"port": 22}], "total": 53},
        "listening_udp_ports": {"ports": [{"interface": "eth0", "port": 5353}], "total": 1},
        "network_stats": {"bytes_in": 29358693495, "bytes_out": 26485035, "packets_in": 10013573, "packets_out": 11},
        "tcp_connections": {
            "established_connections": {
                "connections": [
                    {"local_interface": "eth0", "local_port": 80, "remote_addr": "192.168.0.1:8000"},
                    {"remote_addr": "[2001:db8::1]:443"},
                    {"remote_addr": "::1:443"},
                    {"remote_addr": "::ffff:10.0.0.1:443"},
                    {"remote_addr": "fe80::1%eth0:443", "remote_port": 443, "status": "ESTABLISHED"},
                ],
                "total": 70,
            }
        },
    },
    "custom_metrics": {
        "cpu": [{"number": 12.5}],
        "users": [{"string_list": ["root", "admin", "root"]}],
        "peers": [{"ip_list": ["10.0.0.1", "::1"]}],
        "loads": [{"number_list": [1, 2.5]}],
        "nobody-knows": [{"number": 1}],
    },
}
SHORT_NAMES = {
    "header": "hed",
    "report_id": "rid",
    "version": "v",
    "metrics": "met",
    "listening_tcp_ports": "tp",
    "listening_udp_ports": "up",
    "ports": "pts",
    "port": "pt",
    "interface": "if",
    "total": "t",
    "network_stats": "ns",
    "bytes_in": "bi",
    "bytes_out": "bo",
    "packets_in": "pi",
    "packets_out": "po",
    "tcp_connections": "tc",
    "established_connections": "ec",
    "connections": "cs",
    "remote_addr": "rad",
    "local_port": "lp",
    "local_interface": "li",
    "custom_metrics": "cmet",
}
VALUES = {
    "aws:num-listening-tcp-ports": 53,
    "aws:listening-tcp-ports": (22, 24800),
    "aws:num-listening-udp-ports": 1,
    "aws:listening-udp-ports": (5353,),
    "aws:all-bytes-in": 29358693495,
    "aws:all-bytes-out": 26485035,
    "aws:all-packets-in": 10013573,
    "aws:all-packets-out": 11,
    "aws:num-established-tcp-connections": 70,
    "aws:destination-ip-addresses": ("10.0.0.1", "192.168.0.1", "2001:db8::1", "::1", "fe80::1"),
    "cpu": 12.5,
    "users": ("root", "admin"),
    "peers": ("10.0.0.1", "::1"),
    "loads": (1.0, 2.5),
}


def shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {SHORT_NAMES.get(key, key): shortened(item) for key, item in value.items()}
    return [shortened(item) for item in value] if isinstance(value, list) else value


def parse(document: Any, encoding: Encoding = Encoding.JSON) -> DeviceReport:
    payload = cbor2.dumps(document) if encoding is Encoding.CBOR else json.dumps(document).encode()
    return read(payload, encoding, CUSTOM)


def changed(path: str, value: Any) -> Any:
    """LONG with what stands at a dotted path replaced."""
    document = json.loads(json.dumps(LONG))
    *way, last = path.split(".")
    place = document
    for key in way:
        place = place[key]
    place[last] = value
    return document


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("names", [lambda document: document, shortened], ids=["long", "short"])
def test_a_whole_report(encoding: Encoding, names: Any) -> None:
    """AWS's report, by long or short names, in JSON or CBOR, gives the same values."""
    assert parse(names(LONG), encoding) == DeviceReport(1530304554, VALUES)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"header": LONG["header"]},
        {"metrics": LONG["metrics"]},
        {**LONG, "hed": LONG["header"]},
        changed("header.report_id", None),
        changed("header.report_id", -1),
        changed("header.report_id", 2**63),
        changed("header.report_id", True),
        changed("header.report_id", "1"),
        changed("header.report_id", 1.0),
        changed("header.version", 1.0),
        changed("header.version", "1"),
        changed("header.version", "1.0.0"),
        changed("metrics", []),
        changed("metrics.network_stats", 1),
        changed("metrics.network_stats.bytes_in", -1),
        changed("metrics.network_stats.bytes_in", 1.5),
        changed("metrics.network_stats.packets_out", "1"),
        changed("metrics.listening_tcp_ports.ports", {}),
        changed("metrics.listening_tcp_ports.ports", [22]),
        changed("metrics.listening_tcp_ports.ports", [{"port": 0}]),
        changed("metrics.listening_tcp_ports.ports", [{"port": 65536}]),
        changed("metrics.listening_tcp_ports.ports", [{"interface": "eth0"}]),
        changed("metrics.listening_tcp_ports.total", -1),
        changed("metrics.tcp_connections.established_connections", []),
        changed("metrics.tcp_connections.established_connections.connections", [{"remote_addr": "10.0.0.1"}]),
        changed("metrics.tcp_connections.established_connections.connections", [{"remote_addr": "10.0.0.1:x"}]),
        changed("metrics.tcp_connections.established_connections.connections", [{"remote_addr": "host:80"}]),
        changed("metrics.tcp_connections.established_connections.connections", [{"remote_addr": "10.0.0.1:65536"}]),
        changed("metrics.tcp_connections.established_connections.connections", [{"remote_addr": 1}]),
        changed("custom_metrics", []),
        changed("custom_metrics.cpu", {"number": 1}),
        changed("custom_metrics.cpu", 1),
        changed("custom_metrics.cpu", []),
        changed("custom_metrics.cpu", [{"number": 1}, {"number": 2}]),
        changed("custom_metrics.cpu", [{"number": 1, "string_list": []}]),
        changed("custom_metrics.cpu", [{"number": True}]),
        changed("custom_metrics.cpu", [{"number": 10**400}]),
        changed("custom_metrics.cpu", [{}]),
        changed("custom_metrics.users", [{"string_list": [1]}]),
        changed("custom_metrics.users", [{"string_list": ["\ud800"]}]),
        changed("custom_metrics.users", [{"string_list": "root"}]),
        changed("custom_metrics.peers", [{"ip_list": ["10.0.0.256"]}]),
        changed("custom_metrics.loads", [{"number_list": ["1"]}]),
        changed("custom_metrics.nobody-knows", [{"number": "1"}]),
    ],
)
def test_a_broken_rule_is_malformed(document: Any) -> None:
    """A report that breaks any rule is refused as a whole."""
    with pytest.raises(Malformed):
        parse(document)


def test_the_id_of_a_malformed_report_is_known() -> None:
    """The answer to a malformed report can name it whenever its header can be read."""
    with pytest.raises(Malformed) as caught:
        parse(changed("metrics", 1))
    assert caught.value.report_id == 1530304554


def test_nothing_is_made_up() -> None:
    """Counts come from `total` and sets from the lists: what a report leaves out has no value."""
    bare = {"metrics": {"listening_tcp_ports": {"total": 3}, "listening_udp_ports": {"ports": []}, "unknown": 1}}
    report = parse({"header": LONG["header"], **bare})
    assert report.values == {"aws:num-listening-tcp-ports": 3, "aws:listening-udp-ports": ()}
    assert parse({"header": LONG["header"], "metrics": {}}).values == {}


def test_a_value_of_another_type_is_dropped() -> None:
    """A value that does not fit its custom metric's type is left out; the rest of the report counts."""
    report = parse(changed("custom_metrics.cpu", [{"string_list": ["high"]}]))
    assert report.values == {metric: value for metric, value in VALUES.items() if metric != "cpu"}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"header":{"report_id":' + b"9" * 10_000,
        b'{"header":{"report_id":1,"version":"1.0"},"custom_metrics":{"cpu":[{"number":NaN}]}}',
        b"{}" + b" " * MAX_PAYLOAD,
    ],
)
def test_hostile_json(payload: bytes) -> None:
    """No nesting, digits, encoding or length does more than make a report malformed."""
    with pytest.raises(Malformed):
        read(payload, Encoding.JSON, CUSTOM)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x81" * 100_000,
        b"\x9f" * 1_000,
        b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x5b\x00\x00\x00\xff\xff\xff\xff\xff",
        cbor2.dumps(changed("custom_metrics.cpu", [{"number": float("nan")}])),
        cbor2.dumps(changed("custom_metrics.cpu", [{"number": float("inf")}])),
        *(cbor2.dumps(changed("custom_metrics.cpu", [{"number": cbor2.CBORTag(tag, 1)}])) for tag in (1, 4, 29, 258)),
        cbor2.dumps(changed("header.report_id", 2**64)),
    ],
)
def test_hostile_cbor(payload: bytes) -> None:
    """No nesting, claimed length or tag does more than make a report malformed."""
    with pytest.raises(Malformed):
        read(payload, Encoding.CBOR, CUSTOM)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(Encoding))
def test_any_bytes(payload: bytes, encoding: Encoding) -> None:
    """Whatever bytes come, they are a report or malformed."""
    try:
        assert isinstance(read(payload, encoding, CUSTOM), DeviceReport)
    except Malformed:
        pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SHORT_NAMES, *SHORT_NAMES.values(), *CUSTOM, "number"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def objects(document: Any) -> list[dict[str, Any]]:
    """Every object in a document, itself included."""
    inside = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return [document] * isinstance(document, dict) + [found for one in inside for found in objects(one)]


def written(value: Any, encoding: Encoding, twice: Any = None, again: Any = None) -> bytes:
    """The value in that encoding; the last member of the object `twice` comes a second time, as `again`."""
    if isinstance(value, list):
        items = [written(one, encoding, twice, again) for one in value]
        return cbor_head(4, len(items)) + b"".join(items) if encoding is Encoding.CBOR else b"[%b]" % b",".join(items)
    if not isinstance(value, dict):
        return encode_one(value, encoding)
    members = list(value.items())
    if value is twice:
        members.append((members[-1][0], again))
    pairs = [(encode_one(name, encoding), written(one, encoding, twice, again)) for name, one in members]
    if encoding is Encoding.CBOR:
        return cbor_head(5, len(pairs)) + b"".join(name + one for name, one in pairs)
    return b"{%b}" % b",".join(b"%b:%b" % pair for pair in pairs)


def encode_one(value: Any, encoding: Encoding) -> bytes:
    return bytes(cbor2.dumps(value)) if encoding is Encoding.CBOR else json.dumps(value).encode()


def cbor_head(major: int, count: int) -> bytes:
    """RFC 8949 §3, for fewer than 24 items."""
    return bytes([major << 5 | count])


@settings(max_examples=200)
@given(st.data(), st.sampled_from(Encoding))
def test_no_member_is_said_twice(data: st.DataObject, encoding: Encoding) -> None:
    """A report any object of which has a member twice, alike or not, is malformed (RFC 8949 §5.6: invalid)."""
    document = json.loads(json.dumps(LONG))
    assert read(written(document, encoding), encoding, CUSTOM) == DeviceReport(1530304554, VALUES)
    place = data.draw(st.sampled_from(objects(document)))
    again = data.draw(st.just(list(place.values())[-1]) | st.integers(0, 9) | st.just({}))
    with pytest.raises(Malformed):
        read(written(document, encoding, place, again), encoding, CUSTOM)


@settings(max_examples=300)
@given(JSON, JSON, st.sampled_from(Encoding))
def test_any_document(metrics: Any, customs: Any, encoding: Encoding) -> None:
    """Whatever stands in a report's blocks, it is read or malformed, and in both encodings alike."""
    document = {"header": LONG["header"], "metrics": metrics, "custom_metrics": customs}
    try:
        report = parse(document, encoding)
    except Malformed:
        return
    assert report == parse(document, Encoding.JSON)


def test_answers_in_the_encoding_of_the_report() -> None:
    """An answer is encoded as the report was."""
    answer = {"thingName": "Ünal", "reportId": 1, "status": "ACCEPTED"}
    assert json.loads(encode(answer, Encoding.JSON)) == answer
    assert cbor2.loads(encode(answer, Encoding.CBOR)) == answer


# --- which report is new ----------------------------------------------------------------------------------------------


def test_ids_must_rise() -> None:
    """A report whose id is not greater than the last accepted one of the same thing is not new."""
    order = ReportOrder()
    order.accept("certificate", "thing", 5, 0)
    assert [order.standing("certificate", "thing", id, 1).is_newer for id in (4, 5, 6)] == [False, False, True]
    assert order.standing("certificate", "other", 1, 1).is_newer


def test_a_stranger_cannot_make_reports_look_old() -> None:
    """Ids are compared with those of the same certificate."""
    order = ReportOrder()
    order.accept("stranger", "thing", 2**63 - 1, 0)
    assert order.standing("own", "thing", 1, 1).is_newer


def test_deltas_after_a_gap() -> None:
    """The first report, and the first after more than two intervals, counts from nobody knows when."""
    order = ReportOrder()
    times = [0, INTERVAL, 2 * INTERVAL, 4 * INTERVAL, 4 * INTERVAL + 4 * INTERVAL + 1, 13 * INTERVAL]
    found = []
    for number, now in enumerate(times):
        found.append(order.standing("c", "t", number, now).has_deltas)
        order.accept("c", "t", number, now)
    assert found == [False, True, True, True, False, True]


def test_a_device_with_a_longer_interval() -> None:
    """A device that reports every half hour has deltas from its third report on."""
    order = ReportOrder()
    found = []
    for number in range(4):
        found.append(order.standing("c", "t", number, number * 1_800_000).has_deltas)
        order.accept("c", "t", number, number * 1_800_000)
    assert found == [False, False, True, True]


def test_what_is_remembered_is_bounded() -> None:
    """A certificate that reports for ever new things makes nobody remember more than its share."""
    order = ReportOrder()
    for number in range(3 * THINGS_PER_REPORTER):
        order.accept("hostile", f"thing{number}", 1, number)
    order.accept("other", "thing", 1, 0)
    assert order._count == THINGS_PER_REPORTER + 1 < REMEMBERED
    assert not order.standing("other", "thing", 1, 1).is_newer
