//! Degradation: what becomes of writes while the disk cannot take them.
//!
//! | level | reads | writes |
//! |---|---|---|
//! | normal | all | are tried |
//! | read-only | all | are held in a queue, in the order of their arrival, as many as it takes; the rest is refused |
//! | in-memory | what is in memory; the rest is refused | as before |
//!
//! A [`Breaker`] counts the batches that fail. When it opens, the level is read-only. When its time has passed, the first of
//! the queue are tried as one batch, or, where the queue is empty, an empty one: is it over? The level is normal again once
//! the breaker is closed and the queue is empty, so that no write overtakes another that was held before it.
//!
//! In-memory is not a state of this machine: reads have a breaker of their own, and while it is not closed the node's level is that
//! one ([`NodeLevel::of`]), whatever becomes of writes.
//!
//! What holds: a write that is held leaves the queue by being tried with success, and by nothing else; a batch that fails
//! goes back to where it was; at most one batch is under way, and no other is tried before it has ended. The queue is in
//! memory: it dies with the process, as whoever is held is told.

use std::collections::VecDeque;

use stormproof_contract::Tick;

use super::breaker::{self, Breaker, State, Ticket};

/// How writes are held. All numbers are 1 or more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// When trying is worthwhile.
    pub breaker: breaker::Config,
    /// What is held at most.
    pub queue: QueueConfig,
}

/// Bounds of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueConfig {
    /// So many writes.
    pub writes_max: usize,
    /// What they weigh together, in bytes.
    pub bytes_max: usize,
    /// So many are tried at a time.
    pub drain_max: usize,
    /// As long as they weigh no more together, but for the first.
    pub drain_bytes_max: usize,
}

/// What becomes of writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// They are tried.
    Normal,
    /// They are held.
    ReadOnly,
}

/// How much the node can do, in all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NodeLevel {
    /// Everything.
    Normal,
    /// Reads are answered, writes are held.
    ReadOnly,
    /// The disk is not read, either: what is in memory is answered, and no more.
    InMemory,
}

impl NodeLevel {
    /// By what becomes of writes, and by the state of a breaker that hears how reads end.
    pub fn of(writes: Level, reads: State) -> NodeLevel {
        match (writes, reads) {
            (_, State::Open { .. } | State::HalfOpen { .. }) => NodeLevel::InMemory,
            (Level::ReadOnly, State::Closed { .. }) => NodeLevel::ReadOnly,
            (Level::Normal, State::Closed { .. }) => NodeLevel::Normal,
        }
    }
}

/// See the file's description. `T` is a write; a clone of it is expected to be cheap.
#[derive(Clone, Debug)]
pub struct Degrade<T> {
    config: Config,
    breaker: Breaker,
    level: Level,
    queue: VecDeque<Held<T>>,
    bytes: usize,
    trying: Option<Trial>,
}

#[derive(Clone, Debug)]
struct Held<T> {
    write: T,
    bytes: usize,
}

/// A batch of the queue's first that is under way.
#[derive(Clone, Copy, Debug)]
struct Trial {
    ticket: Ticket,
    writes: usize,
}

/// What happens to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input<T> {
    /// A write has arrived, of so many bytes.
    Arrived(T, usize),
    /// It is time for a batch of those that are held, if there is to be one.
    Boundary(Tick),
    /// A batch has become durable: the one that was to be tried or, at level normal, one of arrivals.
    Succeeded,
    /// A batch has come to nothing, and nothing of it will ever be found.
    Failed(Tick),
}

/// What it wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output<T> {
    /// The write may be part of the next batch.
    Join(T),
    /// The write is held, behind so many others.
    Held(usize),
    /// The write is refused: the queue is full.
    Full(T),
    /// These are to be tried as one batch: the queue's first. None: an empty batch is to be tried.
    Try(Vec<T>),
    /// The level has changed.
    Changed(Level),
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig { writes_max: 10_000, bytes_max: 64 << 20, drain_max: 100, drain_bytes_max: 2 << 20 }
    }
}

impl<T: Clone> Degrade<T> {
    /// At level normal.
    pub fn new(config: Config) -> Self {
        let QueueConfig { writes_max, bytes_max, drain_max, drain_bytes_max: _ } = config.queue;
        assert!(writes_max > 0 && bytes_max > 0 && drain_max > 0, "a queue's numbers are 1 or more");
        let (breaker, queue) = (Breaker::new(config.breaker), VecDeque::new());
        Degrade { config, breaker, level: Level::Normal, queue, bytes: 0, trying: None }
    }

    /// How much the node can do.
    pub fn level(&self) -> Level {
        self.level
    }

    /// In which state the breaker is.
    pub fn breaker(&self) -> State {
        self.breaker.state()
    }

    /// The writes that are held, in order.
    pub fn held(&self) -> impl Iterator<Item = &T> {
        self.queue.iter().map(|held| &held.write)
    }

    /// When the next [`Input::Boundary`] may come to something.
    pub fn due(&self) -> Option<Tick> {
        match (self.level, self.breaker.state()) {
            (Level::Normal, _) => None,
            (Level::ReadOnly, State::Open { until }) => Some(until),
            (Level::ReadOnly, State::HalfOpen { .. } | State::Closed { .. }) => Some(Tick(0)),
        }
    }

    /// One step.
    pub fn step(&mut self, input: Input<T>, out: &mut Vec<Output<T>>) {
        use {Input as I, Level as L};
        match (self.level, self.trying, input) {
            (L::Normal, None, I::Arrived(write, _)) => out.push(Output::Join(write)),
            (L::ReadOnly, _, I::Arrived(write, bytes)) => self.hold(write, bytes, out),

            // Nothing is held: arrivals are batches of their own. And a batch that had gathered before the level changed says
            // nothing about a trial.
            (L::Normal, None, I::Boundary(_)) | (L::ReadOnly, None, I::Succeeded | I::Failed(_)) => {}
            (L::ReadOnly, None, I::Boundary(now)) => self.try_next(now, out),
            (L::ReadOnly, Some(_), I::Boundary(_)) => unreachable!("one batch is tried at a time"),

            (L::Normal, None, I::Succeeded) => drop(self.tell(true, Tick(0))),
            (L::Normal, None, I::Failed(now)) => {
                if let Some(State::Open { .. }) = self.tell(false, now) {
                    self.change(L::ReadOnly, out);
                }
            }
            (L::ReadOnly, Some(trial), I::Succeeded) => {
                self.answer(breaker::Input::Succeeded(trial.ticket));
                self.trying = None;
                self.bytes -= self.queue.drain(..trial.writes).map(|held| held.bytes).sum::<usize>();
                if self.queue.is_empty() && matches!(self.breaker.state(), State::Closed { .. }) {
                    self.change(L::Normal, out);
                }
            }
            (L::ReadOnly, Some(trial), I::Failed(now)) => {
                self.answer(breaker::Input::Failed(trial.ticket, now));
                self.trying = None;
            }
            (L::Normal, Some(_), _) => unreachable!("only what is held is tried"),
        }
    }

    fn hold(&mut self, write: T, bytes: usize, out: &mut Vec<Output<T>>) {
        let QueueConfig { writes_max, bytes_max, .. } = self.config.queue;
        if self.queue.len() >= writes_max || self.bytes.saturating_add(bytes) > bytes_max {
            return out.push(Output::Full(write));
        }
        out.push(Output::Held(self.queue.len()));
        self.bytes += bytes;
        self.queue.push_back(Held { write, bytes });
    }

    fn try_next(&mut self, now: Tick, out: &mut Vec<Output<T>>) {
        let admitted = self.ask(now);
        let Some(ticket) = admitted else { return };
        let QueueConfig { drain_max, drain_bytes_max, .. } = self.config.queue;
        let mut bytes = 0_usize;
        let fits = |held: &&Held<T>| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(held.bytes);
            is_first || bytes <= drain_bytes_max
        };
        let writes: Vec<T> =
            self.queue.iter().take(drain_max).take_while(fits).map(|held| held.write.clone()).collect();
        self.trying = Some(Trial { ticket, writes: writes.len() });
        out.push(Output::Try(writes));
    }

    /// Tells the breaker of a batch of arrivals, and gives the state that it has changed to.
    fn tell(&mut self, well: bool, now: Tick) -> Option<State> {
        let ticket = self.ask(now).expect("a breaker that is closed admits every call");
        self.answer(if well { breaker::Input::Succeeded(ticket) } else { breaker::Input::Failed(ticket, now) })
    }

    fn ask(&mut self, now: Tick) -> Option<Ticket> {
        let mut said = Vec::new();
        self.breaker.step(breaker::Input::Ask(now), &mut said);
        said.into_iter().find_map(|output| match output {
            breaker::Output::Admit(ticket) => Some(ticket),
            breaker::Output::Refuse | breaker::Output::Changed(_) => None,
        })
    }

    fn answer(&mut self, ended: breaker::Input) -> Option<State> {
        let mut said = Vec::new();
        self.breaker.step(ended, &mut said);
        said.into_iter().find_map(|output| match output {
            breaker::Output::Changed(state) => Some(state),
            breaker::Output::Admit(_) | breaker::Output::Refuse => None,
        })
    }

    fn change(&mut self, level: Level, out: &mut Vec<Output<T>>) {
        self.level = level;
        out.push(Output::Changed(level));
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn small() -> Config {
        let queue = QueueConfig { writes_max: 5, bytes_max: 100, drain_max: 2, drain_bytes_max: 40 };
        Config { breaker: breaker::Config { failures_max: 2, ..breaker::Config::default() }, queue }
    }

    /// Plays a story: a letter is a write that arrives, `!` a batch that fails, `+` one that succeeds, `:` a boundary, `_`
    /// lets a minute pass.
    fn transcript(story: &str) -> String {
        let (mut machine, mut now, mut lines) = (Degrade::new(small()), Tick(0), Vec::new());
        for word in story.split_whitespace() {
            let mut said = Vec::new();
            for act in word.chars() {
                let input = match act {
                    '!' => Input::Failed(now),
                    '+' => Input::Succeeded,
                    ':' => Input::Boundary(now),
                    '_' => {
                        now = now + Tick::secs(60);
                        continue;
                    }
                    write => Input::Arrived(write, 10),
                };
                let mut out = Vec::new();
                machine.step(input, &mut out);
                said.extend(out.iter().map(|output| match output {
                    Output::Join(write) => format!("join {write}"),
                    Output::Held(ahead) => format!("held behind {ahead}"),
                    Output::Full(write) => format!("refuse {write}"),
                    Output::Try(writes) => format!("try [{}]", writes.iter().collect::<String>()),
                    Output::Changed(level) => format!("{level:?}"),
                }));
            }
            lines.push(format!("{word} -> {}", said.join(", ")));
        }
        lines.join("\n")
    }

    #[test]
    fn writes_are_held_while_the_breaker_is_open_and_tried_in_their_order_when_it_closes() {
        let story = "a! b! c d e : _: + : + : + f";
        let expected = "\
a! -> join a
b! -> join b, ReadOnly
c -> held behind 0
d -> held behind 1
e -> held behind 2
: -> 
_: -> try [cd]
+ -> 
: -> try [e]
+ -> Normal
: -> 
+ -> 
f -> join f";
        assert_eq!(transcript(story), expected);
    }

    #[test]
    fn a_batch_that_fails_goes_back_to_where_it_was() {
        let story = "a! b! c d e _: ! : _: + : + f g : +";
        let expected = "\
a! -> join a
b! -> join b, ReadOnly
c -> held behind 0
d -> held behind 1
e -> held behind 2
_: -> try [cd]
! -> 
: -> 
_: -> try [cd]
+ -> 
: -> try [e]
+ -> Normal
f -> join f
g -> join g
: -> 
+ -> ";
        assert_eq!(transcript(story), expected);
    }

    #[test]
    fn whoever_arrives_while_the_queue_is_drained_stays_behind_it() {
        let expected = "\
a!!bcde -> join a, ReadOnly, held behind 0, held behind 1, held behind 2, held behind 3
_:+ -> try [bc]
f:+ -> held behind 2, try [de]
g:+ -> held behind 1, try [fg], Normal
h -> join h";
        assert_eq!(transcript("a!!bcde _:+ f:+ g:+ h"), expected);
    }

    #[test]
    fn a_full_queue_refuses_and_forgets_nothing() {
        let expected = "\
a!!bcdefg -> join a, ReadOnly, held behind 0, held behind 1, held behind 2, held behind 3, held behind 4, refuse g
_:+:+:+ -> try [bc], try [de], try [f], Normal";
        assert_eq!(transcript("a!!bcdefg _:+:+:+"), expected);
        let mut machine = Degrade::new(small());
        let mut out = Vec::new();
        for input in [Input::Failed(Tick(0)), Input::Failed(Tick(0)), Input::Arrived('a', 90), Input::Arrived('b', 11)]
        {
            machine.step(input, &mut out);
        }
        assert_eq!(out, [Output::Changed(Level::ReadOnly), Output::Held(0), Output::Full('b')], "by weight, too");
        out.clear();
        machine.step(Input::Arrived('c', 10), &mut out);
        assert_eq!(out, [Output::Held(1)], "as much as it takes");
    }

    #[test]
    fn where_nothing_is_held_an_empty_batch_finds_out_whether_it_is_over() {
        let expected = "\
a!! -> join a, ReadOnly
_:! -> try []
: -> 
_:+ -> try []
:+ -> try [], Normal";
        assert_eq!(transcript("a!! _:! : _:+ :+"), expected);
    }

    #[test]
    fn the_first_is_tried_whatever_it_weighs_and_the_next_only_if_it_fits() {
        let mut machine = Degrade::new(small());
        let mut out = Vec::new();
        let held = [Input::Arrived('a', 41), Input::Arrived('b', 20), Input::Arrived('c', 21)];
        for input in [Input::Failed(Tick(0)), Input::Failed(Tick(0))].into_iter().chain(held) {
            machine.step(input, &mut out);
        }
        for tried in ["a", "b", "c"] {
            out.clear();
            machine.step(Input::Boundary(Tick::secs(60)), &mut out);
            assert_eq!(out, [Output::Try(tried.chars().collect())]);
            machine.step(Input::Succeeded, &mut out);
        }
    }

    #[test]
    fn a_success_between_failures_keeps_the_level() {
        assert_eq!(transcript("a!+!+ b"), "a!+!+ -> join a\nb -> join b");
    }

    #[test]
    fn whoever_cannot_read_is_in_memory_whatever_becomes_of_writes() {
        let closed = State::Closed { failures: 4 };
        assert_eq!(NodeLevel::of(Level::Normal, closed), NodeLevel::Normal);
        assert_eq!(NodeLevel::of(Level::ReadOnly, closed), NodeLevel::ReadOnly);
        let until = Tick(9);
        for reads in [State::Open { until }, State::HalfOpen { trying: 1, successes: 0, until }] {
            for writes in [Level::Normal, Level::ReadOnly] {
                assert_eq!(NodeLevel::of(writes, reads), NodeLevel::InMemory);
            }
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Arrive,
        Boundary,
        End(bool),
        Pass(u64),
    }

    fn any_act() -> impl Strategy<Value = Act> {
        let arrive = Just(Act::Arrive);
        prop_oneof![3 => arrive, 3 => Just(Act::Boundary), 3 => any::<bool>().prop_map(Act::End), 1 => (0..70_u64).prop_map(Act::Pass)]
    }

    proptest! {
        /// A model with a plain list: what is held is tried in the order of arrival, each once with success, or never left.
        #[test]
        fn what_is_held_leaves_once_and_in_order(acts in vec(any_act(), 0..200)) {
            let mut machine = Degrade::new(small());
            let (mut now, mut next, mut out) = (Tick(0), 0_u32, Vec::new());
            let (mut held, mut trying) = (Vec::new(), None::<Vec<u32>>);
            for act in acts {
                match act {
                    Act::Pass(secs) => now = now + Tick::secs(secs),
                    Act::Arrive => machine.step(Input::Arrived(next, 10), &mut out),
                    Act::Boundary if trying.is_none() => machine.step(Input::Boundary(now), &mut out),
                    Act::Boundary => {}
                    Act::End(well) => {
                        machine.step(if well { Input::Succeeded } else { Input::Failed(now) }, &mut out);
                        if let Some(tried) = trying.take().filter(|_| well) {
                            held.drain(..tried.len());
                        }
                    }
                }
                for output in out.drain(..) {
                    match output {
                        Output::Join(write) => prop_assert!(held.is_empty() && write == next),
                        Output::Held(ahead) => {
                            prop_assert_eq!(ahead, held.len());
                            held.push(next);
                        }
                        Output::Full(write) => prop_assert!(held.len() == 5 && write == next),
                        Output::Try(writes) => {
                            prop_assert_eq!(&writes[..], &held[..held.len().min(2)]);
                            trying = Some(writes);
                        }
                        Output::Changed(Level::Normal) => prop_assert!(held.is_empty()),
                        Output::Changed(Level::ReadOnly) => prop_assert!(held.is_empty(), "nothing is held before"),
                    }
                }
                next += u32::from(matches!(act, Act::Arrive));
                prop_assert_eq!(machine.held().copied().collect::<Vec<_>>(), held.clone());
                let due = machine.due();
                prop_assert_eq!(due.is_some(), machine.level() == Level::ReadOnly);
            }
        }
    }
}
