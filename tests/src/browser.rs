//! A real browser: Chromium without a window, driven by the DevTools protocol over two pipes.
//!
//! The protocol is JSON with a zero byte after each message. Chromium ends when its pipe ends, so none is left behind
//! by a test that is killed.

mod page;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep, timeout};

use crate::process::tie_to_this_process;

pub use page::{Key, Scheme};

/// A running Chromium with one page. Dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    calls: u64,
    session: Option<String>,
    complaints: Vec<String>,
    _child: Child,
    _profile: TempDir,
}

impl Browser {
    /// How to get one.
    pub const HOW_TO: &str = "Chromium is not there; Debian: apt-get install chromium, elsewhere put a program `chromium` on PATH";

    /// Starts one; none where this machine has no Chromium.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some(program) = chromium() else {
            return Ok(None);
        };
        let profile = tempfile::Builder::new().prefix("otscert-").tempdir()?;
        // Chromium reads from 3 and writes to 4.
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
            "sh",
        ]);
        command.arg(program).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        if is_root() {
            command.arg("--no-sandbox");
        }
        command.arg("about:blank");
        tie_to_this_process(&mut command);
        let mut child = tokio::process::Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start Chromium")?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let mut browser = Self {
            to: to.context("no pipe to Chromium")?,
            from: BufReader::new(from.context("no pipe from Chromium")?),
            calls: 0,
            session: None,
            complaints: Vec::new(),
            _child: child,
            _profile: profile,
        };
        let page = browser
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await?;
        let attached = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attached).await?;
        let session = attached["sessionId"].as_str().context("no session")?;
        browser.session = Some(session.to_owned());
        for domain in ["Runtime.enable", "Log.enable", "DOM.enable"] {
            browser.call(domain, json!({})).await?;
        }
        Ok(Some(browser))
    }

    /// Opens a page and waits until its scripts have run.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub async fn open(&mut self, url: &str) -> anyhow::Result<()> {
        // So that a fragment alone does not make it the same page.
        self.call("Page.navigate", json!({ "url": "about:blank" }))
            .await?;
        let opened = self.call("Page.navigate", json!({ "url": url })).await?;
        if let Some(error) = opened["errorText"].as_str() {
            bail!("{url}: {error}");
        }
        let script = "location.href !== 'about:blank' && document.readyState === 'complete'";
        self.wait_for(url, script).await.map(drop)
    }

    /// What an expression gives on the page.
    ///
    /// # Errors
    ///
    /// If it throws.
    pub async fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let expression = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let mut answer = self.call("Runtime.evaluate", expression).await?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("the page threw {thrown}");
        }
        Ok(answer["result"]["value"].take())
    }

    /// Waits until an expression is true on the page.
    ///
    /// # Errors
    ///
    /// If it is not within 30 seconds: with what the page shows.
    pub async fn wait_for(&mut self, what: &str, expression: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            // While a page is being replaced there is nothing to ask.
            if matches!(self.evaluate(expression).await, Ok(Value::Bool(true))) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let shown = self.evaluate("document.body.innerText").await;
                bail!("{what}: {expression} is not so; the page shows {shown:?}");
            }
            sleep(POLL).await;
        }
    }

    /// Presses the mouse on an element that can be seen.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn press(&mut self, id: &str) -> anyhow::Result<()> {
        self.press_on(&format!("#{id}")).await
    }

    /// Presses the mouse on the first element of a selector that can be seen.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn press_on(&mut self, selector: &str) -> anyhow::Result<()> {
        // Two frames later the browser's input thread knows where the page has been scrolled to.
        let place = format!(
            "(async () => {{ const it = document.querySelector({selector:?}); it.scrollIntoView({{ block: 'center' }}); \
             await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); \
             const at = it.getBoundingClientRect(); \
             return [at.x + at.width / 2, at.y + at.height / 2, at.width]; }})()"
        );
        let place = self.evaluate(&place).await?;
        ensure!(place[2].as_f64() > Some(0.0), "{selector} cannot be seen");
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Types into a field, in place of what stands there.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn type_into(&mut self, id: &str, text: &str) -> anyhow::Result<()> {
        let select = format!("document.getElementById({id:?}).select()");
        self.evaluate(&select).await?;
        self.call("Input.insertText", json!({ "text": text }))
            .await
            .map(drop)
    }

    /// Calls a method of the DevTools protocol (<https://chromedevtools.github.io/devtools-protocol/>) for the page.
    async fn call(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone().into();
        }
        let mut message = message.to_string().into_bytes();
        message.push(0);
        let answered = timeout(PATIENCE, async {
            self.to.write_all(&message).await?;
            self.answer().await
        });
        let answer = answered
            .await
            .with_context(|| format!("Chromium did not answer {method}"))?
            .with_context(|| format!("Chromium, asked for {method}"))?;
        if let Some(error) = answer.get("error") {
            bail!("Chromium refuses {method}: {error}");
        }
        Ok(answer["result"].clone())
    }

    /// The answer to the last call. Of the events before it, complaints are kept.
    async fn answer(&mut self) -> anyhow::Result<Value> {
        loop {
            let mut message = Vec::new();
            self.from.read_until(0, &mut message).await?;
            ensure!(message.pop() == Some(0), "it has ended");
            let message: Value = serde_json::from_slice(&message)?;
            if message["id"] == self.calls {
                return Ok(message);
            }
            self.complaints.extend(page::complaint(&message));
        }
    }
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&path)
        .flat_map(|folder| NAMES.iter().map(move |name| folder.join(name)));
    files.find(|file| file.is_file())
}

#[expect(unsafe_code, reason = "the standard library does not say who runs it")]
fn is_root() -> bool {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const FLAGS: [&str; 8] = [
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
];
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
