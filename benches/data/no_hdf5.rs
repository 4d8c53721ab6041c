//! In place of `hdf5`, where this program is built without that feature: says which it is.

use std::path::Path;

use super::{DataError, Truth};

/// There are none.
pub(super) enum Rows {}

impl Rows {
    pub(super) fn open(path: &Path, _: &str) -> Result<Rows, DataError> {
        Err(refused(path))
    }

    pub(super) fn dim(&self) -> usize {
        match *self {}
    }

    pub(super) fn len(&self) -> u64 {
        match *self {}
    }

    pub(super) fn row(&mut self, _: &mut Vec<f32>) -> Result<bool, DataError> {
        match *self {}
    }
}

pub(super) fn neighbors(path: &Path, _: usize) -> Result<Truth, DataError> {
    Err(refused(path))
}

fn refused(path: &Path) -> DataError {
    let why = "HDF5 is read by a program that was built with `--features hdf5`; or write its tables `train` and `test` as .npy";
    DataError::Unknown { path: path.into(), why: why.into() }
}
