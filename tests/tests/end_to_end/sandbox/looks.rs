//! The page by keyboard alone, at two widths, light and dark.

use anyhow::ensure;
use otscert_tests::{Key, Scheme};

use super::{SECONDS, Sandbox};
use crate::limited;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn the_sandbox_is_walked_by_keyboard_alone() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let mut page = Sandbox::open("seed=1&boxes=1&event=20").await?;
        page.browser.look(1280, 900, Scheme::Light).await?;
        let controls = page
            .value(
                "(() => { window.controls = [...document.querySelectorAll('button, select, input, summary')].filter((it) => it.checkVisibility()); \
                 return controls.length; })()",
            )
            .await?;
        let controls = controls.as_u64().unwrap_or_default();
        ensure!(controls > 40, "{controls} controls");
        for number in 0..controls {
            page.browser.key(Key::Tab).await?;
            let focus = format!(
                "document.activeElement === controls[{number}] && getComputedStyle(document.activeElement).outlineStyle === 'solid' \
                 && (document.activeElement.innerText !== '' || document.activeElement.labels?.length > 0)"
            );
            page.sees(&format!("control {number} has the focus, is seen to, and has a name"), &focus)
                .await?;
        }

        // A story, chosen and told.
        focus(&mut page, "story").await?;
        page.browser.key(Key::Down).await?;
        page.sees("the second story begins", "text('chapter').startsWith('1 of 6. A box has sent')")
            .await?;
        for _ in 0..2 {
            page.browser.key(Key::Tab).await?;
        }
        for chapter in 2..=6 {
            page.browser.key(if chapter % 2 == 0 { Key::Enter } else { Key::Space }).await?;
            let told = format!(
                "text('chapter').startsWith('{chapter} of 6. ') && document.activeElement.id === 'next-chapter'"
            );
            page.sees("the next chapter, and the focus stays", &told).await?;
        }
        page.sees("it is told", "state(1) === 'Serving'").await?;

        // Time.
        focus(&mut page, "back").await?;
        let before = page.text("where").await?;
        page.browser.key(Key::Enter).await?;
        ensure!(page.text("where").await? != before, "back by Enter");
        focus(&mut page, "step").await?;
        page.browser.key(Key::Space).await?;
        ensure!(page.text("where").await? == before, "forth by Space");
        focus(&mut page, "seek").await?;
        page.browser.key(Key::Home).await?;
        ensure!(page.text("where").await?.starts_with("0 of "), "to the beginning");
        page.browser.key(Key::End).await?;
        ensure!(page.text("where").await? == before, "to the end");
        page.browser.key(Key::Left).await?;
        ensure!(page.text("where").await? != before, "one back");

        // A fault, its effect, and an entry of the timeline.
        page.value("document.querySelector('[data-order=renew]').focus()").await?;
        page.browser.key(Key::End).await?;
        page.value("document.querySelector('[data-order=power-cut]').focus()").await?;
        page.browser.key(Key::Enter).await?;
        focus(&mut page, "to-effect").await?;
        page.browser.key(Key::Enter).await?;
        page.sees("its effect", "text('seen').startsWith('Seen at event ')")
            .await?;
        page.value("document.querySelector('#timeline summary').focus()").await?;
        page.browser.key(Key::Enter).await?;
        page.sees("it opens", "document.querySelector('#timeline details').open")
            .await?;
        page.value("document.querySelector('#parties summary').focus()").await?;
        page.browser.key(Key::Enter).await?;
        page.sees("records open", "document.querySelector('#parties details').open")
            .await?;
        // What goes on by itself takes no focus away.
        page.press("run").await?;
        page.value("document.querySelector('#parties summary').focus()").await?;
        let before = page.text("where").await?;
        let moved = format!("text('where') !== {before:?} && document.activeElement === document.querySelector('#parties summary')");
        page.wait("it runs, and the focus stays", &moved).await?;
        page.press("run").await?;
        page.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn the_sandbox_fits_two_widths_light_and_dark() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let mut page =
            Sandbox::open("seed=1&boxes=2&event=150&orders=cut-after-write.0@9,clone.1@110").await?;
        page.value("document.querySelectorAll('#parties > section > details, #timeline li:nth-child(-n + 40) > details').forEach((it) => { it.open = true; })")
            .await?;
        page.wait("signatures are checked", "!/Checking signatures/.test(document.body.innerText)")
            .await?;
        let mut grounds = Vec::new();
        for scheme in [Scheme::Light, Scheme::Dark] {
            for width in [1280, 400] {
                page.browser.look(width, 1400, scheme).await?;
                page.sees(
                    "nothing is wider than the window",
                    "document.documentElement.scrollWidth <= innerWidth",
                )
                .await?;
                let reads = page.value(CONTRAST).await?;
                ensure!(reads == "", "{scheme:?}, {width} px: too little contrast: {reads}");
                page.picture(&format!("{width}-{scheme:?}").to_lowercase())
                    .await?;
            }
            grounds.push(page.value("getComputedStyle(document.body).backgroundColor").await?);
        }
        ensure!(grounds[0] != grounds[1], "{grounds:?}");
        page.end().await
    })
    .await
}

/// Moves the focus as Tab would, without counting to there: that it can be reached is shown before.
async fn focus(page: &mut Sandbox, id: &str) -> anyhow::Result<()> {
    page.value(&format!("document.getElementById({id:?}).focus()"))
        .await
        .map(drop)
}

/// Texts that are too close to their ground: below 4.5 to 1 (WCAG 2.2, 1.4.3), but for controls that do nothing now.
const CONTRAST: &str = "(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => channels(color).slice(0, 3).map((it) => it / 255)
    .map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4))
    .reduce((sum, it, at) => sum + it * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (it) => {
    for (let at = it; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const poor = [];
  for (const it of document.querySelectorAll('body *')) {
    const own = [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '');
    if (!own || !it.checkVisibility() || it.closest('[aria-disabled=true], svg, .unseen')) continue;
    const [one, other] = [light(getComputedStyle(it).color), light(ground(it))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) poor.push(`${it.innerText.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return poor.slice(0, 5).join('; ');
})()";
