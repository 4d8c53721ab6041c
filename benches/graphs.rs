//! What the approximate index is made of, for benches that build and search it: codes of rows, and threads to link them by.
#![allow(clippy::disallowed_methods, reason = "a build lends its work to threads")]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use stormproof_contract::Pool;
use stormproof_engine::vector::{
    Dim, Metric, Shape,
    graph::{Codec, Codes, GraphError, Survey},
};

/// The codes of the rows that lie one after the other in `components`, and what made them.
pub fn codes(dim: usize, components: &[f32]) -> Result<(Codec, Codes), GraphError> {
    let mut survey = Survey::new(Shape { metric: Metric::L2, dim: Dim::new(dim)? });
    for row in components.chunks_exact(dim) {
        survey.add(row)?;
    }
    let codec = survey.finish();
    let mut codes = codec.codes();
    codes.reserve_exact(components.len() / dim);
    for row in components.chunks_exact(dim) {
        codec.encode(row, &mut codes)?;
    }
    Ok((codec, codes))
}

/// So many threads, started anew for each piece of work: it is for builds that last seconds.
#[derive(Clone, Copy, Debug)]
pub struct Threads(pub usize);

impl Pool for Threads {
    fn threads(&self) -> usize {
        self.0.max(1)
    }

    fn run(&self, n: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let some = || {
            while let Some(part) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|part| *part < n) {
                work(part);
            }
        };
        thread::scope(|scope| (0..self.threads()).for_each(|_| _ = scope.spawn(some)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn every_part_is_done_once_by_any_number_of_threads() {
        for threads in [0, 1, 3, 20] {
            let done = Mutex::new(vec![0; 10]);
            Threads(threads).run(10, &|part| done.lock().expect("nobody panics")[part] += 1);
            assert_eq!(done.into_inner().expect("nobody panics"), [1; 10], "{threads} threads");
        }
    }
}
