//! What a person sees: one line for each mutant, then each claim with the mutants that broke it.

use std::fmt::Write as _;

use super::{Trial, Tried};

const HEADS: [&str; 8] = ["mutant", "suite", "caught by", "also fell", "seeds", "time", "own tests", "shrunk to"];

/// The whole.
pub(super) fn render(trial: &Trial) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(trial.tried.iter().map(row));
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(at, cell)| format!("{cell:<0$}", width(&rows, at)));
        let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    if trial.whole {
        let _ = writeln!(out, "\nclaim  broken by");
        for claim in &trial.claims {
            let red = trial.red(claim);
            let _ = writeln!(out, "{claim:<5}  {}: {}", red.len(), red.join(", "));
        }
    }
    let _ = write!(out, "\n{}", summary(trial));
    out
}

fn width(rows: &[[String; HEADS.len()]], at: usize) -> usize {
    rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)
}

fn row(tried: &Tried) -> [String; HEADS.len()] {
    let hunted = &tried.hunted;
    let named = tried.named();
    let other = hunted.fallen.iter().filter(|fallen| named.is_none_or(|named| named.claim != fallen.claim));
    let mut other: Vec<&str> = other.map(|fallen| fallen.claim.as_str()).collect();
    other.dedup();
    let caught = match named {
        Some(fallen) if hunted.ran => format!("{} (seed {})", fallen.claim, fallen.seed),
        Some(_) => "code not seen".to_owned(),
        None => "MISSED".to_owned(),
    };
    let survives = tried.survives.map_or("-", |survives| if survives { "pass" } else { "fail" });
    let shrunk = named.and_then(|fallen| fallen.shrunk);
    [
        tried.mutant.name.clone(),
        tried.mutant.suite.clone(),
        caught,
        if other.is_empty() { "-".to_owned() } else { other.join(" ") },
        hunted.seeds.to_string(),
        format!("{:.1} s", hunted.wall.as_secs_f64()),
        survives.to_owned(),
        shrunk.map_or("-".to_owned(), |[faults, operations, _]| format!("{faults} faults, {operations} operations")),
    ]
}

/// One mutant, as it was just tried.
pub(super) fn line(tried: &Tried) -> String {
    let [name, suite, caught, _, seeds, time, survives, _] = row(tried);
    format!("{name} [{suite}]: {caught}, {seeds} seeds in {time}, own tests {survives}")
}

fn summary(trial: &Trial) -> String {
    let all = trial.tried.len();
    let caught = trial.tried.iter().filter(|tried| tried.is_caught()).count();
    let survivors = trial.tried.iter().filter(|tried| tried.survives == Some(true)).count();
    let tested = trial.tried.iter().filter(|tried| tried.survives.is_some()).count();
    let tests = match tested {
        0 => "the engine's own tests were not run".to_owned(),
        tested => format!("the engine's own tests pass with {survivors} of {tested}"),
    };
    format!("{caught} of {all} mutants caught; {tests}; {} s in all", trial.wall.as_secs())
}
