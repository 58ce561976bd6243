// One MQTT client of the interoperability tests, on MQTT.js. Its orders are JSON in the first argument; what happens to it goes out line by line.
// SIGTERM makes it say goodbye.
"use strict";

const fs = require("node:fs");
const mqtt = require("mqtt");

const VERSIONS = { "3.1": 3, "3.1.1": 4, "5": 5 };

function say(...words) {
  // Written at once, also when the process ends right after.
  fs.writeSync(1, words.join(" ") + "\n");
}

function fail(error) {
  fs.writeSync(2, `${error.stack}\n`);
  process.exit(1);
}

function connect(orders) {
  const version = VERSIONS[orders.version];
  const options = {
    clientId: orders.id,
    protocolVersion: version,
    protocolId: version === 3 ? "MQIsdp" : "MQTT",
    clean: !orders.keep,
    reconnectPeriod: 0,
    // With a session of the server's the subscription is there already.
    resubscribe: false,
  };
  if (version === 5) options.properties = { sessionExpiryInterval: orders.keep ? 3600 : 0 };
  if (orders.will) options.will = { ...orders.will, payload: Buffer.from(orders.will.payload) };
  if (orders.tls) {
    options.ca = fs.readFileSync(orders.tls.ca);
    options.cert = fs.readFileSync(orders.tls.certificate);
    options.key = fs.readFileSync(orders.tls.key);
  }
  return mqtt.connect(`${orders.tls ? "wss" : "ws"}://localhost:${orders.port}/mqtt`, options);
}

/** Publishes everything, and ends when the server has all of it. */
function publish(client, { topic, qos, retain, payloads }) {
  let left = payloads.length;
  client.on("connect", () => {
    for (const payload of payloads) {
      client.publish(topic, payload, { qos, retain }, (error) => {
        if (error) fail(error);
        left -= 1;
        if (left === 0) client.end(false, () => process.exit(0));
      });
    }
  });
}

/** Subscribes, unless the server has the subscription with the session, and says what comes. */
function listen(client, orders) {
  client.on("connect", (ack) => {
    if (!orders.filter || ack.sessionPresent) return say("ready");
    client.subscribe(orders.filter, { qos: orders.qos }, (error, granted) => {
      if (error || granted.some((one) => one.qos >= 128)) fail(error ?? new Error(JSON.stringify(granted)));
      say("ready");
    });
  });
  client.on("message", (topic, payload, packet) => say("message", topic, packet.qos, Number(packet.retain), payload));
  process.on("SIGTERM", () => client.end(false, () => process.exit(0)));
}

const orders = JSON.parse(process.argv[2]);
const client = connect(orders);
client.on("error", fail);
if (orders.publish) publish(client, orders.publish);
else listen(client, orders);
