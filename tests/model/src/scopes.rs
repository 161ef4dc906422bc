//! The searches.

use crate::properties::check;
use crate::state::{Bounds, From};

#[test]
fn two_boxes() {
    check("two boxes", Bounds::new([From::New, From::New], 4));
}
