//! What the factory and the operator do about who may have a name.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use base64ct::{Base64UrlUnpadded, Encoding};
use otscert_crypto::RustCrypto;
use otscert_hq::config::Seed;
use otscert_machine::crypto::Secret;
use otscert_machine::factory::unit_secret::batch_key;
use otscert_machine::factory::{ClaimCode, UnitSecret};
use otscert_machine::types::ShortText;
use tempfile::TempDir;

use super::world::{Hq, both, program};

#[test]
fn the_factory_derives_what_hq_derives_and_overwrites_nothing() {
    let line = Bench::new();
    let made = line.run(&["factory", "master", "--out", "safe/master.key"]);
    assert!(made.status.success(), "{}", both(&made));
    let batch = &["factory", "batch", "--master", "safe/master.key"];
    let made = line.run(&[batch, &["--epoch", "7", "--out", "batch-7.key"][..]].concat());
    assert!(made.status.success(), "{}", both(&made));
    let lines = "[[keys.batch]]\nepoch = 7\nkey = \"keys/batch-7.key\"\n";
    assert!(both(&made).contains(lines), "{}", both(&made));

    line.write("serials", "SN-1\nSN-2\r\n\n");
    let derive = [
        "factory",
        "derive",
        "--batch",
        "batch-7.key",
        "--epoch",
        "7",
        "--model",
        "router",
    ];
    let from_list = ["--serials", "serials", "--out", "units", "--claim-codes"];
    let made = line.run(&[&derive[..], &from_list].concat());
    assert!(made.status.success(), "{}", both(&made));
    assert!(
        both(&made).contains("2 units of router, epoch 7"),
        "{}",
        both(&made)
    );

    // As HQ does it, from the same master.
    let master = Seed::read("test", &line.path("safe/master.key")).unwrap();
    let key = batch_key(&RustCrypto, &Secret::new(*master.expose()), 7);
    let codes = line.read("units/claim-codes.txt");
    let codes: Vec<_> = codes
        .lines()
        .map(|it| it.split_once('\t').unwrap())
        .collect();
    for (serial, (code, of)) in ["SN-1", "SN-2"].into_iter().zip(codes) {
        let short = |text| ShortText::parse("test", text).unwrap();
        let unit = UnitSecret::derive(&RustCrypto, &key, 7, &short("router"), &short(serial));
        let file: toml::Table = line.read(&format!("units/{serial}.toml")).parse().unwrap();
        assert_eq!(file["serial"].as_str(), Some(serial));
        assert_eq!(file["epoch"].as_integer(), Some(7));
        let secret = Base64UrlUnpadded::encode_string(unit.secret.expose());
        assert_eq!(file["secret"].as_str(), Some(secret.as_str()));
        assert_eq!((file["claim_code"].as_str(), of), (Some(code), serial));
        ClaimCode::parse(code).unwrap();
        assert_eq!(file.len(), 4, "{file:?}");
    }
    for secret in [
        "safe/master.key",
        "batch-7.key",
        "units/SN-1.toml",
        "units/claim-codes.txt",
    ] {
        assert_eq!(line.mode(secret), 0o600, "{secret}");
    }

    // Nothing is made twice, and nothing is made where one of several is there.
    let before = line.read("units/SN-1.toml");
    let again = line.run(&[&derive[..], &["--out", "units", "SN-3", "SN-1"]].concat());
    assert_eq!(again.status.code(), Some(1));
    assert!(
        both(&again).contains("units/SN-1.toml exists"),
        "{}",
        both(&again)
    );
    assert_eq!(line.read("units/SN-1.toml"), before);
    assert!(!line.path("units/SN-3.toml").exists());
    let again = line.run(&["factory", "master", "--out", "safe/master.key"]);
    assert!(
        both(&again).contains("nothing is overwritten"),
        "{}",
        both(&again)
    );

    line.write("bad", "SN-4\n../../etc/passwd\nSN-4\n");
    let bad = line.run(&[&derive[..], &["--out", "units", "--serials", "bad"]].concat());
    let text = both(&bad);
    assert!(
        text.contains("line 2: a file is named by it") && text.contains("line 3: it stands"),
        "{text}"
    );
    assert!(!line.path("units/SN-4.toml").exists());

    fs::set_permissions(line.path("batch-7.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let open = line.run(&[&derive[..], &["--out", "units", "SN-5"]].concat());
    assert!(both(&open).contains("has mode 644"), "{}", both(&open));

    // HQ is given what `factory batch` printed.
    let hq = Hq::new();
    let config = hq.path("otscert-hq.toml");
    let text = fs::read_to_string(&config).unwrap();
    let secret = text.replace("admission = \"open\"", "admission = \"factory-secret\"");
    fs::write(&config, &secret).unwrap();
    let without = hq.run(&["check-config"]);
    assert!(
        both(&without).contains("`otscert-hq factory batch` makes a key"),
        "{}",
        both(&without)
    );
    fs::write(&config, format!("{secret}\n{lines}")).unwrap();
    let missing = both(&hq.run(&["check-config"]));
    assert!(missing.contains("check `keys.batch`"), "{missing}");
    fs::copy(line.path("batch-7.key"), hq.path("keys/batch-7.key")).unwrap();
    let key = fs::Permissions::from_mode(0o600);
    fs::set_permissions(hq.path("keys/batch-7.key"), key).unwrap();
    let checked = hq.run(&["check-config"]);
    assert!(checked.status.success(), "{}", both(&checked));
    assert!(
        both(&checked).contains("admission factory-secret"),
        "{}",
        both(&checked)
    );
}

#[test]
fn a_label_reads_back_as_the_set_up_page_with_its_code() {
    let line = Bench::new();
    let drawn = line.run(&["claims", "draw", "--count", "25", "--out", "codes"]);
    assert!(drawn.status.success(), "{}", both(&drawn));
    assert_eq!(line.mode("codes"), 0o600);
    let codes = line.read("codes");
    let made = line.run(&["labels", "--codes", "codes", "--out", "sheet.svg"]);
    assert!(made.status.success(), "{}", both(&made));
    assert!(
        both(&made).contains("25 labels, 2 pages A4"),
        "{}",
        both(&made)
    );
    assert!(!line.path("sheet.svg").exists());
    let pages = [line.read("sheet-1.svg"), line.read("sheet-2.svg")];
    assert_eq!(line.mode("sheet-2.svg"), 0o600);

    let expected = codes.lines().map(|printed| {
        let code = ClaimCode::parse(printed).unwrap();
        assert_eq!(code.bits(), 80);
        format!("http://otscert.local/setup#code={}", code.expose())
    });
    let mut expected: Vec<_> = expected.collect();
    let mut read: Vec<_> = pages.iter().flat_map(|page| scanned(page)).collect();
    expected.sort();
    read.sort();
    assert_eq!(read, expected);
    for printed in codes.lines() {
        // In groups of four, two groups a line.
        let first = printed.split('-').take(2).collect::<Vec<_>>().join("-");
        assert!(
            pages
                .iter()
                .any(|page| page.contains(&format!(">{first}</text>"))),
            "{first}"
        );
    }

    let drawn = line.run(&["claims", "draw", "--count", "1", "--long", "--out", "long"]);
    assert!(drawn.status.success(), "{}", both(&drawn));
    let code = ClaimCode::parse(line.read("long").trim()).unwrap();
    assert_eq!(code.bits(), 130);
    line.write("long", &format!("{}\tSN <1> & co\n", code.printed()));
    let options = ["--url", "https://box.example/hello", "--title", "Scan & go"];
    let made = line.run(
        &[
            &["labels", "--codes", "long", "--out", "one.svg"],
            &options[..],
        ]
        .concat(),
    );
    assert!(made.status.success(), "{}", both(&made));
    let page = line.read("one.svg");
    let link = format!("https://box.example/hello#code={}", code.expose());
    assert_eq!(scanned(&page), [link]);
    assert!(
        page.contains(">Scan &amp; go<") && page.contains(">SN &lt;1&gt; &amp; co<"),
        "{page}"
    );

    let again = line.run(&["labels", "--codes", "long", "--out", "one.svg"]);
    assert!(both(&again).contains("one.svg exists"), "{}", both(&again));
    let secret = line.run(&[
        "labels",
        "--codes",
        "long",
        "--out",
        "x.svg",
        "--url",
        "http://x/#y",
    ]);
    assert!(both(&secret).contains("without #"), "{}", both(&secret));
}

#[test]
fn a_running_hq_takes_codes_and_vouchers_and_says_why_not() {
    let line = Bench::new();
    let hq = Hq::new();
    let drawn = line.run(&["claims", "draw", "--count", "100", "--out", "codes"]);
    assert!(drawn.status.success(), "{}", both(&drawn));
    let codes = line.read("codes");

    // One symbol of one code: named before HQ is spoken to, and HQ does not even run.
    let mistyped = codes.lines().nth(2).unwrap();
    let other = if mistyped.starts_with('7') { "8" } else { "7" };
    line.write(
        "mistyped",
        &codes.replacen(mistyped, &format!("{other}{}", &mistyped[1..]), 1),
    );
    let wrong = hq.run(&["claims", "import", &line.text("mistyped")]);
    assert_eq!(wrong.status.code(), Some(1));
    let text = both(&wrong);
    assert!(
        text.contains("nothing was done") && text.contains("\n  line 3: claim code"),
        "{text}"
    );
    assert!(
        !text.contains(&mistyped[1..]),
        "a code is in the message:\n{text}"
    );
    let import = ["claims", "import", &line.text("codes")];
    let config = hq.path("otscert-hq.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("name = \"*\"", "name = \"box\"")).unwrap();
    let untold = hq.run(&import);
    assert!(
        both(&untold).contains("is `otscert-hq serve` running"),
        "{}",
        both(&untold)
    );
    let model = hq.run(&[&import[..], &["--model", "nonesuch"]].concat());
    assert!(both(&model).contains("no [[model]]"), "{}", both(&model));

    // A voucher key and a stranger's; the config gets the line that the command prints.
    let key = line.run(&["voucher", "key", "--out", "voucher.key"]);
    let public = both(&key)
        .lines()
        .find(|it| it.starts_with("voucher_keys"))
        .unwrap()
        .to_owned();
    line.run(&["voucher", "key", "--out", "stranger.key"]);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replacen("[keys]\n", &format!("[keys]\n{public}\n"), 1),
    )
    .unwrap();
    let serials: String = (0..50).map(|number| format!("SN-{number}\n")).collect();
    line.write("serials", &serials);
    let sign = |key: &str, id: &str, out: &str| {
        let sign = ["voucher", "sign", "--model", "box", "--serials", "serials"];
        let signed = line.run(&[&sign[..], &["--key", key, "--hq-id", id, "--out", out]].concat());
        assert!(signed.status.success(), "{}", both(&signed));
    };
    sign("voucher.key", "hq.maker.test", "vouchers");
    sign("stranger.key", "hq.maker.test", "forged");
    sign("voucher.key", "hq.other.test", "elsewhere");
    assert_eq!(line.read("vouchers").lines().count(), 2);

    let running = hq.start();
    let taken = hq.run(&import);
    let text = both(&taken);
    assert!(
        taken.status.success()
            && text.contains("HQ has the 100 claim codes")
            && text.contains("  4 new of 4 claim codes\n  48 new of 48 claim codes, 2 times\n"),
        "{text}"
    );
    let again = both(&hq.run(&import));
    assert!(
        again.contains("  0 new of 48 claim codes, 2 times"),
        "{again}"
    );
    let released = hq.run(&["claims", "release", codes.lines().next().unwrap()]);
    assert!(
        both(&released).contains("it is free"),
        "{}",
        both(&released)
    );
    let unknown = ClaimCode::draw(&[1; 16]).unwrap().printed();
    let unknown = hq.run(&["claims", "release", &unknown]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        both(&unknown).contains("was it imported at this HQ?"),
        "{}",
        both(&unknown)
    );

    let taken = hq.run(&["voucher", "import", &line.text("vouchers")]);
    let text = both(&taken);
    assert!(
        taken.status.success()
            && text.contains("  48 new of 48 vouched serials\n")
            && text.contains("  2 new of 2 vouched serials\n"),
        "{text}"
    );
    let whole = line.read("vouchers");
    let first = whole.lines().next().unwrap();
    let payload = |text: &str| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        json["payload"].as_str().unwrap().to_owned()
    };
    // The second voucher's payload under the first one's signature.
    let swapped = first.replace(&payload(first), &payload(whole.lines().nth(1).unwrap()));
    line.write("swapped", &swapped);
    line.write("nonsense", &format!("{first}\nnonsense\n"));
    for (file, why) in [
        (
            "forged",
            "it is signed by no key in the config's list of voucher keys",
        ),
        ("elsewhere", "it is for HQ \"hq.other.test\""),
        ("swapped", "the voucher is not taken: "),
        ("nonsense", "\n  line 2: "),
    ] {
        let refused = hq.run(&["voucher", "import", &line.text(file)]);
        assert_eq!(refused.status.code(), Some(1), "{file}");
        assert!(both(&refused).contains(why), "{file}: {}", both(&refused));
    }
    assert!(running.stop().success());
}

#[test]
fn orders_about_many_devices_come_by_standard_input() {
    let hq = Hq::new();
    let running = hq.start();
    let mut child = hq
        .command(&["devices", "retire", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"nobody\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        both(&output).contains("no device has the name or id \"nobody\""),
        "{}",
        both(&output)
    );
    let none = hq.run(&["devices", "retire", "-"]);
    assert!(both(&none).contains("- holds no device"), "{}", both(&none));
    let listed = hq.run(&["devices", "list", "--firmware", "1.0.0", "--ids"]);
    assert!(
        listed.status.success() && listed.stdout.is_empty(),
        "{}",
        both(&listed)
    );
    assert!(running.stop().success());
}

/// What a scanner reads that is held over one label after the other.
fn scanned(svg: &str) -> Vec<String> {
    let paths = svg.lines().filter(|line| line.starts_with("<path "));
    let read = paths.map(|path| {
        let (width, height) = (70 * DOTS_PER_MM, 37 * DOTS_PER_MM);
        let dark = drawn(path, width, height);
        let mut image =
            rqrr::PreparedImage::prepare_from_bitmap(width, height, |x, y| dark[y * width + x]);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    });
    read.collect()
}

/// The dots that a path of rectangles makes dark.
fn drawn(path: &str, width: usize, height: usize) -> Vec<bool> {
    let mut dark = vec![false; width * height];
    let (left, top) = pair(path.split_once("translate(").unwrap().1);
    let scale: f64 = between(path, "scale(", ")").parse().unwrap();
    let quiet = pair(path.rsplit_once("translate(").unwrap().1);
    let dots = |at: f64, quiet: f64, module: f64| {
        ((at + scale * (quiet + module)) * DOTS_PER_MM as f64).round() as usize
    };
    for run in between(path, " d=\"", "\"").split('M').skip(1) {
        let (at, length) = run.split_once('h').unwrap();
        let length: f64 = length.split_once('v').unwrap().0.parse().unwrap();
        let (column, row) = pair(&format!("{at})"));
        let across = dots(left, quiet.0, column)..dots(left, quiet.0, column + length);
        for row in dots(top, quiet.1, row)..dots(top, quiet.1, row + 1.0) {
            dark[row * width..][across.clone()].fill(true);
        }
    }
    dark
}

fn pair(text: &str) -> (f64, f64) {
    let (x, y) = text.split_once(')').unwrap().0.split_once(' ').unwrap();
    (x.parse().unwrap(), y.parse().unwrap())
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    text.split_once(before)
        .unwrap()
        .1
        .split_once(after)
        .unwrap()
        .0
}

/// A folder of the factory's.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut program = program();
        program.args(arguments).current_dir(self.folder.path());
        program.output().unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn mode(&self, name: impl AsRef<Path>) -> u32 {
        fs::metadata(self.folder.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    }
}

const DOTS_PER_MM: usize = 10;
