"""One temperature sensor, as a function that a schedule calls once per slot.

It connects as its thing, publishes one reading in the middle of the slot and disconnects.
"""

import os
import random
import ssl
import string
import threading
import time

import paho.mqtt.client as mqtt

HERE = os.path.dirname(os.path.abspath(__file__))


def lambda_handler(event, context):
    telemetrydata = round(random.uniform(15.1,29.9),2)

    # telemetrydata = ''.join(random.choices(string.ascii_uppercase + string.digits, k = 3000))

    refusal = publish_in_mid_slot(str(telemetrydata), float(os.environ["SlotSeconds"]))
    if refusal:
        print(f"{os.environ['ThingName']}: {refusal}")
        return {"published": False, "reason": refusal}
    return {"published": True, "bytes": len(str(telemetrydata))}


def publish_in_mid_slot(payload, slot):
    """Publishes once, half a slot after the slot's start; returns why not when the broker refuses."""
    slot_start = time.time() // slot * slot
    answered, outcome = threading.Event(), []

    def on_connect(client, userdata, flags, reason_code, properties):
        outcome.append(reason_code)
        answered.set()

    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=os.environ["ThingName"], reconnect_on_failure=False
    )
    client.on_connect = on_connect
    client.tls_set(
        ca_certs=os.path.join(HERE, "ca.pem"),
        certfile=os.path.join(HERE, "certificate.pem"),
        keyfile=os.path.join(HERE, "private.key"),
        tls_version=ssl.PROTOCOL_TLS_CLIENT,
    )
    client.connect(os.environ["MqttHost"], int(os.environ["MqttPort"]))
    client.loop_start()
    try:
        if not answered.wait(10):
            return "no answer from the broker"
        if outcome[0].is_failure:
            return f"connection refused: {outcome[0]}"
        time.sleep(max(0.0, slot_start + slot / 2 - time.time()))
        client.publish(os.environ["Topic"], payload, qos=1).wait_for_publish(5)
        return None
    finally:
        client.disconnect()
        client.loop_stop()
