//! What a person does with a page besides reading and clicking, and what the page complains of.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use otscert_machine::wire::base64url;
use serde_json::{Value, json};

use super::Browser;

/// What the person likes: a ground that is light or dark (`prefers-color-scheme`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// Keys of a keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// To the next control.
    Tab,
    /// Presses a button, opens what is folded.
    Enter,
    /// As [`Key::Enter`] on a button.
    Space,
    /// Next of a list, further on a slider.
    Down,
    /// One back on a slider.
    Left,
    /// The beginning of a slider.
    Home,
    /// The end of a slider.
    End,
}

impl Browser {
    /// Errors and warnings on the console, exceptions that nobody caught, and what the browser itself logged as an error or a warning,
    /// since this was asked last.
    ///
    /// # Errors
    ///
    /// If the browser has ended.
    pub async fn complaints(&mut self) -> anyhow::Result<Vec<String>> {
        // What came before this answer has been read with it.
        self.evaluate("0").await?;
        Ok(std::mem::take(&mut self.complaints))
    }

    /// Makes the window that wide and high, in CSS pixels, for a person who likes that scheme.
    ///
    /// # Errors
    ///
    /// If the browser refuses.
    pub async fn look(&mut self, width: u32, height: u32, scheme: Scheme) -> anyhow::Result<()> {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size)
            .await?;
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.call("Emulation.setEmulatedMedia", features)
            .await
            .map(drop)
    }

    /// Writes what the window shows into a PNG file.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub async fn screenshot(&mut self, file: &Path) -> anyhow::Result<()> {
        let shot = self
            .call("Page.captureScreenshot", json!({ "format": "png" }))
            .await?;
        let data = shot["data"].as_str().context("no picture")?;
        let url = data
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_");
        let bytes = base64url::decode(&url).context("the picture is no base64")?;
        let folder = file.parent().context("a file is in a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
    }

    /// Presses a key and lets it go.
    ///
    /// # Errors
    ///
    /// If the browser refuses.
    pub async fn key(&mut self, key: Key) -> anyhow::Result<()> {
        let (name, code, text) = match key {
            Key::Tab => ("Tab", 9, None),
            Key::Enter => ("Enter", 13, Some("\r")),
            Key::Space => (" ", 32, Some(" ")),
            Key::Down => ("ArrowDown", 40, None),
            Key::Left => ("ArrowLeft", 37, None),
            Key::Home => ("Home", 36, None),
            Key::End => ("End", 35, None),
        };
        let mut event = json!({ "type": "keyDown", "key": name, "windowsVirtualKeyCode": code });
        if let Some(text) = text {
            event["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", event).await?;
        let event = json!({ "type": "keyUp", "key": name, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", event).await.map(drop)
    }

    /// Chooses a file in a file field.
    ///
    /// # Errors
    ///
    /// If there is no such field.
    pub async fn choose_file(&mut self, id: &str, file: &Path) -> anyhow::Result<()> {
        let document = self.call("DOM.getDocument", json!({})).await?;
        let query = json!({ "nodeId": document["root"]["nodeId"], "selector": format!("#{id}") });
        let found = self.call("DOM.querySelector", query).await?;
        ensure!(found["nodeId"] != 0, "there is no {id}");
        let files = json!({ "nodeId": found["nodeId"], "files": [file] });
        self.call("DOM.setFileInputFiles", files).await.map(drop)
    }

    /// Drags a file over the window and drops it there.
    ///
    /// # Errors
    ///
    /// If the browser refuses.
    pub async fn drop_file(&mut self, file: &Path) -> anyhow::Result<()> {
        for kind in ["dragEnter", "dragOver", "drop"] {
            let data = json!({ "items": [], "files": [file], "dragOperationsMask": 1 });
            let event = json!({ "type": kind, "x": 200, "y": 200, "data": data });
            self.call("Input.dispatchDragEvent", event).await?;
        }
        Ok(())
    }

    /// Lets the page save files into a folder.
    ///
    /// # Errors
    ///
    /// If the browser refuses.
    pub async fn save_into(&mut self, folder: &Path) -> anyhow::Result<()> {
        let allowed = json!({ "behavior": "allow", "downloadPath": folder });
        self.call("Browser.setDownloadBehavior", allowed)
            .await
            .map(drop)
    }
}

/// What an event complains of, if it does.
pub(super) fn complaint(event: &Value) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(format!("thrown: {}", params["exceptionDetails"])),
        "Runtime.consoleAPICalled" if is_grave(&params["type"]) => {
            Some(format!("console.{}: {}", params["type"], params["args"]))
        }
        "Log.entryAdded" if is_grave(&params["entry"]["level"]) => {
            Some(format!("logged: {}", params["entry"]))
        }
        _ => None,
    }
}

fn is_grave(level: &Value) -> bool {
    matches!(level.as_str(), Some("error" | "warning" | "assert"))
}
