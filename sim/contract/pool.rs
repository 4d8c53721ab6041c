//! Many hands for one piece of work: how a job runs in parallel without knowing of threads.
//!
//! The work is cut into numbered parts that can be done in any order, and what comes of it must not depend on the order or
//! on how many hands there are: a simulated world has one, a machine as many as it lends.

/// Whoever does numbered parts of some work, several at a time or one after the other.
pub trait Pool: Send + Sync {
    /// How many parts may be done at the same time: 1 or more.
    fn threads(&self) -> usize;

    /// Has `work` done for each number below `n`, once, and returns when all are done. If one panics, this does.
    fn run(&self, n: usize, work: &(dyn Fn(usize) + Sync));
}

/// One hand: the parts in their order.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneThread;

impl Pool for OneThread {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, n: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..n).for_each(work);
    }
}
