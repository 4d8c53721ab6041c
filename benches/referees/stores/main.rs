//! The same records, with the same durability, in the engine and in other embedded stores, one after another: loading them in
//! batches that are each synced before the next begins, reading some by id, reading all in order. A JSON line for each.
//!
//! `stores DIR [RECORDS [BATCH]]`: DIR must be on the disk that is to be measured. It is made, and what the stores leave in it
//! is removed; there must be none of theirs.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use redb::{Database as Redb, ReadableDatabase, ReadableTable, TableDefinition};
use stormproof_engine::{
    driver::{Client, Options, Running, open},
    memory::{Config, Draft, Engine, MemoryNode, Op, RecordId, Reply, RetryId, Transaction},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Components of a vector: those of GIST.
const DIM: usize = 960;
/// How many records are read by id.
const GETS: u64 = 20_000;

/// A store on trial. Records are a number and [`DIM`] floats.
trait Store {
    /// Writes records and makes them durable.
    fn write(&mut self, batch: &[(u64, Vec<f32>)]) -> Outcome<()>;
    /// Reads a record, and gives the sum of its components.
    fn get(&mut self, id: u64) -> Outcome<f32>;
    /// Reads all records in order, and says how many there are.
    fn scan(&mut self) -> Outcome<u64>;
}

fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let dir: PathBuf = arguments.next().ok_or("usage: stores DIR [RECORDS [BATCH]]")?.into();
    let records: u64 = arguments.next().map_or(Ok(100_000), |n| n.parse())?;
    let batch: usize = arguments.next().map_or(Ok(256), |n| n.parse())?;
    fs::create_dir_all(&dir)?;
    let makers: [(&str, fn(&Path) -> Outcome<Box<dyn Store>>); 4] = [
        ("stormproof", Ours::open),
        ("redb 4.6", Other::redb),
        ("fjall 3.1", Other::fjall),
        ("SQLite WAL FULL", Other::sqlite),
    ];
    for (name, make) in makers {
        let home = dir.join(name.replace(' ', "-"));
        // Made anew, since it is removed afterwards with all that is in it.
        fs::create_dir(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        println!("{}", measure(name, &home, make, records, batch)?);
        fs::remove_dir_all(&home)?;
    }
    Ok(())
}

fn measure(
    name: &str,
    home: &Path,
    make: fn(&Path) -> Outcome<Box<dyn Store>>,
    records: u64,
    batch: usize,
) -> Outcome<String> {
    let mut store = make(home)?;
    let written_before = written();
    let (mut waits, began) = (Vec::new(), Instant::now());
    let mut next = 0;
    while next < records {
        let end = records.min(next + batch as u64);
        let some: Vec<_> = (next..end).map(|id| (id, vector(id))).collect();
        let asked = Instant::now();
        store.write(&some)?;
        waits.push(asked.elapsed());
        next = end;
    }
    let load = began.elapsed();
    let (mut sum, began) = (0.0, Instant::now());
    for n in 0..GETS {
        sum += store.get(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % records)?;
    }
    let gets = began.elapsed();
    assert!(sum > 0.0, "vectors have components");
    let began = Instant::now();
    assert_eq!(store.scan()?, records, "every record is there");
    let scan = began.elapsed();
    drop(store);
    let payload = records * (8 + 4 * DIM as u64);
    waits.sort_unstable();
    let at = |share: usize| micros(waits[(waits.len() - 1) * share / 100]);
    Ok(format!(
        "{{\"store\":\"{name}\",\"records\":{records},\"batch\":{batch},\"load_per_s\":{:.0},\"batch_p50_us\":{},\"batch_p99_us\":{},\
         \"get_per_s\":{:.0},\"scan_per_s\":{:.0},\"bytes_per_payload_byte\":{:.2},\"written_per_payload_byte\":{:.2}}}",
        records as f64 / load.as_secs_f64(),
        at(50),
        at(99),
        GETS as f64 / gets.as_secs_f64(),
        records as f64 / scan.as_secs_f64(),
        size(home)? as f64 / payload as f64,
        (written() - written_before) as f64 / payload as f64,
    ))
}

fn micros(time: Duration) -> u128 {
    time.as_micros()
}

fn vector(id: u64) -> Vec<f32> {
    let mut state = id.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..DIM).map(|_| next()).collect()
}

fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn sum(bytes: &[u8]) -> f32 {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).sum()
}

/// Bytes that this process has had written to disks, where the system counts them.
fn written() -> u64 {
    let counted = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = counted.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn size(path: &Path) -> Outcome<u64> {
    let meta = fs::metadata(path)?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

/// The engine, as it is by default: it keeps an exact index over the vectors besides.
struct Ours {
    client: Client<MemoryNode>,
    retry: u128,
    _running: Running<MemoryNode>,
}

impl Ours {
    fn open(home: &Path) -> Outcome<Box<dyn Store>> {
        let running = open(&Engine, &Config { dim: DIM, ..Config::default() }, home, Options::default())?;
        Ok(Box::new(Ours { client: running.client(), retry: 0, _running: running }))
    }

    fn records(&self, op: Op) -> Outcome<Vec<std::sync::Arc<stormproof_engine::memory::Record>>> {
        match self.client.call(op)? {
            Reply::Records { records, .. } => Ok(records),
            other => Err(format!("{other:?}").into()),
        }
    }
}

impl Store for Ours {
    fn write(&mut self, batch: &[(u64, Vec<f32>)]) -> Outcome<()> {
        self.retry += 1;
        let upserts = batch.iter().map(|(id, vector)| Draft::new(RecordId(*id), vector.clone())).collect();
        match self.client.call(Op::Commit(Transaction { upserts, ..Transaction::new(RetryId(self.retry)) }))? {
            Reply::Committed { .. } => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    }

    fn get(&mut self, id: u64) -> Outcome<f32> {
        let records = self.records(Op::Get { ids: vec![RecordId(id)] })?;
        Ok(records[0].vector.iter().sum())
    }

    fn scan(&mut self) -> Outcome<u64> {
        let (mut from, mut n) = (RecordId(0), 0);
        loop {
            let records = self.records(Op::Range { from, limit: 1000 })?;
            n += records.len() as u64;
            match records.last() {
                Some(last) if records.len() == 1000 => from = RecordId(last.id.0 + 1),
                _ => return Ok(n),
            }
        }
    }
}

/// A key-value store: the key is the number, big-endian where keys are bytes.
enum Other {
    Redb(Redb),
    Fjall(Database, fjall::Keyspace),
    Sqlite(rusqlite::Connection),
}

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

impl Other {
    fn redb(home: &Path) -> Outcome<Box<dyn Store>> {
        Ok(Box::new(Other::Redb(Redb::create(home.join("redb"))?)))
    }

    fn fjall(home: &Path) -> Outcome<Box<dyn Store>> {
        let database = Database::builder(home).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        Ok(Box::new(Other::Fjall(database, records)))
    }

    fn sqlite(home: &Path) -> Outcome<Box<dyn Store>> {
        let connection = rusqlite::Connection::open(home.join("sqlite"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE records (id INTEGER PRIMARY KEY, vector BLOB)",
        )?;
        Ok(Box::new(Other::Sqlite(connection)))
    }
}

impl Store for Other {
    fn write(&mut self, batch: &[(u64, Vec<f32>)]) -> Outcome<()> {
        match self {
            Other::Redb(database) => {
                let transaction = database.begin_write()?;
                {
                    let mut table = transaction.open_table(TABLE)?;
                    for (id, vector) in batch {
                        table.insert(id, &to_bytes(vector)[..])?;
                    }
                }
                transaction.commit()?;
            }
            Other::Fjall(database, records) => {
                let mut writes = database.batch().durability(Some(PersistMode::SyncAll));
                for (id, vector) in batch {
                    writes.insert(records, id.to_be_bytes(), to_bytes(vector));
                }
                writes.commit()?;
            }
            Other::Sqlite(connection) => {
                let transaction = connection.transaction()?;
                {
                    let mut insert = transaction.prepare_cached("INSERT INTO records VALUES (?1, ?2)")?;
                    for (id, vector) in batch {
                        insert.execute((*id as i64, to_bytes(vector)))?;
                    }
                }
                transaction.commit()?;
            }
        }
        Ok(())
    }

    fn get(&mut self, id: u64) -> Outcome<f32> {
        match self {
            Other::Redb(database) => {
                let table = database.begin_read()?.open_table(TABLE)?;
                let found = table.get(id)?.ok_or("no record")?;
                Ok(sum(found.value()))
            }
            Other::Fjall(_, records) => Ok(sum(&records.get(id.to_be_bytes())?.ok_or("no record")?)),
            Other::Sqlite(connection) => {
                let mut select = connection.prepare_cached("SELECT vector FROM records WHERE id = ?1")?;
                Ok(select.query_row([id as i64], |row| row.get_ref(0)?.as_blob().map(sum).map_err(Into::into))?)
            }
        }
    }

    fn scan(&mut self) -> Outcome<u64> {
        let mut total = 0.0;
        let n = match self {
            Other::Redb(database) => {
                let table = database.begin_read()?.open_table(TABLE)?;
                let mut n = 0;
                for entry in table.iter()? {
                    total += sum(entry?.1.value());
                    n += 1;
                }
                n
            }
            Other::Fjall(_, records) => {
                let mut n = 0;
                for entry in records.iter() {
                    total += sum(&entry.value()?);
                    n += 1;
                }
                n
            }
            Other::Sqlite(connection) => {
                let mut select = connection.prepare_cached("SELECT vector FROM records ORDER BY id")?;
                let mut rows = select.query([])?;
                let mut n = 0;
                while let Some(row) = rows.next()? {
                    total += sum(row.get_ref(0)?.as_blob()?);
                    n += 1;
                }
                n
            }
        };
        assert!(total > 0.0, "vectors have components");
        Ok(n)
    }
}
