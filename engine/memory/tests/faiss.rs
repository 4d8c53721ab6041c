//! A node whose exact index has FAISS compare: it answers as one without, before and after it is opened again.

use super::*;
use crate::vector::Metric;

fn with(kernels: KernelChoice) -> Config {
    // Some rows are away, some in memory, some not flushed.
    Config { kernels, flush_records: 250, l1_bytes: 2 * 8 * 300, ..small() }
}

/// 900 records, some replaced and some deleted; every fourth is equal to another.
fn filled(config: Config) -> Bench {
    let mut bench = Bench::new(config);
    let mut retry = 0;
    let mut next = || {
        retry += 1;
        retry
    };
    for id in 0..900 {
        committed(&bench.commit(upsert(next(), id, (id * 7 % 675) as f32)));
    }
    for id in (0..900).step_by(5) {
        committed(&bench.commit(upsert(next(), id, (id * 11 % 675) as f32)));
    }
    for id in (0..900).step_by(7) {
        committed(&bench.commit(delete(next(), id)));
    }
    bench
}

fn searched(bench: &mut Bench) -> Vec<Reply> {
    let asked = [(0.0, 1), (100.3, 5), (333.5, 20), (700.0, 3), (50.0, 2000)];
    asked.map(|(x, k)| bench.ask(Op::search(vec![x, 1.0], k)).expect("an answer")).to_vec()
}

#[test]
fn a_node_with_faiss_answers_as_one_without_also_after_it_was_opened_again() {
    let (mut plain, mut faiss) = (filled(with(KernelChoice::Scalar)), filled(with(KernelChoice::Faiss)));
    for life in 0..2 {
        assert_eq!(faiss.node.views.newest().index.blocks_of_faiss(), 0, "nobody has searched in life {life}");
        let expected = searched(&mut plain);
        assert!(expected.iter().all(|reply| matches!(reply, Reply::Hits { hits, .. } if !hits.is_empty())));
        assert_eq!(searched(&mut faiss), expected, "in life {life}");
        assert!(faiss.node.views.newest().index.blocks_of_faiss() > 2, "FAISS was asked in life {life}");
        plain.reopen();
        faiss.reopen();
    }
}

#[test]
fn faiss_is_refused_under_a_metric_that_it_is_not_asked_for() {
    for metric in [Metric::Cosine, Metric::InnerProduct] {
        let config = Config { metric, ..with(KernelChoice::Faiss) };
        assert_eq!(config.check(), Err(ConfigError::FaissMetric(metric)));
        let refused = boot(&TestDisk::new(), &Arc::default(), &config, 0).err().expect("no such node").to_string();
        assert!(refused.contains("faiss compares by the metric l2 only"), "{refused}");
    }
    assert_eq!(with(KernelChoice::Faiss).check(), Ok(()));
    let name = serde_json::to_string(&KernelChoice::Faiss).expect("a name");
    assert_eq!(name, "\"faiss\"");
}

#[test]
fn what_faiss_keeps_of_a_row_counts_against_the_bound_of_the_index() {
    let rows = |kernels| Config { l1_bytes: 1 << 20, ..with(kernels) }.l1_rows();
    assert_eq!((rows(KernelChoice::Scalar), rows(KernelChoice::Faiss)), (1 << 17, 1 << 16));
}
