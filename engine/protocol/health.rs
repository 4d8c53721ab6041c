//! Health checks: what is looked at every while, and when somebody should be told.
//!
//! Each check is done when it is due. One that fails, or takes too long, is a miss; some misses in a row raise an alert, once,
//! and the next check that goes well clears it. A single miss is no news: disks have bad moments.
//!
//! What holds: an alert of a check is raised only after `misses_max` misses in a row, and not again before it was cleared.

use stormproof_contract::Tick;

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Check {
    /// The log takes a frame and syncs it.
    Log,
    /// What lies in segments is what was written: a part of one of them, all in turn.
    Segments,
    /// The disk has room.
    Space,
}

impl Check {
    /// All of them.
    pub const ALL: [Check; 3] = [Check::Log, Check::Segments, Check::Space];
}

/// How often, and how patiently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// From one round of checks to the next; 0: there are none.
    pub every: Tick,
    /// A check that takes longer is a miss.
    pub timeout: Tick,
    /// So many in a row raise an alert; 1 or more.
    pub misses_max: u32,
}

/// See the file's description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    config: Config,
    /// When the next round is due; `None`: never.
    due: Option<Tick>,
    /// Misses in a row, of each check.
    misses: [u32; Check::ALL.len()],
}

/// What happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// Is a round due?
    Look(Tick),
    /// A check was done.
    Done {
        /// Which.
        check: Check,
        /// Whether all was as it should be.
        well: bool,
        /// How long it took.
        took: Tick,
    },
}

/// What it wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Do this check. Answer: [`Input::Done`].
    Do(Check),
    /// Tell somebody: it has missed too often.
    Alert(Check),
    /// Tell them that it is over.
    Clear(Check),
}

impl Default for Config {
    fn default() -> Self {
        Config { every: Tick::secs(30), timeout: Tick::secs(5), misses_max: 3 }
    }
}

impl Health {
    /// All is well, as of this time.
    pub fn new(config: Config, now: Tick) -> Health {
        assert!(config.misses_max > 0, "an alert takes a miss");
        let due = (config.every > Tick(0)).then(|| now + config.every);
        Health { config, due, misses: [0; Check::ALL.len()] }
    }

    /// When the next round is due.
    pub fn due(&self) -> Option<Tick> {
        self.due
    }

    /// One step.
    pub fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        let alert_at = self.config.misses_max;
        match input {
            Input::Look(now) => {
                if self.due.is_some_and(|due| due <= now) {
                    self.due = Some(now + self.config.every);
                    out.extend(Check::ALL.map(Output::Do));
                }
            }
            Input::Done { check, well, took } if well && took <= self.config.timeout => {
                let misses = std::mem::take(&mut self.misses[check as usize]);
                out.extend((misses >= alert_at).then_some(Output::Clear(check)));
            }
            Input::Done { check, .. } => {
                let misses = &mut self.misses[check as usize];
                *misses = misses.saturating_add(1);
                out.extend((*misses == alert_at).then_some(Output::Alert(check)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: Config = Config { every: Tick::secs(30), timeout: Tick::secs(5), misses_max: 3 };

    fn done(health: &mut Health, check: Check, well: bool, secs: u64) -> Vec<Output> {
        let mut out = Vec::new();
        health.step(Input::Done { check, well, took: Tick::secs(secs) }, &mut out);
        out
    }

    #[test]
    fn a_round_is_due_every_while() {
        let mut health = Health::new(CONFIG, Tick(0));
        let mut rounds = Vec::new();
        for secs in [0, 29, 30, 31, 59, 60, 200, 229, 230] {
            let mut out = Vec::new();
            health.step(Input::Look(Tick::secs(secs)), &mut out);
            if !out.is_empty() {
                assert_eq!(out, Check::ALL.map(Output::Do));
                rounds.push(secs);
            }
        }
        assert_eq!(rounds, [30, 60, 200, 230]);
        let never = Health::new(Config { every: Tick(0), ..CONFIG }, Tick(0));
        assert_eq!(never.due(), None);
    }

    #[test]
    fn three_misses_in_a_row_raise_one_alert_and_a_success_clears_it() {
        let mut health = Health::new(CONFIG, Tick(0));
        let log = Check::Log;
        for (well, secs, expected) in [
            (false, 0, None),
            (false, 0, None),
            (true, 5, None),
            (false, 0, None),
            (true, 6, None),
            (false, 0, Some(Output::Alert(log))),
            (false, 0, None),
            (true, 0, Some(Output::Clear(log))),
            (true, 0, None),
            (false, 0, None),
        ] {
            assert_eq!(done(&mut health, log, well, secs), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn checks_miss_each_for_itself() {
        let mut health = Health::new(CONFIG, Tick(0));
        for check in [Check::Log, Check::Segments, Check::Log, Check::Segments, Check::Space] {
            assert_eq!(done(&mut health, check, false, 0), []);
        }
        assert_eq!(done(&mut health, Check::Segments, false, 0), [Output::Alert(Check::Segments)]);
    }
}
