//! Case `damage`: what is on the disk is changed while no process runs, on copies of one directory.
//!
//! A copy is either refused, in words that name the file, or opened and whole. The last frame of the log is left alone:
//! where it ends is not written anywhere else, so damage to it is a torn tail, and what a torn tail held was never
//! promised to survive.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use stormproof_sim::world::dice::Dice;

use super::{
    cases::Run,
    lane::{Blow, Lane, Trouble},
};

/// How often each kind of damage is done.
const ROUNDS: u32 = 3;

/// What is done to a copy.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// One bit of a file is flipped.
    Flip(&'static str),
    /// A file is cut to half of what is written in it.
    Cut(&'static str),
    /// A file is removed.
    Remove(&'static str),
}

const DAMAGES: [Damage; 7] = [
    Damage::Flip("log"),
    Damage::Cut("log"),
    Damage::Flip("manifest"),
    Damage::Remove("manifest"),
    Damage::Flip("l1/"),
    Damage::Cut("l1/"),
    Damage::Remove("l1/"),
];

pub(super) fn script(run: &mut Run<'_>) -> Result<(), Trouble> {
    let setup = run.setup();
    run.lane(setup, |lane| {
        lane.live(&Blow::None)?;
        lane.live(&Blow::KillInStorm(Duration::from_millis(50)))?;
        for _ in 0..ROUNDS {
            DAMAGES.iter().try_for_each(|damage| hurt(lane, *damage))?;
        }
        Ok(())
    })?;
    if run.tally.faults.is_empty() {
        run.unproven.push("there was nothing to damage".into());
    }
    Ok(())
}

fn hurt(lane: &mut Lane<'_>, damage: Damage) -> Result<(), Trouble> {
    let copy = lane.copy()?;
    let Some(done) = damage.apply(&copy.join("node"), &mut lane.dice)? else { return Ok(()) };
    let refused = lane.open_damaged(&copy, &done)?;
    lane.count_fault(&format!("{damage:?}: {}", if refused { "refused" } else { "whole" }));
    fs::remove_dir_all(copy)?;
    Ok(())
}

impl Damage {
    /// Does it, and says what was done; `None` if there is no such file.
    fn apply(self, node: &Path, dice: &mut Dice) -> io::Result<Option<String>> {
        let (Damage::Flip(prefix) | Damage::Cut(prefix) | Damage::Remove(prefix)) = self;
        let files = files(node, prefix)?;
        if files.is_empty() {
            return Ok(None);
        }
        let path = dice.pick(&files);
        match self {
            Damage::Flip(_) => {
                let (offset, bit) = (dice.below(written(path)?.div_ceil(2)), dice.below(8));
                let file = File::options().read(true).write(true).open(path)?;
                let mut byte = [0];
                file.read_exact_at(&mut byte, offset)?;
                file.write_all_at(&[byte[0] ^ 1 << bit], offset)?;
                Ok(Some(format!("bit {bit} of byte {offset} of {} was flipped", path.display())))
            }
            Damage::Cut(_) => {
                let len = written(path)? / 2;
                File::options().write(true).open(path)?.set_len(len)?;
                Ok(Some(format!("{} was cut to {len} bytes", path.display())))
            }
            Damage::Remove(_) => {
                fs::remove_file(path)?;
                Ok(Some(format!("{} was removed", path.display())))
            }
        }
    }
}

/// The files of a node whose paths begin in this way and that hold something, in order.
fn files(node: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let (dir, prefix) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let mut found = Vec::new();
    for entry in fs::read_dir(node.join(dir))? {
        let entry = entry?;
        let named = entry.file_name().to_string_lossy().starts_with(prefix);
        if named && entry.file_type()?.is_file() && written(&entry.path())? > 0 {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Up to where a file holds anything but preallocated zeros.
fn written(path: &Path) -> io::Result<u64> {
    let bytes = fs::read(path)?;
    Ok(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1))
}
