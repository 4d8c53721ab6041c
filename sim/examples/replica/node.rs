//! One node: what it knows, what it hears, and what it then says.
//!
//! `handle` changes the state and collects; `settle` saves what changed, and only then counts it, applies it, and lets
//! the messages go. So everything another node or a client ever hears is durable. An error of the disk ends the process:
//! nobody knows what was saved, and the journal finds out at the next boot.

use std::{collections::BTreeSet, sync::Arc};

use stormproof_contract::{
    Boot, BootError, Clock, Disk, DiskResult, Effects, Input, Node, NodeId, OpId, RequestId, Tick,
};

use super::{
    Bug, HEARTBEAT, LEASE, Op, PROMISE, Reply, TIMEOUT_SPREAD,
    journal::Journal,
    machine::Machine,
    office::{Office, majority},
    wire::{Entry, Message, Place, Record},
};

/// The most entries in one message.
const ENTRIES_MAX: usize = 32;

/// One process of the replicated register.
pub struct ReplicaNode {
    me: NodeId,
    peers: BTreeSet<NodeId>,
    bug: Option<Bug>,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    /// The state of the generator that timeouts are drawn from.
    random: u64,

    // Durable once saved.
    journal: Journal,
    term: u64,
    vote: Option<NodeId>,
    log: Vec<Entry>,

    // Found again after a crash.
    role: Role,
    /// How many entries are known to be committed, and how many of them were applied.
    committed: u64,
    applied: u64,
    machine: Machine,
    /// When the node last heard from a leader, by the clock of leases.
    heard: Tick,
    /// Since when it waits for a leader, by the same clock, and how long it will before it stands for election.
    waits_since: Tick,
    patience: Tick,
    /// When a leader speaks again.
    beat_at: Tick,
    outbox: Vec<(NodeId, Message)>,
}

enum Role {
    Follower,
    Candidate { votes: BTreeSet<NodeId> },
    Leader(Office),
}

impl Node for ReplicaNode {
    type Op = Op;
    type Reply = Reply;
    type Ask = ();
    type Facts = ();

    fn handle(&mut self, input: Input<Op>, out: &mut Effects<Reply>) {
        let done = match input {
            Input::Request { id, op } => {
                self.request(id, op, out);
                Ok(())
            }
            Input::Message { from, bytes } => match Message::decode(&bytes) {
                Some((term, message)) if self.peers.contains(&from) => self.message(from, term, message, out),
                // Damaged on its way, or from a stranger: the sender will say it again.
                Some(_) | None => Ok(()),
            },
            Input::Timer => {
                self.timer();
                Ok(())
            }
            // It starts no jobs.
            Input::JobSaid { .. } | Input::JobEnded { .. } => Ok(()),
        };
        done.unwrap_or_else(|error| out.halt(error.to_string()));
    }

    fn settle(&mut self, out: &mut Effects<Reply>) {
        match self.save() {
            Ok(()) => self.speak(out),
            Err(error) => out.halt(error.to_string()),
        }
    }

    fn deadline(&self) -> Option<Tick> {
        match &self.role {
            Role::Leader(_) => Some(self.beat_at),
            Role::Follower | Role::Candidate { .. } => Some(self.clock.now() + (self.patience - self.waited())),
        }
    }
}

impl ReplicaNode {
    /// Starts a node from its journal.
    pub(super) fn open(at: Boot<'_, ()>, peers: BTreeSet<NodeId>, bug: Option<Bug>) -> Result<Self, BootError> {
        let (journal, records) =
            Journal::open(&*at.disk).map_err(|error| BootError::Retry(error.to_string().into()))?;
        let mut node = ReplicaNode {
            me: at.node,
            peers,
            bug,
            disk: at.disk,
            random: at.seed | 1,
            journal,
            term: 0,
            vote: None,
            log: Vec::new(),
            role: Role::Follower,
            committed: 0,
            applied: 0,
            machine: Machine::new(bug),
            heard: Tick(0),
            waits_since: Tick(0),
            patience: Tick(0),
            beat_at: Tick(0),
            outbox: Vec::new(),
            clock: at.clock,
        };
        for (number, words) in records.iter().enumerate() {
            let known = Record::decode(words).is_some_and(|record| node.recall(record));
            known
                .then_some(())
                .ok_or_else(|| BootError::Refused(format!("journal: record {number}: {words:?}").into()))?;
        }
        // It may have promised something right before it died.
        node.hear();
        Ok(node)
    }

    /// Takes a record of the journal back. Says no if it cannot follow what came before.
    fn recall(&mut self, record: Record) -> bool {
        match record {
            Record::Term { term, vote } => (self.term, self.vote) = (term, vote.map(NodeId)),
            Record::Entry { index, entry } if (1..=self.last().index + 1).contains(&index) => {
                self.log.truncate(index as usize - 1);
                self.log.push(entry);
            }
            Record::Entry { .. } => return false,
        }
        true
    }

    // What comes in.

    fn request(&mut self, id: RequestId, op: Op, out: &mut Effects<Reply>) {
        if !matches!(self.role, Role::Leader(_)) {
            return out.reply(id, Reply::NotLeader);
        }
        if let Op::Get { key } = op
            && self.may_read_alone()
        {
            out.note("replica.read_alone", &[("op", id.op.0)]);
            return out.reply(id, Reply::Value(self.machine.read(key)));
        }
        let index = self.append(Some((id.op, op)));
        if let Role::Leader(office) = &mut self.role {
            office.waiting.insert(index, id);
        }
    }

    fn timer(&mut self) {
        match &self.role {
            // `settle` sends the heartbeat.
            Role::Leader(_) => {}
            // Set before a leader was heard.
            Role::Follower | Role::Candidate { .. } if self.waited() < self.patience => {}
            Role::Follower | Role::Candidate { .. } => self.stand(),
        }
    }

    fn message(&mut self, from: NodeId, term: u64, message: Message, out: &mut Effects<Reply>) -> DiskResult<()> {
        if matches!(message, Message::Vote { .. }) && self.has_promised() {
            // Not even the term is taken up: a node that hears nothing must not unseat a leader whom others hear.
            return Ok(());
        }
        if term > self.term {
            self.enter(term, None);
            self.role = Role::Follower;
        }
        if term < self.term {
            self.correct(from, &message);
            return Ok(());
        }
        match (&mut self.role, message) {
            (Role::Follower | Role::Candidate { .. } | Role::Leader(_), Message::Vote { last }) => {
                self.vote(from, last);
            }
            (Role::Candidate { votes }, Message::Voted { granted: true }) => {
                votes.insert(from);
                if votes.len() >= majority(self.peers.len()) {
                    self.take_office(out)?;
                }
            }
            (Role::Follower | Role::Candidate { .. }, Message::Append { stamp, before, commit, entries }) => {
                self.follow(from, stamp, before, commit, &entries);
            }
            (Role::Leader(office), Message::Appended { stamp, fits, index }) => {
                if let Some(peer) = office.peers.get_mut(&from) {
                    peer.hear(stamp, fits, index.min(self.log.len() as u64));
                }
            }
            // The vote is decided, or this one is against.
            (Role::Candidate { .. }, Message::Voted { granted: false })
            | (Role::Follower | Role::Leader(_), Message::Voted { .. })
            // The node led in this term, and has stood down since.
            | (Role::Follower | Role::Candidate { .. }, Message::Appended { .. })
            // A second leader in one term cannot be. If there is one all the same, two that obey each other are no help.
            | (Role::Leader(_), Message::Append { .. }) => {}
        }
        Ok(())
    }

    /// Answers what was sent in a term that is over, so that its sender learns of the new one.
    fn correct(&mut self, from: NodeId, message: &Message) {
        match message {
            Message::Vote { .. } => self.outbox.push((from, Message::Voted { granted: false })),
            Message::Append { stamp, .. } => {
                self.outbox.push((from, Message::Appended { stamp: *stamp, fits: false, index: 0 }));
            }
            // Answers to questions that nobody asks any more.
            Message::Voted { .. } | Message::Appended { .. } => {}
        }
    }

    // Elections.

    fn stand(&mut self) {
        self.enter(self.term + 1, Some(self.me));
        self.role = Role::Candidate { votes: BTreeSet::from([self.me]) };
        self.wait_anew();
        let last = self.last();
        self.outbox.extend(self.peers.iter().map(|&peer| (peer, Message::Vote { last })));
    }

    fn vote(&mut self, candidate: NodeId, theirs: Place) {
        let ours = self.last();
        let free = self.vote.is_none_or(|vote| vote == candidate) || self.bug == Some(Bug::VotesTwice);
        let granted = free && (theirs.term, theirs.index) >= (ours.term, ours.index);
        if granted {
            self.enter(self.term, Some(candidate));
            self.wait_anew();
        }
        self.outbox.push((candidate, Message::Voted { granted }));
    }

    fn take_office(&mut self, out: &mut Effects<Reply>) -> DiskResult<()> {
        self.role = Role::Leader(Office::new(&self.peers, self.last().index));
        self.append(None);
        // Heard at once, so that nobody else stands.
        self.beat_at = self.clock.now();
        out.note("replica.elected", &[("term", self.term), ("node", u64::from(self.me.0))]);
        self.disk.point("replica.elected")
    }

    fn enter(&mut self, term: u64, vote: Option<NodeId>) {
        (self.term, self.vote) = (term, vote);
        self.journal.push(&Record::Term { term, vote: vote.map(|node| node.0) }.encode());
    }

    // The log.

    fn append(&mut self, op: Option<(OpId, Op)>) -> u64 {
        let index = self.last().index + 1;
        self.write(index, Entry { term: self.term, op });
        index
    }

    fn write(&mut self, index: u64, entry: Entry) {
        assert!(index > self.committed, "a committed entry is never replaced");
        self.log.truncate(index as usize - 1);
        self.log.push(entry);
        self.journal.push(&Record::Entry { index, entry }.encode());
    }

    fn follow(&mut self, leader: NodeId, stamp: u64, before: Place, commit: u64, entries: &[Entry]) {
        self.role = Role::Follower;
        self.hear();
        let fits = self.place(before.index) == Some(before);
        if fits {
            for (index, entry) in (before.index + 1..).zip(entries) {
                if self.place(index).is_none_or(|ours| ours.term != entry.term) {
                    self.write(index, *entry);
                }
            }
        }
        let agreed = if fits { before.index + entries.len() as u64 } else { before.index.saturating_sub(1) };
        let index = agreed.min(self.last().index);
        if fits {
            self.committed = self.committed.max(commit.min(index));
        }
        self.outbox.push((leader, Message::Appended { stamp, fits, index }));
    }

    // What goes out.

    fn save(&mut self) -> DiskResult<()> {
        if self.journal.save()? {
            self.disk.point("replica.saved")?;
        }
        if self.count() {
            self.disk.point("replica.committed")?;
        }
        Ok(())
    }

    /// As a leader, commits what a majority has on disk. Says whether that was more than before.
    fn count(&mut self) -> bool {
        let Role::Leader(office) = &self.role else { return false };
        let index = office.held_by_majority(self.last().index);
        // An entry of an earlier term can be held by a majority and still be replaced; one of this term cannot.
        let more = index > self.committed && index >= office.first;
        if more {
            self.committed = index;
        }
        more
    }

    fn speak(&mut self, out: &mut Effects<Reply>) {
        self.apply(out);
        self.replicate();
        for (to, message) in self.outbox.drain(..) {
            out.send(to, message.encode(self.term));
        }
    }

    fn apply(&mut self, out: &mut Effects<Reply>) {
        while self.applied < self.committed {
            self.applied += 1;
            let Some((id, op)) = self.log[self.applied as usize - 1].op else { continue };
            let (reply, new) = self.machine.apply(id, op);
            let (state, new) = (self.machine.digest(), u64::from(new));
            out.note("replica.applied", &[("index", self.applied), ("op", id.0), ("new", new), ("state", state)]);
            if let Role::Leader(office) = &mut self.role
                && let Some(request) = office.waiting.remove(&self.applied)
            {
                out.reply(request, reply);
            }
        }
    }

    /// As a leader, sends everyone what it lacks; when it is time, also to those who lack nothing.
    fn replicate(&mut self) {
        let (now, stamp) = (self.clock.now(), self.lease_clock());
        let Role::Leader(office) = &mut self.role else { return };
        let beat = now >= self.beat_at;
        if beat {
            self.beat_at = now + HEARTBEAT;
        }
        for (&id, peer) in &mut office.peers {
            let rest = &self.log[peer.next as usize - 1..];
            let entries = rest[..rest.len().min(ENTRIES_MAX)].to_vec();
            if beat || !entries.is_empty() {
                let before = Place { index: peer.next - 1, term: term_at(&self.log, peer.next - 1) };
                peer.next += entries.len() as u64;
                self.outbox.push((id, Message::Append { stamp: stamp.0, before, commit: self.committed, entries }));
            }
        }
    }

    // Leases.

    /// Whether this leader holds a lease, and knows all that was committed before it.
    fn may_read_alone(&self) -> bool {
        let Role::Leader(office) = &self.role else { return false };
        let known = self.committed >= office.first;
        self.bug == Some(Bug::ReadsWithoutLease) || (known && self.has_lease(office))
    }

    fn has_lease(&self, office: &Office) -> bool {
        office.answered_by_majority().is_some_and(|sent| self.lease_clock() < sent + LEASE)
    }

    fn has_promised(&self) -> bool {
        match &self.role {
            Role::Leader(office) => self.has_lease(office),
            Role::Follower | Role::Candidate { .. } => self.lease_clock().since(self.heard) < PROMISE,
        }
    }

    fn hear(&mut self) {
        self.heard = self.lease_clock();
        self.wait_anew();
    }

    fn wait_anew(&mut self) {
        self.waits_since = self.lease_clock();
        self.patience = self.timeout();
    }

    fn waited(&self) -> Tick {
        self.lease_clock().since(self.waits_since)
    }

    fn lease_clock(&self) -> Tick {
        if self.bug == Some(Bug::LeaseByWallClock) { Tick(self.clock.wall().0) } else { self.clock.now() }
    }

    fn timeout(&mut self) -> Tick {
        // Xorshift (Marsaglia, 2003): enough to end ties.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        PROMISE + Tick(self.random % TIMEOUT_SPREAD.0)
    }

    // Places.

    fn last(&self) -> Place {
        let index = self.log.len() as u64;
        Place { index, term: term_at(&self.log, index) }
    }

    fn place(&self, index: u64) -> Option<Place> {
        (index <= self.log.len() as u64).then(|| Place { index, term: term_at(&self.log, index) })
    }
}

fn term_at(log: &[Entry], index: u64) -> u64 {
    index.checked_sub(1).map_or(0, |place| log[place as usize].term)
}
