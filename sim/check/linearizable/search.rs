//! The search for an order of one key's operations that explains every reply.
//!
//! It walks the returns in order and, at each, places pending operations only as far as is needed to place the one
//! that returns ("just in time" linearisation, Lowe, *Testing for linearizability*, 2017, after Wing and Gong, 1993).
//! A configuration is what matters of a partial order: the returns passed, the state, and which pending operations
//! are placed. Three facts keep the configurations few; none loses an answer:
//! 1. An operation that only observes may be placed as soon as its reply fits: it takes nothing from any later choice.
//! 2. A configuration is redundant beside one that is equal but for fewer unanswered operations placed: the latter
//!    can do all that the former can, for nothing ever demands that an unanswered operation be placed.
//! 3. Unanswered operations that ask the same are interchangeable, and are placed in order of invocation.
//!
//! Which configuration is tried next changes only the time it takes: the one that has passed most returns, less a
//! handicap for each unanswered operation it has placed. An unanswered operation is thus the last resort, after the
//! orders of those that overlap have been tried; and smaller sets come before larger ones, so that fact 2 bites.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::Model;
use super::bits::Bits;
use super::schedule::Schedule;

/// What the search of one key found.
pub(super) enum Found<State> {
    /// An order that explains every reply.
    Order,
    /// No order explains the reply of the operation that returned `level`-th; those are the states it was tried in.
    Stuck { level: usize, states: Vec<State> },
    /// More configurations than allowed.
    TooMany,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Configuration {
    level: usize,
    state: usize,
    /// Slots of the answered operations that are placed but have not returned.
    placed: Bits,
    /// The unanswered operations that are placed.
    applied: Bits,
}

/// Which operations to place next at a configuration. Unanswered ones wait until they are needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Answered,
    Unanswered,
}

/// A configuration that waits for its turn: the highest score first, and the latest among equals.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    score: usize,
    order: u64,
    next: Next,
    configuration: Configuration,
}

/// For each state and set of placed operations: the sets of unanswered ones applied, none of which contains an
/// earlier one.
type Visited = BTreeMap<(usize, Bits), Vec<Bits>>;

pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    schedule: &'a Schedule<'a, M>,
    states: Vec<M::State>,
    state_ids: BTreeMap<M::State, usize>,
    visited: Vec<Visited>,
    waiting: BinaryHeap<Waiting>,
    complete: bool,
    pub(super) explored: u64,
}

impl<'a, M: Model> Search<'a, M> {
    pub(super) fn new(model: &'a M, schedule: &'a Schedule<'a, M>) -> Self {
        Self {
            model,
            schedule,
            states: Vec::new(),
            state_ids: BTreeMap::new(),
            visited: vec![Visited::new(); schedule.answered.len()],
            waiting: BinaryHeap::new(),
            complete: false,
            explored: 0,
        }
    }

    pub(super) fn run(&mut self, init: M::State, configurations_max: u64) -> Found<M::State> {
        let state = self.intern(init);
        self.enter(Configuration { level: 0, state, placed: Bits::default(), applied: Bits::default() });
        while !self.complete {
            if self.explored > configurations_max {
                return Found::TooMany;
            }
            let Some(Waiting { next, configuration, .. }) = self.waiting.pop() else { return self.stuck() };
            match next {
                Next::Answered => self.place_answered(configuration),
                Next::Unanswered => self.place_unanswered(&configuration),
            }
        }
        Found::Order
    }

    /// Takes up a configuration, unless one that can do as much was here before.
    fn enter(&mut self, mut configuration: Configuration) {
        self.explored += 1;
        self.settle(&mut configuration);
        if configuration.level == self.schedule.answered.len() {
            self.complete = true;
        } else if self.visit(&configuration) {
            self.wait(Next::Answered, configuration);
        }
    }

    /// Passes every return that is already placed, and places whatever only observes and fits.
    fn settle(&self, configuration: &mut Configuration) {
        while let Some(returning) = self.schedule.answered.get(configuration.level) {
            self.observe(configuration, &returning.pending);
            if !configuration.placed.contains(returning.slot) {
                return;
            }
            configuration.placed.remove(returning.slot);
            configuration.level += 1;
        }
    }

    fn observe(&self, configuration: &mut Configuration, pending: &[usize]) {
        let state = &self.states[configuration.state];
        for &place in pending {
            let answered = &self.schedule.answered[place];
            let (op, reply) = (&answered.operation.op, Some(answered.reply));
            if configuration.placed.contains(answered.slot) || !self.model.only_observes(op, reply) {
                continue;
            }
            if let Some(next) = self.model.step(state, op, reply) {
                assert!(
                    next == *state,
                    "the model says that {op:?} only observes, yet it turns {state:?} into {next:?}"
                );
                configuration.placed.insert(answered.slot);
            }
        }
    }

    /// Notes the configuration; false if one that can do as much is noted already.
    fn visit(&mut self, configuration: &Configuration) -> bool {
        let key = (configuration.state, configuration.placed.clone());
        let noted = self.visited[configuration.level].entry(key).or_default();
        if noted.iter().any(|fewer| fewer.is_subset_of(&configuration.applied)) {
            return false;
        }
        noted.push(configuration.applied.clone());
        true
    }

    fn wait(&mut self, next: Next, configuration: Configuration) {
        let applied = configuration.applied.len() + usize::from(next == Next::Unanswered);
        let unapplied = self.schedule.unanswered.len() + 1 - applied;
        // One round of all that overlap: a wrong order among them shows about so many returns later.
        let score = configuration.level + self.schedule.slots * unapplied;
        self.waiting.push(Waiting { score, order: self.explored, next, configuration });
    }

    /// Places each pending operation that was answered; the one that returns next comes last, and so gets its turn
    /// first.
    fn place_answered(&mut self, configuration: Configuration) {
        let schedule = self.schedule;
        for &place in schedule.answered[configuration.level].pending.iter().rev() {
            let answered = &schedule.answered[place];
            if !configuration.placed.contains(answered.slot) {
                let (op, reply) = (&answered.operation.op, Some(answered.reply));
                self.place(&configuration, op, reply, |next| next.placed.insert(answered.slot));
            }
        }
        self.wait(Next::Unanswered, configuration);
    }

    fn place_unanswered(&mut self, configuration: &Configuration) {
        let schedule = self.schedule;
        let invoked = schedule.answered[configuration.level].unanswered;
        for (place, open) in schedule.unanswered[..invoked].iter().enumerate() {
            let its_turn = open.twin.is_none_or(|twin| configuration.applied.contains(twin));
            if its_turn && !configuration.applied.contains(place) {
                self.place(configuration, &open.operation.op, None, |next| next.applied.insert(place));
            }
        }
    }

    fn place(
        &mut self,
        from: &Configuration,
        op: &M::Op,
        reply: Option<&M::Reply>,
        mark: impl FnOnce(&mut Configuration),
    ) {
        if let Some(state) = self.model.step(&self.states[from.state], op, reply) {
            let mut next = Configuration { state: self.intern(state), ..from.clone() };
            mark(&mut next);
            self.enter(next);
        }
    }

    fn intern(&mut self, state: M::State) -> usize {
        if let Some(&id) = self.state_ids.get(&state) {
            return id;
        }
        self.states.push(state.clone());
        self.state_ids.insert(state, self.states.len() - 1);
        self.states.len() - 1
    }

    /// Every configuration was explored, so the furthest return that any of them waited for is beyond all of them.
    fn stuck(&self) -> Found<M::State> {
        let level = self.visited.iter().rposition(|visited| !visited.is_empty()).unwrap_or(0);
        let states: BTreeSet<&M::State> = self.visited[level].keys().map(|(state, _)| &self.states[*state]).collect();
        Found::Stuck { level, states: states.into_iter().cloned().collect() }
    }
}
