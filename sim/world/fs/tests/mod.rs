//! Tests of the file system model.
