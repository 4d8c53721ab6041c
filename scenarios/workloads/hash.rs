//! Hashes of operations and replies for the trace: of every number in them, without the detour over text that the
//! default takes.

use stormproof_engine::memory::{Completeness, Draft, Link, Op, Record, RecordId, Reply, Transaction, Version};

/// A hash of everything that an operation says.
pub(super) fn op(op: &Op) -> u64 {
    match op {
        Op::Commit(commit) => transaction(commit),
        Op::Get { ids } => ids.iter().fold(8, |hash, id| add(hash, id.0)),
        Op::Count => 9,
        Op::Range { from, limit } => add(add(13, from.0), u64::from(*limit)),
        Op::Walk { from, hops, limit } => add(add(add(14, from.0), u64::from(*hops)), u64::from(*limit)),
        Op::Activate { ids } => ids.iter().fold(16, |hash, id| add(hash, id.0)),
        Op::Consolidate { pass } => add(17, *pass as u64),
        Op::Rebuild => 22,
        Op::Search { vector, k, route, complexity } => {
            components(add(add(add(10, u64::from(*k)), *route as u64), u64::from(*complexity)), vector)
        }
    }
}

fn transaction(commit: &Transaction) -> u64 {
    let Transaction { retry, reads, whole, inserts, upserts, deletes, managers, bulk } = commit;
    let hash = add(add(11, retry.0 as u64), (retry.0 >> 64) as u64);
    let hash = reads
        .iter()
        .fold(hash, |hash, read| add(add(hash, read.id.0), read.version.map_or(u64::MAX, |version| version.0)));
    let hash = inserts.iter().fold(add(hash, inserts.len() as u64), draft);
    let hash = upserts.iter().fold(add(hash, upserts.len() as u64), draft);
    let hash = deletes.iter().fold(add(hash, deletes.len() as u64), |hash, id| add(hash, id.0));
    let hash = if *bulk { add(hash, 21) } else { hash };
    // Rare, and told apart by their words.
    if whole.is_none() && managers.is_empty() { hash } else { text(hash, &format!("{whole:?} {managers:?}")) }
}

fn draft(hash: u64, draft: &Draft) -> u64 {
    let Draft { id, vector, text: words, attributes, links, kappa } = draft;
    let hash = add(components(text(add(hash, id.0), words), vector), u64::from(kappa.to_bits()));
    let hash = links.iter().fold(hash, linked);
    if attributes.is_empty() { hash } else { text(hash, &format!("{attributes:?}")) }
}

/// A hash of everything that a reply says.
pub(super) fn reply(reply: &Reply) -> u64 {
    match reply {
        Reply::Committed { lsn, versions } => {
            versions.iter().fold(add(1, lsn.0), |hash, (id, version)| named(hash, *id, *version))
        }
        Reply::Records { at, records } => records.iter().fold(add(2, at.0), |hash, it| record(hash, it)),
        Reply::Count { at, n } => add(add(3, at.0), *n),
        Reply::Reached { at, records, more } => {
            let reached = |hash, (id, hops): &(RecordId, u32)| add(add(hash, id.0), u64::from(*hops));
            records.iter().fold(add(add(15, at.0), u64::from(*more)), reached)
        }
        Reply::Rebuilt { generation, built, records } => add(add(add(23, *generation), built.0), *records),
        Reply::Hits { at, hits, archive, completeness } => {
            let hit = |hash, hit: &stormproof_engine::memory::Hit| {
                record(add(hash, u64::from(hit.distance.to_bits())), &hit.record)
            };
            let hash = archive.map_or(0, |searched| add(add(24, searched.generation), searched.built.0));
            let partly = u64::from(*completeness != Completeness::Full);
            hits.iter().fold(add(add(add(4, at.0), hash), partly), hit)
        }
        Reply::Activated { waiting } => add(18, *waiting),
        Reply::Consolidated { changed, spared } => add(add(19, *changed), *spared),
        // Rare, and told apart by their words.
        Reply::Conflict(why) => text(5, &format!("{why:?}")),
        Reply::Refused(why) => text(6, &format!("{why:?}")),
        Reply::Unavailable(why) => text(7, &format!("{why:?}")),
        Reply::Queued { ahead } => add(12, *ahead),
        Reply::Staged { ahead } => add(20, *ahead),
    }
}

fn record(hash: u64, record: &Record) -> u64 {
    let hash = named(text(hash, &record.text), record.id, record.version);
    let hash = record.links.iter().fold(add(hash, u64::from(record.kappa.to_bits())), linked);
    components(hash, &record.vector)
}

fn linked(hash: u64, link: &Link) -> u64 {
    add(add(hash, link.to.0), u64::from(link.weight.to_bits()))
}

fn components(hash: u64, vector: &[f32]) -> u64 {
    vector.iter().fold(add(hash, vector.len() as u64), |hash, x| add(hash, u64::from(x.to_bits())))
}

fn named(hash: u64, id: RecordId, version: Version) -> u64 {
    add(add(hash, id.0), version.0)
}

/// Eight bytes at a time: texts are most of what is hashed.
fn text(hash: u64, text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(add(hash, text.len() as u64), |hash, word| add(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| add(hash, u64::from(*byte)))
}

fn add(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
