//! Whether a disk can be what the model allows after a power loss.
//!
//! The states are far too many to list: but names and lengths are few, and each sector shows one of its versions
//! whatever the others show. So the names are enumerated, a length is looked up, and each sector is tried for itself.

use stormproof_sim::world::fs::{Choice, Choose, Fs, Ino};

use crate::both::{Image, Model, Ours};

const SECTOR: usize = 512;
const SECTORS: u64 = 8;

/// Whether `image` is one of the states that a power loss can leave.
pub(crate) fn can_leave(fs: &Fs, image: &Image) -> bool {
    let mut guide = Guide { image, names: Vec::new(), asked: 0 };
    loop {
        let mut lost = fs.clone();
        lost.lose_power(&mut guide);
        if shows(&lost, image) {
            return true;
        }
        if !guide.advance() {
            return false;
        }
    }
}

/// Answers for names from a list, and for lengths what the image has.
struct Guide<'a> {
    image: &'a Image,
    names: Vec<u32>,
    asked: usize,
}

impl Choose for Guide<'_> {
    fn choose(&mut self, what: Choice<'_>, _options: u32) -> u32 {
        match what {
            Choice::Name { .. } => {
                if self.asked == self.names.len() {
                    self.names.push(0);
                }
                self.asked += 1;
                self.names[self.asked - 1]
            }
            Choice::Size { path, lens } => {
                let wanted = self.image.get(path).and_then(Option::as_ref).map(|bytes| bytes.len() as u64);
                lens.iter().position(|len| Some(*len) == wanted).unwrap_or(0) as u32
            }
            _ => 0,
        }
    }
}

impl Guide<'_> {
    /// The next list of answers; false after the last.
    fn advance(&mut self) -> bool {
        self.asked = 0;
        while let Some(answer) = self.names.pop() {
            if answer == 0 {
                self.names.push(1);
                return true;
            }
        }
        false
    }
}

/// Whether the disk, whose pages are still open, can show the image.
fn shows(fs: &Fs, image: &Image) -> bool {
    let shape = Ours(fs.clone()).image();
    let same = shape.iter().zip(image).all(|((path, mine), (other, wanted))| {
        path == other && mine.as_ref().map(Vec::len) == wanted.as_ref().map(Vec::len)
    });
    same && shape.len() == image.len()
        && image.iter().filter_map(|(path, bytes)| bytes.as_ref().map(|bytes| (path, bytes))).all(|(path, bytes)| {
            let ino = fs.find(path).expect("the shape is the same");
            let sectors = bytes.chunks(SECTOR).enumerate();
            sectors.into_iter().all(|(at, wanted)| sector_can_be(fs, ino, at as u64, wanted))
        })
}

/// Whether some version of a sector is as wanted.
fn sector_can_be(fs: &Fs, ino: Ino, at: u64, wanted: &[u8]) -> bool {
    let (mut version, mut versions) = (0, 1);
    while version < versions {
        let mut fs = fs.clone();
        let mut buf = vec![0; wanted.len()];
        let mut torn = |what: Choice<'_>, options: u32| match what {
            Choice::Tear { .. } => 1,
            Choice::Sector { sector, .. } if u64::from(sector) != at % SECTORS => 0,
            // Asked instead where the versions differ in one sector only.
            Choice::Page { .. } | Choice::Sector { .. } => {
                versions = options;
                version
            }
            _ => 0,
        };
        fs.read(ino, at * SECTOR as u64, &mut buf, &mut torn);
        if buf == wanted {
            return true;
        }
        version += 1;
    }
    false
}
