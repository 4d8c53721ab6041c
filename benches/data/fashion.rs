//! Fashion-MNIST: 60,000 and 10,000 images of 28 x 28 grey values, from Debian's package `dataset-fashion-mnist`. It is the largest
//! real set that a package manager brings, so every machine can measure with it, without a network of its own.

use std::{fs, iter, path::Path};

use super::{DataError, HELD_MAX, Nearest, Vectors, write_fvecs, write_ivecs};

/// Where the package puts its files.
pub const FASHION_DIR: &str = "/usr/share/datasets/fashion-mnist";

const BASE: &str = "train-images-idx3-ubyte.gz";
const QUERIES: &str = "t10k-images-idx3-ubyte.gz";

/// How many nearest rows are written for each query, as in the published sets of the kind.
const TRUTH_K: usize = 100;
const BLOCK_ROWS: usize = 1024;

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    /// Rows of the base.
    pub rows: u64,
    /// Queries.
    pub queries: u64,
    /// Components of each.
    pub dim: usize,
    /// Nearest rows of each query.
    pub k: usize,
}

/// Writes base, queries and their exact answers into `out`. `said` hears how many rows were compared so far, and of how many.
pub fn fashion_mnist(
    from: &Path,
    out: &Path,
    threads: usize,
    mut said: impl FnMut(u64, u64),
) -> Result<Made, DataError> {
    let base = from.join(BASE);
    if !base.exists() {
        let why = format!("no such file: install Debian's package dataset-fashion-mnist, or say where {BASE} is");
        return Err(DataError::Unknown { path: base, why });
    }
    fs::create_dir_all(out).map_err(|source| DataError::Io { path: out.into(), source })?;
    let (queries, _) = copy(&from.join(QUERIES), &out.join("fashion-mnist_query.fvecs"))?;
    let (rows, dim) = copy(&from.join(BASE), &out.join("fashion-mnist_base.fvecs"))?;
    let vectors = Vectors::open(&out.join("fashion-mnist_query.fvecs"), None)?;
    if vectors.dim() != dim {
        let (expected, found) = (format!("{dim} components"), vectors.dim().to_string());
        return Err(DataError::Unlike { path: vectors.path().into(), expected, found });
    }
    let vectors = vectors.all(HELD_MAX)?;
    let mut base = Vectors::open(&out.join("fashion-mnist_base.fvecs"), None)?;
    let nearest = Nearest::exact(&mut base, &vectors, TRUTH_K, threads, |done| said(done, rows))?;
    let k = nearest.truth.k;
    write_ivecs(&out.join("fashion-mnist_groundtruth.ivecs"), k, &nearest.truth.ids)?;
    Ok(Made { rows, queries, dim, k })
}

/// Writes all vectors of a file as `.fvecs`; returns how many there are, and of how many components.
fn copy(from: &Path, to: &Path) -> Result<(u64, usize), DataError> {
    let mut vectors = Vectors::open(from, None)?;
    let dim = vectors.dim();
    let blocks = iter::from_fn(|| {
        let block = vectors.block(BLOCK_ROWS);
        block.map(|rows| (!rows.is_empty()).then_some(rows)).transpose()
    });
    Ok((write_fvecs(to, dim, blocks)?, dim))
}
