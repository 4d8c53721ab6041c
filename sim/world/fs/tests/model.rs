//! Without a crash, the file system does what a map in memory does.

use proptest::prelude::*;
use stormproof_contract::Entry;

use super::*;

const PATHS: [&str; 8] = ["a", "b", "d", "d/a", "d/b", "e", "e/a", "none/a"];

#[derive(Clone, Debug)]
enum Call {
    Open(usize, Open),
    Write(usize, u64, Vec<u8>),
    Read(usize, u64, usize),
    SetLen(usize, u64),
    Allocate(usize, u64),
    Sync(usize),
    FailSync(usize),
    Rename(usize, usize),
    Link(usize, usize),
    Clone(usize, usize),
    Remove(usize),
    Mkdir(usize),
    SyncDir(usize),
    List(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let path = || 0..PATHS.len();
    let place = || prop_oneof![0..20_u64, 500..530_u64, 4080..4110_u64, 8190..8200_u64];
    let how = prop_oneof![
        1 => Just(Open::Read),
        1 => Just(Open::Write),
        4 => Just(Open::Create),
        1 => Just(Open::CreateNew),
        1 => Just(Open::Truncate)
    ];
    let data = (any::<u8>(), prop_oneof![0..30_usize, 500..530_usize, 4000..5000_usize]);
    prop_oneof![
        4 => (path(), how).prop_map(|(p, how)| Call::Open(p, how)),
        6 => (path(), place(), data).prop_map(|(p, at, (byte, len))| Call::Write(p, at, vec![byte; len])),
        3 => (path(), place(), 0..9000_usize).prop_map(|(p, at, len)| Call::Read(p, at, len)),
        2 => (path(), place()).prop_map(|(p, len)| Call::SetLen(p, len)),
        1 => (path(), place()).prop_map(|(p, len)| Call::Allocate(p, len)),
        2 => path().prop_map(Call::Sync),
        1 => path().prop_map(Call::FailSync),
        3 => (path(), path()).prop_map(|(p, q)| Call::Rename(p, q)),
        1 => (path(), path()).prop_map(|(p, q)| Call::Link(p, q)),
        1 => (path(), path()).prop_map(|(p, q)| Call::Clone(p, q)),
        2 => path().prop_map(Call::Remove),
        2 => path().prop_map(Call::Mkdir),
        2 => path().prop_map(Call::SyncDir),
        1 => path().prop_map(Call::List),
    ]
}

/// A file by its number, or a directory.
#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    File(usize),
    Dir,
}

/// The map in memory, by whole paths.
#[derive(Default)]
struct Reference {
    names: BTreeMap<String, What>,
    files: Vec<Vec<u8>>,
}

type Answer<T> = Result<T, DiskErrorKind>;

impl Reference {
    fn dir(&self, dir: &str) -> Answer<()> {
        match self.names.get(dir) {
            Some(What::Dir) => Ok(()),
            None if dir.is_empty() => Ok(()),
            Some(What::File(_)) => Err(DiskErrorKind::WrongKind),
            None => Err(DiskErrorKind::NotFound),
        }
    }

    fn at(&self, path: &str) -> Answer<Option<What>> {
        self.dir(path.rsplit_once('/').map_or("", |(dir, _)| dir))?;
        Ok(self.names.get(path).copied())
    }

    fn free(&self, path: &str) -> Answer<()> {
        self.at(path)?.map_or(Ok(()), |_| Err(DiskErrorKind::Exists))
    }

    fn file(&self, path: &str) -> Answer<usize> {
        match self.at(path)? {
            Some(What::File(file)) => Ok(file),
            Some(What::Dir) => Err(DiskErrorKind::WrongKind),
            None => Err(DiskErrorKind::NotFound),
        }
    }

    fn empty(&self, dir: &str) -> bool {
        !self.names.keys().any(|name| name.starts_with(&format!("{dir}/")))
    }

    fn create(&mut self, path: &str, bytes: Vec<u8>) -> usize {
        self.files.push(bytes);
        self.names.insert(path.into(), What::File(self.files.len() - 1));
        self.files.len() - 1
    }

    fn open(&mut self, path: &str, how: Open) -> Answer<usize> {
        let file = match (self.at(path)?, how) {
            (Some(_), Open::CreateNew) => return Err(DiskErrorKind::Exists),
            (Some(What::Dir), _) => return Err(DiskErrorKind::WrongKind),
            (Some(What::File(file)), _) => file,
            (None, Open::Read | Open::Write) => return Err(DiskErrorKind::NotFound),
            (None, _) => self.create(path, Vec::new()),
        };
        if how == Open::Truncate {
            self.files[file].clear();
        }
        Ok(file)
    }

    fn rename(&mut self, from: &str, to: &str) -> Answer<()> {
        let moved = self.at(from).and_then(|what| self.at(to).map(|target| (what, target)));
        let (moved, target) = moved?;
        let moved = moved.ok_or(DiskErrorKind::NotFound)?;
        match (moved, target) {
            _ if from == to => return Ok(()),
            (What::File(file), Some(What::File(same))) if file == same => return Ok(()),
            (What::File(_), Some(What::Dir)) | (What::Dir, Some(What::File(_))) => {
                return Err(DiskErrorKind::WrongKind);
            }
            (What::Dir, _) if to.starts_with(&format!("{from}/")) => {
                return Err(DiskErrorKind::Other("a directory cannot move into itself".into()));
            }
            (What::Dir, Some(What::Dir)) if !self.empty(to) => return Err(DiskErrorKind::NotEmpty),
            _ => {}
        }
        let below = format!("{from}/");
        let inside: Vec<_> = self.names.extract_if(.., |name, _| name == from || name.starts_with(&below)).collect();
        self.names.extend(inside.into_iter().map(|(name, what)| (format!("{to}{}", &name[from.len()..]), what)));
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Answer<()> {
        match self.at(path)? {
            None => return Err(DiskErrorKind::NotFound),
            Some(What::Dir) if !self.empty(path) => return Err(DiskErrorKind::NotEmpty),
            Some(_) => self.names.remove(path),
        };
        Ok(())
    }

    fn list(&self, dir: &str) -> Answer<Vec<Entry>> {
        self.at(dir)?.ok_or(DiskErrorKind::NotFound)?;
        self.dir(dir)?;
        let below = format!("{dir}/");
        let names = self.names.iter().filter_map(|(name, what)| name.strip_prefix(&below).map(|name| (name, what)));
        let names = names.filter(|(name, _)| !name.contains('/'));
        Ok(names.map(|(name, what)| Entry { name: name.into(), is_dir: *what == What::Dir }).collect())
    }
}

/// Both, and which files are open in them.
struct Pair {
    fs: Fs,
    reference: Reference,
    open: BTreeMap<usize, (Ino, usize)>,
}

impl Pair {
    fn step(&mut self, call: Call) -> Result<(), TestCaseError> {
        match call {
            Call::Open(p, how) => {
                let (ours, theirs) = (self.fs.open(PATHS[p], how), self.reference.open(PATHS[p], how));
                prop_assert_eq!(ours.clone().err(), theirs.clone().err());
                if let (Ok(ino), Ok(file)) = (ours, theirs)
                    && let Some((old, _)) = self.open.insert(p, (ino, file))
                {
                    self.fs.close(old);
                }
            }
            Call::Write(p, at, data) => self.write(p, at, &data),
            Call::Read(p, at, len) => return self.read(p, at, len),
            Call::SetLen(p, len) => {
                if let Some((ino, file)) = self.open.get(&p) {
                    prop_assert_eq!(self.fs.set_len(*ino, len, &mut Mildest), Ok(()));
                    self.reference.files[*file].resize(len as usize, 0);
                }
            }
            Call::Allocate(p, len) => {
                if let Some((ino, file)) = self.open.get(&p) {
                    prop_assert_eq!(self.fs.allocate(*ino, len), Ok(()));
                    let bytes = &mut self.reference.files[*file];
                    bytes.resize(bytes.len().max(len as usize), 0);
                }
            }
            Call::Sync(p) => self.open.get(&p).into_iter().for_each(|(ino, _)| self.fs.sync(*ino)),
            Call::FailSync(p) => self.open.get(&p).into_iter().for_each(|(ino, _)| self.fs.fail_sync(*ino, true)),
            Call::Rename(p, q) => {
                prop_assert_eq!(self.fs.rename(PATHS[p], PATHS[q]), self.reference.rename(PATHS[p], PATHS[q]));
            }
            Call::Link(p, q) => {
                let link = |r: &mut Reference| {
                    let file = r.file(PATHS[p])?;
                    r.free(PATHS[q])?;
                    r.names.insert(PATHS[q].into(), What::File(file));
                    Ok(())
                };
                prop_assert_eq!(self.fs.link(PATHS[p], PATHS[q]), link(&mut self.reference));
            }
            Call::Clone(p, q) => {
                let copy = |r: &mut Reference| {
                    let file = r.file(PATHS[p])?;
                    r.free(PATHS[q])?;
                    r.create(PATHS[q], r.files[file].clone());
                    Ok(())
                };
                prop_assert_eq!(self.fs.clone_file(PATHS[p], PATHS[q], &mut Mildest), copy(&mut self.reference));
            }
            Call::Remove(p) => prop_assert_eq!(self.fs.remove(PATHS[p]), self.reference.remove(PATHS[p])),
            Call::Mkdir(p) => {
                let theirs = self.reference.free(PATHS[p]);
                if theirs.is_ok() {
                    self.reference.names.insert(PATHS[p].into(), What::Dir);
                }
                prop_assert_eq!(self.fs.mkdir(PATHS[p]), theirs);
            }
            Call::SyncDir(p) => {
                prop_assert_eq!(self.fs.sync_dir(PATHS[p]).is_ok(), self.reference.list(PATHS[p]).is_ok());
            }
            Call::List(p) => prop_assert_eq!(self.fs.list(PATHS[p]), self.reference.list(PATHS[p])),
        }
        Ok(())
    }

    fn write(&mut self, p: usize, at: u64, data: &[u8]) {
        let Some((ino, file)) = self.open.get(&p) else { return };
        let (first, second) = data.split_at(data.len() / 3);
        assert_eq!(self.fs.write(*ino, at, &[first, b"", second], Fate::Normal, &mut Mildest), Ok(data.len()));
        let bytes = &mut self.reference.files[*file];
        if !data.is_empty() {
            bytes.resize(bytes.len().max(at as usize + data.len()), 0);
            bytes[at as usize..][..data.len()].copy_from_slice(data);
        }
    }

    fn read(&mut self, p: usize, at: u64, len: usize) -> Result<(), TestCaseError> {
        let Some((ino, file)) = self.open.get(&p) else { return Ok(()) };
        let mut buf = vec![0xee; len];
        let got = self.fs.read(*ino, at, &mut buf, &mut Mildest);
        let bytes = &self.reference.files[*file];
        let start = (at as usize).min(bytes.len());
        prop_assert_eq!(&buf[..got], &bytes[start..bytes.len().min(start + len)]);
        prop_assert!(buf[got..].iter().all(|byte| *byte == 0xee), "nothing is touched beyond what was read");
        Ok(())
    }

    /// The whole of both trees, and the space that is in use.
    fn compare(&mut self) -> Result<(), TestCaseError> {
        let theirs = self.reference.names.iter().filter_map(|(name, what)| match what {
            What::File(file) => Some((name.clone(), self.reference.files[*file].clone())),
            What::Dir => None,
        });
        let theirs: Image = theirs.collect();
        prop_assert_eq!(image(&mut self.fs, &mut Mildest), theirs);
        let charged = self.fs.files.values().filter(|file| file.is_live()).map(|file| file.charged_pages).sum::<u64>();
        prop_assert_eq!(self.fs.used_pages, charged);
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn agrees_with_a_map_in_memory(
        calls in proptest::collection::vec(call(), 1..60),
        profile in prop_oneof![Just(Profile::Weakest), Just(Profile::Ordered)],
    ) {
        let mut pair = Pair { fs: Fs::new(profile, ROOM), reference: Reference::default(), open: BTreeMap::new() };
        for call in calls {
            pair.step(call)?;
        }
        pair.compare()?;
    }
}
