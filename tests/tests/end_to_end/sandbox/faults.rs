//! Each fault by its button, and what the page shows of it.

use anyhow::ensure;

use super::{SECONDS, Sandbox};
use crate::limited;

/// An order, a moment at which it is given, and what the page shows when its effect has come.
const FAULTS: [(&str, &str, &str); 23] = [
    (
        "lose",
        "event=0",
        "says(/timed-out.*the network lost it/) && lines().some((line) => /^\\d+ box-1/.test(line))",
    ),
    (
        "repeat",
        "event=0",
        "lines().filter((line) => /hq a request, contact/.test(line)).length === 2",
    ),
    (
        "reorder",
        "event=4",
        "says(/no answer yet/) && lines().filter((line) => /hq a request, order/.test(line)).length === 2 && !/Challenged/.test(panel('hq'))",
    ),
    (
        "hq-down",
        "event=90",
        "/down/.test(panel('hq')) && says(/unreachable/) && state(1) === 'Serving'",
    ),
    (
        "hq-up",
        "event=20&orders=hq-down@2",
        "/HQ up/.test(panel('hq')) && lines().filter((line) => /hq a new instance/.test(line)).length === 2",
    ),
    (
        "no-entropy",
        "event=0",
        "state(1) === 'AwaitingEntropy' && /has nothing to give/.test(box(1)) && /makes none yet/.test(box(1))",
    ),
    (
        "stuck",
        "event=0",
        "state(1) === 'AwaitingEntropy' && /is stuck/.test(box(1)) && /the same 32 bytes twice in a row/.test(box(1))",
    ),
    (
        "entropy",
        "event=20&orders=no-entropy.0@0",
        "['Enrolling', 'AwaitingCertificate'].includes(state(1)) && /grade A/.test(box(1)) && !/nothing to give/.test(box(1))",
    ),
    (
        "clock-behind",
        "event=0",
        "/is 365 days behind/.test(box(1)) && state(1) === 'Enrolling'",
    ),
    (
        "clock-ahead",
        "event=70",
        "/is 365 days ahead/.test(box(1)) && /it ended at/.test(box(1)) && /certificate until\\s+2027-01/.test(box(1))",
    ),
    (
        "clock-jump",
        "event=90",
        "/is 30 days ahead/.test(box(1)) && state(1) === 'Serving' && /issued\\s+2/.test(panel('ca'))",
    ),
    (
        "clock-right",
        "event=80&orders=clock-ahead.0@60",
        "!/days ahead/.test(box(1))",
    ),
    (
        "fail-write",
        "event=4",
        "says(/refused: storage/) && !/\\boff\\b/.test(state(1))",
    ),
    (
        "cut-before-write",
        "event=4",
        "says(/refused: storage/) && says(/resumed, boot 2/)",
    ),
    (
        "cut-after-write",
        "event=4",
        "says(/refused: storage/) && says(/resumed, boot 2/)",
    ),
    (
        "power-cut",
        "event=40",
        "says(/resumed, boot 2/) && !says(/refused: storage/)",
    ),
    (
        "companion",
        "event=20&orders=no-entropy.0@0",
        "state(1) === 'Enrolling' && /companion\\s+gave\\s+256\\s+SNAHL\\s/.test(box(1))",
    ),
    (
        "claim-code",
        "setup=claim-code&event=20",
        "state(1) === 'AwaitingCertificate' && says(/claim-code/) && /device\\//.test(panel('hq'))",
    ),
    (
        "clone",
        "event=90",
        "/Challenged/.test(panel('hq')) && box(2) !== '' && says(/challenged/)",
    ),
    (
        "renew",
        "event=90",
        "state(1) === 'Serving' && /issued\\s+2/.test(panel('ca'))",
    ),
    (
        "reset",
        "event=90",
        "/Retired/.test(panel('hq')) && state(1) === 'AwaitingContact' && !/device\\s/.test(box(1).replace(/inspect.view/, ''))",
    ),
    (
        "retire",
        "event=90",
        "/Retired/.test(panel('hq')) && /revoked\\s+1/.test(panel('ca')) && /This identity was retired/.test(box(1))",
    ),
    (
        "accept",
        "event=140&orders=clone.0@90",
        "!/Challenged/.test(panel('hq')) && says(/the operator: accept/)",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn each_fault_has_a_button_and_the_effect_that_the_sandbox_names() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let mut page = Sandbox::open("").await?;
        let buttons = page
            .value("[...document.querySelectorAll('[data-order]')].map((it) => it.dataset.order).sort().join()")
            .await?;
        let mut tried: Vec<&str> = FAULTS.iter().map(|(order, _, _)| *order).collect();
        tried.sort_unstable();
        ensure!(buttons == tried.join(","), "{buttons}");
        for (order, moment, effect) in FAULTS {
            page.go(&format!("seed=1&boxes=1&{moment}")).await?;
            ensure!(
                page.value(effect).await? != true || order == "clock-right",
                "{order}: it was so before"
            );
            page.browser.press_on(&format!("[data-order={order}]")).await?;
            ensure!(
                page.text("expected").await?.len() > 40,
                "{order}: the page does not say what should come of it"
            );
            page.press("to-effect").await?;
            page.wait(order, "text('seen').startsWith('Seen at event ')")
                .await?;
            page.sees(order, effect).await?;
            if ["stuck", "clock-ahead", "clone"].contains(&order) {
                page.picture(&format!("fault-{order}")).await?;
            }
        }

        // An order that would do nothing does nothing, and the page says so.
        page.go("seed=1&boxes=1&event=0").await?;
        page.browser.press_on("[data-order=renew]").await?;
        ensure!(page.text("told").await?.starts_with("That would do nothing"));
        page.sees("nothing is waited for", "document.getElementById('effect').hidden")
            .await?;
        page.end().await
    })
    .await
}
