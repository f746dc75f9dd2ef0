"""What /metrics shows beside the API's own figures: one row per metric, set where the thing happens."""

from prometheus_client import Counter, Gauge

SESSIONS = Gauge("fleetward_mqtt_sessions", "MQTT clients that are connected.")
REFUSED = Counter("fleetward_mqtt_connects_refused", "CONNECTs that were refused; of a flood only some are counted.")
ALARMS = Counter("fleetward_violation_events", "Violation events, by kind.", ("kind",))
VIOLATIONS = Gauge("fleetward_open_violations", "Violations that are in alarm.")
ISOLATED = Gauge("fleetward_isolated_things", "Things whose policies deny iot:Connect.")
DELIVERIES = Gauge("fleetward_deliveries", "Deliveries of alerts and other messages, by status.", ("status",))
