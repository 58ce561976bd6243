//! On a full disk nothing is acknowledged and nothing is lost; with room again it goes on.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use mooring_protocol::{QoS, Version};

use crate::client::{Client, Event};
use crate::ledger::{number_in, payload};
use crate::server::{Home, Server};
use crate::small_disk::SmallDisk;
use crate::subscriber::PATIENCE;

/// Bytes of each message.
const FILLING: usize = 4096;
/// Messages under way at most.
const WINDOW: usize = 16;
/// What is left for the log when the disk is filled.
const FREE_KIB: u64 = 1024;

/// A server on a small disk, with a persistent subscriber that is away and a publisher.
struct FullDisk {
    home: Home,
    disk: SmallDisk,
    server: Server,
    log: Receiver<String>,
    publisher: Client,
    published: u64,
    accepted: u64,
}

#[test]
fn with_room_again_a_full_disk_is_forgotten() {
    let mut scene = FullDisk::new();
    scene.publish_until_full();
    scene.check_nothing_is_acknowledged();
    scene.disk.free();
    scene.finish();
    scene.check_everything_is_there();
}

#[test]
fn killed_on_a_full_disk_it_has_all_that_it_acknowledged() {
    let mut scene = FullDisk::new();
    scene.publish_until_full();
    scene.check_nothing_is_acknowledged();
    let scene = scene.kill();
    scene.disk.free();
    let mut scene = scene.start();
    scene.publisher.connect(scene.server.plain.unwrap()).unwrap();
    scene.finish();
    scene.check_everything_is_there();
}

/// [`FullDisk`] without its server.
struct Stopped {
    home: Home,
    disk: SmallDisk,
    publisher: Client,
    published: u64,
    accepted: u64,
}

impl FullDisk {
    fn new() -> Self {
        let home = Home::new();
        let disk = SmallDisk::mount(&home.data_dir(), 32);
        let publisher = Client::persistent("publisher", Version::V5);
        let mut scene = Stopped { home, disk, publisher, published: 0, accepted: 0 }.start();
        let port = scene.server.plain.unwrap();
        let mut subscriber = Client::persistent("subscriber", Version::V5);
        subscriber.connect(port).unwrap();
        subscriber.subscribe_and_wait("full/#", QoS::ExactlyOnce).unwrap();
        subscriber.disconnect();
        scene.publisher.connect(port).unwrap();
        scene
    }

    /// Publishes at QoS 2 until the log says that there is no room.
    fn publish_until_full(&mut self) {
        self.disk.fill_but(FREE_KIB);
        let room = FREE_KIB * 1024 / FILLING as u64;
        loop {
            if let Ok(line) = self.log.try_recv() {
                assert!(line.contains("the disk is full"), "{line}");
                assert!(line.contains("nothing is acknowledged until there is room"), "{line}");
                break;
            }
            assert!(self.published < room * 2, "{} messages fit where {room} should", self.published);
            if self.publisher.unfinished() < WINDOW {
                self.publisher
                    .publish("full/2", &payload(self.published, FILLING), QoS::ExactlyOnce, false, self.published)
                    .unwrap();
                self.published += 1;
            }
            self.poll_publisher();
        }
        assert!(self.accepted > 0, "nothing was acknowledged before the disk was full");
    }

    /// The server tries again and again, says so each time, and acknowledges nothing meanwhile.
    fn check_nothing_is_acknowledged(&mut self) {
        // What was on its way before the disk was full.
        while self.poll_publisher() {}
        let before = self.accepted;
        self.publisher
            .publish("full/2", &payload(self.published, 10), QoS::ExactlyOnce, false, self.published)
            .unwrap();
        self.published += 1;
        for _ in 0..3 {
            let line = self.log.recv_timeout(PATIENCE).expect("the log tells of each try");
            assert!(line.contains("the disk is full"), "{line}");
            while self.poll_publisher() {}
        }
        assert_eq!(self.accepted, before, "messages were acknowledged on a full disk");
        assert!(self.publisher.unfinished() > 0);
    }

    fn kill(self) -> Stopped {
        self.server.kill();
        let Self { home, disk, publisher, published, accepted, .. } = self;
        Stopped { home, disk, publisher, published, accepted }
    }

    fn finish(&mut self) {
        self.accepted += self.publisher.finish().unwrap().len() as u64;
        assert_eq!(self.accepted, self.published);
    }

    /// The subscriber gets each message once, in order.
    fn check_everything_is_there(&self) {
        let mut subscriber = Client::persistent("subscriber", Version::V5);
        subscriber.connect(self.server.plain.unwrap()).unwrap();
        let mut next = 0;
        while next < self.published {
            let event = subscriber.poll(PATIENCE).unwrap();
            match event.unwrap_or_else(|| panic!("{next} of {} messages came", self.published)) {
                Event::Message { payload, .. } => {
                    assert_eq!(number_in(&payload), next);
                    next += 1;
                }
                Event::Step => {}
                other => panic!("{other:?}"),
            }
            subscriber.flush().unwrap();
        }
    }

    /// Whether something came.
    fn poll_publisher(&mut self) -> bool {
        let event = self.publisher.poll(Duration::from_millis(20)).unwrap();
        self.publisher.flush().unwrap();
        if matches!(event, Some(Event::Accepted(_))) {
            self.accepted += 1;
        }
        event.is_some()
    }
}

impl Stopped {
    fn start(self) -> FullDisk {
        let Self { home, disk, publisher, published, accepted } = self;
        let mut command = disk.inside(home.command(&["run"]).env("MOORING_TELEMETRY__LOG", "error"));
        let mut server = home.start_as({
            command.stderr(Stdio::piped());
            command
        });
        let (said, log) = channel();
        let stderr = BufReader::new(server.take_stderr());
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        FullDisk { home, disk, server, log, publisher, published, accepted }
    }
}
