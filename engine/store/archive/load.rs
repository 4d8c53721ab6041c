//! Reading a generation: its body into memory, a part at a time; and what a row's bytes say.

use std::sync::Arc;

use stormproof_contract::{Disk, File, Open};

use super::{
    BLOCK_BYTES, GenerationName, RowFormat, SEAL_BYTES,
    footer::{FOOTER_BYTES, Footer, Home},
};
use crate::{
    ids::{Lsn, RecordId, Version},
    store::{
        Digest, DigestBuilder, StoreResult,
        codec::{Cursor, Flaw},
        files::missing,
        log::LogId,
        segment::Span,
    },
};

/// A generation that was read and verified: which records it has, where their rows are, and what those must be.
pub struct Generation {
    name: GenerationName,
    path: Box<str>,
    file: Arc<dyn File>,
    footer: Footer,
    /// The record of each node, in the order of the ids.
    ids: Vec<RecordId>,
    versions: Vec<Version>,
    seals: Vec<u32>,
}

/// What the body says of the graph, for whoever knows what codes are.
#[derive(Debug, Default)]
pub struct GraphParts {
    /// How vectors were made into codes.
    pub codec: Vec<u8>,
    /// The code of each node, one behind the other, in pieces of whole codes: it is most of it all, and whoever takes a piece can
    /// let it go before the next.
    pub codes: Vec<Vec<u8>>,
    /// The nodes that each leads to, as many of each: `u32::MAX` is none.
    pub links: Vec<u32>,
    /// Where a search begins.
    pub entry: u32,
    /// Links of each node.
    pub degree: u32,
}

/// A generation that is being read.
pub struct Loading {
    generation: Generation,
    parts: GraphParts,
    /// Read and not yet taken apart.
    pending: Vec<u8>,
    /// Where the next block begins.
    offset: u64,
    /// Bytes of the body that were not read yet.
    left: u64,
    body: DigestBuilder,
}

impl Loading {
    /// Opens the generation of that name. Its footer is read and verified.
    pub fn open(disk: &dyn Disk, log: LogId, name: &GenerationName, components: u32) -> StoreResult<Loading> {
        let path = name.no.path().into_boxed_str();
        let file = match disk.open(&path, Open::Read) {
            Err(error) if error.is_not_found() => {
                return Err(missing(&path, "the generation of the archive that the manifest names"));
            }
            opened => opened?,
        };
        let found = file.meta()?.len;
        if found != name.bytes || found < FOOTER_BYTES as u64 {
            return Err(Flaw::new(0, format!("{} bytes", name.bytes), format!("{found}")).in_file(&path, 0));
        }
        let (footer, digest) = read_footer(&*file, &path, found)?;
        let expected = (Home { log, no: name.no }, components, name.built, name.records, name.digest);
        let says = (footer.home, footer.components, footer.built, footer.records, digest);
        if says != expected {
            let at = found - FOOTER_BYTES as u64;
            return Err(Flaw::new(0, format!("{expected:?}"), format!("{says:?}")).in_file(&path, at));
        }
        Ok(Loading::of(*name, path, file, footer))
    }

    /// Opens a generation under any name, and takes it for what it says it is: to be looked at.
    pub fn open_alone(disk: &dyn Disk, path: &str) -> StoreResult<Loading> {
        let file = disk.open(path, Open::Read)?;
        let bytes = file.meta()?.len;
        if bytes < FOOTER_BYTES as u64 {
            return Err(Flaw::new(0, "a generation of the archive", format!("{bytes} bytes")).in_file(path, 0));
        }
        let (footer, digest) = read_footer(&*file, path, bytes)?;
        let Footer { home, built, records, .. } = footer;
        let name = GenerationName { no: home.no, bytes, digest, built, records };
        Ok(Loading::of(name, path.into(), file, footer))
    }

    fn of(name: GenerationName, path: Box<str>, file: Arc<dyn File>, footer: Footer) -> Loading {
        // The file is as long as so many records take: it was compared.
        let records = footer.records as usize;
        let (ids, versions) = (Vec::with_capacity(records), Vec::with_capacity(records));
        let seals = Vec::with_capacity(records);
        Loading {
            generation: Generation { name, path, file, footer, ids, versions, seals },
            parts: GraphParts { entry: footer.entry, degree: footer.degree, ..GraphParts::default() },
            pending: Vec::new(),
            offset: footer.body_at,
            left: footer.body_bytes(),
            body: DigestBuilder::default(),
        }
    }

    /// What it is called, of which database, and of vectors with how many components.
    pub fn about(&self) -> (GenerationName, LogId, u32) {
        (self.generation.name, self.generation.footer.home.log, self.generation.footer.components)
    }

    /// Where the body begins.
    pub fn body_at(&self) -> u64 {
        self.generation.footer.body_at
    }

    /// How many records it has, and about how many bytes it is going to take in memory.
    pub fn bytes(&self) -> u64 {
        self.generation.footer.body_bytes()
    }

    /// Reads the next `blocks`; true once all was read.
    pub fn step(&mut self, blocks: usize) -> StoreResult<bool> {
        for _ in 0..blocks {
            if self.left == 0 {
                break;
            }
            self.read_block()?;
        }
        Ok(self.left == 0)
    }

    /// How many links each node has, as the footer says.
    pub fn degree(&self) -> usize {
        self.generation.footer.degree as usize
    }

    /// How many bytes a code has, as the footer says.
    pub fn code_bytes(&self) -> usize {
        self.generation.footer.code_bytes as usize
    }

    /// How vectors were made into codes, and the codes and links that were read since this was asked last; nothing yet before the first.
    pub fn take_parts(&mut self) -> (&[u8], Vec<Vec<u8>>, Vec<u32>) {
        let (codes, links) = (std::mem::take(&mut self.parts.codes), std::mem::take(&mut self.parts.links));
        (&self.parts.codec, codes, links)
    }

    /// Gives what was read and not taken before, all of it being read.
    pub fn finish(self) -> StoreResult<(Generation, GraphParts)> {
        assert!(self.left == 0, "all was read");
        let (expected, found) = (self.generation.footer.body, self.body.finish());
        if expected != found {
            let at = self.generation.footer.body_at;
            let flaw = Flaw::new(0, format!("a body of digest {expected}"), format!("{found}"));
            return Err(flaw.in_file(&self.generation.path, at));
        }
        if let Some(at) = self.generation.ids.windows(2).position(|ids| ids[0] >= ids[1]) {
            let flaw = Flaw::new(0, "records in the order of their ids", format!("{} again", self.generation.ids[at]));
            return Err(flaw.in_file(&self.generation.path, self.generation.footer.body_at));
        }
        Ok((self.generation, self.parts))
    }

    fn read_block(&mut self) -> StoreResult<()> {
        let len = self.left.min(BLOCK_BYTES as u64) as usize;
        let mut bytes = vec![0; len + SEAL_BYTES];
        self.generation.file.read_exact_at(self.offset, &mut bytes)?;
        let (block, seal) = bytes.split_at(len);
        let seal = u32::from_le_bytes([seal[0], seal[1], seal[2], seal[3]]);
        let expected = self.generation.footer.home.seal(self.offset, block);
        if seal != expected {
            let flaw = Flaw::new(len, format!("checksum {expected:08x}"), format!("{seal:08x}"));
            return Err(flaw.in_file(&self.generation.path, self.offset));
        }
        self.body.update(block);
        self.pending.extend_from_slice(block);
        self.offset += bytes.len() as u64;
        self.left -= len as u64;
        self.take_apart().map_err(|flaw| flaw.in_file(&self.generation.path, self.generation.footer.body_at))
    }

    /// Takes what is pending apart, as far as it is whole.
    fn take_apart(&mut self) -> Result<(), Flaw> {
        let footer = &self.generation.footer;
        let mut from = Cursor::new(&self.pending);
        if self.parts.codec.is_empty() {
            if self.pending.len() < footer.codec_bytes as usize {
                return Ok(());
            }
            self.parts.codec = from.take(footer.codec_bytes as usize)?.to_vec();
        }
        let (node_bytes, mut codes) = (footer.node_bytes(), Vec::new());
        while self.pending.len() - from.position() >= node_bytes {
            self.generation.ids.push(RecordId(from.u64()?));
            self.generation.versions.push(Version(from.u64()?));
            self.generation.seals.push(from.u32()?);
            codes.extend_from_slice(from.take(footer.code_bytes as usize)?);
            for _ in 0..footer.degree {
                self.parts.links.push(from.u32()?);
            }
        }
        if !codes.is_empty() {
            self.parts.codes.push(codes);
        }
        let taken = from.position();
        self.pending.drain(..taken);
        Ok(())
    }
}

fn read_footer(file: &dyn File, path: &str, file_bytes: u64) -> StoreResult<(Footer, Digest)> {
    let mut bytes = [0; FOOTER_BYTES];
    file.read_exact_at(file_bytes - FOOTER_BYTES as u64, &mut bytes)?;
    Ok((Footer::decode(&bytes, path, file_bytes)?, Digest::of(&bytes)))
}

impl Generation {
    /// Reads the vector of a node, and compares its checksum.
    pub fn read_vector(&self, node: usize) -> StoreResult<Vec<f32>> {
        let span = self.row_span(node);
        let mut bytes = vec![0; span.len];
        self.file.read_exact_at(span.offset, &mut bytes)?;
        self.vector(node, &bytes)
    }

    /// Its name.
    pub fn name(&self) -> &GenerationName {
        &self.name
    }

    /// The frame as of which it has every live record.
    pub fn built(&self) -> Lsn {
        self.footer.built
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The record of a node, and its version.
    pub fn record(&self, node: usize) -> (RecordId, Version) {
        (self.ids[node], self.versions[node])
    }

    /// The node of a record.
    pub fn node_of(&self, id: RecordId) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// Its records, in the order of their ids.
    pub fn records(&self) -> impl Iterator<Item = (RecordId, Version)> {
        self.ids.iter().copied().zip(self.versions.iter().copied())
    }

    /// Its file, for reads that a query states.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Its file's path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the vector of a node is.
    pub fn row_span(&self, node: usize) -> Span {
        let len = self.footer.format.row_bytes(self.footer.components);
        Span { offset: self.footer.row_at(node as u64), len }
    }

    /// How its rows are written.
    pub fn format(&self) -> RowFormat {
        self.footer.format
    }

    /// What the bytes of [`row_span`](Self::row_span) say.
    pub fn vector(&self, node: usize, bytes: &[u8]) -> StoreResult<Vec<f32>> {
        let span = self.row_span(node);
        let (id, version) = self.record(node);
        let found = self.footer.home.seal_row(span.offset, id, version, bytes);
        if found != self.seals[node] || bytes.len() != span.len {
            let (expected, found) = (format!("checksum {:08x}", self.seals[node]), format!("{found:08x}"));
            return Err(Flaw::new(0, expected, found).in_file(&self.path, span.offset));
        }
        let mut vector = Vec::with_capacity(self.footer.components as usize);
        self.footer.format.read(bytes, &mut vector);
        Ok(vector)
    }
}
