//! The two models, asked the same things.

use std::{collections::BTreeMap, io, os::unix::fs::FileExt};

use stormproof_contract::{DiskErrorKind, Open};
use stormproof_sim::world::fs::{Fate, Fs, Mildest, Profile};
use turmoil_fs::shim::std::fs as theirs;

use crate::ground::Call;

/// What came of a call.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Answer {
    Done,
    Bytes(Vec<u8>),
    Len(u64),
    Names(Vec<(String, bool)>),
    Failed(DiskErrorKind),
}

impl Answer {
    /// For messages: whole files are too long.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Answer::Bytes(bytes) => format!("{} bytes, beginning {:?}", bytes.len(), &bytes[..bytes.len().min(8)]),
            other => format!("{other:?}"),
        }
    }
}

/// Everything that a disk shows, by path: the bytes of a file, `None` for a directory.
pub(crate) type Image = BTreeMap<String, Option<Vec<u8>>>;

/// Where two images differ first, in words.
pub(crate) fn same(ours: &Image, theirs: &Image) -> Result<(), String> {
    let words = |image: &Image, path: &String| match image.get(path) {
        None => "not there".to_owned(),
        Some(None) => "a directory".to_owned(),
        Some(Some(bytes)) => format!("{} bytes", bytes.len()),
    };
    match ours.keys().chain(theirs.keys()).find(|path| ours.get(*path) != theirs.get(*path)) {
        None => Ok(()),
        Some(path) => Err(format!("`{path}` is {} with us, {} there", words(ours, path), words(theirs, path))),
    }
}

/// What both are asked.
pub(crate) trait Model {
    fn ask(&mut self, call: &Call) -> Answer;

    /// All that can be reached from the root.
    fn image(&mut self) -> Image {
        let mut image = Image::new();
        let mut dirs = vec![String::new()];
        while let Some(dir) = dirs.pop() {
            for (name, is_dir) in self.names(&dir) {
                let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
                image.insert(path.clone(), (!is_dir).then(|| self.bytes(&path)));
                if is_dir {
                    dirs.push(path);
                }
            }
        }
        image
    }

    fn names(&mut self, dir: &str) -> Vec<(String, bool)>;
    fn bytes(&mut self, path: &str) -> Vec<u8>;
}

/// Our model, under `weakest`.
pub(crate) struct Ours(pub(crate) Fs);

impl Ours {
    pub(crate) fn new() -> Ours {
        Ours(Fs::new(Profile::Weakest, 1 << 30))
    }

    fn try_ask(&mut self, call: &Call) -> Result<Answer, DiskErrorKind> {
        let fs = &mut self.0;
        match *call {
            Call::Rename { from, to } => fs.rename(from, to)?,
            Call::Remove { path } => fs.remove(path)?,
            Call::Mkdir { path } => fs.mkdir(path)?,
            Call::SyncDir { path } => fs.sync_dir(path)?,
            Call::List { path } => {
                return Ok(Answer::Names(fs.list(path)?.into_iter().map(|e| (e.name, e.is_dir)).collect()));
            }
            Call::Open { path, how } => {
                let ino = fs.open(path, how)?;
                fs.close(ino);
            }
            Call::Write { path, .. } | Call::SetLen { path, .. } | Call::Sync { path } => {
                return self.on_file(path, Open::Write, call);
            }
            Call::Read { path, .. } | Call::Len { path } => return self.on_file(path, Open::Read, call),
        }
        Ok(Answer::Done)
    }

    fn on_file(&mut self, path: &str, how: Open, call: &Call) -> Result<Answer, DiskErrorKind> {
        let fs = &mut self.0;
        let ino = fs.open(path, how)?;
        let answer = match *call {
            Call::Write { offset, byte, len, .. } => {
                fs.write(ino, offset, &[&vec![byte; len]], Fate::Normal, &mut Mildest).map(|_| Answer::Done)
            }
            Call::SetLen { len, .. } => fs.set_len(ino, len, &mut Mildest).map(|()| Answer::Done),
            Call::Read { offset, len, .. } => {
                let mut buf = vec![0; len];
                let got = fs.read(ino, offset, &mut buf, &mut Mildest);
                buf.truncate(got);
                Ok(Answer::Bytes(buf))
            }
            Call::Len { .. } => Ok(Answer::Len(fs.meta(ino).len)),
            _ => {
                fs.sync(ino);
                Ok(Answer::Done)
            }
        };
        fs.close(ino);
        answer
    }
}

impl Model for Ours {
    fn ask(&mut self, call: &Call) -> Answer {
        self.try_ask(call).unwrap_or_else(Answer::Failed)
    }

    fn names(&mut self, dir: &str) -> Vec<(String, bool)> {
        self.0.list(dir).expect("a directory").into_iter().map(|entry| (entry.name, entry.is_dir)).collect()
    }

    fn bytes(&mut self, path: &str) -> Vec<u8> {
        let ino = self.0.find(path).expect("a file");
        let mut buf = vec![0; self.0.meta(ino).len as usize];
        self.0.read(ino, 0, &mut buf, &mut Mildest);
        buf
    }
}

/// The model of turmoil-fs.
pub(crate) struct Theirs(pub(crate) turmoil_fs::Fs);

impl Theirs {
    fn try_ask(call: &Call) -> io::Result<Answer> {
        match *call {
            Call::Open { path, how } => drop(open(path, how)?),
            Call::Write { path, offset, byte, len } => {
                open(path, Open::Write)?.write_all_at(&vec![byte; len], offset)?;
            }
            Call::SetLen { path, len } => open(path, Open::Write)?.set_len(len)?,
            Call::Sync { path } => open(path, Open::Write)?.sync_data()?,
            Call::Rename { from, to } => theirs::rename(root(from), root(to))?,
            Call::Remove { path } => match theirs::metadata(root(path)) {
                Ok(meta) if meta.is_dir() => theirs::remove_dir(root(path))?,
                _ => theirs::remove_file(root(path))?,
            },
            Call::Mkdir { path } => theirs::create_dir(root(path))?,
            Call::SyncDir { path } => theirs::sync_dir(root(path))?,
            Call::List { path } => return Ok(Answer::Names(list(path)?)),
            Call::Len { path } => return Ok(Answer::Len(open(path, Open::Read)?.metadata()?.len())),
            Call::Read { path, offset, len } => {
                let mut buf = vec![0; len];
                let got = open(path, Open::Read)?.read_at(&mut buf, offset)?;
                buf.truncate(got);
                return Ok(Answer::Bytes(buf));
            }
        }
        Ok(Answer::Done)
    }
}

impl Model for Theirs {
    fn ask(&mut self, call: &Call) -> Answer {
        let _entered = self.0.enter();
        Theirs::try_ask(call).unwrap_or_else(|error| Answer::Failed(kind(&error)))
    }

    fn names(&mut self, dir: &str) -> Vec<(String, bool)> {
        let _entered = self.0.enter();
        list(dir).expect("a directory")
    }

    fn bytes(&mut self, path: &str) -> Vec<u8> {
        let _entered = self.0.enter();
        theirs::read(root(path)).expect("a file")
    }
}

fn root(path: &str) -> String {
    format!("/{path}")
}

fn open(path: &str, how: Open) -> io::Result<theirs::File> {
    let mut options = theirs::OpenOptions::new();
    options.read(true).write(how != Open::Read);
    options.create(matches!(how, Open::Create | Open::Truncate)).create_new(how == Open::CreateNew);
    options.truncate(how == Open::Truncate).open(root(path))
}

fn list(dir: &str) -> io::Result<Vec<(String, bool)>> {
    let mut names = Vec::new();
    for entry in theirs::read_dir(root(dir))? {
        let entry = entry?;
        names.push((entry.file_name().to_string_lossy().into_owned(), entry.file_type()?.is_dir()));
    }
    names.sort();
    Ok(names)
}

/// turmoil-fs says most errors in words only.
fn kind(error: &io::Error) -> DiskErrorKind {
    match (error.kind(), error.to_string().as_str()) {
        (io::ErrorKind::NotFound, _) | (_, "No such file or directory") => DiskErrorKind::NotFound,
        (io::ErrorKind::AlreadyExists, _) | (_, "File exists") => DiskErrorKind::Exists,
        (_, "Directory not empty") => DiskErrorKind::NotEmpty,
        (_, "Is a directory" | "Not a directory") => DiskErrorKind::WrongKind,
        (_, words) => DiskErrorKind::Other(words.into()),
    }
}
