//! How fast the world turns: three servers and a client in turn, with 100-byte messages.
//!
//! The same program as in `referees`, so that the figures can stand side by side. Everything is on that is on in a real
//! run: keyed draws of latency and priority, the trace hash over every message, the history.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

use std::{fmt::Write as _, sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};
use stormproof_contract::{Boot, BootError, Bytes, Effects, Input, Node, NodeId, Role, System};
use stormproof_sim::{
    check::invariant::Invariant,
    world::{
        Settings,
        dice::Dice,
        draw::Ppm,
        run_seed,
        span::{Span, Time},
        stage::{Class, Ended, Findings, Judge, NodeSpec, Phase, Stage, Workload},
        tuning::Tuning,
    },
};

const SERVERS: u32 = 3;
const MESSAGE_BYTES: usize = 100;

struct Echoes;
struct Echo;

impl System for Echoes {
    type Config = ();
    type Node = Echo;

    fn boot(&self, _: Boot<'_, ()>) -> Result<Echo, BootError> {
        Ok(Echo)
    }
}

impl Node for Echo {
    type Op = Bytes;
    type Reply = Bytes;
    type Ask = ();
    type Facts = ();

    fn handle(&mut self, input: Input<Bytes>, out: &mut Effects<Bytes>) {
        if let Input::Request { id, op } = input {
            out.reply(id, op);
        }
    }
}

struct InTurn {
    left: u64,
    message: Bytes,
}

impl Workload<Bytes, Bytes> for InTurn {
    fn next(&mut self, _: u32, phase: Phase, _: &mut Dice) -> Option<Bytes> {
        if phase == Phase::Calm || self.left == 0 {
            return None;
        }
        self.left -= 1;
        Some(Arc::clone(&self.message))
    }

    fn class(&self, _: &Bytes, _: &Bytes) -> Class {
        Class::Done
    }

    fn route(&self, _: u32, _: &Bytes, _: u32, nodes: u32) -> NodeId {
        NodeId((self.left % u64::from(nodes)) as u32)
    }

    fn op_hash(&self, op: &Bytes) -> u64 {
        sum(op)
    }

    fn reply_hash(&self, reply: &Bytes) -> u64 {
        sum(reply)
    }
}

/// Reads every byte, as any hash must.
fn sum(bytes: &Bytes) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let word = |hash: u64, word: &[u8; 8]| (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    rest.iter().fold(words.iter().fold(0, word), |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

struct Nothing;

impl Judge<Echoes> for Nothing {
    fn invariants(&self) -> Vec<Invariant> {
        Vec::new()
    }

    fn end(&mut self, _: &Ended<'_, Echoes>, _: &mut Findings) {}
}

/// What a measurement has shown: a line of JSON, in the form that the referees share.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Speed {
    /// Which simulator.
    pub program: String,
    /// The client's pause after each round trip.
    pub pause_ms: u64,
    /// How many there were.
    pub round_trips: u64,
    /// Real time.
    pub wall_ns: u64,
    /// Simulated time.
    pub sim_ns: u64,
}

impl Speed {
    /// What a round trip costs.
    pub fn ns_per_round_trip(&self) -> f64 {
        self.wall_ns as f64 / self.round_trips as f64
    }

    /// How much faster simulated time goes than real time.
    pub fn sim_s_per_wall_s(&self) -> f64 {
        self.sim_ns as f64 / self.wall_ns as f64
    }
}

/// Sends messages to and fro, with a pause of the client between any two.
pub fn round_trips(round_trips: u64, pause: Time) -> Speed {
    let nodes = (0..SERVERS).map(|machine| NodeSpec { machine, role: Role(0), config: () }).collect();
    let about_1ms = Span::new(Time::millis(1), Time(999_000), Time(1_001_000));
    let tuning = Tuning {
        net_latency: about_1ms,
        think: Span::fixed(pause),
        linger: Span::fixed(Time(0)),
        interleave: Ppm(0),
        patience: Time::secs(3600),
        heal_at: Time(u64::MAX / 4),
        ..Tuning::default()
    };
    let workload = InTurn { left: round_trips, message: vec![7; MESSAGE_BYTES].into() };
    let stage = Stage { system: Echoes, nodes, clients: 1, workload, judge: Nothing, tuning, faults: Vec::new() };
    let begun = Instant::now();
    let (result, _) = run_seed(1, stage, &Settings::default());
    let wall_ns = begun.elapsed().as_nanos() as u64;
    assert_eq!(result.answered[0], round_trips, "every round trip was answered");
    Speed {
        program: "stormproof".into(),
        pause_ms: pause.0 / 1_000_000,
        round_trips,
        wall_ns,
        sim_ns: result.simulated,
    }
}

/// Why the referees' lines cannot be compared.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {source}")]
pub struct BadLine {
    line: usize,
    source: serde_json::Error,
}

/// Reads the lines that the referees print.
pub fn referees(text: &str) -> Result<Vec<Speed>, BadLine> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| serde_json::from_str(line).map_err(|source| BadLine { line: at + 1, source })).collect()
}

/// Ours beside the referees' of the same pause.
pub fn table(ours: &[Speed], referees: &[Speed]) -> String {
    let mut text = format!(
        "{:<12}{:>7}{:>18}{:>20}{:>9}\n",
        "program", "pause", "ns per round trip", "sim s per wall s", "ours is"
    );
    for mine in ours {
        let theirs = referees.iter().filter(|it| it.pause_ms == mine.pause_ms);
        for speed in std::iter::once(mine).chain(theirs) {
            let Speed { program, pause_ms, .. } = speed;
            let (cost, faster) = (speed.ns_per_round_trip(), speed.sim_s_per_wall_s());
            let times = cost / mine.ns_per_round_trip();
            // Writing to a string does not fail.
            let _ = writeln!(text, "{program:<12}{pause_ms:>4} ms{cost:>18.1}{faster:>20.0}{times:>8.2}x");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(program: &str, pause_ms: u64, wall_ns: u64) -> Speed {
        Speed { program: program.into(), pause_ms, round_trips: 10, wall_ns, sim_ns: 20_000_000 }
    }

    #[test]
    fn a_line_of_the_referees_is_read_with_what_they_derive_beside_it() {
        let line =
            r#"{"program":"madsim","pause_ms":100,"round_trips":10,"wall_ns":5,"sim_ns":7,"ns_per_round_trip":0.5}"#;
        let read = referees(&format!("{line}\n\n{line}\n")).expect("well formed");
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].program.as_str(), read[0].pause_ms, read[0].wall_ns), ("madsim", 100, 5));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        let error = referees("{\"program\":\"x\"}").expect_err("fields are missing");
        assert!(error.to_string().starts_with("line 1: "), "{error}");
    }

    #[test]
    fn only_what_has_the_same_pause_is_compared() {
        let text = table(&[speed("stormproof", 0, 1_000)], &[speed("slow", 0, 20_000), speed("other", 100, 1)]);
        assert!(text.contains("20.00x") && text.contains("slow"), "{text}");
        assert!(!text.contains("other"), "{text}");
    }

    #[test]
    fn a_round_trip_of_the_world_takes_two_messages_of_a_millisecond() {
        let trips = 1_000;
        let speed = round_trips(trips, Time::millis(100));
        let per_trip_ms = speed.sim_ns as f64 / 1e6 / trips as f64;
        // And less than a second at the end, in which the world waits for what may still happen.
        assert!((102.0..103.0).contains(&per_trip_ms), "{per_trip_ms}");
    }
}
