//! The judge of a single node: looks at every boot, after every batch, and at the end.

use std::collections::BTreeSet;

use stormproof_contract::{Node, NodeId};
use stormproof_engine::memory::{Engine, Facts, Lsn, MemoryNode, Op, Outcome, Reply, RetryId, audit};
use stormproof_sim::{
    check::{
        history::{History, Outcome as Answer},
        invariant::{Claim, Invariant},
    },
    world::{
        Death,
        fault::FaultKind,
        stage::{Delivered, Ended, Findings, Judge, Seen},
    },
};

use super::{
    archive::{self, Archive},
    bulk,
    claims::{B1, B2, D1, D2, D3, D4, D5, D6, D7, Q1, Q2, Q3, Q4, S2, T1},
    consolidation::Consolidation,
    contents::{self, Asked},
    degradation,
    reads::{self, Wrong},
    recovery::{self, Acknowledged, Known},
    transactions,
};

/// Kinds of damage after which a node may refuse to start, if it names what is damaged.
const DAMAGE: [FaultKind; 5] = [
    FaultKind::BitRot,
    FaultKind::LostWrite,
    FaultKind::MisdirectedWrite,
    FaultKind::TornWrite,
    FaultKind::MisdirectedRead,
];

/// A death after one of these points comes before the frame is written: the batch was not decided.
const UNDECIDED: [&str; 4] = ["commit.begin", "commit.vote.begun", "commit.vote.l1_written", "commit.decide.begun"];

/// The judge of a single node.
pub struct MemoryJudge {
    invariants: Vec<Invariant>,
    acknowledged: Vec<Acknowledged>,
    /// Transactions whose clients were told no. That must stay true, whatever copies of a request arrive later.
    refused: BTreeSet<RetryId>,
    /// The last LSN that a query was answered at.
    read_at: Lsn,
    /// The node when it last settled, or booted.
    last: Option<Facts>,
    /// Whether nothing was under way when it died, so that it must be the same again.
    same_again: bool,
    /// Whether the run is over but for one more start.
    encore: bool,
    /// The point that it had passed last when it died.
    died_after: &'static str,
    consolidation: Consolidation,
    archive: Archive,
}

impl MemoryJudge {
    /// A judge of these claims.
    pub fn new(invariants: Vec<Invariant>) -> Self {
        MemoryJudge {
            invariants,
            acknowledged: Vec::new(),
            refused: BTreeSet::new(),
            read_at: Lsn(0),
            last: None,
            same_again: false,
            encore: false,
            died_after: "",
            consolidation: Consolidation::default(),
            archive: Archive::default(),
        }
    }

    fn booted(
        &mut self,
        facts: Facts,
        files: &[String],
        delivered: &Delivered,
        history: &History<Op, Reply>,
        findings: &mut Findings,
    ) {
        // First, since damage that is believed breaks other claims as well, and this one names the cause.
        if was_damaged(delivered) {
            let genuine = contents::are_genuine(&facts, &Asked::of(history, &self.consolidation.proposed, &facts));
            findings.check(&D6, "damage is recovered as data", genuine);
        } else if let Some(words) = facts.unread.first() {
            findings.broken(&D6, "what nothing has damaged cannot be read", words);
        }
        let known = self.last.as_ref().map(Known::of).unwrap_or_default();
        let kept = recovery::keeps_the_acknowledged(&facts, &self.acknowledged);
        findings.check(&D1, "an acknowledged commit is lost", kept);
        findings.check(&D5, "what was recovered is no prefix", recovery::is_a_prefix(&facts, &known));
        let read = recovery::keeps_what_was_read(&facts, self.read_at);
        findings.check(&D5, "an answer showed what was lost", read);
        if UNDECIDED.contains(&self.died_after) {
            findings.reach("died before the decision");
            let staged = self.last.iter().flat_map(|last| &last.staged).copied().collect();
            let nothing_new = recovery::adds_nothing(&facts, &known, &staged, self.died_after);
            findings.check(&D2, "killed during the vote, and committed", nothing_new);
        }
        // What could not be removed, or belongs to a participant that could not be told the end yet, is left, and
        // nothing believes it; and an orphan goes on writing. Once nothing fails any more it has to be gone.
        let could = |kind| !delivered.contains_key(&kind);
        let swept = !facts.l1_is_stale()
            && facts.owed.is_empty()
            && could(FaultKind::RemoveError)
            && could(FaultKind::ListError)
            && could(FaultKind::JobOrphan);
        if swept || self.encore {
            findings.check(&D4, "a temporary file is left", recovery::has_swept(files, &facts));
        }
        if let Some(last) = &self.last {
            findings.check(&D7, "given versions are forgotten", recovery::keeps_the_floor(last, &facts));
        }
        let shown = |facts: &Facts| facts.unread.is_empty();
        if let Some(last) = self.last.as_ref().filter(|last| self.same_again && shown(last) && shown(&facts)) {
            findings.check(&D7, "recovered again, it differs", recovery::is_the_same(last, &facts));
        }
        tiers_agree(&facts, findings);
        self.archive.booted(&facts, was_damaged(delivered), findings);
        let asked = Asked::of(history, &self.consolidation.proposed, &facts);
        findings.check(&S2, "a generation is incomplete", archive::is_complete(&facts, reads::live_at(&facts, &asked)));
        self.same_again = true;
        self.consolidation.booted();
        self.last = Some(facts);
    }

    fn settled(&mut self, facts: Facts, findings: &mut Findings) {
        tiers_agree(&facts, findings);
        if let Some(last) = &self.last {
            findings.check(&B1, "a held write went astray", degradation::is_legal(last, &facts));
            findings.check(&B2, "a staged load went astray", bulk::is_legal(last, &facts));
        }
        self.archive.settled(&facts, findings);
        self.consolidation.settled(&facts, findings);
        self.last = Some(facts);
    }

    /// Whoever died in a recovery, or was killed when all was over, had nothing under way.
    fn died(&mut self, after: &'static str, death: Death, findings: &mut Findings) {
        self.died_after = after;
        if let (Death::Encore, Some(last)) = (death, &self.last) {
            findings.check(&B1, "a write is held for ever", degradation::is_over(last));
            findings.check(&B2, "a load is staged for ever", bulk::is_over(last));
        }
        let in_recovery = after == "boot" || after.starts_with("recover.");
        self.encore = death == Death::Encore;
        self.same_again = self.encore || (self.same_again && in_recovery);
    }
}

/// Whether the disk has done what it must not.
fn was_damaged(delivered: &Delivered) -> bool {
    DAMAGE.iter().any(|kind| delivered.contains_key(kind))
}

/// What holds at every moment: the tiers agree, and so do the managers. What is damaged and was not yet met leaves nothing to
/// compare with.
fn tiers_agree(facts: &Facts, findings: &mut Findings) {
    findings.check(&D2, "a manager disagrees", audit::managers_agree(facts));
    if facts.unread.is_empty() {
        findings.check(&D3, "the index is not the records", audit::index_agrees(facts));
        findings.check(&D5, "decisions are out of order", audit::decisions_are_ordered(facts));
    } else {
        findings.reach("damage waits to be met");
    }
}

impl Judge<Engine> for MemoryJudge {
    fn invariants(&self) -> Vec<Invariant> {
        self.invariants.clone()
    }

    fn see(&mut self, seen: Seen<'_, Engine>, findings: &mut Findings) {
        match seen {
            Seen::Booted { state, files, delivered, history, .. } => {
                self.booted(facts(state), &files(), delivered, history, findings);
            }
            Seen::Settled { state, .. } => self.settled(facts(state), findings),
            Seen::Died { after, death, .. } => self.died(after, death, findings),
            Seen::Replied { op, history } => {
                let operation = &history.operations()[op.0 as usize];
                if let Answer::Ok { reply, .. } = &operation.outcome
                    && let Some(at) = reads::read_at(reply)
                {
                    self.read_at = self.read_at.max(at);
                    // At once: a crash that follows would show a state that was never published as one that was lost.
                    let seen = reads::shows_the_acknowledged(operation, at, history);
                    findings.check(&Q4, "an acknowledged commit is not seen", seen);
                }
                // A transaction that writes nothing leaves nothing that could be lost.
                if let (Op::Commit(transaction), Answer::Ok { reply: Reply::Committed { lsn, versions }, .. }) =
                    (&operation.op, &operation.outcome)
                    && !versions.is_empty()
                {
                    let (retry, lsn, versions) = (transaction.retry, *lsn, versions.clone());
                    self.acknowledged.push(Acknowledged { retry, lsn, versions });
                }
            }
            Seen::Refused { op, history } => {
                if let Op::Commit(transaction) = &history.operations()[op.0 as usize].op {
                    self.refused.insert(transaction.retry);
                }
            }
            Seen::Noted { name, .. } => self.archive.noted(name),
        }
    }

    fn may_refuse(&mut self, _: NodeId, words: &str, delivered: &Delivered) -> bool {
        let damaged = was_damaged(delivered);
        // A refusal that does not say where to look helps nobody.
        damaged && words.contains('`') && words.contains("offset")
    }

    fn end(&mut self, ended: &Ended<'_, Engine>, findings: &mut Findings) {
        let damaged = was_damaged(ended.delivered);
        let Some((_, node)) = ended.nodes.first() else {
            if damaged {
                findings.holds(&D6);
            }
            return;
        };
        let facts = facts(node);
        let history = ended.history;
        let asked = Asked::of(history, &self.consolidation.proposed, &facts);
        findings.check(
            &D1,
            "an acknowledged commit is lost",
            recovery::keeps_the_acknowledged(&facts, &self.acknowledged),
        );
        findings.check(&D2, "a record is not what was asked for", contents::are_whole(&facts, &asked));
        let told = contents::refused_left_nothing(&facts, history, &self.refused);
        findings.check(&D4, "a refused transaction is committed", told);
        self.archive.ended(&facts, damaged, findings);
        findings.check(&S2, "a generation is incomplete", archive::is_complete(&facts, reads::live_at(&facts, &asked)));
        let (reads::Answers { all: answers, recall }, verdict) = reads::check(history, &facts, &asked);
        if recall.wanted > 0 {
            findings.reach("the archive was asked");
            findings.check(&Q2, "too few are found", recall.is_enough());
        }
        for claim in [&Q1, &Q3, &Q4].into_iter().filter(|_| answers > 0) {
            findings.holds(claim);
        }
        if damaged {
            findings.holds(&D6);
        }
        if let Err(wrong) = verdict {
            let (claim, kind, words): (&Claim, _, _) = match wrong {
                Wrong::Unfounded(words) => (&D5, "an answer shows what was never durable", words),
                Wrong::Missed(words) => (&Q2, "what the archive does not have is not found", words),
                Wrong::Inexact(words) => (&Q1, "an answer is not exact", words),
                Wrong::Outdated(words) => (&Q3, "an answer is outdated", words),
                Wrong::Late(words) => (&Q4, "an acknowledged commit is not seen", words),
                Wrong::Damaged(words) if damaged => (&D6, "damage is returned as data", words),
                Wrong::Damaged(words) => (&D2, "an answer shows what nobody wrote", words),
            };
            findings.broken(claim, kind, words);
        }
        match transactions::serializable(history, &asked).first() {
            None => findings.holds(&T1),
            Some(finding) => findings.broken(&T1, finding.class.name(), format_args!("{finding:?}")),
        }
        observe(&facts, findings);
    }
}

/// What a run should reach sometimes.
fn observe(facts: &Facts, findings: &mut Findings) {
    let managed = |outcome: &Outcome| matches!(outcome, Outcome::Committed { managers, .. } if !managers.is_empty());
    if facts.decisions.iter().any(|(_, decision)| managed(&decision.outcome)) {
        findings.reach("a manager took part");
    }
    let mut lsns: Vec<_> = facts.decisions.iter().map(|(_, decision)| decision.lsn).collect();
    let all = lsns.len();
    lsns.dedup();
    if lsns.len() < all {
        findings.reach("transactions shared a batch");
    }
}

fn facts(node: &MemoryNode) -> Facts {
    node.inspect(&()).expect("a node of the engine answers every question")
}
