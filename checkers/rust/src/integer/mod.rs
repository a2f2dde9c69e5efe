//! Certificates about networks of integers: docs/certificates.md up to *A witness*.

pub mod bound;
pub mod check;
pub mod network;
pub mod region;
