//! The claims, each with its sentence. A report reads like this list.

use stormproof_sim::check::invariant::Claim;

macro_rules! claims {
    ($($name:ident: $id:literal, $sentence:literal;)*) => {
        $(
            #[doc = $sentence]
            pub const $name: Claim = Claim { id: $id, sentence: $sentence };
        )*
    };
}

claims! {
    D1: "D1", "an acknowledged commit survives every crash and every disk fault that the suite allows";
    D2: "D2", "a transaction is wholly there or not at all, in every tier: no ghosts";
    D3: "D3", "the exact index knows every live record at the ground truth's version, and has the rows of all that are not flushed";
    D4: "D4", "an aborted or refused transaction leaves no trace, in memory, or on disk once recovery has swept";
    D5: "D5", "the recovered state is a prefix of commit order that holds every acknowledged commit";
    D6: "D6", "corruption is found, named and never returned as data";
    D7: "D7", "recovery repeated, or crashed and repeated, gives the same state";
    S1: "S1", "one generation of the archive is served, the one in force; each answer is of one, and no swap takes one away";
    S2: "S2", "a generation is served only if it is complete and durable; a rebuild ends, and its mark does not outlive it";
    Q1: "Q1", "answers of the exact index are exactly the brute-force answers, sorted";
    Q2: "Q2", "through the archive most of the nearest are found; all that it does not have, exactly";
    Q3: "Q3", "a deleted record never returns, an old version never ranks, every hit is the record itself";
    Q4: "Q4", "an acknowledged record is found by the next query that should find it";
    B1: "B1", "the breaker changes its state as it may; held writes take effect in their order, none twice, none is forgotten";
    B2: "B2", "a staged load takes effect whole, in its turn, and once; none is forgotten while the process lives";
    K1: "K1", "what was active becomes firmer, once for each time: nothing else changes but the weights of links";
    K2: "K2", "a prototype is the mean of live records which no other prototype has; making it changes none of them";
    K3: "K3", "only what is of low kappa, not pinned and linked to by no other record is pruned";
    T1: "T1", "histories are serializable, and each key is linearizable";
}
