//! When wills fire.

use super::{LATE_MS, Mark, Model};

/// One will.
#[derive(Clone, Debug)]
pub(crate) struct WillModel {
    pub(crate) client: usize,
    pub(crate) delay_s: u32,
    pub(crate) state: WillState,
    /// The records that put it in this state.
    pub(crate) mark: Mark,
    /// Those of the CONNECT that brought it.
    pub(crate) armed: Mark,
    pub(crate) durable: bool,
    pub(crate) fired: u32,
    /// How often its message went to the log.
    pub(crate) recorded: u32,
}

/// Where a will is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WillState {
    /// Its connection lives.
    Armed,
    /// It fires between these times.
    Due(u64, u64),
    /// It has fired.
    Fired,
    /// It was discarded.
    Cancelled,
    /// A crash has left open whether it fires.
    Open,
}

impl Model {
    /// CONNECT with a will was accepted.
    pub(super) fn arm_will(&mut self, client: usize, will: usize, mark: Mark) {
        let Some((name, _)) = self.live(client) else { return };
        let durable = self.sess(name).durable;
        let delay_s = self.wills[&will].delay_s;
        let will_model =
            WillModel { client, delay_s, state: WillState::Armed, mark, armed: mark, durable, fired: 0, recorded: 0 };
        self.wills.insert(will, will_model);
    }

    pub(super) fn will_of_ended_connection(&mut self, client: usize, normal: bool, expiry_s: (u32, u32)) {
        let (now_ms, mark) = (self.now_ms, self.marks.make());
        for will in self.wills.values_mut().filter(|will| will.client == client && will.state == WillState::Armed) {
            let after = |expiry_s: u32| now_ms + u64::from(will.delay_s.min(expiry_s)) * 1000;
            will.state =
                if normal { WillState::Cancelled } else { WillState::Due(after(expiry_s.0), after(expiry_s.1)) };
            will.mark = mark;
        }
    }

    /// A clean start ends the session: its delayed will fires now.
    pub(super) fn wills_of_ended_session(&mut self, client: usize, perhaps: bool) {
        let (now_ms, mark) = (self.now_ms, self.marks.make());
        for will in self.wills.values_mut().filter(|will| will.client == client) {
            if let WillState::Due(..) = will.state {
                will.state = if perhaps { WillState::Open } else { WillState::Due(now_ms, now_ms) };
                will.mark = mark;
            }
        }
    }

    /// The client is back: what was not due yet is discarded. [MQTT-3.1.3-9]
    pub(super) fn wills_of_resumed_session(&mut self, client: usize, present: Option<bool>) {
        let (now_ms, mark) = (self.now_ms, self.marks.make());
        for will in self.wills.values_mut().filter(|will| will.client == client) {
            let WillState::Due(from, to) = will.state else { continue };
            if from == now_ms && to == now_ms {
                continue;
            }
            will.state = match present {
                Some(true) if from > now_ms + LATE_MS => WillState::Cancelled,
                Some(_) | None => WillState::Open,
            };
            will.mark = mark;
        }
    }

    /// A will came out of an engine.
    pub(crate) fn will_fired(&mut self, number: usize) {
        let (now_ms, step, mark) = (self.now_ms, self.step, self.marks.make());
        let will = self.wills.get_mut(&number).expect("the model knows the will");
        match will.state {
            WillState::Due(from, _) => {
                assert!(from <= now_ms, "will m{number} fires at {now_ms}, and is due at {from}");
            }
            WillState::Open => {}
            WillState::Armed | WillState::Fired | WillState::Cancelled => {
                panic!("will m{number} of c{} fires, and is {:?}", will.client, will.state)
            }
        }
        (will.state, will.mark) = (WillState::Fired, mark);
        will.fired += 1;
        let msg = &mut self.msgs[number];
        msg.handled.push(step);
        msg.handled_ms = now_ms;
        if msg.retain && msg.handled.len() == 1 {
            let topic = msg.topic.clone();
            self.writes.entry(topic).or_default().push(super::Write { msg: number });
        }
    }

    /// The message of a will goes to the log. A will that fires at the start, before anybody listens, is only seen here.
    pub(crate) fn will_recorded(&mut self, number: usize) {
        if self.wills[&number].recorded == self.wills[&number].fired {
            self.will_fired(number);
        }
        let mark = self.marks.make();
        let will = self.wills.get_mut(&number).expect("the model knows the will");
        will.recorded = will.fired;
        will.mark = mark;
    }

    /// Nothing that is due may be late.
    pub(crate) fn check_wills(&self) {
        if !self.is_up {
            return;
        }
        for (number, will) in &self.wills {
            if let WillState::Due(_, to) = will.state {
                let last = to.max(self.started_ms) + 2 * LATE_MS;
                assert!(self.now_ms <= last, "will m{number} of c{} was due at {to}, and has not fired", will.client);
            }
        }
    }

    pub(super) fn crash_wills(&mut self) {
        let (marks, step) = (&self.marks, self.step);
        for (number, will) in &mut self.wills {
            let is_sure = marks.is_sure(will.mark);
            if will.state == WillState::Fired && will.recorded == will.fired && is_sure {
                // Nobody would publish it again: that it fired is as good as an acknowledgement.
                let msg = &mut self.msgs[*number];
                msg.acked = msg.acked.or(Some(step));
            }
            will.state = match will.state {
                WillState::Armed | WillState::Due(..) if !will.durable => WillState::Cancelled,
                // Sessions that are only in memory take their wills with them.
                WillState::Armed | WillState::Due(..) if !marks.is_sure(will.armed) => WillState::Open,
                // It had fired, and nothing of it is on disk: it fires again.
                WillState::Fired if will.recorded < will.fired && will.durable => WillState::Due(0, 0),
                WillState::Fired | WillState::Cancelled if !is_sure && will.durable => WillState::Open,
                state => state,
            };
            will.recorded = will.fired;
        }
    }

    pub(super) fn restart_wills(&mut self) {
        let now_ms = self.now_ms;
        let expiries: Vec<Option<(u32, u32)>> = self
            .current
            .iter()
            .map(|current| current.session.filter(|_| !current.vague).map(|name| self.sess(name).expiry_s))
            .collect();
        let mark = self.marks.make();
        let marks = &self.marks;
        for will in self.wills.values_mut() {
            let before = will.state;
            let after = |expiry_s: u32| now_ms + u64::from(will.delay_s.min(expiry_s)) * 1000;
            will.state = match (will.state, expiries[will.client]) {
                (WillState::Armed, Some((min, max))) => WillState::Due(after(min), after(max)),
                (WillState::Due(from, _), Some((_, max))) if !marks.is_sure(will.mark) => {
                    // That the connection had ended may not be on disk: then it ends now.
                    WillState::Due(from, after(max))
                }
                (WillState::Armed, None) => WillState::Open,
                (WillState::Due(..), None) if !marks.is_sure(will.mark) => WillState::Open,
                (state, _) => state,
            };
            if will.state != before {
                // Also that is only in memory at first.
                will.mark = mark;
            }
        }
    }
}
