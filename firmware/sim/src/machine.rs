//! The washing machine itself: a state machine in virtual time, without I/O.

use serde_json::{Value, json};

/// What a wash goes through, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for `start`.
    Idle,
    /// Water comes in.
    Fill,
    /// The water is heated.
    Heat,
    /// The drum turns.
    Wash,
    /// The water is changed.
    Rinse,
    /// The water is spun out.
    Spin,
    /// The door unlocks.
    Door,
}

impl Phase {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Fill => "fill",
            Self::Heat => "heat",
            Self::Wash => "wash",
            Self::Rinse => "rinse",
            Self::Spin => "spin",
            Self::Door => "door",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Idle | Self::Door => Self::Idle,
            Self::Fill => Self::Heat,
            Self::Heat => Self::Wash,
            Self::Wash => Self::Rinse,
            Self::Rinse => Self::Spin,
            Self::Spin => Self::Door,
        }
    }

    /// How long it takes on a real machine, in seconds.
    fn duration_s(self, program: &Program) -> f64 {
        match self {
            Self::Idle => f64::INFINITY,
            Self::Fill => 90.0,
            Self::Heat => f64::from(program.temperature_c) * 15.0,
            Self::Wash => program.wash_s,
            Self::Rinse => 600.0,
            Self::Spin => 480.0,
            Self::Door => 60.0,
        }
    }
}

/// A washing program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// How hot, in degrees Celsius.
    pub temperature_c: u8,
    /// How long the drum turns, in seconds.
    pub wash_s: f64,
    /// How fast it spins, in turns a minute.
    pub spin_rpm: u16,
}

/// The programs that the machine has.
pub(crate) const PROGRAMS: [Program; 4] = [
    Program { name: "eco-40-60", temperature_c: 40, wash_s: 3600.0, spin_rpm: 1400 },
    Program { name: "cotton-60", temperature_c: 60, wash_s: 2700.0, spin_rpm: 1400 },
    Program { name: "quick-30", temperature_c: 30, wash_s: 600.0, spin_rpm: 1200 },
    Program { name: "wool", temperature_c: 20, wash_s: 1200.0, spin_rpm: 600 },
];

/// A washing machine.
#[derive(Clone, Debug)]
pub struct Machine {
    program: Program,
    phase: Phase,
    paused: bool,
    /// Seconds of machine time spent in this phase.
    in_phase_s: f64,
    temperature_c: f64,
    water_l: f64,
    energy_wh: f64,
    washes: u32,
}

impl Default for Machine {
    fn default() -> Self {
        let [program, ..] = PROGRAMS;
        Self {
            program,
            phase: Phase::Idle,
            paused: false,
            in_phase_s: 0.0,
            temperature_c: ROOM_C,
            water_l: 0.0,
            energy_wh: 0.0,
            washes: 0,
        }
    }
}

const ROOM_C: f64 = 19.0;
const FILL_L: f64 = 14.0;
const HEATER_W: f64 = 2000.0;
const MOTOR_W: f64 = 180.0;
const STANDBY_W: f64 = 2.0;

impl Machine {
    /// The phase that it is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Lets machine time pass; returns the phases that began.
    pub fn advance(&mut self, seconds: f64) -> Vec<Phase> {
        let mut began = Vec::new();
        let mut left = if self.paused { 0.0 } else { seconds };
        while left > 0.0 {
            let remaining = self.phase.duration_s(&self.program) - self.in_phase_s;
            let step = left.min(remaining);
            self.spend(step);
            left -= step;
            if step >= remaining {
                self.enter(self.phase.next());
                began.push(self.phase);
            }
        }
        began
    }

    /// Obeys a command; the answer says what it did, or why not.
    pub fn obey(&mut self, command: &str, arguments: &[u8]) -> Value {
        let done = match command {
            "start" => self.start(),
            "pause" => self.pause(),
            "set-program" => self.set_program(arguments),
            "factory-reset" => {
                *self = Self::default();
                Ok(())
            }
            other => Err(format!("no such command: {other}")),
        };
        match done {
            Ok(()) => json!({"ok": true, "state": self.reported()}),
            Err(error) => json!({"ok": false, "error": error}),
        }
    }

    /// Takes the program that the cloud wishes for; returns whether it changed anything.
    pub fn wish(&mut self, desired: &Value) -> bool {
        let before = self.program;
        if let Some(name) = desired.get("program").and_then(Value::as_str) {
            // A wish for a program that it does not have leaves the state as it was: the difference stays visible in the shadow.
            let _unknown = self.choose(name);
        }
        self.program != before
    }

    /// The state that goes into the shadow.
    #[must_use]
    pub fn reported(&self) -> Value {
        json!({"phase": self.phase.name(), "paused": self.paused, "program": self.program.name, "washes": self.washes})
    }

    /// What the sensors say.
    #[must_use]
    pub fn telemetry(&self, at_unix_ms: u64) -> Value {
        json!({
            "at_ms": at_unix_ms,
            "phase": self.phase.name(),
            "temperature_c": round(self.temperature_c),
            "water_l": round(self.water_l),
            "drum_rpm": self.drum_rpm(),
            "power_w": round(self.power_w()),
            "energy_wh": round(self.energy_wh),
        })
    }

    fn start(&mut self) -> Result<(), String> {
        match (self.phase, self.paused) {
            (Phase::Idle, _) => {
                self.paused = false;
                self.enter(Phase::Fill);
                Ok(())
            }
            (_, true) => {
                self.paused = false;
                Ok(())
            }
            (phase, false) => Err(format!("already running: {}", phase.name())),
        }
    }

    fn pause(&mut self) -> Result<(), String> {
        match self.phase {
            Phase::Idle => Err("nothing to pause".to_owned()),
            _ => {
                self.paused = true;
                Ok(())
            }
        }
    }

    fn set_program(&mut self, arguments: &[u8]) -> Result<(), String> {
        let arguments: Value =
            serde_json::from_slice(arguments).map_err(|error| format!("the arguments are no JSON: {error}"))?;
        let name = arguments.get("program").and_then(Value::as_str).ok_or("expected {\"program\": \"<name>\"}")?;
        self.choose(name)
    }

    fn choose(&mut self, name: &str) -> Result<(), String> {
        if self.phase != Phase::Idle {
            return Err(format!("the program can't change while it runs: {}", self.phase.name()));
        }
        let known = PROGRAMS.iter().find(|program| program.name == name);
        self.program = *known.ok_or_else(|| {
            let names: Vec<_> = PROGRAMS.iter().map(|program| program.name).collect();
            format!("no program {name:?}; there are {}", names.join(", "))
        })?;
        Ok(())
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase == Phase::Door {
            self.washes += 1;
        }
        self.phase = phase;
        self.in_phase_s = 0.0;
    }

    fn spend(&mut self, seconds: f64) {
        self.energy_wh += self.power_w() * seconds / 3600.0;
        self.in_phase_s += seconds;
        let share = (self.in_phase_s / self.phase.duration_s(&self.program)).min(1.0);
        match self.phase {
            Phase::Fill => self.water_l = FILL_L * share,
            Phase::Heat => self.temperature_c = ROOM_C + (f64::from(self.program.temperature_c) - ROOM_C) * share,
            Phase::Rinse => self.temperature_c += (ROOM_C - self.temperature_c) * share,
            Phase::Spin => self.water_l = FILL_L * (1.0 - share),
            Phase::Idle | Phase::Wash | Phase::Door => {}
        }
    }

    fn power_w(&self) -> f64 {
        match self.phase {
            _ if self.paused => STANDBY_W,
            Phase::Idle | Phase::Door => STANDBY_W,
            Phase::Fill => 10.0,
            Phase::Heat => HEATER_W,
            Phase::Wash | Phase::Rinse => MOTOR_W,
            Phase::Spin => 3.0 * MOTOR_W,
        }
    }

    fn drum_rpm(&self) -> u16 {
        match self.phase {
            _ if self.paused => 0,
            Phase::Idle | Phase::Fill | Phase::Door => 0,
            Phase::Heat | Phase::Wash | Phase::Rinse => 45,
            Phase::Spin => self.program.spin_rpm,
        }
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(machine: &mut Machine, command: &str, arguments: &str) -> bool {
        machine.obey(command, arguments.as_bytes())["ok"].as_bool().unwrap()
    }

    #[test]
    fn a_wash_goes_through_every_phase_in_order() {
        let mut machine = Machine::default();
        assert!(answer(&mut machine, "start", ""));
        let phases = machine.advance(100_000.0);
        assert_eq!(phases, [Phase::Heat, Phase::Wash, Phase::Rinse, Phase::Spin, Phase::Door, Phase::Idle]);
        assert_eq!(machine.reported()["washes"], 1);
    }

    #[test]
    fn a_paused_machine_stays_in_its_phase_until_it_is_started() {
        let mut machine = Machine::default();
        answer(&mut machine, "start", "");
        assert!(answer(&mut machine, "pause", ""));
        assert!(machine.advance(100_000.0).is_empty());
        assert!(answer(&mut machine, "start", ""));
        assert_eq!(machine.advance(91.0), [Phase::Heat]);
    }

    #[test]
    fn commands_that_make_no_sense_are_answered_with_the_reason() {
        let mut machine = Machine::default();
        assert!(!answer(&mut machine, "pause", ""));
        assert!(!answer(&mut machine, "set-program", "{}"));
        assert!(!answer(&mut machine, "set-program", "{\"program\": \"boil\"}"));
        assert!(answer(&mut machine, "set-program", "{\"program\": \"wool\"}"));
        answer(&mut machine, "start", "");
        assert!(!answer(&mut machine, "start", ""));
        assert!(!answer(&mut machine, "set-program", "{\"program\": \"wool\"}"));
        assert!(!answer(&mut machine, "explode", ""));
    }

    #[test]
    fn a_factory_reset_stops_it_and_forgets_what_it_did() {
        let mut machine = Machine::default();
        assert!(answer(&mut machine, "set-program", "{\"program\": \"wool\"}"));
        answer(&mut machine, "start", "");
        machine.advance(100_000.0);
        answer(&mut machine, "start", "");
        assert!(answer(&mut machine, "factory-reset", ""));
        assert_eq!(machine.reported(), Machine::default().reported());
        assert_eq!(machine.telemetry(0), Machine::default().telemetry(0));
    }

    #[test]
    fn heating_ends_at_the_programs_temperature() {
        let mut machine = Machine::default();
        answer(&mut machine, "start", "");
        machine.advance(90.0 + 600.0);
        assert_eq!(machine.phase(), Phase::Wash);
        assert_eq!(machine.telemetry(0)["temperature_c"], 40.0);
    }
}
