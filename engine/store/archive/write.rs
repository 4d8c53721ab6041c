//! Writing a generation, front to back: the rows, then the body, then the footer.

use std::sync::Arc;

use stormproof_contract::{Disk, File, Open};

use super::{
    BLOCK_BYTES, DIRECTORY, GenerationName, GenerationNo, POINTS, RowFormat,
    footer::{FOOTER_BYTES, Footer, Home},
};
use crate::{
    ids::{Lsn, RecordId, Version},
    store::{
        Digest, DigestBuilder, StoreResult,
        codec::{Flaw, put_u32, put_u64},
        log::LogId,
    },
};

/// Rows are written in about so many bytes at a time.
const ROWS_BYTES: usize = 1 << 20;

/// A generation that is being written. Nothing names it before [`finish`](Self::finish) has made it durable and a manifest was
/// installed; until then a crash leaves a file that the next recovery removes.
pub struct GenerationWriter {
    disk: Arc<dyn Disk>,
    file: Arc<dyn File>,
    home: Home,
    components: u32,
    format: RowFormat,
    /// The record of each row, its version, and the row's checksum.
    rows: Vec<(RecordId, Version, u32)>,
    pending: Vec<u8>,
    /// Where the pending bytes go.
    offset: u64,
    body: DigestBuilder,
}

impl GenerationWriter {
    /// Begins a generation of the database `log`, of vectors with so many components, in rows of that format. There must be no file of that number:
    /// that of another attempt, which may still be at work, is never written into.
    pub fn create(
        disk: &Arc<dyn Disk>,
        log: LogId,
        no: GenerationNo,
        components: u32,
        format: RowFormat,
    ) -> StoreResult<GenerationWriter> {
        Ok(GenerationWriter {
            disk: Arc::clone(disk),
            file: disk.open(&no.path(), Open::CreateNew)?,
            home: Home { log, no },
            components,
            format,
            rows: Vec::new(),
            pending: Vec::new(),
            offset: 0,
            body: DigestBuilder::default(),
        })
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Adds the row of a record.
    ///
    /// # Panics
    /// If the vector has another number of components, or ids do not ascend.
    pub fn push(&mut self, id: RecordId, version: Version, vector: &[f32]) -> StoreResult<()> {
        assert!(vector.len() == self.components as usize, "all vectors of a database have as many components");
        assert!(self.rows.last().is_none_or(|last| last.0 < id), "rows are in the order of their ids");
        let (begin, at) = (self.pending.len(), self.rows.len() as u64 * self.stride());
        self.format.put(&mut self.pending, vector);
        let seal = self.home.seal_row(at, id, version, &self.pending[begin..]);
        self.pending.resize(begin + self.stride() as usize, 0);
        self.rows.push((id, version, seal));
        if self.pending.len() >= ROWS_BYTES { self.write_pending() } else { Ok(()) }
    }

    /// Ends the rows, which can be read from now on.
    pub fn end_rows(&mut self) -> StoreResult<()> {
        self.write_pending()?;
        self.disk.point(POINTS[0])?;
        Ok(())
    }

    /// Reads rows back, from one on, into `vectors`, one behind the other: as many as are left there and `max` at most. What
    /// was written is not believed either: it is going to be compared with queries for as long as the generation lives.
    pub fn read_rows(&self, from: usize, max: usize, vectors: &mut Vec<f32>) -> StoreResult<()> {
        let (stride, row_bytes) = (self.stride() as usize, self.format.row_bytes(self.components));
        let rows = &self.rows[from..self.rows.len().min(from + max)];
        let at = (from * stride) as u64;
        let mut bytes = vec![0; rows.len() * stride];
        self.file.read_exact_at(at, &mut bytes)?;
        vectors.clear();
        for (row, (id, version, seal)) in bytes.chunks_exact(stride).zip(rows) {
            let at = at + (vectors.len() / self.components as usize * stride) as u64;
            let row = &row[..row_bytes];
            let found = self.home.seal_row(at, *id, *version, row);
            if found != *seal {
                let (expected, found) = (format!("checksum {seal:08x}"), format!("{found:08x}"));
                return Err(Flaw::new(0, expected, found).in_file(&self.home.no.path(), at));
            }
            self.format.read(row, vectors);
        }
        Ok(())
    }

    /// Begins the body: how vectors were made into codes.
    pub fn push_codec(&mut self, codec: &[u8]) -> StoreResult<()> {
        self.push_body(codec)
    }

    /// Adds what the body says of a row's record: its code, and the nodes that its own leads to.
    pub fn push_node(&mut self, row: usize, code: &[u8], links: &[u32]) -> StoreResult<()> {
        let (id, version, seal) = self.rows[row];
        let mut node = Vec::with_capacity(20 + code.len() + 4 * links.len());
        put_u64(&mut node, id.0);
        put_u64(&mut node, version.0);
        put_u32(&mut node, seal);
        node.extend_from_slice(code);
        for link in links {
            put_u32(&mut node, *link);
        }
        self.push_body(&node)
    }

    /// Completes the generation as of a frame of the log, and makes it durable with its name. `graph` says how many links each
    /// node has, where a search begins, and how many bytes a codec and a code have.
    pub fn finish(mut self, built: Lsn, graph: GraphFacts) -> StoreResult<GenerationName> {
        self.write_block(self.pending.len())?;
        let footer = Footer {
            home: self.home,
            components: self.components,
            format: self.format,
            degree: graph.degree,
            entry: graph.entry,
            codec_bytes: graph.codec_bytes,
            code_bytes: graph.code_bytes,
            built,
            records: self.rows.len() as u64,
            body_at: self.rows.len() as u64 * self.stride(),
            body: self.body.finish(),
        };
        let bytes = footer.encode();
        self.file.write_all_at(self.offset, &[&bytes])?;
        self.disk.point(POINTS[1])?;
        self.file.sync()?;
        self.disk.sync_dir(DIRECTORY)?;
        self.disk.point(POINTS[2])?;
        Ok(GenerationName {
            no: self.home.no,
            bytes: self.offset + FOOTER_BYTES as u64,
            digest: Digest::of(&bytes),
            built,
            records: footer.records,
        })
    }

    fn stride(&self) -> u64 {
        self.format.stride(self.components)
    }

    fn write_pending(&mut self) -> StoreResult<()> {
        self.file.write_all_at(self.offset, &[&self.pending])?;
        self.offset += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn push_body(&mut self, bytes: &[u8]) -> StoreResult<()> {
        self.pending.extend_from_slice(bytes);
        while self.pending.len() >= BLOCK_BYTES {
            self.write_block(BLOCK_BYTES)?;
        }
        Ok(())
    }

    fn write_block(&mut self, len: usize) -> StoreResult<()> {
        let block = &self.pending[..len];
        if block.is_empty() {
            return Ok(());
        }
        let seal = self.home.seal(self.offset, block).to_le_bytes();
        self.file.write_all_at(self.offset, &[block, &seal])?;
        self.body.update(block);
        self.offset += (len + seal.len()) as u64;
        self.pending.drain(..len);
        Ok(())
    }
}

/// What a footer says of the graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GraphFacts {
    /// Links of each node, those that lead nowhere too.
    pub degree: u32,
    /// Where a search begins; 0 if there is no node.
    pub entry: u32,
    /// The bytes of the codec.
    pub codec_bytes: u32,
    /// The bytes of each code.
    pub code_bytes: u32,
}
