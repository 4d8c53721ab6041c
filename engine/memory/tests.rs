//! Tests of a node as a whole.
