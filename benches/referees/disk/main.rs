//! The disk model against the one of turmoil-fs, on random calls.
//!
//! Without a crash both must give the same answers and show the same files. Then the power fails: what turmoil-fs is
//! left with must be among the states that our profile `weakest` allows. The other direction is not asked: turmoil-fs
//! leaves one state where ours allows many.

mod both;
mod crash;
mod ground;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, env, process::ExitCode, time::Instant};

use stormproof_sim::world::dice::Dice;

use both::{Answer, Model, Ours, Theirs};
use ground::{Call, Ground, Writes};

const SEEDS: u64 = 4000;
const CALLS_MAX: u64 = 120;

/// What was compared.
#[derive(Default)]
struct Tally {
    calls: u64,
    refused: u64,
    /// Names that had lost something in the crash.
    changed_by_crash: u64,
    left_out: BTreeMap<&'static str, u64>,
}

fn main() -> ExitCode {
    let seeds = match env::args().nth(1).map(|seeds| seeds.parse()) {
        None => SEEDS,
        Some(Ok(seeds)) => seeds,
        Some(Err(_)) => {
            eprintln!("usage: referee-disk [SEEDS]");
            return ExitCode::from(2);
        }
    };
    let (begun, mut tally) = (Instant::now(), Tally::default());
    for seed in 0..seeds {
        let mut asked = Vec::new();
        if let Err(difference) = trial(seed, &mut asked, &mut tally) {
            asked.iter().for_each(|call| eprintln!("{call:?}"));
            eprintln!("seed {seed}, after the calls above: {difference}");
            return ExitCode::FAILURE;
        }
    }
    let Tally { calls, refused, changed_by_crash, left_out } = tally;
    println!(
        r#"{{"program":"turmoil-fs","seeds":{seeds},"calls":{calls},"refused":{refused},"changed_by_crash":{changed_by_crash},"wall_ms":{}}}"#,
        begun.elapsed().as_millis()
    );
    for (reason, count) in left_out {
        eprintln!("left out {count}: {reason}");
    }
    ExitCode::SUCCESS
}

/// One life of both: calls, a look at everything, a crash, and a look at what is left.
fn trial(seed: u64, asked: &mut Vec<Call>, tally: &mut Tally) -> Result<(), String> {
    let mut dice = Dice::new(seed, 0);
    // turmoil-fs loses all that is not synced, or has written back some files on its own, or keeps a part of writes.
    let fs = turmoil_fs::Fs::builder().seed(seed);
    let (fs, writes) = match seed % 3 {
        0 => (fs, Writes::Any),
        1 => (fs.sync_probability(0.3), Writes::Any),
        _ => (fs.block_size(4096), Writes::Aligned),
    };
    let (mut ours, mut theirs) = (Ours::new(), Theirs(fs.build()));
    let mut ground = Ground::default();
    let count = dice.between(1, CALLS_MAX) as usize;
    let drawn = std::iter::repeat_with(|| ground::draw(&mut dice, writes)).take(count);
    for call in ground::FIRST.into_iter().chain(drawn) {
        if let Err(reason) = ground.allows(&call) {
            *tally.left_out.entry(reason).or_default() += 1;
            continue;
        }
        let (mine, other) = (ours.ask(&call), theirs.ask(&call));
        asked.push(call.clone());
        if mine != other {
            return Err(format!("{call:?}: ours {}, turmoil-fs {}", mine.in_words(), other.in_words()));
        }
        tally.calls += 1;
        match mine {
            Answer::Failed(_) => tally.refused += 1,
            _ => ground.done(&call),
        }
    }
    compare_and_crash(&mut ours, &mut theirs, tally)
}

fn compare_and_crash(ours: &mut Ours, theirs: &mut Theirs, tally: &mut Tally) -> Result<(), String> {
    let before = ours.image();
    both::same(&before, &theirs.image()).map_err(|difference| format!("before the crash: {difference}"))?;
    theirs.0.crash();
    let left = theirs.image();
    if !crash::can_leave(&ours.0, &left) {
        let difference = both::same(&before, &left);
        return Err(format!("`weakest` does not allow what turmoil-fs shows after the crash: {difference:?}"));
    }
    tally.changed_by_crash += before.iter().filter(|(path, bytes)| left.get(*path) != Some(*bytes)).count() as u64;
    Ok(())
}
