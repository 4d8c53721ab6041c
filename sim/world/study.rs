//! A run under study: what power loss leaves open is answered from a list instead of by draws, the disk is looked at
//! wherever a node might die, or all that is left to chance is drawn anew from some moment on.
//!
//! An explorer needs no other world than everybody else: it plays the same run up to a death, with other answers. What
//! it has found is therefore a plan like any other.

use std::sync::Arc;

use super::{
    coverage::Place,
    fault::Trigger,
    fs::{Choice, Choose, Fs},
    mix::mix,
};

/// What is asked of a run beyond its verdict.
#[derive(Clone, Debug, Default)]
pub struct Study {
    /// Answers to what power loss and caches leave open.
    pub script: Option<Script>,
    /// Look at the disk wherever a node might die, from this life of it on (counted from 1) and until all is healed.
    pub survey_from: Option<u32>,
    /// From this time on every draw comes from another seed, and faults that have not begun by then never do.
    pub reseed: Option<(u64, u64)>,
}

/// What a study has brought to light.
#[derive(Debug, Default)]
pub struct Studied {
    /// The questions that the script has answered, in order.
    pub asked: Vec<Question>,
    /// Where nodes might have died, in the order of the run.
    pub spots: Vec<Spot>,
}

/// What a question is about; see [`Choice`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Whether an operation on names survives.
    Name,
    /// How much of a metadata journal survives.
    Journal,
    /// Which length a file has.
    Size,
    /// Whether a page is torn.
    Tear,
    /// Which version a page shows.
    Page,
    /// Which version a sector of a torn page shows.
    Sector,
    /// Whether a page that the disk does not hold leaves the cache.
    Evict,
}

impl Unit {
    fn of(what: &Choice<'_>) -> Unit {
        match what {
            Choice::Name { .. } => Unit::Name,
            Choice::Journal { .. } => Unit::Journal,
            Choice::Size { .. } => Unit::Size,
            Choice::Tear { .. } => Unit::Tear,
            Choice::Page { .. } => Unit::Page,
            Choice::Sector { .. } => Unit::Sector,
            Choice::Evict { .. } => Unit::Evict,
        }
    }
}

/// A question that was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// What it is about.
    pub unit: Unit,
    /// How many answers there were.
    pub options: u32,
    /// Which was given; 0 is the mildest.
    pub answer: u32,
}

/// How questions are answered of which the list says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Mildly: all that was not synced survives.
    Kept,
    /// Grimly: nothing does, as far as that is open.
    Lost,
    /// By chance, from a seed.
    Random(u64),
}

/// Answers, in the order of the questions.
#[derive(Clone, Debug)]
pub struct Script {
    given: Vec<u32>,
    rest: Rest,
    /// A page of the present crash is torn, and no other will be.
    torn: bool,
    asked: Vec<Question>,
}

impl Script {
    /// These answers first. One that is too high stands for the last alternative, and tears nothing.
    pub fn new(given: Vec<u32>, rest: Rest) -> Self {
        Script { given, rest, torn: false, asked: Vec::new() }
    }

    /// What was asked.
    pub fn into_asked(self) -> Vec<Question> {
        self.asked
    }

    pub(crate) fn asked(&self) -> &[Question] {
        &self.asked
    }

    /// The power is lost once more: one page of that crash may be torn.
    pub(crate) fn crash(&mut self) {
        self.torn = false;
    }

    fn answer(&self, unit: Unit, options: u32) -> u32 {
        if unit == Unit::Tear && self.torn {
            return 0;
        }
        let place = self.asked.len();
        match (self.given.get(place), self.rest) {
            (Some(given), _) if *given < options => *given,
            (Some(_), _) | (None, Rest::Lost) => {
                if unit == Unit::Tear {
                    0
                } else {
                    options - 1
                }
            }
            (None, Rest::Kept) => 0,
            (None, Rest::Random(seed)) => (mix(seed, place as u64) >> 33) as u32 % options,
        }
    }
}

impl Choose for Script {
    fn choose(&mut self, what: Choice<'_>, options: u32) -> u32 {
        let unit = Unit::of(&what);
        let answer = self.answer(unit, options);
        // A second torn page is no alternative, so that nobody who counts alternatives goes down that way.
        let options = if unit == Unit::Tear && self.torn { 1 } else { options };
        self.torn |= unit == Unit::Tear && answer == 1;
        self.asked.push(Question { unit, options, answer });
        answer
    }
}

/// A moment at which a node might die.
#[derive(Clone, Debug)]
pub struct Spot {
    /// The node.
    pub node: u32,
    /// The life that would end, counted from 1.
    pub life: u32,
    /// The moment.
    pub at: At,
    /// The point that the node has passed last, as its judge will be told.
    pub point: &'static str,
    /// Grows whenever somebody has been told something: between two spots with the same number nothing was promised.
    pub promises: u64,
    /// How many questions had been answered by then.
    pub asked: usize,
    /// The file system of its machine, as the processes see it.
    pub disk: Arc<Fs>,
}

/// A moment of a node's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// Before a disk call or a point takes effect.
    Before(Place),
    /// After it took effect, before the node hears of it.
    After(Place),
    /// After this effect has left, counted from 1 in the whole run.
    Effect(u32),
}

impl At {
    /// A trigger that says where in the protocol, not how many calls into the run: it outlives a change of the code
    /// before it.
    pub fn trigger(self) -> Trigger {
        let beyond = |place: Place, after| {
            let Place { point, hit, steps } = place;
            Trigger::Beyond { name: point.into(), hit, nth: steps, after }
        };
        match self {
            At::Before(place) => beyond(place, false),
            At::After(place) => beyond(place, true),
            At::Effect(nth) => Trigger::Effect { nth },
        }
    }
}

/// Looks at disks.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    from_life: u32,
    spots: Vec<Spot>,
    /// The last look at each machine, while it is still true.
    disks: Vec<Option<Arc<Fs>>>,
}

impl Survey {
    pub(crate) fn new(from_life: u32, machines: usize) -> Self {
        Survey { from_life, spots: Vec::new(), disks: vec![None; machines] }
    }

    pub(crate) fn looks_at(&self, life: u32) -> bool {
        life >= self.from_life
    }

    /// The disk of a machine may have changed.
    pub(crate) fn forget(&mut self, machine: u32) {
        self.disks[machine as usize] = None;
    }

    /// The disk of a machine as it is.
    pub(crate) fn disk(&mut self, machine: u32, fs: &Fs) -> Arc<Fs> {
        Arc::clone(self.disks[machine as usize].get_or_insert_with(|| Arc::new(fs.clone())))
    }

    pub(crate) fn add(&mut self, spot: Spot) {
        self.spots.push(spot);
    }

    pub(crate) fn into_spots(self) -> Vec<Spot> {
        self.spots
    }
}
