//! What people read of a box that waits for randomness.

use otscert_crypto::RustCrypto;
use otscert_machine::entropy::{Class, Entropy, Grade};

#[test]
fn people_are_told_that_the_image_wants_more_where_it_does() {
    let told = |entropy: &Entropy| entropy.waits_for().contains("does not let it make keys");
    let mut entropy = Entropy::new(&RustCrypto, b"unit");
    assert_eq!((entropy.grade(), told(&entropy)), (Grade::D, false));
    entropy.remote_seed(&RustCrypto, &[1; 32], &[Class::Sibling]);
    assert_eq!((entropy.grade(), told(&entropy)), (Grade::C, false));
    entropy.unit_secret(&RustCrypto, &[7; 32]);
    assert_eq!((entropy.grade(), told(&entropy)), (Grade::B, true));
}
