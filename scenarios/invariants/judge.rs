//! The judge of a single node: looks at every boot, after every batch, and at the end.

use stormproof_contract::{Node, NodeId};
use stormproof_engine::memory::{Engine, Facts, MemoryNode, Op, Outcome, Reply, audit};
use stormproof_sim::{
    check::{
        history::Outcome as Answer,
        invariant::{Claim, Invariant},
    },
    world::{
        Death,
        fault::FaultKind,
        stage::{Delivered, Ended, Findings, Judge, Seen},
    },
};

use super::{
    claims::{D1, D2, D3, D4, D5, D6, D7, Q1, Q3, Q4, T1},
    contents::{self, Asked},
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

/// Points between which a death means that the batch was not decided.
const UNDECIDED: [&str; 5] =
    ["commit.begin", "commit.vote.begun", "commit.vote.l1_written", "commit.decide.begun", "commit.decide.reserved"];

/// The judge of a single node.
pub struct MemoryJudge {
    invariants: Vec<Invariant>,
    acknowledged: Vec<Acknowledged>,
    /// What the node knew when it last settled, or booted.
    known: Known,
    /// What recovery made of the disk last, if nothing has settled since.
    recovered: Option<audit::Lasting>,
    /// The point after which it died.
    died_after: Option<(&'static str, Death)>,
}

impl MemoryJudge {
    /// A judge of these claims.
    pub fn new(invariants: Vec<Invariant>) -> Self {
        let known = Known::default();
        MemoryJudge { invariants, acknowledged: Vec::new(), known, recovered: None, died_after: None }
    }

    fn booted(&mut self, facts: &Facts, files: &[String], findings: &mut Findings) {
        findings.check(&D1, "an acknowledged commit is lost", recovery::keeps_the_acknowledged(facts, &self.acknowledged));
        findings.check(&D5, "what was recovered is no prefix", recovery::is_a_prefix(facts, &self.known));
        if let Some((after, _)) = self.died_after.take()
            && UNDECIDED.contains(&after)
        {
            findings.reach("died before the decision");
            findings.check(&D2, "killed during the vote, and committed", recovery::adds_nothing(facts, &self.known, after));
        }
        findings.check(&D4, "a temporary file is left", recovery::has_swept(files));
        let lasting = audit::lasting(facts);
        if let Some(before) = &self.recovered {
            let same = if *before == lasting { Ok(()) } else { Err(format!("was {before:?}, is {lasting:?}")) };
            findings.check(&D7, "recovered again, it differs", same);
        }
        self.recovered = Some(lasting);
        self.known = Known::of(facts);
        tiers_agree(facts, findings);
    }

    fn settled(&mut self, facts: &Facts, findings: &mut Findings) {
        self.known = Known::of(facts);
        // The same as recovered until a batch changes something; a refusal that is written down does as well.
        if self.recovered.as_ref().is_some_and(|before| before.lsn != facts.lsn) {
            self.recovered = None;
        }
        tiers_agree(facts, findings);
    }
}

/// What holds at every moment: the tiers agree, and so do the managers.
fn tiers_agree(facts: &Facts, findings: &mut Findings) {
    findings.check(&D3, "the index is not the records", audit::index_agrees(facts));
    findings.check(&D2, "a manager disagrees", audit::managers_agree(facts));
    findings.check(&D5, "decisions are out of order", audit::decisions_are_ordered(facts));
}

impl Judge<Engine> for MemoryJudge {
    fn invariants(&self) -> Vec<Invariant> {
        self.invariants.clone()
    }

    fn see(&mut self, seen: Seen<'_, Engine>, findings: &mut Findings) {
        match seen {
            Seen::Booted { state, files, .. } => self.booted(&facts(state), &files(), findings),
            Seen::Settled { state, .. } => self.settled(&facts(state), findings),
            Seen::Died { death, after, .. } => self.died_after = Some((after, death)),
            Seen::Replied { op, history } => {
                let operation = &history.operations()[op.0 as usize];
                if let (Op::Commit(transaction), Answer::Ok { reply: Reply::Committed { lsn, versions }, .. }) =
                    (&operation.op, &operation.outcome)
                {
                    let (retry, lsn, versions) = (transaction.retry, *lsn, versions.clone());
                    self.acknowledged.push(Acknowledged { retry, lsn, versions });
                }
            }
            Seen::Noted { .. } => {}
        }
    }

    fn may_refuse(&mut self, _: NodeId, words: &str, delivered: &Delivered) -> bool {
        let damaged = DAMAGE.iter().any(|kind| delivered.contains_key(kind));
        // A refusal that does not say where to look helps nobody.
        damaged && words.contains('`') && words.contains("offset")
    }

    fn end(&mut self, ended: &Ended<'_, Engine>, findings: &mut Findings) {
        let damaged = DAMAGE.iter().any(|kind| ended.delivered.contains_key(kind));
        let Some((_, node)) = ended.nodes.first() else {
            if damaged {
                findings.holds(&D6);
            }
            return;
        };
        let facts = facts(node);
        let history = ended.history;
        let asked = Asked::of(history, &facts);
        findings.check(&D1, "an acknowledged commit is lost", recovery::keeps_the_acknowledged(&facts, &self.acknowledged));
        findings.check(&D2, "a record is not what was asked for", contents::are_whole(&facts, &asked));
        findings.check(&D4, "a refused transaction is committed", contents::refused_left_nothing(&facts, history));
        let (answers, verdict) = reads::check(history, &facts, &asked);
        for claim in [&Q1, &Q3, &Q4].into_iter().filter(|_| answers > 0) {
            findings.holds(claim);
        }
        if damaged {
            findings.holds(&D6);
        }
        if let Err(wrong) = verdict {
            let (claim, kind, words): (&Claim, _, _) = match wrong {
                Wrong::Unfounded(words) => (&D5, "an answer shows what was never durable", words),
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
