//! The guided stories to their end, and back and forth in time.

use anyhow::ensure;
use memchr::memmem;
use otscert_component::{COMPONENT, sha256_hex};
use otscert_tests::program;

use super::{SECONDS, Sandbox};
use crate::limited;

/// What the page shows at the end of each story, and how many chapters it has.
const ENDS: [(&str, usize, &str); 6] = [
    (
        "First boot",
        6,
        "state(1) === 'Serving' && /issued\\s+1/.test(panel('ca')) && /grade A/.test(box(1))",
    ),
    (
        "Power cut while enrolling",
        6,
        "state(1) === 'Serving' && says(/resumed, boot 2/) && /issued\\s+1/.test(panel('ca')) \
         && panel('hq').match(/^device\\//gm).length === 1",
    ),
    (
        "Two clones",
        4,
        "document.querySelectorAll('[class*=\"party of-box\"]').length === 2 && /Retired/.test(panel('hq')) \
         && /revoked\\s+1/.test(panel('ca')) && says(/challenged/)",
    ),
    (
        "A board without randomness",
        3,
        "state(1) === 'Serving' && /has nothing to give/.test(box(1)) && /companion\\s+gave\\s+256\\s+SNAHL\\s/.test(box(1))",
    ),
    (
        "The code on the label",
        3,
        "state(1) === 'Serving' && says(/admitted by claim-code/)",
    ),
    (
        "A second operator",
        3,
        "state(1) === 'Serving' && says(/other-hq a request, contact/) && /It knows 0 devices/.test(document.getElementById('parties').innerText) && /unit-secret\\s+gave/.test(box(1)) \
         && /remote-seed\\s+gave\\s+256\\s+SH\\s/.test(box(1))",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn the_sandbox_tells_its_stories_to_their_ends() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let mut page = Sandbox::open("").await?;
        for (number, (title, chapters, end)) in ENDS.iter().enumerate() {
            let choose = format!(
                "(() => {{ const story = document.getElementById('story'); story.value = '{number}'; \
                 story.dispatchEvent(new Event('change')); return story.selectedOptions[0].text; }})()"
            );
            ensure!(page.value(&choose).await? == *title);
            for chapter in 1..=*chapters {
                let heading = format!("{chapter} of {chapters}. ");
                let text = page.text("chapter").await?;
                ensure!(text.starts_with(&heading), "{title}: {text}");
                if chapter < *chapters {
                    page.press("next-chapter").await?;
                }
            }
            page.sees(title, end).await?;
            page.sees(
                title,
                "document.getElementById('next-chapter').ariaDisabled === 'true'",
            )
            .await?;
            page.picture(&format!("story-{}", number + 1)).await?;
            // A chapter back, and again to the end: the same.
            let there = page.shown().await?;
            page.press("earlier-chapter").await?;
            ensure!(page.shown().await? != there, "{title}: a chapter back");
            page.press("next-chapter").await?;
            ensure!(page.shown().await? == there, "{title}: back and forth");
        }
        page.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn a_moment_of_the_sandbox_is_the_same_however_it_is_reached() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let moment = "seed=4&boxes=2&event=60&orders=lose@3,cut-after-write.1@9";
        let mut page = Sandbox::open(moment).await?;
        let there = page.shown().await?;
        page.press("back").await?;
        let before = page.shown().await?;
        ensure!(before != there && page.text("where").await?.starts_with("59 of 60"));
        page.press("step").await?;
        ensure!(page.shown().await? == there, "a step back and forth");
        let mut seen = Vec::new();
        for event in [59, 0, 31, 12, 60, 31] {
            let seek = format!(
                "(() => {{ const seek = document.getElementById('seek'); seek.value = '{event}'; \
                 seek.dispatchEvent(new Event('change')); }})()"
            );
            page.value(&seek).await?;
            ensure!(
                page.text("where")
                    .await?
                    .starts_with(&format!("{event} of 60")),
                "event {event}"
            );
            seen.push((event, page.shown().await?));
        }
        ensure!(seen[0].1 == before && seen[4].1 == there, "by the slider");
        ensure!(
            seen[2].1 == seen[5].1 && seen[1].1 != seen[2].1,
            "event 31 twice"
        );

        // The run goes on by itself, and stops.
        page.press("run").await?;
        page.wait(
            "it runs",
            "parseInt(document.getElementById('where').value) >= 40",
        )
        .await?;
        page.press("run").await?;
        let stands = page.text("where").await?;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        ensure!(page.text("where").await? == stands, "it stands still");

        // The link leads there, in a page of its own.
        page.press("link").await?;
        let linked = page.shown().await?;
        let address = page.value("location.hash.slice(1)").await?;
        let address = address.as_str().unwrap_or_default().to_owned();
        ensure!(
            address.contains("orders=lose@3,cut-after-write.1@9"),
            "{address}"
        );
        page.end().await?;
        let mut other = Sandbox::open(&address).await?;
        ensure!(other.shown().await? == linked, "by its link");
        other.end().await
    })
    .await
}

/// The page computes the digest of the file that it runs; the same bytes lie in both programs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn the_sandbox_shows_the_digest_of_the_file_inside_device_and_hq() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let mut page = Sandbox::open("").await?;
        ensure!(page.text("digest").await? == sha256_hex());
        for name in ["otscert-device", "otscert-hq"] {
            let bytes = std::fs::read(program(name)?)?;
            ensure!(
                memmem::find(&bytes, COMPONENT).is_some(),
                "{name} holds another component than this test, and so than the page"
            );
        }
        page.end().await
    })
    .await
}
