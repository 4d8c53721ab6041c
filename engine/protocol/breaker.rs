//! A circuit breaker: after some failures in a row nothing is tried for a while, then a few calls try whether it is over.
//!
//! | state | calls | goes on to |
//! |---|---|---|
//! | closed | all are admitted | open, when `failures_max` have failed in a row |
//! | open | none is | half-open, at the first that asks when `open_for` has passed |
//! | half-open | a few at a time | closed, after `successes_needed`; open, at any failure |
//!
//! An answer counts only in the state in which its call was admitted: a call that was slow to fail says nothing about the
//! trial that has begun since. So each call gets a [`Ticket`], which its end hands back. An error that says nothing about
//! the store (the client's own mistake) is [`Input::Excluded`]: no failure, and no success.
//!
//! What holds: between opening and `open_for` later no call is admitted; in a trial never more than `trials_max` are under
//! way; a trial whose calls never end is given up after as long, and begun again, so that nobody is refused for ever.

use stormproof_contract::Tick;

/// How a breaker behaves. All numbers are 1 or more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// So many failures in a row open it.
    pub failures_max: u32,
    /// How long it stays open.
    pub open_for: Tick,
    /// So many calls may be under way while it is half-open.
    pub trials_max: u32,
    /// So many successes close it again.
    pub successes_needed: u32,
}

/// See the file's description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breaker {
    config: Config,
    state: State,
    /// Grows with each change of state.
    era: u64,
}

/// In which state a breaker is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// All is well.
    Closed {
        /// How many calls have failed since the last success.
        failures: u32,
    },
    /// Nothing is tried.
    Open {
        /// Up to when.
        until: Tick,
    },
    /// It is being tried whether it is over.
    HalfOpen {
        /// Calls under way.
        trying: u32,
        /// Calls that went well.
        successes: u32,
        /// When calls that have not ended are given up.
        until: Tick,
    },
}

/// A call that was admitted. To be handed back when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket(u64);

/// What happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// May a call be made now? Answer: [`Output::Admit`] or [`Output::Refuse`].
    Ask(Tick),
    /// A call went well.
    Succeeded(Ticket),
    /// A call failed, at this time.
    Failed(Ticket, Tick),
    /// A call ended in an error that says nothing about what is guarded.
    Excluded(Ticket),
}

/// What it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// The call may be made.
    Admit(Ticket),
    /// It may not.
    Refuse,
    /// The state has changed to this one, which somebody should hear of.
    Changed(State),
}

impl Default for Config {
    fn default() -> Self {
        Config { failures_max: 5, open_for: Tick::secs(60), trials_max: 2, successes_needed: 2 }
    }
}

impl Breaker {
    /// A closed one.
    pub fn new(config: Config) -> Breaker {
        let Config { failures_max, open_for: _, trials_max, successes_needed } = config;
        assert!(failures_max > 0 && trials_max > 0 && successes_needed > 0, "a breaker's numbers are 1 or more");
        Breaker { config, state: State::Closed { failures: 0 }, era: 0 }
    }

    /// In which state it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// One step.
    pub fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        use {Input as I, State as S};
        match (self.state, input) {
            // It was admitted before the last change, and tells of a time that is over.
            (_, I::Succeeded(ticket) | I::Failed(ticket, _) | I::Excluded(ticket)) if ticket.0 != self.era => {}

            (S::Closed { .. }, I::Ask(_)) => out.push(Output::Admit(Ticket(self.era))),
            (S::Closed { .. }, I::Succeeded(_)) => self.state = S::Closed { failures: 0 },
            (S::Closed { failures }, I::Failed(_, now)) if failures + 1 >= self.config.failures_max => {
                self.open(now, out);
            }
            (S::Closed { failures }, I::Failed(..)) => self.state = S::Closed { failures: failures + 1 },
            (S::Closed { .. }, I::Excluded(_)) => {}

            (S::Open { until }, I::Ask(now)) if now < until => out.push(Output::Refuse),
            (S::Open { .. }, I::Ask(now)) => self.begin_trial(now, out),
            (S::Open { .. }, I::Succeeded(_) | I::Failed(..) | I::Excluded(_)) => {
                unreachable!("no call is admitted while it is open")
            }

            (S::HalfOpen { trying, until, .. }, I::Ask(now)) if trying >= self.config.trials_max => {
                if now < until {
                    out.push(Output::Refuse);
                } else {
                    self.begin_trial(now, out);
                }
            }
            (S::HalfOpen { trying, successes, until }, I::Ask(_)) => {
                self.state = S::HalfOpen { trying: trying + 1, successes, until };
                out.push(Output::Admit(Ticket(self.era)));
            }
            (S::HalfOpen { successes, .. }, I::Succeeded(_)) if successes + 1 >= self.config.successes_needed => {
                self.change(S::Closed { failures: 0 }, out);
            }
            (S::HalfOpen { trying, successes, until }, I::Succeeded(_)) => {
                self.state = S::HalfOpen { trying: trying - 1, successes: successes + 1, until };
            }
            (S::HalfOpen { .. }, I::Failed(_, now)) => self.open(now, out),
            (S::HalfOpen { trying, successes, until }, I::Excluded(_)) => {
                self.state = S::HalfOpen { trying: trying - 1, successes, until };
            }
        }
    }

    fn begin_trial(&mut self, now: Tick, out: &mut Vec<Output>) {
        self.change(State::HalfOpen { trying: 1, successes: 0, until: now + self.config.open_for }, out);
        out.push(Output::Admit(Ticket(self.era)));
    }

    fn open(&mut self, now: Tick, out: &mut Vec<Output>) {
        self.change(State::Open { until: now + self.config.open_for }, out);
    }

    fn change(&mut self, state: State, out: &mut Vec<Output>) {
        self.state = state;
        self.era += 1;
        out.push(Output::Changed(state));
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Plays calls and their ends: `a` asks, `s`, `f` and `x` end the oldest call under way, `.` lets ten seconds pass.
    fn transcript(story: &str) -> String {
        let mut breaker = Breaker::new(Config::default());
        let (mut now, mut under_way, mut lines) = (Tick(0), std::collections::VecDeque::new(), Vec::new());
        for word in story.split_whitespace() {
            let mut said = Vec::new();
            for act in word.chars() {
                let mut out = Vec::new();
                let mut oldest = || under_way.pop_front().expect("a call under way");
                let input = match act {
                    'a' => Input::Ask(now),
                    's' => Input::Succeeded(oldest()),
                    'f' => Input::Failed(oldest(), now),
                    'x' => Input::Excluded(oldest()),
                    '.' => {
                        now = now + Tick::secs(10);
                        continue;
                    }
                    other => panic!("`{other}` is no act"),
                };
                breaker.step(input, &mut out);
                for output in out {
                    said.push(match output {
                        Output::Admit(ticket) => {
                            under_way.push_back(ticket);
                            "admit".to_owned()
                        }
                        Output::Refuse => "refuse".to_owned(),
                        Output::Changed(State::Closed { .. }) => "CLOSED".to_owned(),
                        Output::Changed(State::Open { until }) => format!("OPEN until {} s", until.0 / Tick::secs(1).0),
                        Output::Changed(State::HalfOpen { .. }) => "HALF-OPEN".to_owned(),
                    });
                }
            }
            lines.push(format!("{word} -> {}", said.join(", ")));
        }
        lines.join("\n")
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_two_successes_after_a_minute_close_it() {
        assert_eq!(
            transcript("af af af af af a ..... a . a s a s a"),
            "af -> admit\n\
             af -> admit\n\
             af -> admit\n\
             af -> admit\n\
             af -> admit, OPEN until 60 s\n\
             a -> refuse\n\
             ..... -> \n\
             a -> refuse\n\
             . -> \n\
             a -> HALF-OPEN, admit\n\
             s -> \n\
             a -> admit\n\
             s -> CLOSED\n\
             a -> admit"
        );
    }

    #[test]
    fn a_success_begins_the_count_again_and_an_excluded_error_does_not_count() {
        let story = transcript("af af af af as af af af af ax ax af");
        assert_eq!(story.matches("OPEN").count(), 1);
        assert!(story.ends_with("af -> admit, OPEN until 60 s"), "{story}");
    }

    #[test]
    fn a_trial_admits_two_at_a_time_and_any_failure_ends_it() {
        assert_eq!(
            transcript("afafafafaf ...... aaa x a f aa ...... a"),
            "afafafafaf -> admit, admit, admit, admit, admit, OPEN until 60 s\n\
             ...... -> \n\
             aaa -> HALF-OPEN, admit, admit, refuse\n\
             x -> \n\
             a -> admit\n\
             f -> OPEN until 120 s\n\
             aa -> refuse, refuse\n\
             ...... -> \n\
             a -> HALF-OPEN, admit"
        );
    }

    #[test]
    fn a_call_of_a_trial_that_went_well_makes_room_for_another() {
        let story = transcript("afafafafaf ...... a s aaa");
        assert!(story.ends_with("aaa -> admit, admit, refuse"), "{story}");
    }

    #[test]
    fn who_was_admitted_before_the_last_change_is_not_heard() {
        // Six calls under way; five fail. The sixth fails in the middle of the trial, and then a call of the trial succeeds.
        let story = transcript("aaaaaa fffff ...... a f s");
        assert!(story.ends_with("a -> HALF-OPEN, admit\nf -> \ns -> "), "{story}");
    }

    #[test]
    fn a_trial_whose_calls_never_end_is_begun_again() {
        let story = transcript("afafafafaf ...... aaa ...... aa");
        assert!(
            story.ends_with("aaa -> HALF-OPEN, admit, admit, refuse\n...... -> \naa -> HALF-OPEN, admit, admit"),
            "{story}"
        );
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Ask,
        End { which: usize, how: u8 },
        Wait(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => Just(Act::Ask),
            4 => (any::<usize>(), 0..4_u8).prop_map(|(which, how)| Act::End { which, how }),
            1 => (0..90_u64).prop_map(Act::Wait),
        ]
    }

    proptest! {
        /// Against a history kept in plain: who was admitted when, and what has failed in a row.
        #[test]
        fn it_admits_nobody_while_open_and_few_while_it_tries(acts in vec(act(), 0..200)) {
            let config = Config::default();
            let mut breaker = Breaker::new(config);
            let (mut now, mut under_way, mut opened_at) = (Tick(0), Vec::new(), None);
            let (mut in_a_row, mut trying) = (0, 0);
            for act in acts {
                let mut out = Vec::new();
                let was_closed = matches!(breaker.state(), State::Closed { .. });
                let was_trying = matches!(breaker.state(), State::HalfOpen { .. });
                match act {
                    Act::Wait(secs) => now = now + Tick::secs(secs),
                    Act::Ask => breaker.step(Input::Ask(now), &mut out),
                    Act::End { .. } if under_way.is_empty() => {}
                    Act::End { which, how } => {
                        let at = which % under_way.len();
                        let (ticket, era): (Ticket, u64) = under_way.swap_remove(at);
                        let counts = era == breaker.era;
                        trying -= u32::from(counts && was_trying);
                        if counts {
                            in_a_row = match how { 0 | 1 => in_a_row + 1, 2 => 0, _ => in_a_row };
                        }
                        breaker.step(match how {
                            0 | 1 => Input::Failed(ticket, now),
                            2 => Input::Succeeded(ticket),
                            _ => Input::Excluded(ticket),
                        }, &mut out);
                    }
                }
                for output in out {
                    match output {
                        Output::Admit(ticket) => {
                            prop_assert!(opened_at.is_none_or(|at: Tick| now >= at + config.open_for), "too early");
                            trying += u32::from(matches!(breaker.state(), State::HalfOpen { .. }));
                            prop_assert!(trying <= config.trials_max);
                            under_way.push((ticket, breaker.era));
                        }
                        Output::Refuse => prop_assert!(!was_closed, "refused while closed"),
                        Output::Changed(State::Open { .. }) => {
                            prop_assert!(in_a_row >= config.failures_max || was_trying, "opened too early");
                            (opened_at, trying) = (Some(now), 0);
                        }
                        Output::Changed(State::HalfOpen { .. }) => trying = 0,
                        Output::Changed(State::Closed { .. }) => (opened_at, trying, in_a_row) = (None, 0, 0),
                    }
                }
            }
        }
    }
}
