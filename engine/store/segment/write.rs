//! Writing a segment, front to back, from records in the order of their ids.

use std::sync::Arc;

use stormproof_contract::{Disk, File, Open};

use super::{
    DIRECTORY, Decided, POINTS, SegmentName, SegmentNo, decided,
    filter::Filter,
    footer::{self, FOOTER_BYTES, Footer, Group},
    group::Gathered,
    seal::Home,
};
use crate::{
    ids::{Lsn, RecordId},
    store::{Digest, DigestBuilder, Entry, StoreResult, log::LogId},
};

/// A segment that is being written. Nothing names it before [`finish`](Self::finish) has made it durable and the manifest
/// was installed; until then a crash leaves a file that the next recovery removes.
pub struct SegmentWriter {
    disk: Arc<dyn Disk>,
    file: Arc<dyn File>,
    home: Home,
    components: u32,
    gathered: Gathered,
    last: Option<RecordId>,
    offset: u64,
    contents: DigestBuilder,
    groups: Vec<Group>,
    ids: Vec<RecordId>,
    live: u64,
}

impl SegmentWriter {
    /// Begins a segment of the database `log`, whose vectors have so many components. There must be no file of that
    /// number: another writer's, who may still be at work, is never written into.
    pub fn create(disk: &Arc<dyn Disk>, log: LogId, no: SegmentNo, components: u32) -> StoreResult<SegmentWriter> {
        let file = disk.open(&no.path(), Open::CreateNew)?;
        Ok(SegmentWriter {
            disk: Arc::clone(disk),
            file,
            home: Home { log, no },
            components,
            gathered: Gathered::default(),
            last: None,
            offset: 0,
            contents: DigestBuilder::default(),
            groups: Vec::new(),
            ids: Vec::new(),
            live: 0,
        })
    }

    /// Adds what is known of the next record.
    ///
    /// # Panics
    /// If ids do not ascend, or a vector has another number of components.
    pub fn push(&mut self, id: RecordId, entry: &Entry) -> StoreResult<()> {
        assert!(self.last.replace(id).is_none_or(|last| last < id), "ids of a segment ascend");
        let components = entry.record().map_or(self.components as usize, |record| record.vector.len());
        assert!(components == self.components as usize, "all vectors of a database have as many components");
        self.gathered.push(id, entry);
        self.ids.push(id);
        self.live += u64::from(entry.record().is_some());
        if self.gathered.is_full() { self.write_group() } else { Ok(()) }
    }

    /// Makes durable what was written so far, so that completing it does not take as long as all of it.
    pub fn sync(&self) -> StoreResult<()> {
        Ok(self.file.sync()?)
    }

    /// Completes the segment as of a frame of the log, with what its frames decided in their order, and makes it durable
    /// with its name.
    pub fn finish(mut self, upto: Lsn, decisions: &[Decided]) -> StoreResult<SegmentName> {
        if self.gathered.len() > 0 {
            self.write_group()?;
        }
        let (entries, decisions_at) = (self.ids.len() as u64, self.offset);
        self.write_sealed(&decided::encode(decisions))?;
        let filter_at = self.offset;
        let mut filter = Filter::for_entries(entries);
        self.ids.iter().for_each(|&id| filter.add(id));
        self.write_sealed(filter.bytes())?;
        self.write_sealed(&footer::encode_index(&self.groups))?;
        let footer = Footer {
            home: self.home,
            components: self.components,
            upto,
            entries,
            live: self.live,
            groups: self.groups.len() as u64,
            decisions_at,
            filter_at,
            contents: self.contents.finish(),
        };
        let bytes = footer.encode();
        self.file.write_all_at(self.offset, &[&bytes])?;
        self.disk.point(POINTS[0])?;
        self.file.sync()?;
        self.disk.sync_dir(DIRECTORY)?;
        self.disk.point(POINTS[1])?;
        Ok(SegmentName {
            no: self.home.no,
            bytes: self.offset + FOOTER_BYTES as u64,
            digest: Digest::of(&bytes),
            upto,
            entries: footer.entries,
            live: footer.live,
        })
    }

    fn write_group(&mut self) -> StoreResult<()> {
        let gathered = std::mem::take(&mut self.gathered);
        let (keys, facts) = (gathered.encode_keys(), gathered.encode_facts());
        let keys_seal = self.home.seal(self.offset, &keys);
        let facts_at = self.offset + (keys.len() + keys_seal.len()) as u64;
        let facts_seal = self.home.seal(facts_at, &facts);
        let rows_at = facts_at + (facts.len() + facts_seal.len()) as u64;
        let mut rows = Vec::new();
        for (id, version, row) in &gathered.rows {
            let seal = self.home.seal_row(rows_at + rows.len() as u64, *id, *version, row);
            rows.extend_from_slice(row);
            rows.extend_from_slice(&seal);
        }
        let begin = self.offset;
        self.write(&[&keys, &keys_seal, &facts, &facts_seal, &rows])?;
        self.groups.push(Group {
            first: gathered.first().expect("a group has a record"),
            offset: begin,
            entries: gathered.len() as u32,
            live: gathered.rows.len() as u32,
            keys_bytes: (keys.len() + keys_seal.len()) as u32,
            facts_bytes: (facts.len() + facts_seal.len()) as u32,
        });
        Ok(())
    }

    fn write_sealed(&mut self, bytes: &[u8]) -> StoreResult<()> {
        let seal = self.home.seal(self.offset, bytes);
        self.write(&[bytes, &seal])
    }

    fn write(&mut self, parts: &[&[u8]]) -> StoreResult<()> {
        self.file.write_all_at(self.offset, parts)?;
        for part in parts {
            self.contents.update(part);
            self.offset += part.len() as u64;
        }
        Ok(())
    }
}
