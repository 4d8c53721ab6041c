//! Which of many candidates a node is linked to: the nearest, but none to which a nearer one leads anyway.

use super::super::kernels::Kernels;
use super::GraphRules;
use super::codes::{CodeQuery, Codes};
use super::walk::Met;

/// To how many neighbours a candidate is compared at a time: one that leads to it is most often found early.
const AT_A_TIME: usize = 8;

/// Of `candidates`, which are in order, leaves in `kept` the numbers of those to link to, nearest first.
pub(super) fn prune(
    codes: &Codes,
    kernels: Kernels,
    rules: GraphRules,
    candidates: &[Met],
    kept: &mut Vec<u32>,
    query: &mut CodeQuery,
) {
    kept.clear();
    for candidate in candidates {
        if kept.len() == rules.degree as usize {
            break;
        }
        let limit = u64::from(candidate.distance()) * 100;
        codes.load(kernels, candidate.node(), query);
        let leads = kept.chunks(AT_A_TIME).any(|some| {
            codes.distances(kernels, some, query);
            query
                .distances
                .iter()
                .any(|distance| u64::from(distance.cast_unsigned()) * u64::from(rules.alpha_percent) <= limit)
        });
        if !leads {
            kept.push(candidate.node());
        }
    }
}
