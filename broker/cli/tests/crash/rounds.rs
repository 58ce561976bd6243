//! Rounds of load and SIGKILL on one data directory, each checked against what was acknowledged.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mooring_protocol::{QoS, Version};

use crate::changer::Changer;
use crate::keeper::{Keeper, read_kept};
use crate::ledger::Ledger;
use crate::member::Member;
use crate::publisher::Publisher;
use crate::random::Random;
use crate::round::Round;
use crate::server::{Home, Server};
use crate::subscriber::Subscriber;

/// Everybody who talks to the server, with what they know of it.
struct Cast {
    ledger: Arc<Ledger>,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    members: Vec<Member>,
    keepers: Vec<Keeper>,
    changers: Vec<Changer>,
}

#[test]
fn what_was_acknowledged_survives_sigkill_at_any_moment() {
    let rounds = number_from("MOORING_CRASH_ROUNDS").unwrap_or(2);
    let seed = number_from("MOORING_CRASH_SEED").unwrap_or_else(fresh_seed);
    println!("MOORING_CRASH_SEED={seed} MOORING_CRASH_ROUNDS={rounds}");
    let began = Instant::now();
    let mut random = Random::new(seed, 0);
    // More shards than cores: messages cross between them.
    let home = Home::with("[server]\nshards = 3");
    let mut cast = Cast::new();
    let server = home.start();
    cast.prepare(server.plain.unwrap());
    let mut server = Some(server);
    for number in 0..rounds {
        let running = server.take().unwrap_or_else(|| start_again(&home, &mut random));
        let port = running.plain.unwrap();
        cast.check(port);
        if random.one_in(2) {
            cast.settle(port);
        }
        let round = Round::new(port, seed.wrapping_add(number + 1));
        cast.load_and_kill(&round, running, random.between_ms(100, 1500));
    }
    let server = start_again(&home, &mut random);
    cast.check(server.plain.unwrap());
    cast.settle(server.plain.unwrap());
    cast.check(server.plain.unwrap());
    cast.report(rounds, began.elapsed());
}

/// Starts the server on what the last one left; one start in four is killed on its way.
fn start_again(home: &Home, random: &mut Random) -> Server {
    if random.one_in(4) {
        let mut starting = home.command(&["run"]).stdout(std::process::Stdio::null()).spawn().unwrap();
        thread::sleep(random.between_ms(0, 300));
        starting.kill().unwrap();
        starting.wait().unwrap();
    }
    home.start()
}

impl Cast {
    fn new() -> Self {
        let ledger = Arc::default();
        let publisher = |(actor, version)| Publisher::new(actor, version, &ledger);
        let subscriber = |(actor, version, qos)| Subscriber::new(actor, version, qos, &ledger);
        Self {
            publishers: [(1, Version::V5), (2, Version::V5), (3, Version::V3_1_1), (4, Version::V3_1_1)]
                .map(publisher)
                .into(),
            subscribers: [
                (11, Version::V5, QoS::ExactlyOnce),
                (12, Version::V3_1_1, QoS::ExactlyOnce),
                (13, Version::V5, QoS::AtLeastOnce),
                (14, Version::V5, QoS::ExactlyOnce),
            ]
            .map(subscriber)
            .into(),
            members: Member::group(21, 2, &ledger),
            keepers: vec![Keeper::new(31, Version::V5), Keeper::new(32, Version::V3_1_1)],
            changers: vec![Changer::new(41, Version::V5), Changer::new(42, Version::V3_1_1)],
            ledger,
        }
    }

    /// Makes the sessions and the subscriptions that stay.
    fn prepare(&mut self, port: u16) {
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.prepare(port));
        self.members.iter_mut().for_each(|member| member.prepare(port));
        self.changers.iter_mut().for_each(|changer| changer.prepare(port));
    }

    /// What can be seen before anybody finishes what a kill interrupted.
    fn check(&mut self, port: u16) {
        let kept = read_kept(port);
        self.keepers.iter().for_each(|keeper| keeper.check(&kept));
        self.changers.iter_mut().for_each(|changer| changer.check(port));
    }

    /// Everybody finishes; then nothing may be missing.
    fn settle(&mut self, port: u16) {
        self.publishers.iter_mut().for_each(|publisher| publisher.settle(port));
        self.keepers.iter_mut().for_each(|keeper| keeper.settle(port));
        thread::scope(|scope| {
            self.subscribers.iter_mut().for_each(|subscriber| drop(scope.spawn(|| subscriber.settle(port))));
            self.members.iter_mut().for_each(|member| drop(scope.spawn(|| member.settle(port))));
        });
    }

    fn load_and_kill(&mut self, round: &Round, server: Server, after: Duration) {
        thread::scope(|scope| {
            self.publishers.iter_mut().for_each(|publisher| drop(scope.spawn(|| publisher.load(round))));
            self.subscribers.iter_mut().for_each(|subscriber| drop(scope.spawn(|| subscriber.load(round))));
            self.members.iter_mut().for_each(|member| drop(scope.spawn(|| member.load(round))));
            self.keepers.iter_mut().for_each(|keeper| drop(scope.spawn(|| keeper.load(round))));
            self.changers.iter_mut().for_each(|changer| drop(scope.spawn(|| changer.load(round))));
            thread::sleep(after);
            round.end();
            server.kill();
        });
    }

    fn report(&self, rounds: u64, took: Duration) {
        let published: u64 = self.ledger.totals().iter().map(|(_, total)| total).sum();
        let accepted: u64 = self.publishers.iter().map(|publisher| publisher.accepted).sum();
        let delivered: u64 = self.subscribers.iter().map(|subscriber| subscriber.delivered).sum();
        let connections: u64 = self.publishers.iter().map(|publisher| publisher.connections).sum::<u64>()
            + self.subscribers.iter().map(|subscriber| subscriber.connections).sum::<u64>();
        let kept: u64 = self.keepers.iter().map(|keeper| keeper.accepted).sum();
        let changes: u64 = self.changers.iter().map(|changer| changer.accepted).sum();
        println!("{rounds} rounds in {took:.1?}: nothing lost, nothing twice at QoS 2, nothing out of order");
        println!(
            "  {published} messages published, {accepted} acknowledged, {delivered} delivered to persistent sessions"
        );
        println!("  {kept} retained writes and {changes} subscription changes acknowledged; {connections} connections");
    }
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn fresh_seed() -> u64 {
    u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos())
}
