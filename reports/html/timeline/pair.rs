//! What belongs together in a trace: an invocation and what ended it, a message and its arrival, a boot and a death.
//!
//! Everything is said by place in the trace. What cannot be matched is left out rather than guessed at: a message that
//! was damaged arrives as another one, and a reply that nobody waited for ends nowhere.

use std::collections::BTreeMap;

use stormproof_sim::world::trace::{Happened, Lane, Line};

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The client took a reply for the answer.
    Answered,
    /// The client gave up.
    GivenUp,
    /// Neither: it was in flight when the trace ended.
    Open,
}

/// One operation of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Operation {
    pub(super) number: u64,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) end: End,
}

/// A message from one lane to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    /// A further arrival of a request: the trace does not say when it was sent.
    pub(super) again: bool,
}

/// A node that is up, from a place to a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Life {
    pub(super) node: u32,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// All of it.
#[derive(Default)]
pub(super) struct Pairs {
    pub(super) operations: Vec<Operation>,
    pub(super) arrows: Vec<Arrow>,
    pub(super) lives: Vec<Life>,
}

/// An operation that has not ended yet.
struct Asked {
    number: u64,
    from: usize,
    heard: Option<usize>,
}

#[derive(Default)]
struct Pairing {
    pairs: Pairs,
    /// By client.
    asked: BTreeMap<u32, Asked>,
    /// Where each operation was invoked, and whether its request has arrived.
    requests: BTreeMap<u64, (usize, bool)>,
    /// The last reply to each operation that left.
    replies: BTreeMap<u64, usize>,
    /// Messages under way, by content.
    messages: BTreeMap<u64, Vec<usize>>,
    /// Since when each node is up.
    up: BTreeMap<u32, usize>,
}

/// Finds what belongs together.
pub(super) fn pairs(lines: &[Line]) -> Pairs {
    let mut pairing = Pairing::default();
    for (place, line) in lines.iter().enumerate() {
        pairing.see(place, line);
    }
    pairing.end(lines.len().saturating_sub(1))
}

impl Pairing {
    fn see(&mut self, place: usize, line: &Line) {
        let [first, second] = line.detail;
        match (line.what, line.lane) {
            (Happened::Invoked, Lane::Client(client)) => self.invoked(place, client, first),
            (Happened::Replied, Lane::Client(client)) => self.replied(place, client, first),
            (Happened::GaveUp, Lane::Client(client)) => self.ended(client, Some(place)),
            (Happened::Effect, _) if first == 0 => drop(self.replies.insert(second, place)),
            (Happened::Effect, _) if first == 1 => self.messages.entry(second).or_default().push(place),
            (Happened::Delivered | Happened::Lost, _) if first == u64::MAX => self.message_arrived(place, second),
            (Happened::Delivered | Happened::Lost, _) => self.request_arrived(place, first),
            (Happened::Booted, Lane::Node(node)) => drop(self.up.insert(node, place)),
            (Happened::Died, Lane::Node(node)) => self.died(place, node),
            _ => {}
        }
    }

    fn invoked(&mut self, place: usize, client: u32, number: u64) {
        self.ended(client, None);
        self.requests.insert(number, (place, false));
        self.asked.insert(client, Asked { number, from: place, heard: None });
    }

    fn replied(&mut self, place: usize, client: u32, number: u64) {
        if let Some(from) = self.replies.remove(&number) {
            self.pairs.arrows.push(Arrow { from, to: place, again: false });
        }
        if let Some(asked) = self.asked.get_mut(&client).filter(|asked| asked.number == number) {
            asked.heard = Some(place);
        }
    }

    /// A client is done with its operation: it gave up, or goes on after the reply it heard last.
    fn ended(&mut self, client: u32, given_up: Option<usize>) {
        let Some(Asked { number, from, heard }) = self.asked.remove(&client) else { return };
        let (to, end) = match (given_up, heard) {
            (Some(place), _) => (place, End::GivenUp),
            (None, Some(place)) => (place, End::Answered),
            (None, None) => (from, End::Open),
        };
        self.pairs.operations.push(Operation { number, from, to, end });
    }

    fn request_arrived(&mut self, place: usize, number: u64) {
        if let Some((from, arrived)) = self.requests.get_mut(&number) {
            self.pairs.arrows.push(Arrow { from: *from, to: place, again: *arrived });
            *arrived = true;
        }
    }

    /// Of several alike, the one sent last: heartbeats are alike, and an older one that is still missing was lost.
    fn message_arrived(&mut self, place: usize, content: u64) {
        if let Some(from) = self.messages.get_mut(&content).and_then(Vec::pop) {
            self.pairs.arrows.push(Arrow { from, to: place, again: false });
        }
    }

    /// One that was up before the trace begins has lived from its first event.
    fn died(&mut self, place: usize, node: u32) {
        if let Some(from) = self.up.remove(&node) {
            self.pairs.lives.push(Life { node, from, to: place });
        }
    }

    fn end(mut self, last: usize) -> Pairs {
        for (node, from) in std::mem::take(&mut self.up) {
            self.pairs.lives.push(Life { node, from, to: last });
        }
        for (_, Asked { number, from, heard }) in std::mem::take(&mut self.asked) {
            let (to, end) = heard.map_or((last, End::Open), |place| (place, End::Answered));
            self.pairs.operations.push(Operation { number, from, to, end });
        }
        self.pairs.operations.sort_by_key(|operation| operation.from);
        self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: Happened, lane: Lane, detail: [u64; 2]) -> Line {
        Line { at: 0, hash: 0, what, lane, detail, words: String::new() }
    }

    #[test]
    fn a_request_and_its_reply_are_arrows_and_the_operation_lasts_from_ask_to_answer() {
        let (client, node) = (Lane::Client(0), Lane::Node(0));
        let found = pairs(&[
            line(Happened::Invoked, client, [7, 99]),
            line(Happened::Delivered, node, [7, 0]),
            line(Happened::Effect, node, [0, 7]),
            line(Happened::Replied, client, [7, 98]),
        ]);
        assert_eq!(found.operations, [Operation { number: 7, from: 0, to: 3, end: End::Answered }]);
        let arrow = |from, to| Arrow { from, to, again: false };
        assert_eq!(found.arrows, [arrow(0, 1), arrow(2, 3)]);
    }

    #[test]
    fn of_messages_that_are_alike_the_last_one_sent_is_the_one_that_arrives() {
        let sent = || line(Happened::Effect, Lane::Node(0), [1, 42]);
        let found = pairs(&[sent(), sent(), line(Happened::Delivered, Lane::Node(1), [u64::MAX, 42])]);
        assert_eq!(found.arrows, [Arrow { from: 1, to: 2, again: false }]);
    }

    #[test]
    fn a_client_that_gives_up_or_is_never_answered_is_told_apart() {
        let found = pairs(&[
            line(Happened::Invoked, Lane::Client(0), [0, 0]),
            line(Happened::GaveUp, Lane::Client(0), [0, 0]),
            line(Happened::Invoked, Lane::Client(0), [1, 0]),
            line(Happened::Ended, Lane::World, [0, 0]),
        ]);
        let ends: Vec<_> = found.operations.iter().map(|operation| (operation.to, operation.end)).collect();
        assert_eq!(ends, [(1, End::GivenUp), (3, End::Open)]);
    }

    #[test]
    fn a_node_lives_from_its_boot_to_its_death_and_the_last_life_to_the_end() {
        let node = Lane::Node(2);
        let [up, died] = [Happened::Booted, Happened::Died].map(|what| line(what, node, [1, 0]));
        let lives = pairs(&[up.clone(), died, up, line(Happened::Ended, Lane::World, [0, 0])]).lives;
        assert_eq!(lives, [Life { node: 2, from: 0, to: 1 }, Life { node: 2, from: 2, to: 3 }]);
    }
}
