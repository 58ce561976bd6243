"""One MQTT client of the interoperability tests, on the Python paho client. Its orders are JSON in the first argument; what happens to it goes out
line by line. SIGTERM makes it say goodbye."""

import json
import signal
import ssl
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

VERSIONS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}


def say(*words):
    print(*words, flush=True)


def make(orders):
    version = VERSIONS[orders["version"]]
    is_v5 = version == mqtt.MQTTv5
    clean = {} if is_v5 else {"clean_session": not orders["keep"]}
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, orders["id"], protocol=version, **clean)
    if orders["tls"]:
        client.tls_set(orders["tls"]["ca"], orders["tls"]["certificate"], orders["tls"]["key"], tls_version=ssl.PROTOCOL_TLS_CLIENT)
    if orders["will"]:
        will = orders["will"]
        client.will_set(will["topic"], will["payload"], will["qos"], will["retain"])
    return client, is_v5


def connect(client, is_v5, orders):
    more = {}
    if is_v5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600 if orders["keep"] else 0
        more = {"clean_start": not orders["keep"], "properties": properties}
    client.connect("localhost", orders["port"], **more)


def publish(client, orders):
    """Publishes everything, and ends when the server has all of it."""
    message = orders["publish"]

    def on_connect(client, userdata, flags, reason, properties):
        assert not reason.is_failure, reason
        for payload in message["payloads"]:
            client.publish(message["topic"], payload, message["qos"], message["retain"])

    published = []

    def on_publish(client, userdata, packet_id, reason, properties):
        assert not reason.is_failure, reason
        published.append(packet_id)
        if len(published) == len(message["payloads"]):
            client.disconnect()

    client.on_connect, client.on_publish = on_connect, on_publish


def listen(client, orders, is_v5):
    """Subscribes, unless the server has the subscription with the session, and says what comes."""

    def on_connect(client, userdata, flags, reason, properties):
        assert not reason.is_failure, reason
        if not orders["filter"] or flags.session_present:
            say("ready")
        elif is_v5:
            client.subscribe(orders["filter"], options=SubscribeOptions(qos=orders["qos"]))
        else:
            client.subscribe(orders["filter"], orders["qos"])

    def on_subscribe(client, userdata, packet_id, reasons, properties):
        assert not any(reason.is_failure for reason in reasons), reasons
        say("ready")

    def on_message(client, userdata, message):
        say("message", message.topic, message.qos, int(message.retain), message.payload.decode())

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message


def main():
    orders = json.loads(sys.argv[1])
    client, is_v5 = make(orders)
    if orders["publish"]:
        publish(client, orders)
    else:
        listen(client, orders, is_v5)
        signal.signal(signal.SIGTERM, lambda number, frame: client.disconnect())
    connect(client, is_v5, orders)
    client.loop_forever(retry_first_connection=False)


main()
