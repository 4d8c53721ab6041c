//! Tests of the file system model, by what they hold it against: a map in memory (`model`), counts derived by hand
//! (`histories`), rules stated anew (`power`), single faults (`faults`). `cost` prints what a crash costs.

mod faults;
mod histories;
mod model;
mod power;

use std::collections::{BTreeMap, BTreeSet};

use proptest::test_runner::Config;
use stormproof_contract::Open;

use super::*;

/// More than any test here writes.
const ROOM: u64 = 1 << 30;
const BOTH: [Profile; 2] = [Profile::Weakest, Profile::Ordered];

/// A minimal failing case belongs in a test with a name, not in a file beside it.
fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// All files by all names, with their bytes.
type Image = BTreeMap<String, Vec<u8>>;

fn image(fs: &mut Fs, choose: &mut dyn Choose) -> Image {
    fs.files().into_iter().map(|(path, ino)| (path, bytes(fs, ino, choose))).collect()
}

fn bytes(fs: &mut Fs, ino: Ino, choose: &mut dyn Choose) -> Vec<u8> {
    let mut buf = vec![0xee; fs.meta(ino).len as usize];
    assert_eq!(fs.read(ino, 0, &mut buf, choose), buf.len());
    buf
}

fn write(fs: &mut Fs, ino: Ino, offset: u64, bytes: &[u8]) {
    assert_eq!(fs.write(ino, offset, &[bytes], Fate::Normal, &mut Mildest), Ok(bytes.len()));
}

/// A file with these bytes, durable under its name.
fn durable(fs: &mut Fs, path: &str, bytes: &[u8]) -> Ino {
    let ino = fs.open(path, Open::Create).expect("the directory exists");
    write(fs, ino, 0, bytes);
    fs.sync(ino);
    fs.sync_dir(path.rsplit_once('/').map_or("", |(dir, _)| dir)).expect("the directory exists");
    ino
}

/// Answers from a list, then with 0, and remembers what it could have answered.
#[derive(Default)]
struct Script {
    answers: Vec<(u32, u32)>,
    asked: usize,
}

impl Choose for Script {
    fn choose(&mut self, _: Choice<'_>, options: u32) -> u32 {
        if self.asked == self.answers.len() {
            self.answers.push((0, options));
        }
        let (answer, was) = self.answers[self.asked];
        assert_eq!(was, options, "the same answers lead to the same questions");
        self.asked += 1;
        answer
    }
}

impl Script {
    /// The next list of answers, in order; false after the last.
    fn advance(&mut self) -> bool {
        self.asked = 0;
        while let Some((answer, options)) = self.answers.pop() {
            if answer + 1 < options {
                self.answers.push((answer + 1, options));
                return true;
            }
        }
        false
    }
}

/// Every image that a loss of power can leave.
fn outcomes(fs: &Fs) -> BTreeSet<Image> {
    let mut found = BTreeSet::new();
    let mut script = Script::default();
    loop {
        let mut fs = fs.clone();
        fs.lose_power(&mut script);
        found.insert(image(&mut fs, &mut script));
        if !script.advance() {
            return found;
        }
    }
}

/// Answers by a generator of its own, so that a case is a number.
struct Random(u64);

impl Choose for Random {
    fn choose(&mut self, _: Choice<'_>, options: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % options
    }
}
