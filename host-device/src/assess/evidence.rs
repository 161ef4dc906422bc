//! What a unit is and does while its samples are taken.
//!
//! Emulators and hypervisors are told by their signs, not by statistics: their clocks look as noisy as any, and whoever
//! runs them sets them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::{fs, thread};

use otscert_assess::evidence::Evidence;
use otscert_component::sha256_hex_of;

/// Looks at the system whose files lie below `root`.
pub(super) fn look(root: &Path, buffer_bytes: usize) -> Evidence {
    let cpuinfo = read(&root.join("proc/cpuinfo"));
    Evidence {
        board: sha256_hex_of(&marks(root)),
        boot: boot(root),
        virtual_signs: virtual_signs(root),
        load_hundredths: load(&read(&root.join("proc/loadavg"))),
        processors: thread::available_parallelism()
            .map_or(0, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        processor: field(
            &cpuinfo,
            &["model name", "Hardware", "uarch", "isa", "cpu model"],
        ),
        clock_source: clock_source(root),
        kernel: word(&read(&root.join("proc/sys/kernel/osrelease"))),
        collector: env!("CARGO_PKG_VERSION").to_owned(),
        buffer_bytes: buffer_bytes as u64,
    }
}

/// A digest of the kernel's boot id: another one after each start of the system.
pub(super) fn boot(root: &Path) -> String {
    let id = read(&root.join("proc/sys/kernel/random/boot_id"));
    sha256_hex_of(id.trim().as_bytes())
}

/// What tells this board from the next one.
fn marks(root: &Path) -> Vec<u8> {
    let interfaces = fs::read_dir(root.join("sys/class/net"));
    let mut paths: Vec<_> = interfaces
        .into_iter()
        .flatten()
        .flatten()
        .take(MAX_INTERFACES)
        .map(|interface| interface.path().join("address"))
        .collect();
    paths.sort();
    paths.extend(SERIALS.iter().map(|path| root.join(path)));
    paths
        .iter()
        .map(|path| read(path) + "\n")
        .collect::<String>()
        .into_bytes()
}

/// What speaks for an emulator, a hypervisor or a container, in words.
fn virtual_signs(root: &Path) -> Vec<String> {
    let mut signs = Vec::new();
    let cpuinfo = read(&root.join("proc/cpuinfo"));
    let flags = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    if flags
        .filter(|(name, _)| name.trim() == "flags")
        .any(|(_, flags)| flags.split_whitespace().any(|flag| flag == "hypervisor"))
    {
        signs.push("its processor has the flag `hypervisor`".to_owned());
    }
    for path in NAMES {
        let content = read(&root.join(path));
        if let Some(name) = VIRTUAL_NAMES.iter().find(|name| names(&content, name)) {
            signs.push(format!("/{path} names {name}"));
        }
    }
    let hypervisor = word(&read(&root.join("sys/hypervisor/type")));
    if !hypervisor.is_empty() {
        signs.push(format!("/sys/hypervisor/type is {hypervisor}"));
    }
    if root.join("proc/device-tree/hypervisor").exists() {
        signs.push("its device tree has a hypervisor".to_owned());
    }
    let clock = clock_source(root);
    if VIRTUAL_CLOCKS.iter().any(|name| clock.starts_with(name)) {
        signs.push(format!("its clock source is {clock}"));
    }
    let stat = read(&root.join("proc/stat"));
    let stolen = stat
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(STEAL));
    if stolen
        .and_then(|ticks| ticks.parse::<u64>().ok())
        .is_some_and(|ticks| ticks > 0)
    {
        signs.push("a host took processor time from it (steal in /proc/stat)".to_owned());
    }
    for path in CONTAINER_FILES {
        if root.join(path).exists() {
            signs.push(format!("it runs in a container (/{path})"));
        }
    }
    if read(&root.join("proc/1/environ"))
        .split('\0')
        .any(|line| line.starts_with("container="))
    {
        signs.push("it runs in a container (environment of the first process)".to_owned());
    }
    signs
}

/// Whether a word of the text begins so: a board called PiKVM is none of KVM.
fn names(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric())
    })
}

/// The first field of `/proc/loadavg`, in hundredths.
fn load(text: &str) -> Option<u32> {
    let (whole, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let hundredths: u32 = hundredths.get(..2)?.parse().ok()?;
    whole
        .parse::<u32>()
        .ok()?
        .checked_mul(100)?
        .checked_add(hundredths)
}

fn clock_source(root: &Path) -> String {
    word(&read(&root.join(
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
    )))
}

/// The first of these fields that `/proc/cpuinfo` has.
fn field(cpuinfo: &str, names: &[&str]) -> String {
    let fields = || cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let value = |wanted: &&str| {
        let mut fields = fields();
        fields
            .find(|(name, _)| name.trim() == *wanted)
            .map(|(_, value)| word(value))
    };
    names
        .iter()
        .find_map(value)
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// One line of text that a file of the kernel holds.
fn word(text: &str) -> String {
    let line = text.trim().chars().filter(|c| !c.is_control());
    line.take(MAX_WORD).collect()
}

/// What cannot be read is not there.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _short = file.take(MAX_FILE).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const SERIALS: [&str; 4] = [
    "etc/machine-id",
    "sys/class/dmi/id/product_serial",
    "sys/firmware/devicetree/base/serial-number",
    "sys/block/mmcblk0/device/cid",
];
/// Where boards and processors are named.
const NAMES: [&str; 8] = [
    "proc/cpuinfo",
    "proc/device-tree/compatible",
    "proc/device-tree/model",
    "sys/class/dmi/id/sys_vendor",
    "sys/class/dmi/id/product_name",
    "sys/class/dmi/id/board_vendor",
    "sys/class/dmi/id/bios_vendor",
    "sys/class/dmi/id/product_version",
];
/// Names that only emulators, hypervisors and sandboxes have.
const VIRTUAL_NAMES: [&str; 18] = [
    "QEMU",
    "qemu",
    "KVM",
    "VMware",
    "VirtualBox",
    "innotek",
    "Virtual Machine",
    "Virtual Platform",
    "Parallels",
    "Bochs",
    "BHYVE",
    "HVM domU",
    "Xen",
    "Amazon EC2",
    "Google Compute Engine",
    "OpenStack",
    "linux,dummy-virt",
    "User Mode Linux",
];
const VIRTUAL_CLOCKS: [&str; 3] = ["kvm-clock", "hyperv", "xen"];
const CONTAINER_FILES: [&str; 3] = [".dockerenv", "run/.containerenv", "run/systemd/container"];
/// The field of the first line of `/proc/stat`, after its name.
const STEAL: usize = 8;
const MAX_FILE: u64 = 256 * 1024;
const MAX_INTERFACES: usize = 64;
const MAX_WORD: usize = 128;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_box_shows_no_sign_and_each_sign_is_named() {
        let plain: [(&str, &str); 7] = [
            (
                "proc/cpuinfo",
                "processor\t: 0\nflags\t\t: fpu tsc\nHardware\t: BCM2835\n",
            ),
            ("proc/device-tree/model", "PiKVM V4"),
            ("proc/loadavg", "0.07 0.10 0.05 1/80 1234\n"),
            ("proc/stat", "cpu  10 20 30 40 50 0 60 0 0 0\ncpu0 1 2\n"),
            ("proc/sys/kernel/random/boot_id", "one\n"),
            ("sys/class/net/eth0/address", "02:00:00:00:00:01\n"),
            (
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "arch_sys_counter\n",
            ),
        ];
        let plain = tree(&plain);
        let found = look(plain.path(), 4096);
        assert_eq!(found.virtual_signs, Vec::<String>::new());
        assert_eq!(found.load_hundredths, Some(7));
        assert_eq!(
            (found.processor.as_str(), found.clock_source.as_str()),
            ("BCM2835", "arch_sys_counter")
        );
        for (path, content, says) in [
            (
                "proc/cpuinfo",
                "flags\t\t: fpu hypervisor lahf_lm\n",
                "the flag `hypervisor`",
            ),
            (
                "proc/cpuinfo",
                "model name : QEMU Virtual CPU version 2.5+\n",
                "/proc/cpuinfo names QEMU",
            ),
            (
                "proc/device-tree/compatible",
                "linux,dummy-virt\0",
                "linux,dummy-virt",
            ),
            (
                "proc/device-tree/hypervisor/compatible",
                "xen",
                "device tree has a hypervisor",
            ),
            (
                "sys/class/dmi/id/product_name",
                "VMware7,1\n",
                "/sys/class/dmi/id/product_name names VMware",
            ),
            (
                "sys/hypervisor/type",
                "xen\n",
                "/sys/hypervisor/type is xen",
            ),
            (
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "kvm-clock\n",
                "its clock source is kvm-clock",
            ),
            ("proc/stat", "cpu  10 20 30 40 50 0 60 3 0 0\n", "steal"),
            (".dockerenv", "", "in a container (/.dockerenv)"),
            (
                "proc/1/environ",
                "HOME=/\0container=lxc\0",
                "environment of the first process",
            ),
        ] {
            let signs = look(tree(&[(path, content)]).path(), 4096).virtual_signs;
            assert_eq!(signs.len(), 1, "{path}: {signs:?}");
            assert!(signs[0].contains(says), "{path}: {signs:?}");
        }
    }

    #[test]
    fn boards_and_boots_are_told_apart_and_nothing_of_them_is_kept() {
        let of = |address, boot| {
            let files = [
                ("sys/class/net/eth0/address", address),
                ("proc/sys/kernel/random/boot_id", boot),
            ];
            look(tree(&files).path(), 0)
        };
        let (one, two) = (of("02:00:00:00:00:01", "a"), of("02:00:00:00:00:02", "a"));
        assert_ne!(one.board, two.board);
        assert_eq!(one.boot, two.boot);
        assert_ne!(one.boot, of("02:00:00:00:00:01", "b").boot);
        assert!(!format!("{one:?}").contains("02:00"));
    }

    #[test]
    fn a_load_that_is_not_there_is_not_zero() {
        for (text, expected) in [
            ("0.00 0.01 0.05 1/1 1", Some(0)),
            ("12.50 1.0", Some(1250)),
            ("", None),
            ("x.yz", None),
            ("99999999999.00", None),
            ("1.5", None),
        ] {
            assert_eq!(load(text), expected, "{text}");
        }
    }

    fn tree(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path: PathBuf = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }
}
