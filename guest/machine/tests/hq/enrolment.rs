//! `contact` and `enrol`.
