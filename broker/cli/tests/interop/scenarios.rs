//! The table of scenarios, and the one way to run it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::peer::{Messages, Orders, PATIENCE, Peer, Running};
use crate::place::{Place, Transport};

/// A step. Clients go by a letter; `{}` in a topic or filter stands for what is the scenario's own.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The client connects and subscribes.
    Subscribe {
        who: &'static str,
        filter: &'static str,
        qos: u8,
    },
    /// The same in a session that outlives the connection; when there is one, it is resumed.
    Resume {
        who: &'static str,
        filter: &'static str,
        qos: u8,
    },
    /// The client connects and leaves a will with the server.
    LeaveWill {
        who: &'static str,
        topic: &'static str,
        qos: u8,
        payload: &'static str,
    },
    Publish {
        topic: &'static str,
        qos: u8,
        retain: bool,
        payloads: &'static [&'static str],
    },
    /// A client with a will publishes at QoS 1, and says goodbye.
    PublishAndTakeWill {
        topic: &'static str,
        payload: &'static str,
        will_topic: &'static str,
    },
    /// The next messages of this client: topic, QoS, retain flag, payload.
    Expect {
        who: &'static str,
        messages: &'static [(&'static str, u8, bool, &'static str)],
    },
    /// These clients together get each message once, and nobody goes without.
    ExpectShared {
        who: &'static [&'static str],
        payloads: &'static [&'static str],
    },
    /// The client says goodbye; nothing but what was expected has come.
    Leave(&'static str),
    /// The client's connection breaks.
    Kill(&'static str),
}

use Step::{Expect, ExpectShared, Kill, Leave, LeaveWill, Publish, PublishAndTakeWill, Resume, Subscribe};

const SHARED: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];

const SCENARIOS: &[(&str, &[Step])] = &[
    (
        "qos-0",
        &[
            Subscribe { who: "a", filter: "{}/+", qos: 0 },
            Publish { topic: "{}/t", qos: 0, retain: false, payloads: &["one", "two"] },
            Expect { who: "a", messages: &[("{}/t", 0, false, "one"), ("{}/t", 0, false, "two")] },
            Leave("a"),
        ],
    ),
    (
        "qos-1",
        &[
            Subscribe { who: "a", filter: "{}/#", qos: 1 },
            Publish { topic: "{}/t", qos: 1, retain: false, payloads: &["one", "two", "three"] },
            Expect {
                who: "a",
                messages: &[("{}/t", 1, false, "one"), ("{}/t", 1, false, "two"), ("{}/t", 1, false, "three")],
            },
            Leave("a"),
        ],
    ),
    (
        "qos-2",
        &[
            Subscribe { who: "a", filter: "{}/t", qos: 2 },
            Publish { topic: "{}/t", qos: 2, retain: false, payloads: &["one", "two", "three"] },
            Expect {
                who: "a",
                messages: &[("{}/t", 2, false, "one"), ("{}/t", 2, false, "two"), ("{}/t", 2, false, "three")],
            },
            Leave("a"),
        ],
    ),
    (
        "lower-qos",
        &[
            Subscribe { who: "a", filter: "{}/t", qos: 1 },
            Publish { topic: "{}/t", qos: 2, retain: false, payloads: &["two"] },
            Publish { topic: "{}/t", qos: 0, retain: false, payloads: &["none"] },
            Expect { who: "a", messages: &[("{}/t", 1, false, "two"), ("{}/t", 0, false, "none")] },
            Leave("a"),
        ],
    ),
    (
        "retained",
        &[
            Publish { topic: "{}/t", qos: 1, retain: true, payloads: &["old"] },
            Publish { topic: "{}/t", qos: 2, retain: true, payloads: &["kept"] },
            Subscribe { who: "a", filter: "{}/#", qos: 1 },
            Expect { who: "a", messages: &[("{}/t", 1, true, "kept")] },
            Publish { topic: "{}/t", qos: 1, retain: true, payloads: &[""] },
            Expect { who: "a", messages: &[("{}/t", 1, false, "")] },
            Leave("a"),
            Subscribe { who: "b", filter: "{}/#", qos: 1 },
            Publish { topic: "{}/end", qos: 1, retain: false, payloads: &["end"] },
            Expect { who: "b", messages: &[("{}/end", 1, false, "end")] },
            Leave("b"),
        ],
    ),
    (
        "will",
        &[
            Subscribe { who: "a", filter: "{}/+", qos: 1 },
            LeaveWill { who: "b", topic: "{}/will", qos: 1, payload: "gone" },
            Kill("b"),
            Expect { who: "a", messages: &[("{}/will", 1, false, "gone")] },
            PublishAndTakeWill { topic: "{}/t", payload: "bye", will_topic: "{}/will" },
            Expect { who: "a", messages: &[("{}/t", 1, false, "bye")] },
            Publish { topic: "{}/end", qos: 1, retain: false, payloads: &["end"] },
            Expect { who: "a", messages: &[("{}/end", 1, false, "end")] },
            Leave("a"),
        ],
    ),
    (
        "session",
        &[
            Resume { who: "a", filter: "{}/t", qos: 2 },
            Publish { topic: "{}/t", qos: 2, retain: false, payloads: &["here"] },
            Expect { who: "a", messages: &[("{}/t", 2, false, "here")] },
            Leave("a"),
            Publish { topic: "{}/t", qos: 1, retain: false, payloads: &["away"] },
            Publish { topic: "{}/t", qos: 2, retain: false, payloads: &["still away"] },
            Resume { who: "a", filter: "{}/t", qos: 2 },
            Expect { who: "a", messages: &[("{}/t", 1, false, "away"), ("{}/t", 2, false, "still away")] },
            Kill("a"),
            Publish { topic: "{}/t", qos: 2, retain: false, payloads: &["lost"] },
            Resume { who: "a", filter: "{}/t", qos: 2 },
            Expect { who: "a", messages: &[("{}/t", 2, false, "lost")] },
            Leave("a"),
        ],
    ),
    (
        "shared",
        &[
            Subscribe { who: "a", filter: "$share/group/{}/t", qos: 1 },
            Subscribe { who: "b", filter: "$share/group/{}/t", qos: 1 },
            Publish { topic: "{}/t", qos: 1, retain: false, payloads: SHARED },
            ExpectShared { who: &["a", "b"], payloads: SHARED },
            Leave("a"),
            Publish { topic: "{}/t", qos: 1, retain: false, payloads: &["to b alone"] },
            Expect { who: "b", messages: &[("{}/t", 1, false, "to b alone")] },
            Leave("b"),
        ],
    ),
];

/// Runs every scenario with a client over a transport.
pub(crate) fn check(peer: &dyn Peer, transport: Transport) {
    let place = Place::new(transport);
    for (name, steps) in SCENARIOS {
        let mut scenario = Scenario { name, peer, place: &place, running: BTreeMap::new(), publishers: 0 };
        for step in *steps {
            scenario.run(step);
        }
    }
}

struct Scenario<'a> {
    name: &'static str,
    peer: &'a dyn Peer,
    place: &'a Place,
    running: BTreeMap<&'static str, Running>,
    publishers: usize,
}

impl Scenario<'_> {
    fn run(&mut self, step: &Step) {
        match *step {
            Subscribe { who, filter, qos } => self.start(who, Some((self.own(filter), qos)), false, None),
            Resume { who, filter, qos } => self.start(who, Some((self.own(filter), qos)), true, None),
            LeaveWill { who, topic, qos, payload } => {
                self.start(who, None, false, Some(self.messages(topic, qos, false, &[payload])));
            }
            Publish { topic, qos, retain, payloads } => {
                self.publish(&self.messages(topic, qos, retain, payloads), None);
            }
            PublishAndTakeWill { topic, payload, will_topic } => {
                let will = self.messages(will_topic, 1, false, &["never said"]);
                self.publish(&self.messages(topic, 1, false, &[payload]), Some(&will));
            }
            Expect { who, messages } => {
                for (topic, qos, retain, payload) in messages {
                    let expected = format!("{} {qos} {} {payload}", self.own(topic), u8::from(*retain));
                    let message = self.running.get_mut(who).unwrap().next_message(PATIENCE);
                    assert_eq!(message.as_deref(), Some(expected.as_str()), "{} {who}", self.name);
                }
            }
            ExpectShared { who, payloads } => self.expect_shared(who, payloads),
            Leave(who) => self.take(who).leave(),
            Kill(who) => self.take(who).kill(),
        }
    }

    fn start(&mut self, who: &'static str, subscribe: Option<(String, u8)>, keep: bool, will: Option<Messages>) {
        let client_id = format!("{}-{who}", self.name);
        let mut running = self.peer.start(self.place, &Orders { client_id, subscribe, keep, will });
        running.wait_until_ready();
        self.running.insert(who, running);
    }

    fn publish(&mut self, messages: &Messages, will: Option<&Messages>) {
        self.publishers += 1;
        self.peer.publish(self.place, &format!("{}-pub-{}", self.name, self.publishers), messages, will);
    }

    fn messages(&self, topic: &str, qos: u8, retain: bool, payloads: &[&str]) -> Messages {
        let payloads = payloads.iter().map(|&payload| payload.to_owned()).collect();
        Messages { topic: self.own(topic), qos, retain, payloads }
    }

    fn take(&mut self, who: &str) -> Running {
        self.running.remove(who).unwrap()
    }

    fn expect_shared(&mut self, members: &[&'static str], payloads: &[&str]) {
        let mut received: Vec<String> = Vec::new();
        let mut by_member = vec![0; members.len()];
        let began = Instant::now();
        while received.len() < payloads.len() {
            for (index, who) in members.iter().enumerate() {
                while let Some(message) = self.running.get_mut(who).unwrap().next_message(Duration::from_millis(10)) {
                    received.push(message.rsplit(' ').next().unwrap().to_owned());
                    by_member[index] += 1;
                }
            }
            assert!(began.elapsed() < PATIENCE, "{}: only {received:?} came", self.name);
        }
        received.sort_unstable();
        let mut expected = payloads.to_vec();
        expected.sort_unstable();
        assert_eq!(received, expected, "{}: each message reaches one member", self.name);
        assert!(by_member.iter().all(|count| *count > 0), "{}: a member went without: {by_member:?}", self.name);
    }

    fn own(&self, topic: &str) -> String {
        topic.replace("{}", &format!("{}/interop/{}", self.place.root, self.name))
    }
}
