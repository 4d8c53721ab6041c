//! What becomes of a message: when it arrives, whether at all, whether twice, whether whole.

use super::{
    core::Core,
    draw::{End, Entity, Scope, Stream},
    fault::FaultKind,
    mix::mix,
    trace::Happened,
};

/// How many priorities messages of one moment are ordered by.
const PRIORITIES: u32 = 8;

/// A message on its way.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Passage {
    /// When it arrives; `None` if it is lost.
    pub(crate) arrives: Option<u64>,
    /// When its duplicate arrives.
    pub(crate) again: Option<u64>,
    /// Orders messages that arrive at one moment.
    pub(crate) priority: u32,
    /// A random number, where a bit of it has flipped.
    pub(crate) corrupt: Option<u32>,
}

/// A node at one end of a link: the receiver, if it is one.
fn near(from: End, to: End) -> u32 {
    match (from, to) {
        (_, End::Node(node)) | (End::Node(node), End::Client(_)) => node,
        (End::Client(_), End::Client(_)) => 0,
    }
}

impl Core {
    /// Decides the passage of a message of `len` bytes. `n` is its number on this link and for this scope.
    #[inline]
    pub(crate) fn pass(&mut self, from: End, to: End, scope: Scope, n: u32, len: usize) -> Passage {
        let link = Entity::Link(from, to);
        let span = self.tuning.net_latency;
        let latency = self.draws.nth_span(Stream::NetLatency, scope, link, n, &span);
        let priority = self.draws.nth_pick(Stream::Priority, scope, link, n, PRIORITIES);
        let passage = Passage { arrives: Some(self.dials.now() + latency), again: None, priority, corrupt: None };
        if self.armory.network_is_calm() { passage } else { self.disturb(passage, from, to, scope, len) }
    }

    fn disturb(&mut self, mut passage: Passage, from: End, to: End, scope: Scope, len: usize) -> Passage {
        self.armory.spoke(from, to);
        let now = self.dials.now();
        for hit in self.armory.on_message(now, from, to) {
            let entity = Entity::Fault(hit.id);
            if hit.chance.0 < 1_000_000 && !self.draws.chance(Stream::NetFault, scope, entity, hit.chance) {
                continue;
            }
            let Some(arrives) = passage.arrives else { break };
            let up_to = |draws: &mut super::draw::Draws, bound: u64| {
                u64::from(draws.pick(Stream::NetFault, scope, entity, 1 << 16)) * bound / (1 << 16)
            };
            match hit.kind {
                FaultKind::Duplicate => passage.again = Some(arrives + up_to(&mut self.draws, hit.amount)),
                FaultKind::Reorder => passage.arrives = Some(arrives + up_to(&mut self.draws, hit.amount)),
                FaultKind::Delay => passage.arrives = Some(arrives + hit.amount),
                FaultKind::Bandwidth => passage.arrives = Some(self.queue_up(from, to, arrives, len, hit.amount)),
                FaultKind::Corrupt => match (from, to) {
                    (End::Node(_), End::Node(_)) => {
                        passage.corrupt = Some(self.draws.pick(Stream::NetFault, scope, entity, u32::MAX));
                    }
                    (End::Client(_), _) | (_, End::Client(_)) => passage.arrives = None,
                },
                FaultKind::Flapping if (now - hit.since) / hit.amount.max(1) % 2 == 1 => continue,
                _ => passage.arrives = None,
            }
            self.delivered(&hit, near(from, to));
            let words = || format!("fault {}: {} on {from}>{to}", hit.id, hit.kind.name());
            let detail = [u64::from(hit.id), hit.kind as u64];
            self.record(Happened::Disturbed, u64::from(hit.id), detail, words);
        }
        passage
    }

    /// A link carries one message after another.
    fn queue_up(&mut self, from: End, to: End, arrives: u64, len: usize, bytes_per_second: u64) -> u64 {
        let code = |end: End| match end {
            End::Node(n) => u64::from(n) << 1,
            End::Client(n) => u64::from(n) << 1 | 1,
        };
        let free = self.links.entry(mix(code(from), code(to))).or_default();
        let takes = (len as u64).saturating_mul(1_000_000_000) / bytes_per_second.max(1);
        *free = (*free).max(arrives).saturating_add(takes);
        *free
    }
}
