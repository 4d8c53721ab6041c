//! Hashes of replies for the trace: of every number in them, without the detour over text that the default takes.

use stormproof_engine::memory::{Record, RecordId, Reply, Version};

/// A hash of everything that a reply says.
pub(super) fn reply(reply: &Reply) -> u64 {
    match reply {
        Reply::Committed { lsn, versions } => {
            versions.iter().fold(add(1, lsn.0), |hash, (id, version)| named(hash, *id, *version))
        }
        Reply::Records { at, records } => records.iter().fold(add(2, at.0), |hash, it| record(hash, it)),
        Reply::Count { at, n } => add(add(3, at.0), *n),
        Reply::Hits { at, hits } => {
            let hit = |hash, hit: &stormproof_engine::memory::Hit| {
                record(add(hash, u64::from(hit.distance.to_bits())), &hit.record)
            };
            hits.iter().fold(add(4, at.0), hit)
        }
        // Rare, and told apart by their words.
        Reply::Conflict(why) => text(5, &format!("{why:?}")),
        Reply::Refused(why) => text(6, &format!("{why:?}")),
        Reply::Unavailable(why) => text(7, &format!("{why:?}")),
    }
}

fn record(hash: u64, record: &Record) -> u64 {
    let hash = named(text(hash, &record.text), record.id, record.version);
    record.vector.iter().fold(hash, |hash, x| add(hash, u64::from(x.to_bits())))
}

fn named(hash: u64, id: RecordId, version: Version) -> u64 {
    add(add(hash, id.0), version.0)
}

fn text(hash: u64, text: &str) -> u64 {
    text.bytes().fold(add(hash, text.len() as u64), |hash, byte| add(hash, u64::from(byte)))
}

fn add(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
