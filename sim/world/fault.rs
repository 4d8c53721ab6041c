//! Faults as data: what goes wrong, where, when, for how long, and how likely.
//!
//! A plan lists its faults; nothing else in a simulated world fails by itself. A fault whose [`Trigger`] is met is
//! *active*: for the very event that met it, or for a while. It is **delivered** when it has changed what somebody
//! saw: an error was returned, a message was lost, a process died. A fault that was never delivered proves nothing.

use std::fmt;

use serde::{Deserialize, Serialize};
use stormproof_contract::DiskOp;

use super::{
    draw::{End, Ppm},
    span::Time,
};

/// What goes wrong. [`Fault::amount`] and [`Fault::lasting`] mean what is said here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    // Disk.
    /// Opening fails.
    OpenError,
    /// Reading fails.
    ReadError,
    /// Writing fails; none of it was taken.
    WriteError,
    /// Syncing a file fails. Its dirty pages are clean from then on without being durable.
    SyncError,
    /// Renaming fails; an odd `amount` means it was done all the same.
    RenameError,
    /// Removing fails.
    RemoveError,
    /// Listing a directory fails.
    ListError,
    /// Syncing a directory fails; an odd `amount` means it was done all the same.
    SyncDirError,
    /// The disk is full.
    NoSpace,
    /// A read gives less than was asked for.
    ShortRead,
    /// A write takes less than was given.
    ShortWrite,
    /// Each call takes `amount` longer.
    SlowDisk,
    /// One call hangs for `amount`.
    DiskStall,
    /// A write is acknowledged, and so is its sync, and it never reaches the disk.
    LostWrite,
    /// A write reaches the disk at another place of the same file.
    MisdirectedWrite,
    /// A write reaches the disk in part, although its sync was acknowledged.
    TornWrite,
    /// A bit of a file flips at rest.
    BitRot,
    /// A read returns what stands elsewhere in the file.
    MisdirectedRead,
    // Network.
    /// Messages are lost.
    Loss,
    /// Messages arrive twice, the second up to `amount` later.
    Duplicate,
    /// Messages are held back by up to `amount`, so that others overtake them.
    Reorder,
    /// Every message takes `amount` longer.
    Delay,
    /// A link carries `amount` bytes a second.
    Bandwidth,
    /// A bit of a message between nodes flips; a client's message, which carries a checksum, is lost.
    Corrupt,
    /// Messages in one direction are lost.
    PartitionOneWay,
    /// Messages in both directions are lost.
    PartitionTwoWay,
    /// One node is cut off from all others.
    Isolate,
    /// A link is cut and whole in turn, changing each `amount`.
    Flapping,
    /// The nodes named by the bits of `amount` are cut off from the others.
    Split,
    /// What one end sends is lost until the other end sends something.
    HalfOpen,
    /// Replies to clients are lost.
    LostReply,
    // Nodes, jobs, machines.
    /// A process is killed; the page cache survives.
    Kill,
    /// A running job of the node is killed.
    JobKill,
    /// A process is killed, and its jobs live on.
    JobOrphan,
    /// A machine loses power: what was synced survives, and a legal choice of the rest.
    PowerLoss,
    /// A machine is lost with its disk, and replaced by an empty one.
    HostLoss,
    /// A process stands still for `lasting`.
    Pause,
    /// A process is killed in each of its next `amount` boots.
    RestartLoop,
    /// A machine's wall clock is off by `amount`.
    ClockSkew,
    /// A machine's clocks run faster by `amount` parts of a million.
    ClockDrift,
    /// A machine's wall clock leaps forward by `amount`.
    ClockJump,
}

impl FaultKind {
    /// Whether the disk calls something durable that it never had.
    pub fn is_lie(self) -> bool {
        matches!(self, FaultKind::LostWrite | FaultKind::MisdirectedWrite | FaultKind::TornWrite)
    }

    /// Every kind there is.
    pub const ALL: [FaultKind; 41] = {
        #[allow(clippy::enum_glob_use, reason = "a list of all that there is")]
        use FaultKind::*;
        [
            OpenError,
            ReadError,
            WriteError,
            SyncError,
            RenameError,
            RemoveError,
            ListError,
            SyncDirError,
            NoSpace,
            ShortRead,
            ShortWrite,
            SlowDisk,
            DiskStall,
            LostWrite,
            MisdirectedWrite,
            TornWrite,
            BitRot,
            MisdirectedRead,
            Loss,
            Duplicate,
            Reorder,
            Delay,
            Bandwidth,
            Corrupt,
            PartitionOneWay,
            PartitionTwoWay,
            Isolate,
            Flapping,
            Split,
            HalfOpen,
            LostReply,
            Kill,
            JobKill,
            JobOrphan,
            PowerLoss,
            HostLoss,
            Pause,
            RestartLoop,
            ClockSkew,
            ClockDrift,
            ClockJump,
        ]
    };

    /// The name used in plans and reports, and what the fault does.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            FaultKind::OpenError => ("open_error", "opening a file fails with EIO"),
            FaultKind::ReadError => ("read_error", "reading fails with EIO"),
            FaultKind::WriteError => ("write_error", "writing fails with EIO, nothing was taken"),
            FaultKind::SyncError => ("sync_error", "a sync fails with EIO; dirty pages are clean and not durable"),
            FaultKind::RenameError => ("rename_error", "a rename fails with EIO, done or not"),
            FaultKind::RemoveError => ("remove_error", "a remove fails with EIO"),
            FaultKind::ListError => ("list_error", "listing a directory fails with EIO"),
            FaultKind::SyncDirError => ("sync_dir_error", "a directory sync fails with EIO, done or not"),
            FaultKind::NoSpace => ("no_space", "the disk is full"),
            FaultKind::ShortRead => ("short_read", "a read gives less than was asked for"),
            FaultKind::ShortWrite => ("short_write", "a write takes less than was given"),
            FaultKind::SlowDisk => ("slow_disk", "every disk call takes longer"),
            FaultKind::DiskStall => ("disk_stall", "one disk call hangs"),
            FaultKind::LostWrite => ("lost_write", "an acknowledged and synced write never reaches the disk"),
            FaultKind::MisdirectedWrite => ("misdirected_write", "a write reaches the disk at another offset"),
            FaultKind::TornWrite => ("torn_write", "a synced write reaches the disk in part"),
            FaultKind::BitRot => ("bit_rot", "a bit flips at rest"),
            FaultKind::MisdirectedRead => ("misdirected_read", "a read returns bytes of another offset"),
            FaultKind::Loss => ("loss", "messages are lost"),
            FaultKind::Duplicate => ("duplicate", "messages arrive twice"),
            FaultKind::Reorder => ("reorder", "messages overtake one another"),
            FaultKind::Delay => ("delay", "messages take longer"),
            FaultKind::Bandwidth => ("bandwidth", "a link carries few bytes a second"),
            FaultKind::Corrupt => ("corrupt", "a bit of a message flips"),
            FaultKind::PartitionOneWay => ("partition_one_way", "messages in one direction are lost"),
            FaultKind::PartitionTwoWay => ("partition_two_way", "messages in both directions are lost"),
            FaultKind::Isolate => ("isolate", "a node is cut off from all other nodes"),
            FaultKind::Flapping => ("flapping", "a link is cut and whole in turn"),
            FaultKind::Split => ("split", "the nodes are split in two groups"),
            FaultKind::HalfOpen => ("half_open", "one end's messages are lost until the other end speaks"),
            FaultKind::LostReply => ("lost_reply", "replies to clients are lost"),
            FaultKind::Kill => ("kill", "a process is killed; the page cache survives"),
            FaultKind::JobKill => ("job_kill", "a job is killed, its node lives"),
            FaultKind::JobOrphan => ("job_orphan", "a process is killed, its jobs live on"),
            FaultKind::PowerLoss => {
                ("power_loss", "power is lost: the synced survives, and a legal choice of the rest")
            }
            FaultKind::HostLoss => ("host_loss", "a machine is lost with its disk"),
            FaultKind::Pause => ("pause", "a process stands still"),
            FaultKind::RestartLoop => ("restart_loop", "a process is killed while it boots, again and again"),
            FaultKind::ClockSkew => ("clock_skew", "a wall clock is wrong"),
            FaultKind::ClockDrift => ("clock_drift", "a machine's clocks run too fast"),
            FaultKind::ClockJump => ("clock_jump", "a wall clock leaps"),
        }
    }

    /// Whether it ends the life of a process.
    pub fn is_death(self) -> bool {
        super::core::Death::of(self).is_some()
    }

    /// The name used in plans and reports.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// The disk call that this kind makes fail or lie; `None` where it concerns all of them, or none.
    pub(crate) fn disk_op(self) -> Option<DiskOp> {
        match self {
            FaultKind::OpenError => Some(DiskOp::Open),
            FaultKind::ReadError | FaultKind::ShortRead | FaultKind::MisdirectedRead => Some(DiskOp::Read),
            FaultKind::WriteError
            | FaultKind::ShortWrite
            | FaultKind::LostWrite
            | FaultKind::MisdirectedWrite
            | FaultKind::TornWrite => Some(DiskOp::Write),
            FaultKind::SyncError => Some(DiskOp::Sync),
            FaultKind::RenameError => Some(DiskOp::Rename),
            FaultKind::RemoveError => Some(DiskOp::Remove),
            FaultKind::ListError => Some(DiskOp::List),
            FaultKind::SyncDirError => Some(DiskOp::SyncDir),
            _ => None,
        }
    }

    /// Which part of the world acts on it.
    pub fn realm(self) -> Realm {
        match self {
            FaultKind::OpenError
            | FaultKind::ReadError
            | FaultKind::WriteError
            | FaultKind::SyncError
            | FaultKind::RenameError
            | FaultKind::RemoveError
            | FaultKind::ListError
            | FaultKind::SyncDirError
            | FaultKind::NoSpace
            | FaultKind::ShortRead
            | FaultKind::ShortWrite
            | FaultKind::SlowDisk
            | FaultKind::DiskStall
            | FaultKind::LostWrite
            | FaultKind::MisdirectedWrite
            | FaultKind::TornWrite
            | FaultKind::MisdirectedRead => Realm::Disk,
            FaultKind::Loss
            | FaultKind::Duplicate
            | FaultKind::Reorder
            | FaultKind::Delay
            | FaultKind::Bandwidth
            | FaultKind::Corrupt
            | FaultKind::PartitionOneWay
            | FaultKind::PartitionTwoWay
            | FaultKind::Isolate
            | FaultKind::Flapping
            | FaultKind::Split
            | FaultKind::HalfOpen
            | FaultKind::LostReply => Realm::Network,
            FaultKind::BitRot
            | FaultKind::Kill
            | FaultKind::JobKill
            | FaultKind::JobOrphan
            | FaultKind::PowerLoss
            | FaultKind::HostLoss
            | FaultKind::Pause
            | FaultKind::RestartLoop
            | FaultKind::ClockSkew
            | FaultKind::ClockDrift
            | FaultKind::ClockJump => Realm::Deed,
        }
    }
}

/// Which part of the world acts on a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Realm {
    /// The disk calls that follow.
    Disk,
    /// The messages that follow.
    Network,
    /// It is done on the spot, once.
    Deed,
}

/// One fault of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Its number, which draws and reports name it by. Removing another fault does not change it.
    pub id: u32,
    /// What goes wrong.
    pub kind: FaultKind,
    /// To whom.
    pub on: Target,
    /// For disk faults: which files, `*` standing for anything; all of them where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When.
    pub at: Trigger,
    /// For how long; once, where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Time>,
    /// While it lasts, how likely it strikes each time; always, where it is absent.
    #[serde(default = "always", skip_serializing_if = "is_always")]
    pub chance: Ppm,
    /// How much; see [`FaultKind`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub amount: u64,
}

/// Whom a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Whoever it can.
    All,
    /// One node (its messages, its disk, its process), or its machine for faults of machines.
    Node(u32),
    /// Messages from one node to another.
    Link {
        /// The sender.
        from: u32,
        /// The receiver.
        to: u32,
    },
}

/// When a fault begins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// At a time since the start of the run.
    Time(Time),
    /// When a node of the target passes a named point for the `hit`-th time, counted from 1.
    Point {
        /// The point.
        name: String,
        /// Which time.
        hit: u32,
    },
    /// At the `nth` disk call of the target that matches, counted from 1.
    Call {
        /// Calls of this kind; of any kind where it is absent.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "op_name")]
        op: Option<DiskOp>,
        /// Calls on these paths, `*` standing for anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        /// Which of them.
        nth: u32,
        /// For deaths: after the call took effect, rather than before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        after: bool,
    },
    /// At the `nth` disk call or point after a point was passed for the `hit`-th time: before it takes effect, or after.
    Beyond {
        /// The point.
        name: String,
        /// Which time.
        hit: u32,
        /// How many calls later, counted from 1.
        nth: u32,
        /// For deaths: after the call took effect, rather than before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        after: bool,
    },
    /// Right after the `nth` effect (reply, message, job) of the target left, counted from 1.
    Effect {
        /// Which effect.
        nth: u32,
    },
}

impl Fault {
    /// A fault that strikes once, whoever meets its trigger.
    pub fn new(id: u32, kind: FaultKind, at: Trigger) -> Self {
        Fault { id, kind, on: Target::All, path: None, at, lasting: None, chance: always(), amount: 0 }
    }

    /// The same, on somebody in particular.
    #[must_use]
    pub fn on(mut self, target: Target) -> Self {
        self.on = target;
        self
    }

    /// The same, on these files only.
    #[must_use]
    pub fn path(mut self, glob: &str) -> Self {
        self.path = Some(glob.into());
        self
    }

    /// The same, for a while, striking with a certain chance each time.
    #[must_use]
    pub fn lasting(mut self, time: Time, chance: Ppm) -> Self {
        self.lasting = Some(time);
        self.chance = chance;
        self
    }

    /// The same, by this much.
    #[must_use]
    pub fn amount(mut self, amount: u64) -> Self {
        self.amount = amount;
        self
    }
}

impl fmt::Display for Fault {
    /// `power_loss on n0, at step 3 behind commit.begin (passing 2)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.name())?;
        match self.on {
            Target::All => {}
            Target::Node(node) => write!(f, " on n{node}")?,
            Target::Link { from, to } => write!(f, " on n{from}>n{to}")?,
        }
        if let Some(path) = &self.path {
            write!(f, " of {path}")?;
        }
        write!(f, ", {}", self.at)?;
        if let Some(time) = self.lasting {
            write!(f, ", for {time}")?;
        }
        if self.chance != always() {
            write!(f, ", with a chance of {}%", f64::from(self.chance.0) / 10_000.0)?;
        }
        if self.amount != 0 {
            write!(f, ", amount {}", self.amount)?;
        }
        Ok(())
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |after: &bool| if *after { ", once it took effect" } else { "" };
        match self {
            Trigger::Time(time) => write!(f, "{time} into the run"),
            Trigger::Point { name, hit } => write!(f, "at {name} (passing {hit})"),
            Trigger::Call { op, path, nth, after: late } => {
                let op = op.map_or("disk", DiskOp::name);
                let path = path.as_deref().map(|path| format!(" on {path}")).unwrap_or_default();
                write!(f, "at {op} call {nth}{path}{}", after(late))
            }
            Trigger::Beyond { name, hit, nth, after: late } => {
                write!(f, "at step {nth} behind {name} (passing {hit}){}", after(late))
            }
            Trigger::Effect { nth } => write!(f, "after effect {nth}"),
        }
    }
}

impl Target {
    /// Whether a node is meant.
    pub(crate) fn node(self, node: u32) -> bool {
        match self {
            Target::All => true,
            Target::Node(n) => n == node,
            Target::Link { from, to } => from == node || to == node,
        }
    }

    /// Whether a message is meant. A node's messages are those it sends and those it is sent.
    pub(crate) fn link(self, from: End, to: End) -> bool {
        match self {
            Target::All => true,
            Target::Node(n) => from == End::Node(n) || to == End::Node(n),
            Target::Link { from: a, to: b } => from == End::Node(a) && to == End::Node(b),
        }
    }
}

fn always() -> Ppm {
    Ppm(1_000_000)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_always(chance: &Ppm) -> bool {
    *chance == always()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(amount: &u64) -> bool {
    *amount == 0
}

/// Whether a path matches a pattern in which `*` stands for any run of characters.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == path };
    let Some(mut left) = path.strip_prefix(head) else { return false };
    loop {
        if matches(rest, left) {
            return true;
        }
        let mut chars = left.chars();
        if chars.next().is_none() {
            return false;
        }
        left = chars.as_str();
    }
}

/// Disk calls go by their names in plans.
mod op_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use stormproof_contract::DiskOp;

    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(op: &Option<DiskOp>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(op.map_or("any", DiskOp::name))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DiskOp>, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = DiskOp::ALL.into_iter().find(|op| op.name() == name);
        known.map(Some).ok_or_else(|| D::Error::custom(format!("`{name}` is no disk call")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, path) in [("*", ""), ("wal*", "wal.1"), ("l1/*.tmp", "l1/delta.3.tmp"), ("*a*b", "xaab")] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [("", "a"), ("wal", "wal.1"), ("*.tmp", "a.tmpx"), ("a*b", "ac")] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn every_kind_is_listed_once_under_its_own_name() {
        let mut names: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FaultKind::ALL.len());
        for kind in FaultKind::ALL {
            let toml = toml::Value::try_from(kind).unwrap();
            assert_eq!(toml.as_str(), Some(kind.name()));
        }
    }
}
