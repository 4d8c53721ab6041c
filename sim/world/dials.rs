//! What is read at every step of a world: the time, on whose behalf node code runs, who is alive.
//!
//! A world is single-threaded, but the handles that its nodes hold have to be `Sync`. Plain words can be that without a
//! lock; taking one costs more than most steps do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::draw::Scope;

/// The words that are read at every step.
pub(crate) struct Dials {
    now: AtomicU64,
    scope: AtomicU64,
    /// Counts what was promised to anybody, and what a judge was shown.
    promises: AtomicU64,
    /// Somebody has died, or a deed is left for the world.
    news: AtomicBool,
    /// No fault waits for disk calls, points or effects, and none acts on disk calls.
    quiet: AtomicBool,
    nodes: Vec<NodeDial>,
}

struct NodeDial {
    /// The life, doubled, and one more while it lasts.
    life: AtomicU64,
    paused_until: AtomicU64,
}

impl Dials {
    pub(crate) fn new(nodes: usize) -> Self {
        let node = |_| NodeDial { life: AtomicU64::new(0), paused_until: AtomicU64::new(0) };
        Dials {
            now: AtomicU64::new(0),
            scope: AtomicU64::new(Scope::World.code()),
            promises: AtomicU64::new(0),
            news: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            nodes: (0..nodes).map(node).collect(),
        }
    }

    /// The world's time; while a node is at work, that node's.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    pub(crate) fn set_now(&self, now: u64) {
        self.now.store(now, Relaxed);
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, time: u64) {
        self.set_now(self.now().saturating_add(time));
    }

    /// On whose behalf node code runs.
    #[inline]
    pub(crate) fn scope(&self) -> Scope {
        Scope::of_code(self.scope.load(Relaxed))
    }

    pub(crate) fn set_scope(&self, scope: Scope) {
        self.scope.store(scope.code(), Relaxed);
    }

    /// How often somebody has been told something.
    pub(crate) fn promises(&self) -> u64 {
        self.promises.load(Relaxed)
    }

    /// Somebody is told something.
    pub(crate) fn promise(&self) {
        self.promises.store(self.promises() + 1, Relaxed);
    }

    /// Takes the news: whether there was any.
    pub(crate) fn take_news(&self) -> bool {
        self.news.load(Relaxed) && self.news.swap(false, Relaxed)
    }

    pub(crate) fn set_news(&self) {
        self.news.store(true, Relaxed);
    }

    /// See the field.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet.load(Relaxed)
    }

    pub(crate) fn set_quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Relaxed);
    }

    /// Whether this life of a node lasts.
    #[inline]
    pub(crate) fn lives(&self, node: u32, life: u32) -> bool {
        self.nodes[node as usize].life.load(Relaxed) == u64::from(life) << 1 | 1
    }

    /// Whether a node is alive.
    #[inline]
    pub(crate) fn is_alive(&self, node: u32) -> bool {
        self.nodes[node as usize].life.load(Relaxed) & 1 == 1
    }

    /// How many times a node was booted.
    #[inline]
    pub(crate) fn life(&self, node: u32) -> u32 {
        (self.nodes[node as usize].life.load(Relaxed) >> 1) as u32
    }

    /// A new life begins. Returns which.
    pub(crate) fn begin_life(&self, node: u32) -> u32 {
        let life = self.life(node) + 1;
        self.nodes[node as usize].life.store(u64::from(life) << 1 | 1, Relaxed);
        life
    }

    /// The life ends. Says whether it had not already.
    pub(crate) fn end_life(&self, node: u32) -> bool {
        self.nodes[node as usize].life.fetch_and(!1, Relaxed) & 1 == 1
    }

    /// Until when a node stands still.
    #[inline]
    pub(crate) fn paused_until(&self, node: u32) -> u64 {
        self.nodes[node as usize].paused_until.load(Relaxed)
    }

    /// A node stands still at least until then.
    pub(crate) fn pause(&self, node: u32, until: u64) {
        self.nodes[node as usize].paused_until.fetch_max(until, Relaxed);
    }

    /// Nobody stands still any more.
    pub(crate) fn end_pauses(&self) {
        self.nodes.iter().for_each(|node| node.paused_until.store(0, Relaxed));
    }
}
