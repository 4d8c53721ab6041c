//! Faults at named places of a real process.
//!
//! Every [`Disk::point`](stormproof_contract::Disk::point) of a node on a [`RealDisk`](super::RealDisk) is a failpoint
//! of that name, and every kind of disk call one called `disk.` and the call's name: `disk.sync`, `disk.rename`. They
//! fire before the call, which then does not happen. The environment says which, in the syntax of the `fail` crate:
//!
//! ```text
//! FAILPOINTS='commit.decide.log_synced=return(kill)'          die there, the first time
//! FAILPOINTS='disk.sync=3*off->1*return(eio)'                 the fourth sync fails, all others work
//! FAILPOINTS='disk.rename=return(eio);disk.read=5%sleep(20)'  several
//! ```
//!
//! | action | what happens |
//! |---|---|
//! | `return(kill)` | the process aborts at once: no destructor runs, nothing is flushed that the kernel does not hold |
//! | `return(eio)` | the call fails as if the device had |
//! | `return(enospc)` | the call fails as if the disk were full |
//! | `sleep(ms)`, `pause`, `panic`, `off`, `n*`, `p%`, `->` | as `fail` has them |
//!
//! # Cost
//! Without the cargo feature `failpoints` none of this is compiled: a point is a call that returns `Ok(())`. With it,
//! a point that is not armed takes a shared lock and one lookup by name, some tens of nanoseconds, next to disk calls
//! of microseconds.
//!
//! The registry belongs to the process. It can therefore never steer a simulated run, of which a process holds many.

use std::env;

use stormproof_contract::{DiskError, DiskErrorKind, DiskOp, DiskResult};

/// The environment variable that arms failpoints.
pub const VARIABLE: &str = "FAILPOINTS";

/// Whether failpoints are compiled into this program.
pub const fn compiled_in() -> bool {
    fail::has_failpoints()
}

/// The failpoint of a kind of disk call; `None` for [`DiskOp::Point`], whose points have names of their own.
pub const fn of_call(op: DiskOp) -> Option<&'static str> {
    match op {
        DiskOp::Open => Some("disk.open"),
        DiskOp::Read => Some("disk.read"),
        DiskOp::Write => Some("disk.write"),
        DiskOp::Sync => Some("disk.sync"),
        DiskOp::SetLen => Some("disk.set_len"),
        DiskOp::Allocate => Some("disk.allocate"),
        DiskOp::Meta => Some("disk.meta"),
        DiskOp::Rename => Some("disk.rename"),
        DiskOp::SyncDir => Some("disk.sync_dir"),
        DiskOp::Mkdir => Some("disk.mkdir"),
        DiskOp::Link => Some("disk.link"),
        DiskOp::Clone => Some("disk.clone"),
        DiskOp::Remove => Some("disk.remove"),
        DiskOp::List => Some("disk.list"),
        DiskOp::Free => Some("disk.free"),
        DiskOp::Lock => Some("disk.lock"),
        DiskOp::Point => None,
    }
}

/// Why failpoints were not armed. Each would otherwise be a run that silently proves nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ArmError {
    /// The program was built without them.
    #[error("{VARIABLE} is set, but this program was built without the feature `failpoints`")]
    NotCompiledIn,
    /// Not `name=actions`.
    #[error("{VARIABLE}: `{found}` is not of the form name=actions")]
    Malformed {
        /// What stands there.
        found: String,
    },
    /// No point has that name.
    #[error("{VARIABLE}: no point is called `{name}`")]
    UnknownPoint {
        /// The name.
        name: String,
    },
    /// The actions make no sense.
    #[error("{VARIABLE}: `{name}`: {reason}")]
    BadActions {
        /// The point.
        name: String,
        /// What is wrong with them.
        reason: String,
    },
}

/// Arms what the environment variable [`VARIABLE`] asks for and says how many points that is. `points` are the names
/// that the hosted system can pass ([`System::points`](stormproof_contract::System::points)). Call it once, early in
/// `main`, in every process that is to fail; a job's child process is one of its own.
pub fn arm_from_env(points: &[&str]) -> Result<usize, ArmError> {
    match env::var(VARIABLE) {
        Ok(text) if !compiled_in() && !text.trim().is_empty() => Err(ArmError::NotCompiledIn),
        Ok(text) => arm(&text, points),
        Err(env::VarError::NotPresent) => Ok(0),
        Err(env::VarError::NotUnicode(text)) => Err(ArmError::Malformed { found: text.to_string_lossy().into() }),
    }
}

fn arm(text: &str, points: &[&str]) -> Result<usize, ArmError> {
    let is_point = |name: &str| points.contains(&name) || DiskOp::ALL.into_iter().any(|op| of_call(op) == Some(name));
    let mut armed = 0;
    for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, actions) = item.split_once('=').ok_or_else(|| ArmError::Malformed { found: item.into() })?;
        if !is_point(name) {
            return Err(ArmError::UnknownPoint { name: name.into() });
        }
        fail::cfg(name, actions).map_err(|reason| ArmError::BadActions { name: name.into(), reason })?;
        armed += 1;
    }
    Ok(armed)
}

/// Passes the failpoint of a disk call.
pub(super) fn before(op: DiskOp, path: &str) -> DiskResult<()> {
    match of_call(op) {
        Some(name) => strike(name).map_err(|kind| DiskError::new(op, path, kind)),
        None => Ok(()),
    }
}

/// Passes the failpoint called `name`.
pub(super) fn strike(name: &'static str) -> Result<(), DiskErrorKind> {
    match asked(name) {
        Some(action) => Err(obey(name, &action)),
        None => Ok(()),
    }
}

/// The argument of `return`, if that is what the failpoint is to do now.
fn asked(name: &str) -> Option<String> {
    fail::fail_point!(name, |action| Some(action.unwrap_or_default()));
    // Where failpoints are not compiled in, the macro is nothing at all.
    let _ = name;
    None
}

fn obey(name: &str, action: &str) -> DiskErrorKind {
    match action {
        "kill" => std::process::abort(),
        "eio" => DiskErrorKind::Io,
        "enospc" => DiskErrorKind::NoSpace,
        // Better a loud failure of another kind than a fault that was ordered and never came.
        _ => DiskErrorKind::Other(format!("failpoint `{name}`: return({action}) is none of kill, eio, enospc").into()),
    }
}
