//! How a run's world behaves where nothing fails: how long things take, how patient clients are, what power loss may
//! leave. Drawn anew for each run (*swarm*), so that no two runs look at the system from the same angle.

use serde::{Deserialize, Serialize};

use super::{
    dice::Dice,
    draw::Ppm,
    fs::Profile,
    span::{Span, Time},
};

/// The settings of one world. Saved in plans.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// What power loss may leave.
    pub power: Profile,
    /// What becomes of what was not synced, where no draw says otherwise.
    #[serde(default, skip_serializing_if = "is_kept")]
    pub unsynced: Unsynced,
    /// Bytes that each machine's disk holds.
    pub disk_bytes: u64,
    /// How long a message takes.
    pub net_latency: Span,
    /// How long a disk call takes that does not sync.
    pub disk_latency: Span,
    /// How long a sync takes, of a file or a directory.
    pub sync_latency: Span,
    /// How long a query waits for its next turn.
    pub query_latency: Span,
    /// How long a job waits for its next turn.
    pub job_latency: Span,
    /// How long a node lets its inbox fill before it looks.
    pub linger: Span,
    /// How likely a disk call of the writer lets a waiting query or job have a turn.
    pub interleave: Ppm,
    /// How long a client thinks between operations.
    pub think: Span,
    /// How long a client waits before it tries again.
    pub backoff: Span,
    /// How long a dead process stays down.
    pub restart: Span,
    /// How likely clean pages are dropped from the page cache while a process is down.
    pub evict: Ppm,
    /// How long a client waits for a reply.
    pub patience: Time,
    /// How often a client tries in all before it gives up, not knowing.
    pub attempts_max: u32,
    /// When the faults end, at the latest; earlier if all clients are done.
    pub heal_at: Time,
    /// How long after that everything must have converged.
    pub converge_within: Time,
    /// Whether all nodes are killed and started once more at the end, with nothing under way, so that their judge can
    /// compare what they recover with what they were.
    pub encore: bool,
}

/// What power loss mildly does to what was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsynced {
    /// It survives. A draw counts how much of it is lost.
    #[default]
    Kept,
    /// It is lost. A draw counts how much of it survives: the smallest story that still fails is often this one.
    Lost,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_kept(unsynced: &Unsynced) -> bool {
    *unsynced == Unsynced::Kept
}

impl Default for Tuning {
    /// The mild world: all takes its usual time.
    fn default() -> Self {
        let short = Span::new(Time::micros(100), Time::micros(20), Time::millis(20));
        Tuning {
            power: Profile::Weakest,
            unsynced: Unsynced::Kept,
            disk_bytes: 1 << 30,
            net_latency: Span::new(Time::micros(200), Time::micros(50), Time::millis(40)),
            disk_latency: Span::new(Time::micros(10), Time::micros(1), Time::millis(2)),
            sync_latency: Span::new(Time::micros(200), Time::micros(50), Time::millis(20)),
            query_latency: short,
            job_latency: short,
            linger: Span::new(Time(0), Time(0), Time::millis(1)),
            interleave: Ppm(300_000),
            think: Span::new(Time::micros(100), Time(0), Time::millis(20)),
            backoff: Span::new(Time::millis(5), Time::millis(1), Time::millis(100)),
            restart: Span::new(Time::millis(5), Time::millis(1), Time::millis(200)),
            evict: Ppm(300_000),
            patience: Time::millis(200),
            attempts_max: 4,
            heal_at: Time::secs(20),
            converge_within: Time::secs(30),
            encore: false,
        }
    }
}

impl Tuning {
    /// The mild world with some of its settings drawn.
    pub fn swarm(dice: &mut Dice) -> Self {
        let power = *dice.pick(&[Profile::Weakest, Profile::Weakest, Profile::Ordered]);
        let mut tuning = Tuning { power, ..Tuning::default() };
        tuning.net_latency.max = *dice.pick(&[Time::micros(300), Time::millis(5), Time::millis(60)]);
        tuning.sync_latency.max = *dice.pick(&[Time::micros(300), Time::millis(5), Time::millis(80)]);
        tuning.query_latency.max = *dice.pick(&[Time::micros(200), Time::millis(2), Time::millis(20)]);
        tuning.think.max = *dice.pick(&[Time::micros(100), Time::millis(2), Time::millis(30)]);
        tuning.restart.max = *dice.pick(&[Time::millis(2), Time::millis(200)]);
        tuning.linger.max = *dice.pick(&[Time(0), Time::micros(100), Time::millis(3)]);
        tuning.interleave = *dice.pick(&[Ppm(0), Ppm(200_000), Ppm(900_000)]);
        tuning.evict = *dice.pick(&[Ppm(0), Ppm(500_000), Ppm(1_000_000)]);
        tuning.patience = *dice.pick(&[Time::millis(30), Time::millis(200)]);
        tuning.attempts_max = *dice.pick(&[1, 2, 6]);
        tuning
    }
}
