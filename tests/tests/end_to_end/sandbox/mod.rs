//! The sandbox's page in a real browser, from a real server, as a person uses it.
//!
//! What the page should show is looked for on the page: in its text, its focus, its size. Logs go out of it and into it as files, and are
//! held against the replayer. At the end of each test the browser must have complained of nothing.

mod faults;
mod logs;
mod looks;
mod stories;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_tests::{Browser, Process, Scheme, Tried, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// The page in a browser, and the server that it comes from.
struct Sandbox {
    browser: Browser,
    url: String,
    folder: TempDir,
    _server: Process,
}

impl Sandbox {
    /// Opens the page at a moment, as the page's own links name it; empty: at its beginning.
    async fn open(moment: &str) -> anyhow::Result<Self> {
        ensure!(
            root().join("target/sandbox/index.html").is_file(),
            "the sandbox is not built: ./x e2e-sandbox builds it"
        );
        let browser = Browser::start().await?;
        let mut browser = browser.context(Browser::HOW_TO)?;
        browser.look(1280, 1400, Scheme::Light).await?;
        let folder = tempfile::Builder::new().prefix("otscert-").tempdir()?;
        let mut command = Command::new("node");
        command
            .arg("components/sandbox/serve.mjs")
            .current_dir(root());
        let server = Process::spawn("serve.mjs", command, &folder.path().join("server.log"))?;
        let printed = || {
            let said = server.log();
            let url = said.lines().find(|line| line.starts_with("http://"));
            let url = url.map(str::to_owned);
            async move { Ok(Tried::of(url, said)) }
        };
        let url = eventually(PATIENCE, "the server says where it is", printed).await?;
        let mut sandbox = Self {
            browser,
            url,
            folder,
            _server: server,
        };
        let url = format!("{}#{moment}", sandbox.url);
        sandbox.browser.open(&url).await?;
        sandbox
            .wait("it is there", "!document.getElementById('sandbox').hidden && document.getElementById('where').value !== ''")
            .await?;
        Ok(sandbox)
    }

    /// Goes to a moment of the page that is open, as the address bar does.
    async fn go(&mut self, moment: &str) -> anyhow::Result<()> {
        let event = moment
            .split('&')
            .find_map(|part| part.strip_prefix("event="));
        let event = event.context("a moment names an event")?;
        // Another moment first, so that this one is news.
        self.value("location.hash = 'seed=9&boxes=1&event=0'")
            .await?;
        self.wait(
            "it has left",
            "document.getElementById('seed').value === '9'",
        )
        .await?;
        self.value(&format!("location.hash = {moment:?}")).await?;
        let there = format!(
            "document.getElementById('seed').value !== '9' && document.getElementById('where').value.startsWith('{event} of ')"
        );
        self.wait(moment, &there).await
    }

    /// What an expression gives on the page, which may use [`WORDS`].
    async fn value(&mut self, expression: &str) -> anyhow::Result<Value> {
        self.browser
            .evaluate(&format!("(() => {{ {WORDS} return {expression}; }})()"))
            .await
    }

    async fn wait(&mut self, what: &str, expression: &str) -> anyhow::Result<()> {
        let expression = format!("(() => {{ {WORDS} return {expression}; }})()");
        self.browser.wait_for(what, &expression).await
    }

    /// Fails where an expression is not true on the page, with what the page shows.
    async fn sees(&mut self, what: &str, expression: &str) -> anyhow::Result<()> {
        if self.value(expression).await? == true {
            return Ok(());
        }
        let shown = self.value("document.body.innerText").await?;
        anyhow::bail!("{what}: {expression} is not so; the page shows {shown}");
    }

    /// Text that an element shows.
    async fn text(&mut self, id: &str) -> anyhow::Result<String> {
        let text = self
            .value(&format!("document.getElementById({id:?}).innerText"))
            .await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Everything that the page shows of a moment.
    async fn shown(&mut self) -> anyhow::Result<String> {
        let shown = "document.getElementById('where').value.replace(/ of \\d+/, '') + document.getElementById('parties').innerText + \
                     document.getElementById('timeline').innerText";
        let shown = self.value(shown).await?;
        Ok(shown.as_str().context("it shows something")?.to_owned())
    }

    async fn press(&mut self, id: &str) -> anyhow::Result<()> {
        self.browser.press(id).await
    }

    /// Takes a picture of the whole page, for people.
    async fn picture(&mut self, name: &str) -> anyhow::Result<()> {
        self.value("scrollTo(0, 0)").await?;
        let file = root()
            .join("target/screenshots")
            .join(format!("{name}.png"));
        self.browser.screenshot(&file).await
    }

    /// Ends the test: the browser has complained of nothing.
    async fn end(mut self) -> anyhow::Result<()> {
        let complaints = self.browser.complaints().await?;
        ensure!(
            complaints.is_empty(),
            "the browser complains: {complaints:#?}"
        );
        Ok(())
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// Short words for what the page shows. Lines of the timeline are newest first.
const WORDS: &str = "const lines = () => [...document.querySelectorAll('#timeline > li > details > summary')].map((it) => it.innerText); \
    const says = (pattern) => lines().some((line) => pattern.test(line)); \
    const panel = (of) => document.querySelector(`.party.of-${of}`)?.innerText ?? ''; \
    const box = (number) => panel(`box-${number - 1}`); \
    const state = (number) => document.querySelector(`.party.of-box-${number - 1} .state`)?.innerText; \
    const text = (id) => document.getElementById(id).innerText;";
const PATIENCE: Duration = Duration::from_secs(20);
/// For a test of this kind, on a busy machine.
const SECONDS: u64 = 120;
