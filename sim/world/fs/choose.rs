//! What the file system leaves to chance, and who decides it.
//!
//! The model never draws: it names each open question and asks. A swarm answers from keyed draws, an explorer from
//! an enumeration, a replay from a plan. In every question 0 is the mildest answer, the one closest to "nothing was
//! lost", so a plan need only hold the answers that are not 0.

/// Picks one of several alternatives.
pub trait Choose {
    /// One of `0..options`. `options` is at least 2.
    fn choose(&mut self, what: Choice<'_>, options: u32) -> u32;
}

impl<F: FnMut(Choice<'_>, u32) -> u32> Choose for F {
    fn choose(&mut self, what: Choice<'_>, options: u32) -> u32 {
        self(what, options)
    }
}

/// Always the mildest alternative.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mildest;

impl Choose for Mildest {
    fn choose(&mut self, _: Choice<'_>, _: u32) -> u32 {
        0
    }
}

/// An open question. Paths are the names last given to the file, or after a power loss the names that survived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice<'a> {
    /// Whether a directory operation survives the power loss (0) or is lost (1). Profile `weakest` only.
    Name {
        /// The name it makes or removes; for a rename, the new one.
        path: &'a str,
        /// Its place among the operations that were pending.
        op: u32,
    },
    /// How many of the last operations of the metadata journal are lost. Profile `ordered` only.
    Journal {
        /// How many were pending.
        ops: u32,
    },
    /// Which length a file has after the power loss: an index into `lens`. Profile `weakest` only.
    Size {
        /// The file.
        path: &'a str,
        /// The alternatives, newest first.
        lens: &'a [u64],
    },
    /// Whether an unresolved page is whole (0) or torn (1). A device that writes 4 KiB atomically answers 0.
    Tear {
        /// The file.
        path: &'a str,
        /// Its page.
        page: u64,
    },
    /// Which of its versions a whole page shows, newest first.
    Page {
        /// The file.
        path: &'a str,
        /// Its page.
        page: u64,
    },
    /// Which of its versions a sector of a torn page shows, newest first.
    Sector {
        /// The file.
        path: &'a str,
        /// Its page.
        page: u64,
        /// The sector of that page, below 8.
        sector: u32,
    },
    /// Whether a clean page that the disk does not hold stays in the page cache (0) or is dropped (1).
    Evict {
        /// The file.
        path: &'a str,
        /// Its page.
        page: u64,
    },
}

/// Asks, unless there is nothing to ask.
pub(super) fn pick(choose: &mut dyn Choose, what: Choice<'_>, options: usize) -> usize {
    if options < 2 {
        return 0;
    }
    let picked = choose.choose(what, options as u32) as usize;
    assert!(picked < options, "{what:?}: alternative {picked} of {options} was picked");
    picked
}
