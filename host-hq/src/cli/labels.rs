//! `labels`: sheets to print. Each label has its code in groups of four, and a QR code of the box's set-up page with the
//! code behind a `#`: what stands there, browsers send to no server (RFC 9110 section 4.2.5).

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::Uri;
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

use super::claims::{self, Listed};
use super::lists::{self, Access, ListError, Progress};
use super::{CliError, LabelsArgs, Verdict};

/// The box's page that takes a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupUrl(String);

/// Text that is no URL for labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a URL of at most {MOST_URL} characters without #, as in {}",
    SetupUrl::DEFAULT
)]
pub struct NotASetupUrl;

/// Why there are no labels.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// The list, or a sheet.
    #[error(transparent)]
    List(#[from] ListError),
    /// The title does not fit.
    #[error(
        "--title has {got} characters, and {MOST_TITLE} printable ones is what fits on a label"
    )]
    Title {
        /// How many it has.
        got: usize,
    },
    /// A URL with its code is too much for a QR code.
    #[error("the URL with its code does not fit a QR code: take a shorter --url")]
    Qr(#[from] qrcode::types::QrError),
}

impl SetupUrl {
    /// A box without a name is found by this one.
    pub const DEFAULT: &str = "http://otscert.local/setup";
}

impl FromStr for SetupUrl {
    type Err = NotASetupUrl;

    fn from_str(text: &str) -> Result<Self, NotASetupUrl> {
        let url: Uri = text.parse().map_err(|_| NotASetupUrl)?;
        let is_web = matches!(url.scheme_str(), Some("http" | "https"));
        // The parser drops a fragment, and with it what would be wrong.
        match is_web && url.host().is_some() && text.len() <= MOST_URL && !text.contains('#') {
            true => Ok(Self(text.to_owned())),
            false => Err(NotASetupUrl),
        }
    }
}

impl fmt::Display for SetupUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes sheets.
pub(super) fn run(args: &LabelsArgs, out: &mut dyn Write) -> Result<Verdict, CliError> {
    let (codes, sheets) = write_sheets(args)?;
    let files: Vec<_> = sheets
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    writeln!(
        out,
        "{codes} labels, {} A4 at {PER_PAGE} a page, 70 x 37 mm: {}\n\
         Print at 100 %, then destroy the file: whoever reads a label may use its code.",
        match sheets.len() {
            1 => "one page".to_owned(),
            several => format!("{several} pages"),
        },
        files.join(", ")
    )?;
    Ok(Verdict::Well)
}

fn write_sheets(args: &LabelsArgs) -> Result<(usize, Vec<PathBuf>), LabelsError> {
    let got = args.title.chars().count();
    if got > MOST_TITLE || args.title.chars().any(char::is_control) {
        return Err(LabelsError::Title { got });
    }
    let codes = claims::read_list(&args.codes)?;
    let pages = codes.len().div_ceil(PER_PAGE);
    let files: Vec<PathBuf> = (1..=pages)
        .map(|page| match pages {
            1 => args.out.clone(),
            _ => numbered(&args.out, page),
        })
        .collect();
    files
        .iter()
        .try_for_each(|file| lists::must_be_free(file))?;
    let mut progress = Progress::new("pages", pages);
    for (page, (codes, file)) in codes.chunks(PER_PAGE).zip(&files).enumerate() {
        let sheet = sheet(codes, &args.url, &args.title)?;
        lists::create(file, sheet.as_bytes(), Access::Owner)?;
        progress.at(page + 1);
    }
    Ok((codes.len(), files))
}

/// `sheet.svg` as `sheet-2.svg`.
fn numbered(path: &Path, page: usize) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{page}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// One page. Lengths in an SVG of this size are millimetres.
fn sheet(codes: &[Listed], url: &SetupUrl, title: &str) -> Result<Zeroizing<String>, LabelsError> {
    let mut svg = Zeroizing::new(String::with_capacity(PAGE_BYTES));
    svg.push_str(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"210mm\" height=\"297mm\" viewBox=\"0 0 210 297\">\n\
         <rect width=\"210\" height=\"297\" fill=\"#fff\"/>\n",
    );
    for (index, listed) in codes.iter().enumerate() {
        let (column, row) = (index % COLUMNS, index / COLUMNS);
        svg.push_str(&format!(
            "<g transform=\"translate({} {})\">\n",
            millimetres(column, WIDTH),
            millimetres(row, HEIGHT)
        ));
        label(&mut svg, listed, url, title)?;
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn label(
    svg: &mut String,
    listed: &Listed,
    url: &SetupUrl,
    title: &str,
) -> Result<(), LabelsError> {
    let code = &listed.code;
    let link = Zeroizing::new(format!("{url}#code={}", code.expose()));
    qr(svg, &link)?;

    let mut line = |y: f64, size: f64, family: &str, text: &str| {
        // Wider than the label: drawn together.
        let is_wide = text.chars().count() as f64 * size * GLYPH > TEXT_WIDTH;
        let fit = match is_wide {
            true => format!(" textLength=\"{TEXT_WIDTH}\" lengthAdjust=\"spacingAndGlyphs\""),
            false => String::new(),
        };
        svg.push_str(&format!(
            "<text x=\"{TEXT_LEFT}\" y=\"{y}\" font-size=\"{size}\" font-family=\"{family}\"{fit}>{}</text>\n",
            escaped(text)
        ));
    };
    line(8.5, 3.0, "sans-serif", title);
    let printed = Zeroizing::new(code.printed());
    let groups: Vec<&str> = printed.split('-').collect();
    let mut y = 14.5;
    for pair in groups.chunks(2) {
        line(y, 4.0, "monospace", &Zeroizing::new(pair.join("-")));
        y += 5.0;
    }
    if let Some(remark) = &listed.remark {
        line(34.0, 2.2, "monospace", remark.as_str());
    }
    Ok(())
}

/// A QR code on the left of a label, with the quiet zone that readers need: white of four modules on each side.
fn qr(svg: &mut String, link: &str) -> Result<(), LabelsError> {
    let code = QrCode::with_error_correction_level(link.as_bytes(), EcLevel::M)?;
    let width = code.width();
    let module = QR_SIDE / (width + 2 * QUIET_MODULES) as f64;
    svg.push_str(&format!(
        "<path transform=\"translate({QR_LEFT} {QR_TOP}) scale({module:.4}) translate({QUIET_MODULES} {QUIET_MODULES})\" \
         shape-rendering=\"crispEdges\" d=\""
    ));
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|one, next| one == next) {
            if run.first() == Some(&Color::Dark) {
                let length = run.len();
                svg.push_str(&format!("M{x} {y}h{length}v1h-{length}z"));
            }
            x += run.len();
        }
    }
    svg.push_str("\"/>\n");
    Ok(())
}

fn millimetres(count: usize, each: f64) -> f64 {
    count as f64 * each
}

/// As text of an XML element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Labels of 70 x 37 mm, as sheets of three by eight are sold.
const COLUMNS: usize = 3;
const PER_PAGE: usize = 24;
const WIDTH: f64 = 70.0;
const HEIGHT: f64 = 37.125;
const QR_LEFT: f64 = 2.0;
const QR_TOP: f64 = 3.5;
/// Side of the QR code with its quiet zone.
const QR_SIDE: f64 = 30.0;
/// ISO/IEC 18004 section 5.3.8.
const QUIET_MODULES: usize = 4;
const TEXT_LEFT: f64 = 33.0;
const TEXT_WIDTH: f64 = 35.0;
/// Width of a glyph of a monospaced font, in sizes.
const GLYPH: f64 = 0.6;
const MOST_TITLE: usize = 24;
const MOST_URL: usize = 200;
/// So that the codes in it are not left behind by a growing string.
const PAGE_BYTES: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_for_labels_is_one_of_a_web_page_without_a_fragment() {
        for good in [
            SetupUrl::DEFAULT,
            "https://box.example/setup?lang=de",
            "http://192.168.1.1",
        ] {
            assert_eq!(good.parse::<SetupUrl>().unwrap().to_string(), good);
        }
        let long = format!("http://x/{}", "y".repeat(MOST_URL));
        for bad in [
            "",
            "otscert.local",
            "/setup",
            "ftp://x/y",
            "http://x/#y",
            &long,
        ] {
            assert_eq!(bad.parse::<SetupUrl>(), Err(NotASetupUrl), "{bad}");
        }
    }

    #[test]
    fn pages_are_numbered_before_the_end_of_the_name() {
        let numbered = |path| numbered(Path::new(path), 2).display().to_string();
        assert_eq!(numbered("a/sheet.svg"), "a/sheet-2.svg");
        assert_eq!(numbered("sheet"), "sheet-2");
    }

    #[test]
    fn text_is_no_markup() {
        assert_eq!(escaped("<b> & co"), "&lt;b&gt; &amp; co");
    }
}
