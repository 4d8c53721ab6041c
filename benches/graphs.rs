//! What the approximate index is made of, for benches that build and search it: codes of rows.

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
