//! Shards: the same seeds, divided among machines.

use std::collections::BTreeSet;

use stormproof_sim::{
    examples::replica::trial::ReplicaTrial,
    hunt::{Budget, Hunt, Shard, Suite, scenario::case_of},
};

fn hunt(index: u64, of: u64, case: Option<usize>) -> Hunt {
    Hunt { budget: Budget::Seeds(0), from: 1_000_003, shard: Shard { index, of }, case, ..Hunt::default() }
}

#[test]
fn shards_are_disjoint_and_cover_the_whole() {
    let suite = ReplicaTrial::default();
    let cases = (0..Suite::cases(&suite).len()).map(Some).chain([None]);
    for (case, of) in cases.flat_map(|case| [1, 2, 3, 7].map(|of| (case, of))) {
        let whole: BTreeSet<u64> = (0..of * 50).map(|n| hunt(0, 1, case).seed(&suite, n)).collect();
        let mut seen = BTreeSet::new();
        for index in 0..of {
            for n in 0..50 {
                let seed = hunt(index, of, case).seed(&suite, n);
                assert!(case.is_none_or(|case| case_of(Suite::cases(&suite), seed) == case), "{seed}");
                assert!(seen.insert(seed), "seed {seed} is in two of {of} shards");
            }
        }
        assert_eq!(seen, whole, "{of} shards of case {case:?}");
    }
}
