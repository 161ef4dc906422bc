//! The attacks that `./x attack-sibling` and `./x attack-recorder` show: those that must succeed do, and those that must
//! fail do.

use otscert_tests::attack;

use crate::limited;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sibling_computes_the_key_of_a_starved_box_alone_and_hq_refuses_it() -> anyhow::Result<()>
{
    limited(300, attack::sibling(&mut Vec::new())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_opens_a_clear_seed_and_no_sealed_one() -> anyhow::Result<()> {
    limited(300, attack::recorder(&mut Vec::new())).await
}
