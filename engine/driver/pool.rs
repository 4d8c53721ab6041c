//! Threads for the parts of a job's work: as many as the machine lends, for as long as one piece of work takes.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use stormproof_contract::{OneThread, Pool};

/// Some threads.
#[derive(Clone, Copy, Debug)]
pub struct Threads(usize);

impl Threads {
    /// As many as this machine runs at a time.
    pub fn of_machine() -> Threads {
        Threads(thread::available_parallelism().map_or(1, NonZero::get))
    }
}

impl Pool for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, n: usize, work: &(dyn Fn(usize) + Sync)) {
        if n <= 1 || self.0 == 1 {
            return OneThread.run(n, work);
        }
        let next = AtomicUsize::new(0);
        let hand = || {
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= n {
                    return;
                }
                work(part);
            }
        };
        thread::scope(|scope| {
            (1..self.0.min(n)).for_each(|_| drop(scope.spawn(hand)));
            hand();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::vector::{
        Dim, Kernels, Metric, Shape,
        graph::{Builder, GraphRules, Survey},
    };

    #[test]
    fn a_graph_does_not_show_how_many_threads_have_built_it() {
        let rows: Vec<[f32; 4]> = (0..600_u16).map(|n| [n % 7, n % 31, n % 11, n / 9].map(f32::from)).collect();
        let mut survey = Survey::new(Shape { metric: Metric::L2, dim: Dim::new(4).expect("a dimension") });
        for row in &rows {
            survey.add(row).expect("an admitted vector");
        }
        let codec = survey.finish();
        let built = |pool: &dyn Pool| {
            let mut codes = codec.codes();
            for row in &rows {
                codec.encode(row, &mut codes).expect("an admitted vector");
            }
            let rules = GraphRules { degree: 8, complexity: 20, ..GraphRules::default() };
            let mut builder = Builder::new(codes, rules, Kernels::detect()).expect("rules within their bounds");
            while !builder.step(100, pool) {}
            builder.finish().links().to_vec()
        };
        let one = built(&OneThread);
        for threads in [2, 3, 8] {
            assert_eq!(built(&Threads(threads)), one, "{threads} threads");
        }
    }

    #[cfg(feature = "faiss")]
    #[test]
    fn many_threads_that_have_faiss_compare_find_what_one_finds_without() {
        use crate::{
            ids::{RecordId, Version},
            vector::FlatIndex,
        };
        let shape = Shape { metric: Metric::L2, dim: Dim::new(4).expect("a dimension") };
        let vector = |n: u64| [n * 7 % 101, n * 31 % 97, n % 11, n / 9].map(|component| component as f32);
        let answers = |kernels: Kernels, pool: &dyn Pool| {
            let mut index = FlatIndex::new(shape, kernels);
            for n in 0..3000 {
                index.upsert(RecordId(n), Version(1), &vector(n)).expect("an admitted vector");
            }
            let hits = Mutex::new(vec![Vec::new(); 400]);
            // All of them begin with blocks that FAISS has no index of yet.
            pool.run(400, &|n| {
                let found = index.search(&vector(3000 + n as u64), 5).expect("an admitted query");
                hits.lock().expect("no panic")[n] = found;
            });
            hits.into_inner().expect("no panic")
        };
        let expected = answers(Kernels::scalar(), &OneThread);
        assert!(expected.iter().all(|hits| hits.len() == 5));
        for threads in [2, 8] {
            assert_eq!(answers(Kernels::faiss(), &Threads(threads)), expected, "{threads} threads");
        }
    }

    #[test]
    fn each_part_is_done_once_however_many_threads_there_are() {
        for threads in [1, 2, 7] {
            let done = Mutex::new(Vec::new());
            Threads(threads).run(100, &|part| done.lock().expect("no panic").push(part));
            let mut done = done.into_inner().expect("no panic");
            done.sort_unstable();
            assert_eq!(done, (0..100).collect::<Vec<_>>(), "{threads} threads");
        }
    }
}
